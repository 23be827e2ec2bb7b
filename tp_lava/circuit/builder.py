"""The builder: what every circuit is made of, whatever its rule - populations, paths, third factors, learning operations.

What it declares and appends belongs to the owner and the stage that are current (declarations.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tp_lava.circuit import names
from tp_lava.circuit.buffers import Owner, Role, axes_of, reaching_axes
from tp_lava.circuit.changes import Changes
from tp_lava.circuit.circuit import Circuit
from tp_lava.circuit.declarations import CLASSES, Declarations
from tp_lava.circuit.delays import reached_by, tables_of
from tp_lava.circuit.formats import Formats
from tp_lava.circuit.maps import arriving, pool_path
from tp_lava.circuit.names import Path, delayed_axis
from tp_lava.circuit.operations import (
    STEPS_LEFT,
    Accumulate,
    CountSteps,
    geometry_of,
)
from tp_lava.circuit.terms import Gain, LearningRule
from tp_lava.dynamics.neuron import LIF, NeuronFormats, neuron_program
from tp_lava.dynamics.parameters import spread
from tp_lava.dynamics.program import Port
from tp_lava.dynamics.standardisation import standardised_program
from tp_lava.errors import invalid
from tp_lava.graph.names import INPUT
from tp_lava.graph.network import Connection, Network
from tp_lava.numbers import Format
from tp_lava.optimisers import SGD, Optimiser, of_layer


class Builder(Declarations):
    """A circuit under construction."""

    def __init__(
        self,
        network: Network,
        rule: LearningRule | None,
        formats: Formats,
        batch_size: int,
        optimiser: Optimiser | Mapping[str, Optimiser],
    ) -> None:
        super().__init__(network, formats, batch_size)
        self.rule, self.optimiser = rule, optimiser
        self.gains: Mapping[str, Gain] = rule.gains(network) if rule else {}
        self.values |= rule.parameters(network) if rule else {}
        self.rates: list[str] = []
        self.changes = Changes(self)

    # Weights and paths ------------------------------------------------------------------------
    def weights(self, connection: Connection) -> str:
        """Declare the weights of a connection. -> their name."""
        with self.owned(Owner("connection", connection.name)):
            name, kind = connection.name, connection.kind
            copied = connection.delays is not None and connection.delays.n_seen == connection.delays.n_delayed
            below = delayed_axis(name) if copied else self.axis(connection.pre)
            axes = kind.weight_axes(name, below, connection.post if connection.post in self.sizes else CLASSES)
            self.sizes |= dict(axes)
            role: Role = "kernel" if kind.by_place else "weight"
            self.buffer(name, tuple(axis for axis, _ in axes), role, self.format(name), local="weights", outputs_last=True)
            if kind.by_place:
                self.table(geometry_of(name), kind.by_place.geometry, None, self._owner, index=True, local="geometry")
            for local, values in reached_by(connection).items():
                self.table(names.of(name, local), values, None, self._owner, index=True, local=local)
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
        kind = connection.kind.by_place
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
        """The learning rate of a population, of the readout, or of weights that the rule brings along."""
        assert self.rule is not None
        rates = self.rule.rates(self.network)
        return rates[layer] if layer in rates else self.gains[layer].rate

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
