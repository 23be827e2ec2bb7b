"""A rule whose error is the readout's, through fixed random feedback (direct feedback alignment).

dW[n,i] = -rate * psi[n] * sum_c B[c,n] * (softmax(p)[c] - label[c]) * s_below[i]          B: fixed random signs of +-1
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tp_lava.circuit.buffers import Owner
from tp_lava.circuit.builder import Builder
from tp_lava.circuit.declarations import CLASSES
from tp_lava.circuit.names import READOUT_ERROR, sample_path
from tp_lava.circuit.products import Signal
from tp_lava.dynamics.readout import LEAKY, Readout
from tp_lava.graph.network import Population
from tp_lava.numbers import Format
from tp_lava.rules import BaseRule, Credit
from tp_lava.rules.base import Update, sample_events

SIGN = Format(2, 0)


@dataclass(frozen=True)
class SignFeedback(Credit):
    """The readout's error, which every layer sees through random signs of its own. seed: of the signs."""

    seed: int = 0
    needs_readout_error: ClassVar[bool] = True

    def signals(self, builder: Builder, population: Population) -> Sequence[Signal]:
        """See Credit."""
        b, path = builder, sample_path(population)
        rng = np.random.default_rng((self.seed, b.network.populations.index(population)))
        signs = rng.choice((-1, 1), (b.sizes[CLASSES], population.output_size))
        with b.owned(Owner("credit", population.name), "error"):
            feedback = b.parameter(path.of("feedback_signs"), SIGN, signs, (CLASSES, b.axis(population.name)), local="feedback_signs")
        return [Signal(path, feedback, READOUT_ERROR, sample_events(b, population, after_readout=True))]


@dataclass(frozen=True)
class OutputError(BaseRule):
    """Each layer learns from the readout's error; seed: of the feedback."""

    rate: float | tuple[float, ...] = 1e-2
    readout_rate: float = 5e-4
    update: Update = "step"
    readout: Readout = LEAKY
    seed: int = 0

    @property
    def credit(self) -> SignFeedback:
        """See BaseRule."""
        return SignFeedback(self.seed)
