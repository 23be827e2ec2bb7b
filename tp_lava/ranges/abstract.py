"""A circuit carried out on intervals: what every buffer and every value of a program can be, at any step of any sample.

Any inputs may spike at any step, or none. The sum a neuron receives lies between those of its negative and of its
positive weights, over the units that can spike at all. Weights that learn may be anything in their format, others are
what they are. Operations are carried out in order, again and again, until nothing grows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from tp_lava.circuit import Accumulate, Buffer, Circuit, ListEvents, MarkEvents, RunProgram, UpdateWeights
from tp_lava.circuit.operations import events_of, synapse_table
from tp_lava.graph.names import INPUT
from tp_lava.ranges.evaluator import Evaluator
from tp_lava.ranges.intervals import Interval
from tp_lava.ranges.states import closed

_PASSES = 16  # after which what still grows is given its whole format
WEIGHTS = ("weight", "kernel", "bias")
Key = tuple[int, int]  # number of an operation, index of a value of its program


@dataclass(frozen=True)
class Site:
    """A program where it stands in a circuit's step. place: number of the operation; buffers: port -> buffer."""

    place: int
    operation: RunProgram | UpdateWeights
    evaluator: Evaluator
    buffers: Mapping[str, str]

    @classmethod
    def of(cls, place: int, operation: RunProgram | UpdateWeights, circuit: Circuit) -> Site:
        """An operation of a circuit."""
        buffers = dict(operation.bindings)
        first = operation.first if isinstance(operation, RunProgram) else ()
        sizes = {
            axis: circuit.sizes[along]
            for port in operation.program.ports
            if port.axes and port.name not in first
            for axis, along in zip(port.axes, circuit.buffers[buffers[port.name]].axes[-len(port.axes) :], strict=True)
        }
        bound = {port.name: buffers[port.name] for port in operation.program.ports}
        return cls(place, operation, Evaluator(operation.program, sizes), bound)


