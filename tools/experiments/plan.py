"""The plan of a run: experiment, data and settings; and the reasons why its figures are no reproduction of the published ones."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

import tp_lava as tpl
from experiments import adapting, on_disk, synthetic
from experiments.adapting import SpeakerSplit
from experiments.config import Dense, Experiment, Learning
from experiments.configs import EXPERIMENTS
from experiments.samples import DataSet, SpokenWords
from experiments.training import Mode, test_accuracies


@dataclass(frozen=True)
class Plan:
    """An experiment as it is run.

    folder: of the whole data, None for a stand-in; recordings: file for a stand-in; train, test: limits on the number of samples.
    """

    experiment: Experiment
    mode: Mode
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
    mode: Mode,
    folder: Path | None,
    recordings: Path | None,
    epochs: int | None = None,
    seeds: int | None = None,
    train: int | None = None,
    test: int | None = None,
) -> Plan:
    """The experiment's settings, except for the given ones. folder: None runs the stand-in."""
    small = experiment.small
    assert small is not None
    assert experiment.streaming is not None
    source = experiment if folder is not None else small
    learning = experiment.streaming if folder is not None else small.streaming if recordings is None else small.recorded
    if mode.form == "batch":
        learning = source.batch
    return Plan(experiment, mode, learning.lasting(epochs), seeds or source.seeds, folder, recordings, train, test)


def load(plan: Plan) -> DataSet | SpeakerSplit:
    """The data of a plan, limited to its numbers of samples; a SpeakerSplit where a network is fine-tuned to a speaker."""
    words = _load(plan.experiment.name, plan.folder, plan.recordings)
    adaptation = plan.experiment.adaptation
    if isinstance(words, DataSet):
        return words.limited(plan.train, plan.test)
    data = adapting.split_speakers(words, adaptation) if adaptation else words.split()
    return data.limited(plan.train, plan.test)


@lru_cache(maxsize=1)
def _load(name: str, folder: Path | None, file: Path | None) -> DataSet | SpokenWords:
    experiment = EXPERIMENTS[name]
    data, small = experiment.data, experiment.small
    assert isinstance(experiment.network, Dense)
    assert small is not None
    if folder is not None:
        n_classes = experiment.network.sizes[-1]
        return on_disk.whole_words(data, folder) if experiment.adaptation else on_disk.whole_data_set(data, folder, n_classes)
    if small.kind == "speech":
        return on_disk.spoken_words(file, data) if file else synthetic.speech()
    return on_disk.nmnist_archive(file, data) if file else _digits()


def _digits() -> DataSet:
    what = "the digits that come with tp_lava, not N-MNIST: scikit-learn's handwritten digits seen by a simulated event camera, 60 steps"
    return DataSet(what, False, 10, *tpl.data.digits())


def one_seed(plan: Plan, seed: int) -> np.ndarray:
    """Accuracies of one seed: (epochs,), or (stages, 2) of a fine-tuning."""
    data, adaptation = load(plan), plan.experiment.adaptation
    if isinstance(data, DataSet):
        return test_accuracies(plan.shape, plan.learning, plan.mode, data, seed)
    assert adaptation is not None
    return adapting.accuracies(plan.shape, plan.learning, adaptation, plan.mode, data, seed)


def all_seeds(plan: Plan, processes: int) -> np.ndarray:
    """(seeds, ...): see one_seed; with several processes, seeds run in parallel."""
    seeds = range(plan.seeds)
    workers = min(processes, plan.seeds)
    if workers <= 1:
        return np.stack([one_seed(plan, seed) for seed in seeds])
    with ProcessPoolExecutor(workers) as pool:
        return np.stack(list(pool.map(one_seed, [plan] * plan.seeds, seeds)))


def shortcomings(plan: Plan, published_data: bool) -> list[str]:
    """The reasons why the figures of a run are no reproduction of the published ones; none if they are."""
    learning, published = plan.learning, plan.experiment.batch
    in_batches = plan.mode.form == "batch"
    checks = {
        "the data are not those of the paper": not published_data,
        "our streaming form, not the paper's batches": not in_batches,
        "fixed point, not float": plan.mode.precision == "fixed",
        f"epochs: {learning.epochs}, not {published.epochs}": in_batches and learning.epochs != published.epochs,
        f"batch: {learning.batch}, not {published.batch}": in_batches and learning.batch != published.batch,
        f"seeds: {plan.seeds}, not {plan.experiment.seeds}": plan.seeds != plan.experiment.seeds,
        "only a part of the samples": plan.train is not None or plan.test is not None,
    }
    return [reason for reason, holds in checks.items() if holds]
