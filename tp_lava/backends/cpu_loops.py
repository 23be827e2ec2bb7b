"""The loops that carry out calls, which are operations themselves, and what is handed to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tp_lava.backends import cpu_code
from tp_lava.backends.cpu_calls import Argument, slots_of, where
from tp_lava.backends.cpu_operation import operation


def _argument(name: str, dtype: type, dimensions: int) -> Argument:
    return Argument(name, np.dtype(dtype), dimensions)


_CALLS = _argument("calls", np.int64, 2)
_COUNTERS = _argument("seed", np.uint32, 1), _argument("step", np.uint32, 1)
_EVENTS = _argument("offsets", np.int32, 2), _argument("units", np.int32, 1), _argument("values", np.int32, 1)
_LISTS = _argument("active", np.int32, 2), _argument("count", np.int32, 1)
_GRADED = _argument("graded", np.int32, 2), _argument("kept", np.int32, 1)
_SPAN = _argument("span", np.int64, 1)  # begin, end, constant, advance
_STEPS = (_SPAN, *_EVENTS, *_LISTS, *_GRADED, _CALLS, *_COUNTERS)
_WITH_KEY = operation((_CALLS,), ["    with_key(calls, key)"])
_ONCE = operation((_CALLS, *_COUNTERS), ["    once(calls, seed, step)"])
_EACH_STEP = operation(
    _STEPS,
    ["    each_step(span[0], span[1], offsets, units, values, graded, kept, span[2], active, count, calls, seed, step, span[3])"],
)
_NO_VALUES = np.zeros(0, np.int32)


def with_key(calls: np.ndarray, key: int) -> None:
    """Carry out calls (n, CALL_WIDTH), each with this very key."""
    slots = slots_of((_CALLS,), (calls,))
    cpu_code.called(_WITH_KEY)(key, where(slots))


def load_loops() -> None:
    """Have the code of the loops in this process, so that those forked from it, as Lava's are, need not load it in their first step."""
    cpu_code.called(_ONCE), cpu_code.called(_EACH_STEP)


class Once:
    """Carries out calls in order, with keys of a seed and a step. Arrays are used as they are, and kept."""

    def __init__(self, calls: np.ndarray, counters: Sequence[np.ndarray]) -> None:
        self._arrays = (calls, *counters)
        self._slots = slots_of((_CALLS, *_COUNTERS), self._arrays)
        self._at, self._call = where(self._slots), cpu_code.called(_ONCE)

    def __call__(self) -> None:
        """One step."""
        self._call(0, self._at)


class EachStep:
    """Lists events and carries out calls, step by step; adds `advance` to the step counter each time.

    lists: active (rows, n) and count (rows,), where events are listed; graded (rows, inputs): where their values are put; kept: 1 in steps
    whose events are those before.
    """

    def __init__(
        self,
        calls: np.ndarray,
        counters: Sequence[np.ndarray],
        lists: Sequence[np.ndarray],
        graded: Sequence[np.ndarray],
        advance: int,
    ) -> None:
        self._span = np.array([0, 0, 0, advance], np.int64)
        nothing = np.zeros((1, 1), np.int32), np.zeros(0, np.int32), _NO_VALUES
        self._arrays: tuple[np.ndarray, ...] = (self._span, *nothing, *lists, *graded, calls, *counters)
        self._slots = slots_of(_STEPS, self._arrays)
        self._first = 1 + _SPAN.dimensions  # of the events' slots
        self._end = self._first + sum(1 + a.dimensions for a in _EVENTS)
        self._at, self._call = where(self._slots), cpu_code.called(_EACH_STEP)

    def __call__(self, begin: int, end: int, offsets: np.ndarray, units: np.ndarray, values: np.ndarray | None, constant: bool) -> None:
        """Steps begin..end-1. units: the active inputs of all rows; offsets (rows, T + 1): where in units each step begins; values: of
        units, as words, where the input is graded; constant: the events of all steps are those of the first."""
        self._slots[self._first : self._end] = slots_of(_EVENTS, (offsets, units, _NO_VALUES if values is None else values))
        self._span[:3] = begin, end, constant
        self._call(0, self._at)
