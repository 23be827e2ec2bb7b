"""A circuit carried out on intervals: what every buffer and every value of a program can be, at any step of any sample.

Any inputs may spike at any step, or none. The sum a neuron receives lies between those of its negative and of its
positive weights, over the units that can spike at all. Weights that learn may be anything in their format, others are
what they are. Operations are carried out in order, again and again, until nothing grows.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

import numpy as np

from tp_lava.circuit import Buffer, Circuit, Deliver, Gather, Learn, Run, Scatter, synapse_table
from tp_lava.ranges.evaluator import Evaluator
from tp_lava.ranges.intervals import HUGE, Interval
from tp_lava.ranges.states import closed

_ONE_HOT = "label"  # the population of which one unit is active in each row, at every step
_TRUTH = ("sample_label", "label_spike")  # buffers that the engine fills with 0 and 1
_PASSES = 16  # after which what still grows is given its whole format
WEIGHTS = ("weight", "kernel", "bias")
Key = tuple[int, int]  # number of an operation, index of a value of its program


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
        self.evaluators: dict[int, Evaluator] = {}
        self._added: dict[str, dict[int, Interval]] = {}
        self._seen: dict[int, tuple[Any, ...]] = {}
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
                self.buffers[name] = Interval(zero, zero + (name in _TRUTH))
        for name, buffer in self.circuit.buffers.items():
            if name.endswith("_active"):
                from_outside = name in ("input_active", f"{_ONE_HOT}_active")
                self.active[name.removesuffix("_active")] = np.full(self.circuit.sizes[buffer.axes[-1]], from_outside)

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
        for number in range(2 * _PASSES):
            before = dict(self.buffers), {name: units.copy() for name, units in self.active.items()}
            for place, operation in enumerate(self.circuit.step):
                self._carry_out(place, operation, widen=number >= _PASSES)
            same = all(interval is before[0][name] for name, interval in self.buffers.items())
            if same and all(np.array_equal(units, before[1][name]) for name, units in self.active.items()):
                return
        raise AssertionError("the analysis has found no end")  # every widened buffer is as wide as its format

    def _carry_out(self, place: int, operation: object, widen: bool) -> None:
        match operation:
            case Deliver(weights, events, into, table):
                if self._changed(place, self.buffers[weights], self.active[events].tobytes()):
                    self._accumulate(into, self._delivered(weights, events, table))
            case Gather(population):
                spikes = self.buffers[f"{population}_spike"].high.max(axis=0) > 0
                self.active[population] = self.active[population] | spikes
            case Scatter(population, into):
                self._store(into, Interval.of(0, self.active[population][np.newaxis]))
            case Run() | Learn():
                if operation.switch.endswith("_learning") and not self.learning:
                    return
                bound = self.bound(operation)
                if self._changed(place, *(self.buffers[buffer] for buffer in bound.values())):
                    self._run(place, operation, bound, widen)

    def _changed(self, place: int, *inputs: object) -> bool:
        """Whether an operation's inputs are others than when it was last carried out."""
        before, self._seen[place] = self._seen.get(place), inputs
        return before is None or any(a is not b and not (isinstance(a, bytes) and a == b) for a, b in zip(before, inputs, strict=True))

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
    def _delivered(self, weights: str, events: str, table: str) -> Interval:
        """Sums of the weights of any units that can spike; of the label's population, any one weight. -> (1, targets)."""
        active, held = self.active[events], self.buffers[weights]
        if table:
            return self._convolved(held, active, table)
        if events == _ONE_HOT:
            return held.collapsed(0)
        low, high = (np.broadcast_to(bound, (len(active), bound.shape[1]))[active] for bound in held)
        return Interval(np.minimum(low, 0).sum(axis=0, keepdims=True), np.maximum(high, 0).sum(axis=0, keepdims=True))

    def _convolved(self, held: Interval, active: np.ndarray, table: str) -> Interval:
        offsets, targets, taps = (np.asarray(self.circuit.values[name]) for name in synapse_table(table))
        size = next(self.circuit.sizes[self.circuit.buffers[o.into].axes[1]] for o in self.circuit.step if getattr(o, "table", "") == table)
        counted = np.repeat(active, np.diff(offsets))
        sums = [np.bincount(targets[counted], bound.ravel()[taps[counted]], size)[np.newaxis] for bound in _apart(held)]
        return Interval.of(*sums)

    # Programs -----------------------------------------------------------------------------------
    def bound(self, operation: Run | Learn) -> dict[str, str]:
        """Port -> buffer."""
        if isinstance(operation, Run):
            return dict(operation.bindings)
        bound = {"weight": operation.weights, "y1": operation.third}
        return bound | ({"x1": operation.trace} if operation.trace else {})

    def _sizes(self, operation: Run | Learn, bound: Mapping[str, str]) -> dict[str, int]:
        """Length of each of a program's axes."""
        first = operation.first if isinstance(operation, Run) else ()
        return {
            axis: self.circuit.sizes[along]
            for port in operation.program.ports
            if port.axes and port.name not in first
            for axis, along in zip(port.axes, self.circuit.buffers[bound[port.name]].axes[-len(port.axes) :], strict=True)
        }

    def _repeats(self, operation: Run | Learn) -> int:
        """How often at most it is carried out on the same numbers in one step: once for each row, where it learns."""
        return 1 if isinstance(operation, Run) else self.circuit.sizes[self.circuit.buffers[operation.third].axes[0]]

    def _run(self, place: int, operation: Run | Learn, bound: Mapping[str, str], widen: bool) -> None:
        evaluator = self.evaluators.setdefault(place, Evaluator(operation.program, self._sizes(operation, bound)))
        program, written = operation.program, {name for name, _ in operation.program.writes}
        reads = {port: self._read(evaluator, port, bound[port]) for port, _ in program.reads}
        for port in [port for port, _ in program.reads if port in written]:
            reads[port] = self._state(place, operation, evaluator, port, bound[port], reads, widen)
        values = evaluator.values(reads)
        self.values |= {(place, index): interval for index, interval in values.items()}
        for port in written:
            if port not in reads or not self._sums_up(evaluator, port, bound[port]):
                self._write(bound[port], evaluator.written(port, values), widen)

    def _read(self, evaluator: Evaluator, port: str, buffer: str) -> Interval:
        """A buffer as a port sees it: units that it sees one by one, or does not tell apart, are one."""
        held = self.buffers[buffer]
        while held.low.ndim > len(evaluator.program.port(port).axes):
            held = Interval(held.low.min(axis=0), held.high.max(axis=0))
        if self.circuit.buffers[buffer].role == "weight" and held.low.ndim == 2:
            held = held.collapsed(0)
        return evaluator.read(port, held)

    def _sums_up(self, evaluator: Evaluator, port: str, buffer: str) -> bool:
        return self.circuit.buffers[buffer].role == "state" and bool(evaluator.integrands(port))

    def _state(
        self,
        place: int,
        operation: Run | Learn,
        evaluator: Evaluator,
        port: str,
        buffer: str,
        reads: MutableMapping[str, Interval],
        widen: bool,
    ) -> Interval:
        """What a state can be at any step."""
        format = self.circuit.buffers[buffer].format
        assert format is not None
        if widen:
            self._store(buffer, Interval.of(format.low, format.high))
        elif self.circuit.buffers[buffer].role in WEIGHTS:
            grown = evaluator.written(port, evaluator.values(reads, port))
            self._write(buffer, grown, widen)
        elif self._sums_up(evaluator, port, buffer):
            self._integrate(place, operation, evaluator, port, buffer, reads)
        else:
            index = dict(operation.program.writes)[port]
            found = closed(lambda x: evaluator.values({**reads, port: x}, port)[index], reads[port], format)
            kept = dict.fromkeys([index], found)
            self._store(buffer, evaluator.written(port, kept))
        return self._read(evaluator, port, buffer)

    def _integrate(
        self, place: int, operation: Run | Learn, evaluator: Evaluator, port: str, buffer: str, reads: Mapping[str, Interval]
    ) -> None:
        """A state that only adds up: within so many steps so many times what all its operations add in one."""
        values = evaluator.values(reads, port)
        index, times = dict(operation.program.writes)[port], self._repeats(operation)
        parts = [values[part] for part in evaluator.integrands(port)]
        low, high = (np.minimum(sum(p.low for p in parts), 0) * times, np.maximum(sum(p.high for p in parts), 0) * times)
        added = evaluator.written(port, {index: Interval(np.asarray(low), np.asarray(high))})
        ways = self._added.setdefault(buffer, {})
        ways[place] = ways[place].hull(added) if place in ways else added
        growth = Interval(sum(w.low for w in ways.values()), sum(w.high for w in ways.values()))  # type: ignore[arg-type]
        self.growth[buffer] = growth
        format = self.circuit.buffers[buffer].format
        assert format is not None
        if self.steps is None:
            whole = Interval(np.where(growth.low < 0, format.low, 0), np.where(growth.high > 0, format.high, 0))
            self._store(buffer, whole)
        else:
            self._accumulate(buffer, growth.map(lambda array: array * self.steps))

    def _write(self, buffer: str, found: Interval, widen: bool) -> None:
        """What a program has written. Weights it changes may in time be anything that their format holds."""
        held = self.circuit.buffers[buffer]
        assert held.format is not None
        if held.role in WEIGHTS:
            old = self.buffers[buffer]
            around = old.collapsed(0) if held.role == "weight" else old
            grows = (found.low < around.low) | (found.high > around.high)
            low, high = np.where(grows, held.format.low, HUGE), np.where(grows, held.format.high, -HUGE)
            self._store(buffer, Interval(np.minimum(low, old.low), np.maximum(high, old.high)))
        elif widen and not found.within(self.buffers[buffer]):
            self._store(buffer, Interval.of(held.format.low, held.format.high))
        else:
            self._store(buffer, found)


def _apart(held: Interval) -> tuple[np.ndarray, np.ndarray]:
    """Negative and positive parts."""
    return np.minimum(held.low, 0), np.maximum(held.high, 0)
