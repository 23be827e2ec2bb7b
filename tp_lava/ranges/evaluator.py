"""Interval arithmetic over a program: what every value can be, given what its ports can be.

Three things are seen that plain interval arithmetic does not: a branch of a select is evaluated under its condition, which keeps a
reset membrane above zero; what is made of one number alone - a logarithm, a power - is evaluated octave by octave; and of
x - max x one element is zero, so that a softmax's sum is at least one. What the tracer proved for ports that use their whole
formats holds too, so no interval here is wider than the tracer's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count

import numpy as np

from tp_lava.backends.interpreted_programs import on_axes
from tp_lava.dynamics.program import REDUCTIONS, Instruction, Program
from tp_lava.numbers import Format
from tp_lava.ranges.intervals import HUGE, Array, Axes, Interval, assumed, either, in_step, instruction, pieces

_CLAMPED = {"min": 0, "select": 2}  # which argument of a saturating instruction is clamped
_FUNCTIONS = ("piecewise", "shift_right", "and")  # what makes it worth while to look at a function octave by octave


class Evaluator:
    """A program ready to be evaluated on intervals. sizes: axis -> its full length, where some port has it."""

    def __init__(self, program: Program, sizes: Mapping[str, int]) -> None:
        self.program, self._axes = program, Axes(program.axes, sizes)
        self._producer = {i.result: i for i in program.instructions}
        self._ancestors: dict[int, frozenset[int]] = {}
        for _, index in program.reads:
            self._ancestors[index] = frozenset((index,))
        for i in program.instructions:
            self._ancestors[i.result] = frozenset((i.result,)).union(*(self._ancestors[a] for a in i.arguments))
        self._cones = dict(self._cones_of_one())
        self._again: dict[tuple[int, int, int], tuple[Instruction, ...]] = {}
        self._zeros: dict[int, int | None] = {}

    # What leads where ---------------------------------------------------------------------------
    def sources(self, index: int) -> tuple[str, ...]:
        """The ports a value is computed from."""
        return tuple(name for name, read in self.program.reads if read in self._ancestors[index])

    def leads_to(self, index: int) -> str:
        """The first port written with something that a value goes into."""
        return next((name for name, written in self.program.writes if index in self._ancestors[written]), "")

    def integrands(self, port: str) -> tuple[int, ...]:
        """The values added to a state at each run, if the program does nothing else to it but clamp it; else none."""
        start, index = dict(self.program.reads).get(port), dict(self.program.writes)[port]
        added: list[int] = []
        while index != start and start in self._ancestors[index]:
            i = self._producer[index]
            moving = [a for a in i.arguments if start in self._ancestors[a]]
            if i.saturates:
                index = i.arguments[_CLAMPED[i.op]]
            elif i.op == "add" and len(moving) == 1:
                added += [a for a in i.arguments if a != moving[0]]
                index = moving[0]
            else:
                return ()
        return tuple(added) if index == start else ()

    # Evaluation -----------------------------------------------------------------------------------
    def read(self, port: str, interval: Interval) -> Interval:
        """An interval with the port's axes, on all the program's."""
        axes = self.program.port(port).axes
        return interval.map(lambda array: on_axes(self.program.axes, array, axes))

    def written(self, port: str, values: Mapping[int, Interval]) -> Interval:
        """The inverse: what is written to a port, on the port's axes."""
        order = [self.program.axes.index(axis) for axis in self.program.port(port).axes]
        others = [n for n in range(len(self.program.axes)) if n not in order]
        found = values[dict(self.program.writes)[port]]
        return found.map(lambda array: np.transpose(array, [*order, *others]).reshape([array.shape[n] for n in order]))

    def clamped(self, i: Instruction) -> int:
        """What a saturating instruction clamps."""
        return i.arguments[_CLAMPED[i.op]]

    def values(self, reads: Mapping[str, Interval], wanted: str = "", clamped: bool = True) -> dict[int, Interval]:
        """Every value's interval. reads: port -> interval as `read` gives it.

        wanted: only what is needed for this port's write; clamped=False: as if nothing saturated.
        """
        needed = self._ancestors[dict(self.program.writes)[wanted]] if wanted else None
        values = dict(
            zip((index for _, index in self.program.reads), in_step([reads[name] for name, _ in self.program.reads]), strict=True)
        )
        narrower: dict[int, Interval] = {}
        for i in self.program.instructions:
            if needed is not None and i.result not in needed:
                continue
            branches = i.op == "select" and (clamped or not i.saturates)
            found = self._bounded(i, self._select(i, values, clamped), clamped) if branches else self._value(i, values, clamped)
            if i.result in narrower:
                found = found.meet(*narrower[i.result])
            elif i.result in self._cones and found.low.size == found.high.size == 1:
                narrower |= self._octaves(i.result, found, clamped)
            values[i.result] = found
        return values

    def _octaves(self, root: int, x: Interval, clamped: bool) -> dict[int, Interval]:
        """What all that is made of one number alone can be, each octave of it by itself."""
        values = {root: pieces(x)}
        for i in self._cones[root]:
            values[i.result] = self._value(i, values, clamped)
        return {index: interval.collapsed(0) for index, interval in values.items()}

    def _cones_of_one(self) -> Iterator[tuple[int, list[Instruction]]]:
        """(value, instructions made of it and of constants alone), where a function is among them."""
        constants = {i.result for i in self.program.instructions if i.op == "constant"}
        roots = {index: index for _, index in self.program.reads}
        for i in self.program.instructions:
            above = {roots[a] for a in i.arguments if a not in constants}
            roots[i.result] = above.pop() if len(above) == 1 and i.op not in REDUCTIONS else i.result
        for root in dict.fromkeys(roots.values()):
            cone = [i for i in self.program.instructions if roots[i.result] == root != i.result]
            if any(i.op in _FUNCTIONS for i in cone):
                used = constants.intersection(a for i in cone for a in i.arguments)
                yield root, [self._producer[index] for index in sorted(used)] + cone

    def _value(self, i: Instruction, values: Mapping[int, Interval], clamped: bool) -> Interval:
        """An instruction's result; of a select without what its condition says of its branches."""
        if i.saturates and not clamped:
            return values[self.clamped(i)]
        found = instruction(self._axes, i, *(values[index] for index in i.arguments))
        return self._bounded(i, self._at_least_one(i, found, values, clamped) if i.op == "sum" else found, clamped)

    def _bounded(self, i: Instruction, found: Interval, clamped: bool) -> Interval:
        """Within what the tracer proved, and HUGE."""
        value = self.program.values[i.result]
        if not clamped or value.low is None or value.high is None:
            return found.map(lambda array: np.clip(array, -HUGE, HUGE))
        return found.meet(value.low, value.high)

    def _select(self, i: Instruction, values: Mapping[int, Interval], clamped: bool) -> Interval:
        """The hull of the branches that can be taken, each under its condition, element by element."""
        condition = values[i.arguments[0]]
        a, can_a = self._under(i, 1, values, clamped)
        b, can_b = self._under(i, 2, values, clamped)
        return either(a, can_a & (condition.high > 0), b, can_b & (condition.low < 1))

    def _under(self, i: Instruction, branch: int, values: Mapping[int, Interval], clamped: bool) -> tuple[Interval, Array]:
        """A select's branch (1 where its condition is true, 2 where not) under that condition, and where that can be."""
        wanted, condition = i.arguments[branch], self._producer.get(i.arguments[0])
        plain = values[wanted]
        if condition is None or condition.op not in ("lt", "ge", "eq"):
            return plain, np.array(True)
        p, q = condition.arguments
        x, y = assumed(condition.op, branch == 1, values[p], values[q])
        possible = (x.low <= x.high) & (y.low <= y.high)
        again = {p: x, q: y}
        for step in self._steps_again(p, q, wanted):
            again[step.result] = self._value(step, {a: again.get(a, values[a]) for a in step.arguments}, clamped)
        return again.get(wanted, plain).meet(plain.low, plain.high), possible

    def _steps_again(self, p: int, q: int, wanted: int) -> tuple[Instruction, ...]:
        """What to compute again to have `wanted` from narrower p and q; nothing where a reduction mixes elements."""
        if (p, q, wanted) not in self._again:
            moved, steps = {p, q}, []
            for i in self.program.instructions:
                if i.result in self._ancestors[wanted] and i.result not in (p, q) and moved.intersection(i.arguments):
                    moved.add(i.result)
                    steps.append(i)
            self._again[p, q, wanted] = () if any(i.op in REDUCTIONS for i in steps) else tuple(steps)
        return self._again[p, q, wanted]

    def _at_least_one(self, i: Instruction, found: Interval, values: Mapping[int, Interval], clamped: bool) -> Interval:
        """A sum of functions of x - max x: at least that of the element that is zero."""
        start, x = self._attained(i), values[i.arguments[0]]
        if start is None or x.low.min() < 0:
            return found
        again = {start: self._axes.scalar(Interval.of(0, 0))}
        for step in self._steps_again(start, start, i.arguments[0]):
            again[step.result] = self._value(step, {a: again.get(a, values[a]) for a in step.arguments}, clamped)
        least = again[i.arguments[0]].low.min(axis=self.program.axes.index(i["axis"]), keepdims=True)
        return Interval(np.maximum(found.low, least), found.high)

    def _attained(self, i: Instruction) -> int | None:
        """x - max x, if a sum along the same axis is over a function of it alone: one of its elements is zero."""
        if i.result not in self._zeros:
            self._zeros[i.result] = next((d.result for d in self.program.instructions if self._is_below(d, i)), None)
        return self._zeros[i.result]

    def _is_below(self, d: Instruction, i: Instruction) -> bool:
        if d.op != "add" or d.result not in self._ancestors[i.arguments[0]]:
            return False
        negated = self._producer.get(d.arguments[1])
        top = self._producer.get(negated.arguments[0]) if negated and negated.op == "neg" else None
        if top is None or top.op != "max" or top.arguments[0] != d.arguments[0] or top["axis"] != i["axis"]:
            return False
        steps = self._steps_again(d.result, d.result, i.arguments[0])
        moved = {d.result, *(step.result for step in steps)}
        beside = {a for step in steps for a in step.arguments} - moved
        return i.arguments[0] in moved and not any(i["axis"] in self.program.values[a].axes for a in beside)


