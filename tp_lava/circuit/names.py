"""Names of buffers: made here and in graph.names, and nowhere taken apart."""

from __future__ import annotations

from dataclasses import dataclass

from tp_lava.graph.network import Connection, Network, Population

SAMPLE_LABEL = "sample_label"  # one-hot label of each sample
SCORE = "score"
READOUT_COUNT, READOUT_ERROR = "readout_count", "readout_error"


@dataclass(frozen=True)
class Path:
    """A signal's way through a population: the sample's, or one of a rule's own.

    name: what the names of its buffers and its events begin with; rows: its row axis; prefix: of its buffers' local names.
    """

    population: Population
    name: str
    rows: str
    prefix: str = ""

    def of(self, local: str) -> str:
        """Name of one of its buffers."""
        return f"{self.name}_{local}"


def sample_path(population: Population) -> Path:
    """The sample's way through a population."""
    return Path(population, population.name, "b")


def target_path(network: Network, population: Population) -> Path:
    """The way of target rows through a population: target0, target1, ..."""
    return Path(population, f"target{network.populations.index(population)}", "k", "target_")


def of(owner: str, local: str) -> str:
    """Name of a buffer of a population, a connection or a third factor."""
    return f"{owner}_{local}"


def arriving_at(connection: Connection, network: Network) -> str:
    """The input port of a neuron program at which a connection's sums arrive: "input", "feedback" for the first recurrent one, ..."""
    population = network.population(connection.post)
    reaching = network.into(population)
    forward, recurrent = [c for c in reaching if not c.recurrent], [c for c in reaching if c.recurrent]
    if forward[0] == connection:
        return "input"
    return "feedback" if recurrent and recurrent[0] == connection else f"input_{connection.name}"


def delayed_axis(connection: str) -> str:
    """The axis of what a connection with delays sees: all copies of the units below."""
    return f"{connection}_delayed"


def pooled_axis(population: str) -> str:
    """The axis of what a population sends, where it pools."""
    return f"{population}_pooled"
