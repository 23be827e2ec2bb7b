"""TP as published: the samples of a batch contrasted with each other, every layer by itself, forward only.

Equations and source: tp_lava.rules.TP, tp_lava.dynamics.contrast; students and target streams are the samples of the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from tp_lava.errors import invalid
from tp_lava.optimisers import SGD, Optimiser
from tp_lava.dynamics.readout import Readout
from tp_lava.rules import TP
from tp_lava.torch.delta_rule import DeltaRule
from tp_lava.torch.module import SpikingNetwork
from tp_lava.torch.streams import Streams
from tp_lava.torch.tp_layers import AutogradLayer, ClosedLayer, ContrastLayer
from tp_lava.torch.trainer import Gradients, Trainer, rates_of

_GRADIENTS: Mapping[str, type[ContrastLayer]] = {"closed": ClosedLayer, "autograd": AutogradLayer}


class TPTrainer(Trainer):
    """Learns with TP, batch by batch. The rule's `contrast` plays no part: a batch is contrasted with itself.

    Biases of hidden layers stay as they are; the readout's learns.

    optimiser: SGD() or Adam(), for all or by layer; gradient: "closed" computes the published updates, "autograd"
    differentiates each layer's loss, with the past and the layer below as constants: slower, and the same.
    """

    def __init__(
        self,
        module: SpikingNetwork,
        rule: TP,
        optimiser: Optimiser | Mapping[str, Optimiser] = SGD(),  # noqa: B008 (frozen)
        gradient: Literal["closed", "autograd"] = "closed",
    ) -> None:
        if not isinstance(rule, TP):
            raise invalid("TPTrainer", "rule", repr(rule)[:60], "a TP(...)", "TESSTrainer and BPTTTrainer are for others")
        if not isinstance(rule.readout, Readout):
            remedy = "use for example tpl.Readout()"
            raise invalid("TPTrainer", "readout", repr(rule.readout), "a Readout, which the module's scores come from", remedy)
        if gradient not in _GRADIENTS:
            raise invalid("TPTrainer", "gradient", repr(gradient), '"closed" or "autograd"', '"closed" is the fast one')
        super().__init__(module, optimiser)
        self.rule, self.gradient, self._readout = rule, gradient, rule.readout
        rates = rates_of(rule, len(module.layers))
        self._learn(rates)
        self._top = max((number for number in range(len(module.layers)) if rates[f"hidden{number}"] > 0), default=-1)

    def learn_batch(self, spikes: Tensor, labels: Tensor | Sequence[int]) -> Tensor:
        """See Trainer. A batch has at least two samples."""
        spikes, own = self._checked(spikes, labels, least=2)
        with torch.no_grad():
            gradients = Gradients(self._learning)
            layers = self._layers(own, gradients)
            readout = DeltaRule(self.module, self._readout, own, len(spikes), gradients)
            for step, inputs in enumerate(spikes):
                readout.step(self._step(layers, inputs.to(self.module.dtype), len(own)))
                if self.rule.update == "step":
                    self._apply(gradients, self._at_rest(self.rule, step, len(spikes)))
            if self.rule.update == "sequence":
                self._apply(gradients)
        return readout.scores

    @staticmethod
    def _step(layers: Sequence[ContrastLayer], below: Tensor, students: int) -> Tensor:
        """One step of every layer. -> spikes of the last one's students."""
        below_trace = below
        for layer in layers:
            below, below_trace = layer.step(below, below_trace)
        return below[:students]

    def _layers(self, own: Tensor, gradients: Gradients) -> list[ContrastLayer]:
        kind = _GRADIENTS[self.gradient]
        streams = (Streams.of_labels if kind is ClosedLayer else Streams.of_samples)(own, self.module.n_classes, self.module.dtype)
        none = Streams.none(own, self.module.n_classes, self.module.dtype)
        numbers = range(len(self.module.layers))
        return [kind(self.module, number, streams if number <= self._top else none, gradients) for number in numbers]

    def _learned(self, layer: str) -> dict[str, nn.Parameter]:
        if layer == "readout":
            return self._named("readout", "readout_bias")
        target = ["target"] if layer == "hidden0" and self.rule.train_target else []
        return self._named(layer, layer.replace("hidden", "recurrent"), *target)
