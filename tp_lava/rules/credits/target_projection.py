"""The label alone, which every layer sees through a random projection of its own: direct random target projection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tp_lava.circuit.buffers import Owner
from tp_lava.circuit.builder import Builder
from tp_lava.circuit.names import sample_path
from tp_lava.circuit.products import Signal
from tp_lava.graph.network import Population
from tp_lava.rules.credits.base import Credit, sample_events
from tp_lava.rules.credits.random_matrix import MATRICES, Matrix, check_matrix, declare_feedback, random_matrix


@dataclass(frozen=True)
class TargetProjection(Credit):
    """The label, through a fixed random projection: no error is computed, and a layer learns before those above have done anything.

        delta = -B^T label          B: (classes, n)

    matrix: "signs", B of +-1, or "uniform" in +-1; seed: B is drawn from it and the number of the population.
    Raises InvalidValueError. Source: Frenkel, Lefebvre, Bol, Frontiers in Neuroscience 15, 2021, arXiv 1909.01311.
    """

    matrix: Matrix = "signs"
    seed: int = 0

    largest: ClassVar[float | None] = 1.0

    def __post_init__(self) -> None:
        check_matrix("TargetProjection", "matrix", self.matrix, self.seed)

    def signals(self, builder: Builder, population: Population) -> Sequence[Signal]:
        """See Credit."""
        label = builder.labels()
        with builder.owned(Owner("credit", population.name), "error"):
            values = -random_matrix(builder.network, population, self.matrix, self.seed)
            feedback = declare_feedback(builder, population, values, MATRICES[self.matrix])
        return [Signal(sample_path(population), feedback, label, sample_events(builder, population))]
