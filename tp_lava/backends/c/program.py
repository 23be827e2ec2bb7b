"""Renders a fixed program as a C99 function: the nests of its loop form, on 32-bit integers (products that need it on 64).

Nothing relies on what C leaves to the compiler: negative numbers are shifted by helpers, hashes wrap in unsigned numbers, and
every sum stays in the register that the tracer proved.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tp_lava.dynamics.piecewise import Piecewise
from tp_lava.dynamics.program import Instruction, Program
from tp_lava.numbers import REGISTER_BITS, Format
from tp_lava.backends.cpu_source import ScalarRenderer, scratch_of

REGISTER = "int32_t"
# Right shifts that round down. ~x is not negative where x is, so that no negative number is shifted; compilers make one instruction of it.
_PRELUDE = """\
static inline int32_t shift32(int32_t x, int32_t by) { return x < 0 ? ~(~x >> by) : x >> by; }
static inline int64_t shift64(int64_t x, int32_t by) { return x < 0 ? ~(~x >> by) : x >> by; }
static inline int32_t min32(int32_t a, int32_t b) { return a < b ? a : b; }
static inline int32_t max32(int32_t a, int32_t b) { return a > b ? a : b; }

static inline uint32_t mix(uint32_t key, uint32_t word)
{
    uint32_t x = key + word * UINT32_C(0x9E3779B9);
    x = (x ^ (x >> 16)) * UINT32_C(0x7FEB352D);
    x = (x ^ (x >> 15)) * UINT32_C(0x846CA68B);
    return x ^ (x >> 16);
}

static inline uint32_t draw(uint32_t key, uint32_t index, uint32_t drop)
{
    uint32_t x = key + index * UINT32_C(0x9E3779B9);
    return ((x ^ (x >> 15)) * UINT32_C(0x7FEB352D)) >> drop;
}
"""


def prelude(body: str) -> str:
    """Those helpers that a source uses, and no other, so that no compiler complains."""
    functions = re.findall(r"^(?:/\*.*\n)?static inline \w+ (\w+)\(", _PRELUDE, re.M)
    parts = dict(zip(functions, re.findall(r"^static inline .*\n(?:\{\n(?:.*\n)*?\}\n)?", _PRELUDE, re.M), strict=True))
    return "\n".join(part for name, part in parts.items() if re.search(rf"\b{name}\(", body))


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


@dataclass(frozen=True)
class CFunction:
    """A program as C. parameters: "key", "p_<port>", "n_<axis>" and "scratch", those that it uses; source: {name} stands for its name."""

    parameters: tuple[str, ...]
    declared: tuple[str, ...]
    body: str
    tables: tuple[tuple[Piecewise, str], ...]

    def source(self, name: str) -> str:
        """The function under a name, after its tables."""
        tables = "".join(_table_source(table, f"{name}_{local}") for table, local in self.tables)
        body = re.sub(r"\btable(\d+)\(", rf"{name}_table\1(", self.body)
        return f"{tables}static void {name}({', '.join(self.declared) or 'void'})\n{{\n{body}}}\n"


def program_function(program: Program, stored: Mapping[str, str]) -> CFunction:
    """A program as a C function. stored: port -> C type of its array, rows one after another."""
    return _CRenderer(program, stored).function()


def _table_source(table: Piecewise, name: str) -> str:
    columns = (table.start, table.offset, table.slope)
    rows = ",\n".join("        {" + ", ".join(map(literal, row)) + "}" for row in zip(*columns, strict=True))
    return f"""\
static int32_t {name}(int32_t x)  /* {table} */
{{
    static const int32_t segment[{len(table.start)}][3] = {{  /* start, offset, slope */
{rows}
    }};
    int32_t k = {len(table.start) - 1};
    while (k > 0 && x < segment[k][0]) {{ k -= 1; }}
    return shift32(x * segment[k][2] + segment[k][1], {table.shift});
}}

