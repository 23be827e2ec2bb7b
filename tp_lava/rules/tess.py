"""TESS: each layer learns from an error of its own, its activity seen through a fixed basis.

Remembers: of each input its presynaptic trace, of each neuron the trace of its psi; with update="sequence" a sum for each synapse.
Local. Published (5 trials): CIFAR10 92.55, CIFAR100 70.00 (T = 6), CIFAR10-DVS 75.00, DVS-Gesture 98.56 (VGG-9).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal

from tp_lava.checks import is_number, is_whole
from tp_lava.circuit.terms import Term
from tp_lava.dynamics.basis import BASES
from tp_lava.dynamics.neuron import LIF
from tp_lava.dynamics.readout import LINEAR, Readout
from tp_lava.dynamics.surrogate import Triangle
from tp_lava.errors import invalid
from tp_lava.graph.network import Network, Population
from tp_lava.rules import memory
from tp_lava.rules.base import BaseRule, Update
from tp_lava.rules.credits.classifier import BasisError, check_rate


@dataclass(frozen=True)
class TESS(BaseRule):
    """TESS: temporally and spatially local learning, each layer from an error of its own.

        dW = -rate * sum_t m x (causal * psi[t] x q[t] + acausal * h[t] x x[t])          biases: db = -rate * sum_t m * psi[t]
        m = B^T (softmax(B a / temperature) - label)
        q[t] = pre_decay * q[t-1] + x[t],   h[t+1] = post_decay * h[t] + psi[t]

    x: spikes of the layer below; a: this layer's spikes or, with activity="trace", its spike traces; B: fixed basis
    (classes, n) of +-1 / n.
    rate, readout_rate: as for TP; causal, acausal: weights of the two terms, 0 leaves one out; basis: "square", the published
    square waves, which give some neurons no signal at all (a warning names them), or "walsh", which teaches every one;
    learn_last: steps at a sample's end in which is learned (None: all); update: "sequence" sums the changes up and applies
    them at the sample's end, as published, "step" applies each at once; temperature, activity: at the published 1 and
    "spike" the softmax is nearly uniform whatever the layer does; around 0.1 and with "trace" the error falls as a sample is
    learned, and far more is; grid: maps of a convolution are averaged to so many by so many places, or as many as
    there are, before their basis (n: channels times places); basis_rate: rate by which each layer's basis learns from the layer's own
    error, dB = -basis_rate * m' x (a - mean of a), m' = softmax - label: 0, as published, leaves it fixed; on pictures, convolutions
    learn far more from a basis that learns; readout: how the readout is taught, by default as published. The published neuron is
    TESS.neuron().
    Raises InvalidValueError. Source: arXiv 2502.01837, IJCNN 2025.
    """

    rate: float | tuple[float, ...] = 1e-3
    readout_rate: float = 1e-4
    pre_decay: float = 0.5
    post_decay: float = 0.2
    causal: float = 1.0
    acausal: float = 1.0
    basis: Literal["square", "walsh"] = "square"
    learn_last: int | None = None
    update: Update = "sequence"
    temperature: float = 1.0
    activity: Literal["spike", "trace"] = "spike"
    readout: Readout = LINEAR
    grid: int = 4
    basis_rate: float = 0.0

    may_match: ClassVar[bool] = False
    paper: ClassVar[str] = "https://arxiv.org/abs/2502.01837"

    def __post_init__(self) -> None:
        super().__post_init__()
        for attr in ("causal", "acausal"):
            if not is_number(getattr(self, attr)):
                raise invalid("TESS", attr, repr(getattr(self, attr)), "a finite number", "1 takes the term in, 0 leaves it out")
        if self.basis not in tuple(BASES):
            raise invalid("TESS", "basis", repr(self.basis), f"one of {', '.join(BASES)}", '"square" is the published one')
        if not is_number(self.temperature) or self.temperature <= 0:
            raise invalid("TESS", "temperature", repr(self.temperature), "a number > 0", "1 is the published one")
        if not is_whole(self.grid, 1):
            raise invalid("TESS", "grid", repr(self.grid), "an integer of at least 1", "4 is usual, 1 averages whole maps")
        check_rate("TESS", "basis_rate", self.basis_rate)
        if self.activity not in ("spike", "trace"):
            raise invalid("TESS", "activity", repr(self.activity), '"spike" or "trace"', '"spike" is the published one')

    @property
    def terms(self) -> tuple[Term, ...]:  # type: ignore[override]
        """See Rule: spike derivative times presynaptic trace, its trace times presynaptic spike, and the biases."""
        causal = Term("surrogate", "trace", self.causal, "causal")
        return causal, Term("post_trace", "spike", self.acausal, "acausal"), Term("surrogate", "one", 1.0, "bias")

    @property
    def credit(self) -> BasisError:
        """See Rule."""
        return BasisError(self.basis, self.temperature, self.activity, self.grid, self.basis_rate)

    @property
    def label(self) -> str:
        """See Rule."""
        return f"TESS, {self.basis}, {self.update}"

    @property
    def memory_formula(self) -> str:
        """See Rule: presynaptic traces, the trace of psi and, with update="sequence", a sum of changes for each synapse."""
        return "n_in + n" + (" + C n" if self.basis_rate else "") + self._summed

    def remembered(self, network: Network, n_steps: int, batch: int = 1) -> tuple[int, ...]:
        """See Rule; with activity="trace" a population's traces too."""
        rates = self.rates(network)
        return tuple(self._remembered(network, p, batch) if rates[p.name] > 0 else 0 for p in network.populations)

    def _remembered(self, network: Network, population: Population, batch: int) -> int:
        into, n = network.into(population), population.size
        traces = (
            bool(self.causal) * sum(c.kind.arriving for c in into)
            + bool(self.acausal) * n
            + (self.activity == "trace") * population.output_size
        )
        basis = self.credit.seen(population) * network.n_classes if self.basis_rate else 0
        weights = sum(prod(c.kind.weight_shape) for c in into) + network.has_bias(population) * n + basis
        return batch * traces + basis + (weights if self.update == "sequence" else memory.summed(network, population))

    @staticmethod
    def neuron(decay: float = 0.5, threshold: float = 0.6) -> LIF:
        """The published neuron: strict comparison, subtracting reset, triangular surrogate; a threshold below 0.5 counts as 0.5."""
        return LIF(decay, max(threshold, 0.5), ">", surrogate=Triangle())
