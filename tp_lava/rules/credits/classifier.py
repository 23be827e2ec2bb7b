"""Credits of a classifier of a population's own: its activity through coefficients, less the label (dynamics/tess.py).

error = softmax(G a / (n temperature)) - label, or that of another loss;   delta = G^T error / n

G: (classes, n), fixed, or learned by the same error: dG = -rate * error x (a - mean of a), a delta rule as the readout's, whose scale is
in the rate.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal

import numpy as np

from tp_lava.checks import is_number
from tp_lava.circuit import names
from tp_lava.circuit.buffers import SAMPLES, Owner
from tp_lava.circuit.builder import Builder
from tp_lava.circuit.declarations import CLASSES
from tp_lava.circuit.formats import scale_format
from tp_lava.circuit.maps import pool
from tp_lava.circuit.names import sample_path
from tp_lava.circuit.products import Signal, learn_by
from tp_lava.circuit.terms import Gain
from tp_lava.dynamics.basis import basis, untaught
from tp_lava.dynamics.contrast import ERROR
from tp_lava.dynamics.tess import BASIS, LOSSES, Loss, activity_program, error_program
from tp_lava.dynamics.third_factor import Seen, signal_format, signal_program
from tp_lava.errors import invalid
from tp_lava.graph.connections import AllToAll
from tp_lava.graph.names import of_rule
from tp_lava.graph.network import Connection, Network, Population
from tp_lava.graph.pooling import Pool2d, pooled, to_grid
from tp_lava.numbers import Format
from tp_lava.rules.credits.base import PEAK_ERROR, Credit, sample_events
from tp_lava.rules.credits.random_matrix import MATRICES, Matrix, check_matrix, random_matrix

Activity = Literal["spike", "trace"]
_STREAM = 1 << 18  # random bits of coefficients that learn, apart from those of populations and optimisers


def check_rate(obj: str, attr: str, rate: object) -> None:
    """Refuse what is no rate of a classifier."""
    if not is_number(rate, 0):
        raise invalid(obj, attr, repr(rate), "a finite number >= 0", "0 leaves a layer's classifier as it is, as published")


class Classifying(Credit):
    """What such credits share. temperature: of the classifier's output; activity: spikes, or spike traces; loss: what is made of it;
    rate: by which the coefficients learn, 0: they stay as they are.
    """

    rate: float
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

    # Coefficients that learn ------------------------------------------------------------------
    def weights(self, population: Population) -> str:
        """Name of a population's coefficients, of those that learn."""
        return of_rule(self.held, population.name)

    def connections(self, network: Network) -> tuple[Connection, ...]:
        """See Credit: a population's, from the classes to the units that they see, (n, classes), as they hand the error back."""
        if not self.rate:
            return ()
        return tuple(
            Connection(self.weights(p), p.name, of_rule("units", p.name), AllToAll(network.n_classes, self.seen(p)))
            for p in network.populations
        )

    def trains(self, connection: str) -> bool:
        """See Credit."""
        return self.rate > 0

    def draw(self, connection: Connection, network: Network) -> np.ndarray:
        """See Credit: what they are where they stay as they are."""
        return self.coefficients(network, network.population(connection.pre))[0].T.astype(np.float32)

    def gains(self, network: Network) -> Mapping[str, Gain]:
        """See Credit."""
        largest = {p.name: p.largest_trace if self.activity == "trace" else 1.0 for p in network.populations}
        return {self.weights(p): Gain(self.rate, 1.0, largest[p.name]) for p in network.populations} if self.rate else {}

    def _coefficients(self, b: Builder, population: Population, units: str) -> str:
        """Declare them. -> their buffer."""
        path = sample_path(population)
        if self.rate:
            name = self.weights(population)
            return b.buffer(name, (CLASSES, units), "weight", b.format(name), local=self.held, outputs_last=True)
        values, format = self.coefficients(b.network, population)
        return b.parameter(path.of(self.held), format, values, (CLASSES, units), local=self.held)

    def _delta(self, b: Builder, population: Population, held: str, units: str) -> str:
        """Append the learning signals: coefficients that learn stay where their error is, and neurons get numbers. -> their buffer."""
        path, seen = sample_path(population), Seen(b.buffers[held].format, error=ERROR, port="weight")
        classes = b.sizes[CLASSES]
        format = signal_format(classes, seen) if b.formats else None
        delta = b.buffer(path.of("local_signal"), (SAMPLES, units), "work", format, local="local_signal")
        program = signal_program(classes, seen, fixed=bool(b.formats), name=path.of("local_signal"))
        b.run(program, {"weight": held, "error": path.of("error"), "signal": delta})
        return delta

    def close(self, builder: Builder, population: Population) -> None:
        """See Credit: coefficients that learn change once the population has learned by them.

        A class's row changes by its error times the activity, which is the third factor here.
        """
        b, path, name = builder, sample_path(population), self.weights(population)
        assert b.rule is not None
        if name not in b.buffers:
            return
        with b.owned(Owner("credit", population.name), "error"):
            activity = path.of("grid") if self.averages(population) else self._activity(b, population)
            seen, third = b.buffers[activity], names.of(name, "third_factor")
            b.buffer(third, seen.axes, "work", b.format(third), local=f"{self.held}_third_factor")
            share = 1.0 / self.seen(population)
            bindings = {
                "activity": seen.name,
                "share": b.parameter(path.of("share"), scale_format(share) if b.formats else None, share, local="share"),
                "rate": b.rate(name, population.name, f"{self.held}_"),
                "third_factor": third,
            }
            stream = _STREAM + 2 * b.network.populations.index(population)
            formats = {port: b.buffers[held].format for port, held in bindings.items()}
            program = activity_program({"b": b.batch_size, "n": self.seen(population)}, formats, fixed=bool(b.formats), name=third)
            b.run(program, bindings, random_stream=stream)
            connection = next(c for c in self.connections(b.network) if c.name == name)
            switch, last = b.learning_switch(population.name), b.rule.learn_last
            learn_by(b, connection, third, population.name, switch, trace=path.of("error"), stream=stream + 1, last=last)

    def _activity(self, b: Builder, population: Population) -> str:
        """Buffer of what is seen, before it is averaged."""
        path = sample_path(population)
        return b.sent(path) if self.activity == "spike" else path.of("trace")

    def signals(self, builder: Builder, population: Population) -> Sequence[Signal]:
        """See Credit."""
        b, path, n = builder, sample_path(population), self.seen(population)
        classes, scale = b.sizes[CLASSES], 1.0 / (n * self.temperature)
        gain = scale_format(scale) if b.formats else None
        with b.owned(Owner("credit", population.name), "error"):
            label, activity = b.labels(), self._activity(b, population)
            units = b.axis(population.name)
            for average in self.averages(population):
                into, units = path.of("grid"), f"{population.name}_grid"
                pool(b, activity, average, population.output_shape, into, (SAMPLES, units), "grid", b.buffers[activity].format)
                activity = into
            bindings = {
                "activity": activity,
                "weight" if self.rate else "basis": (held := self._coefficients(b, population, units)),
                "label": label,
                "gain": b.parameter(path.of("error_gain"), gain, scale, local="error_gain"),
                "error": b.buffer(path.of("error"), (SAMPLES, CLASSES), "work", ERROR, local="error"),
            }
            sizes = {"b": b.batch_size, "c": classes, "n": n}
            program = error_program(
                sizes,
                b.buffers[activity].format,
                gain,
                fixed=bool(b.formats),
                name=path.of("error"),
                coefficient=b.buffers[held].format or BASIS,
                learned=self.rate > 0,
                loss=self.loss,
            )
            b.run(program, bindings)
            if self.rate:
                delta = self._delta(b, population, held, units)
                return [Signal(path, learned=sample_events(b, population), grid=self.averages(population), delta=delta)]
        return [Signal(path, held, bindings["error"], sample_events(b, population), self.averages(population))]


