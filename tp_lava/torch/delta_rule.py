"""The readout of a batch and its delta rule: tp_lava.dynamics.readout says what it means."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from tp_lava.dynamics.readout import Readout
from tp_lava.graph.names import READOUT, READOUT_BIAS
from tp_lava.torch.delivery import Delivery
from tp_lava.torch.gradients import Gradients
from tp_lava.torch.module import SpikingNetwork
from tp_lava.torch.neuron import constant
from tp_lava.torch.trainer import within_last


class DeltaRule:
    """Scores of one batch, from step to step, and the gradients that its error asks for.

    labels: (B,); steps: of the batch; gradients: of "readout" and "readout_bias" if they learn. The bias learns as a weight
    whose feature is always 1. Attribute scores (B, n_classes); delivery, values: of the readout, V as it was in this step.
    """

    def __init__(self, module: SpikingNetwork, readout: Readout, labels: Tensor, steps: int, gradients: Gradients) -> None:
        self._readout, self._gradients, self._steps = readout, gradients, steps
        self.delivery, self._bias = Delivery.of(module.readout_connection, module.weights[READOUT]), module.weights.get(READOUT_BIAS)
        self._labels = one_hot(labels, module.n_classes).to(module.dtype)
        self._trace_decay = module.layers[-1].population.trace_decay
        self._features: Tensor | float = 0.0
        self._elapsed = 0
        self.scores = torch.zeros_like(self._labels)
        self._potential = self.scores
        self.values = self.delivery.values()

    def step(self, spikes: Tensor) -> None:
        """spikes: what the last layer gives on, (B, units)."""
        readout = self._readout
        self.values = self.delivery.values()
        arriving = self.delivery.drive(spikes, self.values, self._bias)
        self.scores = self.scores + arriving
        self._potential = self.scores if readout.decay == 1 else self._potential * readout.decay + arriving
        self._features = spikes + self._features * self._feature_decay(spikes)
        self._elapsed += 1
        if READOUT in self._gradients and within_last(readout.learn_last, self._elapsed - 1, self._steps):
            self._learn(self._features)

    def _feature_decay(self, spikes: Tensor) -> Tensor | float:
        """Of what learns: traces, counts, or the spikes alone."""
        return constant(self._trace_decay, spikes) if self._readout.features == "trace" else float(self._readout.features == "count")

    def error(self) -> Tensor:
        """(softmax(potential / scale) - label) / B of this step, (B, n_classes)."""
        scale = self._readout.temperature * (self._elapsed if self._readout.normalised else 1)
        return (torch.softmax(self._potential / scale, dim=1) - self._labels) / len(self._labels)

    def _learn(self, features: Tensor) -> None:
        error = self.error()
        self.delivery.learn(self._gradients, error, features)
        if self._bias is not None:
            self._gradients.add(READOUT_BIAS, error.sum(dim=0))
