"""The loops that carry out calls, which are operations themselves, and what is handed to them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from tp_lava.backends import cpu_code
from tp_lava.backends.cpu_calls import CALL_WIDTH, CLOCK, FUNCTION, LAST_STEPS, RANDOM_STREAM, SLOTS, SWITCH, Argument, slots_of, where
from tp_lava.backends.cpu_operation import Source
from tp_lava.backends.cpu_text import Loops, Text, V, literal, operation_text


def _argument(name: str, dtype: type, dimensions: int) -> Argument:
    return Argument(name, np.dtype(dtype), dimensions)


_CALLS = _argument("calls", np.int64, 2)
_COUNTERS = _argument("seed", np.uint32, 1), _argument("step", np.uint32, 1)
_EVENTS = _argument("offsets", np.int32, 2), _argument("units", np.int32, 1), _argument("values", np.int32, 1)
_LISTS = _argument("active", np.int32, 2), _argument("count", np.int32, 1)
_GRADED = _argument("graded", np.int32, 2), _argument("kept", np.int32, 1)
_SPAN, _TICKS = _argument("span", np.int64, 1), _argument("ticks", np.int64, 1)
_BEGIN, _END, _CONSTANT, _ADVANCE, _ALONE = range(5)  # of span
_STEPS = (_SPAN, *_EVENTS, *_LISTS, *_GRADED, _CALLS, *_COUNTERS)
_ZERO = literal(0, "i64")


class _Calls(Loops):
    """Writes loops that carry out calls."""

    def column(self, call: V, column: int) -> V:
        """An entry of a call."""
        return self.load("calls", self.t.op(f"add {call}, {column}", "i64"))

    def each(self, first: V, end: V, base: V | None) -> None:
        """Carry out calls. base: what their keys are made of; None: all have the operation's own key, and no condition."""
        t = self.t
        with t.loop(first, end) as c:
            call = t.word("mul", c, CALL_WIDTH)
            if base is None:
                self._make(call, V("%key", "i32"))
            else:
                switch, clock, last = (self.column(call, column) for column in (SWITCH, CLOCK, LAST_STEPS))
                on = t.binary("or", t.word("icmp eq", switch, 0), self._held(switch, "icmp ne", literal(0, "i32")))
                steps = t.op(f"trunc {last} to i32", "i32")
                near = t.binary("or", t.word("icmp eq", last, 0), self._held(clock, "icmp ult", steps))
                with t.when(t.binary("and", on, near)):
                    key = t.mix(base, t.op(f"trunc {self.column(call, RANDOM_STREAM)} to i32", "i32"))
                    before = self._counter() if "ticks" in self.arrays else None
                    self._make(call, key)
                    if before:
                        taken = t.binary("sub", self._counter(), before)
                        t.line(f"store {t.binary('add', self.load('ticks', c), taken)}, {self.at('ticks', c)}")

    def _counter(self) -> V:
        return self.t.call("llvm.readcyclecounter", "i64", False)

    def _held(self, address: V, compared: str, number: V) -> V:
        """Whether the number at an address, if it is one, compares so; without a jump: no address reads the calls themselves."""
        t = self.t
        own = t.op(f"ptrtoint {self.arrays['calls'][0]} to i64", "i64")
        at = t.op(f"inttoptr {t.select(t.word('icmp eq', address, 0), own, address)} to ptr", "ptr")
        return t.binary(compared, V(t.load("i32", at.name), "i32"), number)

    def _make(self, call: V, key: V) -> None:
        t = self.t
        function, slots = (t.op(f"inttoptr {self.column(call, column)} to ptr", "ptr") for column in (FUNCTION, SLOTS))
        t.line(f"call void {function.name}({key}, {slots})")


def _with_key_source() -> Source:
    text = Text()
    calls = _Calls(text, (_CALLS,))
    calls.each(_ZERO, calls.arrays["calls"][1], None)
    return operation_text(text)


def _once_source() -> Source:
    text = Text()
    calls = _Calls(text, (_CALLS, *_COUNTERS))
    with text.without_denormals():
        calls.each(_ZERO, calls.arrays["calls"][1], text.mix(calls.load("seed", _ZERO), calls.load("step", _ZERO)))
    return operation_text(text)