@dataclass(frozen=True)
class BasisError(Classifying):
    """A population's activity through a fixed basis of signs, less the label. TESS's.

    basis: "square" or "walsh"; temperature: of its softmax; activity: spikes, or spike traces; grid: places to which maps are averaged;
    rate: by which the basis learns, 0: it stays as it is.
    """

    basis: Literal["square", "walsh"] = "square"
    temperature: float = 1.0
    activity: Activity = "spike"
    grid: int = 4
    rate: float = 0.0

    held: ClassVar[str] = "basis"
    own_weights: ClassVar[tuple[str, ...]] = ("basis",)

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
        if not self.rate and (silent := untaught(basis(self.basis, builder.network.n_classes, size))).size:
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
    """A random classifier of each population's own, which stays as it is, as DECOLLE's, or learns.

        r = G a / (n * temperature),   error = softmax(r) - label or, "smooth_l1", r - label held to -1..1,   delta = G^T error / n

    G: (classes, n), of random numbers: "signs", +-1, or "uniform" in +-1, drawn from seed and the number of the population;
    a: "spike", or "trace", spike traces; temperature: > 0; rate: by which it learns, >= 0. Raises InvalidValueError.
    Source: Kaiser, Mostafa, Neftci 2020.
    """

    matrix: Matrix = "uniform"
    loss: Loss = "softmax"
    temperature: float = 0.05
    activity: Activity = "trace"
    seed: int = 0
    rate: float = 0.0

    held: ClassVar[str] = "classifier"
    own_weights: ClassVar[tuple[str, ...]] = ("classifier",)

    def __post_init__(self) -> None:
        check_matrix("LocalClassifier", "matrix", self.matrix, self.seed)
        check_rate("LocalClassifier", "rate", self.rate)
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
