"""Sums of taps for Numba: of several rows of a kernel, or of a patch of maps, at a time, in registers.

How many rows, and vectors of each, are summed at a time is known when it is compiled, unlike in cpu_rows: small kernels, whose rows are
short, gain by it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tp_lava.backends.cpu_emitters import WIDE, Vectors, data_of

_FEW = 6  # sums; with no more, two terms at a time keep the processor busy
_SHORT = ir.IntType(16)


class _Rows(NamedTuple):
    """Rows of an array: where the first begins, and from one to the next."""

    array: Any
    at: Any
    pitch: Any


class _Taps(Vectors):
    """Emits a sum. rows, pieces: so many vectors of so many rows at a time; lanes: of a vector."""

    def __init__(self, builder: Any, rows: int, pieces: int, lanes: int) -> None:
        super().__init__(builder)
        self.rows, self.pieces, self.lanes = rows, pieces, lanes

    def emit(self, target: _Rows, source: _Rows, lists: list[Any], first: Any, end: Any, chunks: Any) -> None:
        """All chunks of the rows. lists: of places in the source, and of factors if there are any."""
        number, narrow = target.array.type.pointee, source.array.type.pointee
        scaled, a_chunk = len(lists) > 1, self.pieces * self.lanes
        self.held = _SHORT if narrow == ir.IntType(8) and not scaled else number
        at_a_time = 2 if scaled and self.rows * self.pieces <= _FEW else 1
        with cgutils.for_range_slice(self.b, ir.Constant(WIDE, 0), chunks, ir.Constant(WIDE, 1)) as (k, _):
            shift = self.b.mul(k, ir.Constant(WIDE, a_chunk))
            sums = [[self._nothing() for _ in range(at_a_time)] for _ in range(self.rows * self.pieces)]
            with cgutils.for_range_slice(self.b, first, end, ir.Constant(WIDE, at_a_time)) as (q, _):
                for u in range(at_a_time):
                    self._add([held[u] for held in sums], source, self.b.add(source.at, shift), lists, self.plus(q, u))
            for n, held in enumerate(sums):
                a, i = divmod(n, self.pieces)
                line = self.b.add(target.at, self.b.mul(target.pitch, ir.Constant(WIDE, a)))
                place = self.b.add(line, self.plus(shift, i * self.lanes))
                value = self.load(target.array, place, self.lanes)
                for one in held:
                    value = self._sum(value, self._widened(self.b.load(one), number))
                self.store(value, target.array, place, self.lanes)

    def _nothing(self) -> Any:
        type_ = self.vector(self.held, self.lanes)
        held = cgutils.alloca_once(self.b, type_)
        self.b.store(ir.Constant(type_, None), held)
        return held

    def _add(self, sums: list[Any], source: _Rows, at: Any, lists: list[Any], q: Any) -> None:
        place, *factors = (self.b.load(self.b.gep(list_, [q])) for list_ in lists)
        line = self.b.add(self.b.sext(place, WIDE), at)
        factor = self.spread(factors[0], self.lanes) if factors else None
        for a in range(self.rows):
            for i in range(self.pieces):
                held = sums[a * self.pieces + i]
                numbers = self._widened(self.load(source.array, self.plus(line, i * self.lanes), self.lanes), self.held)
                self.b.store(self._sum(self.b.load(held), numbers if factor is None else self._product(factor, numbers)), held)
            line = self.b.add(line, source.pitch)

    def _widened(self, numbers: Any, number: Any) -> Any:
        return numbers if numbers.type.element == number else self.b.sext(numbers, self.vector(number, self.lanes))

    def _sum(self, a: Any, b: Any) -> Any:
        return self.b.fadd(a, b, flags=("contract",)) if isinstance(a.type.element, ir.FloatType) else self.b.add(a, b)

    def _product(self, a: Any, b: Any) -> Any:
        return self.b.fmul(a, b, flags=("contract",)) if isinstance(a.type.element, ir.FloatType) else self.b.mul(a, b)


@intrinsic(prefer_literal=True)
def add_patches(typing, target, at, source, pitch, places, factors, end, chunks, rows, pieces):
    """target[at + a * n + j] += sum of factors[q] * source[places[q] + a * pitch + j], q = 0..end-1; all arrays flat.

    a = 0..rows-1, j = 0..n-1, n = chunks * pieces * 16; rows, pieces: literals. places[end], factors[end] may be read: 0.
    """
    n_rows, n_pieces, number, lanes = rows.literal_value, pieces.literal_value, types.int64, 16

    def code(context, builder, signature, values):
        held, source, *lists = data_of(context, builder, [signature.args[k] for k in (0, 2, 4, 5)], [values[k] for k in (0, 2, 4, 5)])
        zero, n = ir.Constant(WIDE, 0), builder.mul(values[7], ir.Constant(WIDE, n_pieces * lanes))
        taps = _Taps(builder, n_rows, n_pieces, lanes)
        taps.emit(_Rows(held, values[1], n), _Rows(source, zero, values[3]), lists, zero, values[6], values[7])
        return context.get_dummy_value()

    return types.void(target, number, source, number, places, factors, number, number, rows, pieces), code


@intrinsic(prefer_literal=True)
def add_taps(typing, target, at, target_pitch, source, pitch, places, first, end, chunks, rows, pieces, lanes):
    """target[at + a * target_pitch + j] += sum of source[places[q] + a * pitch + j], q = first..end-1; all arrays flat.

    a = 0..rows-1, j = 0..chunks*pieces*lanes-1; rows, pieces, lanes: literals. Of 8 bits at most 255 terms, so that sums fit 16.
    """
    sizes, number = [each.literal_value for each in (rows, pieces, lanes)], types.int64

    def code(context, builder, signature, values):
        held, source, list_ = data_of(context, builder, [signature.args[k] for k in (0, 3, 5)], [values[k] for k in (0, 3, 5)])
        zero = ir.Constant(WIDE, 0)
        taps = _Taps(builder, *sizes)
        taps.emit(_Rows(held, values[1], values[2]), _Rows(source, zero, values[4]), [list_], values[6], values[7], values[8])
        return context.get_dummy_value()

    return types.void(target, number, number, source, number, places, number, number, number, rows, pieces, lanes), code
