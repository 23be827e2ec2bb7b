"""Arithmetic in public instructions, on any number of registers: products rounded as programs ask for it, shifts, tables."""

from __future__ import annotations

from typing import NamedTuple

from tp_lava.backends.loihi2.listing import WORD_HIGH, Constant, Line, Register, Source
from tp_lava.dynamics.piecewise import Piecewise
from tp_lava.errors import NumberRangeError
from tp_lava.numbers import REGISTER_BITS

Group = tuple[Line, ...]
Range = tuple[int, int]
_ZERO: Source = Constant(0)
_LARGEST_POWER = REGISTER_BITS - 2  # 2**30 is the largest power of two in a register


class Ranged(NamedTuple):
    """An operand and its proven interval."""

    source: Source
    low: int
    high: int

    @property
    def width(self) -> int:
        """Bits of its magnitude."""
        return max(-self.low, self.high).bit_length()


def fits(low: int, high: int) -> bool:
    """Whether an interval lies in a register."""
    return low >= -WORD_HIGH and high <= WORD_HIGH


def _product_range(a: Ranged, b: Ranged) -> Range:
    corners = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
    return min(corners), max(corners)


class Arithmetic:
    """Groups of instructions, in order; what has been computed is not computed again. name: of the program, for errors."""

    def __init__(self, name: str, branch_free: bool) -> None:
        self.name, self.branch_free = name, branch_free
        self.groups: list[Group] = []
        self._registers = 0
        self._same: dict[tuple, Register] = {}

    def _fresh(self) -> Register:
        self._registers += 1
        return Register(self._registers - 1)

    def emit(self, op: str, *sources: Source, shift: int = 0) -> Register:
        """One instruction, unless its result is at hand."""
        key = (op, sources, shift)
        if key not in self._same:
            self._same[key] = self._fresh()
            self.groups.append((Line(op, self._same[key], sources, shift),))
        return self._same[key]

    def add(self, a: Source, b: Source) -> Source:
        """a + b."""
        if _ZERO in (a, b):
            return a if b == _ZERO else b
        return self.emit("ADD", a, b)

    def larger(self, a: Source, b: Source) -> Source:
        """The larger of a and b."""
        return self.emit("SEL", self.emit("LT", a, b), b, a)

    def shifted(self, a: Source, by: int) -> Source:
        """a << by; there is no right shift, so that is a product with one."""
        if by == 0:
            return a
        if by > 0:
            return self.emit("SHL", a, Constant(by))
        return self.emit("MUL_SHR", a, Constant(1), shift=min(-by, REGISTER_BITS - 1))

    def times(self, a: Source, b: Source, shift: int = 0) -> Source:
        """(a * b) >> shift, rounding down."""
        for x, y in ((a, b), (b, a)):
            if y == Constant(1):
                return self.shifted(x, -shift)
        return self.emit("MUL_SHR", a, b, shift=shift)

    # Products -------------------------------------------------------------------------------------
    def product(self, a: Ranged, b: Ranged, shift: int, rounding: str) -> Source:
        """(a * b) >> shift. rounding: "floor", "zero" or "nearest", half up."""
        low, high = _product_range(a, b)
        if shift == 0 or rounding == "floor" or (rounding == "zero" and low >= 0):
            return self.times(a.source, b.source, shift)
        if rounding == "zero":
            return self._toward_zero(a, b, shift)
        if fits(low >> (shift - 1), (high >> (shift - 1)) + 1):  # half up: one bit more, plus one, halved
            return self.shifted(self.add(self.times(a.source, b.source, shift - 1), Constant(1)), -1)
        half = 1 << (shift - 1)
        return self.shifted_sum(a, b, Ranged(Constant(half), half, half), shift, ((low + half) >> shift, (high + half) >> shift))

    def _toward_zero(self, a: Ranged, b: Ranged, shift: int) -> Source:
        """Where the product is negative, the other sign's product is rounded down."""
        a, b = (b, a) if a.low >= 0 else (a, b)
        x, y = a.source, b.source
        positive: Source = self.emit("GE", x, _ZERO)
        if b.low < 0:
            positive = self.emit("EQ", positive, self.emit("GE", y, _ZERO))
        if self.branch_free:
            other = self.emit("NEG", self.times(self.emit("NEG", x), y, shift))
            return self.emit("SEL", positive, self.times(x, y, shift), other)
        result = self._fresh()
        negated = Line("NEG", result, (x,)), Line("MUL_SHR", result, (result, y), shift), Line("NEG", result, (result,))
        self.groups.append((Line("MUL_SHR", result, (x, y), shift), Line("SKP_C", None, (positive,), skip=3), *negated))
        return result

    def shifted_sum(self, a: Ranged, b: Ranged, c: Ranged, shift: int, result: Range) -> Source:
        """(a*b + c) >> shift, proven to lie in `result`, where the sum may be wider than a register.

        With a = 2**h*upper + lower, it is (upper*b + ((lower*b + c) >> h)) >> (shift - h), exactly: h bits are shifted out at a time.
        """
        left = shift
        while not self._sum_fits(a, b, c) and (left > 0 or not fits(result[0] - c.high, result[1] - c.low)):
            a, b = (a, b) if a.width >= b.width else (b, a)
            h = min(left, _LARGEST_POWER - b.width)
            if h < 1:
                raise NumberRangeError(
                    f"{self.name}: a product that is rounded by {shift} bits and then reaches {max(-result[0], result[1])} "
                    f"cannot be computed in registers of {REGISTER_BITS} bits; use fewer bits.",
                    obj=self.name,
                    attr="mul",
                )
            c = self._shifted_out(a, b, c, h)
            a = Ranged(self.shifted(a.source, -h), a.low >> h, a.high >> h)
            left -= h
        return self.shifted(self.add(self.times(a.source, b.source), c.source), -left)

    @staticmethod
    def _sum_fits(a: Ranged, b: Ranged, c: Ranged) -> bool:
        low, high = _product_range(a, b)
        return fits(low, high) and fits(low + c.low, high + c.high)

    def _shifted_out(self, a: Ranged, b: Ranged, c: Ranged, h: int) -> Ranged:
        """((a mod 2**h) * b + c) >> h."""
        mask = Constant(2**h - 1)
        low, high = _product_range(Ranged(mask, 0, mask.value), b)
        below, above = c.source, _ZERO
        if not fits(low + c.low, high + c.high):  # c's upper bits join later
            below, above = self.emit("AND", c.source, mask), self.shifted(c.source, -h)
        lower = self.times(self.emit("AND", a.source, mask), b.source)
        carried = self.add(self.shifted(self.add(lower, below), -h), above)
        return Ranged(carried, (low + c.low) >> h, (high + c.high) >> h)

    def shift_right(self, a: Ranged, count: Ranged) -> Source:
        """a >> count by a register: times 2**(30 - count), shifted by 30."""
        last = _LARGEST_POWER
        if isinstance(count.source, Constant):
            return self.shifted(a.source, -count.source.value)
        near = self.emit("MIN", count.source, Constant(last)) if count.high > last else count.source
        power = self.emit("SHL", Constant(1), self.add(self.emit("NEG", near), Constant(last)))
        shifted = self.times(a.source, power, last)
        if count.high > last and a.width > last:
            return self.emit("SEL", self.emit("LT", Constant(last), count.source), self.shifted(a.source, -last - 1), shifted)
        return shifted

    # Tables ---------------------------------------------------------------------------------------
    def table(self, table: Piecewise, x: Ranged) -> Source:
        """The segment is found by a tree of jumps, or by selects; then one product and one sum."""
        begin = max(k for k, start in enumerate(table.start) if start <= max(x.low, 0))
        segments = [k for k, start in enumerate(table.start) if k >= begin and start <= x.high]
        slope, offset = (self._selected if self.branch_free else self._jumped)(table, x.source, segments)
        return self.shifted(self.add(self.times(x.source, slope), offset), -table.shift)

    def _selected(self, table: Piecewise, x: Source, segments: list[int]) -> tuple[Source, Source]:
        slope: Source = Constant(table.slope[segments[0]])
        offset: Source = Constant(table.offset[segments[0]])
        for k in segments[1:]:
            reached = self.emit("GE", x, Constant(table.start[k]))
            slope = self.emit("SEL", reached, Constant(table.slope[k]), slope)
            offset = self.emit("SEL", reached, Constant(table.offset[k]), offset)
        return slope, offset

    def _jumped(self, table: Piecewise, x: Source, segments: list[int]) -> tuple[Source, Source]:
        if len(segments) == 1:
            return Constant(table.slope[segments[0]]), Constant(table.offset[segments[0]])
        if (key := ("table", x, table)) in self._same:
            slope = self._same[key]
            return slope, Register(slope.number + 1)
        slope, offset, reached = self._fresh(), self._fresh(), self._fresh()
        self._same[key] = slope
        columns = ((slope, table.slope), (offset, table.offset))

        def tree(segments: list[int], after: int) -> list[Line]:
            """Lines that choose among segments; after: lines between their end and the tree's."""
            if len(segments) == 1:
                loads = [Line("MOV", target, (Constant(column[segments[0]]),)) for target, column in columns]
                return loads + ([Line("JMP_C", None, (Constant(1),), skip=after)] if after else [])
            half = len(segments) // 2
            right = tree(segments[half:], after)
            left = tree(segments[:half], after + len(right))
            decided = Line("GE", reached, (x, Constant(table.start[segments[half]])))
            return [decided, Line("JMP_C", None, (reached,), skip=len(left)), *left, *right]

        self.groups.append(tuple(tree(segments, 0)))
        return slope, offset
