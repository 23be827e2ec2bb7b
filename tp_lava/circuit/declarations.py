"""What a circuit under construction has declared: buffers and operations, each with the owner and the stage that are current (`owned`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from tp_lava.circuit import names
from tp_lava.circuit.buffers import CIRCUIT, SAMPLES, Buffer, Owner, Role
from tp_lava.circuit.formats import Formats
from tp_lava.circuit.names import Path, delayed_axis, pooled_axis
from tp_lava.circuit.operations import (
    INPUT_KEPT,
    INPUT_VALUES,
    STEPS_LEFT,
    ListEvents,
    MarkEvents,
    Operation,
    PresentLabels,
    RunProgram,
    events_of,
)
from tp_lava.circuit.payloads import SPIKE, Arrival
from tp_lava.dynamics.neuron import DECAY
from tp_lava.dynamics.parameters import is_per_neuron, spread
from tp_lava.dynamics.program import Program
from tp_lava.errors import invalid
from tp_lava.graph.names import INPUT
from tp_lava.graph.network import Network, Population
from tp_lava.numbers import Format

CLASSES = "class"  # the axis of classes


class Declarations:
    """Buffers, operations and values, declared and appended one by one."""

    def __init__(self, network: Network, formats: Formats, batch_size: int) -> None:
        self.network, self.formats, self.batch_size = network, formats, batch_size
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
        self.values: dict[str, object] = dict(network.weights)
        self._owner, self._stage = CIRCUIT, ""
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
