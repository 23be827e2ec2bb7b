"""The readout's error, which every layer sees through random feedback of its own: direct feedback alignment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tp_lava.circuit.buffers import Owner
from tp_lava.circuit.builder import Builder
from tp_lava.circuit.names import READOUT_ERROR, sample_path
from tp_lava.circuit.products import Signal
from tp_lava.graph.network import Population
from tp_lava.rules.credits.base import Credit, sample_events
from tp_lava.rules.credits.random_matrix import MATRICES, Matrix, check_matrix, declare_feedback, random_matrix


@dataclass(frozen=True)
class OutputFeedback(Credit):
    """The readout's error of this step, through fixed random feedback. Local: a layer needs a vector of one number a class.

        delta = B^T (softmax(p / temperature) - label)          p, temperature: the readout's; B: (classes, n)

    matrix: "signs", B of +-1, or "uniform" in +-1; seed: B is drawn from it and the number of the population.
    Raises InvalidValueError. Source: Noekland, Direct feedback alignment, NeurIPS 2016, arXiv 1609.01596.
    """

    matrix: Matrix = "signs"
    seed: int = 0

    needs_readout_error: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_matrix("OutputFeedback", "matrix", self.matrix, self.seed)

    def signals(self, builder: Builder, population: Population) -> Sequence[Signal]:
        """See Credit."""
        with builder.owned(Owner("credit", population.name), "error"):
            values = random_matrix(builder.network, population, self.matrix, self.seed)
            feedback = declare_feedback(builder, population, values, MATRICES[self.matrix])
        return [Signal(sample_path(population), feedback, READOUT_ERROR, sample_events(builder, population, after_readout=True))]
