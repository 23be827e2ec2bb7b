"""Renders a program as Python source for Numba: typed scalar code in the nests of its loop form.

Fixed programs run on 32-bit integers (products that need it on 64), real ones on float32. What is
invariant in an inner loop is loaded outside it, so that LLVM can vectorise the innermost axis.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tp_lava.dynamics.piecewise import Piecewise
from tp_lava.dynamics.program import REDUCTIONS, Instruction, Program, Value
from tp_lava.numbers import REGISTER_BITS
from tp_lava.targets.loops import LoopForm, Nest, loop_form

_NARROW = 2 ** (REGISTER_BITS - 1) - 1
_APPLY = {"exp2": "np.exp2({})", "log2": "np.log2({})", "sqrt": "np.sqrt({})", "reciprocal": "f32(1.0) / {}"}


@dataclass(frozen=True)
class Scratch:
    """Memory that a program needs from one of its nests to a later one, over `axes`; what it holds before does not matter."""

    name: str
    axes: tuple[str, ...]
    dtype: Literal["bool_", "int32", "float32"]


def scratch_of(program: Program) -> tuple[Scratch, ...]:
    """A program's scratch arrays, in the order in which its function takes them."""
    values = program.values
    kept = (index for index in loop_form(program).kept if values[index].axes)
    return tuple(Scratch(f"s{index}", values[index].axes, _held_as(program, values[index])) for index in kept)


def _held_as(program: Program, value: Value) -> Literal["bool_", "int32", "float32"]:
    return "bool_" if value.boolean else "int32" if program.fixed else "float32"


