"""A layer at a time: all steps of many samples at once, by the interpreter's programs on NumPy, so that nothing is compiled.

No layer of a chain acts back on those below it, so a layer can be run again and again in other formats on the same spikes from
below, as a search for formats does. In fixed point it equals the interpreter, and so the Learner, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tp_lava.backends.interpreter import interpret
from tp_lava.circuit import names
from tp_lava.circuit.formats import Formats
from tp_lava.data.events import Events
from tp_lava.dynamics.neuron import NeuronFormats, check_knows, neuron_program
from tp_lava.dynamics.program import Port, Program
from tp_lava.dynamics.readout import readout_program
from tp_lava.graph.chain import ChainLayer, chain_of
from tp_lava.graph.connections import ConnectionKind, Conv2d
from tp_lava.graph.names import READOUT, READOUT_BIAS
from tp_lava.graph.network import Connection, Network

Array = np.ndarray
_KNOWN = frozenset({"decay", "threshold", "comparison", "reset", "current_decay", "surrogate", "reset_by", "bias_to"})


@dataclass(frozen=True)
class Batch:
    """Samples side by side. spikes: (T, B, n) bool, shorter samples end in silence; lengths: (B,) steps of each."""

    spikes: Array
    lengths: Array

    @classmethod
    def of(cls, events: Sequence[Events]) -> Batch:
        """Of recordings with the same units."""
        lengths = np.array([sample.n_steps for sample in events])
        spikes = np.zeros((int(lengths.max()), len(events), events[0].n_units), bool)
        for row, sample in enumerate(events):
            spikes[sample.times, row, sample.units] = True
        return cls(spikes, lengths)

    @property
    def within(self) -> Array:
        """(T, B): whether a sample still goes on."""
        return np.arange(len(self.spikes))[:, None] < self.lengths


@dataclass(frozen=True)
class LayerRun:
    """What a layer did. spikes: (T, B, n) bool, none after a sample's end; largest: |membrane| before reset and saturation."""

    spikes: Array
    largest: float


@dataclass(frozen=True)
class Simulation:
    """layers: of each hidden layer; scores: (B, classes), physical, at each sample's end."""

    layers: tuple[LayerRun, ...]
    scores: Array


class Delivery:
    """A connection with its weights, (n_out, n_in) or a kernel, in any numbers. float64 holds float32 and mantissas exactly."""

    def __init__(self, kind: ConnectionKind, values: Array) -> None:
        self._kind, self._values = kind, np.asarray(values, np.float64)
        self._table = kind.synapses() if isinstance(kind, Conv2d) else None
        self._by_input = np.ascontiguousarray(self._values.T) if self._table is None else self._values

    def arriving(self, spikes: Array) -> Array:
        """Sums of the weights of active units, (rows, n_out). spikes: (rows, n_in) bool."""
        if self._table is None:
            active = np.flatnonzero(spikes.any(axis=0))
            return spikes[:, active].astype(np.float64) @ self._by_input[active]
        rows, units = np.nonzero(spikes)
        counts = np.diff(self._table.offsets)[units]
        begins = np.repeat(self._table.offsets[units] - np.cumsum(counts) + counts, counts)
        synapses = begins + np.arange(len(begins))
        places = np.repeat(rows, counts) * self._kind.size + self._table.targets[synapses]
        sums = np.bincount(places, self._values.ravel()[self._table.taps[synapses]], len(spikes) * self._kind.size)
        return sums.reshape(len(spikes), self._kind.size)

    def incoming(self, neuron: int) -> Array:
        """(n_in,): the weight by which each unit reaches a neuron."""
        if self._table is None:
            return self._values[neuron]
        reached = np.flatnonzero(self._table.targets == neuron)
        units = np.searchsorted(self._table.offsets, reached, side="right") - 1
        return np.bincount(units, self._values.ravel()[self._table.taps[reached]], self._kind.n_inputs)


def simulate(network: Network, formats: Formats, batch: Batch) -> Simulation:
    """The whole network. formats: from circuit.formats.plan, or REAL. Raises InvalidValueError for a network that is no chain."""
    below, within, runs = batch.spikes, batch.within, []
    for layer in chain_of(network):
        runs.append(run_layer(network, layer, formats, below, within))
        below = runs[-1].spikes
    return Simulation(tuple(runs), run_readout(network, formats, below, batch.lengths))


