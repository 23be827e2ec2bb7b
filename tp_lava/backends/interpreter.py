"""The reference interpreter of circuits: operation by operation, row by row, unit by unit, on NumPy arrays.

It defines what circuits do, as interpreted_programs.py does for programs: every other back end equals it bit for bit in fixed point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from tp_lava.backends.interpreted_maps import convolved, pooled, taps_of, unpooled
from tp_lava.backends.interpreted_programs import NAME, Array, interpret
from tp_lava.backends.protocol import StepByStep, count_step, operation_entry
from tp_lava.circuit import Circuit
from tp_lava.circuit import operations as ops
from tp_lava.circuit.buffers import rows_in_use
from tp_lava.dynamics.program import Program, Value
from tp_lava.numbers import mix

Memory = MutableMapping[str, Array]
Runner = Callable[[Program, MutableMapping[str, Array], int], None]


@dataclass
class _Step:
    """One step of some operations. base: key of the step's random bits; run: what carries out programs; watch: see interpret."""

    circuit: Circuit
    memory: Memory
    base: int
    run: Runner
    watch: Callable[[Value, Array], None] | None = None

    def key(self, random_stream: int) -> int:
        """Of an operation's random bits."""
        return _key(self.base, random_stream)

    def carry_out(self, program: Program, arrays: MutableMapping[str, Array], key: int) -> None:
        """A program."""
        if self.watch:
            interpret(program, arrays, key, watch=self.watch)
        else:
            self.run(program, arrays, key)


class Interpreter:
    """The back end that defines what circuits do. run: what carries out the programs of RunProgram operations, as interpret does."""

    name = NAME

    def __init__(self, run: Runner = interpret) -> None:
        self._run = run

    def compile(self, circuit: Circuit, operations: Sequence[ops.Operation] | None = None) -> Interpreted:
        """See BackEnd."""
        chosen = circuit.step if operations is None else tuple(operations)
        for operation in chosen:
            operation_entry(NAME, OPERATION_TABLE, operation)
        return Interpreted(circuit, chosen, self._run)


class Interpreted(StepByStep):
    """Operations that are interpreted."""

    def __init__(self, circuit: Circuit, operations: Sequence[ops.Operation], run: Runner) -> None:
        self.circuit, self._operations, self._run = circuit, operations, run

    def once(self, memory: Memory, watch: Callable[[int, Value, Array], None] | None = None) -> None:
        """See Compiled. watch: called with the number of an operation and every value that its program reads or computes."""
        used = self.circuit.rows_used(memory)
        if used:
            memory = {name: rows_in_use(array, self.circuit.buffers[name].axes, used) for name, array in self._held(memory)}
        step = _Step(self.circuit, memory, int(mix(memory["random_seed"], memory["random_step"])[0]), self._run)
        for number, operation in enumerate(self._operations):
            step.watch = partial(watch, number) if watch else None
            if not isinstance(operation, ops.Conditional) or _happens(operation, memory):
                OPERATION_TABLE[type(operation)](step, operation)

    def _held(self, memory: Memory) -> list[tuple[str, Array]]:
        return [(name, array) for name, array in memory.items() if name in self.circuit.buffers]


def interpret_step(
    circuit: Circuit,
    memory: Memory,
    run: Runner = interpret,
    watch: Callable[[int, Value, Array], None] | None = None,
) -> None:
    """One time step of a circuit on its buffers (Circuit.allocate), with the events already in input_active. See Interpreted.once."""
    Interpreted(circuit, circuit.step, run).once(memory, watch)
    if circuit.learns:
        count_step(memory)


def _happens(operation: ops.Conditional, memory: Mapping[str, Array]) -> bool:
    on = not operation.switch or memory[operation.switch][0] != 0
    return bool(on and (not operation.last_steps or 0 <= memory[ops.STEPS_LEFT][0] < operation.last_steps))


def _key(base: int, word: int) -> int:
    return int(mix(np.array([base], np.uint32), np.array([word], np.uint32))[0])


def _events(memory: Mapping[str, Array], population: str) -> list[Array]:
    """Active units of each row."""
    active, count = (memory[name] for name in ops.events_of(population))
    return [active[row, : count[row]] for row in range(len(count))]


