"""Random coefficients of credits, which stay as they are: signs, or numbers of 8 bits, in float the same as in fixed point."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from tp_lava.checks import is_whole
from tp_lava.circuit.builder import Builder
from tp_lava.circuit.declarations import CLASSES
from tp_lava.circuit.names import sample_path
from tp_lava.errors import invalid
from tp_lava.graph.network import Network, Population
from tp_lava.numbers import WEIGHT_BITS, Format

Matrix = Literal["signs", "uniform"]
MATRICES: dict[Matrix, Format] = {"signs": Format(2, 0), "uniform": Format(WEIGHT_BITS, WEIGHT_BITS - 1)}


def check_matrix(obj: str, attr: str, matrix: object, seed: object) -> None:
    """Refuse what is no kind of random matrix, or no seed."""
    if matrix not in get_args(Matrix):
        raise invalid(obj, attr, repr(matrix), '"signs" or "uniform"', '"signs" takes one bit a coefficient')
    if not is_whole(seed, 0):
        raise invalid(obj, "seed", repr(seed), "an integer of at least 0", "0 is usual")


def random_matrix(network: Network, population: Population, matrix: Matrix, seed: int) -> np.ndarray:
    """Drawn from the seed and the number of the population. -> (classes, units that the population sends), within +-1.

    "uniform": multiples of 2^-7.
    """
    rng = np.random.default_rng((seed, network.populations.index(population)))
    shape = network.n_classes, population.output_size
    if matrix == "signs":
        return rng.choice((-1, 1), shape)
    format = MATRICES[matrix]
    return format.real(np.round(format.high * rng.uniform(-1.0, 1.0, shape)))


def declare_feedback(builder: Builder, population: Population, values: np.ndarray, format: Format) -> str:
    """Declare the feedback of a population, (classes, units that it sends), as a parameter. -> its buffer."""
    axes = CLASSES, builder.axis(population.name)
    return builder.parameter(sample_path(population).of("random_feedback"), format, values, axes, local="random_feedback")
