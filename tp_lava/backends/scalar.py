"""Renders a program as typed scalar code in the nests of its loop form; what a language writes is for its subclass to say.

What is invariant in an inner loop is loaded outside it, so that a compiler can vectorise the innermost axis. Names in the code:
<port>_in is what a port held before, <port>_out what it will hold, v<number> another value, s<number> scratch memory, a<number> a
reduction, i_<axis> and n_<axis> an index and its end, k<salt> a key of random bits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from tp_lava.backends.loops import Loop, LoopForm, Nest, loop_form, nests_of
from tp_lava.backends.protocol import entry
from tp_lava.dynamics.piecewise import Piecewise
from tp_lava.dynamics.program import REDUCTIONS, Instruction, Program, Value
from tp_lava.numbers import REGISTER_BITS

LARGEST = 2 ** (REGISTER_BITS - 1) - 1  # that a register holds
Expression = str | Callable[[Any, Instruction, Sequence[str]], str]  # see ScalarRenderer
Declared = Literal["", "value", "variable", "key"]  # what a statement makes: "" where it assigns to what is there


@dataclass(frozen=True)
class Scratch:
    """Memory that a program needs from one of its nests to a later one, over `axes`; what it holds before does not matter."""

    name: str
    axes: tuple[str, ...]
    dtype: Literal["bool", "int32", "float32"]


def scratch_of(program: Program, *, vectors: bool = False) -> tuple[Scratch, ...]:
    """A program's scratch arrays, in the order in which its function takes them. vectors: see loop_form."""
    values, kept = program.values, loop_form(program, vectors=vectors).kept
    return tuple(Scratch(_scratch_name(index), axes, _stored_as(program, values[index])) for index, axes in kept.items())


def _scratch_name(index: int) -> str:
    return f"s{index}"


def _stored_as(program: Program, value: Value) -> Literal["bool", "int32", "float32"]:
    return "bool" if value.boolean else "int32" if program.fixed else "float32"


def tables_of(program: Program) -> tuple[Piecewise, ...]:
    """The piecewise-linear tables of a program, each once."""
    return tuple(dict.fromkeys(i["table"] for i in program.instructions if i.op == "piecewise"))