def _each_step_source(*, timed: bool = False) -> Source:
    t = Text()
    loops = _Calls(t, (*_STEPS, _TICKS) if timed else _STEPS)
    begin, end, constant, advance, alone = (loops.load("span", literal(k, "i64")) for k in (_BEGIN, _END, _CONSTANT, _ADVANCE, _ALONE))
    graded = t.word("icmp ne", loops.arrays["graded"][1], 0)
    with t.without_denormals():
        with t.when(t.binary("icmp slt", begin, end)):
            loops.each(_ZERO, alone, literal(0, "i32"))
        with t.loop(begin, end) as step:
            again = t.binary("and", t.word("icmp ne", constant, 0), t.word("icmp sgt", step, 0))
            t.line(f"store {t.op(f'zext {again} to i32', 'i32')}, {loops.at('kept', _ZERO)}")
            with t.loop(_ZERO, loops.arrays["offsets"][1]) as r:
                _list_events(loops, graded, r, step)
            count = loops.load("step", _ZERO)
            base = t.mix(loops.load("seed", _ZERO), count)
            t.line(f"store {t.binary('add', count, t.op(f'trunc {advance} to i32', 'i32'))}, {loops.at('step', _ZERO)}")
            loops.each(alone, loops.arrays["calls"][1], base)
        t.line(f"store i32 0, {loops.at('kept', _ZERO)}")
    return operation_text(t)


def _list_events(loops: _Calls, graded: V, r: V, step: V) -> None:
    """The input's events of one row and step, and, if it is graded, their values in the place of those of the step before."""
    t = loops.t

    def each(end: V) -> Any:
        return t.loop(_ZERO, t.op(f"sext {end} to i64", "i64"))

    def value_at(q: V) -> V:
        unit = loops.load("active", loops.place("active", r, q))
        return loops.at("graded", loops.place("graded", r, t.op(f"sext {unit} to i64", "i64")))

    with t.when(graded), each(loops.load("count", r)) as q:
        t.line(f"store i32 0, {value_at(q)}")
    at = loops.place("offsets", r, step)
    first = loops.load("offsets", at)
    count = t.binary("sub", loops.load("offsets", t.word("add", at, 1)), first)
    t.line(f"store {count}, {loops.at('count', r)}")
    start = t.op(f"sext {first} to i64", "i64")
    with each(count) as q:
        t.line(f"store {loops.load('units', t.binary('add', start, q))}, {loops.at('active', loops.place('active', r, q))}")
    with t.when(graded), each(count) as q:
        t.line(f"store {loops.load('values', t.binary('add', start, q))}, {value_at(q)}")


_WITH_KEY, _ONCE, _EACH_STEP = _with_key_source(), _once_source(), _each_step_source()
_NO_VALUES, _INT32 = np.zeros(0, np.int32), np.dtype(np.int32)


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

    calls: the first `alone` of them are made once each time, before the first step: what they do depends on nothing that a step changes;
    lists: active (rows, n) and count (rows,), where events are listed; graded (rows, inputs): where their values are put; kept: 1 in steps
    whose events are those before; ticks: what the time-stamp counter counts during each call is added to its element, if given.
    """

    def __init__(
        self,
        calls: np.ndarray,
        counters: Sequence[np.ndarray],
        lists: Sequence[np.ndarray],
        graded: Sequence[np.ndarray],
        advance: int,
        alone: int = 0,
        ticks: np.ndarray | None = None,
    ) -> None:
        self._span = np.array([0, 0, 0, advance, alone], np.int64)
        nothing = np.zeros((1, 1), np.int32), np.zeros(0, np.int32), _NO_VALUES
        timed = () if ticks is None else (ticks,)
        self._arrays: tuple[np.ndarray, ...] = (self._span, *nothing, *lists, *graded, calls, *counters, *timed)
        self._slots = slots_of((*_STEPS, _TICKS) if timed else _STEPS, self._arrays)
        self._words, self._numbers = _words(self._slots), _words(self._span)
        self._first = 1 + _SPAN.dimensions  # of the events' slots
        self._nothing = where(_NO_VALUES)
        source = _each_step_source(timed=True) if timed else _EACH_STEP
        self._at, self._call = where(self._slots), cpu_code.called(source)

    def __call__(self, begin: int, end: int, offsets: np.ndarray, units: np.ndarray, values: np.ndarray | None, constant: bool) -> None:
        """Steps begin..end-1. units: the active inputs of all rows; offsets (rows, T + 1): where in units each step begins; values: of
        units, as words, where the input is graded; constant: the events of all steps are those of the first."""
        if not (offsets.dtype == units.dtype == _INT32 and offsets.flags.c_contiguous and units.flags.c_contiguous):
            slots_of(_EVENTS, (offsets, units, _NO_VALUES if values is None else values))  # raises the error
        words, k = self._words, self._first  # written one by one: that is faster than an array
        words[k], words[k + 1], words[k + 2] = where(offsets), *offsets.shape
        words[k + 3], words[k + 4] = where(units), units.shape[0]
        words[k + 5], words[k + 6] = (self._nothing, 0) if values is None else (where(values), values.shape[0])
        numbers = self._numbers
        numbers[_BEGIN], numbers[_END], numbers[_CONSTANT] = begin, end, constant
        self._call(0, self._at)


def _words(array: Any) -> Any:
    """An array of int64 as one of ctypes, whose elements are set faster."""
    return (ctypes.c_int64 * array.size).from_buffer(array)
