"""N-MNIST learned by the exported C library: the same weights as the engine's? How large is it, and how long does a step take?

    uv run python tools/nmnist_in_c.py --recordings nmnist_small.npz
    uv run python tools/nmnist_in_c.py --recordings nmnist_small.npz --count 1000 --test 100

A 2312-200-10 network learns recordings by TP, first in the engine, then in C, by each compiler and option. A small driver reads events
and labels from a file and writes predictions, weights and times to another. Prints bytes of code, constants and state, and nanoseconds
and cycles (the time-stamp counter, where there is one) of a step that learns and of one that infers. Any difference in a weight or a
prediction ends it with status 1.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import tp_lava as tpl
from tp_lava.data.events import Sample
from tp_lava.deploy import export_c
from tp_lava.deploy.c import library_of

NAME = "nmnist"
OPTIONS = ("-O2", "-O3")
DRIVER = r"""
/* driver EVENTS RESULTS: int32 samples, then of each label (-1: infer), steps, units of each step, units. */
#define _POSIX_C_SOURCE 199309L
#include "nmnist.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__) || defined(__i386__)
#include <x86intrin.h>
static uint64_t ticks(void) { return __rdtsc(); }
#else
static uint64_t ticks(void) { return 0; }
#endif

static nmnist_state s;

static uint64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void *taken(size_t size, size_t count, FILE *from)
{
    void *held = malloc(size * count + 1);
    if (held == NULL || fread(held, size, count, from) != count) { exit(2); }
    return held;
}

int main(int argc, char **argv)
{
    uint64_t spent[2][3] = {{0}};  /* infer, learn: steps, nanoseconds, ticks */
    FILE *events = argc == 3 ? fopen(argv[1], "rb") : NULL, *results = argc == 3 ? fopen(argv[2], "wb") : NULL;
    if (events == NULL || results == NULL) { return 2; }
    int32_t *samples = taken(sizeof *samples, 1, events);
    nmnist_init(&s);
    for (int32_t n = 0; n < *samples; ++n) {
        int32_t *head = taken(sizeof *head, 3, events);
        int32_t *counts = taken(sizeof *counts, (size_t)head[1], events);
        nmnist_unit *units = taken(sizeof *units, (size_t)head[2], events), *unit = units;
        uint64_t *of = spent[head[0] >= 0];
        if (nmnist_begin(&s, head[0], head[1]) != 0) { return 3; }
        uint64_t time = nanoseconds(), tick = ticks();
        for (int32_t t = 0; t < head[1]; ++t) {
            if (nmnist_step(&s, unit, counts[t]) != 0) { return 3; }
            unit += counts[t];
        }
        of[2] += ticks() - tick;
        of[1] += nanoseconds() - time;
        of[0] += (uint64_t)head[1];
        int32_t prediction = nmnist_read(&s, NULL);
        fwrite(&prediction, sizeof prediction, 1, results);
        free(head); free(counts); free(units);
    }
    fwrite(spent, sizeof spent, 1, results);
    free(samples);
WEIGHTS
    return fclose(results) != 0 || fclose(events) != 0;
}
"""


@dataclass(frozen=True)
class Measured:
    """One build. code, constants, state: bytes; learn, infer: (steps, nanoseconds, ticks); differences: bytes of results that differ."""

    build: str
    code: int
    constants: int
    state: int
    learn: tuple[int, ...]
    infer: tuple[int, ...]
    differences: int


def written(samples: Sequence[Sample], learned: int, unit: type, file: Path) -> None:
    """The driver's input: the first `learned` samples with their labels."""
    with file.open("wb") as out:
        out.write(np.int32(len(samples)).tobytes())
        for number, (events, label) in enumerate(samples):
            told = label if number < learned else -1
            out.write(np.array([told, events.n_steps, events.units.size], np.int32).tobytes())
            out.write(np.diff(events.offsets).astype(np.int32).tobytes())
            out.write(events.units.astype(unit).tobytes())


def sections(file: Path) -> tuple[int, int]:
    """Bytes of code and of constants of an object file."""
    listed = subprocess.run(["size", "-A", file], capture_output=True, text=True, check=True).stdout
    sizes = {name: int(size) for name, size in re.findall(r"^(\.\S+)\s+(\d+)", listed, re.M)}
    code, constants = (sum(size for name, size in sizes.items() if name.startswith(prefix)) for prefix in (".text", ".rodata"))
    return code, constants


