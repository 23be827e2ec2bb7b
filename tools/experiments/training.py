"""Training in one mode or another: the engine in batches or one by one, in float or fixed point, or PyTorch on a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

import tp_lava as tpl
from experiments.config import Dense, Learning
from experiments.samples import DataSet, Samples


@dataclass(frozen=True)
class Mode:
    """How training is computed. device: PyTorch's, for batches; None: tp_lava's engine."""

    form: Literal["batch", "streaming"]
    precision: Literal["float", "fixed"] = "float"
    device: str | None = None
    progress: bool = False


@dataclass(frozen=True)
class Learned:
    """accuracies: on the test samples, after each epoch; evaluate: accuracy of the trained network on other samples."""

    accuracies: list[float]
    network: tpl.Network
    evaluate: Callable[[Samples], float]


def learn(network: tpl.Network, learning: Learning, mode: Mode, train: Samples, test: Samples, seed: int) -> Learned:
    """Train for all epochs. seed: of the order of samples, the labels drawn and all rounding."""
    batch = min(learning.batch, len(train))
    if mode.device is None:
        learner = tpl.Learner(network, learning.rule, mode.precision, seed, learning.optimiser, learning.schedule)
        accuracies = learner.fit(train, learning.epochs, mode.progress, batch=batch, validation=test)
        return Learned(accuracies, learner.network, learner.evaluate)
    from tp_lava.torch import SpikingNetwork, TPTrainer, evaluate, fit

    rule = cast(tpl.TP, learning.rule)  # the rule of every experiment that runs
    trainer = TPTrainer(SpikingNetwork(network, device=mode.device), rule, learning.optimiser)
    accuracies = fit(trainer, train, learning.epochs, batch, learning.schedule, seed, test, mode.progress)
    return Learned(accuracies, trainer.module.network(), lambda samples: evaluate(trainer.module, samples))


def test_accuracies(shape: Dense, learning: Learning, mode: Mode, data: DataSet, seed: int) -> np.ndarray:
    """Of an untrained network, after each epoch."""
    network = shape.network(data.train[0].events.n_units, data.n_classes, seed)
    return np.array(learn(network, learning, mode, data.train, data.test, seed).accuracies)
