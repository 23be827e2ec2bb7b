"""A circuit carried out on intervals: what every buffer and every value of a program can be, at any step of any sample.

Any inputs may spike at any step, or none. The sum a neuron receives lies between those of its negative and of its
positive weights, over the units that can spike at all. Weights that learn may be anything in their format, others are
what they are. Operations are carried out in order, again and again, until nothing grows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from math import prod
from typing import Any

import numpy as np

from tp_lava.backends.protocol import operation_entry
from tp_lava.circuit import Buffer, Circuit
from tp_lava.circuit import operations as ops
from tp_lava.graph.delays import SynapticDelays
from tp_lava.graph.names import INPUT
from tp_lava.ranges.evaluator import Evaluator, closed
from tp_lava.ranges.intervals import NAME, Array, Interval, corners
from tp_lava.ranges.maps import by_channel, by_unit, convolved, learned, pooled, unpooled

_PASSES = 16  # after which what still grows is given its whole format
WEIGHTS = ("weight", "kernel", "bias")
Key = tuple[int, int]  # number of an operation, index of a value of its program


@dataclass(frozen=True)
class ProgramUse:
    """A program as an operation of a circuit's step carries it out. number: of the operation; buffers: port -> buffer."""

    number: int
    operation: ops.RunProgram | ops.UpdateWeights
    evaluator: Evaluator
    buffers: Mapping[str, str]

    @classmethod
    def of(cls, number: int, operation: ops.RunProgram | ops.UpdateWeights, circuit: Circuit) -> ProgramUse:
        """An operation of a circuit."""
        buffers, ports = dict(operation.bindings), operation.program.ports
        shapes = {port.name: circuit.shape(buffers[port.name]) for port in ports}
        if isinstance(operation, ops.RunProgram):
            shapes = {port: operation.seen_shape(port, shape) for port, shape in shapes.items() if port not in operation.first}
        sizes = {
            axis: size
            for port in ports
            if port.axes and port.name in shapes
            for axis, size in zip(port.axes, shapes[port.name][-len(port.axes) :], strict=True)
        }
        return cls(number, operation, Evaluator(operation.program, sizes), {port.name: buffers[port.name] for port in ports})


