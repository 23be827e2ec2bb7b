"""TESS in batches: every layer from an error of its own, forward only. Equations and source: tp_lava.rules.TESS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from tp_lava.dynamics.basis import basis
from tp_lava.graph.pooling import to_grid
from tp_lava.optimisers import SGD, Optimiser
from tp_lava.rules import TESS
from tp_lava.torch.delay import DelayLine
from tp_lava.torch.delivery import Delivery
from tp_lava.torch.module import SpikingNetwork
from tp_lava.torch.neuron import constant
from tp_lava.torch.pooling import Back, Pooling
from tp_lava.torch.rule_trainer import RuleTrainer, Step
from tp_lava.torch.trainer import Gradients


class TESSTrainer(RuleTrainer[TESS]):
    """Learns with TESS, batch by batch: weights, recurrent weights and the biases the network has.

    Maps are averaged to the rule's grid before their basis.

    optimiser: SGD() or Adam(), for all or by layer. Recurrent weights take the layer's own spikes of the step before.
    Neurons that a basis gives no signal stay as they are, without a warning; a Learner of the same rule names them.
    Raises InvalidValueError.
    """

    kind: ClassVar[type[TESS]] = TESS
    others: ClassVar[str] = "TPTrainer and BPTTTrainer"

    def __init__(self, module: SpikingNetwork, rule: TESS, optimiser: Optimiser | Mapping[str, Optimiser] = SGD()) -> None:  # noqa: B008 (frozen)
        super().__init__(module, rule, optimiser)

    def _steps(self, labels: Tensor, gradients: Gradients) -> Step:
        """See RuleTrainer."""
        layers = [_Layer(self.module, number, self.rule, labels, gradients) for number in range(len(self.module.layers))]

        def step(below: Tensor, learns: bool) -> Tensor:
            for layer in layers:
                below = layer.step(below, learns)
            return below

        return step


class _Layer:
    """One hidden layer of a batch: its states, and what it adds to the gradients at each step."""

    def __init__(self, module: SpikingNetwork, number: int, rule: TESS, labels: Tensor, gradients: Gradients) -> None:
        layer, weights, population = module.layers[number], module.weights, module.layers[number].population
        self.rule, self.gradients, self.bias_name = rule, gradients, population.bias
        self.forward, self.bias = Delivery.of(layer.forward, weights[layer.forward.name]), weights.get(self.bias_name)
        self.feedback = Delivery.of(layer.recurrent, weights[layer.recurrent.name]) if layer.recurrent else None
        self.arriving, self.coming_back = DelayLine(layer.forward), DelayLine(layer.recurrent)
        self.neurons, self.pooling = module.neurons(number, len(labels)), Pooling(population.pooling, population.shape)
        self.labels = one_hot(labels, module.n_classes).to(module.dtype)
        self.grid = Pooling(to_grid(population.output_shape, rule.grid), population.output_shape)
        self.basis = _basis(rule, module, self.grid.size)
        self.spikes = self.trace = torch.zeros(len(labels), population.output_size, device=module.device, dtype=module.dtype)
        self.post_trace = torch.zeros_like(self.neurons.membrane)
        self.trace_decay = constant(population.trace_decay, self.trace)
        self.pre_trace: Tensor | float = 0.0
        self.own_trace: Tensor | float = 0.0

    def step(self, below: Tensor, learns: bool) -> Tensor:
        """below: what comes from below, (B, n_in); learns: whether this step teaches. -> what others get, (B, units)."""
        below, own = self.arriving.step(below), self.coming_back.step(self.spikes)
        drive = self.forward.drive(below, self.forward.values())
        if self.feedback is not None:
            drive = drive + self.feedback.drive(own, self.feedback.values())
        spikes, back = self.pooling.taped(self.neurons.step(drive, self.bias))
        if self.forward.name in self.gradients:
            self._learn(below, own, spikes, back, learns)
        self.spikes = spikes
        return spikes

    def _learn(self, below: Tensor, own: Tensor, spikes: Tensor, back: Back, learns: bool) -> None:
        """below, own: what arrives from below and comes back; back: takes signals of the spikes, pooled, to the neurons."""
        rule, psi = self.rule, self.neurons.pseudo_derivative()
        self.pre_trace = below + self.pre_trace * rule.pre_decay
        self.trace = spikes + self.trace * self.trace_decay
        if self.feedback is not None:
            self.own_trace = own + self.own_trace * rule.pre_decay
        if learns:
            signal = back(self._signal(self.trace if rule.activity == "trace" else spikes))
            causal, acausal = signal * psi, signal * self.post_trace * rule.acausal
            self._add(self.forward, causal * rule.causal, self.pre_trace, acausal, below)
            if self.feedback is not None:
                self._add(self.feedback, causal * rule.causal, self.own_trace, acausal, own)
            if self.bias is not None:
                self.gradients.add(self.bias_name, causal.sum(dim=0))
        self.post_trace = psi + self.post_trace * rule.post_decay

    def _signal(self, activity: Tensor) -> Tensor:
        """m = A^T B^T (softmax(B A a / temperature) - label), A: averages of maps, divided by the batch's size; (B, units)."""
        seen, spread = self.grid.taped(activity)
        error = torch.softmax(seen @ self.basis.T / self.rule.temperature, dim=1) - self.labels
        return spread(error @ self.basis / len(error))

    def _add(self, delivery: Delivery, causal: Tensor, trace: Tensor | float, acausal: Tensor, now: Tensor) -> None:
        """Add causal x trace + acausal x now; a term that the rule leaves out costs nothing."""
        assert isinstance(trace, Tensor)
        for weight, post, pre in ((self.rule.causal, causal, trace), (self.rule.acausal, acausal, now)):
            if weight:
                delivery.learn(self.gradients, post, pre)


def _basis(rule: TESS, module: SpikingNetwork, size: int) -> Tensor:
    """(classes, size) of +-1 / size."""
    return torch.tensor(basis(rule.basis, module.n_classes, size), device=module.device, dtype=module.dtype) / size
