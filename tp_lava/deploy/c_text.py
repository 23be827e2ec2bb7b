"""The files around a C library: test program, Makefile, README."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tp_lava.learner import Learner
from tp_lava.backends.c.circuit import CLibrary
from tp_lava.backends.c.members import STRUCTS, Member

if TYPE_CHECKING:
    from tp_lava.deploy.c import Presented


def test_program(name: str, library: CLibrary, presented: Sequence[Presented], checksum: int) -> str:
    """A main that presents samples and compares what comes of them. checksum: of the weights at the end."""
    members = {member.name: member for member in library.members}
    layers = len(presented[0].spikes)
    units = [unit for sample in presented for unit in sample.events.units.tolist()]
    counts = [count for sample in presented for count in (sample.events.offsets[1:] - sample.events.offsets[:-1]).tolist()]
    hashes = "\n".join(
        f"    for (int32_t i = 0; i < {m.cells}; ++i) {{ sum = hashed(sum, s.learned.{m.name}[i]); }}" for m in learned_weights(library)
    )
    hashed = "static uint32_t hashed(uint32_t sum, int32_t weight) { return (sum ^ (uint32_t)weight) * UINT32_C(0x01000193); }\n\n"
    hashed = hashed if hashes else ""
    spiked = "\n".join(
        f"        for (int32_t j = 0; j < {members[f'hidden{number}_total'].cells}; ++j) "
        f"{{ spikes[{number}] += s.sample.hidden{number}_total[j]; }}"
        for number in range(layers)
    )
    return f"""\
/* Presents samples and compares every score, spike count and, at the end, the learned weights with what tp_lava computed. */
#include "{name}.h"

#include <stdio.h>

#define SAMPLES {len(presented)}
#define LAYERS {layers}

static const {name}_unit units[{len(units) + 1}] = {{
{_rows([*units, 0])}
}};
static const int32_t counts[{len(counts)}] = {{  /* of units, step by step */
{_rows(counts)}
}};
static const int32_t steps[SAMPLES] = {{{_list(sample.events.n_steps for sample in presented)}}};
static const int32_t labels[SAMPLES] = {{{_list(-1 if sample.label is None else sample.label for sample in presented)}}};  /* -1: infer */
static const int32_t predictions[SAMPLES] = {{{_list(sample.prediction for sample in presented)}}};
static const int32_t scores[SAMPLES][{name.upper()}_CLASSES] = {{
{_table(sample.scores for sample in presented)}
}};
static const int32_t spike_counts[SAMPLES][LAYERS] = {{
{_table(sample.spikes for sample in presented)}
}};

static {name}_state s;

{hashed}static uint32_t checksum(void)
{{
    uint32_t sum = UINT32_C(0x811C9DC5);
{hashes}
    return sum;
}}

int main(void)
{{
    const {name}_unit *unit = units;
    const int32_t *count = counts;
    int wrong = 0;
    {name}_init(&s);
    for (int32_t n = 0; n < SAMPLES; ++n) {{
        int32_t said[{name.upper()}_CLASSES];
        int32_t spikes[LAYERS] = {{0}};
        wrong += {name}_begin(&s, labels[n], steps[n]) != 0;
        for (int32_t t = 0; t < steps[n]; ++t) {{
            wrong += {name}_step(&s, unit, *count) != 0;
            unit += *count++;
        }}
        wrong += {name}_read(&s, said) != predictions[n];
        for (int32_t c = 0; c < {name.upper()}_CLASSES; ++c) {{ wrong += said[c] != scores[n][c]; }}
{spiked}
        for (int32_t l = 0; l < LAYERS; ++l) {{ wrong += spikes[l] != spike_counts[n][l]; }}
    }}
    wrong += checksum() != UINT32_C({checksum});
    wrong += {name}_begin(&s, {name.upper()}_CLASSES, 1) != -1;
    printf("{name}: %s (%d samples, state %lu bytes)\\n", wrong ? "WRONG" : "as tp_lava computed", SAMPLES, (unsigned long)sizeof s);
    return wrong != 0;
}}
"""


def learned_weights(library: CLibrary) -> list[Member]:
    """Those that learning changes, in the order of their checksum."""
    return [m for m in library.members if m.place == "learned" and not m.name.startswith(("random_", "samples_"))]


def _rows(values: Iterable[int]) -> str:
    return textwrap.fill(_list(values), 138)


def _list(values: Iterable[int]) -> str:
    return ", ".join(map(str, values))


def _table(rows: Iterable[Sequence[int]]) -> str:
    return ",\n".join(f"    {{{_list(row)}}}" for row in rows)


def makefile(name: str) -> str:
    """`make` builds the library, `make test` runs the test, `make size` shows what it takes."""
    return f"""\
