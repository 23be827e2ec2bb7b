"""TESS in batches: every layer from an error of its own, forward only. Equations and source: tp_lava.rules.TESS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import linear, one_hot

from tp_lava.dynamics.basis import basis
from tp_lava.optimisers import SGD, Optimiser
from tp_lava.rules import TESS
from tp_lava.torch.module import SpikingNetwork
from tp_lava.torch.rule_trainer import RuleTrainer, Step
from tp_lava.torch.trainer import Gradients


class TESSTrainer(RuleTrainer[TESS]):
    """Learns with TESS, batch by batch: weights, recurrent weights and the biases the network has.

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
        layer, weights = module.layers[number], module.weights
        self.rule, self.gradients = rule, gradients
        self.name, self.bias_name = layer.forward.name, layer.population.bias
        self.feedback_name = layer.recurrent.name if layer.recurrent else ""
        self.weights, self.feedback, self.bias = weights[self.name], weights.get(self.feedback_name), weights.get(self.bias_name)
        self.neurons = module.neurons(number, len(labels))
        self.labels = one_hot(labels, module.n_classes).to(module.dtype)
        signs = torch.tensor(basis(rule.basis, module.n_classes, layer.size), device=module.device, dtype=module.dtype)
        self.basis = signs / layer.size
        self.spikes = self.trace = self.post_trace = torch.zeros_like(self.neurons.membrane)
        self.trace_decay = layer.population.trace_decay
        self.pre_trace: Tensor | float = 0.0
        self.own_trace: Tensor | float = 0.0

    def step(self, below: Tensor, learns: bool) -> Tensor:
        """below: spikes (B, n_in); learns: whether this step teaches. -> spikes (B, n)."""
        drive = linear(below, self.weights)
        if self.feedback is not None:
            drive = drive + linear(self.spikes, self.feedback)
        spikes = self.neurons.step(drive, self.bias)
        if self.name in self.gradients:
            self._learn(below, spikes, learns)
        self.spikes = spikes
        return spikes

    def _learn(self, below: Tensor, spikes: Tensor, learns: bool) -> None:
        rule, psi = self.rule, self.neurons.pseudo_derivative()
        self.pre_trace = below + self.pre_trace * rule.pre_decay
        self.trace = spikes + self.trace * self.trace_decay
        if self.feedback is not None:
            self.own_trace = self.spikes + self.own_trace * rule.pre_decay
        if learns:
            signal = self._signal(self.trace if rule.activity == "trace" else spikes)
            causal, acausal = signal * psi, signal * self.post_trace * rule.acausal
            self._add(self.name, causal * rule.causal, self.pre_trace, acausal, below)
            if self.feedback is not None:
                self._add(self.feedback_name, causal * rule.causal, self.own_trace, acausal, self.spikes)
            if self.bias is not None:
                self.gradients.add(self.bias_name, causal.sum(dim=0))
        self.post_trace = psi + self.post_trace * rule.post_decay

    def _signal(self, activity: Tensor) -> Tensor:
        """m = B^T (softmax(B a / temperature) - label), divided by the batch's size; (B, n)."""
        error = torch.softmax(activity @ self.basis.T / self.rule.temperature, dim=1) - self.labels
        return error @ self.basis / len(error)

    def _add(self, name: str, causal: Tensor, trace: Tensor | float, acausal: Tensor, now: Tensor) -> None:
        """Add causal x trace + acausal x now; a term that the rule leaves out costs nothing."""
        assert isinstance(trace, Tensor)
        for weight, post, pre in ((self.rule.causal, causal, trace), (self.rule.acausal, acausal, now)):
            if weight:
                self.gradients.add_product(name, post, pre)
