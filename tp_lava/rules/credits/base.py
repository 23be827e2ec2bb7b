"""What every credit has: it tells a population how wrong it is, by an error vector and coefficients that turn it into one number a neuron.

    delta[n] = sum_c coefficient[c,n] * error[c]

CONTRIBUTING.md, "A rule", says how to add one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Mapping, Sequence
from typing import ClassVar

import numpy as np

from tp_lava.checks import register
from tp_lava.circuit import names
from tp_lava.circuit.builder import Builder
from tp_lava.circuit.formats import RULE_WEIGHTS
from tp_lava.circuit.products import Signal
from tp_lava.circuit.terms import PRES, Gain, Pre
from tp_lava.graph.network import Connection, Network, Population

PEAK_ERROR = 2.0  # a softmax less a label: the largest sum of its absolute values


class Credit(ABC):
    """What tells a population how wrong it is: an error vector, and coefficients that turn it into one number a neuron.

    A frozen dataclass, so that files hold it, by the name of its type. local: whether a population needs nothing of those above it;
    needs_readout_error: its error is that of the readout, so populations learn after the readout; largest: bound of |delta|, None where
    there is none; paths: signals it gives, at most; pres: presynaptic parts of terms that it goes with; own_weights: names of the
    connections it brings along; instead: what is local in its place.
    """

    local: ClassVar[bool] = True
    paths: ClassVar[int] = 1
    needs_readout_error: ClassVar[bool] = False
    largest: ClassVar[float | None] = PEAK_ERROR
    pres: ClassVar[tuple[Pre, ...]] = PRES
    own_weights: ClassVar[tuple[str, ...]] = ()
    instead: ClassVar[str] = "use a credit that is local"
    types: ClassVar[dict[str, type[Credit]]] = {}  # all credits by name

    def __init_subclass__(cls) -> None:
        register(Credit.types, "Credit", cls)
        RULE_WEIGHTS.update(cls.own_weights)

    def scale(self, population: Population) -> float:
        """A constant factor of delta."""
        return 1.0

    def bound(self, network: Network, population: Population) -> float | None:
        """A bound of |delta| in a population, for fixed point; None where there is none."""
        return self.largest

    def gains(self, network: Network) -> Mapping[str, Gain]:
        """The scale of each third factor of its own, by what the names of its buffers begin with."""
        return {}

    def connections(self, network: Network) -> tuple[Connection, ...]:
        """Connections of its own: from a population of its own into the network's, or from those to one of its own."""
        return ()

    def trains(self, connection: str) -> bool:
        """Whether such a connection learns."""
        return False

    def draw(self, connection: Connection, network: Network) -> np.ndarray:
        """The weights of a connection of its own where the network brings none along."""
        raise NotImplementedError(f"{type(self).__name__} has no {connection.name}")

    def start(self, builder: Builder) -> None:
        """Called before the first population of a circuit."""
        return

    def follow(self, builder: Builder, population: Population, learns: bool) -> None:
        """Called after the neurons of every population."""
        return

    def carries(self, network: Network, population: Population, learning: Container[str]) -> bool:
        """Whether errors of other populations, which learn, pass through a population, so that its surrogate derivatives are needed."""
        return False

    def go_back(self, builder: Builder, learning: Container[str]) -> None:
        """Called once the readout has told its error, before anything learns by it. learning: names of the populations that learn."""
        return

    @abstractmethod
    def signals(self, builder: Builder, population: Population) -> Sequence[Signal]:
        """Append the error of a population that learns. -> what it learns from."""

    def close(self, builder: Builder, population: Population) -> None:
        """Called once a population has learned, before its events are listed."""
        return

    def match(self, builder: Builder) -> None:
        """Append what takes the place of a readout, of credits that can match."""
        raise NotImplementedError(f"{type(self).__name__} cannot match")


def sample_events(builder: Builder, population: Population, *, after_readout: bool = False) -> dict[Connection, str]:
    """Every connection into a population, and the events of the sample that it learns by.

    after_readout: what reached a recurrent connection in the step before is by then in a buffer (see keep_spikes).
    """
    return {
        connection: names.of(connection.name, "pre_spike") if after_readout and connection.recurrent else connection.pre
        for connection in builder.network.into(population)
    }
