"""Events: one recording as (step, unit) pairs, checked once at the door."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tp_lava.checks import is_whole
from tp_lava.errors import invalid


class Events:
    """Spikes of one recording.

    times: step of each event, integers in [0, n_steps); units: input unit of each, integers in [0, n_units); any
    order. A unit spikes at most once a step: several events of a unit in one step are one spike. Immutable.
    Attributes times and units (int32, ordered by time, then unit), offsets (int32, n_steps + 1: where each step
    begins), n_steps, n_units. Raises InvalidValueError.
    """

    __slots__ = ("_times", "n_steps", "n_units", "offsets", "units")

    _times: np.ndarray | None
    units: np.ndarray
    offsets: np.ndarray
    n_steps: int
    n_units: int

    def __init__(self, times: Sequence[int] | np.ndarray, units: Sequence[int] | np.ndarray, n_steps: int, n_units: int) -> None:
        _check_count("n_steps", n_steps)
        _check_count("n_units", n_units)
        when, which = _integers("times", times), _integers("units", units)
        if when.shape != which.shape:
            raise invalid("Events", "units", f"{which.size} long", f"as long as times, {when.size}", "give one unit for each time")
        _check_range("times", when, n_steps, "give n_steps=... or cut the recording")
        _check_range("units", which, n_units, "give n_units=... or check the sensor size")
        key = np.unique(when * np.int64(n_units) + which)
        times_sorted, units_sorted = np.divmod(key, n_units)
        offsets = np.searchsorted(times_sorted, np.arange(n_steps + 1))
        self._fill(units_sorted, offsets, int(n_steps), int(n_units))

    def _fill(self, units: np.ndarray, offsets: np.ndarray, n_steps: int, n_units: int) -> None:
        self._keep("_times", None)
        for name, array in (("units", units), ("offsets", offsets)):
            self._keep(name, _read_only(array))
        self._keep("n_steps", n_steps)
        self._keep("n_units", n_units)

    def _keep(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def times(self) -> np.ndarray:
        """Step of each event, int32, ordered."""
        if self._times is None:
            self._keep("_times", _read_only(np.repeat(np.arange(self.n_steps), np.diff(self.offsets))))
        return self._times  # type: ignore[return-value]

    @classmethod
    def from_counts(cls, counts: np.ndarray, units: np.ndarray, n_units: int) -> Events:
        """From events that were checked before, as they travel: counts (T,) events per step, units in order of time."""
        events = object.__new__(cls)
        offsets = np.zeros(len(counts) + 1, np.int32)
        np.cumsum(counts, out=offsets[1:])
        events._fill(units.copy(), offsets, len(counts), n_units)
        return events

    @classmethod
    def from_dense(cls, spikes: np.ndarray) -> Events:
        """From a (T, n) array that is not zero where unit n spikes at step T. Raises InvalidValueError for NaN or a wrong shape."""
        array = np.asarray(spikes)
        if array.ndim != 2 or 0 in array.shape:
            raise invalid(
                "Events", "spikes", f"of shape {array.shape}", "of shape (steps, units)", "reshape it, for example spikes.reshape(T, -1)"
            )
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise invalid("Events", "spikes", "NaN somewhere", "zeros and ones", "look where the recording was made")
        times, units = np.nonzero(array)
        return cls(times, units, *array.shape)

    def to_dense(self) -> np.ndarray:
        """(n_steps, n_units) bool array."""
        dense = np.zeros((self.n_steps, self.n_units), bool)
        dense[self.times, self.units] = True
        return dense

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Events are immutable; make new ones instead of setting {name}")

    def __reduce__(self) -> tuple:
        return Events, (self.times, self.units, self.n_steps, self.n_units)

    def __len__(self) -> int:
        return int(self.times.size)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Events):
            return NotImplemented
        same_shape = (self.n_steps, self.n_units) == (other.n_steps, other.n_units)
        return same_shape and np.array_equal(self.times, other.times) and np.array_equal(self.units, other.units)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Events({len(self)} spikes, {self.n_steps} steps, {self.n_units} units)"


class Sample(NamedTuple):
    """A recording and its class."""

    events: Events
    label: int


def _read_only(array: np.ndarray) -> np.ndarray:
    column = np.ascontiguousarray(array, np.int32)
    column.flags.writeable = False
    return column


def _check_count(name: str, value: object) -> None:
    if not is_whole(value, 1, 2**31):
        raise invalid("Events", name, repr(value), "a positive integer", f"give the number of {name[2:]}")


def _integers(name: str, values: object) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1:
        raise invalid("Events", name, f"of shape {array.shape}", "one-dimensional", "flatten it")
    if array.size == 0:
        return np.zeros(0, np.int64)
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    if array.dtype.kind == "f" and np.isfinite(array).all() and (array == np.floor(array)).all():
        return array.astype(np.int64)
    wrong = next((v for v in array.tolist() if not isinstance(v, int) and not (isinstance(v, float) and v.is_integer())), array.dtype)
    raise invalid("Events", name, repr(wrong), "whole numbers", "bin them into steps first, for example with np.floor(t / dt)")


def _check_range(name: str, values: np.ndarray, limit: int, remedy: str) -> None:
    outside = np.flatnonzero((values < 0) | (values >= limit))
    if outside.size:
        first = int(outside[0])
        found = f"{int(values[first])} at event {first} ({outside.size} such)"
        raise invalid("Events", name, found, f"in [0, {limit})", remedy)


def check_events(events: object, n_units: int) -> None:
    """Refuse what is not Events of so many units."""
    if not isinstance(events, Events):
        remedy = "make them with tpl.Events(times, units, n_steps, n_units)"
        raise invalid("sample", "events", f"of type {type(events).__name__}", "Events", remedy)
    if events.n_units != n_units:
        remedy = "make Events with the network's number of units, or the network with that of the events"
        raise invalid("sample", "events", f"of {events.n_units} units", f"of the network's {n_units} inputs", remedy)


def side_by_side(samples: Sequence[Events]) -> tuple[np.ndarray, np.ndarray]:
    """Samples as rows: offsets (rows, T + 1) into one list of units; short samples are padded with empty steps."""
    steps = max(sample.n_steps for sample in samples)
    bases = np.cumsum([0, *(len(sample) for sample in samples[:-1])])
    padded = [np.pad(sample.offsets, (0, steps - sample.n_steps), mode="edge") for sample in samples]
    offsets = np.stack([base + row for base, row in zip(bases, padded, strict=True)]).astype(np.int32)
    return offsets, np.concatenate([sample.units for sample in samples])
