"""Optimisers and schedules as data: what becomes of the change a rule asks for. A rule never knows them.

    SGD:   v = momentum * v + g;          w = w + rate * v
    Adam:  m = beta1 * m + (1 - beta1) * g;   v = beta2 * v + (1 - beta2) * g * g;   w = w + rate * m' / (sqrt(v') + epsilon)

g: the change at rate 1; m' = m / (1 - beta1**k), v' = v / (1 - beta2**k) at the k-th change. Sources: Kingma and Ba 2015
(Adam); Loshchilov and Hutter 2017 (cosine schedule).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tp_lava.checks import is_number, is_whole
from tp_lava.errors import invalid


@dataclass(frozen=True)
class SGD:
    """Gradient descent. momentum: [0, 1); 0, the only one on a chip, needs no memory."""

    momentum: float = 0.0

    def __post_init__(self) -> None:
        _check_share("SGD", "momentum", self.momentum)


@dataclass(frozen=True)
class Adam:
    """Adam. beta1, beta2: decays of the two moments, [0, 1); epsilon: > 0. Two numbers of memory per weight."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        _check_share("Adam", "beta1", self.beta1)
        _check_share("Adam", "beta2", self.beta2)
        if not is_number(self.epsilon) or self.epsilon <= 0:
            raise invalid("Adam", "epsilon", repr(self.epsilon), "a number > 0", "1e-8 is usual")


Optimiser = SGD | Adam


@dataclass(frozen=True)
class Cosine:
    """Rates fall as half a cosine over `epochs` epochs, from 1 to `floor` times the rule's."""

    epochs: int
    floor: float = 0.0

    def __post_init__(self) -> None:
        if not is_whole(self.epochs, 1):
            raise invalid("Cosine", "epochs", repr(self.epochs), "an integer of at least 1", "give the number of epochs you will learn")
        _check_share("Cosine", "floor", self.floor)

    def factor(self, scores: Sequence[float]) -> float:
        """What the rates are multiplied by in the epoch that follows `scores`, one per epoch so far."""
        done = min(len(scores), self.epochs) / self.epochs
        return self.floor + (1.0 - self.floor) * 0.5 * (1.0 + math.cos(math.pi * done))


@dataclass(frozen=True)
class Plateau:
    """Rates are multiplied by `reduce` whenever the score has not risen above its best by `least` for `patience` epochs."""

    reduce: float = 0.5
    patience: int = 3
    least: float = 0.0

    def __post_init__(self) -> None:
        _check_share("Plateau", "reduce", self.reduce)
        if not is_whole(self.patience, 1):
            raise invalid("Plateau", "patience", repr(self.patience), "an integer of at least 1", "3 epochs are usual")
        if not is_number(self.least, 0):
            raise invalid("Plateau", "least", repr(self.least), "a finite number >= 0", "0 takes any rise")

    def factor(self, scores: Sequence[float]) -> float:
        """What the rates are multiplied by in the epoch that follows `scores`, one per epoch so far."""
        factor, best, waited = 1.0, -math.inf, 0
        for score in scores:
            risen = score > best + self.least
            best, waited = (score, 0) if risen else (best, waited + 1)
            if waited == self.patience:
                factor, waited = factor * self.reduce, 0
        return factor


Schedule = Cosine | Plateau


def of_layer(optimiser: Optimiser | Mapping[str, Optimiser], layer: str) -> Optimiser:
    """The optimiser of a layer ("hidden0", ..., "readout"); plain SGD where a mapping has none."""
    return optimiser.get(layer, SGD()) if isinstance(optimiser, Mapping) else optimiser


def check_optimiser(optimiser: object, populations: Sequence[str], fixed: bool) -> None:
    """Refuse what is no optimiser, names no layer, or has no place in fixed point."""
    layers = [*populations, "readout"]
    given = optimiser if isinstance(optimiser, Mapping) else dict.fromkeys(layers, optimiser)
    for layer, one in given.items():
        if layer not in layers:
            raise invalid("Learner", "optimiser", repr(layer), f"for layers among {', '.join(layers)}", "rename it")
        if not isinstance(one, SGD | Adam):
            raise invalid(
                "Learner", "optimiser", repr(one), "SGD(...) or Adam(...), or one of them per layer", "use for example tpl.Adam()"
            )
        if fixed and one != SGD():
            remedy = 'a chip has no memory for moments: use tpl.SGD(), or precision="float"'
            raise invalid("Learner", "optimiser", repr(one), "SGD() in fixed point", remedy)


def check_schedule(schedule: object) -> None:
    """Refuse what is no schedule."""
    if schedule is not None and not isinstance(schedule, Cosine | Plateau):
        raise invalid("Learner", "schedule", repr(schedule), "Cosine(...), Plateau(...) or None", "use for example tpl.Cosine(epochs)")


def _check_share(obj: str, attr: str, value: object) -> None:
    if not is_number(value, 0, 1):
        raise invalid(obj, attr, repr(value), "a number in [0, 1)", "leave it out for the usual value")
