"""OSTTP: OSTL's derivative of each membrane by each of its weights, times a random projection of the label.

Remembers: one number for each synapse; with update="sequence" a change for each beside. Error: none is computed; a layer is told its
label, through a fixed random projection (local). Published: SHD 77.33 +- 0.8 (recurrent, 450 neurons). Differences: those of OSTL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tp_lava.circuit.terms import Term
from tp_lava.dynamics.readout import LEAKY, Readout
from tp_lava.rules.base import BaseRule, Update
from tp_lava.rules.credits.feedback import BIAS
from tp_lava.rules.credits.random_matrix import Matrix, check_matrix
from tp_lava.rules.credits.target_projection import TargetProjection


@dataclass(frozen=True)
class OSTTP(BaseRule):
    """OSTTP: online spatio-temporal learning with target projection.

        E[t] = r[t-1] * E[t-1] + x[t],   dW = -rate * (delta * psi[t]) * E[t],   delta = -B^T label

    x, r, E and what connections and neurons must be: as for OSTL; B: (classes, n), matrix="uniform" in +-1, or "signs", +-1, drawn from
    seed. rate, readout_rate: as for
    Rule; learn_last: steps at a sample's end in which it learns (None: all); update: "step" or "sequence"; readout: how the readout is
    taught. Biases learn by psi alone.
    Raises InvalidValueError. Source: Ortner et al., arXiv 2304.05124, AICAS 2023.
    """

    rate: float | tuple[float, ...] = 1e-3
    readout_rate: float = 5e-4
    matrix: Matrix = "uniform"
    seed: int = 0
    learn_last: int | None = None
    update: Update = "step"
    readout: Readout = LEAKY

    paper: ClassVar[str] = "https://arxiv.org/abs/2304.05124"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_matrix("OSTTP", "matrix", self.matrix, self.seed)

    @property
    def terms(self) -> tuple[Term, ...]:  # type: ignore[override]
        """See BaseRule."""
        return Term("surrogate", "spike", membrane=True), BIAS

    @property
    def credit(self) -> TargetProjection:
        """See BaseRule."""
        return TargetProjection(self.matrix, self.seed)

    @property
    def memory_formula(self) -> str:
        """See BaseRule."""
        return "n n_in, and n n if recurrent: a state for each synapse" + (", and a change" if self.update == "sequence" else "")
