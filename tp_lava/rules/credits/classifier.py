"""Credits of a classifier of a population's own: its activity through fixed coefficients, less the label (dynamics/tess.py).

error = softmax(G a / temperature) - label, or that of another loss;   delta = G^T error          G: (classes, n), fixed
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal

import numpy as np

from tp_lava.checks import is_number
from tp_lava.circuit.buffers import SAMPLES, Owner
from tp_lava.circuit.builder import Builder
from tp_lava.circuit.declarations import CLASSES
from tp_lava.circuit.formats import scale_format
from tp_lava.circuit.maps import pool
from tp_lava.circuit.names import sample_path
from tp_lava.circuit.products import Signal
from tp_lava.dynamics.basis import basis, untaught
from tp_lava.dynamics.contrast import ERROR
from tp_lava.dynamics.tess import BASIS, LOSSES, Loss, error_program
from tp_lava.errors import invalid
from tp_lava.graph.network import Network, Population
from tp_lava.graph.pooling import Pool2d, pooled, to_grid
from tp_lava.numbers import Format
from tp_lava.rules.credits.base import PEAK_ERROR, Credit, sample_events
from tp_lava.rules.credits.random_matrix import MATRICES, Matrix, check_matrix, random_matrix

Activity = Literal["spike", "trace"]


class Classifying(Credit):
    """What such credits share. temperature: of the classifier's output; activity: spikes, or spike traces; loss: what is made of it."""

    temperature: float
    activity: Activity
    loss: Loss = "softmax"
    held: ClassVar[str]  # local name of the coefficients

    @abstractmethod
    def coefficients(self, network: Network, population: Population) -> tuple[np.ndarray, Format]:
        """n times the coefficients, (classes, units that are seen), and their format."""

    def averages(self, population: Population) -> tuple[Pool2d, ...]:
        """Averages over a population's maps before they are seen."""
        return ()

    def seen(self, population: Population) -> int:
        """Units that the coefficients are over."""
        return prod(pooled(self.averages(population), population.output_shape)) if self.averages(population) else population.output_size

    def scale(self, population: Population) -> float:
        """See Credit: the coefficients are of 1 / n."""
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
            values, format = self.coefficients(b.network, population)
            bindings = {
                "activity": activity,
                "basis": b.parameter(path.of(self.held), format, values, (CLASSES, units), local=self.held),
                "label": label,
                "gain": b.parameter(path.of("error_gain"), gain, scale, local="error_gain"),
                "error": b.buffer(path.of("error"), (SAMPLES, CLASSES), "work", ERROR, local="error"),
            }
            sizes = {"b": b.batch_size, "c": classes, "n": n}
            seen, fixed = b.buffers[activity].format, bool(b.formats)
            program = error_program(sizes, seen, gain, fixed=fixed, name=path.of("error"), coefficient=format, loss=self.loss)
            b.run(program, bindings)
        return [Signal(path, bindings["basis"], bindings["error"], sample_events(b, population), self.averages(population))]


@dataclass(frozen=True)
class BasisError(Classifying):
    """A population's activity through a fixed basis of signs, less the label. TESS's.

    basis: "square" or "walsh"; temperature: of its softmax; activity: spikes, or spike traces; grid: places to which maps are averaged.
    """

    basis: Literal["square", "walsh"] = "square"
    temperature: float = 1.0
    activity: Activity = "spike"
    grid: int = 4

    held: ClassVar[str] = "basis"

    def averages(self, population: Population) -> tuple[Pool2d, ...]:
        """What brings a population's maps to the grid: nothing where it has no maps, or smaller ones."""
        return to_grid(population.output_shape, self.grid)

    def coefficients(self, network: Network, population: Population) -> tuple[np.ndarray, Format]:
        """See Classifying."""
        signs = basis(self.basis, network.n_classes, self.seen(population))
        return signs * (signs != signs[0]).any(axis=0), BASIS  # the others get no signal at all, however the errors are rounded

    def signals(self, builder: Builder, population: Population) -> Sequence[Signal]:
        """See Credit; a warning names neurons without a signal."""
        size = self.seen(population)
        if (silent := untaught(basis(self.basis, builder.network.n_classes, size))).size:
            _warn(population, silent, self.basis, size)
        return super().signals(builder, population)


def _warn(population: Population, silent: np.ndarray, name: str, size: int) -> None:
    listed = ", ".join(map(str, silent[:20])) + (", ..." if silent.size > 20 else "")
    warnings.warn(
        f"{population.name}: the {name} basis gives {silent.size} of {size} neurons no learning signal, so they never learn: "
        f'{listed}; use TESS(basis="walsh") to teach them all.',
        stacklevel=2,
    )


@dataclass(frozen=True)
class LocalClassifier(Classifying):
    """A random classifier of each population's own, which stays as it is. DECOLLE's.

        r = G a / (n * temperature),   error = softmax(r) - label or, "smooth_l1", r - label held to -1..1,   delta = G^T error / n

    G: (classes, n), of random numbers: "signs", +-1, or "uniform" in +-1, drawn from seed and the number of the population;
    a: "spike", or "trace", spike traces; temperature: > 0. Raises InvalidValueError. Source: Kaiser, Mostafa, Neftci 2020.
    """

    matrix: Matrix = "uniform"
    loss: Loss = "softmax"
    temperature: float = 0.05
    activity: Activity = "trace"
    seed: int = 0

    held: ClassVar[str] = "classifier"

    def __post_init__(self) -> None:
        check_matrix("LocalClassifier", "matrix", self.matrix, self.seed)
        if self.loss not in LOSSES:
            raise invalid("LocalClassifier", "loss", repr(self.loss), f"one of {', '.join(LOSSES)}", '"softmax" is usual')
        if not is_number(self.temperature) or self.temperature <= 0:
            raise invalid("LocalClassifier", "temperature", repr(self.temperature), "a number > 0", "0.05 suits traces")
        if self.activity not in ("spike", "trace"):
            raise invalid("LocalClassifier", "activity", repr(self.activity), '"spike" or "trace"', '"trace" learns more')

    def bound(self, network: Network, population: Population) -> float | None:
        """See Credit: of a smooth L1 loss every class may be 1 off."""
        return PEAK_ERROR if self.loss == "softmax" else float(network.n_classes)

    def coefficients(self, network: Network, population: Population) -> tuple[np.ndarray, Format]:
        """See Classifying."""
        return random_matrix(network, population, self.matrix, self.seed), MATRICES[self.matrix]