class IntervalAnalysis:
    """A fixed-point circuit on intervals.

    memory: arrays as they are held; steps: of a sample, None: any number; learning: whether any switch may be on.
    Then: buffers: name -> interval; reach: the same before it was cut to the format, of accumulators and sums; values: what a
    program's values can be; active: population -> whether a unit can spike; growth: state that only adds up -> largest change a
    step; sum_steps: for how many steps it does, None: any number. Raises InvalidValueError for an operation it does not know.
    """

    def __init__(self, circuit: Circuit, memory: Mapping[str, Array], steps: int | None, learning: bool) -> None:
        self.circuit, self.memory, self.steps, self.learning = circuit, memory, steps, learning
        self.reach: dict[str, Interval] = {}
        self.values: dict[Key, Interval] = {}
        self.growth: dict[str, Interval] = {}
        self.sum_steps: dict[str, int | None] = {}
        self.uses = {
            n: ProgramUse.of(n, o, circuit) for n, o in enumerate(circuit.step) if isinstance(o, ops.RunProgram | ops.UpdateWeights)
        }
        self._one_hot = {o.population for o in circuit.start if o.population}  # one unit of these is active in each row, at every step
        self._cleared = dict(self._cleared_sums())
        self._added: dict[str, dict[int, Interval]] = {}
        self._seen: dict[int, tuple[Any, ...]] = {}
        self.buffers = {name: self._start(buffer) for name, buffer in circuit.buffers.items() if buffer.format}
        self.active = dict(self._active_at_start())
        self._settle()

    # What it starts with ------------------------------------------------------------------------
    def _start(self, buffer: Buffer) -> Interval:
        """What a buffer holds; a rate may also be anything below, down to zero, as schedules have it; a label is 0 or 1."""
        if buffer.name not in self.circuit.values:
            zero = np.zeros([1] * len(buffer.axes), np.int64)
            given = buffer.format if buffer.name == ops.INPUT_VALUES else None
            return Interval(zero, zero + (buffer.role == "label")) if given is None else Interval(zero + given.low, zero + given.high)
        held = np.asarray(self.memory[buffer.name], np.int64).reshape([self.circuit.sizes[axis] for axis in buffer.axes])
        interval = Interval(held, held)
        if buffer.name in self.circuit.rates:
            full = np.asarray(buffer.encode(self.circuit.values[buffer.name]), np.int64).reshape(held.shape)
            interval = interval.hull(Interval(full, full)).hull(Interval.of(0, 0))
        return interval

    def _active_at_start(self) -> Iterator[tuple[str, Array]]:
        given = self._one_hot | {INPUT}
        listed = {o.population for o in self.circuit.step if isinstance(o, ops.ListEvents)}
        for population in given | listed | {o.into for o in self.circuit.step if isinstance(o, ops.Delay)}:
            active, _ = ops.events_of(population)
            if active in self.circuit.buffers:
                yield population, np.full(self.circuit.shape(active)[-1], population in given)

    def _cleared_sums(self) -> Iterator[tuple[str, tuple[str, int]]]:
        """(buffer, conditions) of every state that a program sets to zero."""
        for use in self.uses.values():
            for port, index in use.operation.program.writes:
                value, buffer = use.operation.program.values[index], use.buffers[port]
                if value.low == value.high == 0 and self.circuit.buffers[buffer].role == "state":
                    yield buffer, _when(use.operation)

    # Until nothing grows ------------------------------------------------------------------------
    def _settle(self) -> None:
        rules = [operation_entry(NAME, OPERATION_TABLE, operation) for operation in self.circuit.step]
        for number in count():
            before = self._found()
            for place, (operation, rule) in enumerate(zip(self.circuit.step, rules, strict=True)):
                if self.learning or not isinstance(operation, ops.Conditional) or not operation.switch:
                    rule(self, place, operation, number >= _PASSES)
            if all(old is new for old, new in zip(before, self._found(), strict=True)):
                return

    def _found(self) -> list[object]:
        """Everything that grows; what has not grown stays the same object."""
        return [*self.buffers.values(), *self.active.values()]

    def _changed(self, place: int, *inputs: object) -> bool:
        """Whether an operation's inputs are others than when it was last carried out."""
        before, self._seen[place] = self._seen.get(place), inputs
        return before is None or any(a is not b for a, b in zip(before, inputs, strict=True))

    def _store(self, name: str, found: Interval) -> None:
        """Let a buffer also be what was found; it stays the same object if it already could."""
        old = self.buffers[name]
        if not found.within(old):
            self.buffers[name] = found if old.within(found) else old.hull(found)

    def _store_sum(self, name: str, found: Interval) -> None:
        """The same for what may exceed the buffer's format."""
        self.reach[name] = self.reach.get(name, found).hull(found)
        whole = self._whole(name)
        self._store(name, found.map(lambda array: np.clip(array, *whole)))

    def _whole(self, buffer: str) -> Interval:
        held = self.circuit.buffers[buffer]
        assert held.format is not None
        return Interval.of(held.format.low, held.format.high).map(lambda bound: bound.reshape([1] * len(held.axes)))

    # Events ---------------------------------------------------------------------------------------
    def _list_events(self, place: int, o: ops.ListEvents, widen: bool) -> None:
        active = self.active[o.population]
        sent = by_unit(self.buffers[o.spikes], len(active))
        found = active | (sent.low < 0) | (sent.high > 0)
        if (found != active).any():
            self.active[o.population] = found

    def _delay(self, place: int, o: ops.Delay, widen: bool) -> None:
        """What may be sent may arrive, at every copy."""
        found = self.active[o.into] | np.tile(self.active[o.events], o.copies)
        if (found != self.active[o.into]).any():
            self.active[o.into] = found
        if o.values:
            sent = self._sent(o.events, o.values).map(lambda bound: np.tile(bound, o.copies)[np.newaxis])
            self._store(o.arrived_values, sent)

    def _mark_events(self, place: int, o: ops.MarkEvents, widen: bool) -> None:
        self._store(o.into, self._sent(o.population, o.values).map(lambda bound: bound[np.newaxis]))

    def _sent(self, events: str, values: str) -> Interval:
        """What the units of a population send, (units,): 1 or a value, or nothing."""
        active = self.active[events]
        return by_unit(self.buffers[values], len(active)).or_zero() if values else Interval.of(0 * active, active)

    def _count_steps(self, place: int, o: ops.CountSteps, widen: bool) -> None:
        """Counts have no format."""

    # Delivery -------------------------------------------------------------------------------------
    def _accumulate(self, place: int, o: ops.Accumulate, widen: bool) -> None:
        """Sums over any units that can spike; of a population of one-hot rows, any one weight."""
        held = self.buffers[o.weights]
        if not self._changed(place, held, self.active[o.events], self.buffers.get(o.values)):
            return
        sent = self._sent(o.events, o.values)
        if o.kind:
            found = convolved(o.kind, held, sent)
        elif o.events in self._one_hot:
            found = held.collapsed(0)
        elif o.offsets:
            delays = self.circuit.network.connection(o.owner.name).delays
            assert isinstance(delays, SynapticDelays)
            products = corners(held, sent.map(lambda bound: bound[delays.units.T])).or_zero()
            found = products.map(lambda bound: bound.sum(axis=0, keepdims=True))
        else:
            products = corners(held, sent.map(lambda bound: bound[:, np.newaxis])).or_zero()
            found = products.map(lambda bound: bound.sum(axis=0, keepdims=True))
        self._store_sum(o.into, found)

    def _pool(self, place: int, o: ops.Pool | ops.Unpool, widen: bool) -> None:
        source = self.buffers[o.source if isinstance(o, ops.Pool) else o.signal]
        if self._changed(place, source):
            share = self.buffers[o.share].low if o.share else None
            self._store(o.into, pooled(o, source, share) if isinstance(o, ops.Pool) else unpooled(o, source, share))

    # Products of shared weights ---------------------------------------------------------------------
    def _accumulate_products(self, place: int, o: ops.AccumulateProducts, widen: bool) -> None:
        """Every active synapse of every row may add its product, or not."""
        third = self.buffers[o.third_factor]
        source: Any = self.active[o.events] if o.events else self.buffers[o.trace]
        if self._changed(place, third, source):
            pre = self._sent(o.events, "") if o.events else by_unit(source, prod(o.kind.pooled_shape))
            rows = self.circuit.shape(o.third_factor)[0]
            self._integrate(place, o.change, learned(o.kind, pre, by_unit(third, o.kind.size), rows))

    # Programs -------------------------------------------------------------------------------------
    def _run(self, place: int, operation: ops.RunProgram | ops.UpdateWeights, widen: bool) -> None:
        use = self.uses[place]
        if not self._changed(place, *(self.buffers[buffer] for buffer in use.buffers.values())):
            return
        written = {name for name, _ in operation.program.writes}
        reads = {port: self._read(use, port) for port, _ in operation.program.reads}
        for port in [port for port, _ in operation.program.reads if port in written]:
            self._state(use, port, reads, widen)
            reads[port] = self._read(use, port)
        values = use.evaluator.values(reads)
        self.values |= {(place, index): interval for index, interval in values.items()}
        for port in written - set(reads):
            found, buffer = use.evaluator.written(port, values), use.buffers[port]
            self._store(buffer, self._whole(buffer) if widen and not found.within(self.buffers[buffer]) else found)

    def _read(self, use: ProgramUse, port: str) -> Interval:
        """A buffer as a port sees it: units that it sees one by one, or does not tell apart, are one."""
        buffer = self.circuit.buffers[use.buffers[port]]
        held = self.buffers[buffer.name]
        held = _on_maps(use.operation, port, held)
        while held.low.ndim > len(use.operation.program.port(port).axes):
            held = Interval(held.low.min(axis=0), held.high.max(axis=0))
        if buffer.role == "weight" and held.low.ndim == 2:
            held = held.collapsed(0)
        return use.evaluator.read(port, held)

    def _state(self, use: ProgramUse, port: str, reads: Mapping[str, Interval], widen: bool) -> None:
        """Widen a state's interval to all values it can have at any step."""
        buffer, evaluator = self.circuit.buffers[use.buffers[port]], use.evaluator
        added, whole = self._added_to(use, port, reads), self._whole(buffer.name)
        if widen:
            self._store(buffer.name, whole)
        elif added is not None and buffer.role in WEIGHTS:
            old = self.buffers[buffer.name]
            learns = (added.low < 0) | (added.high > 0)  # and so may in time be anything that its format holds
            if not learns.all():
                whole = Interval(np.where(learns, whole.low, old.low), np.where(learns, whole.high, old.high))
            self._store(buffer.name, whole)
        elif added is not None and buffer.role == "state":
            self._integrate(use.number, buffer.name, added)
        elif buffer.format:
            index = dict(use.operation.program.writes)[port]
            found = closed(lambda x: evaluator.values({**reads, port: x}, port)[index], reads[port], buffer.format)
            self._store(buffer.name, evaluator.written(port, {index: found}))

    def _added_to(self, use: ProgramUse, port: str, reads: Mapping[str, Interval]) -> Interval | None:
        """The most that a step adds to a state to which nothing else is done; a synapse learns once for each row."""
        parts, operation = use.evaluator.integrands(port), use.operation
        if not parts:
            return None
        values, index = use.evaluator.values(reads, port), dict(operation.program.writes)[port]
        once = use.evaluator.written(port, {index: Interval.total([values[part] for part in parts])})
        rows = self.circuit.shape(operation.third_factor)[0] if isinstance(operation, ops.UpdateWeights) else 1
        return once.or_zero().map(lambda bound: bound * rows)

    # Sums -----------------------------------------------------------------------------------------
    def _integrate(self, place: int, buffer: str, added: Interval) -> None:
        """A sum: within so many steps so many times what all its operations add in one."""
        ways = self._added.setdefault(buffer, {})
        ways[place] = ways[place].hull(added) if place in ways else added
        self.growth[buffer] = growth = Interval.total(list(ways.values()))
        self.sum_steps[buffer] = steps = self._sum_steps(buffer, ways)
        if steps is not None:
            self._store_sum(buffer, growth.map(lambda array: array * steps))
        else:
            whole = self._whole(buffer)
            self._store(buffer, Interval(np.where(growth.low < 0, whole.low, 0), np.where(growth.high > 0, whole.high, 0)))

    def _sum_steps(self, buffer: str, places: Mapping[int, Interval]) -> int | None:
        """Steps in which a sum grows: one, if a program sets it to zero whenever something is added to it."""
        cleared = self._cleared.get(buffer)
        return 1 if cleared and all(_when(self.circuit.step[place]) == cleared for place in places) else self.steps


