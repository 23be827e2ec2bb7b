"""What is run, on what, with which settings; and why it is no reproduction of the published figures, if it is none."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

import tp_lava as tpl
from experiments import adapting, on_disk, recordings, synthetic
from experiments.declaration import Dense, Experiment, Learning
from experiments.declared import EXPERIMENTS
from experiments.samples import Speakers, Task, as_task, some
from experiments.training import Form, test_accuracies


@dataclass(frozen=True)
class Plan:
    """An experiment as it is run.

    folder: of the whole data, None for a stand-in; recordings: a file for that; train, test: at most so many samples.
    """

    experiment: Experiment
    form: Form
    learning: Learning
    seeds: int
    folder: Path | None
    recordings: Path | None = None
    train: int | None = None
    test: int | None = None

    @property
    def shape(self) -> Dense:
        """Its network."""
        assert isinstance(self.experiment.network, Dense)
        return self.experiment.network


def planned(
    experiment: Experiment,
    form: Form,
    folder: Path | None,
    recordings: Path | None,
    epochs: int | None = None,
    seeds: int | None = None,
    train: int | None = None,
    test: int | None = None,
) -> Plan:
    """The declared settings, with what was asked for in place of some. folder: None runs the stand-in."""
    small = experiment.small
    assert small is not None
    assert experiment.streaming is not None
    if folder is not None:
        learning, usual = (experiment.batch if form.name == "batch" else experiment.streaming), experiment.seeds
    else:
        streaming = small.streaming if recordings is None else small.recorded
        learning, usual = (small.batch if form.name == "batch" else streaming), small.seeds
    return Plan(experiment, form, learning.lasting(epochs), seeds or usual, folder, recordings, train, test)


def material(plan: Plan) -> Task | Speakers:
    """What is learned from: a Task, or Speakers where a network is to be fine-tuned to one."""
    return _material(plan.experiment.name, plan.folder, plan.recordings)


@lru_cache(maxsize=1)
def _material(name: str, folder: Path | None, file: Path | None) -> Task | Speakers:
    experiment = EXPERIMENTS[name]
    data, adapts = experiment.data, experiment.adaptation is not None
    assert isinstance(experiment.network, Dense)
    if folder is not None:
        return on_disk.speakers(data, folder) if adapts else on_disk.task(data, folder, experiment.network.sizes[-1])
    assert experiment.small is not None
    if experiment.small.kind == "pictures":
        return recordings.nmnist(file, data) if file else _digits()
    words = recordings.words(file, data) if file else synthetic.speech()
    return words if adapts else as_task(words)


def _digits() -> Task:
    what = "the digits that come with tp_lava, not N-MNIST: scikit-learn's handwritten digits seen by a simulated event camera, 60 steps"
    return Task(what, False, 10, *tpl.data.digits())


def limited(plan: Plan, task: Task) -> Task:
    """As many of its samples as asked for."""
    return task._replace(train=some(task.train, plan.train), test=some(task.test, plan.test))


def heard(plan: Plan, words: Speakers) -> adapting.Parts:
    """The parts of spoken words, as many as asked for."""
    how = plan.experiment.adaptation
    assert how is not None
    parts = adapting.parts(words, how)
    test = plan.test
    return parts._replace(known=some(parts.known, plan.train), judged=some(parts.judged, test), query=some(parts.query, test))


def one_seed(plan: Plan, seed: int) -> np.ndarray:
    """Accuracies of one seed: (epochs,), or (stages, 2) of a fine-tuning."""
    what, how = material(plan), plan.experiment.adaptation
    if isinstance(what, Task):
        return test_accuracies(plan.shape, plan.learning, plan.form, limited(plan, what), seed)
    assert how is not None
    return adapting.accuracies(plan.shape, plan.learning, how, plan.form, heard(plan, what), what.n_classes, seed)


def all_seeds(plan: Plan, processes: int) -> np.ndarray:
    """(seeds, ...): see one_seed. In parallel processes where there are several."""
    seeds = range(plan.seeds)
    workers = min(processes, plan.seeds)
    if workers <= 1:
        return np.stack([one_seed(plan, seed) for seed in seeds])
    with ProcessPoolExecutor(workers) as pool:
        return np.stack(list(pool.map(one_seed, [plan] * plan.seeds, seeds)))


def shortcomings(plan: Plan, published_data: bool) -> list[str]:
    """What keeps the figures of a run from being a reproduction of the published ones; none where nothing does."""
    experiment, epochs = plan.experiment, plan.learning.epochs
    checks = {
        "the data are not those of the paper": not published_data,
        "our streaming form, not the paper's batches": plan.form.name == "streaming",
        "fixed point, not float": plan.form.precision == "fixed",
        f"epochs: {epochs}, not {experiment.batch.epochs}": plan.form.name == "batch" and epochs != experiment.batch.epochs,
        f"batch: {plan.learning.batch}, not {experiment.batch.batch}": plan.form.name == "batch"
        and plan.learning.batch != experiment.batch.batch,
        f"seeds: {plan.seeds}, not {experiment.seeds}": plan.seeds != experiment.seeds,
        "only a part of the samples": plan.train is not None or plan.test is not None,
    }
    return [why for why, holds in checks.items() if holds]
