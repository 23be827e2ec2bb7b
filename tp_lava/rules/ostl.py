"""OSTL: the derivative of each membrane by each of its weights, carried through time, times an error of this step.

Remembers: one number for each synapse; with update="sequence" a change for each beside. Error: the readout's, carried back through the
layers (not local: no form of a chip) or through random feedback (local). Of one layer without recurrence it is the gradient of
backpropagation through time, reset included. The paper reports none of the data sets of docs/rules.md. Differences: what a recurrent
connection brings counts as input, as in the paper's form without recurrent terms; without reset in the derivative it would be OTTT.
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
class OSTL(FeedbackRule):
    """OSTL: online spatio-temporal learning.

        E[t] = r[t-1] * E[t-1] + x[t],   dW = -rate * (delta * psi[t]) * E[t]

    x: spikes of the layer below; r: the neurons' retention, decay * (1 - reset_by * psi), or decay * (1 - s - pre * psi) where they
    reset to zero; E: one number a synapse; delta: W^T (psi * delta of the layer above), from the readout W^T (softmax - label),
    feedback="backward", as published, or B^T (softmax - label), feedback="random", B of signs drawn from seed. Connections into what learns
    are all-to-all, neurons without synaptic current, adaptation and refractory time, and samples come one by one. rate, readout_rate:
    as for Rule; learn_last: steps at a sample's end in which it learns (None: all); update: "step" or "sequence"; readout: how the
    readout is taught. Biases learn by psi alone.
    Raises InvalidValueError. Source: Bohnstingl et al., arXiv 2007.12723, IEEE TNNLS 2022.
    """

    rate: float | tuple[float, ...] = 3e-3
    readout_rate: float = 5e-4
    feedback: Literal["backward", "random"] = "backward"
    seed: int = 0
    learn_last: int | None = None
    update: Update = "step"
    readout: Readout = LEAKY

    paper: ClassVar[str] = "https://arxiv.org/abs/2007.12723"

    @property
    def terms(self) -> tuple[Term, ...]:  # type: ignore[override]
        """See BaseRule."""
        return Term("surrogate", "spike", membrane=True), BIAS

    @property
    def memory_formula(self) -> str:
        """See BaseRule."""
        return "n n_in, and n n if recurrent: a state for each synapse" + (", and a change" if self.update == "sequence" else "")
