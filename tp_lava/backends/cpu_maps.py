"""Convolutions of stride 1 as source for Numba: a spike adds whole rows of the kernel, a kernel row learns by all its spikes at once.

Maps are mirrored along x and have a border: pixel (y, x) below sees tap (a, b) at row y - a * dy and column x0 - x + b, so that the taps
b of all channels lie side by side in maps as they do in the kernel, and none falls outside. A sum of such rows is made in registers
(cpu_rows): the rows of all channels that spike at one pixel; the signals at all pixels where one channel spikes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tp_lava.graph.connections import Convolution
from tp_lava.numbers import Format

_BLOCK = 32  # channels of a block of maps of real numbers
_STRIP = 6144  # real numbers in a strip of pixels of a block, so that it stays in the nearest cache
_LANES, _PIECES, _SUMS = 16, (5, 3, 2, 1), 25  # of a vector; vectors of a kernel's row that are summed at a time; sums at a time
_NEAR, _MOST = 2**15, 255  # bytes of a kernel that stays in the nearest cache; rows of 8 bits whose sum fits 16
_PLACES = """
left, top = max(0, kx - 1 - px), max(0, (ky - 1) * dy - py)
wide, tall, pixels, row = ow + 2 * left, oh + 2 * top, h * w, ky * kx * oc
size = {size}  # channels of a block of maps
n, below, area = kx * size, dy * wide * size, tall * wide * size
origin = (top * wide + ow - 1 + left) * size  # of position (0, 0) in a block
if known[0] == 0:  # the first time
    for y in range(h):
        for x in range(w):
            place_of[y * w + x] = ((y + py + top) * wide + ow - 1 + left - px - x) * size
"""
# Count how many units each list has, then put each into its own; list k is places[ends[k]:ends[k + 1]].
_SORT = """ends[...] = 0
    channel, start = 0, 0
    for q in range(count[r]):
        {unit}
        ends[u64({key} + 2)] += 1
    for k in range(ends.shape[0] - 1):
        ends[u64(k + 1)] += ends[u64(k)]
    for q in range(count[r]):
        {unit}
        at = u64(ends[u64({key} + 1)])
        ends[u64({key} + 1)] = i32(at + u64(1))
        {put}"""
_UNIT = """i = i64(active[r, u64(q)])
        if i < start or i >= start + pixels:
            channel = i // pixels
            start = channel * pixels"""  # indices that cannot be negative: nothing is looked up twice
_DELIVER = """
known[0] = 1
flat = as_flat(weights)
for r in range(into.shape[0]):
    if count[r] == 0:
        {clear}
        continue
    {sort}
    occupied = 0
    for p in range(pixels):
        pixel[u64(occupied)] = p
        occupied += 1 if ends[u64(p)] < ends[u64(p + 1)] else 0
    maps[...] = 0
    {sums}
    touched[...] = 0
    for o in range(0, oc, 8):
        for y in range(oh):
            transpose(into[r], ({channel} * oh + y) * ow, oh * ow, maps, origin + y * wide * oc + o, -oc, ow, min(8, oc - o))
"""
_ROW_BY_ROW = """for a in range(ky):
        for channel in range(c):  # what lies close together, from a cache line's beginning on, stays in a cache
            if touched[channel] != 0:
                {hold}
        for q in range(occupied):
            p = u64(pixel[u64(q)])
            first, end = i64(ends[p]), i64(ends[p + u64(1)])
            {add}"""
_HOLD = """for o in range(n):
                    held[u64(channel * n + o)] = flat[u64(channel * row + a * n + o)]"""
# A part delivers to some channels, and learns from some.
_OWN_CHANNELS = """
outputs = oc
{own}
oc = own_end - own_first
"""
_HOLD_OWN = """for b in range(kx):
                    start = ((channel * ky + a) * kx + b) * outputs + own_first
                    for o in range(oc):
                        held[u64(channel * n + b * oc + o)] = flat[u64(start + o)]"""
_AT_ONCE = """for q in range(occupied):
        p = u64(pixel[u64(q)])
        first, end = i64(ends[p]), i64(ends[p + u64(1)])
        add_taps(maps, i64(place_of[p]), -below, flat, n, places, first, end, {chunks}, {rows}, {pieces}, {lanes})"""
_LEARN = """
flat = as_flat(change)
rows = {rows}  # of pixels, in a strip
strips = (h + rows - 1) // rows
if known[0] == 0:
    known[0] = 1
    for y in range(h):
        for x in range(w):
            pixel[y * w + x] = y // rows * c  # list of a pixel in channel 0
