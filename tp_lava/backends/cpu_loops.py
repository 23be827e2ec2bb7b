"""The loops that carry out calls, which are operations themselves, and what is handed to them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from tp_lava.backends import cpu_code
from tp_lava.backends.cpu_calls import (
    CALL_WIDTH,
    CLOCK,
    FLAG,
    FUNCTION,
    LAST_STEPS,
    RANDOM_STREAM,
    SLOTS,
    SWITCH,
    Argument,
    slots_of,
    where,
)
from tp_lava.backends.cpu_operation import Source
from tp_lava.backends.cpu_samples import BEGIN, CONSTANT, END, FRESH, LEFT, OFFSETS, SAMPLE_WIDTH, UNITS, WIDTH, SampleLoops
from tp_lava.backends.cpu_text import Text, V, literal, operation_text


def _argument(name: str, dtype: type, dimensions: int) -> Argument:
    return Argument(name, np.dtype(dtype), dimensions)


_CALLS = _argument("calls", np.int64, 2)
_COUNTERS = _argument("seed", np.uint32, 1), _argument("step", np.uint32, 1)
_GIVEN = (  # by each call
    _argument("samples", np.int64, 2),
    _argument("offsets", np.int32, 1),
    _argument("units", np.int32, 1),
    _argument("values", np.int32, 1),
    _argument("labels", np.int32, 2),
    _argument("results", np.int64, 2),
)
_LISTS = _argument("active", np.int32, 2), _argument("count", np.int32, 1)
_GRADED = _argument("graded", np.int32, 2), _argument("kept", np.int32, 1)
_STARTS = _argument("states", np.int64, 2), _argument("starts", np.int64, 2)
_FIXED, _TICKS = _argument("fixed", np.int64, 1), _argument("ticks", np.int64, 1)
_ADVANCE, _ALONE, _STEPS_LEFT = range(3)  # of fixed
_SAMPLES = (*_GIVEN, _FIXED, *_LISTS, *_GRADED, *_STARTS, _CALLS, *_COUNTERS)
_ZERO = literal(0, "i64")


class _Calls(SampleLoops):
    """Writes loops that carry out calls."""

    def of_sample(self, sample: V, column: int) -> V:
        """An entry of a sample."""
        return self.entry("samples", self.t.word("mul", sample, SAMPLE_WIDTH), column)

    def each(self, first: V, end: V, base: V | None) -> None:
        """Carry out calls. base: what their keys are made of; None: all have the operation's own key, and no condition."""
        t = self.t
        with t.loop(first, end) as c:
            call = t.word("mul", c, CALL_WIDTH)
            if base is None:
                self._make(call, V("%key", "i32"))
            else:
                switch, clock, last, flag = (self.entry("calls", call, column) for column in (SWITCH, CLOCK, LAST_STEPS, FLAG))
                on = t.binary("and", *(self.is_set(address) for address in (switch, flag)))
                steps = t.op(f"trunc {last} to i32", "i32")
                near = t.binary("or", t.word("icmp eq", last, 0), self.held(clock, "icmp ult", steps))
                with t.when(t.binary("and", on, near)):
                    stream = self.entry("calls", call, RANDOM_STREAM)
                    key = t.mix(base, t.op(f"trunc {stream} to i32", "i32"))
                    before = self._counter() if "ticks" in self.arrays else None
                    self._make(call, key)
                    with t.when(t.word("icmp ne", flag, 0)):
                        t.line(f"store i32 0, {self.pointer(flag)}")
                    if before:
                        taken = t.binary("sub", self._counter(), before)
                        t.line(f"store {t.binary('add', self.load('ticks', c), taken)}, {self.at('ticks', c)}")

    def _counter(self) -> V:
        return self.t.call("llvm.readcyclecounter", "i64", False)

    def _make(self, call: V, key: V) -> None:
        t = self.t
        function, slots = (self.pointer(self.entry("calls", call, column)) for column in (FUNCTION, SLOTS))
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


