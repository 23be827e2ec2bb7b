"""Events: one recording as (step, unit) pairs, graded ones with values, checked once at the door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tp_lava.checks import is_whole
from tp_lava.errors import invalid
from tp_lava.numbers import Format

LARGEST_WHOLE = 2.0**53  # from there on floats skip whole numbers


class Events:
    """Spikes of one recording.

    times: step of each event, integers in [0, n_steps); units: input unit of each, integers in [0, n_units); any
    order. A unit spikes at most once a step: several events of a unit in one step are one spike. values: of graded spikes, one number
    for each, whole ones for fixed-point forms (Loihi 2's graded spikes have up to 24 bits); several of a unit in one step
    add up, and those of zero are none. Immutable.
    Attributes times and units (int32, ordered by time, then unit), values (float32, or None), offsets (int32, n_steps + 1: where
    each step begins), n_steps, n_units. Raises InvalidValueError.
    """

    __slots__ = ("_times", "is_constant", "n_steps", "n_units", "offsets", "units", "values")

    _times: np.ndarray | None
    units: np.ndarray
    values: np.ndarray | None
    offsets: np.ndarray
    n_steps: int
    n_units: int
    is_constant: bool

    def __init__(
        self,
        times: Sequence[int] | np.ndarray,
        units: Sequence[int] | np.ndarray,
        n_steps: int,
        n_units: int,
        values: Sequence[float] | np.ndarray | None = None,
    ) -> None:
        _check_count("n_steps", n_steps)
        _check_count("n_units", n_units)
        when, which = _integers("times", times), _integers("units", units)
        if when.shape != which.shape:
            raise invalid("Events", "units", f"{which.size} long", f"as long as times, {when.size}", "give one unit for each time")
        _check_range("times", when, n_steps, "give n_steps=... or cut the recording")
        _check_range("units", which, n_units, "give n_units=... or check the sensor size")
        events, graded = when * np.int64(n_units) + which, None
        if values is None:
            key = np.unique(events)
        else:
            key, place = np.unique(events, return_inverse=True)
            summed = np.bincount(place.ravel(), _numbers(values, when.size), len(key))
            key, graded = key[summed != 0], summed[summed != 0].astype(np.float32)
        times_sorted, units_sorted = np.divmod(key, n_units)
        offsets = np.searchsorted(times_sorted, np.arange(n_steps + 1))
        self._fill(units_sorted, offsets, int(n_steps), int(n_units), graded)

    def _fill(self, units: np.ndarray, offsets: np.ndarray, n_steps: int, n_units: int, values: np.ndarray | None = None) -> None:
        self._keep("_times", None)
        self._keep("is_constant", False)
        for name, array in (("units", units), ("offsets", offsets)):
            self._keep(name, _read_only(array))
        self._keep("n_steps", n_steps)
        self._keep("n_units", n_units)
        if values is not None:
            values.flags.writeable = False
        self._keep("values", values)

    def _keep(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def is_graded(self) -> bool:
        """Whether its spikes have values."""
        return self.values is not None

    @property
    def times(self) -> np.ndarray:
        """Step of each event, int32, ordered."""
        if self._times is None:
            self._keep("_times", _read_only(np.repeat(np.arange(self.n_steps), np.diff(self.offsets))))
        return self._times  # type: ignore[return-value]

    @classmethod
    def from_counts(cls, counts: np.ndarray, units: np.ndarray, n_units: int, values: np.ndarray | None = None) -> Events:
        """From events that were checked before, as they travel: counts (T,) events per step, units in order of time."""
        offsets = np.zeros(len(counts) + 1, np.int32)
        np.cumsum(counts, out=offsets[1:])
        return cls.from_offsets(offsets, units.copy(), n_units, None if values is None else np.array(values, np.float32))

    @classmethod
    def from_offsets(cls, offsets: np.ndarray, units: np.ndarray, n_units: int, values: np.ndarray | None = None) -> Events:
        """The same of int32 arrays (T + 1,) and units, and float32 values, which are kept as they are, and no longer writeable."""
        events = object.__new__(cls)
        events._fill(units, offsets, len(offsets) - 1, n_units, values)
        return events

    @classmethod
    def from_dense(cls, spikes: np.ndarray, *, graded: bool = False) -> Events:
        """From a (T, n) array that is 1 where unit n spikes at step T, else 0.

        graded: any numbers, the values of graded spikes. Raises InvalidValueError for what is neither, NaN, or a wrong shape.
        """
        array = np.asarray(spikes)
        if array.ndim != 2 or 0 in array.shape:
            raise invalid(
                "Events", "spikes", f"of shape {array.shape}", "of shape (steps, units)", "reshape it, for example spikes.reshape(T, -1)"
            )
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise invalid("Events", "spikes", "NaN somewhere", "zeros and ones", "look where the recording was made")
        times, units = np.nonzero(array)
        values = array[times, units]
        if not graded and (values != 1).any():
            wrong = int(np.flatnonzero(values != 1)[0])
            found = f"{values[wrong]} of unit {units[wrong]} at step {times[wrong]}"
            remedy = "give graded=True where values count, or spikes != 0 where only spikes do"
            raise invalid("Events", "spikes", found, "0 or 1", remedy)
        return cls(times, units, array.shape[0], array.shape[1], values if graded else None)

    @classmethod
    def constant(cls, picture: np.ndarray, n_steps: int) -> Events:
        """A still picture, of any shape, as the same graded spikes in each of n_steps steps: a constant input current.

        What the engine delivers of it is computed once, unless the weights change from step to step.
        """
        _check_count("n_steps", n_steps)
        once = cls.from_dense(np.asarray(picture, np.float32).reshape(1, -1), graded=True)
        counts, values = np.repeat(len(once), n_steps), np.tile(values_of(once), n_steps)
        events = cls.from_counts(counts, np.tile(once.units, n_steps), once.n_units, values)
        events._keep("is_constant", True)
        return events

    def to_dense(self) -> np.ndarray:
        """(n_steps, n_units) array: bool, or float32 values of graded spikes."""
        dense = np.zeros((self.n_steps, self.n_units), bool if self.values is None else np.float32)
        dense[self.times, self.units] = True if self.values is None else self.values
        return dense

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Events are immutable; make new ones instead of setting {name}")

    def __reduce__(self) -> tuple:
        return Events, (self.times, self.units, self.n_steps, self.n_units, self.values)

    def __len__(self) -> int:
        return int(self.times.size)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Events):
            return NotImplemented
        same_shape = (self.n_steps, self.n_units, self.is_graded) == (other.n_steps, other.n_units, other.is_graded)
        same_shape = same_shape and (self.values is None or np.array_equal(self.values, other.values))  # type: ignore[arg-type]
        return same_shape and np.array_equal(self.times, other.times) and np.array_equal(self.units, other.units)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Events({len(self)} {'graded ' if self.is_graded else ''}spikes, {self.n_steps} steps, {self.n_units} units)"


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
    if array.dtype.kind == "f" and (np.abs(array) < LARGEST_WHOLE).all() and (array == np.floor(array)).all():
        return array.astype(np.int64)
    exact = (isinstance(v, int) or (isinstance(v, float) and v.is_integer() and abs(v) < LARGEST_WHOLE) for v in array.tolist())
    wrong = next((v for v, whole in zip(array.tolist(), exact, strict=True) if not whole), array.dtype)
    raise invalid("Events", name, repr(wrong), "whole numbers", "bin them into steps first, for example with np.floor(t / dt)")


def _numbers(values: object, count: int) -> np.ndarray:
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise invalid("Events", "values", repr(values)[:60], "numbers", "give one for each event") from None
    if array.shape != (count,):
        raise invalid("Events", "values", f"of shape {array.shape}", f"one for each event, ({count},)", "give one value for each time")
    if not np.isfinite(array).all():
        raise invalid("Events", "values", str(array[~np.isfinite(array)][0]), "finite", "look where the recording was made")
    return array


def _check_range(name: str, values: np.ndarray, limit: int, remedy: str) -> None:
    outside = np.flatnonzero((values < 0) | (values >= limit))
    if outside.size:
        first = int(outside[0])
        found = f"{int(values[first])} at event {first} ({outside.size} such)"
        raise invalid("Events", name, found, f"in [0, {limit})", remedy)


def check_events(events: object, n_units: int, format: Format | None = None) -> None:
    """Refuse what is not Events of so many units; format: of the values of a network with graded input."""
    if not isinstance(events, Events):
        remedy = "make them with tpl.Events(times, units, n_steps, n_units)"
        raise invalid("sample", "events", f"of type {type(events).__name__}", "Events", remedy)
    if events.n_units != n_units:
        remedy = "make Events with the network's number of units, or the network with that of the events"
        raise invalid("sample", "events", f"of {events.n_units} units", f"of the network's {n_units} inputs", remedy)
    if events.values is None:
        return
    if format is None:
        remedy = "make the network with input_format=tpl.Format(bits, fractional bits), or leave the values out"
        raise invalid("sample", "events", "graded", "plain spikes, as the network's input", remedy)
    low, high = format.low * format.resolution, format.largest
    outside = np.flatnonzero((events.values < low) | (events.values > high))
    if outside.size:
        found = f"{events.values[outside[0]]:g} at event {outside[0]} ({outside.size} such)"
        remedy = "scale the values, or give the network a wider input_format"
        raise invalid("sample", "values", found, f"in {low:g}..{high:g}, the network's input_format {format}", remedy)


def check_samples(what: str, samples: Any, remedy: str = "give some of the data") -> None:
    """Refuse what is no sequence, and an empty one. what: takes the samples. Raises InvalidValueError."""
    if isinstance(samples, Events | str | Mapping) or not (hasattr(samples, "__len__") and hasattr(samples, "__getitem__")):
        made = "make a list of them: [(events, label), ...]; tpl.Stream takes what has no end"
        raise invalid(what, "samples", f"of type {type(samples).__name__}", "a sequence of samples", made)
    if len(samples) == 0:
        raise invalid(what, "samples", "empty", "at least one sample", remedy)


def recordings_of(what: str, samples: Sequence[Any], n_units: int, format: Format | None = None) -> list[Events]:
    """The recordings of Events, or of pairs with a label, each checked; what: takes them. Raises InvalidValueError for none."""
    check_samples(what, samples)
    recordings = [sample[0] if isinstance(sample, tuple) and sample else sample for sample in samples]
    for events in recordings:
        check_events(events, n_units, format)
    return recordings


def side_by_side(samples: Sequence[Events]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Samples as rows: offsets (rows, T + 1) into one list of units and, if any is graded, of values; short samples are padded
    with empty steps.
    """
    steps = max(sample.n_steps for sample in samples)
    bases = np.cumsum([0, *(len(sample) for sample in samples[:-1])])
    padded = [np.pad(sample.offsets, (0, steps - sample.n_steps), mode="edge") for sample in samples]
    offsets = np.stack([base + row for base, row in zip(bases, padded, strict=True)]).astype(np.int32)
    graded = any(sample.is_graded for sample in samples)
    values = np.concatenate([values_of(sample) for sample in samples]) if graded else None
    return offsets, np.concatenate([sample.units for sample in samples]), values


def steps_of(events: Events, begin: int, end: int) -> Events:
    """Steps begin..end-1, as events of their own."""
    offsets = events.offsets[begin : end + 1]
    here = slice(offsets[0], offsets[-1])
    values = None if events.values is None else events.values[here]
    return Events.from_counts(np.diff(offsets), events.units[here], events.n_units, values)


def values_of(events: Events) -> np.ndarray:
    """The value of each event, 1 of plain spikes."""
    return np.ones(len(events), np.float32) if events.values is None else events.values
