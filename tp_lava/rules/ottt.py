"""OTTT: online training through time, the surrogate derivative of now times the presynaptic trace.

Remembers: of each input its presynaptic trace; with update="sequence" a sum for each synapse. Error: the readout's, carried back through
the layers as they are in this step (not local: no form of a chip), or through random feedback (local).
Published (VGG, SGD 0.1 with momentum 0.9 and a cosine, 300 epochs, batches of 128): CIFAR10 93.49 +- 0.17, changed at every step, T = 6;
one sample at a time, 20 epochs, 88.50; CIFAR10-DVS 76.63 +- 0.34 (T = 10), DVS-Gesture 96.88 (T = 20, Adam 1e-3, batches of 16).
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
class OTTT(FeedbackRule):
    """OTTT: the gradient of each step, with what a membrane has from earlier steps as its presynaptic trace.

        dW = -rate * (delta * psi[t]) x q[t],   q[t] = pre_decay * q[t-1] + x[t]

    x: spikes of the layer below, or the input, which is traced too; delta: W^T (psi * delta of the layer above), from the readout
    W^T (softmax - label), feedback="backward", as published, or B^T (softmax - label), feedback="random", B of signs drawn from seed.
    pre_decay: [0, 1), the neurons' decay in the paper; rate, readout_rate: as for Rule; learn_last: steps at a sample's end in
    which it learns (None: all); update: "step" (OTTT_O) or "sequence" (OTTT_A); readout: how the readout is taught.
    Raises InvalidValueError. Source: arXiv 2210.04195, NeurIPS 2022.
    """

    rate: float | tuple[float, ...] = 6e-3
    readout_rate: float = 5e-4
    pre_decay: float = 0.5
    feedback: Literal["backward", "random"] = "backward"
    seed: int = 0
    learn_last: int | None = None
    update: Update = "step"
    readout: Readout = LEAKY

    paper: ClassVar[str] = "https://arxiv.org/abs/2210.04195"

    @property
    def terms(self) -> tuple[Term, ...]:  # type: ignore[override]
        """See BaseRule."""
        return Term("surrogate", "trace"), BIAS

    @property
    def memory_formula(self) -> str:
        """See BaseRule."""
        return "n_in" + self._summed
