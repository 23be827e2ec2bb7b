"""Lowering: a fixed Program, value by value, into groups of public instructions on any number of registers.

Every value is computed where it is first needed, once (equal computations are shared, what is constant by its proven interval is a
constant, and nothing else is computed). Axes over which a program sums are unrolled: a neuron goes through them by itself. A
group is one instruction, or several between which no register may be spilled because not every neuron carries out all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from tp_lava.dynamics.piecewise import Piecewise
from tp_lava.dynamics.program import REDUCTIONS, Instruction, Port, Program
from tp_lava.errors import NumberRangeError
from tp_lava.numbers import REGISTER_BITS
from tp_lava.backends.loihi2.listing import WORD_HIGH, Constant, Line, Random, Register, Source, Word

Group = tuple[Line, ...]
Range = tuple[int, int]
_DIRECT = {"neg": "NEG", "min": "MIN", "and": "AND", "lt": "LT", "ge": "GE", "eq": "EQ", "select": "SEL"}
_ZERO: Source = Constant(0)
_LARGEST_POWER = REGISTER_BITS - 2  # 2**30 is the largest power of two in a register


class Node(NamedTuple):
    """A value at one place of the unrolled axes; part: of a reduction, how many elements it has so far."""

    value: int
    element: tuple[tuple[str, int], ...]
    part: int = -1


class Ranged(NamedTuple):
    """An operand and its proven interval."""

    source: Source
    low: int
    high: int

    @property
    def width(self) -> int:
        """Bits of its magnitude."""
        return _width((self.low, self.high))


def lower(program: Program, unrolled: Mapping[str, int], accumulators: Collection[str], *, branch_free: bool) -> list[Group]:
    """The program's groups of instructions, in order."""
    return _Lowering(program, unrolled, accumulators, branch_free).groups


def elements(axes: Collection[str], unrolled: Mapping[str, int]) -> list[tuple[tuple[str, int], ...]]:
    """Every place on those axes that are unrolled."""
    places: list[tuple[tuple[str, int], ...]] = [()]
    for axis, size in unrolled.items():
        if axis in axes:
            places = [(*place, (axis, index)) for place in places for index in range(size)]
    return places


def fits(low: int, high: int) -> bool:
    """Whether an interval lies in a register."""
    return low >= -WORD_HIGH and high <= WORD_HIGH


def _product_range(a: Range, b: Range) -> Range:
    corners = [x * y for x in a for y in b]
    return min(corners), max(corners)


