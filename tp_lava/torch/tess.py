"""TESS in batches: every layer from an error of its own, forward only. Equations and source: tp_lava.rules.TESS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, one_hot

from tp_lava.dynamics.basis import basis
from tp_lava.errors import invalid
from tp_lava.optimisers import SGD, Optimiser
from tp_lava.rules import TESS
from tp_lava.torch.delta_rule import DeltaRule
from tp_lava.torch.module import SpikingNetwork
from tp_lava.torch.trainer import Gradients, Trainer, rates_of, within_last


class TESSTrainer(Trainer):
    """Learns with TESS, batch by batch: weights, recurrent weights and the biases the network has.

    optimiser: SGD() or Adam(), for all or by layer. Recurrent weights take the layer's own spikes of the step before.
    Neurons that a basis gives no signal stay as they are, without a word; a Learner of the same rule names them.
    """

    def __init__(self, module: SpikingNetwork, rule: TESS, optimiser: Optimiser | Mapping[str, Optimiser] = SGD()) -> None:  # noqa: B008 (frozen)
        if not isinstance(rule, TESS):
            raise invalid("TESSTrainer", "rule", repr(rule)[:60], "a TESS(...)", "TPTrainer and BPTTTrainer are for others")
        super().__init__(module, optimiser)
        self.rule = rule
        self._learn(rates_of(rule, len(module.layers)))

    def learn_batch(self, spikes: Tensor, labels: Tensor | Sequence[int]) -> Tensor:
        """See Trainer."""
        spikes, own = self._checked(spikes, labels)
        steps, rule, module = len(spikes), self.rule, self.module
        with torch.no_grad():
            gradients = Gradients(self._learning)
            layers = [_Layer(module, number, rule, own, gradients) for number in range(len(module.layers))]
            readout = DeltaRule(module, rule.readout, own, steps, gradients)
            for step, below in enumerate(spikes):
                below = below.to(module.dtype)
                for layer in layers:
                    below = layer.step(below, within_last(rule.learn_last, step, steps))
                readout.step(below)
                if rule.update == "step":
                    self._apply(gradients, self._at_rest(rule, step, steps))
            if rule.update == "sequence":
                self._apply(gradients)
        return readout.scores

    def _learned(self, layer: str) -> dict[str, nn.Parameter]:
        if layer == "readout":
            return self._named("readout", "readout_bias")
        return self._named(layer, layer.replace("hidden", "recurrent"), layer.replace("hidden", "bias"))


class _Layer:
    """One hidden layer of a batch: its states, and what it adds to the gradients at each step."""

    def __init__(self, module: SpikingNetwork, number: int, rule: TESS, labels: Tensor, gradients: Gradients) -> None:
        self.rule, self.gradients = rule, gradients
        self.name, self.feedback_name, self.bias_name = f"hidden{number}", f"recurrent{number}", f"bias{number}"
        weights, size = module.weights, module.layers[number].size
        self.weights, self.feedback, self.bias = weights[self.name], weights.get(self.feedback_name), weights.get(self.bias_name)
        self.neurons = module.neurons(number, len(labels))
        self.labels = one_hot(labels, module.n_classes).to(module.dtype)
        self.basis = torch.tensor(basis(rule.basis, module.n_classes, size), device=module.device, dtype=module.dtype) / size
        self.spikes = self.trace = self.post_trace = torch.zeros_like(self.neurons.membrane)
        self.trace_decay = module.layers[number].trace_decay
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
