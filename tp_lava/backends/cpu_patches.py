"""Convolutions of stride 1 that learn by the third factors that are not zero, as source for Numba and its innermost loop.

A neuron sees a patch of the maps below, and each row of a patch lies side by side where maps are held (y, x, channel): a third factor
that is not zero adds its patch, so many times, to its channel's sum, in registers. Behind a maximum one neuron of a window at most
has a third factor, and outside a surrogate's width none.
"""

from __future__ import annotations

from textwrap import indent
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tp_lava.backends.cpu_vectors import WIDE, Vectors, data_of
from tp_lava.graph.connections import Convolution
from tp_lava.numbers import Format

_LANES, _REGISTERS, _FEW = 16, 12, 6  # of 32 bits; sums at a time; with fewer, two third factors at a time keep the processor busy
_LEARN = """
sums_to = as_flat(change)
across = w + 2 * px
chunk = {pieces} * {lanes}
chunks = (kx * c + chunk - 1) // chunk
line = chunks * chunk
patch = ky * line
if patch_of[0] == 0:  # the first time
    for oy in range(oh):
        for ox in range(ow):
            patch_of[oy * ow + ox] = (oy * across + ox) * c + 1  # not 0
    for y in range(h):
        for x in range(w):
            pixel_of[y * w + x] = ((y + py) * across + px + x) * c
sums[...] = 0
for r in range(third.shape[0]):
    {fill}
    for o in range(oc):
        found = list_numbers(third[r], o * oh * ow, oh * ow, spots, thirds, 0)
        for q in range(found):
            spots[u64(q)] = patch_of[u64(spots[u64(q)])] - 1
        spots[found], thirds[found] = 0, 0  # where two are taken at a time
        add_patches(sums, o * patch, patches, spots, thirds, found, dy * across * c, chunks, {rows}, {pieces})
transpose(turned, 0, oc, sums, 0, patch, oc, patch)
for channel in range(c):
    for a in range(ky):
        for b in range(kx):
            to, start = ((channel * ky + a) * kx + b) * oc, (a * line + b * c + channel) * oc
            for o in range(oc):
                sums_to[u64(to + o)] = {sum}
"""
_TRACES = """for y in range(h):
        transpose(patches, ((y + py) * across + px) * c, c, trace[r], y * w, h * w, c, w)"""
_EVENTS = """patches[...] = 0
    channel, start = 0, 0
    for q in range(count[r]):
        i = i64(active[r, u64(q)])
        if i < start or i >= start + h * w:
            channel = i // (h * w)
            start = channel * (h * w)
        patches[u64(pixel_of[u64(i - start)] + channel)] = 1"""
# To look at what is not zero costs little; then that way is taken which adds fewer vectors.
_EITHER = """
events, nonzero = 0, 0
for r in range(third.shape[0]):
    events += i64(count[r])
    signals = third[r]
    ones = i32(0)
    for j in range(signals.shape[0]):
        ones += i32(1) if signals[u64(j)] != 0 else i32(0)
    nonzero += i64(ones)
by_events = events * (ky * kx * oc // {lanes} + {sorting}) + third.shape[0] * oc * oh * ow // {turning}
if nonzero * (ky * ((kx * c + {lanes} - 1) // {lanes}) + {listing}) < by_events:
{patches}
elif events > 0:
{rows}
"""
_COST = {"lanes": 16, "sorting": 12, "turning": 8, "listing": 3}  # in vectors: of an event, of a third factor turned around, of one listed
Work = dict[str, tuple[tuple[int, ...], type]]


def pays(kind: Convolution) -> bool:
    """Whether a kernel is so small beside its maps that to turn its sums around costs little."""
    return kind.pooled_shape[0] * kind.kernel[0] * kind.kernel[1] <= kind.output_shape[1] * kind.output_shape[2]


def learn(kind: Convolution, events: bool, format: Format | None) -> str:
    """Source that sums up changes by spikes, or by traces. format: of the sums, to which they are clipped."""
    sum_ = "sums_to[u64(to + o)] + turned[u64(start + o)]"
    return _LEARN.format(
        rows=kind.kernel[0],
        pieces=_pieces(kind),
        lanes=_LANES,
        fill=_EVENTS if events else _TRACES,
        sum=f"min(max({sum_}, i32(-{format.high})), i32({format.high}))" if format else sum_,
    )


def either(patches: str, rows: str) -> str:
    """Source that takes, for the spikes of this step, the better one of two ways to learn."""
    return _EITHER.format(patches=indent(patches, "    "), rows=indent(rows, "    "), **_COST)