"""


class _CRenderer(ScalarRenderer):
    def __init__(self, program: Program, stored: Mapping[str, str]) -> None:
        if not program.fixed:
            raise ValueError(f"{program.name}: only fixed programs have a C form")
        super().__init__(program)
        self.stored = stored

    def function(self) -> CFunction:
        for scratch, before in zip(scratch_of(self.program), [None, *scratch_of(self.program)], strict=False):
            begin = f"{before.name} + {self._product_of(before.axes)}" if before else "scratch"
            self._line(1, f"int32_t *const {scratch.name} = {begin};")
        for salt in self.random:
            self._line(1, f"const uint32_t k{salt} = mix(key, {salt}u);")
        self._body(self.form.body, (), set())
        body = "\n".join(self.lines) + "\n"
        written = {name for name, _ in self.program.writes}
        declared = {"key": "uint32_t key"}
        for port in self.program.ports:
            constant = "" if port.name in written else "const "
            declared[f"p_{port.name}"] = f"{constant}{self.stored[port.name]} *restrict p_{port.name}"
        declared |= {f"n_{axis}": f"int32_t n_{axis}" for axis in self.program.axes}
        declared["scratch"] = "int32_t *restrict scratch"
        used = {name: text for name, text in declared.items() if re.search(rf"\b{name}\b", body)}
        return CFunction(tuple(used), tuple(used.values()), body, tuple(self.tables.items()))

    # Loops ------------------------------------------------------------------------------------
    def _open(self, depth: int, axis: str) -> None:
        self._line(depth, f"for (int32_t i_{axis} = 0; i_{axis} < n_{axis}; ++i_{axis}) {{")

    def _close(self, depth: int) -> None:
        self._line(depth, "}")

    def _define(self, depth: int, index: int, text: str) -> None:
        self._line(depth, f"const int32_t v{index} = {text};")

    def _accumulator(self, depth: int, i: Instruction) -> None:
        self._line(depth, f"int32_t a{i.result} = {self._neutral(i)};")

    def _fill(self, depth: int, index: int) -> None:
        cells, neutral = self._product_of(self.form.kept[index]), self._neutral(self._instruction_of(index))
        self._line(depth, f"for (int32_t i = 0; i < {cells}; ++i) {{ s{index}[i] = {neutral}; }}")

    def _row_key(self, depth: int, salt: int, axes: tuple[str, ...]) -> None:
        self._line(depth, f"const uint32_t k{salt}_{len(axes)} = mix({self._key(salt, len(axes) - 1)}, (uint32_t)i_{axes[-1]});")

    def _keep(self, depth: int, index: int) -> None:
        if index in self.form.kept:
            self._line(depth, f"{self._scratch_cell(index)} = v{index};")

    def _write(self, depth: int, port: str, value: int) -> None:
        stored, cell = self.stored[port], f"p_{port}[{self._index(self.program.port(port).axes)}]"
        cast = "" if stored == REGISTER else f"({stored})"
        self._line(depth, f"{cell} = {cast}{self._name(value)};")

    def _neutral(self, i: Instruction) -> str:
        return "0" if i.op == "sum" else "-INT32_MAX"

    @staticmethod
    def _product_of(axes: tuple[str, ...]) -> str:
        return " * ".join(f"n_{axis}" for axis in axes)

    def _index(self, axes: tuple[str, ...]) -> str:
        index = ""
        for axis in axes:
            index = f"({index}) * n_{axis} + i_{axis}" if " " in index else f"{index} * n_{axis} + i_{axis}" if index else f"i_{axis}"
        return index or "0"

    def _load(self, index: int) -> str:
        if index not in self.reads:
            return self._scratch_cell(index)
        name = self.reads[index]
        return f"p_{name}[{self._index(self.program.port(name).axes)}]"

    def _name(self, index: int) -> str:
        return literal(int(self.constants[index])) if index in self.constants else f"v{index}"

    # One instruction --------------------------------------------------------------------------
    def _reduced_into(self, target: str, op: str, name: str) -> str:
        return f"{target} = {f'{target} + {name}' if op == 'sum' else f'max32({target}, {name})'};"

    def _expression(self, i: Instruction, a: list[str]) -> str:
        match i.op:
            case "add":
                return f"{a[0]} + {a[1]}"
            case "neg":
                return f"-{a[0]}"
            case "min":
                return f"min32({a[0]}, {a[1]})"
            case "mul" | "mul_random":
                return self._product(i, a)
            case "shift":
                return _moved(a[0], int(i["by"]))
            case "shift_right":
                return f"shift32({a[0]}, {a[1]})"
            case "and":
                return f"{a[0]} & {a[1]}"
            case "lt" | "ge" | "eq":
                return f"{a[0]} { {'lt': '<', 'ge': '>=', 'eq': '=='}[i.op] } {a[1]}"
            case "select":
                return f"{a[0]} ? {a[1]} : {a[2]}"
            case "spike":
                return f"{a[0]} ? 1 : 0"
            case "random":
                salt = int(i["salt"])
                axes, drop = self.random[salt], REGISTER_BITS - int(i["bits"])
                index = f"(uint32_t)i_{axes[-1]}" if axes else "0u"
                return f"(int32_t)draw({self._key(salt, max(0, len(axes) - 1))}, {index}, {drop}u)"
            case "piecewise":
                return f"{self.tables[i['table']]}({a[0]})"
        raise ValueError(f"{self.program.name}: unknown instruction {i.op}")

    def _product(self, i: Instruction, a: list[str]) -> str:
        shift = int(i["shift"])
        bits = 64 if self._needs_product_register(i, shift) else 32
        product, shifted = (f"(int64_t){a[0]} * {a[1]}", "shift64") if bits == 64 else (f"{a[0]} * {a[1]}", "shift32")
        narrowed = "(int32_t)" if bits == 64 else ""
        if i.op == "mul_random":
            return f"{narrowed}{shifted}({product} + {a[2]}, {shift})"
        if shift == 0:
            return f"{narrowed}({product})"
        match i["rounding"]:
            case "nearest":
                product += f" + {literal(1 << shift >> 1, bits)}"
            case "zero":  # C's division does
                return f"{narrowed}(({product}) / {literal(1 << shift, bits)})" if shift < bits - 1 else "0"
        return f"{narrowed}{shifted}({product}, {shift})"


def _moved(x: str, by: int) -> str:
    """x shifted left by `by` bits, right if negative."""
    if by == 0:
        return x
    if by < 0:
        return f"shift32({x}, {min(-by, REGISTER_BITS - 1)})"
    return f"{x} * {literal(1 << by)}" if by < REGISTER_BITS - 1 else f"{x} * 0"  # what still fits is 0
