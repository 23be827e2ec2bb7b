"""A layer at a time: every step of many samples at once, by the interpreter's programs on NumPy, so that nothing is compiled.

No layer acts back on those below it, so a layer can be run again and again in other formats on the same spikes from below:
what a search for formats needs. In fixed point it equals the interpreter, and so the Learner, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tp_lava.data.events import Events
from tp_lava.dynamics.neuron import NeuronFormats, neuron_program
from tp_lava.dynamics.program import Port, Program
from tp_lava.dynamics.readout import readout_program
from tp_lava.circuit.formats import Formats
from tp_lava.graph.network import Network
from tp_lava.backends.interpreter import interpret

Array = np.ndarray


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


class Delivery:
    """A connection's weights, (n_out, n_in) or a kernel, in any numbers. float64 holds float32 and mantissas exactly."""

    def __init__(self, network: Network, name: str, values: Array) -> None:
        self._values, self._table = np.asarray(values, np.float64), None
        if self._values.ndim == 4:
            connection = network.layers[int(name.removeprefix("hidden"))].connection
            assert connection is not None
            self._table, self.size, self._n_inputs = connection.synapses(), connection.size, connection.n_inputs
            self._counts = np.diff(self._table.offsets)
        else:
            self.size, self._n_inputs = self._values.shape
            self._by_input = np.ascontiguousarray(self._values.T)

    def arriving(self, spikes: Array) -> Array:
        """Sums of the weights of active units, (rows, n_out). spikes: (rows, n_in) bool."""
        if self._table is None:
            active = np.flatnonzero(spikes.any(axis=0))
            return spikes[:, active].astype(np.float64) @ self._by_input[active]
        rows, units = np.nonzero(spikes)
        counts = self._counts[units]
        begins = np.repeat(self._table.offsets[units] - np.cumsum(counts) + counts, counts)
        synapses = begins + np.arange(len(begins))
        places = np.repeat(rows, counts) * self.size + self._table.targets[synapses]
        sums = np.bincount(places, self._values.ravel()[self._table.taps[synapses]], len(spikes) * self.size)
        return sums.reshape(len(spikes), self.size)

    def incoming(self, neuron: int) -> Array:
        """(n_in,): the weight by which each unit reaches a neuron."""
        if self._table is None:
            return self._values[neuron]
        reached = np.flatnonzero(self._table.targets == neuron)
        units = np.searchsorted(self._table.offsets, reached, side="right") - 1
        return np.bincount(units, self._values.ravel()[self._table.taps[reached]], self._n_inputs)


def run_layer(network: Network, number: int, formats: Formats, below: Array, within: Array) -> LayerRun:
    """Hidden layer `number` on the spikes of what is below it, (T, B, n_in). formats: from fixedpoint.plan, or REAL."""
    layer, (steps, rows, _) = network.layers[number], below.shape
    population = _Population(network, number, formats, rows)
    forward = _delivery(network, f"hidden{number}", formats)
    feedback = _delivery(network, f"recurrent{number}", formats) if layer.recurrent else None
    spikes, largest = np.zeros((steps, rows, layer.size), bool), 0.0
    for step in range(steps):
        arriving = {"input": forward.arriving(below[step])}
        if feedback is not None:
            arriving["feedback"] = feedback.arriving(spikes[step - 1]) if step else np.zeros((rows, layer.size))
        fired, before_reset = population.step(arriving)
        spikes[step] = fired & within[step][:, None]
        largest = max(largest, float(np.abs(before_reset[within[step]]).max(initial=0.0)))
    return LayerRun(spikes, largest)