def work(kind: Convolution, patches: type, number: type) -> Work:
    """The scratch arrays, with types of patches and of other numbers."""
    (c, h, w), (oc, oh, ow) = kind.pooled_shape, kind.output_shape
    chunk = _pieces(kind) * _LANES
    row = -(-kind.kernel[1] * c // chunk) * chunk
    turned = oc * kind.kernel[0] * row
    return {
        "patches": (((h + 2 * kind.padding[0]) * (w + 2 * kind.padding[1]) * c + row,), patches),
        "patch_of": ((oh * ow,), np.int32),
        "pixel_of": ((h * w,), np.int32),
        "spots": ((oh * ow + 1,), np.int32),
        "thirds": ((oh * ow + 1,), number),
        "sums": ((turned,), number),
        "turned": ((turned,), number),
    }


def _pieces(kind: Convolution) -> int:
    """Vectors of a row that are summed at a time."""
    return min(-(-kind.kernel[1] * kind.pooled_shape[0] // _LANES), max(1, _REGISTERS // kind.kernel[0]))


class _Patches(Vectors):
    """Emits a sum of patches times factors. rows, pieces: of a patch that are summed at a time; pitch: between rows."""

    def __init__(self, builder: Any, rows: int, pieces: int, pitch: Any) -> None:
        super().__init__(builder)
        self.rows, self.pieces, self.pitch = rows, pieces, pitch
        self.at_a_time = 2 if rows * pieces <= _FEW else 1

    def emit(self, target: Any, at: Any, arrays: list[Any], end: Any, chunks: Any) -> None:
        """All chunks of the rows."""
        number, chunk = target.type.pointee, ir.Constant(WIDE, self.pieces * _LANES)
        with cgutils.for_range_slice(self.b, ir.Constant(WIDE, 0), chunks, ir.Constant(WIDE, 1)) as (k, _):
            shift = self.b.mul(k, chunk)
            sums = [self._sum(number) for _ in range(self.rows * self.pieces * self.at_a_time)]
            with cgutils.for_range_slice(self.b, ir.Constant(WIDE, 0), end, ir.Constant(WIDE, self.at_a_time)) as (q, _):
                for u in range(self.at_a_time):
                    self._add(sums[u :: self.at_a_time], arrays, self.plus(q, u), shift)
            for n in range(self.rows * self.pieces):
                a, i = divmod(n, self.pieces)
                line = self.b.mul(self.b.add(self.b.mul(chunks, ir.Constant(WIDE, a)), k), chunk)
                place = self.b.add(at, self.plus(line, i * _LANES))
                value = self.load(target, place, _LANES)
                for held in sums[n * self.at_a_time : (n + 1) * self.at_a_time]:
                    value = self._plus(value, self.b.load(held))
                self.store(value, target, place, _LANES)

    def _sum(self, number: Any) -> Any:
        held = cgutils.alloca_once(self.b, self.vector(number, _LANES))
        self.b.store(ir.Constant(self.vector(number, _LANES), None), held)
        return held

    def _add(self, sums: list[Any], arrays: list[Any], q: Any, shift: Any) -> None:
        source, places, factors = arrays
        line = self.b.add(self.b.sext(self.b.load(self.b.gep(places, [q])), WIDE), shift)
        factor = self.spread(self.b.load(self.b.gep(factors, [q])), _LANES)
        for a in range(self.rows):
            for i in range(self.pieces):
                held, numbers = sums[a * self.pieces + i], self.load(source, self.plus(line, i * _LANES), _LANES)
                self.b.store(self._plus(self.b.load(held), self._product(factor, numbers)), held)
            line = self.b.add(line, self.pitch)

    def _plus(self, a: Any, b: Any) -> Any:
        return self.b.fadd(a, b, flags=("contract",)) if isinstance(a.type.element, ir.FloatType) else self.b.add(a, b)

    def _product(self, factor: Any, numbers: Any) -> Any:
        if isinstance(factor.type.element, ir.FloatType):
            return self.b.fmul(factor, numbers, flags=("contract",))
        return self.b.mul(factor, numbers if numbers.type == factor.type else self.b.sext(numbers, factor.type))


@intrinsic(prefer_literal=True)
def add_patches(typing, target, at, source, places, factors, end, pitch, chunks, rows, pieces):
    """target[at + (a * chunks * pieces * 16) + j] += sum of factors[q] * source[places[q] + a * pitch + j], q = 0..end-1; all arrays flat.

    a = 0..rows-1, j = 0..chunks*pieces*16-1; rows, pieces: literals. places[end], factors[end] may be read: 0.
    """
    n_rows, n_pieces, number = rows.literal_value, pieces.literal_value, types.int64

    def code(context, builder, signature, values):
        held, *arrays = data_of(context, builder, [signature.args[k] for k in (0, 2, 3, 4)], [values[k] for k in (0, 2, 3, 4)])
        _Patches(builder, n_rows, n_pieces, values[6]).emit(held, values[1], arrays, values[5], values[7])
        return context.get_dummy_value()

    return types.void(target, number, source, places, factors, number, number, number, rows, pieces), code
