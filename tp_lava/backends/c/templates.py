"""What is the same in every C library but for names and types: delivery, gathering, the drawing of labels."""

DELIVER = """\
/* Sums of the weights of active units. */
static void {name}(const {weight} *restrict weights, const unit *restrict active, int32_t stride, const {count} *restrict count,
                   int32_t rows, int32_t *restrict into, int32_t n)
{
    for (int32_t r = 0; r < rows; ++r) {
        int32_t *const sum = into + r * n;
        memset(sum, 0, (size_t)n * sizeof *sum);
        for (int32_t q = 0; q < count[r]; ++q) {
            const {weight} *const row = weights + (int32_t)active[r * stride + q] * n;
            for (int32_t j = 0; j < n; ++j) { sum[j] += row[j]; }
        }
    }
}
"""
DELIVER_SHARED = """\
/* The same by a table of synapses that share weights. */
static void {name}(const {weight} *restrict weights, const {offsets} *restrict offsets, const {targets} *restrict targets,
                   const {taps} *restrict taps, const unit *restrict active, int32_t stride, const {count} *restrict count,
                   int32_t rows, int32_t *restrict into, int32_t n)
{
    for (int32_t r = 0; r < rows; ++r) {
        int32_t *const sum = into + r * n;
        memset(sum, 0, (size_t)n * sizeof *sum);
        for (int32_t q = 0; q < count[r]; ++q) {
            const int32_t i = active[r * stride + q];
            for (int32_t k = offsets[i]; k < offsets[i + 1]; ++k) { sum[targets[k]] += weights[taps[k]]; }
        }
    }
}
"""
GATHER = """\
/* Spikes into lists of active units. */
static void {name}(const {spike} *restrict spikes, int32_t rows, int32_t n, unit *restrict active, unit *restrict count)
{
    for (int32_t r = 0; r < rows; ++r) {
        int32_t found = 0;
        for (int32_t j = 0; j < n; ++j) {
            if (spikes[r * n + j]) { active[r * n + found++] = (unit)j; }
        }
        count[r] = (unit)found;
    }
}
"""
SET_STREAM = """\
static void set_stream(state *s, int32_t k, int32_t label)
{
    {label_spike}[k * {classes} + label] = 1;
    {label_active}[k * {classes}] = (unit)label;
    {label_count}[k] = 1;
}

"""
DRAW_STREAMS = """\
/* The labels of the target streams: the sample's own, then others, in the order of their hashes where not all are taken. */
static void draw_streams(state *s, int32_t label)
{
    const uint32_t key = mix({key}, s->learned.samples_seen[0]);
    uint32_t last_hash = 0;
    int32_t last = -1;
    set_stream(s, 0, label);
    for (int32_t k = 1; k < s->streams; ++k) {
        uint32_t best_hash = 0;
        int32_t best = -1;
        for (int32_t c = 0; c < {classes}; ++c) {
            const uint32_t hash = s->streams < {classes} ? mix(key, (uint32_t)c) : 0;
            const int32_t is_later = hash > last_hash || (hash == last_hash && c > last);
            if (c != label && is_later && (best < 0 || hash < best_hash)) {
                best = c;
                best_hash = hash;
            }
        }
        set_stream(s, k, best);
        last = best;
        last_hash = best_hash;
    }
}

"""
