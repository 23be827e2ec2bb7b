"""Learning rules against each other: the same network, data and epochs, several seeds, each run in a process of its own.

`tasks` says what is learned, `forms` by which rule, `memory` what learning has to remember; here they are run and gathered.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from tp_lava.comparison.forms import FORMS as FORMS
from tp_lava.comparison.forms import Form as Form
from tp_lava.comparison.forms import form_named as form_named
from tp_lava.comparison.measure import Measured, measure
from tp_lava.comparison.tasks import TASKS as TASKS
from tp_lava.comparison.tasks import Task as Task
from tp_lava.progress import track


@dataclass(frozen=True)
class Row:
    """A form over all seeds. milliseconds: per sample learned, the least of the seeds; megabytes: peak of the process, the largest.

    formula, counted: numbers that learning one sample must remember, per hidden layer.
    """

    form: str
    accuracies: tuple[float, ...]
    milliseconds: float
    megabytes: float
    formula: tuple[int, ...]
    counted: tuple[int, ...]

    @property
    def mean(self) -> float:
        """Mean accuracy."""
        return float(np.mean(self.accuracies))

    @property
    def std(self) -> float:
        """Standard deviation of the accuracies."""
        return float(np.std(self.accuracies))

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self) | {"mean": self.mean, "std": self.std}


def compare(task: Task, forms: Sequence[Form], seeds: int, processes: int = 1, progress: bool = False) -> list[Row]:
    """Learn a task by every form with seeds 0, 1, ...; the runs share out `processes` processes, each run has a fresh one."""
    jobs = [(task, form, seed) for form in forms for seed in range(seeds)]
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=1) as pool:
        results = pool.imap(_run, jobs, chunksize=1)
        done = list(track(results, len(jobs), f"{task.name}: learning", progress))
    return list(_rows(forms, {(form.name, seed): result for (_, form, seed), result in zip(jobs, done, strict=True)}, seeds))


def _run(job: tuple[Task, Form, int]) -> Measured:
    return measure(*job)


def _rows(forms: Sequence[Form], results: Mapping[tuple[str, int], Measured], seeds: int) -> Iterator[Row]:
    for form in forms:
        runs = [results[form.name, seed] for seed in range(seeds)]
        accuracies = tuple(run.accuracy for run in runs)
        seconds, megabytes = min(run.seconds for run in runs), max(run.megabytes for run in runs)
        yield Row(form.name, accuracies, seconds * 1e3, megabytes, runs[0].formula, runs[0].counted)
