"""Comparison of learning rules: the same network, data and epochs, several seeds, each run in its own process.

`benchmarks` has data sets and networks, `variants` the rules, `measure` one run, `measured` what came out here.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import itemgetter

import numpy as np

from tp_lava.comparison.benchmarks import BENCHMARKS as BENCHMARKS
from tp_lava.comparison.benchmarks import Benchmark as Benchmark
from tp_lava.comparison.measure import Measured, Work, measure
from tp_lava.comparison.measured import measured as measured
from tp_lava.comparison.variants import VARIANTS as VARIANTS
from tp_lava.comparison.variants import Variant as Variant
from tp_lava.comparison.variants import grid as grid
from tp_lava.comparison.variants import variant_named as variant_named
from tp_lava.progress import track


@dataclass(frozen=True)
class Row:
    """The results of one variant.

    form: name of the variant; accuracies: after the last epoch, one per seed; best: after the epoch that was best on the same test samples,
    which is no figure to expect of other data; milliseconds: per sample learned, minimum over the seeds; megabytes: peak
    memory of the process, maximum over the seeds; formula, counted: numbers stored to learn one sample, per hidden layer; work: on a
    chip, None for what no chip does.
    """

    form: str
    accuracies: tuple[float, ...]
    best: tuple[float, ...]
    milliseconds: float
    megabytes: float
    formula: tuple[int, ...]
    counted: tuple[int, ...]
    work: Work | None = None

    @property
    def mean(self) -> float:
        """Mean accuracy after the last epoch."""
        return float(np.mean(self.accuracies))

    @property
    def std(self) -> float:
        """Standard deviation of the accuracies."""
        return float(np.std(self.accuracies))

    @property
    def best_mean(self) -> float:
        """Mean accuracy after each seed's best epoch."""
        return float(np.mean(self.best))

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        work = self.work._asdict() if self.work else None
        told = {"mean": self.mean, "std": self.std, "best_mean": self.best_mean, "memory": sum(self.counted), "work": work}
        return asdict(self) | told


def compare(benchmark: Benchmark, variants: Sequence[Variant], seeds: int, processes: int = 1, progress: bool = False) -> list[Row]:
    """Train every variant with seeds 0, 1, ..., each run in a fresh process; up to `processes` of them run in parallel."""
    jobs = [(benchmark, variant, seed) for variant in variants for seed in range(seeds)]
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=1) as pool:
        results = pool.imap(_run, jobs, chunksize=1)
        done = list(track(results, len(jobs), f"{benchmark.name}: learning", progress))
    return list(_rows(variants, {(variant.name, seed): result for (_, variant, seed), result in zip(jobs, done, strict=True)}, seeds))


def _run(job: tuple[Benchmark, Variant, int]) -> Measured:
    return measure(*job)


def _rows(variants: Sequence[Variant], results: Mapping[tuple[str, int], Measured], seeds: int) -> Iterator[Row]:
    for variant in variants:
        runs = [results[variant.name, seed] for seed in range(seeds)]
        last, best = (tuple(of(run.accuracies) for run in runs) for of in (itemgetter(-1), max))
        seconds, megabytes = min(run.seconds for run in runs), max(run.megabytes for run in runs)
        yield Row(variant.name, last, best, seconds * 1e3, megabytes, runs[0].formula, runs[0].counted, runs[0].work)
