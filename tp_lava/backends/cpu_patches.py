"""Convolutions of any stride that learn by the third factors that are not zero, as source for Numba.

A neuron sees a patch of the maps below, and each row of a patch lies side by side where maps are held (y, x, channel): a third factor
that is not zero adds its patch, so many times, to its channel's sum, in registers. Behind a maximum one neuron of a window at most
has a third factor, and outside a surrogate's width none.
"""

from __future__ import annotations

from textwrap import indent

import numpy as np

from tp_lava.backends.cpu_maps import own
from tp_lava.graph.connections import Convolution
from tp_lava.numbers import Format

_LANES, _REGISTERS = 16, 12  # of 32 bits; sums at a time
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
            patch_of[oy * ow + ox] = (oy * sy * across + ox * sx) * c + 1  # not 0
    for y in range(h):
        for x in range(w):
            pixel_of[y * w + x] = ((y + py) * across + px + x) * c
{clear}
for r in range(third.shape[0]):
    {fill}
    for o in {outputs}:
        found = list_numbers(third[r], o * oh * ow, oh * ow, spots, thirds, 0)
        if found > 0:
            changed[0] = 1
        for q in range(found):
            spots[u64(q)] = patch_of[u64(spots[u64(q)])] - 1
        spots[found], thirds[found] = 0, 0  # where two are taken at a time
        add_patches(sums, o * patch, patches, dy * across * c, spots, thirds, found, chunks, {rows}, {pieces})
{turn}
for channel in range(c):
    for a in range(ky):
        for b in range(kx):
            to, start = ((channel * ky + a) * kx + b) * oc, (a * line + b * c + channel) * oc
            for o in {outputs}:
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
    """Whether these loops do a convolution whose kernel is so small beside its maps that to turn its sums around costs little."""
    if not kind.shared or kind.groups > 1 or kind.dilation[1] > 1:
        return False
    return kind.pooled_shape[0] * kind.kernel[0] * kind.kernel[1] <= kind.output_shape[1] * kind.output_shape[2]


def learn(kind: Convolution, events: bool, format: Format | None, shared: bool = False) -> str:
    """Source that sums up changes by spikes, or by traces. format: of the sums, to which they are clipped; shared: in parts, each of some
    channels.
    """
    sum_ = "sums_to[u64(to + o)] + turned[u64(start + o)]"
    whole = {"outputs": "range(oc)", "clear": "sums[...] = 0", "turn": "transpose(turned, 0, oc, sums, 0, patch, oc, patch)"}
    part = {
        "outputs": "range(own_first, own_end)",
        "clear": own("oc") + "sums[own_first * patch : own_end * patch] = 0",
        "turn": "transpose(turned, own_first, oc, sums, own_first * patch, patch, own_end - own_first, patch)",
    }
    return _LEARN.format(
        **(part if shared else whole),
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
