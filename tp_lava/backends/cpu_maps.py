"""Convolutions of stride 1 as source for Numba: a spike adds whole rows of the kernel, a kernel row learns by all its spikes at once.

Maps are mirrored along x and have a border: pixel (y, x) below sees tap (a, b) at row y - a * dy and column x0 - x + b, so that the taps
b of all channels lie side by side in maps as they do in the kernel, and none falls outside. A sum of such rows is made in registers
(cpu_rows): the rows of all channels that spike at one pixel; the signals at all pixels where one channel spikes.
"""

from __future__ import annotations

import numpy as np

from tp_lava.graph.connections import Convolution
from tp_lava.numbers import Format

_PLACES = """
left, top = max(0, kx - 1 - px), max(0, (ky - 1) * dy - py)
wide, tall, n, pixels = ow + 2 * left, oh + 2 * top, kx * oc, h * w
below = dy * wide * oc
origin = (top * wide + ow - 1 + left) * oc  # of position (0, 0) in maps
for y in range(h):
    for x in range(w):
        place_of[y * w + x] = ((y + py + top) * wide + ow - 1 + left - px - x) * oc
"""
_EACH_UNIT = """for q in range(count[r]):
        i = i64(active[r, q])
        if i < start or i >= start + pixels:
            channel = i // pixels
            start = channel * pixels"""
_DELIVER = (
    _PLACES
    + f"""
flat = weights.ravel()
for r in range(into.shape[0]):
    if count[r] == 0:
        into[r, :] = 0
        continue
    maps[...] = 0
    ends[...] = 0
    channel, start = 0, 0
    {_EACH_UNIT}
        ends[i - start + 1] += 1
    for p in range(pixels):
        ends[p + 1] += ends[p]
    {_EACH_UNIT}
        q_sorted = ends[i - start]
        ends[i - start] += 1
        places[q_sorted] = channel * ky * n
        {{value}}
    first = 0
    for p in range(pixels):
        end = i64(ends[p])
        if first < end:
            for a in range(ky):
                {{add}}
        first = end
    for y in range(oh):
        for o in range(0, oc, 8):
            transpose(into[r], o * oh * ow + y * ow, oh * ow, maps, origin + y * wide * oc + o, -oc, ow, min(8, oc - o))
"""
)
_LEARN = (
    _PLACES
    + """
flat = change.ravel()
for r in range(third.shape[0]):
    filled = False
    {begin}
    for channel in range(c):
        start = channel * pixels
        found = 0
        {list}
        if found == 0:
            continue
        touched[channel] = 1
        if not filled:
            filled = True
            for y in range(oh):
                transpose(maps, origin + y * wide * oc, -oc, third[r], y * ow, oh * ow, oc, ow)
        for a in range(ky):
            {add}
"""
)
_LIST_EVENTS = """while q < count[r] and active[r, q] < start + pixels:
            places[found] = place_of[active[r, q] - start]
            found += 1
            q += 1"""
_LIST_TRACE = """for p in range(pixels):
            x1 = trace[r, start + p]
            places[found] = place_of[p]
            factors[found] = x1
            found += 1 if x1 != 0 else 0"""
_CLIP = """
for channel in range(c):
    if touched[channel] != 0:
        touched[channel] = 0
        sums = flat[channel * ky * n : (channel + 1) * ky * n]
        for k in range(sums.shape[0]):
            sums[k] = min(max(sums[k], i32(-{high})), i32({high}))
"""
Work = dict[str, tuple[tuple[int, ...], type]]


def takes(kind: Convolution) -> bool:
    """Whether these loops do a convolution: shared weights, stride 1, no groups, taps side by side."""
    return kind.shared and kind.stride == (1, 1) and kind.groups == 1 and kind.dilation[1] == 1


def deliver(values: bool) -> str:
    """Source that delivers spikes, or values."""
    add = (
        "add_scaled_rows(maps, {0}, n, flat, {1}, places, factors, first, end)"
        if values
        else "add_rows(maps, {0}, n, flat, {1}, places, first, end)"
    )
    value = "factors[q_sorted] = values[r, i]" if values else "pass"
    return _DELIVER.format(add=add.format("place_of[p] - a * below", "a * n"), value=value)


def learn(events: bool, format: Format | None) -> str:
    """Source that sums up changes by spikes, or by traces. format: of the sums, to which they are clipped."""
    add = (
        "add_rows(flat, {0}, n, maps, {1}, places, 0, found)"
        if events
        else "add_scaled_rows(flat, {0}, n, maps, {1}, places, factors, 0, found)"
    )
    add = add.format("(channel * ky + a) * n", "-a * below")
    text = _LEARN.format(add=add, list=_LIST_EVENTS if events else _LIST_TRACE, begin="q = 0" if events else "pass")
    return text + (_CLIP.format(high=format.high) if format else "")


def work(kind: Convolution, maps: type, factors: type) -> Work:
    """The scratch arrays of both."""
    (c, h, w), (oc, oh, ow) = kind.pooled_shape, kind.output_shape
    left = max(0, kind.kernel[1] - 1 - kind.padding[1])
    top = max(0, (kind.kernel[0] - 1) * kind.dilation[0] - kind.padding[0])
    return {
        "maps": (((oh + 2 * top) * (ow + 2 * left) * oc,), maps),
        "places": ((c * h * w,), np.int32),
        "place_of": ((h * w,), np.int32),
        "factors": ((c * h * w,), factors),
        "ends": ((h * w + 1,), np.int32),
        "touched": ((c,), np.int32),
    }


def narrowest(format: Format | None) -> type:
    """The narrowest type of signals."""
    if format is None:
        return np.float32
    return np.int8 if format.bits <= 8 and format.signed else np.int16 if format.bits < 16 else np.int32
