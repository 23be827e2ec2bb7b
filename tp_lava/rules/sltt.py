"""SLTT: spatial learning through time, the gradient of each step alone.

Remembers: nothing; with update="sequence" a sum for each synapse. Error: the readout's, carried back through the layers as they are in
this step (not local: no form of a chip), or through random feedback (local). The cheapest of its kind: what a trace adds shows beside it.
Published: CIFAR10 94.59 (ResNet-18, T = 6), CIFAR10-DVS 77.30 (VGG-11, T = 10), DVS-Gesture 97.92; decay 1 / 11, triangle, SGD.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tp_lava.circuit.terms import Term
from tp_lava.dynamics.readout import LEAKY, Readout
from tp_lava.rules.base import Update
from tp_lava.rules.credits.feedback import BIAS
from tp_lava.rules.feedback_rule import FeedbackRule


@dataclass(frozen=True)
class SLTT(FeedbackRule):
    """SLTT: backpropagation at each step, nothing through time.

        dW = -rate * (delta * psi[t]) x x[t]

    x: spikes of the layer below; delta: W^T (psi * delta of the layer above), from the readout W^T (softmax - label),
    feedback="backward", as published, or B^T (softmax - label), feedback="random", B of signs drawn from seed. rate, readout_rate: as
    for Rule; learn_last: steps at a sample's end in which it learns (None: all); update: "step" or "sequence"; readout: how the
    readout is taught.
    Raises InvalidValueError. Source: arXiv 2302.14311, ICCV 2023.
    """

    rate: float | tuple[float, ...] = 6e-3
    readout_rate: float = 5e-4
    feedback: Literal["backward", "random"] = "backward"
    seed: int = 0
    learn_last: int | None = None
    update: Update = "step"
    readout: Readout = LEAKY

    paper: ClassVar[str] = "https://arxiv.org/abs/2302.14311"

    @property
    def terms(self) -> tuple[Term, ...]:  # type: ignore[override]
        """See BaseRule."""
        return Term("surrogate", "spike"), BIAS

    @property
    def memory_formula(self) -> str:
        """See BaseRule."""
        return "nothing" if self.update == "step" else "a change for each synapse"