def _each_sample_source(*, timed: bool = False) -> Source:
    t = Text()
    loops = _Calls(t, (*_SAMPLES, _TICKS) if timed else _SAMPLES)
    alone, steps_left = (loops.load("fixed", literal(k, "i64")) for k in (_ALONE, _STEPS_LEFT))
    with t.without_denormals():
        with t.loop(_ZERO, loops.arrays["samples"][1]) as sample:
            begin, end, fresh, left = (loops.of_sample(sample, column) for column in (BEGIN, END, FRESH, LEFT))
            with t.when(t.word("icmp ne", fresh, 0)):
                loops.begin(sample, steps_left, left)
            with t.when(t.binary("icmp slt", begin, end)):
                loops.each(_ZERO, alone, literal(0, "i32"))
            with t.loop(begin, end) as step:
                _step(loops, sample, step, alone)
            loops.keep(sample)
        t.line(f"store i32 0, {loops.at('kept', _ZERO)}")
    return operation_text(t)


def _step(loops: _Calls, sample: V, step: V, alone: V) -> None:
    """A time step of a sample. alone: the calls that were made before the first."""
    t = loops.t
    again = t.binary("and", t.word("icmp ne", loops.of_sample(sample, CONSTANT), 0), t.word("icmp sgt", step, 0))
    t.line(f"store {t.op(f'zext {again} to i32', 'i32')}, {loops.at('kept', _ZERO)}")
    graded = t.word("icmp ne", loops.arrays["graded"][1], 0)
    with t.loop(_ZERO, loops.arrays["count"][1]) as r:
        _list_events(loops, graded, sample, r, step)
    count, advance = loops.load("step", _ZERO), loops.load("fixed", literal(_ADVANCE, "i64"))
    base = t.mix(loops.load("seed", _ZERO), count)
    t.line(f"store {t.binary('add', count, t.op(f'trunc {advance} to i32', 'i32'))}, {loops.at('step', _ZERO)}")
    loops.each(alone, loops.arrays["calls"][1], base)


def _list_events(loops: _Calls, graded: V, sample: V, r: V, step: V) -> None:
    """The input's events of one row and step, and, if it is graded, their values in the place of those of the step before."""
    t = loops.t

    def each(end: V) -> Any:
        return t.loop(_ZERO, t.op(f"sext {end} to i64", "i64"))

    def value_at(q: V) -> V:
        unit = loops.load("active", loops.place("active", r, q))
        return loops.at("graded", loops.place("graded", r, t.op(f"sext {unit} to i64", "i64")))

    with t.when(graded), each(loops.load("count", r)) as q:
        t.line(f"store i32 0, {value_at(q)}")
    at = t.binary("add", loops.of_sample(sample, OFFSETS), t.binary("add", t.binary("mul", r, loops.of_sample(sample, WIDTH)), step))
    first = loops.load("offsets", at)
    count = t.binary("sub", loops.load("offsets", t.word("add", at, 1)), first)
    t.line(f"store {count}, {loops.at('count', r)}")
    start = t.binary("add", loops.of_sample(sample, UNITS), t.op(f"sext {first} to i64", "i64"))
    with each(count) as q:
        t.line(f"store {loops.load('units', t.binary('add', start, q))}, {loops.at('active', loops.place('active', r, q))}")
    with t.when(graded), each(count) as q:
        t.line(f"store {loops.load('values', t.binary('add', start, q))}, {value_at(q)}")


_WITH_KEY, _ONCE, _EACH_SAMPLE = _with_key_source(), _once_source(), _each_sample_source()
_NO_VALUES, _NO_LABELS, _NO_RESULTS = np.zeros(0, np.int32), np.zeros((0, 0), np.int32), np.zeros((0, 0), np.int64)


def with_key(calls: np.ndarray, key: int) -> None:
    """Carry out calls (n, CALL_WIDTH), each with this very key."""
    slots = slots_of((_CALLS,), (calls,))
    cpu_code.called(_WITH_KEY)(key, where(slots))


