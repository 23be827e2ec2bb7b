"""One hidden layer of a TP batch: students and target streams are rows of the same tensors, students first.

    z[b,k] = e[b] . g[k] + log n[k]        y[b,k] = softmax_k(-|| g_below[own b] - g_below[k] || + log n[k])
    E = -1/B sum_b sum_k y log softmax_k(z),        P = (softmax_k(z) - y) / B

e: students' traces, g: target traces, n: samples a stream stands for (see streams.py). Source: arXiv 2509.13053.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import linear

from tp_lava.torch.module import SpikingNetwork
from tp_lava.torch.streams import Streams
from tp_lava.torch.trainer import Gradients


class ContrastLayer(ABC):
    """Hidden layer `number` of a batch: its neurons' states, and what it adds to the gradients at each step."""

    def __init__(self, module: SpikingNetwork, number: int, streams: Streams, gradients: Gradients) -> None:
        self.streams, self.gradients, self.number = streams, gradients, number
        self.name, self.feedback_name = f"hidden{number}", f"recurrent{number}"
        rows, layer, weights = streams.students + streams.count, module.layers[number], module.weights
        self.weights, self.target, self.bias = weights[self.name], weights["target"], weights.get(f"bias{number}")
        self.feedback = weights.get(self.feedback_name)
        self.neurons, self.trace_decay = module.neurons(number, rows), layer.trace_decay
        self.trace = self.spikes = torch.zeros_like(self.neurons.membrane)
        self.label_trace = torch.zeros_like(streams.labels)

    @abstractmethod
    def step(self, below: Tensor, below_trace: Tensor) -> tuple[Tensor, Tensor]:
        """One step. below: spikes (rows, n_in), of layer 0 the students' alone; below_trace: target traces (K, n_in) of a layer above 0.

        -> spikes (rows, n), target traces (K, n).
        """

    @property
    def learns(self) -> bool:
        """Whether its weights change."""
        return self.name in self.gradients

    def _drive(self, below: Tensor) -> Tensor:
        """Weighted spikes of below and of the layer's own step before."""
        if self.number:
            drive = linear(below, self.weights)
        else:
            drive = torch.cat([linear(below, self.weights), linear(self.streams.labels, self.target)])
        return drive if self.feedback is None else drive + linear(self.spikes, self.feedback)

    def _advance(self, below: Tensor) -> tuple[Tensor, Tensor]:
        """-> spikes and traces of all rows after this step."""
        spikes = self.neurons.step(self._drive(below), self.bias)
        return spikes, self.trace * self.trace_decay + spikes

    def _below(self, below: Tensor, below_trace: Tensor) -> tuple[Tensor, Tensor]:
        """The part of them that this layer has rows for; below layer 0 stand the labels, whose trace it keeps itself."""
        if self.number:
            return below[: len(self.trace)], below_trace
        self.label_trace = self.label_trace * self.trace_decay + self.streams.labels
        return below, self.label_trace

    def _similarity(self, trace: Tensor) -> Tensor:
        students = self.streams.students
        return torch.addmm(self.streams.log_counts, trace[:students], trace[students:].T)

    def _soft_targets(self, below_trace: Tensor) -> Tensor:
        # Distances by subtraction: those by a matrix product lose equal rows' zeros.
        apart = torch.cdist(below_trace, below_trace, compute_mode="donot_use_mm_for_euclid_dist")
        return torch.softmax(self.streams.log_counts - apart, dim=1)[self.streams.own]

    def _targets(self, rows: Tensor) -> Tensor:
        return rows[self.streams.students :]


class ClosedLayer(ContrastLayer):
    """Computes the published update: one product of presynaptic spikes and third factors."""

    def step(self, below: Tensor, below_trace: Tensor) -> tuple[Tensor, Tensor]:
        """See ContrastLayer."""
        below, below_trace = self._below(below, below_trace)
        spikes, self.trace = self._advance(below)
        if self.learns:
            self._learn(below, self._third_factor(below_trace))
        self.spikes = spikes
        return spikes, self._targets(self.trace)

    def _third_factor(self, below_trace: Tensor) -> Tensor:
        """psi * (P g) of students, psi * (P^T e) of target streams; (rows, n)."""
        students, soft = self.streams.students, self._soft_targets(below_trace)
        error = (torch.softmax(self._similarity(self.trace), dim=1) - soft) / students
        credit = torch.cat([error @ self.trace[students:], error.T @ self.trace[:students]])
        return credit.mul_(self.neurons.pseudo_derivative())

    def _learn(self, below: Tensor, third: Tensor) -> None:
        self.gradients.add_product(self.name, third[: len(below)], below)
        if self.feedback is not None:
            self.gradients.add_product(self.feedback_name, third, self.spikes)
        if not self.number and "target" in self.gradients:
            self.gradients.add_product("target", self._targets(third), self.streams.labels)


class AutogradLayer(ContrastLayer):
    """Differentiates the layer's loss of each step."""

    def step(self, below: Tensor, below_trace: Tensor) -> tuple[Tensor, Tensor]:
        """See ContrastLayer."""
        below, below_trace = self._below(below, below_trace)
        with torch.set_grad_enabled(self.learns):
            spikes, trace = self._advance(below)
            if self.learns:
                loss = -(self._soft_targets(below_trace) * torch.log_softmax(self._similarity(trace), dim=1)).sum() / self.streams.students
                self._differentiate(loss)
        self.neurons.detach()
        self.spikes, self.trace = spikes.detach(), trace.detach()
        return self.spikes, self._targets(self.trace)

    def _differentiate(self, loss: Tensor) -> None:
        weights = {self.name: self.weights, self.feedback_name: self.feedback, "target": None if self.number else self.target}
        learned = {name: array for name, array in weights.items() if array is not None and name in self.gradients}
        for name, gradient in zip(learned, torch.autograd.grad(loss, list(learned.values())), strict=True):
            self.gradients.add(name, gradient)
