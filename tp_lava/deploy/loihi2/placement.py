"""Placement: the neurons of a layer onto cores, in order, as many as each holds. Greedy, and the same every time.

A core holds neurons of one layer: all compartments of each, the synapses into them, their programs, an input axon for each source
that reaches any of them and an output axon for each core that a compartment sends to. Output axons depend on where the layer above
lies, so layers are placed from the last to the first, and a recurrent one until its own number of cores no longer changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tp_lava.graph.connections import Synapses
from tp_lava.deploy.loihi2.demand import Connection, LayerDemand
from tp_lava.deploy.loihi2.limits import Limits

MEMORY = ("synapses", "state", "programs", "input axons", "output axons", "presynaptic traces")


@dataclass(frozen=True)
class Core:
    """A core and what lives there: neurons first..last-1 of a layer. compartments, synapses: how many; bytes: by part of its memory."""

    number: int
    layer: str
    first: int
    last: int
    compartments: int
    synapses: Mapping[str, int]
    bytes: Mapping[str, int]

    @property
    def neurons(self) -> int:
        """How many."""
        return self.last - self.first

    @property
    def memory(self) -> int:
        """Bytes in use."""
        return sum(self.bytes.values())

    def usage(self, limits: Limits) -> dict[str, tuple[int, int, str]]:
        """Resource -> (used, maximum, unit)."""
        held = {"compartments": (self.compartments, limits.neurons_per_core), "memory": (self.memory, limits.core_memory)}
        return {name: (used, limit.value, limit.unit) for name, (used, limit) in held.items()}

    def fits(self, limits: Limits) -> bool:
        """Whether nothing is over its maximum."""
        return all(used <= maximum for used, maximum, _ in self.usage(limits).values())


def place(demands: Sequence[LayerDemand], limits: Limits) -> tuple[Core, ...]:
    """All layers, cores numbered from the first layer on. A neuron that fits no core has one of its own, over its budget."""
    placed: dict[str, list[Core]] = {}
    for demand in reversed(demands):
        placed[demand.name] = _place_layer(demand, demands, placed, limits)
    cores = [core for demand in demands for core in placed[demand.name]]
    return tuple(_renumbered(core, number) for number, core in enumerate(cores))


def _renumbered(core: Core, number: int) -> Core:
    return Core(number, core.layer, core.first, core.last, core.compartments, core.synapses, core.bytes)


def _place_layer(demand: LayerDemand, demands: Sequence[LayerDemand], placed: Mapping[str, Sequence[Core]], limits: Limits) -> list[Core]:
    sent = _sent(demand, demands, placed)
    own = sum(c.streams for c in demand.connections if c.source == demand.name)
    cores = 1
    while True:
        layer = _Layer(demand, sent + own * cores, limits)
        found = layer.cores()
        if not own or len(found) <= cores:
            return found
        cores = len(found)


def _sent(demand: LayerDemand, demands: Sequence[LayerDemand], placed: Mapping[str, Sequence[Core]]) -> np.ndarray:
    """Output axons of each neuron: one for each compartment and core it sends to; a trace goes to the embedded processors."""
    sent = np.full(demand.neurons, demand.compartments if demand.credited else 0, np.int64)
    above = [(d, c) for d in demands for c in d.connections if c.source == demand.name and d.name in placed]
    if not above:
        return sent + 1  # the readout
    for layer, connection in above:
        sent += connection.streams * _reached(connection, placed[layer.name])
    return sent


def _reached(connection: Connection, cores: Sequence[Core]) -> np.ndarray | int:
    """Cores that each source unit reaches."""
    if connection.table is None:
        return len(cores)
    offsets, targets, _ = connection.table
    ends = np.array([core.last for core in cores])
    where = np.searchsorted(ends, targets, side="right")
    pairs = np.unique(np.repeat(np.arange(connection.units), np.diff(offsets)) * len(cores) + where)
    return np.bincount(pairs // len(cores), minlength=connection.units)


class _Layer:
    """A layer being placed: what any range of its neurons takes."""

    def __init__(self, demand: LayerDemand, sent: np.ndarray, limits: Limits) -> None:
        self.demand, self.limits = demand, limits
        self.sent = np.concatenate([[0], np.cumsum(sent)])
        self.sparse = {c.name: _ByTarget(c.table, demand.neurons) for c in demand.connections if c.table}

    def cores(self) -> list[Core]:
        """Neurons in order, as many on each core as it holds, at least one."""
        found: list[Core] = []
        first = 0
        while first < self.demand.neurons:
            found.append(self.core(first, self._last(first)))
            first = found[-1].last
        return found

    def _last(self, first: int) -> int:
        """The largest end of a range that fits, by doubling and bisection: what a range takes grows with it."""
        most = self.demand.neurons
        fits, fails = first + 1, min(first + 2, most + 1)
        while fails <= most and self._fits(first, fails):
            fits, fails = fails, min(first + 2 * (fails - first), most) if fails < most else most + 1
        while fails - fits > 1:
            middle = (fits + fails) // 2
            fits, fails = (middle, fails) if self._fits(first, middle) else (fits, middle)
        return fits

    def _fits(self, first: int, last: int) -> bool:
        return self.core(first, last).fits(self.limits)

    def core(self, first: int, last: int) -> Core:
        """One with that range of neurons."""
        d, limits, neurons = self.demand, self.limits, last - first
        taken = [(c, *self._rows(c, first, last)) for c in d.connections]
        axons = sum(sources * c.streams for c, sources, _, _ in taken) + d.errors
        used = {
            "synapses": sum(words * limits.synapse_word.value // 8 + limits.connection_header.value for _, _, _, words in taken),
            "state": -(-neurons * d.state_bits // 8),
            "programs": sum(p.words for p in d.programs) * limits.instruction_word.value // 8,
            "input axons": axons * limits.input_axon.value // 8,
            "output axons": int(self.sent[last] - self.sent[first]) * limits.output_axon.value // 8,
            "presynaptic traces": sum(sources for c, sources, _, _ in taken if c.traced) * limits.trace_memory.value // 8,
        }
        synapses = {c.name: count for c, _, count, _ in taken}
        return Core(0, d.name, first, last, neurons * d.compartments, synapses, used)

    def _rows(self, c: Connection, first: int, last: int) -> tuple[int, int, int]:
        """-> (sources, synapses, words) of a connection into a range: a row for each source, which starts on a word."""
        word = self.limits.synapse_word.value
        if c.table is None:
            bits = (last - first) * (c.bits + c.sum_bits)
            return c.units, c.units * (last - first), c.units * -(-bits // word)
        index = max(1, (self.limits.neurons_per_core.value - 1).bit_length())  # which neuron of the core
        rows = self.sparse[c.name].rows(first, last)
        words = -(-rows * (c.bits + c.sum_bits + index) // word)
        return len(rows), int(rows.sum()), int(words.sum())


class _ByTarget:
    """A table of synapses by target, to count the rows of any range of targets."""

    def __init__(self, table: Synapses, neurons: int) -> None:
        order = np.argsort(table.targets, kind="stable")
        self.sources = np.repeat(np.arange(len(table.offsets) - 1), np.diff(table.offsets))[order]
        self.begins = np.searchsorted(table.targets[order], np.arange(neurons + 1))

    def rows(self, first: int, last: int) -> np.ndarray:
        """Synapses of each source that reaches the range."""
        counts = np.bincount(self.sources[self.begins[first] : self.begins[last]])
        return counts[counts > 0]


def chips_of(cores: Sequence[Core], limits: Limits) -> Iterator[tuple[Core, ...]]:
    """Cores in order, as many as a chip has."""
    size = limits.cores_per_chip.value
    for begin in range(0, len(cores), size):
        yield tuple(cores[begin : begin + size])
