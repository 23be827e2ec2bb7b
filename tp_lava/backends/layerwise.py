"""A layer at a time: all steps of many samples at once, in the interpreter, so that nothing is compiled.

Where no layer acts back on those computed before it, a layer can be run again and again in other formats on the same spikes that
reach it, as a search for formats does. In fixed point it equals the Learner bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tp_lava.backends.interpreter import Interpreter
from tp_lava.circuit import ListEvents, Owner, names
from tp_lava.circuit.build import build_circuit
from tp_lava.circuit.formats import Formats
from tp_lava.circuit.operations import INPUT_VALUES, events_of
from tp_lava.data.events import Events, values_of
from tp_lava.dynamics.neuron import PER_NEURON, check_knows
from tp_lava.errors import invalid
from tp_lava.graph.chain import GraphLayer, layers_of
from tp_lava.graph.names import INPUT
from tp_lava.graph.network import Network

Array = np.ndarray
_KNOWN = frozenset({*PER_NEURON, "comparison", "reset", "surrogate", "bias_to"})


@dataclass(frozen=True)
class Batch:
    """Samples side by side. spikes: (T, B, n), bool or values of graded ones, shorter samples end in silence; lengths: (B,) steps of
    each.
    """

    spikes: Array
    lengths: Array

    @classmethod
    def of(cls, events: Sequence[Events]) -> Batch:
        """Of recordings with the same units."""
        lengths = np.array([sample.n_steps for sample in events])
        graded = any(sample.is_graded for sample in events)
        spikes = np.zeros((int(lengths.max()), len(events), events[0].n_units), np.float32 if graded else bool)
        for row, sample in enumerate(events):
            spikes[sample.times, row, sample.units] = values_of(sample)
        return cls(spikes, lengths)

    @property
    def within(self) -> Array:
        """(T, B): whether a sample still goes on."""
        return np.arange(len(self.spikes))[:, None] < self.lengths


@dataclass(frozen=True)
class LayerRun:
    """What a layer did. spikes: (T, B, n) bool, none after a sample's end; sent: what others get of them, (T, B, units), as a circuit of
    its formats holds it; largest: |membrane| before reset and saturation.
    """

    spikes: Array
    sent: Array
    largest: float


@dataclass(frozen=True)
class Simulation:
    """layers: of each hidden layer; scores: (B, classes), physical, at each sample's end."""

    layers: tuple[LayerRun, ...]
    scores: Array


def forward_layers(network: Network) -> tuple[GraphLayer, ...]:
    """The layers in the order of a step. Raises InvalidValueError for a network whose layers act back on earlier ones."""
    layers = layers_of(network)
    for layer in layers:
        for connection in layer.recurrent:
            if connection.pre != layer.name:
                limit = "from a layer computed before, or recurrent within its own layer"
                remedy = "give the formats by hand, tpl.FixedPoint(weight_exponents=...)"
                raise invalid("Layer by layer", connection.name, f"fed back from {connection.pre}", limit, remedy)
    return layers


def simulate(network: Network, formats: Formats, batch: Batch) -> Simulation:
    """The whole network. formats: from circuit.formats.plan, or REAL. Raises InvalidValueError, see forward_layers."""
    sent, runs = {INPUT: batch.spikes}, []
    for layer in forward_layers(network):
        runs.append(run_layer(network, layer, formats, sent, batch.within))
        sent[layer.name] = runs[-1].sent
    return Simulation(tuple(runs), run_readout(network, formats, sent, batch.lengths))


