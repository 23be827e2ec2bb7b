"""Poolings and their way back as source for Numba.

Windows that lie side by side, all alike, are gone through by rows of windows: in vectors made by hand (cpu_windows), or with their
units written out. Sums over others are made axis by axis, whole rows of maps at a time; maxima window by window.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from tp_lava.circuit import Pool, Unpool
from tp_lava.graph.pooling import Pair

_MOST_UNITS = 64  # of a window that is written out
_MOST_TERMS = 16  # of a sum along x that is written out
_WIDEST, _LANES = 4, (8, 4)  # columns of a window that vectors take; windows at a time
_SIZES = """
c, h, w, oh, ow = i64(windows[0]), i64(windows[1]), i64(windows[2]), i64(windows[3]), i64(windows[4])
first_y, end_y = windows[5:], windows[5 + oh:]
along_x = windows[5 + 2 * oh + 2 * h:]
first_x, end_x = along_x, along_x[ow:]
"""
_POOL = """
for r in range(into.shape[0]):
    maps, pooled = seen(source[r], c * h, w), seen(into[r], c * oh, ow)
    for channel in range(c):
        for oy in range(oh):
            above, line = channel * oh + oy, channel * h + oy * {ky}
            {vectors}for ox in range(ow):
                {gather}
                pooled[u64(above), u64(ox)] = {scaled}
"""
_UNPOOL = """
for r in range(into.shape[0]):
    {clear}into[r, :] = 0
    maps, signals = seen(into[r], c * h, w), seen(signal[r], c * oh, ow)
    {source}
    for channel in range(c):
        for oy in range(oh):
            above, line = channel * oh + oy, channel * h + oy * {ky}
            {vectors}for ox in range(ow):
                found = signals[u64(above), u64(ox)]
                handed = {scaled}
                {hand}
"""
_ROW = """if ow >= {lanes}:
                for first in range(0, ow, {lanes}):  # the last of them overlap those before
                    ox = min(first, ow - {lanes})
                    {call}
                continue
            """
_POOL_ROW = "pool_windows(into[r], above * ow + ox, source[r], line * w + ox * {kx}, w, {ky}, {kx}, {is_max}, {lanes})"
_UNPOOL_ROW = "hand_to_first(into[r], source[r], line * w + ox * {kx}, w, signal[r], above * ow + ox, {ky}, {kx}, {lanes})"
_Y, _X = "i64(first_y[oy]), i64(end_y[oy])", "i64(first_x[ox]), i64(end_x[ox])"
_GATHER_ALL = f"""found = {{nothing}}
                for y in range({_Y}):
                    for x in range({_X}):
                        found = {{gather}}"""
_HAND_ALL = f"""for y in range({_Y}):
                    for x in range({_X}):
                        maps[channel * h + y, x] += handed"""
_HAND_FIRST = f"""at_y, at_x, most = -1, -1, {{least}}
                for y in range({_Y}):
                    for x in range({_X}):
                        if pooled[channel * h + y, x] > most:
                            at_y, at_x, most = y, x, pooled[channel * h + y, x]
                if at_y >= 0:
                    maps[channel * h + at_y, at_x] += handed"""
_SCALED = {
    True: "i32((i64(found) * i64(share[u64(oy * ow + ox)]) + {0}) >> {1})",
    False: "found * share[u64(oy * ow + ox)]",
}  # in fixed point, in real numbers
# Along y, rows of maps are added up; along x, as many units as the widest window has, what is not in a window being zero.
_POOL_SUMS = """
for k in range(max(h, oh)):
    row_at[k] = k * w
for r in range(into.shape[0]):
    pooled = into[r]
    for channel in range(c):
        lines[...] = 0
        for oy in range(oh):
            add_rows(lines, oy * w, w, source[r], channel * h * w, row_at, i64(first_y[oy]), i64(end_y[oy]))
            for ox in range(ow):
                first, end = i64(first_x[ox]), i64(end_x[ox])
                found = {sum}
                pooled[u64((channel * oh + oy) * ow + ox)] = {scaled}
"""
_UNPOOL_SUMS = """
over_y, until_y, over_x, until_x = end_y[oh:], end_y[oh + h:], end_x[ow:], end_x[ow + w:]
for k in range(max(h, oh)):
    row_at[k] = k * w
for r in range(into.shape[0]):
    maps, signals = into[r], signal[r]
    maps[...] = 0
    for channel in range(c):
        for oy in range(oh):
            for ox in range(ow):
                found = signals[u64((channel * oh + oy) * ow + ox)]
                line[u64(ox)] = {scaled}
            for x in range(w):
                first, end = i64(over_x[x]), i64(until_x[x])
                lines[u64(oy * w + x)] = {sum}
        for y in range(h):
            add_rows(maps, (channel * h + y) * w, w, lines, 0, row_at, i64(over_y[y]), i64(until_y[y]))
