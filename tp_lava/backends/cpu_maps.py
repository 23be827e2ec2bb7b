"""Convolutions as source for Numba: a spike adds whole rows of the kernel, a kernel row learns by all its spikes at once.

Maps are mirrored along x and have a border: pixel (y, x) below sees tap (a, b) at row y - a * dy and column x0 - x + b, so that the taps
b of all channels lie side by side in maps as they do in the kernel, and none falls outside. A sum of such rows is made in registers
(cpu_rows): the rows of all channels that spike at one pixel; the signals at all pixels where one channel spikes.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from textwrap import dedent

import numpy as np

from tp_lava.graph.connections import Convolution
from tp_lava.numbers import Format

_BLOCK = 32  # channels of a block of maps of real numbers
_STRIP = 6144  # real numbers in a strip of pixels of a block, so that it stays in the nearest cache
_LANES, _PIECES, _SUMS = 16, (5, 3, 2, 1), 25  # of a vector; vectors of a kernel's row that are summed at a time; sums at a time
_NEAR, _MOST = 2**15, 255  # bytes of a kernel that stays in the nearest cache; rows of 8 bits whose sum fits 16
_PLACES = """
left, top = max(0, (kx - 1 - px) // sx, (w - 1 + px) // sx - ow + 1), max(0, ((ky - 1) * dy - py) // sy, (h - 1 + py) // sy - oh + 1)
wide, tall, pixels, row = ow + 2 * left, oh + 2 * top, h * w, ky * kx * oc
size = {size}  # channels of a block of maps
n, below, area = kx * size, dy * wide * size, tall * wide * size
origin = (top * wide + ow - 1 + left) * size  # of position (0, 0) in a block
if known[0] == 0:  # the first time
    for y in range(h):
        for x in range(w):
            place_of[y * w + x] = (((y + py) // sy + top) * wide + ow - 1 + left - (x + px) // sx) * size
"""
# Of a stride above 1: a pixel sees every sy-th row and sx-th column of the kernel, those of its phase, which a copy has side by side.
_PHASES = """
if known[0] == 0:
    for y in range(h):
        for x in range(w):
            phase_of[y * w + x] = (y + py) % sy * sx + (x + px) % sx
    for a in range(ky):
        row_of[a] = a % sy * (ky // sy) + min(a % sy, ky % sy) + a // sy
    for b in range(kx):
        column_of[b] = b % sx * (kx // sx) + min(b % sx, kx % sx) + b // sx
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
# The same by pixel, of which few may have units: `pixel` lists those that do, and list q is places[begins[q]:begins[q + 1]].
_BY_PIXEL = """ends[...] = 0
    channel, start = 0, 0
    for q in range(count[r]):
        {unit}
        ends[u64(i - start)] += 1
    occupied = list_numbers(ends, 0, pixels, pixel, begins, 0)
    listed = i32(0)
    for q in range(occupied):
        own = begins[u64(q)]
        begins[u64(q)], ends[u64(pixel[u64(q)])] = listed, listed
        listed += own
    begins[u64(occupied)] = listed
    for q in range(count[r]):
        {unit}
        at = u64(ends[u64(i - start)])
        ends[u64(i - start)] = i32(at + u64(1))
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
    {ordered}
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
            first, end = i64(begins[u64(q)]), i64(begins[u64(q + 1)])
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
_HOLD_ORDERED = """for b in range(kx):
                    for o in range(oc):
                        held[u64(channel * n + column_of[b] * oc + o)] = flat[u64(channel * row + a * n + b * oc + o)]"""
_ADD_PHASE = """phase_x = i64(phase_of[p]) - a % sy * sx
            if phase_x < 0 or phase_x >= sx:
                continue
            {columns}
            {add}"""
_ORDER = """for channel in range(c):
        if touched[channel] != 0:
            for a in range(ky):
                for b in range(kx):
                    to, start = channel * row + (row_of[a] * kx + column_of[b]) * oc, channel * row + (a * kx + b) * oc
                    for o in range(oc):
                        {put}"""
_AT_ONCE = """for q in range(occupied):
        p = u64(pixel[u64(q)])
        first, end = i64(begins[u64(q)]), i64(begins[u64(q + 1)])
        {add}"""
_TAPS = "add_taps(maps, i64(place_of[p]), -below, {kernel}, n, places, first, end, {chunks}, {rows}, {pieces}, {lanes})"
_LEARN = """
flat = as_flat(change)
rows = {rows}  # of pixels, in a strip
strips = (h + rows - 1) // rows
if known[0] == 0:
    known[0] = 1
    for y in range(h):
        for x in range(w):
            pixel[y * w + x] = y // rows * c * {phases}{phase}  # list of a pixel in channel 0
for r in range(third.shape[0]):
    {sort}
    if ends[strips * c * {phases}] == 0:
        continue
    changed[0] = 1
    for k in range(oc // size):
        for y in range(oh):
            transpose(maps, k * area + origin + y * wide * size, -size, third[r, k * size * oh * ow :], y * ow, oh * ow, size, ow)
    for k in range(oc // size):
        for strip in range(strips):
            for phase in range({phases}):
                {columns}
                for a in range({taps}):
                    for channel in {channels}:
                        own = (strip * c + channel) * {phases} + phase
                        first, end = i64(ends[own]), i64(ends[own + 1])
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
_LIST_TRACE_ORDERED = """found = 0
    for strip in range(strips):
        for channel in range(c):
            start = channel * pixels
            for phase in range(sy * sx):
                for y in range(strip * rows, min((strip + 1) * rows, h)):
                    for x in range((phase % sx - px) % sx, w if (y + py) % sy == phase // sx else 0, sx):
                        p = y * w + x
                        x1 = trace[r, u64(start + p)]
                        places[u64(found)] = place_of[u64(p)]
                        factors[u64(found)] = x1
                        found += 1 if x1 != 0 else 0
                ends[(strip * c + channel) * sy * sx + phase + 1] = found"""
_COLUMNS = """columns, before = kx // sx, phase_x * (kx // sx) + min(phase_x, kx % sx)
            columns += 1 if phase_x < kx % sx else 0"""
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
    """Whether these loops do a convolution: shared weights, no groups, taps side by side."""
    return kind.shared and kind.groups == 1 and kind.dilation[1] == 1 and (kind.stride[0] == 1 or kind.dilation[0] == 1)


def _strided(kind: Convolution) -> bool:
    return kind.stride != (1, 1)


def own(size: str, unit: int = 1) -> str:
    """Source of what a part has of 0..size-1, whole units but for the end: from `own_first` below `own_end`."""
    units = f"({size} + {unit - 1}) // {unit}"
    return f"own_first = {units} * part[0] // part[1] * {unit}\nown_end = min({size}, {units} * (part[0] + 1) // part[1] * {unit})\n"


def delivers_in_parts(kind: Convolution, values: bool, weights: type) -> bool:
    """Whether a delivery of stride 1 can be divided."""
    return values or not _at_once(kind, np.dtype(weights).itemsize)


def deliver(kind: Convolution, values: bool, weights: type, shared: bool = False) -> str:
    """Source that delivers spikes, or values. weights: their type; shared, of stride 1: in parts, each of some channels."""
    strided, ordered, shift = _strided(kind), "", "place_of[p] - a * below"
    at_once = "" if values else _at_once(kind, np.dtype(weights).itemsize)
    put = f"places[at], touched[u64(channel)] = channel * {'row' if at_once else 'n'}, 1"
    put += "; factors[at] = values[r, u64(i)]" if values else ""
    sort = _BY_PIXEL.format(unit=_UNIT, put=put)
    if at_once:
        sums, ordered = at_once, _ORDER.format(put="ordered[u64(to + o)] = flat[u64(start + o)]") if strided else ""
    elif strided:
        add = _add(values, "maps", "place_of[p] - a // sy * below", "held", "before * oc", n="columns * oc")
        sums = _ROW_BY_ROW.format(hold=_HOLD_ORDERED, add=_ADD_PHASE.format(columns=_COLUMNS, add=add))
    else:
        sums = _ROW_BY_ROW.format(hold=_HOLD_OWN if shared else _HOLD, add=_add(values, "maps", shift, "held", "0"))
    places = _PLACES.format(size="oc") + (_PHASES if strided else "")
    whole = {"clear": "into[r, :] = 0", "channel": "o"}
    part = {"clear": "into[r, own_first * oh * ow : own_end * oh * ow] = 0", "channel": "(own_first + o)"}
    before = _OWN_CHANNELS.format(own=own("oc", _LANES)) if shared else ""
    return before + places + _DELIVER.format(sort=sort, sums=sums, ordered=ordered, **(part if shared else whole))


def _at_once(kind: Convolution, bytes_: int) -> str:
    """How a kernel's rows are summed, if it is so small that all of it stays in the nearest cache, and its rows fill vectors."""
    (ky, kx), (sy, sx), channels = kind.kernel, kind.stride, kind.pooled_shape[0]
    if channels * ky * kx * kind.channels * bytes_ > _NEAR or channels > _MOST:
        return ""
    texts = []
    for phase_y, phase_x in product(range(min(sy, ky)), range(min(sx, kx))):
        (rows, first_row), (columns, first_column) = _phase(ky, sy, phase_y), _phase(kx, sx, phase_x)
        n = columns * kind.channels
        if n % _LANES or rows > _SUMS:
            return ""
        lanes = 2 * _LANES if bytes_ == 1 and n % (2 * _LANES) == 0 else _LANES
        pieces = next(k for k in _PIECES if n // lanes % k == 0 and (rows * k <= _SUMS or k == 1))
        kernel = f"ordered[{first_row} * n + {first_column} * oc :]" if _strided(kind) else "flat"
        text = _TAPS.format(kernel=kernel, rows=rows, pieces=pieces, lanes=lanes, chunks=n // lanes // pieces)
        texts.append(f"if phase_of[p] == {phase_y * sx + phase_x}: {text}" if _strided(kind) else text)
    return _AT_ONCE.format(add="\n        ".join(texts))


def _phase(kernel: int, stride: int, phase: int) -> tuple[int, int]:
    """Rows, or columns, of a kernel that a pixel sees, and how many come before them in the ordered copy."""
    return -(-(kernel - phase) // stride), sum(-(-(kernel - before) // stride) for before in range(phase))


def learn(kind: Convolution, events: bool, format: Format | None, shared: bool = False) -> str:
    """Source that sums up changes by spikes, or by traces. format: of the sums, to which they are clipped; shared, of stride 1: in parts,
    each of some channels of what is below.
    """
    strided = _strided(kind)
    blocks = format is None and kind.channels % _BLOCK == 0
    size, apart = (str(_BLOCK), "size, oc") if blocks else ("oc", "")
    how = {
        "phases": kind.stride[0] * kind.stride[1],
        "phase": " + phase_of[y * w + x]" if strided else "",
        "rows": f"max(1, min(h, {_STRIP} // (wide * size)))" if format is None else "h",
        "taps": "phase // sx, ky, sy" if strided else "ky",
        "channels": "range(own_first, own_end)" if shared else "range(c)",
        "columns": ("phase_x = phase % sx\n            " + _COLUMNS).replace("\n", "\n    ") if strided else "",
    }
    key = f"pixel[u64(i - start)] + channel * {how['phases']}"
    sort = _SORT.format(unit=_UNIT, key=key, put="places[at] = place_of[u64(i - start)]") if events else ""
    sort = sort or (_LIST_TRACE_ORDERED if strided else _LIST_TRACE)
    at = ("(row_of[a] * kx + before)" if strided else "a * kx") + " * oc + k * size"
    shift, n = (f"a{' // sy' if strided else ''} * below", "columns * size" if strided else "n")
    add = _add(not events, "ordered" if strided else "flat", f"channel * row + {at}", "maps", f"k * area - {shift}", apart, n)
    text = (
        (own("c") if shared else "") + _PLACES.format(size=size) + (_PHASES if strided else "") + _LEARN.format(sort=sort, add=add, **how)
    )
    if not strided:
        return text + (_CLIP.format(high=format.high) if format else "")
    sum_ = "flat[u64(start + o)] + ordered[u64(to + o)]"
    sum_ = f"min(max({sum_}, i32(-{format.high})), i32({format.high}))" if format else sum_
    put = f"flat[u64(start + o)], ordered[u64(to + o)] = {sum_}, 0"
    return text + dedent(" " * 4 + _ORDER.format(put=put)) + "\ntouched[...] = 0\n"


def _add(scaled: bool, target: str, at: str, source: str, shift: str, apart: str = "", n: str = "n") -> str:
    """A sum of rows. n: how long they are; apart: size of the parts that lie apart in the target, and how far."""
    name = f"add_{'scaled_' if scaled else ''}{'parts' if apart else 'rows'}"
    arguments = [target, at, n, source, shift, "places", *(["factors"] if scaled else []), "first, end", *([apart] if apart else [])]
    return f"{name}({', '.join(arguments)})"


def work(kind: Convolution, maps: type, factors: type, weights: type | None = None) -> Work:
    """The scratch arrays of both, with types of maps, of factors and, to deliver, of weights."""
    (c, h, w), (oc, oh, ow), (ky, kx), (sy, sx) = kind.pooled_shape, kind.output_shape, kind.kernel, kind.stride
    (py, px), dy = kind.padding, kind.dilation[0]
    left = max(0, (kx - 1 - px) // sx, (w - 1 + px) // sx - ow + 1)
    top = max(0, ((ky - 1) * dy - py) // sy, (h - 1 + py) // sy - oh + 1)
    held = {"held": ((c * kx * oc,), weights), "begins": ((h * w + 1,), np.int32)} if weights else {}
    by_phase = {"phase_of": ((h * w,), np.int32), "row_of": ((ky,), np.int32), "column_of": ((kx,), np.int32)}
    ordered = {"ordered": ((c * ky * kx * oc,), weights or factors), **by_phase} if _strided(kind) else {}
    return {
        "maps": (((oh + 2 * top) * (ow + 2 * left) * oc,), maps),
        "places": ((c * h * w,), np.int32),
        "place_of": ((h * w,), np.int32),
        "known": ((1,), np.int32),
        "factors": ((c * h * w,), factors),
        "ends": ((h * max(w, c * sy * sx) + 2,), np.int32),
        "pixel": ((h * w,), np.int32),
        "touched": ((c,), np.int32),
        **held,
        **ordered,
    }


def sums(kind: Convolution, number: type, weights: type, values: bool) -> type:
    """The type of maps into which spikes are delivered: 16 bits, where no sum of weights of 8 bits can leave them."""
    return np.int16 if weights == np.int8 and not values and kind.fan_in <= _MOST else number


def narrowest(format: Format | None) -> type:
    """The narrowest type of signals."""
    if format is None:
        return np.float32
    return np.int8 if format.bits <= 8 and format.signed else np.int16 if format.bits < 16 else np.int32
