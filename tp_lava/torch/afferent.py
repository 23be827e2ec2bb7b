"""A connection into a hidden layer of a batch: what arrives, and what its synapses know of it when they learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from tp_lava.circuit.terms import Pre, Term
from tp_lava.dynamics.neuron import LIF
from tp_lava.errors import invalid
from tp_lava.graph.chain import ChainLayer
from tp_lava.graph.delays import SynapticDelays
from tp_lava.graph.network import Connection
from tp_lava.rules import BaseRule
from tp_lava.torch.delivery import DelayLine, Delivery
from tp_lava.torch.gradients import Gradients
from tp_lava.torch.neuron import Neurons


class SynapseState:
    """The states of one term on one connection, zero at first: E, U, and D with its neurons' numbers.

    follows: whether the term keeps the derivative of thresholds. learned: what stands in the place of B or, of a filter, of A x B.
    """

    def __init__(self, term: Term, neurons: Neurons, synapses: int, *, follows: bool) -> None:
        self._term, self._neurons, self._follows = term, neurons, follows
        membrane = neurons.membrane
        self.learned = torch.zeros(*membrane.shape, synapses, dtype=membrane.dtype, device=membrane.device)
        self._derivative = torch.zeros_like(self.learned) if follows else None

    def advance(self, pre: Tensor, posts: Mapping[str, Tensor]) -> None:
        """One step. pre: B, (B, n_in); posts: A, (B, n), by name."""
        term, net = self._term, pre[:, None, :]
        if term.membrane:
            self.learned += net
            return
        if self._derivative is not None:
            net = net - _of_synapses(self._neurons.adaptation) * self._derivative
        changed = posts[term.post][:, :, None] * net
        if self._derivative is not None:
            self._derivative = self._derivative * _of_synapses(self._neurons.adaptation_decay) + changed
        self.learned = self.learned * term.filter + changed if term.filter else net

    def close(self) -> None:
        """End the step: what a membrane keeps of it."""
        if self._term.membrane:
            self.learned *= self._neurons.retention()[:, :, None]


def _of_synapses(value: Tensor | float) -> Tensor | float:
    """One number, or one a neuron, beside (B, n, n_in)."""
    return value[:, None] if isinstance(value, Tensor) else value


MOST_STATES = 2**29  # numbers that the synapses of one connection may keep of a batch: 2 GiB of float32


def check_states(connection: Connection, neuron: LIF, terms: Sequence[Term], rows: int = 1) -> None:
    """Refuse a state per synapse where there is none for each, or too many. rows: of the batch. Raises InvalidValueError."""
    if not any(term.has_state(neuron) for term in terms):
        return
    kind, remedy = connection.kind, "use a term without"
    if kind.by_place or connection.standardisation or isinstance(connection.delays, SynapticDelays):
        found = "with a state per synapse, of a convolution, standardised weights or synaptic delays"
        raise invalid(connection.name, "term", found, "where each synapse has one", remedy)
    if rows * kind.synapse_count > MOST_STATES:
        found = f"with a state per synapse of each sample, {rows} x {kind.synapse_count} numbers"
        raise invalid(connection.name, "term", found, f"at most {MOST_STATES} numbers", f"learn smaller batches, or {remedy}")


class Afferent:
    """What comes over one connection, step by step; silent at first.

    layer: that it reaches; neurons: of the layer; rule, terms: by which it learns, the latter without those of a bias; none where it
    does not. Attributes delivery; values: V as it was in this step.
    """

    def __init__(
        self, connection: Connection, weights: nn.Parameter, layer: ChainLayer, neurons: Neurons, rule: BaseRule, terms: Sequence[Term]
    ) -> None:
        check_states(connection, layer.neuron, terms, len(neurons.membrane))
        self.delivery, self._line, self._rule = Delivery.of(connection, weights), DelayLine(connection), rule
        self.values = self.delivery.values()
        self._terms, pres = terms, {term.pre for term in terms}
        self._traced, self._twice = bool(pres & {"trace", "second_trace"}), "second_trace" in pres
        self._pre: dict[Pre, Tensor] = {}
        self._states = {
            term.name: SynapseState(term, neurons, connection.kind.arriving, follows=term.follows_threshold(layer.neuron))
            for term in terms
            if term.has_state(layer.neuron)
        }

    def drive(self, sent: Tensor) -> Tensor:
        """sent: what the units below send in this step, (B, units). -> (B, n)."""
        self.values, arrived = self.delivery.values(), self._line.step(sent)
        self._pre["spike"] = arrived
        if self._traced:
            before = self._pre.get("trace")
            self._pre["trace"] = arrived if before is None else before * self._rule.pre_decay + arrived
        if self._twice:
            before = self._pre.get("second_trace")
            self._pre["second_trace"] = self._pre["trace"] if before is None else before * self._rule.second_decay + self._pre["trace"]
        return self.delivery.drive(arrived, self.values)

    def advance(self, posts: Mapping[str, Tensor]) -> None:
        """Take this step into the states of synapses. posts: A of the neurons, (B, n), by name."""
        for term in self._terms:
            if term.name in self._states:
                self._states[term.name].advance(self._pre[term.pre], posts)

    def learn(self, gradients: Gradients, signal: Tensor, posts: Mapping[str, Tensor]) -> None:
        """Add sum over terms of factor * (delta * A) x B, or x E. signal: delta of the neurons, (B, n)."""
        for term in self._terms:
            factor = signal * term.factor if term.factor != 1 else signal
            if term.post != "one" and not term.filter:
                factor = factor * posts[term.post]
            if term.name in self._states:
                gradients.add(self.delivery.name, torch.einsum("bn,bnm->nm", factor, self._states[term.name].learned))
            else:
                self.delivery.learn(gradients, factor, self._pre[term.pre])

    def close(self) -> None:
        """End the step: what states keep of it."""
        for state in self._states.values():
            state.close()
