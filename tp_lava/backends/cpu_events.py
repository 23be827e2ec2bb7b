"""Event-driven work as source for Numba: delivering, listing and learning by what spikes."""

DELIVER_VALUES = """
for r in range(into.shape[0]):
    for j in range(into.shape[1]):
        into[r, j] = 0
    for q in range(count[r]):
        i = active[r, q]
        value = values[r, i]
        for j in range(into.shape[1]):
            into[r, j] += value * weights[i, j]
"""
DELIVER = """
n = into.shape[1]
for r in range(into.shape[0]):
    for j in range(n):
        into[r, j] = 0
    q = 0
    while q + 4 <= count[r]:  # by four, in the same order: a sum is loaded and stored a quarter as often
        a, b, c, d = active[r, q], active[r, q + 1], active[r, q + 2], active[r, q + 3]
        for j in range(n):
            into[r, j] = into[r, j] + weights[a, j] + weights[b, j] + weights[c, j] + weights[d, j]
        q += 4
    for p in range(q, count[r]):
        a = active[r, p]
        for j in range(n):
            into[r, j] += weights[a, j]
"""
GATHER = """
for r in range(spikes.shape[0]):
    found = 0
    for j in range(spikes.shape[1]):  # without a branch: whether a neuron spikes is hard to predict
        active[r, found] = j
        found += 1 if spikes[r, j] != 0 else 0
    count[r] = found
"""
COUNT = """
for r in range(count.shape[0]):
    for q in range(count[r]):
        total[r, active[r, q]] += 1
"""
SCATTER = """
into[...] = 0
for r in range(into.shape[0]):
    for q in range(count[r]):
        into[r, active[r, q]] = {value}
"""
LEARN_EVENTS = """
for r in range(y1.shape[0]):
    for q in range(count[r]):
        i = active[r, q]
        program({row_key}{arguments})
"""
LEARN_TRACE = """
for r in range(y1.shape[0]):
    for i in range(weight.shape[0]):
        if trace[r, i] != 0:
            program({row_key}{arguments})
"""
LEARN_ALL = """
for r in range(y1.shape[0]):
    for i in range(weight.shape[0]):
        program({row_key}{arguments})
"""
ROW_KEY = "mix(key, u32(r * weight.shape[0] + i)), "
CLIP = """
sums = change.ravel()
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
    for first in range(0, oc, 16):
        last = min(first + 16, oc)
        for p in range(oh * ow):
            for o in range(first, last):
                into[r, o * (oh * ow) + p] = maps[p, o]
"""
LEARN_MAPS = """
for r in range(third.shape[0]):
    for first in range(0, oc, 16):
        last = min(first + 16, oc)
        for p in range(oh * ow):
            for o in range(first, last):
                maps[p, o] = third[r, o * (oh * ow) + p]
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
INNER_DELIVER = """
                for o in range(low, low + oc // groups):
                    maps[p, o] += {value}rows[row, o]
"""
INNER_PRODUCTS = """
                for o in range(low, low + oc // groups):
                    rows[row, o] += {value}maps[p, o]
"""
INNER_LOCAL = """
                high = low + oc // groups
                program({row_key}{arguments})
"""
LOCAL_KEY = "mix(key, u32(r * rows.shape[0] + row)), "

# Pooling.
_WINDOWS = """
c, h, w, oh, ow = i64(windows[0]), i64(windows[1]), i64(windows[2]), i64(windows[3]), i64(windows[4])
first_y, end_y, from_y, to_y = windows[5:], windows[5 + oh:], windows[5 + 2 * oh:], windows[5 + 2 * oh + h:]
along_x = windows[5 + 2 * oh + 2 * h:]
first_x, end_x, from_x, to_x = along_x, along_x[ow:], along_x[2 * ow:], along_x[2 * ow + w:]
"""
POOL = (
    _WINDOWS
    + """
for r in range(into.shape[0]):
    for k in range(into.shape[1]):
        into[r, k] = 0
    k = 0
    for channel in range(c):
        for y in range(h):
            for x in range(w):
                value = source[r, k]
                k += 1
                if value != 0:
                    for oy in range(from_y[y], to_y[y]):
                        for ox in range(from_x[x], to_x[x]):
                            at = (channel * oh + oy) * ow + ox
                            {gather}
    {scale}
"""
)
UNPOOL = (
    _WINDOWS
    + """
for r in range(into.shape[0]):
    for k in range(into.shape[1]):
        into[r, k] = 0
    for channel in range(c):
        for oy in range(oh):
            for ox in range(ow):
                handed = signal[r, (channel * oh + oy) * ow + ox]
                {share}
                {hand}
"""
)
HAND_ALL = """for y in range(first_y[oy], end_y[oy]):
                    for x in range(first_x[ox], end_x[ox]):
                        into[r, (channel * h + y) * w + x] += handed"""
HAND_FIRST = """at = -1
                for y in range(first_y[oy], end_y[oy]):
                    for x in range(first_x[ox], end_x[ox]):
                        k = (channel * h + y) * w + x
                        if at < 0 or source[r, k] > source[r, at]:
                            at = k
                if at >= 0:
                    into[r, at] += handed"""
SCALE = """for k in range(into.shape[1]):
        into[r, k] = {scaled}"""
SCALED = {True: "i32((i64({0}) * i64({1}) + {2}) >> {3})", False: "{0} * {1}"}  # in fixed point, in real numbers