CC ?= cc
AR ?= ar
CFLAGS ?= -O2
WARNINGS = -std=c99 -pedantic -Wall -Wextra -Wconversion -Wsign-conversion

lib{name}.a: {name}.o
\t$(AR) rcs $@ $<

{name}.o: {name}.c {name}.h {name}_weights.h
\t$(CC) $(WARNINGS) $(CFLAGS) -c $< -o $@

{name}_test: {name}_test.c lib{name}.a
\t$(CC) $(WARNINGS) $(CFLAGS) $(LDFLAGS) $< lib{name}.a -o $@

test: {name}_test
\t./{name}_test

size: {name}.o
\tsize $<

clean:
\trm -f {name}.o lib{name}.a {name}_test

.PHONY: test size clean
"""


def readme(name: str, learner: Learner, library: CLibrary) -> str:
    """For whoever puts it on a device."""
    upper, network = name.upper(), learner.network
    parts = {place: sum(m.bytes for m in library.members if m.place == place) for place in STRUCTS}
    told = {
        "learned": "lasts: weights that learn, counters",
        "sample": "zeroed by begin",
        "work": "one step",
        "switches": "yours to change",
    }
    sizes = "\n".join(f"| `state.{place}` | {parts[place]} | {what} |" for place, what in told.items() if parts[place])
    weights = "\n".join(
        f"| `{m.where.replace('s->', 'state.')}` | {m.type} | {' x '.join(map(str, m.shape))} | 2^{learner.exponents[m.name]} |"
        for m in library.members
        if m.name in learner.exponents
    )
    learns = f"learns by {learner.rule!r}" if learner.rule else "infers"
    label = "label, steps" if learner.rule else "-1, steps"
    switches = ", ".join(f"`{m.name}`" for m in library.members if m.place == "switches")
    changing = (
        f"\nSwitches in `state.switches`, to be changed between samples: {switches} (a layer's 0 puts it to rest).\n" if switches else ""
    )
    contrast = "`contrast` is the number of target streams, 2 up to the exported one.\n" if "`contrast`" in switches else ""
    saving = "`state.learned` is plain data: save its bytes and copy them back after `init` to go on as if never switched off.\n"
    return f"""\
# {name}

{network!r}, which {learns}. C99, integers alone, no allocation, no floating point; of the C library only memcpy and memset.

    make test    # compares with what tp_lava computed
    make size

## Use

```c
#include "{name}.h"

/* {library.state_bytes} bytes; as many as you like */
static {name}_state state;

/* once */
{name}_init(&state);

/* a sample{"; label -1 infers" if learner.rule else ""} */
{name}_begin(&state, {label});
for (int32_t t = 0; t < steps; ++t) {{
    {name}_step(&state, units, count);  /* the inputs that spike now, each once */
}}
int32_t scores[{upper}_CLASSES];
int32_t class = {name}_read(&state, scores);
```

`begin` and `step` return -1, and change nothing, if an argument is out of range. No variable is global: two states are two networks.
{changing}{contrast}{saving if learner.rule else ""}
## Memory

| what | bytes | |
|---|---|---|
| constants (weights, parameters, tables; read-only) | {library.constant_bytes} | start values of what learns included |
{sizes}
| whole `{name}_state` | {library.state_bytes} | with padding |

The stack holds scalars alone. `make size` shows the code.

## Weights

Rows of one input each, (n_in, n_out); weight = integer times scale.

| where | type | shape | scale |
|---|---|---|---|
{weights}

A score is its integer times 2^-`{upper}_SCORE_FRAC`.

## What is guaranteed

Scores, spikes, weights, drawn labels and random rounding equal those of `tp_lava.Learner` in fixed point, bit for bit, on every machine and
at every optimisation level: no sum leaves its register (proven when the network was exported), no negative number is shifted, hashes are
unsigned. The exact-width types of `stdint.h` are needed. One thread at a time may use a state. A step's time is bounded by its spikes.
"""
