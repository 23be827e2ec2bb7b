"""Intervals of mantissas, and what each instruction makes of them.

An interval is a pair of int64 arrays, least and greatest mantissa, over a program's axes. An axis may be shorter than it is: each
element then stands for as many in a row, as a channel does for its positions, and one for all along which nothing differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, reduce
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from tp_lava.backends.interpreted_programs import shifted
from tp_lava.backends.protocol import entry
from tp_lava.dynamics.piecewise import Piecewise
from tp_lava.dynamics.program import Instruction

NAME = "range analysis"
Array = np.ndarray
HUGE = 2**60  # what an interval is cut to: beyond every register, within int64
_FEW = 128  # elements that a table looks at one by one


class Interval(NamedTuple):
    """Least and greatest mantissa, int64 arrays of shapes that broadcast."""

    low: Array
    high: Array

    @classmethod
    def of(cls, low: object, high: object) -> Interval:
        """From numbers or arrays."""
        return cls(np.asarray(low, np.int64), np.asarray(high, np.int64))

    @classmethod
    def total(cls, intervals: Sequence[Interval]) -> Interval:
        """The sum of all."""
        alike = in_step(intervals)
        return cls(np.asarray(sum(x.low for x in alike)), np.asarray(sum(x.high for x in alike)))

    @property
    def bounds(self) -> tuple[int, int]:
        """Over all elements."""
        return int(self.low.min()), int(self.high.max())

    def hull(self, other: Interval) -> Interval:
        """The smallest that contains both."""
        a, b = in_step((self, other))
        return Interval(np.minimum(a.low, b.low), np.maximum(a.high, b.high))

    def or_zero(self) -> Interval:
        """The smallest that also contains zero."""
        return Interval(np.minimum(self.low, 0), np.maximum(self.high, 0))

    def meet(self, low: Array | int, high: Array | int) -> Interval:
        """What is also within low..high."""
        return Interval(np.maximum(self.low, low), np.minimum(self.high, high))

    def within(self, other: Interval) -> bool:
        """Whether the other one contains it."""
        a, b = in_step((self, other))
        return bool((a.low >= b.low).all() and (a.high <= b.high).all())

    def map(self, change: Callable[[Array], Array]) -> Interval:
        """Both bounds changed in shape."""
        return Interval(change(self.low), change(self.high))

    def collapsed(self, axis: int) -> Interval:
        """With one element along an axis."""
        return Interval(self.low.min(axis=axis, keepdims=True), self.high.max(axis=axis, keepdims=True))


def in_step(intervals: Sequence[Interval]) -> Sequence[Interval]:
    """Intervals that broadcast: each axis, counted from the last, of one length but where it is 1."""
    shapes = {x.low.shape for x in intervals}
    if len(shapes) == 1:
        return intervals
    most = [max(lengths) for lengths in zip_longest(*(shape[::-1] for shape in shapes), fillvalue=1)]
    return [x.map(lambda bound: _in_step(bound, most)) for x in intervals]


def _in_step(array: Array, most: Sequence[int]) -> Array:
    for place, (length, wanted) in enumerate(zip(array.shape[::-1], most, strict=False)):
        if 1 < length < wanted:
            array = np.repeat(array, wanted // length, axis=-1 - place)
    return array


def either(a: Interval, can_a: Array, b: Interval, can_b: Array) -> Interval:
    """The hull of those that can be, element by element."""
    can_a = can_a | ~(can_a | can_b)  # nothing proven impossible may leave an element empty
    low = np.minimum(np.where(can_a, a.low, HUGE), np.where(can_b, b.low, HUGE))
    return Interval(low, np.maximum(np.where(can_a, a.high, -HUGE), np.where(can_b, b.high, -HUGE)))


def assumed(op: str, truth: bool, p: Interval, q: Interval) -> tuple[Interval, Interval]:
    """p and q where `p op q` is `truth`; empty, low above high, where that cannot be."""
    if op == "eq":
        return (p.meet(q.low, q.high), q.meet(p.low, p.high)) if truth else (p, q)
    if (op == "lt") == truth:  # p < q
        return Interval(p.low, np.minimum(p.high, q.high - 1)), Interval(np.maximum(q.low, p.low + 1), q.high)
    return Interval(np.maximum(p.low, q.low), p.high), Interval(q.low, np.minimum(q.high, p.high))


def pieces(x: Interval) -> Interval:
    """An interval of one element cut at zero and at the powers of two, along the first axis."""
    low, high = x.bounds
    cuts = {0, *(2**k for k in range(high.bit_length())), *(1 - 2**k for k in range(low.bit_length()))}
    edges = np.array(sorted({low, high + 1, *(cut for cut in cuts if low < cut <= high)}))
    shape = (-1, *[1] * (x.low.ndim - 1))
    return Interval.of(edges[:-1].reshape(shape), edges[1:].reshape(shape) - 1)


# One instruction ----------------------------------------------------------------------------------


class Axes(NamedTuple):
    """A program's axes, outermost first, and the full length of each."""

    names: tuple[str, ...]
    sizes: Mapping[str, int]

    def scalar(self, interval: Interval) -> Interval:
        """One number on all axes."""
        return interval.map(lambda bound: bound.reshape([1] * len(self.names)))