def run_readout(network: Network, formats: Formats, last: Array, lengths: Array) -> Array:
    """Scores (B, classes) at each sample's end, physical. last: spikes of the last hidden layer, (T, B, n)."""
    names = {"input": "readout_input", "score": "score", "bias": "readout_bias"}
    planned = {port: formats[name] for port, name in names.items()} if formats else {}
    program = readout_program(network.n_classes, planned, bias="readout_bias" in network.weights, leaky=network.readout_decay < 1)
    arrays = {port.name: np.zeros((last.shape[1], network.n_classes)) for port in program.ports}
    for name, value in (("bias", network.weights.get("readout_bias")), ("score_decay", network.readout_decay)):
        if program.has(name):
            arrays[name] = _encoded(program.port(name), value)
    delivery, scores = _delivery(network, "readout", formats), np.zeros((last.shape[1], network.n_classes))
    for step, spikes in enumerate(last):
        arrays["input"] = delivery.arriving(spikes)
        interpret(program, arrays)
        scores = np.where((lengths == step + 1)[:, None], _real(program, "score", arrays), scores)
    return scores


@dataclass(frozen=True)
class Simulation:
    """layers: of each hidden layer; scores: (B, classes), physical, at each sample's end."""

    layers: tuple[LayerRun, ...]
    scores: Array


def simulate(network: Network, formats: Formats, batch: Batch) -> Simulation:
    """The whole network. formats: from fixedpoint.plan, or REAL."""
    below, within, runs = batch.spikes, batch.within, []
    for number in range(len(network.layers)):
        runs.append(run_layer(network, number, formats, below, within))
        below = runs[-1].spikes
    return Simulation(tuple(runs), run_readout(network, formats, below, batch.lengths))


# Inside -------------------------------------------------------------------------------------------


class _Population:
    """The neurons of a hidden layer, as many rows of them as there are samples."""

    def __init__(self, network: Network, number: int, formats: Formats, rows: int) -> None:
        self._layer, name = network.layers[number], f"hidden{number}"
        inputs = {"input": formats.get(f"{name}_input")}
        if self._layer.recurrent:
            inputs["feedback"] = formats.get(f"{name}_feedback")
        planned = NeuronFormats(formats[f"{name}_membrane"], formats[f"{name}_trace"]) if formats else None
        bias = network.weights.get(f"bias{number}")
        self.program = neuron_program(self._layer.neuron, inputs, planned, bias=bias is not None, surrogate=False, name=name)
        self._arrays: dict[str, Array] = {}
        for port in self.program.ports:
            if port.role == "parameter":
                value = (
                    bias if port.name == "bias" else getattr(self._layer if port.name == "trace_decay" else self._layer.neuron, port.name)
                )
                self._arrays[port.name] = _encoded(port, value)
            else:
                self._arrays[port.name] = np.zeros((rows, self._layer.size))
        self._inputs = tuple(inputs)

    def step(self, arriving: Mapping[str, Array]) -> tuple[Array, Array]:
        """One step. arriving: input port -> (rows, n). -> spikes and membranes before reset and saturation, (rows, n)."""
        leaked = self._real("membrane") * (self._real("decay") if self.program.has("decay") else 1.0)
        self._arrays |= arriving
        interpret(self.program, self._arrays)
        bias = self._real("bias") if self.program.has("bias") else 0.0
        if self.program.has("current"):
            drive = self._real("current") + (0.0 if self._layer.neuron.bias_to == "current" else bias)
        else:
            drive = sum(self._real(port) for port in self._inputs) + bias
        return self._arrays["spike"] > 0, leaked + drive

    def _real(self, name: str) -> Array:
        return _real(self.program, name, self._arrays)


def _delivery(network: Network, name: str, formats: Formats) -> Delivery:
    """Weights as they are held, mantissas in fixed point."""
    weights = network.weights[name]
    return Delivery(network, name, formats[name].quantise(weights) if formats else weights)


def _encoded(port: Port, value: object) -> Array:
    values = np.atleast_1d(np.asarray(value, np.float64))
    return port.format.quantise(values) if port.format else values


def _real(program: Program, name: str, arrays: Mapping[str, Array]) -> Array:
    format = program.port(name).format
    return format.real(arrays[name]) if format else arrays[name]