_STEPS = 4  # after which a state that still moves is bounded from above


# States -------------------------------------------------------------------------------------------
# A decaying sum or a membrane maps its interval X to F(X), and F only grows with X; so any X that holds the start and F(X)
# holds every step. The whole format is one, for what is written saturates. From it, each bound is halved down, element by
# element, as long as F(X) stays within X: the answer is proven whatever the program is, and the least one where F moves
# two points no further apart, as a decay, a clamp and a reset do. What only adds up (a score, a count) has none short of its
# format: it grows by at most its largest summand a step.


def closed(step: Callable[[Interval], Interval], start: Interval, format: Format) -> Interval:
    """The least interval found that contains `start` and what `step` makes of it. step: monotone, into the format."""
    x = start
    for _ in range(_STEPS):
        grown = x.hull(step(x))
        if grown.within(x):
            return x
        x = grown
    whole = Interval(np.full_like(x.low, format.low), np.full_like(x.high, format.high)).hull(start)
    high = _halved(lambda bound: Interval(whole.low, bound), x.high - 1, whole.high, lambda y: step(y).high <= y.high)
    low = _halved(lambda bound: Interval(bound, high), x.low + 1, whole.low, lambda y: step(y).low >= y.low)
    found = Interval(low, high)
    return found if step(found).within(found) else whole