def _on_maps(operation: ops.RunProgram | ops.UpdateWeights, port: str, held: Interval) -> Interval:
    """A buffer of units where a port sees (channels, positions) of them, or the channels of one position."""
    if isinstance(operation, ops.UpdateWeights):
        of_units = operation.kind is not None and dict(operation.bindings)[port] == operation.third_factor
        return by_channel(held, operation.kind.channels) if operation.kind and of_units else held
    maps = dict(operation.maps).get(port)
    if maps is None:
        return held
    *rows, units = held.low.shape
    shape = (*rows, *(maps if units > maps[0] else (units, 1)))
    return held.map(lambda bound: bound.reshape(shape))


def _when(operation: ops.Operation) -> tuple[str, int]:
    """When an operation is carried out."""
    return (operation.switch, operation.last_steps) if isinstance(operation, ops.Conditional) else ("", 0)


OPERATION_TABLE: dict[type[ops.Operation], Callable[[IntervalAnalysis, int, Any, bool], None]] = {
    ops.Accumulate: IntervalAnalysis._accumulate,
    ops.AccumulateProducts: IntervalAnalysis._accumulate_products,
    ops.CountSteps: IntervalAnalysis._count_steps,
    ops.Delay: IntervalAnalysis._delay,
    ops.ListEvents: IntervalAnalysis._list_events,
    ops.MarkEvents: IntervalAnalysis._mark_events,
    ops.Pool: IntervalAnalysis._pool,
    ops.RunProgram: IntervalAnalysis._run,
    ops.Unpool: IntervalAnalysis._pool,
    ops.UpdateWeights: IntervalAnalysis._run,
}
