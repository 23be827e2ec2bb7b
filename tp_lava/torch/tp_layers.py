"""One hidden layer of a TP batch: samples and target rows are rows of the same tensors, samples first.

    z[b,k] = e[b] . g[k] / P + log n[k]        y[b,k] = softmax_k(-D[own b,k] + log n[k])
    D[k,l] = mean over places of || g_below[k] - g_below[l] ||, over the channels of each; of a layer without places, over all units
    E = -1/B sum_b sum_k y log softmax_k(z),        R = (softmax_k(z) - y) / B

e: samples' traces, g: target traces, of what is pooled; P: places of maps, 1 of dense layers; n: samples a target row stands for (see
TargetRows). Source: arXiv 2509.13053.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import linear, one_hot

from tp_lava.dynamics.parameters import mean
from tp_lava.torch.delivery import DelayLine, Delivery
from tp_lava.torch.gradients import Gradients
from tp_lava.torch.module import SpikingNetwork
from tp_lava.torch.neuron import constant
from tp_lava.torch.pooling import Pooling


@dataclass(frozen=True)
class TargetRows:
    """K target rows of B samples: one per sample, as TP's paper has it, or one per label, which computes the same with less.

    Target traces depend on the label alone, so samples of one label have equal columns; n equal columns of a softmax are one
    column with log n added to its logit.

    labels: (K, C) one-hot; own: (B,) index of each sample's own row; log_counts: (K,) logarithm of the samples a row stands for.
    """

    labels: Tensor
    own: Tensor
    log_counts: Tensor

    @property
    def count(self) -> int:
        """K."""
        return len(self.labels)

    @property
    def samples(self) -> int:
        """B."""
        return len(self.own)

    @classmethod
    def of_samples(cls, labels: Tensor, n_classes: int, dtype: torch.dtype) -> TargetRows:
        """One row per sample. labels: (B,)."""
        own = torch.arange(len(labels), device=labels.device)
        return cls(one_hot(labels, n_classes).to(dtype), own, torch.zeros(len(labels), device=labels.device, dtype=dtype))

    @classmethod
    def of_labels(cls, labels: Tensor, n_classes: int, dtype: torch.dtype) -> TargetRows:
        """One row per label that occurs."""
        present, own, counts = labels.unique(return_inverse=True, return_counts=True)
        return cls(one_hot(present, n_classes).to(dtype), own, counts.to(dtype).log())

    @classmethod
    def none(cls, labels: Tensor, n_classes: int, dtype: torch.dtype) -> TargetRows:
        """No row at all, for layers above all that learn."""
        empty = torch.zeros(0, n_classes, device=labels.device, dtype=dtype)
        return cls(empty, labels, empty[:, 0])


class ContrastLayer(ABC):
    """Hidden layer `number` of a batch: its neurons' states, and what it adds to the gradients at each step.

    projection: name of the label projection that reaches it, "" where targets come from the layer below.
    """

    def __init__(self, module: SpikingNetwork, number: int, projection: str, rows: TargetRows, gradients: Gradients) -> None:
        layer, weights, population = module.layers[number], module.weights, module.layers[number].population
        self.rows, self.gradients, self.projection_name = rows, gradients, projection
        self.forward, self.bias = Delivery.of(layer.forward, weights[layer.forward.name]), weights.get(population.bias)
        self.feedback = Delivery.of(layer.recurrent, weights[layer.recurrent.name]) if layer.recurrent else None
        self.arriving, self.coming_back = DelayLine(layer.forward), DelayLine(layer.recurrent)
        self.projection = module.rule_parameters.get(projection)
        self.neurons = module.neurons(number, rows.samples + rows.count)
        self.pooling, self.places = Pooling(population.pooling, population.shape), population.positions
        maps_below = number > 0 and not projection and self.places > 1
        self.places_below = module.layers[number - 1].population.positions if maps_below else 1
        units = rows.samples + rows.count, population.output_size
        self.trace = self.spikes = torch.zeros(units, device=module.device, dtype=module.dtype)
        self.trace_decay, self.label_decay = constant(population.trace_decay, self.trace), mean(population.trace_decay)
        self.label_trace = torch.zeros_like(rows.labels)

    @abstractmethod
    def step(self, below: Tensor, below_trace: Tensor) -> tuple[Tensor, Tensor]:
        """One step. below: spikes (rows, n_in), of the first layer the samples' alone; below_trace: target traces (K, n_in) of the
        layer below, if there is one.

        -> what others get (rows, units), target traces (K, units).
        """

    @property
    def learns(self) -> bool:
        """Whether its weights change."""
        return self.forward.name in self.gradients

    def _values(self) -> dict[str, Tensor]:
        """What its connections deliver at this step, by name."""
        values = {delivery.name: delivery.values() for delivery in (self.forward, self.feedback) if delivery}
        return values if self.projection is None else {**values, self.projection_name: self.projection}

    def _fire(self, below: Tensor, values: dict[str, Tensor]) -> Tensor:
        """Spikes of all rows' neurons, from what arrives from below and, as `self.own`, from the layer's own step before."""
        drive = self.forward.drive(below, values[self.forward.name])
        if self.projection is not None:
            drive = torch.cat([drive, linear(self.rows.labels, values[self.projection_name])])
        if self.feedback is not None:
            self.own = self.coming_back.step(self.spikes)
            drive = drive + self.feedback.drive(self.own, values[self.feedback.name])
        return self.neurons.step(drive, self.bias)

    def _below(self, below: Tensor, below_trace: Tensor) -> tuple[Tensor, Tensor]:
        """The part of them that this layer has rows for; below the first layer stand the labels, whose trace it keeps itself."""
        if self.projection is None:
            return self.arriving.step(below[: len(self.trace)]), below_trace
        self.label_trace = self.label_trace * self.label_decay + self.rows.labels
        return self.arriving.step(below), self.label_trace

    def _similarity(self, trace: Tensor) -> Tensor:
        samples = self.rows.samples
        return torch.addmm(self.rows.log_counts, trace[:samples], trace[samples:].T, alpha=1 / self.places)

    def _soft_targets(self, below_trace: Tensor) -> Tensor:
        return torch.softmax(self.rows.log_counts - self._apart(below_trace), dim=1)[self.rows.own]

    def _apart(self, below_trace: Tensor) -> Tensor:
        """D, (K, K)."""
        # Distances by subtraction: those by a matrix product lose equal rows' zeros.
        mode = "donot_use_mm_for_euclid_dist"
        if self.places_below == 1:
            return torch.cdist(below_trace, below_trace, compute_mode=mode)
        places = below_trace.reshape(len(below_trace), -1, self.places_below).permute(2, 0, 1).contiguous()
        return torch.cdist(places, places, compute_mode=mode).mean(dim=0)

    def _targets(self, rows: Tensor) -> Tensor:
        return rows[self.rows.samples :]


class ClosedLayer(ContrastLayer):
    """Computes the published update: products of presynaptic spikes and third factors."""

    def step(self, below: Tensor, below_trace: Tensor) -> tuple[Tensor, Tensor]:
        """See ContrastLayer."""
        below, below_trace = self._below(below, below_trace)
        spikes, back = self.pooling.taped(self._fire(below, self._values()))
        self.trace = self.trace * self.trace_decay + spikes
        if self.learns:
            self._learn(below, back(self._credit(below_trace)).mul_(self.neurons.pseudo_derivative()))
        self.spikes = spikes
        return spikes, self._targets(self.trace)

    def _credit(self, below_trace: Tensor) -> Tensor:
        """R g of samples, R^T e of target rows, the loss counted once a position; (rows, units)."""
        samples, soft = self.rows.samples, self._soft_targets(below_trace)
        error = (torch.softmax(self._similarity(self.trace), dim=1) - soft) / samples
        return torch.cat([error @ self.trace[samples:], error.T @ self.trace[:samples]])

    def _learn(self, below: Tensor, third: Tensor) -> None:
        """third: of all rows' neurons, (rows, n)."""
        self.forward.learn(self.gradients, third[: len(below)], below)
        if self.feedback is not None:
            self.feedback.learn(self.gradients, third, self.own)
        if self.projection_name in self.gradients:
            self.gradients.add_product(self.projection_name, self._targets(third), self.rows.labels)


class AutogradLayer(ContrastLayer):
    """Differentiates the layer's loss of each step."""

    def step(self, below: Tensor, below_trace: Tensor) -> tuple[Tensor, Tensor]:
        """See ContrastLayer."""
        below, below_trace = self._below(below, below_trace)
        with torch.set_grad_enabled(self.learns):
            # Standardised weights are differentiated by without their past.
            values = {name: value if value.is_leaf else value.detach().requires_grad_() for name, value in self._values().items()}
            spikes = self.pooling(self._fire(below, values))
            trace = self.trace * self.trace_decay + spikes
            if self.learns:
                loss = -(self._soft_targets(below_trace) * torch.log_softmax(self._similarity(trace), dim=1)).sum() / self.rows.samples
                loss = loss if self.places == 1 else loss * self.places
                self._differentiate(loss, values)
        self.neurons.detach()
        self.spikes, self.trace = spikes.detach(), trace.detach()
        return self.spikes, self._targets(self.trace)

    def _differentiate(self, loss: Tensor, values: dict[str, Tensor]) -> None:
        learned = {name: value for name, value in values.items() if name in self.gradients}
        for name, gradient in zip(learned, torch.autograd.grad(loss, list(learned.values())), strict=True):
            self.gradients.add(name, gradient)
