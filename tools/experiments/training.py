"""Learning, in one form or another: the engine in batches or one by one, in float or fixed point, or PyTorch on a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

import tp_lava as tpl
from experiments.declaration import Dense, Learning
from experiments.samples import Task
from tp_lava.data.events import Sample

Samples = Sequence[Sample]


@dataclass(frozen=True)
class Form:
    """How it is computed. device: PyTorch's, for batches; None: tp_lava's engine."""

    name: Literal["batch", "streaming"]
    precision: Literal["float", "fixed"] = "float"
    device: str | None = None
    progress: bool = False


@dataclass(frozen=True)
class Learned:
    """What came of it: test accuracy after each epoch, the network, and a way to judge other samples with it."""

    accuracies: list[float]
    network: tpl.Network
    evaluate: Callable[[Samples], float]


def learn(network: tpl.Network, learning: Learning, form: Form, train: Samples, test: Samples, seed: int) -> Learned:
    """All epochs. seed: of the order of samples, the labels drawn and all rounding."""
    run = _in_engine if form.device is None else _in_torch
    return run(network, learning, form, train, test, seed)


def _in_engine(network: tpl.Network, learning: Learning, form: Form, train: Samples, test: Samples, seed: int) -> Learned:
    learner = tpl.Learner(network, learning.rule, form.precision, seed, learning.optimiser, learning.schedule)
    batch = min(learning.batch, len(train))
    accuracies = learner.fit(train, learning.epochs, form.progress, batch=batch, validation=test)
    return Learned(accuracies, learner.network, learner.evaluate)


def _in_torch(network: tpl.Network, learning: Learning, form: Form, train: Samples, test: Samples, seed: int) -> Learned:
    from tp_lava.torch import SpikingNetwork, TPTrainer, evaluate, fit

    assert isinstance(learning.rule, tpl.TP)
    trainer = TPTrainer(SpikingNetwork(network, device=form.device), learning.rule, learning.optimiser)
    batch = min(learning.batch, len(train))
    accuracies = fit(trainer, train, learning.epochs, batch, learning.schedule, seed, test, form.progress)
    return Learned(accuracies, trainer.module.network(), lambda samples: evaluate(trainer.module, samples))


def test_accuracies(shape: Dense, learning: Learning, form: Form, task: Task, seed: int) -> np.ndarray:
    """Of a blank network, after each epoch."""
    network = shape.network(task.train[0].events.n_units, task.n_classes, seed)
    return np.array(learn(network, learning, form, task.train, task.test, seed).accuracies)
