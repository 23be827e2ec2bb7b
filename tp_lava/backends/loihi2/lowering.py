"""Lowering: a fixed Program, value by value, into groups of public instructions on any number of registers.

Every value is computed where it is first needed, once (equal computations are shared, what is constant by its proven interval is a
constant, and nothing else is computed). Axes over which a program sums are unrolled: a neuron goes through them by itself. A
group is one instruction, or several between which no register may be spilled because not every neuron carries out all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import NamedTuple

from tp_lava.backends.loihi2.arithmetic import Arithmetic, Group, Range, Ranged
from tp_lava.backends.loihi2.listing import NAME, Constant, Line, Random, Register, Source, Word
from tp_lava.backends.protocol import entry
from tp_lava.dynamics.program import REDUCTIONS, Instruction, Port, Program

Element = tuple[tuple[str, int], ...]  # an index on each unrolled axis


class Node(NamedTuple):
    """A value at one element of the unrolled axes; part: of a reduction, how many elements it has so far."""

    value: int
    element: Element
    part: int = -1


def lower(program: Program, unrolled: Mapping[str, int], accumulators: Collection[str], *, branch_free: bool) -> list[Group]:
    """The program's groups of instructions, in order. Raises InvalidValueError for an instruction that is not in the table."""
    return _Lowering(program, unrolled, accumulators, branch_free).code.groups


def elements(axes: Collection[str], unrolled: Mapping[str, int]) -> list[Element]:
    """Every element of those axes that are unrolled."""
    found: list[Element] = [()]
    for axis, size in unrolled.items():
        if axis in axes:
            found = [(*element, (axis, index)) for element in found for index in range(size)]
    return found


class _Lowering:
    def __init__(self, program: Program, unrolled: Mapping[str, int], accumulators: Collection[str], branch_free: bool) -> None:
        self.program, self.unrolled, self.accumulators = program, unrolled, accumulators
        self.code = Arithmetic(program.name, branch_free)
        self._made = {i.result: i for i in program.instructions}
        self._port_of = {index: program.port(name) for name, index in program.reads}
        self._done: dict[Node, Source] = {}
        self._events: dict[int, Port] = {}  # value of a spike -> the port that SPIKE itself is
        for name, index in program.writes:
            if index in self._made and self._made[index].op == "spike" and program.port(name).role == "output":
                self._events.setdefault(index, program.port(name))
        for name, index in program.writes:
            self._write(program.port(name), index)

    # Values ---------------------------------------------------------------------------------------
    def _node(self, index: int, element: Element) -> Node:
        axes = self.program.values[index].axes
        return Node(index, tuple((axis, at) for axis, at in element if axis in axes))

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

    def _along(self, i: Instruction, element: Element, at: int) -> Node:
        """The argument of a reduction at one index of its axis, in the order of the unrolled axes."""
        indices = {**dict(element), str(i["axis"]): at}
        return self._node(i.arguments[0], tuple((axis, indices[axis]) for axis in self.unrolled if axis in indices))

    def _compute(self, node: Node) -> Source:
        if constant := self._constant(node.value):
            return constant
        if node.value in self._port_of:
            return self._load(self._port_of[node.value], node.element)
        i, needs = self._made[node.value], self._needs(node)
        if i.op in REDUCTIONS and len(needs) == 1:
            return self._done[needs[0]]
        operands = (Ranged(self._done[need], *self.range(need.value)) for need in needs)
        return entry(NAME, "instruction", INSTRUCTION_TABLE, i.op, i.op)(self, node, i, *operands)

    def range(self, index: int) -> Range:
        """Proven interval of a value."""
        value = self.program.values[index]
        return (0, 1) if value.low is None or value.high is None else (value.low, value.high)

    # Memory ---------------------------------------------------------------------------------------
    def _word(self, port: Port, element: Element, kind: str = "") -> Word:
        shared = self.program.axes[-1] not in port.axes
        return Word(port.name, kind or port.role, port.format, shared, tuple((a, at) for a, at in element if a in port.axes))

    def _load(self, port: Port, element: Element) -> Register:
        if port.name in self.accumulators:
            return self.code.emit("RDC", self._word(port, element, "accumulator"))
        return self.code.emit("RMW", self._word(port, element))

    def _write(self, port: Port, index: int) -> None:
        event = self._events.get(index) is port
        for element in elements(port.axes, self.unrolled):
            result = self._demand(self._node(index, element))
            if event:
                continue
            for read, of in self._port_of.items():  # what was there is read before it is written over
                if of is port:
                    self._demand(self._node(read, element))
            self.code.groups.append((Line("RMW", self._word(port, element), (result,)),))

    def spike(self, node: Node, fired: Source) -> Source:
        """SPIKE, into the word of the port that the spike is written to, if any."""
        port = self._events.get(node.value)
        self.code.groups.append((Line("SPIKE", self._word(port, node.element, "event") if port else None, (fired,)),))
        return fired

    def random(self, node: Node, i: Instruction) -> Source:
        """Fresh random bits."""
        return self.code.emit("MOV", Random(int(i["bits"]), int(i["salt"]), self.program.values[node.value].axes, node.element))


# Instructions -------------------------------------------------------------------------------------


def _direct(name: str, lowering: _Lowering, node: Node, i: Instruction, *operands: Ranged) -> Source:
    return lowering.code.emit(name, *(operand.source for operand in operands))


_DIRECT = {"neg": "NEG", "min": "MIN", "and": "AND", "lt": "LT", "ge": "GE", "eq": "EQ", "select": "SEL"}
INSTRUCTION_TABLE: dict[object, Callable[..., Source]] = {
    **{op: partial(_direct, name) for op, name in _DIRECT.items()},
    "add": lambda lowering, node, i, a, b: lowering.code.add(a.source, b.source),
    "sum": lambda lowering, node, i, a, b: lowering.code.add(a.source, b.source),
    "max": lambda lowering, node, i, a, b: lowering.code.larger(a.source, b.source),
    "mul": lambda lowering, node, i, a, b: lowering.code.product(a, b, int(i["shift"]), i["rounding"]),
    "mul_random": lambda lowering, node, i, a, b, c: lowering.code.shifted_sum(a, b, c, int(i["shift"]), lowering.range(i.result)),
    "shift": lambda lowering, node, i, a: lowering.code.shifted(a.source, int(i["by"])),
    "shift_right": lambda lowering, node, i, a, b: lowering.code.shift_right(a, b),
    "piecewise": lambda lowering, node, i, x: lowering.code.table(i["table"], x),
    "random": lambda lowering, node, i: lowering.random(node, i),
    "spike": lambda lowering, node, i, fired: lowering.spike(node, fired.source),
}
