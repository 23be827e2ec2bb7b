"""Backpropagation through time with surrogate gradients: what local rules are compared with, and a way to train beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tp_lava.checks import is_number
from tp_lava.errors import invalid
from tp_lava.graph.names import READOUT
from tp_lava.optimisers import SGD, Optimiser
from tp_lava.torch.module import TRAINABLE, SpikingNetwork, free_name
from tp_lava.torch.trainer import Trainer

_LOSSES = ("final", "every")


class BPTTTrainer(Trainer):
    """Descends the cross-entropy of the module's scores, batch by batch, through all steps and layers.

    rate: of every parameter, trained decays and thresholds too, >= 0; optimiser: SGD() or Adam(), for all or by layer; loss:
    of the scores at the end ("final"), or its mean over the scores of every step ("every"); detach_reset: keep the reset out
    of the derivative, as many libraries do. Raises InvalidValueError.
    """

    def __init__(
        self,
        module: SpikingNetwork,
        rate: float = 1e-3,
        optimiser: Optimiser | Mapping[str, Optimiser] = SGD(),  # noqa: B008 (frozen)
        loss: Literal["final", "every"] = "final",
        detach_reset: bool = False,
    ) -> None:
        super().__init__(module, optimiser)
        if not is_number(rate, 0):
            raise invalid("BPTTTrainer", "rate", repr(rate), "a finite number >= 0", "1e-3 is usual with Adam")
        if loss not in _LOSSES:
            raise invalid("BPTTTrainer", "loss", repr(loss), '"final" or "every"', '"final" judges the scores at the end')
        self.rate, self.loss, self.detach_reset = rate, loss, detach_reset
        self._learn(dict.fromkeys([*(layer.name for layer in module.layers), READOUT], rate))

    def learn_batch(self, spikes: Tensor, labels: Tensor | Sequence[int]) -> Tensor:
        """See Trainer."""
        spikes, labels = self._checked(spikes, labels)
        for parameter in self._learning.values():
            parameter.grad = None
        with torch.enable_grad():
            scores = self.module.scores(spikes, self.detach_reset)
            judged = scores if self.loss == "every" else scores[-1:]
            loss = cross_entropy(judged.flatten(0, 1), labels.repeat(len(judged)))
            loss.backward()
        self._apply()
        return scores[-1].detach()

    def _learned(self, layer: str) -> dict[str, nn.Parameter]:
        constants = [
            free_name(attr, number) for number, hidden in enumerate(self.module.layers) if hidden.name == layer for attr in TRAINABLE
        ]
        return super()._learned(layer) | self._named(*constants)