def run_layer(network: Network, layer: ChainLayer, formats: Formats, below: Array, within: Array) -> LayerRun:
    """A hidden layer on the spikes of what is below it, (T, B, n_in). formats: from circuit.formats.plan, or REAL."""
    steps, rows, _ = below.shape
    neurons = _Neurons(network, layer, formats, rows)
    spikes, before, largest = np.zeros((steps, rows, layer.size), bool), np.zeros((rows, layer.size), bool), 0.0
    for step in range(steps):
        fired, before_reset = neurons.step(below[step], before)
        spikes[step] = before = fired & within[step][:, None]
        largest = max(largest, float(np.abs(before_reset[within[step]]).max(initial=0.0)))
    return LayerRun(spikes, largest)


def run_readout(network: Network, formats: Formats, last: Array, lengths: Array) -> Array:
    """Scores (B, classes) at each sample's end, physical. last: spikes of the last hidden layer, (T, B, n)."""
    buffers = {"input": names.of(READOUT, "input"), "score": names.SCORE, "bias": READOUT_BIAS}
    planned = {port: formats[name] for port, name in buffers.items()} if formats else {}
    program = readout_program(network.n_classes, planned, bias=READOUT_BIAS in network.weights, leaky=network.readout_decay < 1)
    values = {"bias": network.weights.get(READOUT_BIAS), "score_decay": network.readout_decay}
    zeros = np.zeros((last.shape[1], network.n_classes))
    arrays = {port.name: _encoded(port, values[port.name]) if port.role == "parameter" else zeros.copy() for port in program.ports}
    delivery, scores = _delivery(network, network.readout, formats), zeros
    for step, spikes in enumerate(last):
        arrays["input"] = delivery.arriving(spikes)
        interpret(program, arrays)
        scores = np.where((lengths == step + 1)[:, None], _real(program, "score", arrays), scores)
    return scores


# Inside -------------------------------------------------------------------------------------------


class _Neurons:
    """The neurons of a hidden layer and what reaches them, as many rows of them as there are samples."""

    def __init__(self, network: Network, layer: ChainLayer, formats: Formats, rows: int) -> None:
        population, self._neuron = layer.population, layer.neuron
        check_knows(layer.neuron, _KNOWN, "layer-by-layer simulation")
        self._deliveries = {names.arriving_at(c, network): _delivery(network, c, formats) for c in layer.connections}
        inputs = {port: formats.get(names.of(layer.name, port)) for port in self._deliveries}
        planned = NeuronFormats(*(formats[names.of(layer.name, local)] for local in ("membrane", "trace"))) if formats else None
        bias = network.weights.get(population.bias)
        self.program = neuron_program(layer.neuron, inputs, planned, bias=bias is not None, surrogate=False, name=layer.name)
        values = {"bias": bias, "trace_decay": population.trace_decay}
        self._arrays: dict[str, Array] = {
            port.name: _encoded(port, values[port.name] if port.name in values else getattr(layer.neuron, port.name))
            if port.role == "parameter"
            else np.zeros((rows, layer.size))
            for port in self.program.ports
        }

    def step(self, below: Array, before: Array) -> tuple[Array, Array]:
        """One step. below, before: spikes of the layer below and of the step before. -> spikes, membranes before reset; (rows, n)."""
        leaked = self._real("membrane") * (self._real("decay") if self.program.has("decay") else 1.0)
        for (port, delivery), spikes in zip(self._deliveries.items(), (below, before), strict=False):
            self._arrays[port] = delivery.arriving(spikes)
        interpret(self.program, self._arrays)
        bias = self._real("bias") if self.program.has("bias") else 0.0
        if self.program.has("current"):
            drive = self._real("current") + (0.0 if self._neuron.bias_to == "current" else bias)
        else:
            drive = sum(self._real(port) for port in self._deliveries) + bias
        return self._arrays["spike"] > 0, leaked + drive

    def _real(self, name: str) -> Array:
        return _real(self.program, name, self._arrays)


def _delivery(network: Network, connection: Connection, formats: Formats) -> Delivery:
    """A connection's weights as they are held, mantissas in fixed point."""
    weights = network.weights[connection.name]
    return Delivery(connection.kind, formats[connection.name].quantise(weights) if formats else weights)


def _encoded(port: Port, value: object) -> Array:
    values = np.atleast_1d(np.asarray(value, np.float64))
    return port.format.quantise(values) if port.format else values


def _real(program: Program, name: str, arrays: dict[str, Array]) -> Array:
    format = program.port(name).format
    return format.real(arrays[name]) if format else arrays[name]