def _accumulate(step: _Step, o: ops.Accumulate) -> None:
    memory, into, weights = step.memory, step.memory[o.into], step.memory[o.weights]
    number = np.int64 if step.circuit.fixed else into.dtype
    into[...] = 0
    for row, units in enumerate(_events(memory, o.events)):
        values = memory[o.values][row, units].astype(number) if o.values else np.ones(len(units), number)
        if o.offsets:
            for unit, value in zip(units, values, strict=True):
                reached = _reached(memory, o, int(unit))
                into[row, reached] += (weights[unit % len(weights), reached].astype(number) * value).astype(into.dtype)
            continue
        if o.kind is None:
            into[row] = (weights[units].astype(number) * values[:, np.newaxis]).sum(axis=0, dtype=number)
            continue
        into[row] = convolved(o.kind, weights, units, values).ravel()


def _reached(memory: Mapping[str, Array], o: ops.Accumulate | ops.UpdateWeights, unit: int) -> Array:
    """The neurons that a delayed unit reaches."""
    offsets = memory[o.offsets]
    return memory[o.targets][offsets[unit] : offsets[unit + 1]]


def _pool(step: _Step, o: ops.Pool) -> None:
    memory = step.memory
    for row, source in enumerate(memory[o.source]):
        memory[o.into][row] = pooled(o, source, memory[o.share] if o.share else None).ravel()


def _unpool(step: _Step, o: ops.Unpool) -> None:
    memory = step.memory
    for row, signal in enumerate(memory[o.signal]):
        source = memory[o.source][row] if o.pooling.mode == "max" else None
        memory[o.into][row] = unpooled(o, signal, source, memory[o.share] if o.share else None).ravel()


def _delay(step: _Step, o: ops.Delay) -> None:
    memory = step.memory
    active, count = (memory[name] for name in ops.events_of(o.into))
    delays, n_slots = memory[o.delays].reshape(o.copies, -1), memory[o.pending].shape[1]
    for row, units in enumerate(_events(memory, o.events)):
        pending, waiting, now = memory[o.pending][row], memory[o.waiting][row], int(memory[o.slot][row])
        for copy, unit in product(range(o.copies), units):
            slot = (now + delays[copy, unit]) % n_slots
            pending[slot, waiting[slot]] = copy * delays.shape[1] + unit
            if o.values:
                memory[o.pending_values][row, slot, waiting[slot]] = memory[o.values][row, unit]
            waiting[slot] += 1
        arrived = pending[now, : waiting[now]]
        if o.values:
            values = memory[o.arrived_values][row]
            values[...] = 0
            values[arrived] = memory[o.pending_values][row, now, : len(arrived)]
        active[row, : len(arrived)], count[row] = arrived, len(arrived)
        waiting[now], memory[o.slot][row] = 0, (now + 1) % n_slots


def _list_events(step: _Step, o: ops.ListEvents) -> None:
    memory = step.memory
    active, count = (memory[name] for name in ops.events_of(o.population))
    for row, spikes in enumerate(memory[o.spikes]):
        units = np.flatnonzero(spikes)
        active[row, : units.size], count[row] = units, units.size
        if o.total:
            memory[o.total][row, units] += 1


def _mark_events(step: _Step, o: ops.MarkEvents) -> None:
    into = step.memory[o.into]
    into.fill(0)
    for row, units in enumerate(_events(step.memory, o.population)):
        into[row, units] = step.memory[o.values][row, units] if o.values else 1


def _run_program(step: _Step, o: ops.RunProgram) -> None:
    memory = step.memory
    arrays = {port: o.seen(port, memory[buffer]) for port, buffer in o.bindings}
    step.carry_out(o.program, arrays, step.key(o.random_stream))


def _active(memory: Mapping[str, Array], o: ops.UpdateWeights | ops.AccumulateProducts, n_pre: int, rows: int) -> list[Array]:
    """Presynaptic units of each row for which something is learned."""
    if o.events:
        return _events(memory, o.events)
    return [np.flatnonzero(row) for row in memory[o.trace]] if o.trace else [np.arange(n_pre)] * rows


