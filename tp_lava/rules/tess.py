"""TESS: each layer learns from an error of its own, its activity seen through a fixed basis.

Remembers: of each input its presynaptic trace, of each neuron the trace of its psi; with update="sequence" a sum for each synapse.
Local. Published (5 trials): CIFAR10 92.55, CIFAR100 70.00 (T = 6), CIFAR10-DVS 75.00, DVS-Gesture 98.56 (VGG-9).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal

import numpy as np

from tp_lava.checks import is_number, is_whole
from tp_lava.circuit.builder import CLASSES, Builder
from tp_lava.circuit.formats import scale_format
from tp_lava.circuit.maps import pool
from tp_lava.circuit.names import sample_path
from tp_lava.circuit.operations import SAMPLES, Owner
from tp_lava.circuit.products import Signal
from tp_lava.circuit.terms import Term
from tp_lava.dynamics.basis import BASES, basis, untaught
from tp_lava.dynamics.contrast import ERROR
from tp_lava.dynamics.neuron import LIF
from tp_lava.dynamics.readout import LINEAR, Readout
from tp_lava.dynamics.surrogate import Triangle
from tp_lava.dynamics.tess import BASIS, error_program
from tp_lava.errors import invalid
from tp_lava.graph.network import Network, Population
from tp_lava.graph.pooling import Pool2d, pooled, to_grid
from tp_lava.rules import memory
from tp_lava.rules.base import Credit, Rule, Update, sample_events


@dataclass(frozen=True)
class BasisError(Credit):
    """A population's activity through a fixed basis of signs, less the label: dynamics/tess.py.

    basis: "square" or "walsh"; temperature: of its softmax; activity: spikes, or spike traces.
    """

    basis: Literal["square", "walsh"] = "square"
    temperature: float = 1.0
    activity: Literal["spike", "trace"] = "spike"
    grid: int = 4

    def averages(self, population: Population) -> tuple[Pool2d, ...]:
        """What brings a population's maps to the grid: nothing where it has no maps, or smaller ones."""
        return to_grid(population.output_shape, self.grid)

    def seen(self, population: Population) -> int:
        """Units that the basis is over."""
        return prod(pooled(self.averages(population), population.output_shape)) if self.averages(population) else population.output_size

    def scale(self, population: Population) -> float:
        """See Credit: the basis has entries of 1 / n."""
        return 1.0 / self.seen(population)

    def signals(self, builder: Builder, population: Population) -> Sequence[Signal]:
        """See Credit."""
        b, path, n = builder, sample_path(population), self.seen(population)
        classes, scale = b.sizes[CLASSES], 1.0 / (n * self.temperature)
        gain = scale_format(scale) if b.formats else None
        with b.owned(Owner("credit", population.name), "error"):
            label, activity = b.labels(), b.sent(path) if self.activity == "spike" else path.of("trace")
            units = b.axis(population.name)
            for average in self.averages(population):
                into, units = path.of("grid"), f"{population.name}_grid"
                pool(b, activity, average, population.output_shape, into, (SAMPLES, units), "grid", b.buffers[activity].format)
                activity = into
            bindings = {
                "activity": activity,
                "basis": b.parameter(path.of("basis"), BASIS, self._signs(b, population), (CLASSES, units), local="basis"),
                "label": label,
                "gain": b.parameter(path.of("error_gain"), gain, scale, local="error_gain"),
                "error": b.buffer(path.of("error"), (SAMPLES, CLASSES), "work", ERROR, local="error"),
            }
            sizes = {"b": b.batch_size, "c": classes, "n": n}
            seen = b.buffers[bindings["activity"]].format
            b.run(error_program(sizes, seen, gain, fixed=bool(b.formats), name=path.of("error")), bindings)
        learned = sample_events(b, population)
        return [Signal(path, bindings["basis"], bindings["error"], learned, self.averages(population))]

    def _signs(self, b: Builder, population: Population) -> np.ndarray:
        signs = basis(self.basis, b.sizes[CLASSES], self.seen(population))
        if (silent := untaught(signs)).size:
            _warn(population, silent, self.basis, self.seen(population))
            signs = signs * (signs != signs[0]).any(axis=0)  # no signal at all, however the errors are rounded
        return signs


def _warn(population: Population, silent: np.ndarray, name: str, size: int) -> None:
    listed = ", ".join(map(str, silent[:20])) + (", ..." if silent.size > 20 else "")
    warnings.warn(
        f"{population.name}: the {name} basis gives {silent.size} of {size} neurons no learning signal, so they never learn: "
        f'{listed}; use TESS(basis="walsh") to teach them all.',
        stacklevel=2,
    )


@dataclass(frozen=True)
class TESS(Rule):
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
    there are, before their basis (n: channels times places); readout: how the readout is
    taught, by default as published. The published neuron is TESS.neuron().
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
        return BasisError(self.basis, self.temperature, self.activity, self.grid)

    @property
    def label(self) -> str:
        """See Rule."""
        return f"TESS, {self.basis}, {self.update}"

    @property
    def memory_formula(self) -> str:
        """See Rule: presynaptic traces, the trace of psi and, with update="sequence", a sum of changes for each synapse."""
        return "n_in + n" + (" and a change for each synapse" if self.update == "sequence" else "")

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
        weights = sum(prod(c.kind.weight_shape) for c in into) + network.has_bias(population) * n
        return batch * traces + (weights if self.update == "sequence" else memory.summed(network, population))

    @staticmethod
    def neuron(decay: float = 0.5, threshold: float = 0.6) -> LIF:
        """The published neuron: strict comparison, subtracting reset, triangular surrogate; a threshold below 0.5 counts as 0.5."""
        return LIF(decay, max(threshold, 0.5), ">", surrogate=Triangle())
