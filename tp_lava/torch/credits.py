"""The credits of tp_lava.rules over batches: what each tells a layer, in tensors. CREDITS says which there are.

    delta[b,n] = sum_c coefficient[c,n] * error[b,c] / B

B: samples of the batch, so that gradients are means over them. The equations are those of tp_lava/rules/credits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tp_lava.graph.network import Network
from tp_lava.rules import BackwardError, BasisError, Credit, LocalClassifier, OutputFeedback, TargetProjection
from tp_lava.rules.credits.classifier import Classifying
from tp_lava.rules.credits.random_matrix import random_matrix
from tp_lava.torch.pooling import Pooling
from tp_lava.torch.product_layer import ProductLayer
from tp_lava.torch.rule_trainer import DeltaRule

Taught = Iterable[tuple[ProductLayer, Tensor]]  # layers that learn, and delta of their neurons, (B, n)


class BatchCredit(ABC):
    """A credit over the batches of one network. traces: whether it sees spike traces."""

    traces: bool = False

    @abstractmethod
    def deltas(self, layers: Sequence[ProductLayer], labels: Tensor, readout: DeltaRule) -> Taught:
        """What the layers that learn are told. layers: all; labels: one-hot, (B, n_classes); readout: once it has done the step."""


class _Coefficients:
    """Arrays that stay as they are, (classes, units) of each layer."""

    def __init__(self, arrays: Iterable[np.ndarray]) -> None:
        self._arrays = [torch.as_tensor(np.asarray(array, np.float64)) for array in arrays]

    def of(self, layer: ProductLayer) -> Tensor:
        """Of a layer, where it computes and in its numbers."""
        self._arrays[layer.number] = array = self._arrays[layer.number].to(layer.psi)  # goes there once
        return array


class _Projected(BatchCredit):
    """Of OutputFeedback: the readout's error, and of TargetProjection: the label, each through fixed random numbers."""

    def __init__(self, credit: OutputFeedback | TargetProjection, network: Network) -> None:
        self._label = isinstance(credit, TargetProjection)
        self._matrix = _Coefficients(random_matrix(network, p, credit.matrix, credit.seed) for p in network.populations)

    def deltas(self, layers: Sequence[ProductLayer], labels: Tensor, readout: DeltaRule) -> Taught:
        told = -labels / len(labels) if self._label else readout.error()
        return ((layer, layer.back(told @ self._matrix.of(layer))) for layer in layers if layer.learns)


class _Classified(BatchCredit):
    """Of credits that see a layer's own activity through numbers, fixed or learned: BasisError and LocalClassifier."""

    def __init__(self, credit: Classifying, network: Network) -> None:
        self._credit, self.traces = credit, credit.activity == "trace"
        self._seen = _Coefficients(credit.coefficients(network, p)[0] for p in network.populations)
        self._grids = [Pooling(credit.averages(p), p.output_shape) for p in network.populations]

    def deltas(self, layers: Sequence[ProductLayer], labels: Tensor, readout: DeltaRule) -> Taught:
        return ((layer, layer.back(self._signal(layer, labels))) for layer in layers if layer.learns)

    def _signal(self, layer: ProductLayer, labels: Tensor) -> Tensor:
        """Of the units that others see, (B, units)."""
        seen, spread = self._grids[layer.number].taped(layer.trace if self.traces else layer.spikes)
        learned, scale = self._credit.weights(layer.population), self._credit.scale(layer.population)
        coefficients = layer.gradients.parameters[learned].T if learned in layer.gradients else self._seen.of(layer)
        output = seen @ coefficients.T * (scale / self._credit.temperature)
        smooth = self._credit.loss == "smooth_l1"
        error = ((output - labels).clamp(-1, 1) if smooth else torch.softmax(output, dim=1) - labels) / len(labels)
        if learned in layer.gradients:
            layer.gradients.add_product(learned, seen - seen.mean(dim=1, keepdim=True), error)
        return spread(error @ coefficients * scale)


class _Backward(BatchCredit):
    """Of BackwardError: the readout's error of this step, carried back through connections of every kind, and poolings."""

    def __init__(self, credit: BackwardError, network: Network) -> None:
        pass

    def deltas(self, layers: Sequence[ProductLayer], labels: Tensor, readout: DeltaRule) -> Taught:
        lowest = min((layer.number for layer in layers if layer.learns), default=len(layers))
        above, values, error = readout.delivery, readout.values, readout.error()
        for layer in reversed(layers[lowest:]):
            delta = layer.back(above.back(error, values))
            if layer.learns:
                yield layer, delta
            above, values, error = layer.forward.delivery, layer.forward.values, delta * layer.psi


CREDITS: dict[type[Credit], Callable[[Any, Network], BatchCredit]] = {
    BasisError: _Classified,
    LocalClassifier: _Classified,
    OutputFeedback: _Projected,
    TargetProjection: _Projected,
    BackwardError: _Backward,
}
