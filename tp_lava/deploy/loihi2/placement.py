"""Placement: the neurons of a layer onto cores, in order, as many as each holds. Greedy, and the same every time.

A core holds neurons of one layer: all compartments of each, the synapses into them, their programs, an input axon for each source
that reaches any of them and an output axon for each core that a compartment sends to. Output axons depend on where the layers that
it sends to lie, so layers are placed from the last to the first, and again while feedback reaches more cores than were assumed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tp_lava.deploy.loihi2.demand import ConnectionDemand, LayerDemand
from tp_lava.deploy.loihi2.limits import Limits


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


def place_layers(demands: Sequence[LayerDemand], limits: Limits) -> tuple[Core, ...]:
    """All layers, cores numbered from the first layer on. A neuron that fits no core has one of its own, over its budget."""
    names = [demand.name for demand in demands]
    fed_back = [d.name for number, d in enumerate(demands) if {c.source for c in d.connections} & {*names[number:]}]
    placed: dict[str, list[Core]] = {}
    while True:
        assumed = {name: len(placed[name]) if placed else 1 for name in fed_back}
        for demand in reversed(demands):
            placed[demand.name] = _Layer(demand, _axons(demand, demands, placed), limits).cores()
        if all(len(placed[name]) <= assumed[name] for name in fed_back):
            break
    cores = (core for name in names for core in placed[name])
    return tuple(replace(core, number=number) for number, core in enumerate(cores))


def _axons(demand: LayerDemand, demands: Sequence[LayerDemand], placed: Mapping[str, Sequence[Core]]) -> np.ndarray:
    """Output axons of each neuron: one for each compartment and core it sends to; traces go to the embedded processors, as do spikes
    to the readout. A layer that is not placed yet counts as one core.
    """
    axons = np.full(demand.neurons, demand.compartments * demand.credited + demand.read, np.int64)
    for layer in demands:
        for connection in layer.connections:
            if connection.source == demand.name:
                axons += connection.rows * _reached(connection, placed.get(layer.name))
    return axons


def _reached(connection: ConnectionDemand, cores: Sequence[Core] | None) -> np.ndarray | int:
    """Cores that each source unit reaches."""
    if cores is None:
        return 1
    if connection.reach is None:
        return len(cores)
    reached = sum((connection.reach.into(core.first, core.last) > 0).astype(np.int64) for core in cores)
    return np.repeat(reached, connection.reach.per_group, axis=0).reshape(connection.copies, -1).max(axis=0)


class _Layer:
    """A layer being placed: what any range of its neurons takes. axons: output axons of each neuron."""

    def __init__(self, demand: LayerDemand, axons: np.ndarray, limits: Limits) -> None:
        self.demand, self.limits = demand, limits
        self.axons = np.concatenate([[0], np.cumsum(axons)])

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
        most, span = self.demand.neurons, 1
        while first + 2 * span <= most and self._fits(first, first + 2 * span):
            span *= 2
        ends = range(first + span, min(first + 2 * span, most) + 1)  # the first of them fits, or is a neuron alone
        return ends[bisect_left(ends, True, lo=1, key=lambda last: not self._fits(first, last)) - 1]

    def _fits(self, first: int, last: int) -> bool:
        return self.core(first, last).fits(self.limits)

    def core(self, first: int, last: int) -> Core:
        """One with that range of neurons."""
        d, limits, neurons = self.demand, self.limits, last - first
        taken = [(c, *self._rows(c, first, last)) for c in d.connections]
        axons = sum(sources * c.rows for c, sources, _, _ in taken) + d.errors
        used = {
            "synapses": sum(words * limits.synapse_word.value // 8 + limits.connection_header.value for _, _, _, words in taken),
            "state": -(-neurons * d.state_bits // 8),
            "programs": sum(p.words for p in d.programs) * limits.instruction_word.value // 8,
            "input axons": axons * limits.input_axon.value // 8,
            "output axons": int(self.axons[last] - self.axons[first]) * limits.output_axon.value // 8,
            "presynaptic traces": sum(sources * c.traces for c, sources, _, _ in taken) * limits.trace_memory.value // 8,
        }
        synapses = {c.name: count for c, _, count, _ in taken}
        return Core(0, d.name, first, last, neurons * d.compartments, synapses, used)

    def _rows(self, c: ConnectionDemand, first: int, last: int) -> tuple[int, int, int]:
        """-> (sources, synapses, words) of a connection into a range: a row for each source, which starts on a word."""
        word, bits = self.limits.synapse_word.value, c.bits + c.delay_bits + c.sum_bits + c.state_bits
        if c.reach is None:
            return c.units, c.units * (last - first), c.units * -(-(last - first) * bits // word)
        index = max(1, (self.limits.neurons_per_core.value - 1).bit_length())  # which neuron of the core
        rows = c.reach.into(first, last)
        words = -(-rows * (bits + index) // word)
        return tuple(int(each.sum()) * c.reach.per_group for each in (rows > 0, rows, words))  # type: ignore[return-value]


def chips_of(cores: Sequence[Core], limits: Limits) -> Iterator[tuple[Core, ...]]:
    """Cores in order, as many as a chip has."""
    size = limits.cores_per_chip.value
    for begin in range(0, len(cores), size):
        yield tuple(cores[begin : begin + size])