def instruction(axes: Axes, i: Instruction, *arguments: Interval) -> Interval:
    """What an instruction makes of its arguments. Raises InvalidValueError for one that is not in the table."""
    return entry(NAME, "instruction", INSTRUCTION_TABLE, i.op, i.op)(axes, i, *arguments)


def corners(a: Interval, b: Interval) -> Interval:
    """The product, exact up to HUGE."""
    if max(map(abs, a.bounds)) * max(map(abs, b.bounds)) > HUGE:
        products = [np.clip(x.astype(float) * y.astype(float), -HUGE, HUGE).astype(np.int64) for x in a for y in b]
    else:
        products = [x * y for x in a for y in b]
    return Interval(reduce(np.minimum, products), reduce(np.maximum, products))


def product(i: Instruction, a: Interval, b: Interval, c: Interval | None = None) -> Interval:
    """What is in the wide register of a "mul" or "mul_random" before its shift."""
    exact = corners(a, b)
    if c is not None:
        return Interval(exact.low + c.low, exact.high + c.high)
    half = (1 << i["shift"] >> 1) if i["rounding"] == "nearest" else 0
    return Interval(exact.low, exact.high + half)


def _shift(axes: Axes, i: Instruction, a: Interval) -> Interval:
    by = int(i["by"])
    return a.map(lambda x: np.clip(x, -(HUGE >> by), HUGE >> by) << by) if by >= 0 else a.map(lambda x: x >> -by)


def _shift_right(axes: Axes, i: Instruction, a: Interval, b: Interval) -> Interval:
    moved = [x >> np.clip(count, 0, 62) for x in a for count in b]
    return Interval(reduce(np.minimum, moved), reduce(np.maximum, moved))


def _and(axes: Axes, i: Instruction, a: Interval, b: Interval) -> Interval:
    """Of non-negative values; a mask of low bits keeps the order of those that differ in them alone."""
    mask, whole = b.low, (b.low == b.high) & (b.low & (b.low + 1) == 0) & (a.low >= 0)
    kept = whole & (a.low & ~mask == a.high & ~mask)
    return Interval(np.where(kept, a.low & mask, 0), np.where(kept, a.high & mask, np.minimum(a.high, b.high)))


def _piecewise(axes: Axes, i: Instruction, a: Interval) -> Interval:
    table: Piecewise = i["table"]
    results = _tabulated(table)
    if a.low.size > _FEW:
        a = axes.scalar(Interval.of(*a.bounds))
    low = np.clip(a.low, 0, table.last)
    high = np.maximum(np.clip(a.high, 0, table.last), low)
    reached = [results[begin : end + 1] for begin, end in zip(low.flat, high.flat, strict=True)]
    return Interval.of([x.min() for x in reached], [x.max() for x in reached]).map(lambda bound: bound.reshape(low.shape))


@lru_cache(maxsize=32)
def _tabulated(table: Piecewise) -> Array:
    return table(np.arange(table.last + 1))


def _sum(axes: Axes, i: Instruction, a: Interval) -> Interval:
    """Of all elements or only some: a rule's own rows may be left out while running."""
    axis = axes.names.index(i["axis"])
    count = axes.sizes[i["axis"]] // a.low.shape[axis]
    return a.or_zero().map(lambda bound: bound.sum(axis=axis, keepdims=True) * count)


def _truth(never: Array, always: Array) -> Interval:
    return Interval(np.asarray(always, np.int64), 1 - np.asarray(never, np.int64))


INSTRUCTION_TABLE: dict[str, Callable[..., Interval]] = {
    "constant": lambda axes, i: axes.scalar(Interval.of(i["value"], i["value"])),
    "random": lambda axes, i: axes.scalar(Interval.of(0, 2 ** i["bits"] - 1)),
    "add": lambda axes, i, a, b: Interval(a.low + b.low, a.high + b.high),
    "neg": lambda axes, i, a: Interval(-a.high, -a.low),
    "min": lambda axes, i, a, b: Interval(np.minimum(a.low, b.low), np.minimum(a.high, b.high)),
    "mul": lambda axes, i, a, b: corners(a, b).map(lambda x: shifted(x, i["shift"], i["rounding"])),
    "mul_random": lambda axes, i, a, b, c: product(i, a, b, c).map(lambda x: x >> i["shift"]),
    "shift": _shift,
    "shift_right": _shift_right,
    "and": _and,
    "lt": lambda axes, i, a, b: _truth(a.low >= b.high, a.high < b.low),
    "ge": lambda axes, i, a, b: _truth(a.high < b.low, a.low >= b.high),
    "eq": lambda axes, i, a, b: _truth((a.high < b.low) | (b.high < a.low), (a.low == b.high) & (a.high == b.low)),
    "select": lambda axes, i, condition, a, b: either(a, condition.high > 0, b, condition.low < 1),
    "spike": lambda axes, i, a: a,
    "piecewise": _piecewise,
    "sum": _sum,
    "max": lambda axes, i, a: a.collapsed(axes.names.index(i["axis"])),
}