def run_layer(network: Network, layer: GraphLayer, formats: Formats, sent: Mapping[str, Array], within: Array) -> LayerRun:
    """A hidden layer. formats: from circuit.formats.plan, or REAL; sent: name of the input or a population -> (T, B, n), what it sends."""
    check_knows(layer.neuron, _KNOWN, "layer-by-layer simulation")
    steps, rows = within.shape
    owners = Owner("population", layer.name), *(Owner("connection", connection.name) for connection in layer.connections)
    part = _Part(network, formats, rows, owners)
    decay = part.real(names.of(layer.name, "decay")) if layer.neuron.leaks else 1.0
    spikes, largest, pooled = np.zeros((steps, rows, layer.size), bool), 0.0, names.of(layer.name, "output")
    sends = np.zeros((steps, rows, layer.population.output_size), part.memory[pooled].dtype) if layer.population.pooling else spikes
    for step in range(steps):
        leaked = part.real(names.of(layer.name, "membrane")) * decay
        waits = np.asarray(part.real(names.of(layer.name, "refractory_left"))) > 0
        part.step({connection.pre: sent[connection.pre][step] for connection in layer.forward})
        spikes[step] = (part.memory[names.of(layer.name, "spike")] > 0) & within[step][:, None]
        if layer.population.pooling:
            sends[step] = part.memory[pooled] * within[step][:, None]
        before_reset = np.where(waits, 0.0, leaked + _drive(part, network, layer))  # what waits stays below what it was
        largest = max(largest, float(np.abs(before_reset[within[step]]).max(initial=0.0)))
    return LayerRun(spikes, sends, largest)


def run_readout(network: Network, formats: Formats, sent: Mapping[str, Array], lengths: Array) -> Array:
    """Scores (B, classes) at each sample's end, physical. sent: see run_layer."""
    pre, rows = network.readout.pre, len(lengths)
    part = _Part(network, formats, rows, (Owner("readout"), Owner("connection", network.readout.name)))
    scores = np.zeros((rows, network.n_classes))
    for step, units in enumerate(sent[pre]):
        part.step({pre: units})
        scores = np.where((lengths == step + 1)[:, None], part.real(names.SCORE), scores)
    return scores


class _Part:
    """What some owners of a circuit do, on events that are given; silent at first."""

    def __init__(self, network: Network, formats: Formats, rows: int, owners: Sequence[Owner]) -> None:
        circuit = build_circuit(network, None, formats, rows)
        every = circuit.of(*owners)
        read = {name for operation in every for name in operation.reads}
        operations = [o for o in every if not isinstance(o, ListEvents) or read.intersection(events_of(o.population))]
        self._buffers, self._compiled = circuit.buffers, Interpreter().compile(circuit, operations)
        self.memory = circuit.allocate() | {name: circuit.buffers[name].encode(value) for name, value in circuit.values.items()}

    def step(self, sent: Mapping[str, Array]) -> None:
        """One step. sent: population -> (B, n), its spikes, or values: the input's physical ones, others as held."""
        for population, units in sent.items():
            self._send(population, units)
        self._compiled.once(self.memory)

    def _send(self, population: str, units: Array) -> None:
        if population == INPUT and INPUT_VALUES in self.memory:
            self.memory[INPUT_VALUES][...] = self._buffers[INPUT_VALUES].encode(units)
        elif (pooled := names.of(population, "output")) in self.memory:
            self.memory[pooled][...] = units
        active, count = (self.memory[name] for name in events_of(population))
        rows, spiking = np.nonzero(units)
        count[...] = np.bincount(rows, minlength=len(count))
        active[rows, np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)] = spiking

    def real(self, name: str) -> Array | float:
        """A buffer's values, float64; zero where there is no such buffer."""
        if name not in self._buffers:
            return 0.0
        format, array = self._buffers[name].format, self.memory[name]
        return format.real(array) if format else array.astype(np.float64)


def _drive(part: _Part, network: Network, layer: GraphLayer) -> Array | float:
    """What this step added to the membranes: the synaptic current, or what arrived, and the biases."""
    neuron, current = layer.neuron, names.of(layer.name, "current")
    if neuron.has_current:
        return part.real(current) + (part.real(layer.population.bias) if neuron.bias_to == "membrane" else 0.0)
    arrived = [part.real(names.of(layer.name, names.arriving_at(connection, network))) for connection in layer.connections]
    return sum(arrived) + part.real(layer.population.bias)