"""
_TERM = "select(first + {0} < end, {1}[u64({2}first + {0})], {3}(0))"
_LINE = "\n                "  # in the loop over a row of windows


def pool(o: Pool, fixed: bool) -> str:
    """Source of a pooling."""
    number, alike = "i32" if fixed else "f32", _alike(o)
    if by_axes(o):
        sum_ = " + ".join(_TERM.format(k, "lines", "oy * w + ", number) for k in range(_widest(o)))
        return _SIZES + _POOL_SUMS.format(sum=f"{number}({sum_})", **_shares(o, fixed))
    join = f"{number}(max({{0}}, {{1}}))" if o.pooling.mode == "max" else f"{number}({{0}} + {{1}})"
    if alike:
        gather = f"found = {number}(0)"
        gather += "".join(f"{_LINE}found = {join.format('found', unit)}" for unit in _units(alike, "maps"))
    else:
        gather = _GATHER_ALL.format(nothing=f"{number}(0)", gather=join.format("found", "maps[channel * h + y, x]"))
    vectors = "" if o.share else _vectors(alike, _POOL_ROW, is_max=int(o.pooling.mode == "max"))
    return _SIZES + _POOL.format(gather=gather, vectors=vectors, ky=alike[0] if alike else 0, **_shares(o, fixed))


def unpool(o: Unpool, fixed: bool) -> str:
    """Source of its way back."""
    number, alike, first = "i32" if fixed else "f32", _alike(o), o.pooling.mode == "max"
    if by_axes(o):
        sum_ = " + ".join(_TERM.format(k, "line", "", number) for k in range(_widest(o)))
        return _SIZES + _UNPOOL_SUMS.format(sum=f"{number}({sum_})", **_shares(o, fixed))
    if not alike:
        hand = _HAND_FIRST.format(least=f"{number}(-1)") if first else _HAND_ALL
    elif first:
        hand = _first(_units(alike, "pooled"), _units(alike, "maps"), number)
    else:
        hand = _LINE.join(f"{unit} = handed" for unit in _units(alike, "maps"))
    clear = f"if oh * {alike[0]} != h or ow * {alike[1]} != w: " if alike else ""
    source = "pooled = seen(source[r], c * h, w)" if first else "pass"
    vectors, ky = _vectors(alike, _UNPOOL_ROW) if first else "", alike[0] if alike else 0
    return _SIZES + _UNPOOL.format(hand=hand, vectors=vectors, source=source, clear=clear, ky=ky, **_shares(o, fixed))


def by_axes(o: Pool | Unpool) -> bool:
    """Whether it is made axis by axis."""
    return o.pooling.mode != "max" and not _alike(o) and _widest(o) <= _MOST_TERMS


def work(o: Pool | Unpool, number: type) -> dict[str, tuple[tuple[int, ...], type]]:
    """Its scratch arrays, with the type of its numbers."""
    if not by_axes(o):
        return {}
    (_, h, w), (_, oh, ow), widest = o.shape, o.pooling.shape(o.shape), _widest(o)
    return {"lines": ((oh * w + widest,), number), "line": ((ow + widest,), number), "row_at": ((max(h, oh),), np.int32)}


def _widest(o: Pool | Unpool) -> int:
    """The most units that a window has along x; of the way back, the most windows over a unit."""
    paths = o.pooling.paths(1, o.shape[2])
    return max(1, int(paths.sum(axis=int(isinstance(o, Pool))).max()))


def _vectors(alike: Pair | None, call: str, **details: int) -> str:
    """A row of windows in vectors, where it is long enough for some."""
    if not alike or alike[1] > _WIDEST:
        return ""
    return "".join(_ROW.format(call=call.format(ky=alike[0], kx=alike[1], lanes=n, **details), lanes=n) for n in _LANES)


def _first(seen: list[str], units: list[str], number: str) -> str:
    """Hand all to the first unit that has the maximum."""
    lines = [f"most = {seen[0]}", *(f"most = max(most, {one})" for one in seen[1:])]
    for one, unit in zip(seen, units, strict=True):
        lines += [f"is_first = {one} == most", f"{unit} = select(is_first, handed, {number}(0))"]
        lines += [f"handed = select(is_first, {number}(0), handed)"]
    return _LINE.join(lines)


def _alike(o: Pool | Unpool) -> Pair | None:
    """The size of windows that are all alike, side by side and written out."""
    pooling, (_, h, w) = o.pooling, o.shape
    if pooling.size is not None:
        size = (h // pooling.size[0], w // pooling.size[1]) if h % pooling.size[0] == 0 and w % pooling.size[1] == 0 else None
    else:
        size = pooling.kernel if pooling.kernel == pooling.stride and pooling.padding == (0, 0) else None
    return size if size and size[0] * size[1] <= _MOST_UNITS else None


def _units(alike: Pair, name: str) -> list[str]:
    """The units of window ox; their indices cannot be negative, or the loop would not become vectors."""
    ky, kx = alike
    return [f"{name}[u64(line + {y}), u64(ox) * u64({kx}) + u64({x})]" for y, x in product(range(ky), range(kx))]


def _shares(o: Pool | Unpool, fixed: bool) -> dict[str, str]:
    return {"scaled": _SCALED[fixed].format(1 << o.shift >> 1, o.shift) if o.share else "found"}