class ScalarRenderer(ABC):
    """A program as code. tables: name of the function of each of its piecewise-linear tables.

    A language has `expressions`, one for each instruction: text with {0}, {1}, ... for the operands and {number} for the type of
    numbers, or a method (of a reduction, the operands are what was reduced so far and what comes); loop, loop_end: around a body, {0} an
    axis; signed, unsigned: {0} as a word of 32 bits.
    """

    back_end: ClassVar[str]
    expressions: ClassVar[Mapping[str, Expression]]
    loop: ClassVar[str]
    loop_end: ClassVar[str] = ""
    signed: ClassVar[str]
    unsigned: ClassVar[str]

    def __init__(self, program: Program, tables: Mapping[Piecewise, str]) -> None:
        self.program, self.tables = program, tables
        self.number = "i32" if program.fixed else "f32"
        self.form: LoopForm = loop_form(program)
        self.lines: list[str] = []
        self._reads = {index: name for name, index in program.reads}
        self._constants = {i.result: i["value"] for i in program.instructions if i.op == "constant"}
        self._names = {index: f"{port}_out" for port, index in program.writes} | {i: f"{port}_in" for i, port in self._reads.items()}

    # What a language writes -------------------------------------------------------------------
    @abstractmethod
    def head(self) -> list[str]:
        """Statements before all others."""

    @abstractmethod
    def statement(self, target: str, text: str, declared: Declared = "") -> str:
        """target = text."""

    @abstractmethod
    def load(self, port: str) -> str:
        """An element of a port's array, as a number."""

    @abstractmethod
    def store(self, port: str, text: str) -> str:
        """The statement that sets an element of a port's array."""

    @abstractmethod
    def cell(self, array: str, axes: tuple[str, ...]) -> str:
        """An element of an array."""

    @abstractmethod
    def literal(self, value: object) -> str:
        """A constant number; "-np.inf" for what is below all real ones."""

    # Structure --------------------------------------------------------------------------------
    def render(self) -> list[str]:
        """The lines of the function's body."""
        for line in self.head():
            self._line(1, line)
        for i in self.program.instructions:
            if i.op == "random":
                self._mix(1, i["salt"], 0, "key", i["salt"])
        self._body(self.form.body, (), set())
        return self.lines

    def _line(self, depth: int, text: str) -> None:
        self.lines.append("    " * depth + text)

    def _open(self, depth: int, axes: Sequence[str]) -> None:
        for further, axis in enumerate(axes):
            self._line(depth + further, self.loop.format(axis))

    def _close(self, depth: int, axes: Sequence[str]) -> None:
        for further in reversed(range(len(axes) if self.loop_end else 0)):
            self._line(depth + further, self.loop_end)

    def _body(self, body: Sequence[Nest | Loop], axes: tuple[str, ...], known: set[int]) -> None:
        """What stands in the loops over `axes`. known: values that have names here."""
        depth = len(axes) + 1
        for index in self._loads(body, axes, known):
            self._define(depth, index, self._loaded(index))
        for item in body:
            if isinstance(item, Loop):
                self._loop(item, axes, known)
                continue
            for i in item.instructions:
                self._instruction(depth, i, axes)
                if i.op not in REDUCTIONS:
                    known.add(i.result)
                    self._keep(depth, i.result)
            for port, value in item.writes:
                self._line(depth, self.store(port, self._name(value)))

    def _loop(self, loop: Loop, axes: tuple[str, ...], known: set[int]) -> None:
        depth, inside = len(axes) + 1, (*axes, loop.axis)
        for index, first in self.form.begun.items():
            if first is loop:
                self._fill(depth, index)
        reductions = [i for i in self._reduced(loop.body) if i["axis"] == loop.axis]
        for i in reductions:
            self._line(depth, self.statement(f"a{i.result}", self._neutral(i), "variable"))
        self._open(depth, [loop.axis])
        for salt in (i["salt"] for path, nest in loop.nests() if len(path) > 1 for i in nest.instructions if i.op == "random"):
            self._mix(depth + 1, salt, len(inside), self._key(salt, len(axes)), f"i_{loop.axis}")
        self._body(loop.body, inside, set(known))
        self._close(depth, [loop.axis])
        for i in reductions:
            known.add(i.result)
            self._define(depth, i.result, f"a{i.result}")
            self._keep(depth, i.result)

    @staticmethod
    def _reduced(body: Sequence[Nest | Loop]) -> list[Instruction]:
        return [i for item in body if isinstance(item, Nest) for i in item.instructions if i.op in REDUCTIONS]

    def _loads(self, body: Sequence[Nest | Loop], axes: tuple[str, ...], known: set[int]) -> list[int]:
        """Values of ports and scratch arrays needed in a body, whose axes are all bound: they are loaded before its loops."""
        made = {i.result for _, nest in nests_of(body) for i in nest.instructions}
        needed = (index for _, nest in nests_of(body) for index in nest.uses if index not in known and index not in self._constants)
        in_memory = (index for index in needed if index in self._reads or (index in self.form.kept and index not in made))
        found = dict.fromkeys(index for index in in_memory if set(self.program.values[index].axes) <= set(axes))
        known.update(found)
        return list(found)

    def _define(self, depth: int, index: int, text: str) -> None:
        self._line(depth, self.statement(self._name(index), text, "value"))

    def _fill(self, depth: int, index: int) -> None:
        """A reduction over an outer axis is gathered in scratch."""
        axes, reduction = self.form.kept[index], next(i for i in self.program.instructions if i.result == index)
        self._open(depth, axes)
        self._line(depth + len(axes), self.statement(self._scratch(index), self._neutral(reduction)))
        self._close(depth, axes)

    def _keep(self, depth: int, index: int) -> None:
        if index in self.form.kept:
            self._line(depth, self.statement(self._scratch(index), self._name(index)))

    def _neutral(self, i: Instruction) -> str:
        return self.literal(0 if i.op == "sum" else -LARGEST if self.program.fixed else "-np.inf")

    def _mix(self, depth: int, salt: int, within: int, key: str, word: object) -> None:
        """The key of a random instruction in so many loops."""
        mixed = f"mix({self.unsigned.format(key)}, {self.unsigned.format(word)})"
        self._line(depth, self.statement(self._key(salt, within), mixed, "key"))

    def _key(self, salt: int, depth: int) -> str:
        return f"k{salt}_{depth}" if depth else f"k{salt}"

    def _scratch(self, index: int) -> str:
        return self.cell(_scratch_name(index), self.form.kept[index])

    def _loaded(self, index: int) -> str:
        return self.load(self._reads[index]) if index in self._reads else self._scratch(index)

    def _name(self, index: int) -> str:
        return self.literal(self._constants[index]) if index in self._constants else self._names.get(index, f"v{index}")

    # One instruction --------------------------------------------------------------------------
    def _instruction(self, depth: int, i: Instruction, axes: tuple[str, ...]) -> None:
        operands = [self._name(a) for a in i.arguments]
        if i.op in REDUCTIONS:
            target = f"a{i.result}" if i["axis"] == axes[-1] else self._scratch(i.result)
            self._line(depth, self.statement(target, self._expression(i, [target, *operands])))
        else:
            self._define(depth, i.result, self._expression(i, operands))

    def _expression(self, i: Instruction, operands: Sequence[str]) -> str:
        expression = entry(self.back_end, "instruction", self.expressions, i.op, i.op)
        return expression.format(*operands, number=self.number) if isinstance(expression, str) else expression(self, i, operands)

    def random(self, i: Instruction, a: Sequence[str]) -> str:
        """What "random" gives."""
        axes = self.program.values[i.result].axes
        words = f"i_{axes[-1]}" if axes else "0", REGISTER_BITS - i["bits"]
        index, drop = (self.unsigned.format(word) for word in words)
        return self.signed.format(f"draw({self._key(i['salt'], max(0, len(axes) - 1))}, {index}, {drop})")

    def piecewise(self, i: Instruction, a: Sequence[str]) -> str:
        """What "piecewise" gives."""
        return f"{self.tables[i['table']]}({a[0]})"


def is_wide(program: Program, i: Instruction) -> bool:
    """Whether a product, before it is shifted, needs 64 bits."""
    x, y = (program.values[index] for index in i.arguments[:2])
    return _magnitude(x) * _magnitude(y) + (1 << i["shift"]) > LARGEST


def _magnitude(value: Value) -> int:
    assert value.low is not None
    assert value.high is not None
    return max(abs(value.low), abs(value.high))
