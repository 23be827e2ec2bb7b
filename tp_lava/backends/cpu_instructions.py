"""The instructions of programs as LLVM's, on one number or on the lanes of a vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from tp_lava.backends.cpu_text import LANES, Text, V, literal, permutes
from tp_lava.backends.protocol import entry
from tp_lava.backends.scalar import LARGEST, is_wide
from tp_lava.dynamics.piecewise import Piecewise
from tp_lava.dynamics.program import Instruction, Program
from tp_lava.numbers import REGISTER_BITS

# 2**x = 2**n * 2**f, n = floor(x): the exponent's bits, and a polynomial of least relative error on [0, 1] with 1 at 0.
EXP2_REAL_ERROR = 2.0**-22
_EXP2 = (0.6931470632553101, 0.2402293086051941, 0.055485278367996216, 0.00967545248568058, 0.0012467838823795319, 0.00021612938144244254)
_ZERO_BELOW, _INFINITE_FROM, _BIAS, _FRACTION_BITS = -127.0, 128.0, 127, 23  # of a float32; what is not normal is zero


@dataclass(frozen=True)
class Place:
    """Where a nest stands: the number of each axis, and, of the innermost of a vector, the lanes that take part (None: all)."""

    numbers: dict[str, V]
    vector: str = ""
    mask: V | None = None


class Instructions:
    """Writes instructions. program: whose; t: where; keys: of random bits, by salt and how many loops are around them."""

    def __init__(self, program: Program, text: Text) -> None:
        self.program, self.t = program, text
        self.keys: dict[tuple[int, int], V] = {}

    def kind(self, index: int) -> str:
        """What LLVM calls the type of a value."""
        return "i1" if self.program.values[index].boolean else "i32" if self.program.fixed else "float"

    def written(self, i: Instruction, operands: list[V], place: Place) -> V:
        """Append an instruction. -> its result."""
        return entry("CPU", "instruction", self.instructions, i.op, i.op)(self, i, operands, place)

    def word_of(self, at: V) -> V:
        """A number of 64 bits as one of 32."""
        return self.t.op(f"trunc {at} to i32", "i32")

    def larger(self, a: V, b: V) -> V:
        """The larger of two."""
        return self._pick(a, b, "smax", "ogt")

    def _smaller(self, a: V, b: V) -> V:
        return self._pick(a, b, "smin", "olt")

    def _pick(self, a: V, b: V, whole: str, real: str) -> V:
        """b where it compares so, else a: of what is no number, a."""
        t = self.t
        a, b = t.alike(a, b)
        if a.kind == "float":
            return t.select(t.binary(f"fcmp {real}", b, a), b, a)
        return t.call(f"llvm.{whole}.{'v16' if a.wide else ''}i32", "i32", a.wide, a, b)

    def _add(self, i: Instruction, a: list[V], place: Place) -> V:
        return self.t.binary("fadd" if a[0].kind == "float" else "add", *a)

    def _neg(self, i: Instruction, a: list[V], place: Place) -> V:
        if a[0].kind == "float":
            return self.t.op(f"fneg {a[0]}", "float", a[0].wide)
        return self.t.binary("sub", literal(0, "i32"), a[0])

    def _product(self, i: Instruction, a: list[V], place: Place) -> V:
        t = self.t
        if not self.program.fixed:
            return t.binary("fmul contract", *a)
        shift, wide = i["shift"], is_wide(self.program, i)
        if wide and (split := self._split(i, a)):
            high, low, sign = split
            return t.binary("add", high, t.word("ashr", self._rounded(i, low, sign, a), shift))
        product = t.binary("mul", *(self._in("i64" if wide else "i32", x) for x in a[:2]))
        return self._in("i32", t.word("ashr", self._rounded(i, product, product, a), shift) if shift else product)

    def _split(self, i: Instruction, a: list[V]) -> tuple[V, V, V] | None:
        """x * y as high * 2**shift + low, both of 32 bits, and what has its sign; None where that is not so.

        high = (x >> shift) * y, low = (x mod 2**shift) * y: exact for any x, and y >= 0 where the sign counts.
        """
        t, shift = self.t, i["shift"]
        for x, y in ((0, 1), (1, 0)):
            other = self.program.values[i.arguments[y]]
            assert other.low is not None
            assert other.high is not None
            known = other.low >= 0 or i.op != "mul" or i["rounding"] != "zero"
            if shift and known and (max(-other.low, other.high) + 1) << shift <= LARGEST:
                high, rest = t.word("ashr", a[x], shift), t.word("and", a[x], (1 << shift) - 1)
                return t.binary("mul", high, a[y]), t.binary("mul", rest, a[y]), a[x]
        return None

    def _rounded(self, i: Instruction, product: V, sign: V, a: list[V]) -> V:
        """A product with what its shift is to round by. sign: a number that is below zero where the product is, or the product is zero."""
        t, shift = self.t, i["shift"]
        if i.op == "mul_random":
            return t.binary("add", product, self._in(product.kind, a[2]))
        if i["rounding"] == "nearest":
            return t.word("add", product, 1 << shift >> 1)
        if i["rounding"] == "zero":
            below = t.word("ashr", sign, 63 if sign.kind == "i64" else 31)
            return t.binary("add", product, t.word("and", below, (1 << shift) - 1))
        return product

    def _in(self, kind: str, value: V) -> V:
        if value.kind == kind:
            return value
        if not value.name.startswith("%"):
            return V(value.name, kind)
        how = "sext" if kind == "i64" else "trunc"
        return self.t.op(f"{how} {value} to {V('', kind, value.wide).type}", kind, value.wide)

    def _shift(self, i: Instruction, a: list[V], place: Place) -> V:
        by = i["by"]
        return self.t.word("shl" if by > 0 else "ashr", a[0], abs(by)) if by else a[0]

    def _compare(self, i: Instruction, a: list[V], place: Place) -> V:
        real, whole = {"lt": ("olt", "slt"), "ge": ("oge", "sge"), "eq": ("oeq", "eq")}[i.op]
        return self.t.binary(f"fcmp {real}" if a[0].kind == "float" else f"icmp {whole}", *a)

    def _spike(self, i: Instruction, a: list[V], place: Place) -> V:
        kind = self.kind(i.result)
        return self.t.select(a[0], literal(1, kind), literal(0, kind))

    def _random(self, i: Instruction, a: list[V], place: Place) -> V:
        """What "random" gives."""
        axes = self.program.values[i.result].axes
        key = self.keys[i["salt"], max(0, len(axes) - 1)]
        index = self.word_of(place.numbers[axes[-1]]) if axes else literal(0, "i32")
        return self.t.draw(key, index, REGISTER_BITS - i["bits"], lanes=bool(axes) and axes[-1] == place.vector)

    def _piecewise(self, i: Instruction, a: list[V], place: Place) -> V:
        """What "piecewise" gives."""
        t, table, (x, *_) = self.t, i["table"], a
        offset, slope = self._looked_up(table, x) if self._looks_up(table, x) else self._selected(table, x)
        return t.word("ashr", t.binary("add", t.binary("mul", x, slope), offset), table.shift)

    @staticmethod
    def _looks_up(table: Piecewise, x: V) -> bool:
        """Whether segments are found by their number: in a vector, where the processor takes any lanes of it at once, or in memory."""
        return len(table.start) <= LANES and (permutes() if x.wide else table.buckets(LANES) is not None)

    def _looked_up(self, table: Piecewise, x: V) -> list[V]:
        """Offset and slope by the number of the segment. Its bucket tells that but for one; else it is found by halves."""
        t, (columns, wide) = self.t, ((table.offset, table.slope), x.wide)
        if buckets := table.buckets(LANES):
            bucket = t.word("and", t.word("lshr", x, buckets.shift), LANES - 1)
            past = t.binary("icmp sge", x, t.entry(buckets.next, bucket))
            number = t.binary("add", t.entry(buckets.first, bucket), t.op(f"zext {past} to {x.type}", "i32", wide))
        else:
            starts, number = (*table.start, *[LARGEST] * (LANES - len(table.start))), literal(0, "i32", wide)
            for half in (8, 4, 2, 1):
                further = t.word("or", number, half)
                number = t.select(t.binary("icmp sge", x, t.entry(starts, further)), further, number)
        return [t.entry(column, number) for column in columns]

    def _selected(self, table: Piecewise, x: V) -> list[V]:
        """The same by selects, in pairs."""
        t, starts = self.t, list(table.start)
        columns = [[literal(number, "i32") for number in column] for column in (table.offset, table.slope)]
        while len(starts) > 1:
            pairs = range(0, len(starts) - 1, 2)
            past = {k: t.binary("icmp sge", x, literal(starts[k + 1], "i32")) for k in pairs}
            columns = [
                [t.select(past[k], column[k + 1], column[k]) if k in past else column[k] for k in range(0, len(starts), 2)]
                for column in columns
            ]
            starts = starts[::2]
        return [column for (column,) in columns]

    def _apply(self, i: Instruction, a: list[V], place: Place) -> V:
        x = a[0]
        if i["function"] == "exp2":
            return self._exp2(x)
        if i["function"] == "reciprocal":
            return self.t.binary("fdiv", literal(1, "float"), x)
        return self.t.call(f"llvm.{i['function']}.{'v16' if x.wide else ''}f32", "float", x.wide, x)

    def _exp2(self, x: V) -> V:
        t = self.t
        within = self._smaller(self.larger(x, literal(_ZERO_BELOW, "float")), literal(_INFINITE_FROM, "float"))
        whole = t.call(f"llvm.floor.{'v16' if x.wide else ''}f32", "float", x.wide, within)
        f = t.binary("fsub", within, whole)
        power = literal(_EXP2[-1], "float")
        for coefficient in (*reversed(_EXP2[:-1]), 1.0):
            power = t.binary("fadd", literal(coefficient, "float"), t.binary("fmul", f, power))
        exponent = t.op(f"fptosi {whole} to {V('', 'i32', x.wide).type}", "i32", x.wide)
        bits = t.word("shl", t.word("add", exponent, _BIAS), _FRACTION_BITS)
        return t.binary("fmul", power, t.op(f"bitcast {bits} to {x.type}", "float", x.wide))

    instructions: ClassVar[dict[str, Any]] = {
        "add": _add,
        "neg": _neg,
        "and": lambda self, i, a, place: self.t.binary("and", *a),
        "min": lambda self, i, a, place: self._smaller(*a),
        "mul": _product,
        "mul_random": _product,
        "shift": _shift,
        "shift_right": lambda self, i, a, place: self.t.binary("ashr", *a),
        "lt": _compare,
        "ge": _compare,
        "eq": _compare,
        "select": lambda self, i, a, place: self.t.select(*a),
        "spike": _spike,
        "random": _random,
        "piecewise": _piecewise,
        "apply": _apply,
    }
