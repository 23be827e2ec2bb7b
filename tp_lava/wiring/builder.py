"""The builder: what every circuit is made of, whatever its rule - populations, paths, readout, learning operations."""

from __future__ import annotations

from collections.abc import Mapping

from tp_lava.circuit import Buffer, Deliver, Gather, Learn, Operation, Run
from tp_lava.dynamics.neuron import NeuronFormats, neuron_program
from tp_lava.dynamics.plasticity import SPIKE_TIMES_THIRD, TRACE_TIMES_THIRD, PlasticityRule, plasticity_program
from tp_lava.dynamics.program import Port, Program
from tp_lava.dynamics.readout import readout_program
from tp_lava.fixedpoint import Formats
from tp_lava.network import Network
from tp_lava.numbers import Format

SPIKE = Format(1, 0, signed=False)
_PLACES_PER_LAYER = 16  # random bits: a layer's operations have places of their own, whatever else is in the circuit
_READOUT = 0


class Wiring:
    """A circuit under construction."""

    def __init__(self, network: Network, formats: Formats, students: int) -> None:
        self.network, self.formats, self.students = network, formats, students
        self.sizes = {"b": students, "input": network.n_inputs, "class": network.n_classes}
        self.sizes |= {f"hidden{number}": layer.size for number, layer in enumerate(network.layers)}
        self.buffers: dict[str, Buffer] = {}
        self.operations: list[Operation] = []
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

    def parameter(self, name: str, format: Format | None) -> str:
        """Declare a scalar parameter."""
        return self.buffer(name, (), "parameter", format)

    def switch(self, name: str) -> str:
        """Declare a switch."""
        return self.buffer(name, (), "switch", index=True)

    def run(self, program: Program, bindings: Mapping[str, str], first: tuple[str, ...] = (), place: int = 0) -> None:
        """Append a program; bindings may name ports it does not have."""
        used = tuple((port.name, bindings[port.name]) for port in program.ports)
        self.operations.append(Run(program, used, tuple(p for p in first if program.has(p)), place))

    def deliver(self, weights: str, shape: tuple[str, str], events: str, into: str, row: str) -> str:
        """Append a delivery; shape: (pre, post) axes of the weights."""
        self.buffer(weights, shape, "weight", self.format(weights))
        self.buffer(into, (row, shape[1]), "work", self.format(into))
        self.operations.append(Deliver(weights, events, into))
        return into

    def gather(self, population: str, row: str, total: bool = False) -> None:
        """Append the gathering of a population's events."""
        counts = self.buffer(f"{population}_total", (row, population), "state", index=True) if total else ""
        self.operations.append(Gather(population, counts))

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
        bindings = {"input": self.deliver(weights, (pre, axis), events, f"{population}_input", row)}
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

    def _neuron_buffer(self, port: Port, number: int, population: str, row: str) -> str:
        """The buffer behind a port of a neuron program: parameters belong to the layer, the rest to the population."""
        axis = f"hidden{number}"
        if port.name == "bias":
            return self.buffer(f"bias{number}", (axis,), "parameter", port.format)
        if port.role == "parameter":
            return self.parameter(f"{axis}_{port.name}", port.format)
        return self.buffer(f"{population}_{port.name}", (row, axis), "state" if port.role == "state" else "work", port.format)

    def readout(self, rate: float) -> None:
        """The integrator and, with a rate, its delta rule."""
        last, learns = f"hidden{len(self.network.layers) - 1}", rate > 0
        formats = {name: self.format(f"readout_{name}") for name in ("input", "rate", "third")}
        score = self.format("score")
        program = readout_program(self.network.n_classes, formats["input"], score, formats["rate"], formats["third"], learns=learns)
        bindings = {
            "input": self.deliver("readout", (last, "class"), last, "readout_input", "b"),
            "score": self.buffer("score", ("b", "class"), "state", score),
        }
        if learns:
            bindings["label"] = self.buffer("sample_label", ("b", "class"), "work", SPIKE)
            bindings["rate"] = self.parameter("readout_rate", formats["rate"])
            bindings["third"] = self.buffer("readout_third", ("b", "class"), "work", formats["third"])
        self.run(program, bindings, place=_READOUT)
        if learns:
            self.learn("readout", "readout_third", "readout_learning", trace=f"{last}_trace", place=_READOUT + 1)

    def learn(self, weights: str, third: str, switch: str, events: str = "", trace: str = "", place: int = 0) -> None:
        """Append a plasticity program: spike times third factor with events, trace times third factor with a trace."""
        rule: PlasticityRule = TRACE_TIMES_THIRD if trace else SPIKE_TIMES_THIRD
        program = plasticity_program(rule, self.format(weights), self.format(third), self.format(trace), f"{weights}_plasticity")
        self.operations.append(Learn(program, weights, third, self.switch(switch), events, trace, place))