def _halved(
    made: Callable[[np.ndarray], Interval], inside: np.ndarray, outside: np.ndarray, holds: Callable[[Interval], np.ndarray]
) -> np.ndarray:
    """The nearest bound to `inside`, which is too near, that holds, as `outside` does; element by element."""
    inside, outside = np.broadcast_arrays(inside, outside)
    while (apart := np.abs(outside - inside) > 1).any():
        middle = np.where(apart, (inside + outside) // 2, outside)
        good = holds(made(middle)) | ~apart
        inside, outside = np.where(good, inside, middle), np.where(good, middle, outside)
    return outside


def bits_needed(evaluator: Evaluator, port: str, reads: Mapping[str, Interval], format: Format) -> int:
    """How many bits more a decaying state would need never to saturate."""
    for more in count():
        whole = Format(format.bits + more, format.frac, format.signed)
        bound = evaluator.read(port, reads[port]).hull(Interval.of(whole.low, whole.high))
        found = evaluator.values({**reads, port: bound}, port, clamped=False)[dict(evaluator.program.writes)[port]]
        if found.within(bound):
            break
    return more


# Clamps: which of them can act, and which stand right before a port ---------------------------------


@dataclass(frozen=True)
class Clamp:
    """A clamp that can act. result: its value; base: bounds of what it clamps; low, high: to what."""

    result: int
    base: tuple[int, int]
    low: int
    high: int

    @property
    def excess(self) -> int:
        """Steps of the mantissa that it takes off in the worst case."""
        return max(self.base[1] - self.high, self.low - self.base[0])

    @property
    def note(self) -> str:
        """By how much."""
        ends = zip(self.base, (self.low, self.high), strict=True)
        return f"up to {max(found / limit for found, limit in ends if limit):.3g} times what it holds, in the worst case"


def acting_clamps(evaluator: Evaluator, values: Mapping[int, Interval]) -> Iterator[Clamp]:
    """The clamps that can act; a min and a select that follow each other are one."""
    producer = {i.result: i for i in evaluator.program.instructions}
    inner = {evaluator.clamped(i) for i in evaluator.program.instructions if i.saturates}
    for i in evaluator.program.instructions:
        if not i.saturates or i.result in inner or i.result not in values:
            continue
        low, high, last = None, None, i
        while True:
            limit = producer[last.arguments[1]]["value"]
            low, high = (limit, high) if last.op == "select" else (low, limit)
            following = producer.get(evaluator.clamped(last))
            if following is None or not following.saturates:
                break
            last = following
        base = values[evaluator.clamped(last)].bounds
        low, high = base[0] if low is None else low, base[1] if high is None else high
        if base[0] < low or base[1] > high:
            yield Clamp(i.result, base, low, high)


def values_written(evaluator: Evaluator, port: str) -> set[int]:
    """The value a port is written with, and those it was before the clamps it has just come through."""
    producer = {i.result: i for i in evaluator.program.instructions}
    index, found = dict(evaluator.program.writes)[port], set[int]()
    while index not in found:
        found.add(index)
        i = producer.get(index)
        if i is not None and i.saturates:
            index = evaluator.clamped(i)
        elif i is not None and i.op == "add":  # of a zero: the value on more axes
            zeros = {a for a in i.arguments if a in producer and producer[a].op == "constant" and producer[a]["value"] == 0}
            index = next((a for a in i.arguments if zeros and a not in zeros), index)
    return found
