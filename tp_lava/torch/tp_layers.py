"""One hidden layer of a TP batch: samples and target rows are rows of the same tensors, samples first.

    z[b,k] = e[b] . g[k] + log n[k]        y[b,k] = softmax_k(-|| g_below[own b] - g_below[k] || + log n[k])
    E = -1/B sum_b sum_k y log softmax_k(z),        P = (softmax_k(z) - y) / B

e: samples' traces, g: target traces, n: samples a target row stands for (see target_rows.py). Source: arXiv 2509.13053.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import linear

from tp_lava.torch.module import SpikingNetwork
from tp_lava.torch.target_rows import TargetRows
from tp_lava.torch.trainer import Gradients


class ContrastLayer(ABC):
    """Hidden layer `number` of a batch: its neurons' states, and what it adds to the gradients at each step.

    projection: name of the label projection that reaches it, "" where targets come from the layer below.
    """

    def __init__(self, module: SpikingNetwork, number: int, projection: str, rows: TargetRows, gradients: Gradients) -> None:
        layer, weights = module.layers[number], module.weights
        self.rows, self.gradients, self.projection_name = rows, gradients, projection
        self.name, self.weights, self.bias = layer.forward.name, weights[layer.forward.name], weights.get(layer.population.bias)
        self.feedback_name = layer.recurrent.name if layer.recurrent else ""
        self.feedback, self.projection = weights.get(self.feedback_name), module.rule_parameters.get(projection)
        self.neurons, self.trace_decay = module.neurons(number, rows.samples + rows.count), layer.population.trace_decay
        self.trace = self.spikes = torch.zeros_like(self.neurons.membrane)
        self.label_trace = torch.zeros_like(rows.labels)

    @abstractmethod
    def step(self, below: Tensor, below_trace: Tensor) -> tuple[Tensor, Tensor]:
        """One step. below: spikes (rows, n_in), of the first layer the samples' alone; below_trace: target traces (K, n_in) of the
        layer below, if there is one.

        -> spikes (rows, n), target traces (K, n).
        """

    @property
    def learns(self) -> bool:
        """Whether its weights change."""
        return self.name in self.gradients

    def _drive(self, below: Tensor) -> Tensor:
        """Weighted spikes of below and of the layer's own step before."""
        drive = linear(below, self.weights)
        if self.projection is not None:
            drive = torch.cat([drive, linear(self.rows.labels, self.projection)])
        return drive if self.feedback is None else drive + linear(self.spikes, self.feedback)

    def _advance(self, below: Tensor) -> tuple[Tensor, Tensor]:
        """-> spikes and traces of all rows after this step."""
        spikes = self.neurons.step(self._drive(below), self.bias)
        return spikes, self.trace * self.trace_decay + spikes

    def _below(self, below: Tensor, below_trace: Tensor) -> tuple[Tensor, Tensor]:
        """The part of them that this layer has rows for; below the first layer stand the labels, whose trace it keeps itself."""
        if self.projection is None:
            return below[: len(self.trace)], below_trace
        self.label_trace = self.label_trace * self.trace_decay + self.rows.labels
        return below, self.label_trace

    def _similarity(self, trace: Tensor) -> Tensor:
        samples = self.rows.samples
        return torch.addmm(self.rows.log_counts, trace[:samples], trace[samples:].T)

    def _soft_targets(self, below_trace: Tensor) -> Tensor:
        # Distances by subtraction: those by a matrix product lose equal rows' zeros.
        apart = torch.cdist(below_trace, below_trace, compute_mode="donot_use_mm_for_euclid_dist")
        return torch.softmax(self.rows.log_counts - apart, dim=1)[self.rows.own]

    def _targets(self, rows: Tensor) -> Tensor:
        return rows[self.rows.samples :]


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
        """psi * (P g) of samples, psi * (P^T e) of target rows; (rows, n)."""
        samples, soft = self.rows.samples, self._soft_targets(below_trace)
        error = (torch.softmax(self._similarity(self.trace), dim=1) - soft) / samples
        credit = torch.cat([error @ self.trace[samples:], error.T @ self.trace[:samples]])
        return credit.mul_(self.neurons.pseudo_derivative())

    def _learn(self, below: Tensor, third: Tensor) -> None:
        self.gradients.add_product(self.name, third[: len(below)], below)
        if self.feedback is not None:
            self.gradients.add_product(self.feedback_name, third, self.spikes)
        if self.projection_name in self.gradients:
            self.gradients.add_product(self.projection_name, self._targets(third), self.rows.labels)


class AutogradLayer(ContrastLayer):
    """Differentiates the layer's loss of each step."""

    def step(self, below: Tensor, below_trace: Tensor) -> tuple[Tensor, Tensor]:
        """See ContrastLayer."""
        below, below_trace = self._below(below, below_trace)
        with torch.set_grad_enabled(self.learns):
            spikes, trace = self._advance(below)
            if self.learns:
                loss = -(self._soft_targets(below_trace) * torch.log_softmax(self._similarity(trace), dim=1)).sum() / self.rows.samples
                self._differentiate(loss)
        self.neurons.detach()
        self.spikes, self.trace = spikes.detach(), trace.detach()
        return self.spikes, self._targets(self.trace)

    def _differentiate(self, loss: Tensor) -> None:
        weights = {self.name: self.weights, self.feedback_name: self.feedback, self.projection_name: self.projection}
        learned = {name: array for name, array in weights.items() if array is not None and name in self.gradients}
        for name, gradient in zip(learned, torch.autograd.grad(loss, list(learned.values())), strict=True):
            self.gradients.add(name, gradient)
