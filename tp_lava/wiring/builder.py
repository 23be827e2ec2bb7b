"""The builder: what every circuit is made of, whatever its rule - populations, paths, readout, learning operations."""

from __future__ import annotations

from collections.abc import Mapping

from tp_lava.circuit import STEPS_LEFT, Buffer, Circuit, Clock, Deliver, Gather, Learn, Operation, Run, Scatter, synapse_table
from tp_lava.connections import Spatial
from tp_lava.dynamics.neuron import NeuronFormats, neuron_program
from tp_lava.dynamics.plasticity import SPIKE_TIMES_THIRD, TRACE_TIMES_THIRD, PlasticityRule, bias_program, plasticity_program
from tp_lava.dynamics.program import Port, Program
from tp_lava.fixedpoint import Formats, change_format
from tp_lava.network import Network
from tp_lava.numbers import Format
from tp_lava.optimisers import SGD, Optimiser, of_layer
from tp_lava.rules import Gain, Rule
from tp_lava.wiring.changes import Changes

SPIKE = Format(1, 0, signed=False)
_PLACES_PER_LAYER = 16  # random bits: a layer's operations have places of their own, whatever else is in the circuit


class Wiring:
    """A circuit under construction."""

    def __init__(
        self, network: Network, rule: Rule | None, formats: Formats, students: int, optimiser: Optimiser | Mapping[str, Optimiser]
    ) -> None:
        self.network, self.formats, self.students, self.optimiser = network, formats, students, optimiser
        self.update = rule.update if rule else "step"
        self.gains: Mapping[str, Gain] = rule.gains(network) if rule else {}
        self.sizes = {"b": students, "input": network.n_inputs, "class": network.n_classes}
        self.sizes |= {f"hidden{number}": layer.size for number, layer in enumerate(network.layers)}
        self.buffers: dict[str, Buffer] = {}
        self.operations: list[Operation] = []
        self.values: dict[str, object] = dict(network.weights)
        self.rates: list[str] = []
        self.changes = Changes(self)
        self.buffer("random_seed", (), "random")
        self.buffer("random_step", (), "random")
        self.population("input", "b", "input")

    # Building blocks --------------------------------------------------------------------------
    def format(self, name: str) -> Format | None:
        """The planned format of a buffer; a target path has that of its layer's student path."""
        student = name.replace("target", "hidden", 1) if name.startswith("target") else name
        return self.formats.get(name, self.formats.get(student))

    def buffer(self, name: str, axes: tuple[str, ...], role: str, format: Format | None = None, index: bool = False) -> str:
        """Declare a buffer (once) and return its name."""
        self.buffers.setdefault(name, Buffer(name, axes, role, format if self.formats else None, index))
        return name

    def population(self, name: str, row: str, unit: str) -> None:
        """Declare the event lists of a population."""
        self.buffer(f"{name}_active", (row, unit), "work", index=True)
        self.buffer(f"{name}_count", (row,), "state", index=True)

    def parameter(self, name: str, format: Format | None, value: object, axes: tuple[str, ...] = ()) -> str:
        """Declare a parameter and its physical value."""
        self.values.setdefault(name, value)
        return self.buffer(name, axes, "parameter", format)

    def switch(self, name: str, value: int = 1) -> str:
        """Declare a switch and its value."""
        self.values.setdefault(name, value)
        return self.buffer(name, (), "switch", index=True)

    def run(
        self,
        program: Program,
        bindings: Mapping[str, str],
        first: tuple[str, ...] = (),
        place: int = 0,
        switch: str = "",
        last: int | None = None,
    ) -> None:
        """Append a program; bindings may name ports it does not have. last: steps at a sample's end in which it runs."""
        used = tuple((port.name, bindings[port.name]) for port in program.ports)
        self.operations.append(Run(program, used, tuple(p for p in first if program.has(p)), place, switch, self.within(last)))

    def deliver(self, weights: str, shape: tuple[str, str], events: str, into: str, row: str, spatial: Spatial | None = None) -> str:
        """Append a delivery; shape: (pre, post) axes of the weights; spatial: where they are a kernel."""
        table = self._table(weights, spatial, shape[0]) if spatial else ""
        if not spatial:
            self.buffer(weights, shape, "weight", self.format(weights))
        self.buffer(into, (row, shape[1]), "work", self.format(into))
        self.operations.append(Deliver(weights, events, into, table))
        return into

    def _table(self, weights: str, spatial: Spatial, pre: str) -> str:
        """Declare a kernel and its table of synapses."""
        axes = tuple(f"{weights}_{axis}" for axis in ("channels", "below", "y", "x"))
        self.sizes |= dict(zip(axes, spatial.weight_shape, strict=True))
        self.buffer(weights, axes, "kernel", self.format(weights))
        synapses = spatial.synapses()
        for name, column in zip(synapse_table(weights), synapses, strict=True):
            self.sizes[f"n_{name}"] = len(column)
            self.values[name] = column
            self.buffer(name, (f"n_{name}",), "table", index=True)
        return weights

    def gather(self, population: str, row: str, total: bool = False) -> None:
        """Append the gathering of a population's events."""
        counts = self.buffer(f"{population}_total", (row, population), "state", index=True) if total else ""
        self.operations.append(Gather(population, counts))

    def scatter(self, population: str, row: str, unit: str) -> str:
        """Append the scattering of a population's events into a buffer of 0 and 1."""
        into = self.buffer(f"{population}_events", (row, unit), "work", SPIKE)
        self.operations.append(Scatter(population, into))
        return into

    def within(self, steps: int | None) -> int:
        """For operations of the last `steps` steps of a sample (None: all): the sample's steps are counted down."""
        if steps:
            self.buffer(STEPS_LEFT, (), "work", index=True)
        return steps or 0

    def place(self, number: int, part: int) -> int:
        """The place of random bits of part `part` of hidden layer `number`."""
        return _PLACES_PER_LAYER * (number + 1) + part

    # Paths ------------------------------------------------------------------------------------
    def student_path(self, number: int, surrogate: bool) -> None:
        """The sample's way through one hidden layer."""
        below = f"hidden{number - 1}" if number else "input"
        self.path(number, f"hidden{number}", "b", f"hidden{number}", below, below, surrogate)

    def path(self, number: int, population: str, row: str, weights: str, pre: str, events: str, surrogate: bool) -> None:
        """Deliver `events` into a population of hidden layer `number` and step its neurons."""
        layer, axis = self.network.layers[number], f"hidden{number}"
        self.population(population, row, axis)
        bindings = {"input": self.deliver(weights, (pre, axis), events, f"{population}_input", row, self._spatial(number, weights))}
        if layer.recurrent:
            bindings["feedback"] = self.deliver(f"recurrent{number}", (axis, axis), population, f"{population}_feedback", row)
        inputs = {port: self.format(buffer) for port, buffer in bindings.items()}
        membrane, trace = self.format(f"{axis}_membrane"), self.format(f"{axis}_trace")
        formats = NeuronFormats(membrane, trace) if membrane and trace else None
        bias = f"bias{number}" in self.network.weights
        program = neuron_program(layer.neuron, inputs, formats, bias=bias, surrogate=surrogate, name=f"{population}_neuron")
        for port in program.ports:
            bindings.setdefault(port.name, self._neuron_buffer(port, number, population, row))
        self.run(program, bindings)

    def _spatial(self, number: int, weights: str) -> Spatial | None:
        """The connection whose kernel these weights are; a label projection has none."""
        return self.network.layers[number].connection if weights == f"hidden{number}" else None

    def _neuron_buffer(self, port: Port, number: int, population: str, row: str) -> str:
        """The buffer behind a port of a neuron program: parameters belong to the layer, the rest to the population."""
        axis, layer = f"hidden{number}", self.network.layers[number]
        if port.name == "bias":
            return self.buffer(f"bias{number}", (axis,), "bias", port.format)
        if port.role == "parameter":
            return self.parameter(
                f"{axis}_{port.name}", port.format, getattr(layer if port.name == "trace_decay" else layer.neuron, port.name)
            )
        return self.buffer(f"{population}_{port.name}", (row, axis), "state" if port.role == "state" else "work", port.format)

    # Learning ---------------------------------------------------------------------------------
    def learning_rate(self, name: str, format: Format | None, value: float) -> str:
        """Declare a parameter that a schedule scales."""
        if name not in self.rates:
            self.rates.append(name)
        return self.parameter(name, format, value)

    def rate_of(self, layer: str) -> float:
        """The learning rate of a layer."""
        return next(gain.rate for third, gain in self.gains.items() if third.split("_")[0] == layer)

    def rate(self, third: str, layer: str) -> str:
        """Declare what scales a third factor: under plain SGD the learning rate too, which other optimisers apply later."""
        gain, format = self.gains[third], self.format(f"{third}_rate")
        factor = gain.factor / self.students
        if of_layer(self.optimiser, layer) == SGD():
            return self.learning_rate(f"{third}_rate", format, gain.rate * factor)
        return self.parameter(f"{third}_scale", format, factor)

    def learn(
        self, weights: str, third: str, layer: str, *, events: str = "", trace: str = "", place: int = 0, last: int | None = None
    ) -> None:
        """Append a plasticity program: spike times third factor with events, trace times third factor with a trace.

        layer: "hidden<l>" or "readout", whose switch and optimiser count; last: steps at a sample's end in which is
        learned. What changes is the weight, or a sum that is applied later.
        """
        rule: PlasticityRule = TRACE_TIMES_THIRD if trace else SPIKE_TIMES_THIRD
        factor, changed = self.buffers[third].format, self._changed(weights, third, layer, last)
        program = plasticity_program(rule, self.buffers[changed].format, factor, self.format(trace), f"{weights}_plasticity")
        self.operations.append(Learn(program, changed, third, self._switch(layer), events, trace, place, self.within(last)))

    def learn_bias(self, bias: str, third: str, layer: str, *, place: int = 0, last: int | None = None) -> None:
        """The same for a bias, the weight of a unit that is always active."""
        changed = self._changed(bias, third, layer, last)
        program = bias_program(self.students, self.buffers[changed].format, self.buffers[third].format, f"{bias}_plasticity")
        self.run(program, {"weight": changed, "y1": third}, place=place, switch=self._switch(layer), last=last)

    def _switch(self, layer: str) -> str:
        return self.switch(f"{layer}_learning")

    def _changed(self, weights: str, third: str, layer: str, last: int | None) -> str:
        factor = self.buffers[third].format
        return self.changes.of(weights, layer, self._switch(layer), change_format(factor) if factor else None, last)

    def finish(self) -> None:
        """Append what comes last in a step, and first."""
        self.changes.apply()
        if STEPS_LEFT in self.buffers:
            self.operations.insert(0, Clock())

    def circuit(self) -> Circuit:
        """What came of it."""
        values = {name: value for name, value in self.values.items() if name in self.buffers}
        return Circuit(self.network, self.sizes, self.buffers, tuple(self.operations), self.formats, values, tuple(self.rates))
