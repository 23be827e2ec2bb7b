"""Event-driven work as source for Numba: delivering, listing and learning by what spikes."""

SCATTER = """
into[...] = 0
for r in range(into.shape[0]):
    for q in range(count[r]):
        into[r, active[r, q]] = {value}
"""
DELAY = """
n = delays.shape[0] // {copies}
n_slots = pending.shape[1]
for r in range(count.shape[0]):
    now = present[r]
    for copy in range({copies}):
        for q in range(count[r]):
            i = copy * n + active[r, q]
            later = now + delays[i]
            later -= n_slots if later >= n_slots else 0
            place = waiting[r, later]
            pending[r, later, place] = i
            {keep}
            waiting[r, later] = place + 1
    {take_back}
    for q in range(waiting[r, now]):
        arrived[r, q] = pending[r, now, q]
        {give}
    arrived_count[r] = waiting[r, now]
    waiting[r, now] = 0
    present[r] = now + 1 if now + 1 < n_slots else 0
"""
DELAYED_VALUES = {
    "keep": "pending_values[r, later, place] = values[r, active[r, q]]",
    "take_back": "for q in range(arrived_count[r]): arrived_values[r, arrived[r, q]] = 0",
    "give": "arrived_values[r, arrived[r, q]] = pending_values[r, now, q]",
}
# Synaptic delays: a delayed unit v has those synapses of unit i that have its delay.
DELIVER_REACHED = """
into[...] = 0
for r in range(into.shape[0]):
    for q in range(count[r]):
        v = active[r, q]
        i = v % weights.shape[0]
        for k in range(offsets[v], offsets[v + 1]):
            into[r, targets[k]] += {value}weights[i, targets[k]]
"""
ACTIVE_REACHED_EVENTS = """for q in range(count[r]):
        v = active[r, q]"""
ACTIVE_REACHED_TRACE = """for v in range(trace.shape[1]):
        if trace[r, v] == 0:
            continue"""
LEARN_REACHED = """
for r in range(y1.shape[0]):
    {active}
        i, first, n = v % weight.shape[0], offsets[v], offsets[v + 1] - offsets[v]
        for k in range(n):
            held[k], posts[k] = weight[i, targets[first + k]], y1[r, targets[first + k]]
        program({row_key}{arguments})
        for k in range(n):
            weight[i, targets[first + k]] = held[k]
"""
REACHED_KEY = "mix(key, u32(r * (offsets.shape[0] - 1) + v)), "
CLIP = """
sums = as_flat(change)
for k in range(sums.shape[0]):
    sums[k] = min(max(sums[k], i32(-{high})), i32({high}))
"""
CLOCK = """
steps_left[0] -= 1
"""

# Convolutions. Inside, maps are (position, channel): a unit reaches all channels of a position by weights that lie side by side.
DELIVER_MAPS = """
for r in range(into.shape[0]):
    maps[...] = 0
    {active}
{taps}
    row_maps = seen(into[r], oc, oh * ow)
    for o in range(oc):
        for p in range(oh * ow):
            row_maps[o, p] = maps[p, o]
"""
LEARN_MAPS = """
for r in range(third.shape[0]):
    row_maps = seen(third[r], oc, oh * ow)
    for o in range(oc):
        for p in range(oh * ow):
            maps[p, o] = row_maps[o, p]
    {active}
{taps}
"""
ACTIVE_EVENTS = """for q in range(count[r]):
        i = i64(active[r, q])"""
ACTIVE_TRACE = """for i in range(trace.shape[1]):
        x1 = trace[r, i]
        if x1 == 0:
            continue"""
TAPS = """
        channel = i // (h * w)
        y = i // w - channel * h
        x = i % w
        group = channel // (c // groups)
        within = channel - group * (c // groups)
        low = group * (oc // groups)
        for a in range(ky):
            ty = y + py - a * dy
            oy = ty // sy
            if ty < 0 or oy >= oh or oy * sy != ty:
                continue
            for b in range(kx):
                tx = x + px - b * dx
                ox = tx // sx
                if tx < 0 or ox >= ow or ox * sx != tx:
                    continue
                p = oy * ow + ox
                row = (within * ky + a) * kx + b
                if shared == 0:
                    row += p * ((c // groups) * ky * kx)
{inner}
"""
# From zero: where an index may be negative, loops are not vectorised.
INNER_DELIVER = """
                here, there = {maps}, {rows}
                for o in range(here.shape[0]):
                    here[o] += {value}there[o]
"""
INNER_PRODUCTS = """
                there, here = {maps}, {rows}
                for o in range(here.shape[0]):
                    here[o] += {value}there[o]
"""
WHOLE = {"maps": "maps[p]", "rows": "rows[row]"}
GROUP = {"maps": "maps[p, low : low + oc // groups]", "rows": "rows[row, low : low + oc // groups]"}
INNER_LOCAL = """
                high = low + oc // groups
                program({row_key}{arguments})
"""
LOCAL_KEY = "mix(key, u32(r * rows.shape[0] + row)), "
