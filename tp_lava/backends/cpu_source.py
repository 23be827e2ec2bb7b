"""Programs as Python source for Numba: 32-bit integers (products that need it on 64) in fixed programs, float32 in real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from tp_lava.backends.scalar import Declared, Expression, ScalarRenderer, scratch_of, tables_of
from tp_lava.dynamics.piecewise import Piecewise
from tp_lava.dynamics.program import Instruction, Program

_APPLY = {"exp2": "exp2({})", "log2": "np.log2({})", "sqrt": "np.sqrt({})", "reciprocal": "f32(1.0) / {}"}


def program_source(program: Program) -> str:
    """Source of `program(...)`: takes `key` if it draws random bits, then its ports in order, then its scratch arrays.

    Its tables are functions of the names that `table_names` gives them.
    """
    arguments = (["key"] if program.uses_random else []) + [p.name for p in program.ports] + [s.name for s in scratch_of(program)]
    return "\n".join([f"def program({', '.join(arguments)}):", *program_body(program)]) + "\n"


def program_body(program: Program) -> list[str]:
    """The lines of that function."""
    return _PythonRenderer(program, table_names(program)).render()


def table_names(program: Program) -> dict[Piecewise, str]:
    """The name of the function of each of a program's tables."""
    return {table: f"table{number}" for number, table in enumerate(tables_of(program))}


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


class _PythonRenderer(ScalarRenderer):
    back_end = "CPU"
    loop, signed, unsigned = "for i_{0} in range(n_{0}):", "i32({0})", "u32({0})"

    def head(self) -> list[str]:
        lines = []
        for axis in self.program.axes:
            owner = next((port for port in self.program.ports if axis in port.axes), None)
            if owner:
                lines.append(f"n_{axis} = {owner.name}.shape[{owner.axes.index(axis)}]")
        return lines

    def statement(self, target: str, text: str, declared: Declared = "") -> str:
        return f"{target} = {text}"

    def load(self, port: str) -> str:
        return self.literal(self.cell(port, self.program.port(port).axes))

    def store(self, port: str, text: str) -> str:
        return self.statement(self.cell(port, self.program.port(port).axes), text)

    def cell(self, array: str, axes: tuple[str, ...]) -> str:
        return f"{array}[{', '.join(f'i_{axis}' for axis in axes) or '0'}]"

    def literal(self, value: object) -> str:
        return f"{self.number}({value})"

    def apply(self, i: Instruction, a: Sequence[str]) -> str:
        return _APPLY[i["function"]].format(a[0])

    def shift(self, i: Instruction, a: Sequence[str]) -> str:
        by = i["by"]
        return f"i32({a[0]} {'<<' if by > 0 else '>>'} {abs(by)})" if by else a[0]

    def product(self, i: Instruction, a: Sequence[str]) -> str:
        if not self.program.fixed:
            return f"{a[0]} * {a[1]}"
        shift = i["shift"]
        wide, sign = ("i64", 63) if self.is_wide(i) else ("i32", 31)
        product = f"{wide}({wide}({a[0]}) * {wide}({a[1]}))"
        if i.op == "mul_random":
            product = f"{wide}({product} + {wide}({a[2]}))"
        elif shift == 0:
            return f"i32({product})"
        elif i["rounding"] == "nearest":
            product = f"{wide}({product} + {wide}({1 << shift >> 1}))"
        elif i["rounding"] == "zero":
            product = f"{wide}({product} + ({wide}({product} >> {sign}) & {wide}({(1 << shift) - 1})))"
        return f"i32({product} >> {shift})"

    expressions: ClassVar[Mapping[str, Expression]] = {
        "add": "{number}({0} + {1})",
        "sum": "{number}({0} + {1})",
        "neg": "{number}(-{0})",
        "and": "i32({0} & {1})",
        "min": "min({0}, {1})",
        "max": "max({0}, {1})",
        "mul": product,
        "mul_random": product,
        "shift": shift,
        "shift_right": "i32({0} >> {1})",
        "lt": "{0} < {1}",
        "ge": "{0} >= {1}",
        "eq": "{0} == {1}",
        "select": "select({0}, {1}, {2})",
        "spike": "select({0}, {number}(1), {number}(0))",
        "random": ScalarRenderer.random,
        "piecewise": ScalarRenderer.piecewise,
        "apply": apply,
    }
