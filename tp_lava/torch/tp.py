"""TP as published: the samples of a batch contrasted with each other, every layer by itself, forward only.

Equations and source: tp_lava.rules.TP, tp_lava.dynamics.contrast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from torch import Tensor, nn

from tp_lava.errors import invalid
from tp_lava.optimisers import SGD, Optimiser
from tp_lava.rules import TP
from tp_lava.torch.gradients import Gradients
from tp_lava.torch.module import SpikingNetwork
from tp_lava.torch.rule_trainer import RuleTrainer, Steps
from tp_lava.torch.tp_layers import AutogradLayer, ClosedLayer, ContrastLayer, TargetRows

_GRADIENTS: Mapping[str, type[ContrastLayer]] = {"closed": ClosedLayer, "autograd": AutogradLayer}


class TPTrainer(RuleTrainer[TP]):
    """Learns with TP, batch by batch. The rule's `contrast` plays no part: a batch is contrasted with itself.

    Biases of hidden layers stay as they are; the readout's learns. The label projection is a parameter of the module from now
    on, which module.network() gives back among its rule_parameters.

    optimiser: SGD() or Adam(), for all or by layer; gradient: "closed" computes the published updates, "autograd"
    differentiates each layer's loss, with the past and the layer below as constants: slower, and the same.
    Raises InvalidValueError.
    """

    kinds: ClassVar[str] = "a TP(...)"
    others: ClassVar[str] = "ProductTrainer and BPTTTrainer are for others"

    def __init__(
        self,
        module: SpikingNetwork,
        rule: TP,
        optimiser: Optimiser | Mapping[str, Optimiser] = SGD(),  # noqa: B008 (frozen)
        gradient: Literal["closed", "autograd"] = "closed",
    ) -> None:
        if gradient not in _GRADIENTS:
            raise invalid("TPTrainer", "gradient", repr(gradient), '"closed" or "autograd"', '"closed" is the fast one')
        super().__init__(module, rule, optimiser)
        self.gradient = gradient
        self._top = max((number for number, rate in enumerate(self._rates.values()) if rate > 0), default=-1)  # the last that learns

    @classmethod
    def learns_by(cls, rule: object) -> bool:
        """See RuleTrainer."""
        return type(rule) is TP

    def _learned(self, layer: str) -> dict[str, nn.Parameter]:
        biases = {hidden.population.bias for hidden in self.module.layers}
        own = [connection.name for connection in self._own_connections if connection.post == layer and self.rule.trains(connection.name)]
        return {name: array for name, array in super()._learned(layer).items() if name not in biases} | self._named(*own)

    def _checked(self, spikes: Tensor, labels: Tensor | Sequence[int]) -> tuple[Tensor, Tensor]:
        """A batch has at least two samples."""
        spikes, labels = super()._checked(spikes, labels)
        if len(labels) < 2:
            remedy = "TP contrasts the samples of a batch with each other"
            raise invalid("learn_batch", "spikes", f"{len(labels)} sample", "at least 2", remedy)
        return spikes, labels

    def _steps(self, labels: Tensor, gradients: Gradients) -> Steps:
        return _Steps(self._layers(labels, gradients), len(labels))

    def _layers(self, labels: Tensor, gradients: Gradients) -> list[ContrastLayer]:
        module, kind = self.module, _GRADIENTS[self.gradient]
        described = labels, module.n_classes, module.dtype
        rows = TargetRows.of_labels(*described) if kind is ClosedLayer else TargetRows.of_samples(*described)
        none, projections = TargetRows.none(*described), {connection.post: connection.name for connection in self._own_connections}
        return [
            kind(module, number, projections.get(layer.name, ""), rows if number <= self._top else none, gradients)
            for number, layer in enumerate(module.layers)
        ]


class _Steps(Steps):
    """Rows of samples and of targets go through the layers together. count: of samples."""

    def __init__(self, layers: Sequence[ContrastLayer], count: int) -> None:
        self._layers, self._count = layers, count

    def step(self, below: Tensor, learns: bool) -> Tensor:
        below_trace = below
        for layer in self._layers:
            below, below_trace = layer.step(below, below_trace)
        return below[: self._count]
