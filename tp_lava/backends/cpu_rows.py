"""Sums of rows and transposition for Numba, in vectors: what convolutions that deliver and learn spend their time on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tp_lava.backends.cpu_emitters import WIDE, Vectors, data_of
from tp_lava.backends.cpu_functions import inlined

_MOST = 255  # rows of 8 bits whose sum fits 16
_BYTES, _REGISTERS = 64, (6, 5, 4, 3, 2, 1)  # of a vector; sums side by side, as many as fit what is left of a row
_SIDE = 8  # of the squares that are transposed
_INT = ir.IntType(16)


def _rows(scaled: bool, parts: bool) -> Callable:
    @intrinsic
    def add(typing, target, at, length, source, shift, places, factors, first, end, size, pitch):
        number = types.int64

        def code(context, builder, signature, values):
            arrays = data_of(context, builder, *([list_[k] for k in (0, 3, 5, 6)] for list_ in (signature.args, values)))
            _Sums(builder, arrays, values, scaled, parts).emit()
            return context.get_dummy_value()

        return types.void(target, number, number, source, number, places, factors, *[number] * 4), code

    return add


class _Sums(Vectors):
    """Emits the loops of one sum of rows."""

    def __init__(self, builder: Any, arrays: Any, values: Any, scaled: bool, parts: bool) -> None:
        super().__init__(builder)
        self.scaled, self.parts = scaled, parts
        self.target, self.source, self.places, self.factors = arrays
        _, self.at, self.length, _, self.shift, _, _, self.first, self.end, self.size, self.pitch = values
        self.wide, self.narrow = self.target.type.pointee, self.source.type.pointee
        self.real = isinstance(self.wide, ir.FloatType)
        self.held = _INT if self.narrow == ir.IntType(8) and not scaled else self.wide

    def emit(self) -> None:
        """All of a row, from wide to narrow pieces."""
        lanes = _BYTES * 8 // (16 if self.held == _INT else 32)
        done = cgutils.alloca_once_value(self.b, ir.Constant(WIDE, 0))
        rest = () if self.parts else ((lanes // 2, 1), (4, 1), (1, 1))
        for width, registers in (*((lanes, n) for n in _REGISTERS), *rest):
            self._pieces(done, width, registers)

    def _pieces(self, done: Any, lanes: int, registers: int) -> None:
        """While as much is left: no division, since most sums have few rows."""
        head, body, end = (self.b.append_basic_block(f"piece_{name}") for name in ("head", "body", "end"))
        self.b.branch(head)
        self.b.position_at_end(head)
        j = self.b.load(done)
        next_ = self.plus(j, lanes * registers)
        self.b.cbranch(self.b.icmp_signed("<=", next_, self.length), body, end)
        self.b.position_at_end(body)
        self._piece(j, lanes, registers)
        self.b.store(next_, done)
        self.b.branch(head)
        self.b.position_at_end(end)

    def _piece(self, j: Any, lanes: int, registers: int) -> None:
        sums = [cgutils.alloca_once(self.b, self.vector(self.held, lanes)) for _ in range(registers)]
        offsets = [self.plus(j, lanes * k) for k in range(registers)]
        for held in sums:
            self.b.store(ir.Constant(self.vector(self.held, lanes), None), held)
        one = ir.Constant(WIDE, 1)
        with cgutils.for_range_slice(self.b, self.first, self.end, one) as (q, _):
            place = self.b.add(self.b.sext(self.b.load(self.b.gep(self.places, [q])), WIDE), self.shift)
            factor = self.spread(self.b.load(self.b.gep(self.factors, [q])), lanes) if self.scaled else None
            for held, offset in zip(sums, offsets, strict=True):
                row = self._widened(self.load(self.source, self.b.add(place, offset), lanes), self.held, lanes)
                self.b.store(self._added(self.b.load(held), row, factor), held)
        for held, offset in zip(sums, offsets, strict=True):
            place = self.b.add(self.at, self._apart(offset))
            sum_ = self._widened(self.b.load(held), self.wide, lanes)
            self.store(self._added(self.load(self.target, place, lanes), sum_, None), self.target, place, lanes)

    def _apart(self, offset: Any) -> Any:
        if not self.parts:
            return offset
        return self.b.add(self.b.mul(self.b.udiv(offset, self.size), self.pitch), self.b.urem(offset, self.size))

    def _widened(self, value: Any, number: Any, lanes: int) -> Any:
        type_ = self.vector(number, lanes)
        return value if value.type == type_ else self.b.sext(value, type_)

    def _added(self, sum_: Any, row: Any, factor: Any) -> Any:
        if self.real:
            flags = ("contract",)
            return self.b.fadd(sum_, row if factor is None else self.b.fmul(factor, row, flags=flags), flags=flags)
        return self.b.add(sum_, row if factor is None else self.b.mul(factor, row))


class _Square(Vectors):
    """Emits the transposition of a square: log2 steps that each interleave the first half of the rows with the second."""

    def emit(self, target: Any, at: Any, step: Any, source: Any, start: Any, stride: Any) -> None:
        number = target.type.pointee
        rows = [self.load(source, self._at(start, stride, k), _SIDE) for k in range(_SIDE)]
        wider = not isinstance(number, ir.FloatType) and number.width > rows[0].type.element.width
        if rows[0].type.element != number and not wider:
            rows = [self.b.trunc(row, ir.VectorType(number, _SIDE)) for row in rows]
        half = _SIDE // 2
        low = [k // 2 + _SIDE * (k % 2) for k in range(_SIDE)]
        for _ in range(_SIDE.bit_length() - 1):
            pairs = [(rows[k], rows[k + half]) for k in range(half)]
            rows = [self.shuffled(*pair, [place + by for place in low]) for pair in pairs for by in (0, half)]
        for k, row in enumerate(rows):
            row = self.b.sext(row, ir.VectorType(number, _SIDE)) if wider else row
            self.store(row, target, self._at(at, step, k), _SIDE)

    def _at(self, first: Any, step: Any, k: int) -> Any:
        return self.b.add(first, self.b.mul(step, ir.Constant(WIDE, k)))


@intrinsic
def _square(typing, target, at, step, source, start, stride):
    number = types.int64

    def code(context, builder, signature, values):
        arrays = data_of(context, builder, (signature.args[0], signature.args[3]), (values[0], values[3]))
        _Square(builder).emit(arrays[0], values[1], values[2], arrays[1], values[4], values[5])
        return context.get_dummy_value()

    return types.void(target, number, number, source, number, number), code


@inlined
def transpose(target, at, step, source, start, stride, rows, columns):
    """target[at + step * j + i] = source[start + stride * i + j], i = 0..rows-1, j = 0..columns-1; flat arrays."""
    if rows < _SIDE or columns < _SIDE:
        for i in range(rows):
            for j in range(columns):
                target[at + step * j + i] = source[start + stride * i + j]
        return
    for i_next in range(0, rows, _SIDE):
        i = min(i_next, rows - _SIDE)  # the last square overlaps the one before
        for j_next in range(0, columns, _SIDE):
            j = min(j_next, columns - _SIDE)
            _square(target, at + step * j + i, step, source, start + stride * i + j, stride)  # type: ignore[call-arg]


_plain, _scaled = _rows(scaled=False, parts=False), _rows(scaled=True, parts=False)
_plain_parts, _scaled_parts = _rows(scaled=False, parts=True), _rows(scaled=True, parts=True)


@inlined
def add_rows(target, at, length, source, shift, places, first, end):
    """target[at + j] += sum of source[places[q] + shift + j], q = first..end-1, j = 0..length-1; all arrays flat."""
    while first < end:
        last = min(first + _MOST, end)
        _plain(target, at, length, source, shift, places, places, first, last, length, length)
        first = last


@inlined
def add_scaled_rows(target, at, length, source, shift, places, factors, first, end):
    """The same, each row times factors[q]."""
    _scaled(target, at, length, source, shift, places, factors, first, end, length, length)


@inlined
def add_parts(target, at, length, source, shift, places, first, end, size, pitch):
    """The same for rows of real numbers in parts of `size`, a multiple of 16, which begin every `pitch` numbers in target."""
    _plain_parts(target, at, length, source, shift, places, places, first, end, size, pitch)


@inlined
def add_scaled_parts(target, at, length, source, shift, places, factors, first, end, size, pitch):
    """The same, each row times factors[q]."""
    _scaled_parts(target, at, length, source, shift, places, factors, first, end, size, pitch)
