"""The plan of a run: experiment, data and settings; and the reasons why its figures are no reproduction of the published ones."""

from __future__ import annotations

import sys
from collections.abc import Collection
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

import tp_lava as tpl
from experiments import adapting, on_disk, smaller, synthetic
from experiments.adapting import SpeakerSplit
from experiments.config import BPTT, Comparison, Dense, Experiment, Learning, Method, Shape
from experiments.configs import EXPERIMENTS
from experiments.samples import DataSet, SpokenWords
from experiments.training import Measured, Mode, test_accuracies


@dataclass(frozen=True)
class Plan:
    """An experiment as it is run.

    folder: of the whole data, None for a stand-in; recordings: file for a stand-in; train, test: limits on the number of samples;
    methods: that are compared, instead of the experiment's own.
    """

    experiment: Experiment
    mode: Mode
    learning: Learning
    seeds: int
    folder: Path | None
    recordings: Path | None = None
    train: int | None = None
    test: int | None = None
    methods: tuple[Method, ...] = ()

    @property
    def shape(self) -> Shape:
        """Its network."""
        small = self.experiment.small
        return small.network if self.methods and isinstance(small, Comparison) else self.experiment.network


def planned(
    experiment: Experiment,
    mode: Mode,
    folder: Path | None,
    recordings: Path | None,
    epochs: int | None = None,
    seeds: int | None = None,
    train: int | None = None,
    test: int | None = None,
    methods: Collection[str] | None = None,
) -> Plan:
    """The experiment's settings, except for the given ones. folder: None runs the stand-in; methods: names of those compared, None: all."""
    small, limits = experiment.small, (folder, recordings, train, test)
    assert small is not None
    if folder is None and isinstance(small, Comparison):
        chosen = compared_in(small, mode.form)
        compared = [replace(one, learning=one.learning.lasting(epochs)) for one in chosen if methods is None or one.name in methods]
        return Plan(experiment, mode, compared[0].learning, seeds or small.seeds, *limits, tuple(compared))
    if folder is not None or isinstance(small, Comparison):
        learning = experiment.batch if mode.form != "streaming" else experiment.streaming
        count = experiment.seeds
    else:
        learning = small.batch if mode.form != "streaming" else small.streaming if recordings is None else small.recorded
        count = small.seeds
    assert learning is not None
    return Plan(experiment, mode, learning.lasting(epochs), seeds or count, *limits)


def compared_in(small: Comparison, form: str) -> list[Method]:
    """The methods that a form has: BPTT is PyTorch's alone."""
    return [method for method in small.methods if form == "torch" or not isinstance(method.learning.rule, BPTT)]


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
    assert small is not None
    if folder is not None:
        n_classes = experiment.network.classes
        return on_disk.whole_words(data, folder) if experiment.adaptation else on_disk.whole_data_set(data, folder, n_classes)
    if isinstance(small, Comparison):
        return smaller.data_set(small, file)
    if small.kind == "speech":
        return on_disk.spoken_words(file, data) if file else synthetic.speech()
    return on_disk.nmnist_archive(file, data) if file else _digits()


def _digits() -> DataSet:
    what = "the digits that come with tp_lava, not N-MNIST: scikit-learn's handwritten digits seen by a simulated event camera, 60 steps"
    return DataSet(what, False, 10, *tpl.data.digits())


def one_seed(plan: Plan, seed: int) -> Measured:
    """What one seed gives."""
    data, adaptation = load(plan), plan.experiment.adaptation
    if plan.methods:
        assert isinstance(data, DataSet)
        found = [_told(method, data, seed, test_accuracies(plan.shape, method.learning, plan.mode, data, seed)) for method in plan.methods]
        return Measured(np.stack([one.accuracies for one in found]), np.concatenate([one.seconds for one in found]))
    if isinstance(data, DataSet):
        return test_accuracies(plan.shape, plan.learning, plan.mode, data, seed)
    assert adaptation is not None
    assert isinstance(plan.shape, Dense)
    return Measured(adapting.accuracies(plan.shape, plan.learning, adaptation, plan.mode, data, seed), np.zeros(1))


def _told(method: Method, data: DataSet, seed: int, found: Measured) -> Measured:
    """A line for who waits."""
    accuracies = " ".join(f"{100 * share:.2f}" for share in found.accuracies)
    each = found.seconds[0] / method.learning.epochs / len(data.train)
    print(f"seed {seed}, {method.name}: {accuracies} %, {each:.4f} s a sample", file=sys.stderr, flush=True)
    return found


def all_seeds(plan: Plan, processes: int) -> Measured:
    """(seeds, ...): see one_seed; with several processes, seeds run in parallel."""
    seeds = range(plan.seeds)
    workers = min(processes, plan.seeds)
    if workers <= 1:
        found = [one_seed(plan, seed) for seed in seeds]
    else:
        with ProcessPoolExecutor(workers) as pool:
            found = list(pool.map(one_seed, [plan] * plan.seeds, seeds))
    return Measured(*(np.stack(part) for part in zip(*found, strict=True)))


def shortcomings(plan: Plan, published_data: bool) -> list[str]:
    """The reasons why the figures of a run are no reproduction of the published ones; none if they are."""
    if plan.methods:
        return ["smaller data, networks and trainings than the paper's, to compare methods with each other"]
    learning, published = plan.learning, plan.experiment.batch
    in_batches = plan.mode.form != "streaming"
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