class AbstractRun:
    """A fixed-point circuit on intervals.

    memory: arrays as they are held (start values of the circuit, if not given); steps: of a sample, None: any number; learning:
    whether any switch may be on. Then: buffers: name -> interval; reach: the same before it was cut to the format, of
    accumulators and sums; values: what a program's values can be; active: population -> whether a unit can spike;
    growth: state that only adds up -> largest change a step.
    """

    def __init__(self, circuit: Circuit, memory: Mapping[str, np.ndarray], steps: int | None, learning: bool) -> None:
        self.circuit, self.memory, self.steps, self.learning = circuit, memory, steps, learning
        self.buffers: dict[str, Interval] = {}
        self.reach: dict[str, Interval] = {}
        self.values: dict[Key, Interval] = {}
        self.active: dict[str, np.ndarray] = {}
        self.growth: dict[str, Interval] = {}
        self.sites = {n: Site.of(n, o, circuit) for n, o in enumerate(circuit.step) if isinstance(o, RunProgram | UpdateWeights)}
        self._added: dict[str, dict[int, Interval]] = {}
        self._seen: dict[int, tuple[Any, ...]] = {}
        self._one_hot = {o.population for o in circuit.start if o.population}  # one unit of these is active in each row, at every step
        self._start()
        self._settle()

    # What it starts with ------------------------------------------------------------------------
    def _start(self) -> None:
        for name, buffer in self.circuit.buffers.items():
            if buffer.format is None:
                continue
            if name in self.circuit.values:
                self.buffers[name] = self._given(name, buffer)
            else:
                zero = np.zeros([1] * len(buffer.axes), np.int64)
                self.buffers[name] = Interval(zero, zero + (buffer.role == "label"))
        outside = self._one_hot | {INPUT}
        listed = {o.population for o in self.circuit.step if isinstance(o, ListEvents)}
        for population in outside | listed:
            active, _ = events_of(population)
            if active in self.circuit.buffers:
                self.active[population] = np.full(self.circuit.shape(active)[-1], population in outside)

    def _given(self, name: str, buffer: Buffer) -> Interval:
        """What a buffer holds; a rate may also be anything below, down to zero, as schedules have it."""
        held = np.asarray(self.memory[name], np.int64).reshape([self.circuit.sizes[axis] for axis in buffer.axes])
        interval = Interval(held, held)
        if name in self.circuit.rates:
            full = np.asarray(buffer.encode(self.circuit.values[name]), np.int64).reshape(held.shape)
            interval = interval.hull(Interval(full, full)).hull(Interval.of(0, 0))
        return interval

    # Until nothing grows ------------------------------------------------------------------------
    def _settle(self) -> None:
        for number in count():
            buffers, active = dict(self.buffers), dict(self.active)
            for place, operation in enumerate(self.circuit.step):
                self._carry_out(place, operation, widen=number >= _PASSES)
            if all(self.buffers[name] is buffers[name] for name in buffers) and all(self.active[name] is active[name] for name in active):
                return

    def _carry_out(self, place: int, operation: object, widen: bool) -> None:
        match operation:
            case Accumulate(weights=weights, events=events, into=into):
                if self._changed(place, self.buffers[weights], self.active[events]):
                    self._accumulate(into, self._delivered(operation))
            case ListEvents(population=population, spikes=name):
                spikes = self.buffers[name].high.max(axis=0) > 0
                if (spikes & ~self.active[population]).any():
                    self.active[population] = self.active[population] | spikes
            case MarkEvents(population=population, into=into):
                self._store(into, Interval.of(0, self.active[population][np.newaxis]))
            case RunProgram() | UpdateWeights():
                if operation.switch and not self.learning:
                    return
                if self._changed(place, *(self.buffers[buffer] for buffer in self.sites[place].buffers.values())):
                    self._run(self.sites[place], widen)

    def _changed(self, place: int, *inputs: object) -> bool:
        """Whether an operation's inputs are others than when it was last carried out."""
        before, self._seen[place] = self._seen.get(place), inputs
        return before is None or any(a is not b for a, b in zip(before, inputs, strict=True))

    def _store(self, name: str, found: Interval) -> None:
        """Let a buffer also be what was found; it stays the same object if it already could."""
        old = self.buffers[name]
        if not found.within(old):
            self.buffers[name] = old.hull(found)

    def _accumulate(self, name: str, found: Interval) -> None:
        """The same for what may exceed the buffer's format."""
        self.reach[name] = self.reach.get(name, found).hull(found)
        self._store(name, self._cut(name, found))

    def _cut(self, name: str, found: Interval) -> Interval:
        format = self.circuit.buffers[name].format
        assert format is not None
        return found.map(lambda array: np.clip(array, format.low, format.high))

    # Delivery -----------------------------------------------------------------------------------
    def _delivered(self, operation: Accumulate) -> Interval:
        """Sums of the weights of any units that can spike; of the label's population, any one weight. -> (1, targets)."""
        active, held = self.active[operation.events], self.buffers[operation.weights]
        if operation.table:
            return self._convolved(held, active, operation)
        if operation.events in self._one_hot:
            return held.collapsed(0)
        low, high = (np.broadcast_to(bound, (len(active), bound.shape[1]))[active] for bound in held)
        return Interval(np.minimum(low, 0).sum(axis=0, keepdims=True), np.maximum(high, 0).sum(axis=0, keepdims=True))

    def _convolved(self, held: Interval, active: np.ndarray, operation: Accumulate) -> Interval:
        offsets, targets, taps = (np.asarray(self.circuit.values[name]) for name in synapse_table(operation.table))
        size = self.circuit.sizes[self.circuit.buffers[operation.into].axes[-1]]
        counted = np.repeat(active, np.diff(offsets))
        parts = np.minimum(held.low, 0), np.maximum(held.high, 0)
        return Interval.of(*(np.bincount(targets[counted], part.ravel()[taps[counted]], size)[np.newaxis] for part in parts))

    # Programs -----------------------------------------------------------------------------------
    def _run(self, site: Site, widen: bool) -> None:
        program, evaluator = site.operation.program, site.evaluator
        written = {name for name, _ in program.writes}
        reads = {port: self._read(site, port) for port, _ in program.reads}
        for port in [port for port, _ in program.reads if port in written]:
            self._state(site, port, reads, widen)
            reads[port] = self._read(site, port)
        values = evaluator.values(reads)
        self.values |= {(site.place, index): interval for index, interval in values.items()}
        for port in written - set(reads):
            found, buffer = evaluator.written(port, values), site.buffers[port]
            self._store(buffer, self._whole(buffer) if widen and not found.within(self.buffers[buffer]) else found)

    def _read(self, site: Site, port: str) -> Interval:
        """A buffer as a port sees it: units that it sees one by one, or does not tell apart, are one."""
        buffer = self.circuit.buffers[site.buffers[port]]
        held = self.buffers[buffer.name]
        while held.low.ndim > len(site.operation.program.port(port).axes):
            held = Interval(held.low.min(axis=0), held.high.max(axis=0))
        if buffer.role == "weight" and held.low.ndim == 2:
            held = held.collapsed(0)
        return site.evaluator.read(port, held)

    def _whole(self, buffer: str) -> Interval:
        format = self.circuit.buffers[buffer].format
        assert format is not None
        return Interval.of(format.low, format.high)

    def _state(self, site: Site, port: str, reads: Mapping[str, Interval], widen: bool) -> None:
        """Let a state be what it can be at any step."""
        buffer, evaluator = self.circuit.buffers[site.buffers[port]], site.evaluator
        added = self._added_to(site, port, reads)
        if widen:
            self._store(buffer.name, self._whole(buffer.name))
        elif added is not None and buffer.role in WEIGHTS:
            old, whole = self.buffers[buffer.name], self._whole(buffer.name)
            learns = (added.low < 0) | (added.high > 0)  # and so may in time be anything that its format holds
            low, high = np.where(learns, whole.low, old.low), np.where(learns, whole.high, old.high)
            self._store(buffer.name, Interval(low, high))
        elif added is not None and buffer.role == "state":
            self._integrate(site.place, buffer.name, added)
        elif buffer.format:
            index = dict(site.operation.program.writes)[port]
            found = closed(lambda x: evaluator.values({**reads, port: x}, port)[index], reads[port], buffer.format)
            self._store(buffer.name, evaluator.written(port, {index: found}))

    def _added_to(self, site: Site, port: str, reads: Mapping[str, Interval]) -> Interval | None:
        """The most that a step adds to a state to which nothing else is done; a rule learns once for each row."""
        parts = site.evaluator.integrands(port)
        if not parts:
            return None
        values, operation = site.evaluator.values(reads, port), site.operation
        times = self.circuit.sizes[self.circuit.buffers[operation.third_factor].axes[0]] if isinstance(operation, UpdateWeights) else 1
        total = Interval(np.asarray(sum(values[part].low for part in parts)), np.asarray(sum(values[part].high for part in parts)))
        once = site.evaluator.written(port, {dict(operation.program.writes)[port]: total})
        return Interval(np.minimum(once.low, 0) * times, np.maximum(once.high, 0) * times)

    def _integrate(self, place: int, buffer: str, added: Interval) -> None:
        """A sum: within so many steps so many times what all its operations add in one."""
        ways = self._added.setdefault(buffer, {})
        ways[place] = ways[place].hull(added) if place in ways else added
        growth = Interval(np.asarray(sum(way.low for way in ways.values())), np.asarray(sum(way.high for way in ways.values())))
        self.growth[buffer] = growth
        if self.steps is not None:
            self._accumulate(buffer, growth.map(lambda array: array * self.steps))
        else:
            whole = self._whole(buffer)
            self._store(buffer, Interval(np.where(growth.low < 0, whole.low, 0), np.where(growth.high > 0, whole.high, 0)))
