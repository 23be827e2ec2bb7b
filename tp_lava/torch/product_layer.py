"""A hidden layer of a batch that learns by products: its states, its traces, and what it adds to the gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from tp_lava.errors import invalid
from tp_lava.graph.chain import ChainLayer
from tp_lava.rules import BaseRule
from tp_lava.torch.afferent import Afferent, check_states
from tp_lava.torch.gradients import Gradients
from tp_lava.torch.module import SpikingNetwork
from tp_lava.torch.neuron import constant
from tp_lava.torch.pooling import Pooling


def check_layer(layer: ChainLayer, rule: BaseRule) -> None:
    """Refuse terms that a layer has no states for. Raises InvalidValueError."""
    terms, population = [term for term in rule.terms if term.factor], layer.population
    for connection in layer.connections:
        check_states(connection, layer.neuron, terms)
    if any(term.post == "spike_trace" for term in terms) and population.pooling:
        remedy = "use surrogate, post_trace or one, or leave the pooling out"
        raise invalid(population.name, "term", "with post spike_trace", "of neurons whose own spikes are traced", remedy)
    neuron = layer.neuron
    if any(term.membrane for term in terms) and (neuron.has_current or neuron.adapts or neuron.rests):
        found = "with a synaptic current, an adaptive threshold or a refractory time"
        limit = "neurons without them beside a term that follows the membrane"
        raise invalid(population.name, "neuron", found, limit, "use another rule, such as tpl.EProp()")


class ProductLayer:
    """Hidden layer `number` of a batch of `rows`, silent at first.

    traces: whether the rule's credit sees spike traces. Attributes number, population, gradients; learns: whether its weights change;
    forward: its connection from below. Of the last step: spikes (B, units) that others get; trace: theirs; psi (B, n).
    """

    def __init__(self, module: SpikingNetwork, number: int, rule: BaseRule, rows: int, gradients: Gradients, traces: bool) -> None:
        layer, weights = module.layers[number], module.weights
        self.number, self.population, self._rule, self.gradients = number, layer.population, rule, gradients
        self.learns = layer.forward.name in gradients
        terms = [term for term in rule.terms if term.factor and self.learns]
        synaptic = [term for term in terms if term.pre != "one"]
        self.neurons, self._pooling = module.neurons(number, rows), Pooling(self.population.pooling, self.population.shape)
        self.forward, *others = (Afferent(c, weights[c.name], layer, self.neurons, rule, synaptic) for c in layer.connections)
        self._recurrent = others[0] if others else None
        self._bias, self._biased = weights.get(self.population.bias), [term for term in terms if term.pre == "one"]
        self._traced = self.learns and (traces or any(term.post == "spike_trace" for term in terms))
        self._posts = {term.post for term in terms}
        self.spikes = self.trace = torch.zeros(rows, self.population.output_size, device=module.device, dtype=module.dtype)
        self._trace_decay = constant(self.population.trace_decay, self.trace)
        self.psi = self._post_trace = torch.zeros_like(self.neurons.membrane)

    @property
    def _afferents(self) -> list[Afferent]:
        return [self.forward, self._recurrent] if self._recurrent else [self.forward]

    def step(self, below: Tensor) -> Tensor:
        """below: what the layer below sends, (B, units below). -> what this one sends, (B, units)."""
        drive = self.forward.drive(below)
        if self._recurrent is not None:
            drive = drive + self._recurrent.drive(self.spikes)
        self.spikes, self._back = self._pooling.taped(self.neurons.step(drive, self._bias))
        self.psi = self.neurons.pseudo_derivative()
        if self._traced:
            self.trace = self.spikes + self.trace * self._trace_decay
        self._known = {"surrogate": self.psi, "post_trace": self._post_trace, "spike_trace": self.trace}
        for afferent in self._afferents:
            afferent.advance(self._known)
        return self.spikes

    def back(self, signal: Tensor) -> Tensor:
        """Signals of what others get, (B, units), taken back to the neurons, (B, n); once a step."""
        return self._back(signal)

    def learn(self, signal: Tensor) -> None:
        """Add to the gradients what this step asks for. signal: delta of the neurons divided by the batch's size, (B, n)."""
        for afferent in self._afferents:
            afferent.learn(self.gradients, signal, self._known)
        for term in self._biased if self._bias is not None else ():
            factor = signal if term.post == "one" else signal * self._known[term.post]
            self.gradients.add(self.population.bias, factor.sum(dim=0) * term.factor)

    def close(self) -> None:
        """End the step: what is kept of it for those to come."""
        if "post_trace" in self._posts:
            self._post_trace = self.psi + self._post_trace * self._rule.post_decay
        for afferent in self._afferents:
            afferent.close()
