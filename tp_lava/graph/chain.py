"""A network layer by layer: as a chain, or as any graph, with the populations and connections that each layer has."""

from __future__ import annotations

from dataclasses import dataclass

from tp_lava.dynamics.neuron import LIF
from tp_lava.graph.network import Connection, Network, Population


@dataclass(frozen=True)
class _Reached:
    """A population and what reaches it."""

    population: Population

    @property
    def name(self) -> str:
        """Of its population."""
        return self.population.name

    @property
    def size(self) -> int:
        """Neurons."""
        return self.population.size

    @property
    def neuron(self) -> LIF:
        """Of its population."""
        return self.population.neuron

    @property
    def connections(self) -> tuple[Connection, ...]:
        """All that reach it, forward ones first."""
        raise NotImplementedError

    @property
    def weight_names(self) -> tuple[str, ...]:
        """Names of its weights and biases; the biases are optional."""
        return (*(connection.name for connection in self.connections), self.population.bias)


@dataclass(frozen=True)
class ChainLayer(_Reached):
    """One hidden layer. forward: from the layer below; recurrent: from itself, one step later, None where it has none."""

    forward: Connection
    recurrent: Connection | None = None

    @property
    def connections(self) -> tuple[Connection, ...]:
        """The forward connection and, where there is one, the recurrent one."""
        return (self.forward, self.recurrent) if self.recurrent else (self.forward,)


def chain_of(network: Network) -> tuple[ChainLayer, ...]:
    """The layers in order. Raises InvalidValueError, naming the population, for a network that is no chain (see Network.layers)."""
    return tuple(
        ChainLayer(population, *network.into(population)) for population, _ in zip(network.populations, network.layers, strict=True)
    )


@dataclass(frozen=True)
class GraphLayer(_Reached):
    """One population of a graph. forward: from the input and populations computed before it; recurrent: from others and itself, one
    step later.
    """

    forward: tuple[Connection, ...]
    recurrent: tuple[Connection, ...] = ()

    @property
    def connections(self) -> tuple[Connection, ...]:
        """All that reach it, forward ones first."""
        return (*self.forward, *self.recurrent)


def layers_of(network: Network) -> tuple[GraphLayer, ...]:
    """The populations of any network in the order of a step, with what reaches them."""
    layers = []
    for population in network.populations:
        reaching = network.into(population)
        forward, recurrent = (tuple(c for c in reaching if c.recurrent == later) for later in (False, True))
        layers.append(GraphLayer(population, forward, recurrent))
    return tuple(layers)
