"""The functions of a C source: programs, on 32-bit integers and 64-bit ones where a product needs it, their tables, and helpers.

Nothing relies on what C leaves to the compiler: negative numbers are shifted by helpers, hashes wrap in unsigned numbers, and
every sum stays in the register that the tracer proved.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from tp_lava.backends.scalar import Declared, Expression, ScalarRenderer, is_wide, scratch_of, tables_of
from tp_lava.dynamics.piecewise import Piecewise
from tp_lava.dynamics.program import Instruction, Program
from tp_lava.errors import invalid
from tp_lava.graph.connections import Convolution
from tp_lava.numbers import REGISTER_BITS, Format
from tp_lava.templates import template

NAME, PACKAGE = "C", "tp_lava.backends.c"
REGISTER = "int32_t"
_DECLARED: Mapping[Declared, str] = {"": "", "value": "const int32_t ", "variable": "int32_t ", "key": "const uint32_t "}


def c_type(format: Format | None) -> str:
    """The smallest C type that holds every mantissa of a format."""
    for bits in (8, 16):
        if format and format.bits <= bits:
            return f"{'' if format.signed else 'u'}int{bits}_t"
    return REGISTER


def literal(value: int, bits: int = 32) -> str:
    """A constant of a type of so many bits."""
    if value == -(2 ** (bits - 1)):
        return f"(-INT{bits}_C({2 ** (bits - 1) - 1}) - 1)"
    return f"INT{bits}_C({value})" if value >= 0 else f"(-INT{bits}_C({-value}))"


class Functions:
    """sources: of the functions asked for so far, in an order in which C takes them."""

    def __init__(self) -> None:
        self.sources: list[str] = []
        self._helpers = template(PACKAGE, "helpers.c.jinja").module
        self._names: dict[object, str] = {}
        self._counts = Counter[str]()

    def helper(self, kind: str, /, **parameters: object) -> str:
        """The name of a function of templates/helpers.c.jinja, for these parameters."""
        return self._named(kind, (kind, *parameters.items()), lambda name: getattr(self._helpers, kind)(name, **parameters))

    def taps(self, kind: Convolution, lines: Sequence[str]) -> list[str]:
        """Lines for every position p that unit i reaches by a convolution: see templates/helpers.c.jinja."""
        return self._helpers.taps(kind, "\n".join(lines)).splitlines()  # type: ignore[attr-defined] # a macro

    def program(self, program: Program, types: Mapping[str, str]) -> tuple[str, CFunction]:
        """A program as a function, and its name. types: C type of the array of each port. Raises InvalidValueError."""
        function = _function_of(program, types, {table: self._table(table) for table in tables_of(program)})
        return self._named("program", function, lambda name: f"/* {program.name} */\n{function.source(name)}"), function

    def _table(self, table: Piecewise) -> str:
        segments = tuple(tuple(map(literal, row)) for row in zip(table.start, table.offset, table.slope, strict=True))
        return self.helper("table", told=str(table), segments=segments, shift=table.shift)

    def _named(self, kind: str, key: object, source: Callable[[str], str]) -> str:
        if key not in self._names:
            self._names[key] = f"{kind}{self._counts[kind]}"
            self._counts[kind] += 1
            self.sources.append(source(self._names[key]))
        return self._names[key]


def prelude(code: str) -> str:
    """The helpers of expressions that a source uses."""
    return template(PACKAGE, "prelude.c.jinja").render(code=code)


@dataclass(frozen=True)
class CFunction:
    """A program as C. parameters: name -> declaration of those that it uses of "key", "p_<port>", "n_<axis>" and "scratch"."""

    parameters: tuple[tuple[str, str], ...]
    body: str

    def source(self, name: str) -> str:
        """The function under a name."""
        declared = ", ".join(declaration for _, declaration in self.parameters)
        return f"static void {name}({declared or 'void'})\n{{\n{self.body}}}\n"


def _function_of(program: Program, stored: Mapping[str, str], tables: Mapping[Piecewise, str]) -> CFunction:
    """A program as a C function. stored: port -> C type of its array, rows one after another; tables: names of table functions.

    Raises InvalidValueError for a program on real numbers.
    """
    if not program.fixed:
        raise invalid(NAME, "program", f"{program.name}, on real numbers", "on integers", 'use precision="fixed"')
    body = "\n".join(_CRenderer(program, stored, tables).render()) + "\n"
    written = {port for port, _ in program.writes}
    declared = {"key": "uint32_t key"}
    for port in program.ports:
        constant = "" if port.name in written else "const "
        declared[f"p_{port.name}"] = f"{constant}{stored[port.name]} *restrict p_{port.name}"
    declared |= {f"n_{axis}": f"int32_t n_{axis}" for axis in program.axes}
    declared["scratch"] = "int32_t *restrict scratch"
    return CFunction(tuple((name, text) for name, text in declared.items() if re.search(rf"\b{name}\b", body)), body)


class _CRenderer(ScalarRenderer):
    back_end = NAME
    loop, loop_end = "for (int32_t i_{0} = 0; i_{0} < n_{0}; ++i_{0}) {{", "}"
    signed, unsigned = "(int32_t){0}", "(uint32_t){0}"

    def __init__(self, program: Program, stored: Mapping[str, str], tables: Mapping[Piecewise, str]) -> None:
        super().__init__(program, tables)
        self.stored = stored

    def head(self) -> list[str]:
        lines, begin = [], "scratch"
        for scratch in scratch_of(self.program):
            lines.append(f"int32_t *const {scratch.name} = {begin};")
            begin = f"{scratch.name} + {' * '.join(f'n_{axis}' for axis in scratch.axes)}"
        return lines

    def statement(self, target: str, text: str, declared: Declared = "") -> str:
        return f"{_DECLARED[declared]}{target} = {text};"

    def load(self, port: str) -> str:
        return self.cell(f"p_{port}", self.program.port(port).axes)

    def store(self, port: str, text: str) -> str:
        cast = "" if self.stored[port] == REGISTER else f"({self.stored[port]})"
        return self.statement(self.load(port), cast + text)

    def cell(self, array: str, axes: tuple[str, ...]) -> str:
        index = f"i_{axes[0]}" if axes else "0"
        for axis in axes[1:]:
            index = f"{f'({index})' if ' ' in index else index} * n_{axis} + i_{axis}"
        return f"{array}[{index}]"

    def literal(self, value: object) -> str:
        return literal(int(value))  # type: ignore[call-overload] # a fixed program's constants are integers

    def shift(self, i: Instruction, a: Sequence[str]) -> str:
        by, most = i["by"], REGISTER_BITS - 1
        if by > 0:
            return f"{a[0]} * {literal(1 << by) if by < most else 0}"  # what still fits is 0
        return f"shift32({a[0]}, {min(-by, most)})" if by else a[0]

    def product(self, i: Instruction, a: Sequence[str]) -> str:
        shift = i["shift"]
        bits, wide, narrowed = (64, "(int64_t)", "(int32_t)") if is_wide(self.program, i) else (32, "", "")
        product = f"{wide}{a[0]} * {a[1]}"
        if i.op == "mul_random":
            product += f" + {a[2]}"
        elif shift == 0:
            return f"{narrowed}({product})"
        elif i["rounding"] == "nearest":
            product += f" + {literal(1 << shift >> 1, bits)}"
        elif i["rounding"] == "zero":  # C's division does
            return f"{narrowed}(({product}) / {literal(1 << shift, bits)})" if shift < bits - 1 else "0"
        return f"{narrowed}shift{bits}({product}, {shift})"

    expressions: ClassVar[Mapping[str, Expression]] = {
        "add": "{0} + {1}",
        "sum": "{0} + {1}",
        "neg": "-{0}",
        "and": "{0} & {1}",
        "min": "min32({0}, {1})",
        "max": "max32({0}, {1})",
        "mul": product,
        "mul_random": product,
        "shift": shift,
        "shift_right": "shift32({0}, {1})",
        "lt": "{0} < {1}",
        "ge": "{0} >= {1}",
        "eq": "{0} == {1}",
        "select": "{0} ? {1} : {2}",
        "spike": "{0} ? 1 : 0",
        "random": ScalarRenderer.random,
        "piecewise": ScalarRenderer.piecewise,
    }
