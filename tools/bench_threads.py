"""Time of a step of large networks by the number of threads that share it.

    uv run python tools/bench.py --threads 1 2

Every number of threads has its learner; they learn, and infer, the same samples by turns, and a time is the shortest, since other work on a
machine only adds. Times are of the wall: on a machine that does other work, `chrt -f 5` in front keeps the processors for this process.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from bench_convolutions import rule_of, vgg9

import tp_lava as tpl

STEPS, SAMPLES = 100, 4
DENSE = {  # -> sizes, recurrent, input spikes a step
    "700-1600-20, recurrent": ((700, 1600, 20), True, 30),
    "2312-4096-10": ((2312, 4096, 10), False, 14),
    "100000-200-10": ((100_000, 200, 10), False, 224),
}


def _dense(name: str) -> tuple[tpl.Network, list, object]:
    sizes, recurrent, spikes = DENSE[name]
    rng = np.random.default_rng(0)
    recordings = (tpl.Events.from_dense(rng.random((STEPS, sizes[0])) < spikes / sizes[0]) for _ in range(SAMPLES))
    return tpl.Network.dense(sizes, recurrent=recurrent), [(events, k) for k, events in enumerate(recordings)], tpl.TP(1e-4, 1e-4)


def _networks() -> Iterator[tuple[str, tuple[tpl.Network, Sequence, object]]]:
    """Name -> network, samples, rule."""
    for name in DENSE:
        yield f"{name}, TP", _dense(name)
    for rule in ("TESS", "TP"):
        network, samples = vgg9(1.0)
        yield f"VGG-9, {rule}", (network, samples[:2], rule_of(rule))


def _seconds(do: Callable[[object], object], samples: Sequence) -> float:
    begin = time.perf_counter()
    for sample in samples:
        do(sample)
    return (time.perf_counter() - begin) / sum(events.n_steps for events, _ in samples)


def report(threads: Sequence[int], repetitions: int) -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    print(f"{'µs a step':34}" + "".join(f"{f'{what}, {n}':>16}" for what in ("learn", "infer") for n in threads))
    for name, (network, samples, rule) in _networks():
        for precision in ("float", "fixed"):
            learners = [tpl.Learner(network, rule, precision, threads=n) for n in threads]  # type: ignore[arg-type]
            learned, inferred = ([np.inf] * len(threads) for _ in range(2))
            for _ in range(1 + repetitions):
                for best, what in ((learned, "learn"), (inferred, "infer")):
                    for k, learner in enumerate(learners):
                        do = (lambda s, of=learner: of.learn(*s)) if what == "learn" else (lambda s, of=learner: of.infer(s[0]))
                        best[k] = min(best[k], _seconds(do, samples))
            shown = "".join(f"{f'{t * 1e6:.1f} ({best[0] / t:.2f})':>16}" for best in (learned, inferred) for t in best)
            print(f"{f'{name}, {precision}':34}{shown}", flush=True)
