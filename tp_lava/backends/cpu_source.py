"""Renders a program as Python source for Numba: typed scalar code in the nests of its loop form.

Fixed programs run on 32-bit integers (products that need it on 64), real ones on float32. What is
invariant in an inner loop is loaded outside it, so that LLVM can vectorise the innermost axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tp_lava.dynamics.piecewise import Piecewise
from tp_lava.dynamics.program import REDUCTIONS, Instruction, Program, Value
from tp_lava.numbers import REGISTER_BITS
from tp_lava.backends.loops import Loop, LoopForm, Nest, loop_form, nests_of

_NARROW = 2 ** (REGISTER_BITS - 1) - 1
_APPLY = {"exp2": "exp2({})", "log2": "np.log2({})", "sqrt": "np.sqrt({})", "reciprocal": "f32(1.0) / {}"}


@dataclass(frozen=True)
class Scratch:
    """Memory that a program needs from one of its nests to a later one, over `axes`; what it holds before does not matter."""

    name: str
    axes: tuple[str, ...]
    dtype: Literal["bool", "int32", "float32"]


def scratch_of(program: Program) -> tuple[Scratch, ...]:
    """A program's scratch arrays, in the order in which its function takes them."""
    values = program.values
    return tuple(Scratch(f"s{index}", axes, _held_as(program, values[index])) for index, axes in loop_form(program).kept.items())


def _held_as(program: Program, value: Value) -> Literal["bool", "int32", "float32"]:
    return "bool" if value.boolean else "int32" if program.fixed else "float32"


def program_source(program: Program) -> str:
    """Source of `program(...)`: takes `key` if it draws random bits, then its ports in order, then its scratch arrays.

    Its tables are functions of the names that `tables_of` gives them.
    """
    arguments = (["key"] if program.uses_random else []) + [p.name for p in program.ports] + [s.name for s in scratch_of(program)]
    return "\n".join([f"def program({', '.join(arguments)}):", *program_body(program)]) + "\n"


def program_body(program: Program) -> list[str]:
    """The lines of that function."""
    return ScalarRenderer(program).render()


def tables_of(program: Program) -> dict[str, Piecewise]:
    """The piecewise-linear tables of a program by the name of their function."""
    tables = dict.fromkeys(i["table"] for i in program.instructions if i.op == "piecewise")
    return {f"table{number}": table for number, table in enumerate(tables) if isinstance(table, Piecewise)}


def table_source(table: Piecewise) -> str:
    """Source of `table(x)`: a chain of selects, which vectorises."""
    columns = {"offset": table.offset, "slope": table.slope}
    lines = ["def table(x):"]
    lines += [f"    {column}0 = i32({entries[0]})" for column, entries in columns.items()]
    for k in range(1, len(table.start)):
        lines.append(f"    past{k} = x >= i32({table.start[k]})")
        lines += [f"    {column}{k} = select(past{k}, i32({entries[k]}), {column}{k - 1})" for column, entries in columns.items()]
    k = len(table.start) - 1
    return "\n".join([*lines, f"    return i32(i32(i32(x * slope{k}) + offset{k}) >> {table.shift})"]) + "\n"


