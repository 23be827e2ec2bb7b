"""e-prop: eligibility, the surrogate derivative times the presynaptic trace, times an error of this step.

Remembers: of each input its presynaptic trace, and one number for each synapse with filter > 0, one more where thresholds adapt. Error: the
readout's, through random feedback (local) or through the readout's own weights (not local: no form of a chip). Without the filter it is the
form for silicon of Frenkel and Indiveri 2022 (ReckOn). Published: SHD 80.8 (recurrent, adaptive threshold, as quoted by ETLP), N-MNIST
97.90; on SpiNNaker 2 speech commands 91.12. Differences: populations above one another learn by the same error, with feedback="symmetric"
carried back through those between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tp_lava.circuit.terms import Term
from tp_lava.dynamics.neuron import check_decay
from tp_lava.dynamics.readout import LEAKY, Readout
from tp_lava.errors import invalid
from tp_lava.rules.base import Update
from tp_lava.rules.credits.feedback import BIAS
from tp_lava.rules.feedback_rule import FeedbackRule


@dataclass(frozen=True)
class EProp(FeedbackRule):
    """e-prop for the neurons of this library.

        e[t] = psi[t] x q[t],   q[t] = pre_decay * q[t-1] + x[t],   E[t] = filter * E[t-1] + e[t],   dW = -rate * delta x E[t]
        of adaptive neurons: e[t] = psi[t] * (q[t] - adaptation * D[t]),   D[t+1] = adaptation_decay * D[t] + e[t]

    x: spikes that come in, of recurrent connections those of the step before; delta: B^T (softmax - label), feedback="random", B of
    signs drawn from seed, or feedback="symmetric", B the readout's weights. pre_decay: [0, 1), the neurons' decay in the paper; filter:
    [0, 1), kappa, that of the readout; 0 keeps no E; adaptive: whether D is kept of neurons with adaptive thresholds; False takes
    thresholds for constants. With either state, which is one number a synapse, connections are all-to-all and samples come one by
    one. rate, readout_rate: as for Rule; learn_last: steps at a sample's end in which it learns (None: all); update: "step" or "sequence";
    readout: how the readout is taught. Biases learn by psi, unfiltered.
    Raises InvalidValueError. Source: Bellec et al., Nature Communications 11, 3625, 2020.
    """

    rate: float | tuple[float, ...] = 5e-4
    readout_rate: float = 5e-4
    pre_decay: float = 0.5
    filter: float = 0.0
    feedback: Literal["random", "symmetric"] = "random"
    seed: int = 0
    learn_last: int | None = None
    update: Update = "step"
    readout: Readout = LEAKY
    adaptive: bool = True

    paper: ClassVar[str] = "https://doi.org/10.1038/s41467-020-17236-y"
    _carried: ClassVar[str] = "symmetric"
    _title: ClassVar[str] = "e-prop"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_decay("EProp", "filter", self.filter)
        if not isinstance(self.adaptive, bool):
            raise invalid("EProp", "adaptive", repr(self.adaptive), "True or False", "False keeps no state per synapse of adaptive neurons")

    @property
    def terms(self) -> tuple[Term, ...]:  # type: ignore[override]
        """See BaseRule."""
        return Term("surrogate", "trace", filter=self.filter, adapts=self.adaptive), BIAS

    @property
    def label(self) -> str:
        """See BaseRule."""
        return super().label + (", filtered" if self.filter else "")

    @property
    def memory_formula(self) -> str:
        """See BaseRule."""
        return (
            "n_in" + (" and a state for each synapse" if self.filter else "") + (", one more if thresholds adapt" if self.adaptive else "")
        )
