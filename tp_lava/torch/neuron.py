"""The neuron of tp_lava.dynamics.neuron over tensors, differentiable through its surrogate.

The equations are those of that module; here they are written for automatic differentiation, as a witness of their own.
Surrogates are not: their one definition is called with an array that computes in torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.lib.mixins import NDArrayOperatorsMixin
from torch import Tensor

from tp_lava.dynamics.neuron import LIF, PER_NEURON, check_knows
from tp_lava.dynamics.parameters import Parameter, spread
from tp_lava.dynamics.surrogate import Surrogate

_KNOWN = frozenset({*PER_NEURON, "comparison", "reset", "surrogate", "bias_to"})


def check_neuron(neuron: LIF) -> None:
    """Refuse a neuron with an option that is not here. Raises InvalidValueError."""
    check_knows(neuron, _KNOWN, "torch form")


class _Array(NDArrayOperatorsMixin):
    """A tensor that NumPy's functions take for an array: each is torch's function of that name, on any device."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any) -> _Array:
        operands = (x.tensor if isinstance(x, _Array) else torch.as_tensor(x, dtype=self.tensor.dtype) for x in inputs)
        return _Array(getattr(torch, ufunc.__name__)(*operands))


def pseudo_derivative(surrogate: Surrogate, excess: Tensor) -> Tensor:
    """psi of membranes that are `excess` = v - theta above their threshold; any shape."""
    return surrogate.profile(_Array(excess.abs())).tensor


class _Fire(torch.autograd.Function):
    """The step function, whose derivative is a surrogate."""

    @staticmethod
    def forward(ctx: Any, excess: Tensor, surrogate: Surrogate, strict: bool) -> Tensor:
        ctx.save_for_backward(excess)
        ctx.surrogate = surrogate
        return _step(excess, strict)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (excess,) = ctx.saved_tensors
        return gradients[0] * pseudo_derivative(ctx.surrogate, excess), None, None


def _step(excess: Tensor, strict: bool) -> Tensor:
    return (excess > 0 if strict else excess >= 0).to(excess.dtype)


def constant(value: Parameter, rows: Tensor) -> Tensor | float:
    """A parameter beside a tensor of neurons, (rows, n): one number, or a tensor (n,) like it."""
    number = spread(value, rows.shape[1:])
    return torch.as_tensor(number, dtype=rows.dtype, device=rows.device) if isinstance(number, np.ndarray) else number


class Neurons:
    """A population over (rows, n), silent at first. A row is one sample, or one of a rule's own.

    decay, threshold: numbers, or tensors () or (n,) to be differentiated; detach_reset: keep the reset out of the derivative.
    Attributes membrane (rows, n), after the last step's reset; excess (rows, n): the last step's pre - threshold; adaptation,
    adaptation_decay: numbers, or (n,).
    """

    def __init__(self, neuron: LIF, decay: Tensor | float, threshold: Tensor | float, silence: Tensor, detach_reset: bool = False) -> None:
        self._neuron, self._decay, self._threshold, self._detach_reset = neuron, decay, threshold, detach_reset
        self.membrane = self.excess = self._current = silence
        self._current_decay = constant(neuron.current_decay, silence)
        self._reset_by = None if neuron.reset_by is None else constant(neuron.reset_by, silence)
        self.adaptation = constant(neuron.adaptation, silence)
        self.adaptation_decay = constant(neuron.adaptation_decay, silence)
        self._refractory = constant(neuron.refractory, silence)
        self._raised = self._left = silence  # the adaptation's trace, and the refractory steps to come
        self._waits: Tensor | None = None

    def step(self, drive: Tensor, bias: Tensor | None = None) -> Tensor:
        """One step. drive: weighted spikes (rows, n); bias: (n,). -> spikes (rows, n) of 0 and 1."""
        neuron = self._neuron
        if bias is not None and neuron.bias_to == "current":
            drive, bias = drive + bias, None
        if neuron.has_current:
            self._current = drive = self._current * self._current_decay + drive
        if bias is not None:
            drive = drive + bias
        pre = self.membrane * self._decay + drive
        if neuron.rests:
            self._waits = self._left > 0
            pre = torch.where(self._waits, self.membrane, pre)
        self.excess = pre - (self._threshold + self.adaptation * self._raised if neuron.adapts else self._threshold)
        spikes = self._fired()
        self._follow(spikes)
        reset = spikes.detach() if self._detach_reset else spikes
        subtracted = self._threshold if self._reset_by is None else self._reset_by
        self.membrane = pre - reset * (subtracted if neuron.reset == "subtract" else pre)
        return spikes

    def detach(self) -> None:
        """Make the state a constant for what follows."""
        self.membrane, self.excess, self._current = self.membrane.detach(), self.excess.detach(), self._current.detach()
        self._raised = self._raised.detach()

    def pseudo_derivative(self) -> Tensor:
        """psi of the last step, (rows, n)."""
        psi = pseudo_derivative(self._neuron.surrogate, self.excess)
        return psi if self._waits is None else psi * ~self._waits

    def retention(self) -> Tensor:
        """r of the last step, (rows, n); of neurons without synaptic current, adaptation and refractory time."""
        neuron, psi = self._neuron, self.pseudo_derivative()
        if neuron.reset == "zero":
            kept = 1.0 - _step(self.excess, neuron.comparison == ">") - (self.excess + self._threshold) * psi
        else:
            kept = 1.0 - psi * (self._threshold if self._reset_by is None else self._reset_by)
        return kept * self._decay

    def _fired(self) -> Tensor:
        strict = self._neuron.comparison == ">"
        learned = self.excess.requires_grad
        spikes = _Fire.apply(self.excess, self._neuron.surrogate, strict) if learned else _step(self.excess, strict)
        return spikes if self._waits is None else spikes * ~self._waits

    def _follow(self, spikes: Tensor) -> None:
        """What spikes leave for the steps to come: a higher threshold, and a refractory time."""
        if self._neuron.adapts:
            self._raised = self._raised * self.adaptation_decay + spikes
        if self._waits is not None:
            self._left = torch.where(self._waits, self._left - 1, spikes.detach() * self._refractory)