def load_loops() -> None:
    """Have the code of the loops in this process, so that those forked from it, as Lava's are, need not load it in their first step."""
    cpu_code.called(_ONCE), cpu_code.called(_EACH_SAMPLE)


class Once:
    """Carries out calls in order, with keys of a seed and a step. Arrays are used as they are, and kept."""

    def __init__(self, calls: np.ndarray, counters: Sequence[np.ndarray]) -> None:
        self._arrays = (calls, *counters)
        self._slots = slots_of((_CALLS, *_COUNTERS), self._arrays)
        self._at, self._call = where(self._slots), cpu_code.called(_ONCE)

    def __call__(self) -> None:
        """One step."""
        self._call(0, self._at)


class EachSample:
    """Begins samples, lists events and carries out calls, step by step; adds `advance` to the step counter each time.

    calls: the first `alone` of them are made once each time, before the first step: what they do depends on nothing that a step changes;
    lists: active (rows, n) and count (rows,), where events are listed; graded (rows, inputs): where their values are put; kept: 1 in steps
    whose events are those before; states, starts: see cpu_samples; steps_left: where a sample's length goes; ticks: what the time-stamp
    counter counts during each call is added to its element, if given.
    """

    def __init__(
        self,
        calls: np.ndarray,
        counters: Sequence[np.ndarray],
        lists: Sequence[np.ndarray],
        graded: Sequence[np.ndarray],
        starts: Sequence[np.ndarray],
        steps_left: np.ndarray,
        advance: int,
        alone: int = 0,
        ticks: np.ndarray | None = None,
    ) -> None:
        fixed = np.array([advance, alone, where(steps_left)], np.int64)
        timed = () if ticks is None else (ticks,)
        self._part = np.zeros((1, SAMPLE_WIDTH), np.int64)  # the table of a sample's part
        self._given: tuple[np.ndarray, ...] = (self._part, _NO_VALUES, _NO_VALUES, _NO_VALUES, _NO_LABELS, _NO_RESULTS)
        self._arrays = (*self._given, fixed, *lists, *graded, *starts, calls, *counters, *timed, steps_left)
        self._slots = slots_of((*_SAMPLES, _TICKS) if timed else _SAMPLES, self._arrays[:-1])
        self._words, self._entries = _words(self._slots), _words(self._part)
        self._at, self._call = where(self._slots), cpu_code.called(_each_sample_source(timed=True) if timed else _EACH_SAMPLE)

    def part(self, begin: int, end: int, offsets: np.ndarray, units: np.ndarray, values: np.ndarray | None, constant: bool) -> None:
        """Steps begin..end-1 of the sample begun last. units: the active inputs of all rows; offsets (rows, T + 1): where in units each
        step begins; values: of units, as words, where the input is graded; constant: the events of all steps are those of the first."""
        entries = self._entries  # written one by one: that is faster than an array
        entries[BEGIN], entries[END], entries[CONSTANT], entries[WIDTH] = begin, end, constant, offsets.shape[-1]
        self(self._part, offsets.reshape(-1), units, values)

    def __call__(
        self,
        samples: np.ndarray,
        offsets: np.ndarray,
        units: np.ndarray,
        values: np.ndarray | None,
        labels: np.ndarray = _NO_LABELS,
        results: np.ndarray = _NO_RESULTS,
    ) -> None:
        """Samples by their table; the others are arrays as `Following` has them. labels (samples, rows); results: see cpu_samples."""
        given, words, place = (samples, offsets, units, _NO_VALUES if values is None else values, labels, results), self._words, 0
        for argument, array, before in zip(_GIVEN, given, self._given, strict=True):
            if array is not before:
                if array.dtype != argument.dtype or not array.flags.c_contiguous:
                    slots_of((argument,), (array,))  # raises the error
                words[place] = where(array)
                for k, size in enumerate(array.shape, place + 1):
                    words[k] = size
            place += 1 + argument.dimensions
        self._given = given
        self._call(0, self._at)


def _words(array: Any) -> Any:
    """An array of int64 as one of ctypes, whose elements are set faster."""
    return (ctypes.c_int64 * array.size).from_buffer(array)