def measured(learner: tpl.Learner, train: Sequence[Sample], test: Sequence[Sample], folder: Path) -> list[Measured]:
    """The learner learns `train` and infers `test`; each build in C does the same from where the learner began. -> builds."""
    library, samples = library_of(learner, NAME), [*train, *test]
    few = [Sample(tpl.Events.from_dense(np.zeros((1, learner.network.n_inputs))), 0)]
    export_c(learner, folder, NAME, samples=few)
    dumps = "\n".join(f"    fwrite(s.learned.{m.name}, sizeof s.learned.{m.name}, 1, results);" for m in library.learned)
    (folder / "driver.c").write_text(DRIVER.replace("WEIGHTS", dumps))
    written(samples, len(train), np.uint16 if "uint16_t nmnist_unit" in library.header else np.int32, folder / "events")
    told = [learner.learn(*sample).prediction for sample in train] + [learner.infer(events).prediction for events, _ in test]
    expected = np.array(told, np.int32).tobytes(), b"".join(learner.memory[m.name].tobytes() for m in library.learned)
    builds = [(compiler, option) for compiler in ("gcc", "clang") if shutil.which(compiler) for option in OPTIONS]
    return [_build(compiler, option, folder, library.state_bytes, expected) for compiler, option in builds]


def _build(compiler: str, option: str, folder: Path, state: int, expected: tuple[bytes, bytes]) -> Measured:
    strict = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror", option)
    subprocess.run([compiler, *strict, "-c", f"{NAME}.c"], cwd=folder, check=True)
    subprocess.run([compiler, *strict, "driver.c", f"{NAME}.o", "-o", "driver"], cwd=folder, check=True)
    subprocess.run(["./driver", "events", "results"], cwd=folder, check=True)
    results, length = (folder / "results").read_bytes(), len(expected[0])
    spent = np.frombuffer(results, np.uint64, 6, length).reshape(2, 3)
    infer, learn = (tuple(row) for row in spent.tolist())
    found = results[:length], results[length + spent.nbytes :]
    if len(found[1]) != len(expected[1]):
        raise ValueError(f"the driver wrote {len(found[1])} bytes of weights, not {len(expected[1])}")
    differences = sum(int(np.sum(np.frombuffer(a, np.uint8) != np.frombuffer(b, np.uint8))) for a, b in zip(found, expected, strict=True))
    return Measured(f"{compiler} {option}", *sections(folder / f"{NAME}.o"), state, learn, infer, differences)


def table(builds: Sequence[Measured]) -> str:
    head = ("build", "code", "constants", "state", "ns, learning step", "cycles", "ns, inference step", "cycles", "weights, predictions")
    rows = [head, ("---",) * len(head)]
    for b in builds:
        times = [f"{spent / max(1, steps):.0f}" for steps, *rest in (b.learn, b.infer) for spent in rest]
        rows.append(
            (b.build, str(b.code), str(b.constants), str(b.state), *times, f"{b.differences} bytes differ" if b.differences else "equal")
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, required=True, help=".npz archive as tp_lava.data.from_nmnist reads it")
    parser.add_argument("--count", type=int, default=100, help="recordings learned")
    parser.add_argument("--test", type=int, default=20, help="recordings inferred afterwards")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    train, test = tpl.data.from_nmnist(args.recordings)
    order = np.random.default_rng(args.seed).permutation(len(train))[: args.count]
    rule = tpl.TP(2e-3, 3e-5, contrast=4)
    learner = tpl.Learner(tpl.Network.dense((2312, 200, 10), seed=args.seed), rule, "fixed", args.seed)
    with tempfile.TemporaryDirectory() as folder:
        builds = measured(learner, [train[int(index)] for index in order], test[: args.test], Path(folder))
    spikes = np.mean([len(train[int(index)][0].units) / train[int(index)][0].n_steps for index in order])
    print(
        f"{learner.network!r}, {rule!r}: {len(order)} recordings learned, {spikes:.1f} input spikes a step; bytes of the object file, state"
    )
    print(table(builds))
    sys.exit(any(build.differences for build in builds))


if __name__ == "__main__":
    main()
