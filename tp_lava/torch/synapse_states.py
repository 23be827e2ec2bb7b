"""States per synapse of a batch, (B, n, n_in): filtered products, derivatives of membranes, and those of adaptive thresholds (see Term)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from tp_lava.circuit.terms import Term
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