def program_source(program: Program) -> str:
    """Source of `program(...)`: takes `key` if it draws random bits, then its ports in order, then its scratch arrays.

    Its tables are functions of the names that `tables_of` gives them.
    """
    return "\n".join(ScalarRenderer(program).render()) + "\n"


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
    """A program as typed scalar code, here Python; other languages override how loops and expressions are written."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.scalar = "i32" if program.fixed else "f32"
        self.form: LoopForm = loop_form(program)
        self.reads = {index: name for name, index in program.reads}
        self.constants = {i.result: i["value"] for i in program.instructions if i.op == "constant"}
        self.lines: list[str] = []
        self.tables = {table: name for name, table in tables_of(program).items()}

    def render(self) -> list[str]:
        """The lines of the function."""
        ports = [p.name for p in self.program.ports]
        arguments = (["key"] if self.program.uses_random else []) + ports + [s.name for s in scratch_of(self.program)]
        self.lines = [f"def program({', '.join(arguments)}):"]
        for axis in self.program.axes:
            owner = next((p for p in self.program.ports if axis in p.axes), None)
            if owner:
                self._line(1, f"n_{axis} = {owner.name}.shape[{owner.axes.index(axis)}]")
        for salt in self._salts(i for n in self.form.nests for i in n.instructions):
            self._line(1, f"k{salt} = mix(u32(key), u32({salt}))")
        for nest in self.form.nests:
            self._nest(nest)
        return self.lines

    def _line(self, depth: int, text: str) -> None:
        self.lines.append("    " * depth + text)

    @staticmethod
    def _salts(instructions: Iterable[Instruction]) -> list[int]:
        return [int(i["salt"]) for i in instructions if i.op == "random"]

    # One nest ---------------------------------------------------------------------------------
    def _nest(self, nest: Nest) -> None:
        loads, accumulators, salts = self._parts(nest)
        self._start(nest, accumulators)
        for depth in range(len(nest.domain) + 1):
            if depth:
                axis = nest.domain[depth - 1]
                if depth == len(nest.domain):
                    for i in accumulators:
                        self._line(depth, f"a{i.result} = {self._neutral(i)}")
                self._line(depth, f"for i_{axis} in range(n_{axis}):")
                for salt in salts if depth < len(nest.domain) else ():
                    self._line(depth + 1, f"k{salt}_{depth} = mix({self._key(salt, depth - 1)}, u32(i_{axis}))")
            for index in loads.get(depth, []):
                self._line(depth + 1, f"v{index} = {self._load(index)}")
        inner = len(nest.domain) + 1
        for instruction in nest.instructions:
            self._instruction(inner, instruction, salts, accumulators)
            if instruction.result in self.form.kept and instruction.op not in REDUCTIONS and nest.domain:
                self._line(inner, f"{self._scratch_cell(instruction.result)} = v{instruction.result}")
        for port, value in nest.writes:
            self._line(inner, f"{port}[{self._index(self.program.port(port).axes)}] = {self._name(value)}")
        for i in accumulators:
            target = self._scratch_cell(i.result) if self.program.values[i.result].axes else f"v{i.result}"
            self._line(inner - 1, f"{target} = a{i.result}")

    def _parts(self, nest: Nest) -> tuple[dict[int, list[int]], list[Instruction], dict[int, tuple[str, ...]]]:
        """Its loads by depth, the reductions over its innermost axis, and the axes of its random values by salt."""
        inside = {i.result for i in nest.instructions if i.op not in REDUCTIONS}
        accumulators = [i for i in nest.instructions if i.op in REDUCTIONS and i["axis"] == (nest.domain or ("",))[-1]]
        salts = {int(i["salt"]): self.program.values[i.result].axes for i in nest.instructions if i.op == "random"}
        return self._loads(nest, inside), accumulators, salts

    def _loads(self, nest: Nest, inside: set[int]) -> dict[int, list[int]]:
        """Values from ports and scratch that a nest uses, by the loop depth at which all their axes are bound."""
        used = [a for i in nest.instructions for a in i.arguments] + [v for _, v in nest.writes]
        loads: dict[int, list[int]] = {}
        for index in dict.fromkeys(used):
            axes = self.program.values[index].axes
            from_scratch = index in self.form.kept and bool(axes)
            if index in self.constants or index in inside or not (index in self.reads or from_scratch):
                continue
            depth = max((nest.domain.index(a) + 1 for a in axes), default=0)
            loads.setdefault(depth, []).append(index)
        return loads

    def _start(self, nest: Nest, accumulators: list[Instruction]) -> None:
        """Reductions over an outer axis are gathered in scratch."""
        for i in nest.instructions:
            if i.op in REDUCTIONS and i not in accumulators:
                self._line(1, f"s{i.result}[...] = {self._neutral(i)}")

    def _neutral(self, i: Instruction) -> str:
        if i.op == "sum":
            return f"{self.scalar}(0)"
        return f"i32({-_NARROW})" if self.program.fixed else "f32(-np.inf)"

    def _key(self, salt: int, depth: int) -> str:
        return f"k{salt}_{depth}" if depth else f"k{salt}"

    def _index(self, axes: tuple[str, ...]) -> str:
        return ", ".join(f"i_{a}" for a in axes) or "0"

    def _scratch_cell(self, index: int) -> str:
        return f"s{index}[{self._index(self.program.values[index].axes)}]"

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
    def _instruction(self, depth: int, i: Instruction, salts, accumulators) -> None:
        names = [self._name(a) for a in i.arguments]
        if i.op in REDUCTIONS:
            self._reduce(depth, i, names[0], accumulators)
        else:
            self._line(depth, f"v{i.result} = {self._expression(i, names, salts)}")

    def _reduce(self, depth: int, i: Instruction, name: str, accumulators) -> None:
        target = f"a{i.result}" if i in accumulators else self._scratch_cell(i.result)
        combined = f"{self.scalar}({target} + {name})" if i.op == "sum" else f"max({target}, {name})"
        self._line(depth, f"{target} = {combined}")

    def _expression(self, i: Instruction, a: list[str], salts) -> str:
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
                axes, drop = salts[salt], REGISTER_BITS - int(i["bits"])
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
