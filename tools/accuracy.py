"""Test accuracy of streaming TP over several seeds: frozen hidden layer, float and fixed point.

    uv run python tools/accuracy.py digits
    uv run python tools/accuracy.py nmnist --recordings nmnist_small.npz

digits: the embedded ones, 1400/397 samples, K = 4, 12 epochs. nmnist: N-MNIST recordings (here 1000/100, 300 steps of
1 ms), K = 4, 10 epochs; the file has the arrays of shared/data/README.md. Seeds run in parallel processes.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

import tp_lava as tpl

PRECISIONS = ("frozen", "float", "fixed")


@dataclass(frozen=True)
class Task:
    """What is learned, with which rates, for how long, over how many seeds."""

    name: str
    rate: float
    readout_rate: float
    epochs: int
    seeds: int
    recordings: Path | None = None


TASKS = {"digits": Task("digits", 7e-4, 2e-5, 12, 3), "nmnist": Task("nmnist", 2e-3, 3e-5, 10, 5)}


@lru_cache(maxsize=1)
def samples(task: Task) -> tuple[list, list]:
    """(train, test)."""
    if task.recordings is None:
        return tpl.data.digits()
    return tpl.data.from_nmnist(task.recordings)


def accuracies(task: Task, precision: str, seed: int) -> list[float]:
    """Test accuracy after each epoch."""
    train, test = samples(task)
    network = tpl.Network.dense((train[0][0].n_units, 200, 10), seed=seed)
    rule = tpl.TP(0.0 if precision == "frozen" else task.rate, task.readout_rate, contrast=4)
    learner = tpl.Learner(network, rule, "fixed" if precision == "fixed" else "float", seed)
    results = []
    for _ in range(task.epochs):
        learner.fit(train)
        results.append(learner.evaluate(test))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--recordings", type=Path, help="N-MNIST recordings (.npz)")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    if options.task == "nmnist" and options.recordings is None:
        parser.error("nmnist needs --recordings")
    base = TASKS[options.task]
    task = Task(base.name, base.rate, base.readout_rate, options.epochs or base.epochs, options.seeds or base.seeds, options.recordings)
    jobs = [(task, precision, seed) for precision in PRECISIONS for seed in range(task.seeds)]
    with ProcessPoolExecutor(options.processes) as pool:
        curves = list(pool.map(accuracies, *zip(*jobs, strict=True)))
    print(f"{task.name}: K = 4, {task.epochs} epochs, rates {task.rate:g} and {task.readout_rate:g}, {task.seeds} seeds")
    for precision in PRECISIONS:
        final = np.array([curve[-1] for (_, p, _), curve in zip(jobs, curves, strict=True) if p == precision])
        print(f"{precision:7} mean {final.mean():.4f}  std {final.std():.4f}  each {' '.join(f'{a:.3f}' for a in final)}", flush=True)


if __name__ == "__main__":
    main()