class ScalarRenderer:
    """A program as typed scalar code, here Python; other languages override how loops, loads and expressions are written."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.scalar = "i32" if program.fixed else "f32"
        self.form: LoopForm = loop_form(program)
        self.reads = {index: name for name, index in program.reads}
        self.constants = {i.result: i["value"] for i in program.instructions if i.op == "constant"}
        self.random = {int(i["salt"]): program.values[i.result].axes for i in program.instructions if i.op == "random"}
        self.lines: list[str] = []
        self.tables = {table: name for name, table in tables_of(program).items()}

    def render(self) -> list[str]:
        """The lines of the function's body."""
        for axis in self.program.axes:
            owner = next((p for p in self.program.ports if axis in p.axes), None)
            if owner:
                self._line(1, f"n_{axis} = {owner.name}.shape[{owner.axes.index(axis)}]")
        for salt in self.random:
            self._line(1, f"k{salt} = mix(u32(key), u32({salt}))")
        self._body(self.form.body, (), set())
        return self.lines

    def _line(self, depth: int, text: str) -> None:
        self.lines.append("    " * depth + text)

    # Loops ------------------------------------------------------------------------------------
    def _body(self, body: Sequence[Nest | Loop], axes: tuple[str, ...], known: set[int]) -> None:
        """What stands in the loops over `axes`. known: values that have names here."""
        depth = len(axes) + 1
        for index in self._loads(body, axes, known):
            self._define(depth, index, self._load(index))
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
                self._write(depth, port, value)

    def _loop(self, loop: Loop, axes: tuple[str, ...], known: set[int]) -> None:
        depth, inside = len(axes) + 1, (*axes, loop.axis)
        for index, first in self.form.begun.items():
            if first is loop:
                self._fill(depth, index)
        sums = [i for i in self._reduced(loop.body) if i["axis"] == loop.axis]
        for i in sums:
            self._accumulator(depth, i)
        self._open(depth, loop.axis)
        for salt in (int(i["salt"]) for path, nest in loop.nests() if len(path) > 1 for i in nest.instructions if i.op == "random"):
            self._row_key(depth + 1, salt, inside)
        self._body(loop.body, inside, set(known))
        self._close(depth)
        for i in sums:
            known.add(i.result)
            self._define(depth, i.result, f"a{i.result}")
            self._keep(depth, i.result)

    @staticmethod
    def _reduced(body: Sequence[Nest | Loop]) -> list[Instruction]:
        return [i for item in body if isinstance(item, Nest) for i in item.instructions if i.op in REDUCTIONS]

    def _loads(self, body: Sequence[Nest | Loop], axes: tuple[str, ...], known: set[int]) -> list[int]:
        """Values of ports and scratch arrays needed in a body, whose axes are all bound: they are loaded before its loops."""
        values = self.program.values
        needed = (index for _, nest in nests_of(body) for index in nest.uses if index not in known and index not in self.constants)
        from_memory = (index for index in needed if index in self.reads or (index in self.form.kept and index not in self._made(body)))
        found = dict.fromkeys(index for index in from_memory if set(values[index].axes) <= set(axes))
        known.update(found)
        return list(found)

    @staticmethod
    def _made(body: Sequence[Nest | Loop]) -> set[int]:
        return {i.result for _, nest in nests_of(body) for i in nest.instructions}

    def _open(self, depth: int, axis: str) -> None:
        self._line(depth, f"for i_{axis} in range(n_{axis}):")

    def _close(self, depth: int) -> None:
        """Python's loops end by themselves."""

    def _define(self, depth: int, index: int, text: str) -> None:
        self._line(depth, f"v{index} = {text}")

    def _accumulator(self, depth: int, i: Instruction) -> None:
        self._line(depth, f"a{i.result} = {self._neutral(i)}")

    def _fill(self, depth: int, index: int) -> None:
        """A reduction over an outer axis is gathered in scratch."""
        axes = self.form.kept[index]
        for further, axis in enumerate(axes):
            self._line(depth + further, f"for i_{axis} in range(n_{axis}):")
        self._line(depth + len(axes), f"{self._scratch_cell(index)} = {self._neutral(self._instruction_of(index))}")

    def _row_key(self, depth: int, salt: int, axes: tuple[str, ...]) -> None:
        self._line(depth, f"k{salt}_{len(axes)} = mix({self._key(salt, len(axes) - 1)}, u32(i_{axes[-1]}))")

    def _keep(self, depth: int, index: int) -> None:
        if index in self.form.kept:
            self._line(depth, f"{self._scratch_cell(index)} = v{index}")

    def _write(self, depth: int, port: str, value: int) -> None:
        self._line(depth, f"{port}[{self._index(self.program.port(port).axes)}] = {self._name(value)}")

    def _instruction_of(self, index: int) -> Instruction:
        return next(i for i in self.program.instructions if i.result == index)

    def _neutral(self, i: Instruction) -> str:
        if i.op == "sum":
            return f"{self.scalar}(0)"
        return f"i32({-_NARROW})" if self.program.fixed else "f32(-np.inf)"

    def _key(self, salt: int, depth: int) -> str:
        return f"k{salt}_{depth}" if depth else f"k{salt}"

    def _index(self, axes: tuple[str, ...]) -> str:
        return ", ".join(f"i_{a}" for a in axes) or "0"

    def _scratch_cell(self, index: int) -> str:
        return f"s{index}[{self._index(self.form.kept[index])}]"

    def _load(self, index: int) -> str:
        if index in self.reads:
            name = self.reads[index]
            return f"{self.scalar}({name}[{self._index(self.program.port(name).axes)}])"
        return self._scratch_cell(index)

    def _name(self, index: int) -> str:
        if index in self.constants:
            return f"{self.scalar}({self.constants[index]})"
        return f"v{index}"

    # One instruction --------------------------------------------------------------------------
    def _instruction(self, depth: int, i: Instruction, axes: tuple[str, ...]) -> None:
        names = [self._name(a) for a in i.arguments]
        if i.op in REDUCTIONS:
            target = f"a{i.result}" if i["axis"] == axes[-1] else self._scratch_cell(i.result)
            self._line(depth, self._reduced_into(target, i.op, names[0]))
        else:
            self._define(depth, i.result, self._expression(i, names))

    def _reduced_into(self, target: str, op: str, name: str) -> str:
        combined = f"{self.scalar}({target} + {name})" if op == "sum" else f"max({target}, {name})"
        return f"{target} = {combined}"

    def _expression(self, i: Instruction, a: list[str]) -> str:
        fixed, s = self.program.fixed, self.scalar
        match i.op:
            case "add":
                return f"{s}({a[0]} + {a[1]})"
            case "neg":
                return f"{s}(-{a[0]})"
            case "min":
                return f"min({a[0]}, {a[1]})"
            case "mul" | "mul_random":
                return self._product(i, a) if fixed else f"{a[0]} * {a[1]}"
            case "shift":
                by = int(i["by"])
                return a[0] if by == 0 else f"i32({a[0]} {'<<' if by > 0 else '>>'} {abs(by)})"
            case "shift_right":
                return f"i32({a[0]} >> {a[1]})"
            case "and":
                return f"i32({a[0]} & {a[1]})"
            case "lt" | "ge" | "eq":
                return f"{a[0]} { {'lt': '<', 'ge': '>=', 'eq': '=='}[i.op] } {a[1]}"
            case "select":
                return f"select({a[0]}, {a[1]}, {a[2]})"
            case "spike":
                return f"select({a[0]}, {s}(1), {s}(0))"
            case "random":
                salt = int(i["salt"])
                axes, drop = self.random[salt], REGISTER_BITS - int(i["bits"])
                index = f"u32(i_{axes[-1]})" if axes else "u32(0)"
                return f"i32(draw({self._key(salt, max(0, len(axes) - 1))}, {index}, u32({drop})))"
            case "piecewise":
                table = i["table"]
                assert isinstance(table, Piecewise)
                return f"{self.tables[table]}({a[0]})"
            case "apply":
                return _APPLY[str(i["function"])].format(a[0])
        raise ValueError(f"{self.program.name}: unknown instruction {i.op}")

    def _product(self, i: Instruction, a: list[str]) -> str:
        shift = int(i["shift"])
        wide = self._needs_product_register(i, shift)
        cast, sign = ("i64", 63) if wide else ("i32", 31)
        product = f"{cast}({cast}({a[0]}) * {cast}({a[1]}))"
        if i.op == "mul_random":
            return f"i32({cast}({product} + {cast}({a[2]})) >> {shift})"
        if shift == 0:
            return f"i32({product})"
        if i["rounding"] == "nearest":
            product = f"{cast}({product} + {cast}({1 << shift >> 1}))"
        elif i["rounding"] == "zero":
            product = f"{cast}({product} + ({cast}({product} >> {sign}) & {cast}({(1 << shift) - 1})))"
        return f"i32({product} >> {shift})"

    def _needs_product_register(self, i: Instruction, shift: int) -> bool:
        x, y = (self.program.values[index] for index in i.arguments[:2])
        return _magnitude(x) * _magnitude(y) + (1 << shift) > _NARROW


def _magnitude(value: Value) -> int:
    assert value.low is not None
    assert value.high is not None
    return max(abs(value.low), abs(value.high))
