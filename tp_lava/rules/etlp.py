"""ETLP: the label alone, at its events, through a random projection, times psi and the presynaptic trace.

Remembers: of each input its presynaptic trace; with update="sequence" a sum for each synapse. Error: none is computed for hidden layers:
the label, through a fixed random projection (local). The readout learns by its own error.
Published: N-MNIST 94.30; SHD 74.59 +- 0.44 (450 recurrent neurons with adaptive threshold, T = 100, batches of 128); an independent
reproduction found 0.055 to 0.235 on SHD.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tp_lava.circuit.terms import Term
from tp_lava.dynamics.readout import LEAKY, Readout
from tp_lava.rules.base import BaseRule, Update
from tp_lava.rules.credits.base import Credit
from tp_lava.rules.credits.feedback import BIAS
from tp_lava.rules.credits.random_matrix import Matrix, check_matrix
from tp_lava.rules.credits.target_projection import TargetProjection


@dataclass(frozen=True)
class ETLP(BaseRule):
    """ETLP: event-based three-factor local plasticity by target projection.

        dW = rate * (B^T label * psi[t]) x q[t],   q[t] = pre_decay * q[t-1] + x[t]

    x: spikes of the layer below; B: (classes, n), matrix="uniform" in +-1, or "signs", +-1, drawn from seed. pre_decay: [0, 1);
    learn_last: steps at a sample's end in which there are label events (None: all); rate, readout_rate: as for Rule; update: "step" or
    "sequence"; readout: how the readout is taught. Nothing ends what a hidden layer learns, for its signal is no error: large rates
    saturate it. Raises InvalidValueError. Source: arXiv 2301.08281, Neuromorph. Comput. Eng. 2024.
    """

    rate: float | tuple[float, ...] = 1e-3
    readout_rate: float = 5e-4
    pre_decay: float = 0.9
    matrix: Matrix = "uniform"
    seed: int = 0
    learn_last: int | None = None
    update: Update = "step"
    readout: Readout = LEAKY

    paper: ClassVar[str] = "https://arxiv.org/abs/2301.08281"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_matrix("ETLP", "matrix", self.matrix, self.seed)

    @property
    def terms(self) -> tuple[Term, ...]:  # type: ignore[override]
        """See BaseRule."""
        return Term("surrogate", "trace"), BIAS

    @property
    def credit(self) -> Credit:
        """See BaseRule."""
        return TargetProjection(self.matrix, self.seed)

    @property
    def memory_formula(self) -> str:
        """See BaseRule."""
        return "n_in" + self._summed
