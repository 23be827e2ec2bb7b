"""The builder: what every circuit is made of, whatever its rule - populations, paths, third factors, learning operations.

It declares buffers and appends operations, each with the owner and the stage that are current (`owned`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from tp_lava.circuit import names
from tp_lava.circuit.buffers import CIRCUIT, SAMPLES, Buffer, Owner, Role, axes_of, reaching_axes
from tp_lava.circuit.changes import Changes
from tp_lava.circuit.circuit import Circuit
from tp_lava.circuit.delays import tables_of
from tp_lava.circuit.formats import Formats
from tp_lava.circuit.maps import Arrival, arriving, pool_path
from tp_lava.circuit.names import Path, delayed_axis, pooled_axis
from tp_lava.circuit.operations import (
    INPUT_KEPT,
    INPUT_VALUES,
    STEPS_LEFT,
    Accumulate,
    CountSteps,
    ListEvents,
    MarkEvents,
    Operation,
    PresentLabels,
    RunProgram,
    events_of,
    geometry_of,
)
from tp_lava.circuit.payloads import SPIKE
from tp_lava.circuit.terms import Gain, LearningRule
from tp_lava.dynamics.neuron import DECAY, LIF, NeuronFormats, neuron_program
from tp_lava.dynamics.parameters import is_per_neuron, spread
from tp_lava.dynamics.program import Port, Program
from tp_lava.dynamics.standardisation import standardised_program
from tp_lava.errors import invalid
from tp_lava.graph.connections import Convolution
from tp_lava.graph.names import INPUT
from tp_lava.graph.network import Connection, Network, Population
from tp_lava.numbers import Format
from tp_lava.optimisers import SGD, Optimiser, of_layer

CLASSES = "class"  # the axis of classes


class Builder:
    """A circuit under construction."""

    def __init__(
        self,
        network: Network,
        rule: LearningRule | None,
        formats: Formats,
        batch_size: int,
        optimiser: Optimiser | Mapping[str, Optimiser],
    ) -> None:
        self.network, self.rule, self.formats, self.batch_size, self.optimiser = network, rule, formats, batch_size, optimiser
        self.gains: Mapping[str, Gain] = rule.gains(network) if rule else {}
        self.sizes = {SAMPLES: batch_size, INPUT: network.n_inputs, CLASSES: network.n_classes}
        self.sizes |= {population.name: population.size for population in network.populations}
        self.sizes |= {pooled_axis(p.name): p.output_size for p in network.populations if p.pooling}
        self.sizes |= {delayed_axis(c.name): c.delays.n_delayed for c in network.connections if c.delays}
        self.values_of_events: dict[str, str] = {}  # events -> buffer of their values
        self.arrivals: dict[tuple[str, str], Arrival] = {}  # connection and events -> what reaches it
        self.buffers: dict[str, Buffer] = {}
        self.operations: list[Operation] = []
        self.start: list[PresentLabels] = []
        self.row_counts: dict[str, str] = {}
        self.values: dict[str, object] = {**network.weights, **(rule.parameters(network) if rule else {})}
        self.rates: list[str] = []
        self._owner, self._stage = CIRCUIT, ""
        self.changes = Changes(self)
        self.buffer("random_seed", (), "random")
        self.buffer("random_step", (), "random")
        with self.owned(Owner("input", INPUT)):
            self.events(INPUT, SAMPLES, INPUT)
            if network.input_format is not None:
                self.values_of_events[INPUT] = self.buffer(INPUT_VALUES, (SAMPLES, INPUT), "state", network.input_format, local="value")
                self.buffer(INPUT_KEPT, (), "work", index=True, local="kept")

    # Whose it is ------------------------------------------------------------------------------
    @contextmanager
    def owned(self, owner: Owner, stage: str = "") -> Iterator[None]:
        """What is declared and appended inside belongs to this owner, and to this stage of it."""
        before = self._owner, self._stage
        self._owner, self._stage = owner, stage
        try:
            yield
        finally:
            self._owner, self._stage = before

    def append(self, operation: Operation) -> None:
        """Append an operation of the present owner."""
        self.operations.append(replace(operation, owner=self._owner, stage=self._stage))

    # Buffers ----------------------------------------------------------------------------------
    def format(self, name: str) -> Format | None:
        """The planned format of a buffer."""
        return self.formats.get(name)

    def buffer(self, name: str, axes: tuple[str, ...], role: Role, format: Format | None = None, *, local: str = "", **details: Any) -> str:
        """Declare a buffer (once) and return its name. local: its name within its owner; details: as Buffer's fields."""
        format = format if self.formats else None
        held = self.buffers.setdefault(name, Buffer(name, axes, role, format, owner=self._owner, local=local or name, **details))
        if (held.axes, held.role) != (axes, role):
            found, limit = f"declared as {role} over {axes}", f"what it was declared as before, {held.role} over {held.axes}"
            raise invalid(name, "buffer", found, limit, "give one of the two another name")
        return name

    def on(self, path: Path, local: str, role: Role, format: Format | None) -> str:
        """Declare a buffer of one number for each row of a path and neuron of its population."""
        return self.on_units(path, local, path.population.name, role, format)

    def on_units(self, path: Path, local: str, units: str, role: Role, format: Format | None) -> str:
        """The same of other units."""
        return self.buffer(path.of(local), (path.rows, units), role, format, local=path.prefix + local, prefix=path.prefix)

    def events(self, name: str, rows: str, units: str, prefix: str = "") -> None:
        """Declare the event lists of a population."""
        active, count = events_of(name)
        self.buffer(active, (rows, units), "work", index=True, local=f"{prefix}active", prefix=prefix)
        self.buffer(count, (rows,), "state", index=True, local=f"{prefix}count", prefix=prefix)

    def path_events(self, path: Path) -> None:
        """Declare the event lists of a path's way through a population."""
        with self.owned(Owner("population", path.population.name), path.prefix + "neurons"):
            self.events(path.name, path.rows, self.axis(path.population.name), path.prefix)

    def parameter(self, name: str, format: Format | None, value: object, axes: tuple[str, ...] = (), *, local: str = "") -> str:
        """Declare a parameter and its physical value."""
        self.values.setdefault(name, value)
        return self.buffer(name, axes, "parameter", format, local=local)

    def switch(self, name: str, value: int = 1, *, local: str = "") -> str:
        """Declare a switch and its value."""
        self.values.setdefault(name, value)
        return self.buffer(name, (), "switch", index=True, local=local)

    def labels(self) -> str:
        """Declare the one-hot label of each sample, which is set when a sample starts."""
        if names.SAMPLE_LABEL not in self.buffers:
            with self.owned(Owner("rule")):
                self.buffer(names.SAMPLE_LABEL, (SAMPLES, CLASSES), "label", SPIKE)
                self.start.append(PresentLabels(into=names.SAMPLE_LABEL, owner=self._owner))
        return names.SAMPLE_LABEL

    # Operations -------------------------------------------------------------------------------
    def run(
        self,
        program: Program,
        bindings: Mapping[str, str],
        first: tuple[str, ...] = (),
        random_stream: int = 0,
        switch: str = "",
        last: int | None = None,
        maps: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        """Append a program; bindings may name ports it does not have. last: steps at a sample's end in which it runs (None: all)."""
        used = tuple((port.name, bindings[port.name]) for port in program.ports)
        firsts = tuple(port for port in first if program.has(port))
        self.append(
            RunProgram(
                program=program,
                bindings=used,
                first=firsts,
                random_stream=random_stream,
                switch=switch,
                last_steps=self.last_steps(last),
                maps=tuple((maps or {}).items()),
            )
        )

    def mark_events(self, events: str, rows: str, units: str, into: str, local: str, format: Format | None = SPIKE) -> str:
        """Append the marking of a population's events, as 0 and 1 or with their values, in a buffer. format: of these."""
        self.buffer(into, (rows, units), "work", format, local=local)
        self.append(MarkEvents(population=events, into=into, values=self.values_of(events)))
        return into

    def last_steps(self, steps: int | None) -> int:
        """For operations of the last `steps` steps of a sample (None: all): the sample's steps are counted down."""
        if steps and STEPS_LEFT not in self.buffers:
            with self.owned(CIRCUIT):
                self.buffer(STEPS_LEFT, (), "work", index=True)
        return steps or 0

    def axis(self, name: str) -> str:
        """The axis of the units that others see of the input, a population or, of what is neither, the classes."""
        if name not in self.sizes:
            return CLASSES
        return pooled_axis(name) if pooled_axis(name) in self.sizes else name

    def sent(self, path: Path) -> str:
        """The buffer of what a path sends in this step: its spikes, pooled where the population pools."""
        return path.of("output" if path.population.pooling else "spike")

    def values_of(self, events: str) -> str:
        """The buffer of the values of events, "" where they are 1."""
        return self.values_of_events.get(events, "")

    def table(self, name: str, values: np.ndarray, format: Format | None, owner: Owner = CIRCUIT, **details: Any) -> None:
        """Declare a table and its values."""
        with self.owned(owner):
            self.sizes[f"n_{name}"] = len(values)
            self.values[name] = values
            self.buffer(name, (f"n_{name}",), "table", format, **details)

    # Weights and paths ------------------------------------------------------------------------
    def weights(self, connection: Connection) -> str:
        """Declare the weights of a connection. -> their name."""
        with self.owned(Owner("connection", connection.name)):
            name, kind = connection.name, connection.kind
            if not isinstance(kind, Convolution):
                copied = connection.delays is not None and connection.delays.n_seen == connection.delays.n_delayed
                below = delayed_axis(name) if copied else self.axis(connection.pre)
                axes = below, connection.post if connection.post in self.sizes else CLASSES
                return self.buffer(name, axes, "weight", self.format(name), local="weights", outputs_last=True)
            places = () if kind.shared else ("oy", "ox")
            kernel_axes = tuple(f"{name}_{axis}" for axis in (*places, "in", "y", "x", "out"))
            self.sizes |= dict(zip(kernel_axes, (*kind.weight_shape[1:], kind.channels), strict=True))
            self.buffer(name, kernel_axes, "kernel", self.format(name), local="weights", outputs_last=True)
            self.table(geometry_of(name), kind.geometry, None, self._owner, index=True, local="geometry")
            return name

    def delivered(self, connection: Connection) -> str:
        """The weights that a connection delivers: its own, or what is made of them by standardisation."""
        weights, standardisation = self.weights(connection), connection.standardisation
        if standardisation is None:
            return weights
        held, name = self.buffers[weights], names.of(connection.name, "standardised")
        if name not in self.buffers:
            with self.owned(Owner("connection", connection.name), "deliver"):
                self.buffer(name, held.axes, "work", local="standardised", outputs_last=True)
                axes = tuple(zip(axes_of(held), (self.sizes[axis] for axis in held.axes), strict=True))
                program = standardised_program(axes, reaching_axes(held), standardisation.gain, standardisation.epsilon, name)
                self.run(program, {"weight": weights, "delivered": name})
        return name

    def _keeps(self, connection: Connection) -> bool:
        """Whether what it delivers of a graded input stays the same as long as that does: its weights are those of the sample's start."""
        if connection.pre != INPUT or self.network.input_format is None or connection.delays:
            return False
        return self.rule is None or self.rule.update == "sequence" or not self.rule.rates(self.network).get(connection.post, 0)

    def deliver(self, connection: Connection, events: str, into: str, axes: tuple[str, str], format: Format | None, **local: str) -> str:
        """Append the delivery of a connection: sums of the weights of active units into a buffer, which is the owner's."""
        weights, arrival = self.delivered(connection), arriving(self, connection, events)
        self.buffer(into, axes, "work", format, **local)
        kind = connection.kind if isinstance(connection.kind, Convolution) else None
        with self.owned(Owner("connection", connection.name), "deliver"):
            made = Accumulate(weights=weights, events=arrival.events, into=into, values=arrival.values, keeps=self._keeps(connection))
            self.append(replace(made, kind=kind, geometry=geometry_of(connection.name) if kind else "", **tables_of(connection)))
        return into

    def follow(self, path: Path, sources: Mapping[Connection, str], surrogate: bool, *, total: bool = False) -> None:
        """Append a path's way through a population: deliver what reaches it, step its neurons, and pool.

        sources: connection -> the events it delivers; total: spikes are counted too.
        """
        population = path.population
        self.path_events(path)
        with self.owned(Owner("population", population.name), path.prefix + "neurons"):
            bindings, inputs = {}, {}
            for connection, events in sources.items():
                own = connection.name not in self.network.weights
                port = "input" if own else names.arriving_at(connection, self.network)
                format = self.format(names.of(connection.name, "input") if own else names.of(population.name, port))
                into, axes = path.of(port), (path.rows, population.name)
                bindings[port] = self.deliver(connection, events, into, axes, format, local=path.prefix + port, prefix=path.prefix)
                inputs[port] = format
            self._neurons(path, bindings, inputs, surrogate, self._retains(path, surrogate))
            if population.pooling:
                pool_path(self, path, total)

    def _retains(self, path: Path, learns: bool) -> bool:
        """Whether a term of the rule needs the retention of a path's neurons."""
        needed = learns and not path.prefix and self.rule is not None and any(term.membrane and term.factor for term in self.rule.terms)
        neuron = path.population.neuron
        if needed and (type(neuron) is not LIF or neuron.has_current or neuron.adapts or neuron.rests):
            found = "a synaptic current, an adaptive threshold, a refractory time or states of its own"
            limit = "a LIF without them beside a term that follows the membrane"
            raise invalid(path.population.name, "neuron", f"with {found}", limit, "use another rule, such as tpl.EProp()")
        return needed

    def _neurons(self, path: Path, bindings: dict[str, str], inputs: Mapping[str, Format | None], surrogate: bool, retention: bool) -> None:
        population = path.population
        local = ("membrane", "trace", "adaptation", "adaptation_trace")
        membrane, trace, *adaptation = (self.format(names.of(population.name, each)) for each in local)
        formats = NeuronFormats(membrane, trace, *adaptation) if membrane and trace else None
        bias = self.network.has_bias(population)
        program = neuron_program(
            population.neuron,
            inputs,
            formats,
            bias=bias,
            surrogate=surrogate,
            traces=not population.pooling,
            trace_decay=population.trace_decay,
            retention=retention,
            name=path.of("neuron"),
        )
        others = (port for port in program.ports if port.name not in bindings)
        self.run(program, bindings | {port.name: self._neuron_buffer(port, path) for port in others})

    def _neuron_buffer(self, port: Port, path: Path) -> str:
        """The buffer behind a port of a neuron program: parameters belong to the population, the rest to the path."""
        population = path.population
        if port.name == "bias":
            return self.buffer(population.bias, (population.name,), "bias", port.format, local="bias")
        if port.role == "parameter":
            if port.name == "trace_decay":
                return self.trace_decay(population)
            value, axes = getattr(population.neuron, port.name), (population.name,) if port.axes else ()
            return self.parameter(names.of(population.name, port.name), port.format, spread(value, population.shape), axes, local=port.name)
        return self.on(path, port.name, "state" if port.role == "state" else "work", port.format)

    def trace_decay(self, population: Population) -> str:
        """Declare the decay of a population's traces, one number or one a unit that others see."""
        value, axes = population.trace_decay, (self.axis(population.name),) if is_per_neuron(population.trace_decay) else ()
        name = names.of(population.name, "trace_decay")
        return self.parameter(name, DECAY, spread(value, population.output_shape), axes, local="trace_decay")

    def list_events(self, path: Path, total: bool = False) -> None:
        """Append the listing of what a path sends as its events; total: add its spikes to its counts too."""
        with self.owned(Owner("population", path.population.name), path.prefix + "neurons"):
            self.list_path(path.name, path, total and not path.population.pooling)

    def list_path(self, events: str, path: Path, total: bool) -> None:
        """Append a listing for events of a name: of what the path sends, or of its neurons' spikes."""
        counts = ""
        if total:
            axes = (path.rows, path.population.name)
            counts = self.buffer(path.of("total"), axes, "state", index=True, local=path.prefix + "total")
        self.append(ListEvents(population=events, spikes=self.sent(path) if events == path.name else path.of("spike"), total=counts))

    # Learning ---------------------------------------------------------------------------------
    def rate(self, third: str, layer: str, local: str = "") -> str:
        """Declare what scales a third factor: under plain SGD the learning rate too, which other optimisers apply later.

        layer: the population, or the readout, whose optimiser counts.
        """
        gain, format = self.gains[third], self.format(names.of(third, "rate"))
        factor = gain.factor / self.batch_size
        if of_layer(self.optimiser, layer) == SGD():
            return self.learning_rate(names.of(third, "rate"), format, gain.rate * factor, local=f"{local}rate")
        return self.parameter(names.of(third, "scale"), format, factor, local=f"{local}scale")

    def learning_rate(self, name: str, format: Format | None, value: float, *, local: str = "rate") -> str:
        """Declare a parameter that a schedule scales."""
        if name not in self.rates:
            self.rates.append(name)
        return self.parameter(name, format, value, local=local)

    def rate_of(self, layer: str) -> float:
        """The learning rate of a population or of the readout."""
        assert self.rule is not None
        return self.rule.rates(self.network).get(layer, self.rule.readout_rate)

    def learning_switch(self, layer: str) -> str:
        """Declare the switch of a population's, or the readout's, learning."""
        owner = Owner("readout") if layer not in self.sizes else Owner("population", layer)
        with self.owned(owner):
            return self.switch(names.of(layer, "learning"), local="learning")

    def circuit(self) -> Circuit:
        """The finished circuit."""
        self.changes.apply()
        if STEPS_LEFT in self.buffers:
            self.operations.insert(0, CountSteps())
        values = {name: value for name, value in self.values.items() if name in self.buffers}
        return Circuit(
            self.network,
            self.sizes,
            self.buffers,
            tuple(self.operations),
            self.formats,
            values,
            tuple(self.rates),
            tuple(self.start),
            self.row_counts,
        )
