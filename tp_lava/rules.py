"""Learning rules as data: what a user chooses. How they compute is in dynamics/, how they are wired in circuit.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tp_lava.checks import is_number, is_whole
from tp_lava.errors import invalid


@dataclass(frozen=True)
class TP:
    """Traces Propagation: local, forward-only, supervised learning of every layer.

    dW_l = -rate * psi * (sum_k P[k] * g_l[k]) x s_{l-1}          g: target traces, P: contrast of the layer
    dW_out = -readout_rate * (softmax(m) - label) x e_L            e: trace of the last hidden layer

    rate: of the hidden layers, one number or one per layer, >= 0 (0 freezes a layer); readout_rate: >= 0;
    contrast: number of target streams K >= 2, or "all" for one per class: a sample's own label and K - 1
    others drawn for each sample; train_target: whether the label projection S learns too.
    Raises InvalidValueError. Source: arXiv 2509.13053, Neuromorph. Comput. Eng. 6 014002 (2026).
    """

    rate: float | tuple[float, ...] = 1e-3
    readout_rate: float = 1e-4
    contrast: int | Literal["all"] = 4
    train_target: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.rate, list):
            object.__setattr__(self, "rate", tuple(self.rate))
        for value in self.rate if isinstance(self.rate, tuple) else (self.rate,):
            _check_rate("rate", value)
        _check_rate("readout_rate", self.readout_rate)
        if self.contrast != "all" and not is_whole(self.contrast, 2):
            remedy = "a contrast needs the sample's own label and at least one other"
            raise invalid("TP", "contrast", repr(self.contrast), 'an integer of at least 2, or "all"', remedy)

    def rates(self, n_layers: int) -> tuple[float, ...]:
        """The rate of each of n_layers hidden layers."""
        if not isinstance(self.rate, tuple):
            return (self.rate,) * n_layers
        if len(self.rate) != n_layers:
            remedy = "give one number for all layers or one for each"
            raise invalid("TP", "rate", f"{len(self.rate)} numbers", f"one per hidden layer, {n_layers}", remedy)
        return self.rate

    def streams(self, n_classes: int) -> int:
        """The number K of target streams for a network of n_classes."""
        if self.contrast == "all":
            return n_classes
        if self.contrast > n_classes:
            remedy = 'use contrast="all" for one stream per class'
            raise invalid("TP", "contrast", self.contrast, f"at most the number of classes, {n_classes}", remedy)
        return self.contrast

    def loihi_rule(self, shift: int = 0):
        """The rule of the hidden weights for Lava's own learning engine: see tp_lava.lava.learning.loihi_rule."""
        from tp_lava.lava.learning import loihi_rule

        return loihi_rule(shift)


def _check_rate(attr: str, value: object) -> None:
    if not is_number(value, 0):
        raise invalid("TP", attr, repr(value), "a finite number >= 0", "0 freezes, 1e-3 is usual")


Rule = TP
