"""Event-driven work as source for Numba: delivering, listing and learning by what spikes."""

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
DELIVER_SHARED = """
into[...] = 0
kernel = weights.ravel()
for r in range(into.shape[0]):
    for q in range(count[r]):
        i = active[r, q]
        for k in range(offsets[i], offsets[i + 1]):
            into[r, targets[k]] += kernel[taps[k]]
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
        into[r, active[r, q]] = 1
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
PRODUCTS_EVENTS = """
sums = change.ravel()
for r in range(third.shape[0]):
    for q in range(count[r]):
        i = active[r, q]
        for k in range(offsets[i], offsets[i + 1]):
            sums[taps[k]] += third[r, targets[k]]
"""
PRODUCTS_TRACE = """
sums = change.ravel()
for r in range(third.shape[0]):
    for i in range(trace.shape[1]):
        x = trace[r, i]
        if x != 0:
            for k in range(offsets[i], offsets[i + 1]):
                sums[taps[k]] += x * third[r, targets[k]]
"""
CLIP = """
for k in range(sums.shape[0]):
    sums[k] = min(max(sums[k], i32(-{high})), i32({high}))
"""
CLOCK = """
steps_left[0] -= 1
"""