class _Lowering:
    def __init__(self, program: Program, unrolled: Mapping[str, int], accumulators: Collection[str], branch_free: bool) -> None:
        self.program, self.unrolled, self.accumulators, self.branch_free = program, unrolled, accumulators, branch_free
        self.groups: list[Group] = []
        self._registers = 0
        self._made = {i.result: i for i in program.instructions}
        self._port_of = {index: program.port(name) for name, index in program.reads}
        self._done: dict[Node, Source] = {}
        self._same: dict[tuple, Register] = {}
        self._events: dict[int, Port] = {}  # value of a spike -> the port that SPIKE itself is
        for name, index in program.writes:
            if index in self._made and self._made[index].op == "spike" and program.port(name).role == "output":
                self._events.setdefault(index, program.port(name))
        for name, index in program.writes:
            self._write(program.port(name), index)

    # Values ---------------------------------------------------------------------------------------
    def _node(self, index: int, element: tuple[tuple[str, int], ...], part: int = -1) -> Node:
        axes = self.program.values[index].axes
        return Node(index, tuple((axis, at) for axis, at in element if axis in axes), part)

    def _demand(self, wanted: Node) -> Source:
        """The operand that holds a value, computed with all it needs if that has not been done."""
        waiting = [wanted]
        while waiting:
            node = waiting[-1]
            missing = [need for need in self._needs(node) if need not in self._done] if node not in self._done else []
            if missing:
                waiting.append(missing[0])
                continue
            if node not in self._done:
                self._done[node] = self._compute(node)
            waiting.pop()
        return self._done[wanted]

    def _constant(self, index: int) -> Constant | None:
        value = self.program.values[index]
        return Constant(value.low) if value.low is not None and value.low == value.high else None

    def _needs(self, node: Node) -> list[Node]:
        index, element, part = node
        if index in self._port_of or self._constant(index):
            return []
        i = self._made[index]
        if i.op not in REDUCTIONS:
            return [self._node(a, element) for a in i.arguments]
        axis = str(i["axis"])
        if part < 0:
            along = axis in self.program.values[i.arguments[0]].axes
            return [Node(index, element, self.unrolled[axis] if along else 1)]
        before = [Node(index, element, part - 1)] if part > 1 else []
        return [*before, self._along(i, element, part - 1)]

    def _along(self, i: Instruction, element: tuple[tuple[str, int], ...], at: int) -> Node:
        """The argument of a reduction at one place of its axis, in the order of the unrolled axes."""
        places = {**dict(element), str(i["axis"]): at}
        return self._node(i.arguments[0], tuple((axis, places[axis]) for axis in self.unrolled if axis in places))

    def _compute(self, node: Node) -> Source:
        index, element, _ = node
        if constant := self._constant(index):
            return constant
        if index in self._port_of:
            return self._load(self._port_of[index], element)
        i = self._made[index]
        operands = [self._done[need] for need in self._needs(node)]
        if i.op in REDUCTIONS:
            return operands[0] if len(operands) == 1 else self._reduced(i.op, *operands)
        if i.op == "random":
            value = self.program.values[index]
            return self._emit("MOV", Random(int(i["bits"]), int(i["salt"]), value.axes, element))
        if i.op == "spike":
            port = self._events.get(index)
            self.groups.append((Line("SPIKE", self._word(port, element, "event") if port else None, (operands[0],)),))
            return operands[0]
        return self._instruction(i, operands)

    def _range(self, index: int) -> Range:
        value = self.program.values[index]
        return (0, 1) if value.low is None or value.high is None else (value.low, value.high)

    # Memory ---------------------------------------------------------------------------------------
    def _word(self, port: Port, element: tuple[tuple[str, int], ...], kind: str = "") -> Word:
        shared = self.program.axes[-1] not in port.axes
        return Word(port.name, kind or port.role, port.format, shared, tuple((a, at) for a, at in element if a in port.axes))

    def _load(self, port: Port, element: tuple[tuple[str, int], ...]) -> Register:
        if port.name in self.accumulators:
            return self._emit("RDC", self._word(port, element, "accumulator"))
        return self._emit("RMW", self._word(port, element))

    def _write(self, port: Port, index: int) -> None:
        event = self._events.get(index) is port
        for element in elements(port.axes, self.unrolled):
            result = self._demand(self._node(index, element))
            if event:
                continue
            for read, of in self._port_of.items():  # what was there is read before it is written over
                if of is port:
                    self._demand(self._node(read, element))
            self.groups.append((Line("RMW", self._word(port, element), (result,)),))

    # Instructions ---------------------------------------------------------------------------------
    def _fresh(self) -> Register:
        self._registers += 1
        return Register(self._registers - 1)

    def _emit(self, op: str, *sources: Source, shift: int = 0) -> Register:
        """One instruction, unless its result is at hand."""
        key = (op, sources, shift)
        if key not in self._same:
            self._same[key] = self._fresh()
            self.groups.append((Line(op, self._same[key], sources, shift),))
        return self._same[key]

    def _instruction(self, i: Instruction, a: list[Source]) -> Source:
        ranges = [self._range(index) for index in i.arguments]
        match i.op:
            case "add":
                return self._sum(a[0], a[1])
            case "mul":
                return self._product(a, ranges, int(i["shift"]), str(i["rounding"]))
            case "mul_random":
                terms = [Ranged(source, *interval) for source, interval in zip(a, ranges, strict=True)]
                return self._shifted_sum(terms[0], terms[1], terms[2], int(i["shift"]), self._range(i.result))
            case "shift":
                return self._moved(a[0], int(i["by"]))
            case "shift_right":
                return self._shift_right(a, ranges)
            case "piecewise":
                return self._table(i["table"], a[0], ranges[0])
        return self._emit(_DIRECT[i.op], *a)

    def _reduced(self, op: str, a: Source, b: Source) -> Source:
        return self._sum(a, b) if op == "sum" else self._emit("SEL", self._emit("LT", a, b), b, a)

    def _sum(self, a: Source, b: Source) -> Source:
        if Constant(0) in (a, b):
            return a if b == Constant(0) else b
        return self._emit("ADD", a, b)

    def _moved(self, a: Source, by: int) -> Source:
        """a << by; there is no right shift, so that is a product with one."""
        if by == 0:
            return a
        if by > 0:
            return self._emit("SHL", a, Constant(by))
        return self._emit("MUL_SHR", a, Constant(1), shift=min(-by, REGISTER_BITS - 1))

    def _times(self, a: Source, b: Source, shift: int = 0) -> Source:
        """(a * b) >> shift, rounding down."""
        for x, y in ((a, b), (b, a)):
            if y == Constant(1):
                return self._moved(x, -shift)
        return self._emit("MUL_SHR", a, b, shift=shift)

    # Products -------------------------------------------------------------------------------------
    def _product(self, a: list[Source], ranges: list[Range], shift: int, rounding: str) -> Source:
        low, high = _product_range(*ranges)
        if shift == 0 or rounding == "floor" or (rounding == "zero" and low >= 0):
            return self._times(a[0], a[1], shift)
        if rounding == "zero":
            return self._toward_zero(a, ranges, shift)
        if fits(low >> (shift - 1), (high >> (shift - 1)) + 1):  # half up: one bit more, plus one, halved
            return self._moved(self._sum(self._times(a[0], a[1], shift - 1), Constant(1)), -1)
        half = 1 << (shift - 1)
        x, y = (Ranged(source, *interval) for source, interval in zip(a, ranges, strict=True))
        return self._shifted_sum(x, y, Ranged(Constant(half), half, half), shift, ((low + half) >> shift, (high + half) >> shift))

    def _toward_zero(self, a: list[Source], ranges: list[Range], shift: int) -> Source:
        """Where the product is negative, the other sign's product is rounded down."""
        (x, y), (x_range, y_range) = a, ranges
        if x_range[0] >= 0:
            x, y, x_range, y_range = y, x, y_range, x_range
        positive: Source = self._emit("GE", x, Constant(0))
        if y_range[0] < 0:
            positive = self._emit("EQ", positive, self._emit("GE", y, Constant(0)))
        if self.branch_free:
            other = self._emit("NEG", self._times(self._emit("NEG", x), y, shift))
            return self._emit("SEL", positive, self._times(x, y, shift), other)
        result = self._fresh()
        self.groups.append(
            (
                Line("MUL_SHR", result, (x, y), shift),
                Line("SKP_C", None, (positive,), skip=3),
                Line("NEG", result, (x,)),
                Line("MUL_SHR", result, (result, y), shift),
                Line("NEG", result, (result,)),
            )
        )
        return result

    def _shifted_sum(self, a: Ranged, b: Ranged, c: Ranged, shift: int, result: Range) -> Source:
        """(a*b + c) >> shift, proven to lie in `result`, where the sum may be wider than a register.

        With a = 2**h*upper + lower, it is (upper*b + ((lower*b + c) >> h)) >> (shift - h), exactly: h bits are shifted out at a time.
        """
        left = shift
        while not self._sum_fits(a, b, c) and (left > 0 or not fits(result[0] - c.high, result[1] - c.low)):
            a, b = (a, b) if a.width >= b.width else (b, a)
            h = min(left, _LARGEST_POWER - b.width)
            if h < 1:
                raise NumberRangeError(
                    f"{self.program.name}: a product that is rounded by {shift} bits and then reaches {max(-result[0], result[1])} "
                    f"cannot be computed in registers of {REGISTER_BITS} bits; use fewer bits.",
                    obj=self.program.name,
                    attr="mul",
                )
            c = self._shifted_out(a, b, c, h)
            a = Ranged(self._moved(a.source, -h), a.low >> h, a.high >> h)
            left -= h
        return self._moved(self._sum(self._times(a.source, b.source), c.source), -left)

    @staticmethod
    def _sum_fits(a: Ranged, b: Ranged, c: Ranged) -> bool:
        low, high = _product_range((a.low, a.high), (b.low, b.high))
        return fits(low, high) and fits(low + c.low, high + c.high)

    def _shifted_out(self, a: Ranged, b: Ranged, c: Ranged, h: int) -> Ranged:
        """((a mod 2**h) * b + c) >> h."""
        mask = Constant(2**h - 1)
        low, high = _product_range((0, mask.value), (b.low, b.high))
        below, above = c.source, _ZERO
        if not fits(low + c.low, high + c.high):  # c's upper bits join later
            below, above = self._emit("AND", c.source, mask), self._moved(c.source, -h)
        lower = self._times(self._emit("AND", a.source, mask), b.source)
        carried = self._sum(self._moved(self._sum(lower, below), -h), above)
        return Ranged(carried, (low + c.low) >> h, (high + c.high) >> h)

    def _shift_right(self, a: list[Source], ranges: list[Range]) -> Source:
        """a >> b by a register: times 2**(30 - b), shifted by 30."""
        (x, count), last = a, _LARGEST_POWER
        if isinstance(count, Constant):
            return self._moved(x, -count.value)
        near = self._emit("MIN", count, Constant(last)) if ranges[1][1] > last else count
        power = self._emit("SHL", Constant(1), self._sum(self._emit("NEG", near), Constant(last)))
        shifted = self._times(x, power, last)
        if ranges[1][1] > last and _width(ranges[0]) > last:
            return self._emit("SEL", self._emit("LT", Constant(last), count), self._moved(x, -last - 1), shifted)
        return shifted

    # Tables ---------------------------------------------------------------------------------------
    def _table(self, table: Piecewise, x: Source, interval: Range) -> Source:
        """The segment is found by a tree of jumps, or by selects; then one product and one sum."""
        begin = max(k for k, start in enumerate(table.start) if start <= max(interval[0], 0))
        segments = [k for k, start in enumerate(table.start) if k >= begin and start <= interval[1]]
        slope, offset = self._selected(table, x, segments) if self.branch_free else self._jumped(table, x, segments)
        return self._moved(self._sum(self._times(x, slope), offset), -table.shift)

    def _selected(self, table: Piecewise, x: Source, segments: list[int]) -> tuple[Source, Source]:
        slope: Source = Constant(table.slope[segments[0]])
        offset: Source = Constant(table.offset[segments[0]])
        for k in segments[1:]:
            reached = self._emit("GE", x, Constant(table.start[k]))
            slope = self._emit("SEL", reached, Constant(table.slope[k]), slope)
            offset = self._emit("SEL", reached, Constant(table.offset[k]), offset)
        return slope, offset

    def _jumped(self, table: Piecewise, x: Source, segments: list[int]) -> tuple[Source, Source]:
        if len(segments) == 1:
            return Constant(table.slope[segments[0]]), Constant(table.offset[segments[0]])
        if (key := ("table", x, table)) in self._same:
            slope = self._same[key]
            return slope, Register(slope.number + 1)
        slope, offset, reached = self._fresh(), self._fresh(), self._fresh()
        self._same[key] = slope

        def tree(segments: list[int], after: int) -> list[Line]:
            """Lines that choose among segments; after: lines between their end and the tree's."""
            if len(segments) == 1:
                loads = [Line("MOV", target, (Constant(column[segments[0]]),)) for target, column in columns]
                return loads + ([Line("JMP_C", None, (Constant(1),), skip=after)] if after else [])
            half = len(segments) // 2
            right = tree(segments[half:], after)
            left = tree(segments[:half], after + len(right))
            return [
                Line("GE", reached, (x, Constant(table.start[segments[half]]))),
                Line("JMP_C", None, (reached,), skip=len(left)),
                *left,
                *right,
            ]

        columns = ((slope, table.slope), (offset, table.offset))
        self.groups.append(tuple(tree(segments, 0)))
        return slope, offset


def _width(interval: Range) -> int:
    return max(-interval[0], interval[1]).bit_length()