def _update_weights(step: _Step, o: ops.UpdateWeights) -> None:
    memory, buffers, key = step.memory, step.circuit.buffers, step.key(o.random_stream)
    if o.kind is not None:
        _update_local(step, o, key)
        return
    if o.offsets:
        _update_reached(step, o, key)
        return
    n_pre, rows = len(memory[o.weights]), len(memory[o.third_factor])
    for row, units in enumerate(_active(memory, o, n_pre, rows)):
        for unit in units:
            arrays = {}
            for port, name in o.bindings:
                array = memory[name]
                if buffers[name].outputs_last:
                    arrays[port] = array[unit]
                elif len(buffers[name].axes) > 1:
                    arrays[port] = array[row] if o.program.port(port).axes else array[row, unit : unit + 1]
                else:
                    arrays[port] = array
            interpret(o.program, arrays, _key(key, row * n_pre + int(unit)), watch=step.watch)


def _update_reached(step: _Step, o: ops.UpdateWeights, key: int) -> None:
    """The same of the synapses that each delayed unit has."""
    memory, bound, weights = step.memory, dict(o.bindings), step.memory[o.weights]
    n_units = len(memory[o.offsets]) - 1
    for row, units in enumerate(_active(memory, o, 0, len(memory[o.third_factor]))):
        for unit in units:
            reached, below = _reached(memory, o, int(unit)), int(unit) % len(weights)
            arrays = {"weight": weights[below, reached], "y1": memory[bound["y1"]][row, reached]}
            arrays |= {"x1": memory[bound["x1"]][row, unit : unit + 1]} if "x1" in bound else {}
            interpret(o.program, arrays, _key(key, row * n_units + int(unit)), watch=step.watch)
            weights[below, reached] = arrays["weight"]


def _update_local(step: _Step, o: ops.UpdateWeights, key: int) -> None:
    """The same where each position of a convolution has weights of its own."""
    memory, kind, bound = step.memory, o.kind, dict(o.bindings)
    assert kind is not None
    weights = memory[o.weights]
    n_rows = weights[..., 0].size
    for row, units in enumerate(_active(memory, o, 0, len(memory[o.third_factor]))):
        for unit in units:
            for tap in taps_of(kind, int(unit)):
                third = memory[o.third_factor][row].reshape(kind.output_shape)[tap.outputs, tap.y, tap.x]
                held = weights[tap.row]
                arrays = {"weight": held, "y1": third} | ({"x1": memory[bound["x1"]][row, unit : unit + 1]} if "x1" in bound else {})
                place = int(np.ravel_multi_index(tap.row[:-1], weights.shape[:-1]))  # type: ignore[arg-type]
                interpret(o.program, arrays, _key(key, row * n_rows + place), watch=step.watch)


def _accumulate_products(step: _Step, o: ops.AccumulateProducts) -> None:
    memory, buffer = step.memory, step.circuit.buffers[o.change]
    total: Array = memory[o.change].astype(np.int64 if buffer.format else np.float32)
    for row, units in enumerate(_active(memory, o, 0, len(memory[o.third_factor]))):
        third = memory[o.third_factor][row].reshape(o.kind.output_shape)
        for unit in units:
            pre = memory[o.trace][row, unit] if o.trace else 1
            for tap in taps_of(o.kind, int(unit)):
                total[tap.row] += third[tap.outputs, tap.y, tap.x] * pre
    memory[o.change][...] = total.clip(buffer.format.low, buffer.format.high) if buffer.format else total


def _count_steps(step: _Step, o: ops.CountSteps) -> None:
    step.memory[ops.STEPS_LEFT] -= 1


OPERATION_TABLE: dict[type[ops.Operation], Callable[[_Step, Any], None]] = {
    ops.Accumulate: _accumulate,
    ops.AccumulateProducts: _accumulate_products,
    ops.CountSteps: _count_steps,
    ops.Delay: _delay,
    ops.ListEvents: _list_events,
    ops.MarkEvents: _mark_events,
    ops.Pool: _pool,
    ops.RunProgram: _run_program,
    ops.Unpool: _unpool,
    ops.UpdateWeights: _update_weights,
}
