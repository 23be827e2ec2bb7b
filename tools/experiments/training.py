"""Training in one mode or another: the engine in batches or one by one, in float or fixed point, or PyTorch on a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal, NamedTuple

import numpy as np

import tp_lava as tpl
from experiments.config import BPTT, Learning, Shape
from experiments.samples import DataSet, Samples, varied


@dataclass(frozen=True)
class Mode:
    """How training is computed: batches in tp_lava's engine or in PyTorch, or one by one in the engine. device: PyTorch's."""

    form: Literal["engine", "torch", "streaming"]
    precision: Literal["float", "fixed"] = "float"
    device: str = "cpu"
    progress: bool = False


@dataclass(frozen=True)
class Learned:
    """accuracies: on the test samples, after each epoch; evaluate: accuracy of the trained network on other samples."""

    accuracies: list[float]
    network: tpl.Network
    evaluate: Callable[[Samples], float]


def learn(network: tpl.Network, learning: Learning, mode: Mode, train: Samples, test: Samples, seed: int) -> Learned:
    """Train for all epochs. seed: of the order of samples, the labels drawn and all rounding."""
    batch, train = min(learning.batch, len(train)), varied(train, seed)
    if mode.form != "torch":
        assert not isinstance(learning.rule, BPTT)
        learner = tpl.Learner(network, learning.rule, mode.precision, seed, learning.optimiser, learning.schedule)
        accuracies = learner.fit(train, learning.epochs, mode.progress, batch=batch, validation=test)
        return Learned(accuracies, learner.network, learner.evaluate)
    from tp_lava.torch import SpikingNetwork, evaluate, fit

    trainer = _trainer(SpikingNetwork(network, device=mode.device), learning)
    accuracies = fit(trainer, train, learning.epochs, batch, learning.schedule, seed, test, mode.progress)
    return Learned(accuracies, trainer.module.network(), lambda samples: evaluate(trainer.module, samples))


def _trainer(module: Any, learning: Learning) -> Any:
    """PyTorch's, of a rule."""
    from tp_lava.torch import BPTTTrainer, trainer_of

    rule, optimiser = learning.rule, learning.optimiser
    if isinstance(rule, BPTT):
        return BPTTTrainer(module, rule.rate, optimiser)
    return trainer_of(rule)(module, rule, optimiser)


class Measured(NamedTuple):
    """accuracies: on the test samples, (epochs,), (methods, epochs), or (stages, 2) of a fine-tuning; seconds: of each method."""

    accuracies: np.ndarray
    seconds: np.ndarray


def test_accuracies(shape: Shape, learning: Learning, mode: Mode, data: DataSet, seed: int) -> Measured:
    """Of an untrained network, after each epoch."""
    start = perf_counter()
    network = shape.network(data.input_shape, data.n_classes, seed)
    accuracies = learn(network, learning, mode, data.train, data.test, seed).accuracies
    return Measured(np.array(accuracies), np.array([perf_counter() - start]))
