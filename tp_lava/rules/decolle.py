"""DECOLLE: a random classifier for each layer, whose error it learns by, times psi and a trace of the presynaptic trace.

Remembers: of each input two traces; with update="sequence" a sum for each synapse. Error: of the layer's own, from a fixed random
classifier (local: nothing comes from the layers above).
Published: N-MNIST 99.04 (convolutions 64-128-128 of 7x7, second_decay .97, pre_decay .92, 300 steps, Adamax 1e-3, batches of 72);
DVS-Gesture 95.54 +- 0.16 (500 steps). Differences: traces are not normalised (put that into the rate), the second one takes the
first of this step, neurons reset as the network's, and the scores are those of the readout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tp_lava.circuit.terms import Term
from tp_lava.dynamics.readout import LEAKY, Readout
from tp_lava.rules.base import BaseRule, Update
from tp_lava.rules.credits.base import Credit
from tp_lava.rules.credits.classifier import LocalClassifier
from tp_lava.rules.credits.feedback import BIAS


@dataclass(frozen=True)
class DECOLLE(BaseRule):
    """DECOLLE: deep continuous local learning.

        dW = -rate * (G^T dL/dr * psi[t]) x P[t],   r = G a / (n * temperature)
        Q[t] = pre_decay * Q[t-1] + x[t],   P[t] = second_decay * P[t-1] + Q[t]

    x: spikes of the layer below; a: the layer's spike traces, or with activity="spike" its spikes; G: (classes, n), uniform in +-1, drawn
    from seed; L: loss "softmax", or "smooth_l1" as published; temperature: > 0. pre_decay, second_decay: [0, 1); rate, readout_rate: as for
    Rule; learn_last: steps at a sample's end in which it learns (None: all); update: "step", as published, or "sequence"; readout: how
    the readout is taught; classifier_rate: rate by which each layer's G learns from the layer's own error,
    dG = -classifier_rate * dL/dr x (a - mean of a): 0, as published, leaves it as it is.
    Raises InvalidValueError. Source: arXiv 1811.10766, Front. Neurosci. 14, 424, 2020.
    """

    rate: float | tuple[float, ...] = 0.1
    readout_rate: float = 5e-4
    pre_decay: float = 0.5
    second_decay: float = 0.5
    loss: Literal["softmax", "smooth_l1"] = "softmax"
    temperature: float = 0.05
    activity: Literal["spike", "trace"] = "trace"
    seed: int = 0
    learn_last: int | None = None
    update: Update = "step"
    readout: Readout = LEAKY
    classifier_rate: float = 0.0

    paper: ClassVar[str] = "https://arxiv.org/abs/1811.10766"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.credit  # noqa: B018 (checks what it is made of)

    @property
    def terms(self) -> tuple[Term, ...]:  # type: ignore[override]
        """See BaseRule."""
        return Term("surrogate", "second_trace"), BIAS

    @property
    def credit(self) -> Credit:
        """See BaseRule."""
        return LocalClassifier("uniform", self.loss, self.temperature, self.activity, self.seed, self.classifier_rate)

    @property
    def label(self) -> str:
        """See BaseRule."""
        return f"DECOLLE, {self.loss}"

    @property
    def memory_formula(self) -> str:
        """See BaseRule."""
        classifier = " + C n" if self.classifier_rate else ""
        return ("2 n_in + n" if self.activity == "trace" else "2 n_in") + classifier + self._summed
