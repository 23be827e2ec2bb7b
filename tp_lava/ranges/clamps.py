"""The clamps of a program: which of them can act, and which stand right before a port."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tp_lava.ranges.evaluator import Evaluator
from tp_lava.ranges.intervals import Interval


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
