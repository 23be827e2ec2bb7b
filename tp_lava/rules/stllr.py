"""S-TLLR: spikes and surrogate derivatives on traces, before and after, times an error of this step.

Remembers: of each input its presynaptic trace, of each neuron the trace of its psi; with update="sequence" a sum for each synapse.
Error: the readout's, through random feedback (local) or carried back through the layers (not local: no form of a chip).
Published (VGG-9, (post_decay, pre_decay, acausal, causal)): DVS-Gesture 97.72 +- 0.38, last 5 of 20 steps, (.2, .75, -1, 1), batches of 16,
Adam 1e-3 with a cosine, 300 epochs; CIFAR10-DVS 75.6 +- 0.10, 10 steps, (.2, .5, -1, 1), batches of 48; SHD, 450 recurrent neurons, last 90
of 100 steps, (.5, 1, 1, 1), Adam 2e-4, batches of 128: 78.24 +- 1.84, with random feedback 74.60 +- 0.52.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tp_lava.circuit.terms import Term
from tp_lava.dynamics.readout import LEAKY, Readout
from tp_lava.rules.base import Update
from tp_lava.rules.credits.feedback import BIAS, check_factors
from tp_lava.rules.feedback_rule import FeedbackRule


@dataclass(frozen=True)
class STLLR(FeedbackRule):
    """S-TLLR: three-factor learning inspired by spike timing, causal and acausal.

        dW = -rate * delta x (causal * psi[t] x q[t] + acausal * h[t] x x[t])
        q[t] = pre_decay * q[t-1] + x[t],   h[t+1] = post_decay * h[t] + psi[t]

    x: spikes of the layer below; delta: B^T (softmax - label), feedback="random", B of signs drawn from seed, or carried back
    through the weights of the layers above, feedback="backward". rate, readout_rate: as for Rule; causal, acausal: finite numbers, -1 to 1
    published, 0 leaves a term out; pre_decay, post_decay: [0, 1); learn_last: steps at a sample's end in which it learns (None: all);
    update: "step" or "sequence", the latter as published; readout: how the readout is taught.
    Raises InvalidValueError. Source: arXiv 2306.15220, TMLR 2025.
    """

    rate: float | tuple[float, ...] = 1e-3
    readout_rate: float = 5e-4
    pre_decay: float = 0.5
    post_decay: float = 0.2
    causal: float = 1.0
    acausal: float = -1.0
    feedback: Literal["random", "backward"] = "random"
    seed: int = 0
    learn_last: int | None = None
    update: Update = "step"
    readout: Readout = LEAKY

    paper: ClassVar[str] = "https://arxiv.org/abs/2306.15220"
    _title: ClassVar[str] = "S-TLLR"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_factors("STLLR", {"causal": self.causal, "acausal": self.acausal})

    @property
    def terms(self) -> tuple[Term, ...]:  # type: ignore[override]
        """See BaseRule."""
        causal, acausal = Term("surrogate", "trace", self.causal, "causal"), Term("post_trace", "spike", self.acausal, "acausal")
        return causal, acausal, BIAS

    @property
    def memory_formula(self) -> str:
        """See BaseRule."""
        return "n_in + n" + self._summed