for r in range(third.shape[0]):
    {sort}
    if ends[strips * c] == 0:
        continue
    for k in range(oc // size):
        for y in range(oh):
            transpose(maps, k * area + origin + y * wide * size, -size, third[r, k * size * oh * ow :], y * ow, oh * ow, size, ow)
    for k in range(oc // size):
        for strip in range(strips):
            for a in range(ky):
                for channel in {channels}:
                    first, end = i64(ends[strip * c + channel]), i64(ends[strip * c + channel + 1])
                    if first < end:
                        touched[channel] = 1
                        {add}
"""
_LIST_TRACE = """found = 0
    for strip in range(strips):
        for channel in range(c):
            start = channel * pixels
            for p in range(strip * rows * w, min((strip + 1) * rows, h) * w):
                x1 = trace[r, u64(start + p)]
                places[u64(found)] = place_of[u64(p)]
                factors[u64(found)] = x1
                found += 1 if x1 != 0 else 0
            ends[strip * c + channel + 1] = found"""
_CLIP = """
for channel in range(c):
    if touched[channel] != 0:
        touched[channel] = 0
        sums = flat[channel * row : (channel + 1) * row]
        for k in range(sums.shape[0]):
            sums[k] = min(max(sums[k], i32(-{high})), i32({high}))
"""
Work = Mapping[str, tuple[tuple[int, ...], type]]


def takes(kind: Convolution) -> bool:
    """Whether these loops do a convolution: shared weights, stride 1, no groups, taps side by side."""
    return kind.shared and kind.stride == (1, 1) and kind.groups == 1 and kind.dilation[1] == 1


def own(size: str, unit: int = 1) -> str:
    """Source of what a part has of 0..size-1, whole units but for the end: from `own_first` below `own_end`."""
    units = f"({size} + {unit - 1}) // {unit}"
    return f"own_first = {units} * part[0] // part[1] * {unit}\nown_end = min({size}, {units} * (part[0] + 1) // part[1] * {unit})\n"


def delivers_in_parts(kind: Convolution, values: bool, weights: type) -> bool:
    """Whether a delivery of stride 1 can be divided."""
    return values or not _at_once(kind, np.dtype(weights).itemsize)


def deliver(kind: Convolution, values: bool, weights: type, shared: bool = False) -> str:
    """Source that delivers spikes, or values. weights: their type; shared: in parts, each of some channels."""
    at_once = None if values else _at_once(kind, np.dtype(weights).itemsize)
    put = f"places[at], touched[u64(channel)] = channel * {'row' if at_once else 'n'}, 1"
    put += "; factors[at] = values[r, u64(i)]" if values else ""
    sort = _SORT.format(unit=_UNIT, key="i - start", put=put)
    add, hold = _add(values, "maps", "place_of[p] - a * below", "held", "0"), _HOLD_OWN if shared else _HOLD
    sums = _AT_ONCE.format(**at_once) if at_once else _ROW_BY_ROW.format(add=add, hold=hold)
    whole = {"clear": "into[r, :] = 0", "channel": "o"}
    part = {"clear": "into[r, own_first * oh * ow : own_end * oh * ow] = 0", "channel": "(own_first + o)"}
    before = _OWN_CHANNELS.format(own=own("oc", _LANES)) if shared else ""
    return before + _PLACES.format(size="oc") + _DELIVER.format(sort=sort, sums=sums, **(part if shared else whole))


def _at_once(kind: Convolution, bytes_: int) -> dict[str, int] | None:
    """How a kernel's rows are summed, if it is so small that all of it stays in the nearest cache, and its rows fill vectors."""
    n, channels, rows = kind.kernel[1] * kind.channels, kind.pooled_shape[0], kind.kernel[0]
    if n % _LANES or channels * rows * n * bytes_ > _NEAR or channels > _MOST or rows > _SUMS:
        return None
    lanes = 2 * _LANES if bytes_ == 1 and n % (2 * _LANES) == 0 else _LANES
    pieces = next(k for k in _PIECES if n // lanes % k == 0 and (rows * k <= _SUMS or k == 1))
    return {"rows": rows, "pieces": pieces, "lanes": lanes, "chunks": n // lanes // pieces}


def learn(kind: Convolution, events: bool, format: Format | None, shared: bool = False) -> str:
    """Source that sums up changes by spikes, or by traces. format: of the sums, to which they are clipped; shared: in parts, each of some
    channels of what is below.
    """
    blocks = format is None and kind.channels % _BLOCK == 0
    size, apart = (str(_BLOCK), "size, oc") if blocks else ("oc", "")
    rows = f"max(1, min(h, {_STRIP} // (wide * size)))" if format is None else "h"
    sort = _SORT.format(unit=_UNIT, key="pixel[u64(i - start)] + channel", put="places[at] = place_of[u64(i - start)]")
    add = _add(not events, "flat", "channel * row + a * kx * oc + k * size", "maps", "k * area - a * below", apart)
    channels = "range(own_first, own_end)" if shared else "range(c)"
    text = _LEARN.format(sort=sort if events else _LIST_TRACE, add=add, rows=rows, channels=channels)
    return (own("c") if shared else "") + _PLACES.format(size=size) + text + (_CLIP.format(high=format.high) if format else "")


def _add(scaled: bool, target: str, at: str, source: str, shift: str, apart: str = "") -> str:
    """A sum of rows. apart: size of the parts that lie apart in the target, and how far."""
    name = f"add_{'scaled_' if scaled else ''}{'parts' if apart else 'rows'}"
    arguments = [target, at, "n", source, shift, "places", *(["factors"] if scaled else []), "first, end", *([apart] if apart else [])]
    return f"{name}({', '.join(arguments)})"


def work(kind: Convolution, maps: type, factors: type, weights: type | None = None) -> Work:
    """The scratch arrays of both, with types of maps, of factors and, to deliver, of weights."""
    (c, h, w), (oc, oh, ow) = kind.pooled_shape, kind.output_shape
    left = max(0, kind.kernel[1] - 1 - kind.padding[1])
    top = max(0, (kind.kernel[0] - 1) * kind.dilation[0] - kind.padding[0])
    held = {"held": ((c * kind.kernel[1] * oc,), weights)} if weights else {}
    return {
        "maps": (((oh + 2 * top) * (ow + 2 * left) * oc,), maps),
        "places": ((c * h * w,), np.int32),
        "place_of": ((h * w,), np.int32),
        "known": ((1,), np.int32),
        "factors": ((c * h * w,), factors),
        "ends": ((h * max(w, c) + 2,), np.int32),
        "pixel": ((h * w,), np.int32),
        "touched": ((c,), np.int32),
        **held,
    }


def narrowest(format: Format | None) -> type:
    """The narrowest type of signals."""
    if format is None:
        return np.float32
    return np.int8 if format.bits <= 8 and format.signed else np.int16 if format.bits < 16 else np.int32
