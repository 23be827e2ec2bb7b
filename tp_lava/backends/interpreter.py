"""The reference interpreter: a program carried out instruction by instruction on NumPy arrays.

Slow and obviously right. It defines fixed point: every other target equals it bit for bit. It checks on
every run that each value stays in the interval the tracer proved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from tp_lava.backends.interpreted_maps import convolved, pooled, taps_of, unpooled
from tp_lava.backends.protocol import StepByStep, count_step, entry, operation_entry
from tp_lava.circuit import (
    Accumulate,
    AccumulateProducts,
    Circuit,
    CountSteps,
    Delay,
    ListEvents,
    MarkEvents,
    Operation,
    Pool,
    RunProgram,
    Unpool,
    UpdateWeights,
)
from tp_lava.circuit.buffers import rows_in_use
from tp_lava.circuit.operations import STEPS_LEFT, Conditional, events_of
from tp_lava.dynamics.program import Instruction, Port, Program, Value
from tp_lava.numbers import REGISTER_BITS, draw, mix

NAME = "interpreter"
Array = np.ndarray
Memory = MutableMapping[str, Array]
Runner = Callable[[Program, MutableMapping[str, Array], int], None]


def interpret(
    program: Program,
    arrays: MutableMapping[str, Array],
    key: int = 0,
    real: type = np.float32,
    watch: Callable[[Value, Array], None] | None = None,
) -> None:
    """Run a program in place. arrays: port name -> array with the port's axes; key: of its random bits; real: float type.

    watch: called with every value that is read or computed.
    """
    context = _Context(program, axis_sizes(program.ports, arrays), key, real)
    values: dict[int, Array] = {}
    for name, index in program.reads:
        value = program.values[index]
        dtype = np.int64 if program.fixed else real
        values[index] = on_axes(program.axes, arrays[name].astype(dtype), program.port(name).axes)
        _check(program, value, values[index])
        if watch:
            watch(value, values[index])
    for instruction in program.instructions:
        value = program.values[instruction.result]
        execute = entry(NAME, "instruction", INSTRUCTION_TABLE, instruction.op, instruction.op)
        result = execute(context, instruction, *(values[index] for index in instruction.arguments))
        _check(program, value, result)
        values[value.index] = result
        if watch:
            watch(value, result)
    for name, index in program.writes:
        on_axes(program.axes, arrays[name], program.port(name).axes)[...] = values[index]


def axis_sizes(ports: Sequence[Port], arrays: Mapping[str, Array]) -> dict[str, int]:
    """Length of each axis that a port has."""
    return {axis: size for port in ports for axis, size in zip(port.axes, arrays[port.name].shape, strict=False)}


def on_axes(every: tuple[str, ...], array: Array, axes: tuple[str, ...]) -> Array:
    """A view of an array with all of a program's axes in order, those it does not have of size 1."""
    if not axes:
        return array.reshape([1] * len(every))
    order = [a for a in every if a in axes]
    array = np.transpose(array, [axes.index(a) for a in order])
    return array[tuple(slice(None) if a in axes else np.newaxis for a in every)]


def _check(program: Program, value: Value, array: Array) -> None:
    if value.low is None or value.high is None or array.size == 0:
        return
    if array.min() < value.low or array.max() > value.high:
        raise OverflowError(
            f"{program.name}: %{value.index} is in {array.min()}..{array.max()}, proven {value.low}..{value.high}; "
            f"was a port given a value beyond its format?"
        )


def shifted(x: Array, shift: int, rounding: str) -> Array:
    """x shifted right as "mul" does."""
    if rounding == "zero":
        return np.sign(x) * (np.abs(x) >> shift)
    return (x + ((1 << shift >> 1) if rounding == "nearest" else 0)) >> shift


def _random(program: Program, i: Instruction, value: Value, sizes: Mapping[str, int], key: int) -> Array:
    indices = [_indices(program, axis, sizes) for axis in value.axes]
    return random_bits(int(i["bits"]), int(i["salt"]), indices, key, len(program.axes))


def random_bits(bits: int, salt: int, indices: Sequence[Array], key: int, dimensions: int) -> Array:
    """Random numbers below 2**bits, int64. indices: uint32, along each axis of the numbers: outer ones mix into the key, the
    innermost draws from it; key: of the program's run; dimensions: of the result.
    """
    shape = [1] * dimensions
    words = mix(np.array([key], np.uint32), np.array([salt], np.uint32)).reshape(shape)
    for index in indices[:-1]:
        words = mix(words, index)
    last = indices[-1] if indices else np.zeros(shape, np.uint32)
    return draw(words, last, np.uint32(REGISTER_BITS - bits)).astype(np.int64)


def _indices(program: Program, axis: str, sizes: Mapping[str, int]) -> Array:
    shape = [sizes[a] if a == axis else 1 for a in program.axes]
    return np.arange(sizes[axis], dtype=np.uint32).reshape(shape)


_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "exp2": np.exp2,
    "log2": np.log2,
    "sqrt": np.sqrt,
    "reciprocal": lambda x: x.dtype.type(1) / x,
}


@dataclass(frozen=True)
class _Context:
    """What an instruction may need beside its arguments: the program, lengths of its axes, key of its random bits, float type."""

    program: Program
    sizes: Mapping[str, int]
    key: int
    real: type

    @property
    def number(self) -> type:
        """Of the program's numbers."""
        return np.int64 if self.program.fixed else self.real


def _mul(c: _Context, i: Instruction, a: Array, b: Array) -> Array:
    return shifted(a * b, i["shift"], i["rounding"]) if c.program.fixed else a * b


def _shift(c: _Context, i: Instruction, a: Array) -> Array:
    by = int(i["by"])
    return a << by if by >= 0 else a >> -by


def _reduced(reduce: Callable[..., Array]) -> Callable[[_Context, Instruction, Array], Array]:
    return lambda c, i, a: reduce(a, axis=c.program.axes.index(str(i["axis"])), keepdims=True)


INSTRUCTION_TABLE: dict[str, Callable[..., Array]] = {
    "constant": lambda c, i: np.full([1] * len(c.program.axes), i["value"], c.number),
    "add": lambda c, i, a, b: np.broadcast_to(a + b, _spread(c.program, i, c.sizes)),
    "neg": lambda c, i, a: -a,
    "min": lambda c, i, a, b: np.minimum(a, b),
    "mul": _mul,
    "mul_random": lambda c, i, a, b, bits: (a * b + bits) >> i["shift"],
    "shift": _shift,
    "shift_right": lambda c, i, a, b: a >> b,
    "and": lambda c, i, a, b: a & b,
    "lt": lambda c, i, a, b: a < b,
    "ge": lambda c, i, a, b: a >= b,
    "eq": lambda c, i, a, b: a == b,
    "select": lambda c, i, condition, a, b: np.where(condition, a, b),
    "spike": lambda c, i, a: a.astype(c.number),
    "random": lambda c, i: _random(c.program, i, c.program.values[i.result], c.sizes, c.key),
    "piecewise": lambda c, i, a: i["table"](a),
    "apply": lambda c, i, a: _FUNCTIONS[str(i["function"])](a),
    "sum": _reduced(np.sum),
    "max": _reduced(np.max),
}


def _spread(program: Program, i: Instruction, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """Shape of a sum: that of its operands, or larger where the instruction spreads a value over more axes."""
    axes = program.values[i.result].axes
    return tuple(sizes[axis] if axis in axes else 1 for axis in program.axes)


# Circuits ----------------------------------------------------------------------------------------


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

    def compile(self, circuit: Circuit, operations: Sequence[Operation] | None = None) -> Interpreted:
        """See BackEnd."""
        chosen = circuit.step if operations is None else tuple(operations)
        for operation in chosen:
            operation_entry(NAME, OPERATION_TABLE, operation)
        return Interpreted(circuit, chosen, self._run)


class Interpreted(StepByStep):
    """Operations that are interpreted."""

    def __init__(self, circuit: Circuit, operations: Sequence[Operation], run: Runner) -> None:
        self.circuit, self._operations, self._run = circuit, operations, run

    def once(self, memory: Memory, watch: Callable[[int, Value, Array], None] | None = None) -> None:
        """See Compiled. watch: called with the number of an operation and every value that its program reads or computes."""
        used = self.circuit.rows_used(memory)
        if used:
            memory = {name: rows_in_use(array, self.circuit.buffers[name].axes, used) for name, array in self._held(memory)}
        step = _Step(self.circuit, memory, int(mix(memory["random_seed"], memory["random_step"])[0]), self._run)
        for number, operation in enumerate(self._operations):
            step.watch = partial(watch, number) if watch else None
            if not isinstance(operation, Conditional) or _happens(operation, memory):
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


def _happens(operation: Conditional, memory: Mapping[str, Array]) -> bool:
    on = not operation.switch or memory[operation.switch][0] != 0
    return bool(on and (not operation.last_steps or 0 <= memory[STEPS_LEFT][0] < operation.last_steps))


def _key(base: int, word: int) -> int:
    return int(mix(np.array([base], np.uint32), np.array([word], np.uint32))[0])


def _events(memory: Mapping[str, Array], population: str) -> list[Array]:
    """Active units of each row."""
    active, count = (memory[name] for name in events_of(population))
    return [active[row, : count[row]] for row in range(len(count))]


def _accumulate(step: _Step, o: Accumulate) -> None:
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


def _reached(memory: Mapping[str, Array], o: Accumulate | UpdateWeights, unit: int) -> Array:
    """The neurons that a delayed unit reaches."""
    offsets = memory[o.offsets]
    return memory[o.targets][offsets[unit] : offsets[unit + 1]]


def _pool(step: _Step, o: Pool) -> None:
    memory = step.memory
    for row, source in enumerate(memory[o.source]):
        memory[o.into][row] = pooled(o, source, memory[o.share] if o.share else None).ravel()


def _unpool(step: _Step, o: Unpool) -> None:
    memory = step.memory
    for row, signal in enumerate(memory[o.signal]):
        source = memory[o.source][row] if o.pooling.mode == "max" else None
        memory[o.into][row] = unpooled(o, signal, source, memory[o.share] if o.share else None).ravel()


def _delay(step: _Step, o: Delay) -> None:
    memory = step.memory
    active, count = (memory[name] for name in events_of(o.into))
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


def _list_events(step: _Step, o: ListEvents) -> None:
    memory = step.memory
    active, count = (memory[name] for name in events_of(o.population))
    for row, spikes in enumerate(memory[o.spikes]):
        units = np.flatnonzero(spikes)
        active[row, : units.size], count[row] = units, units.size
        if o.total:
            memory[o.total][row, units] += 1


def _mark_events(step: _Step, o: MarkEvents) -> None:
    into = step.memory[o.into]
    into.fill(0)
    for row, units in enumerate(_events(step.memory, o.population)):
        into[row, units] = step.memory[o.values][row, units] if o.values else 1


def _run_program(step: _Step, o: RunProgram) -> None:
    memory = step.memory
    arrays = {port: o.seen(port, memory[buffer]) for port, buffer in o.bindings}
    step.carry_out(o.program, arrays, step.key(o.random_stream))


def _active(memory: Mapping[str, Array], o: UpdateWeights | AccumulateProducts, n_pre: int, rows: int) -> list[Array]:
    """Presynaptic units of each row for which something is learned."""
    if o.events:
        return _events(memory, o.events)
    return [np.flatnonzero(row) for row in memory[o.trace]] if o.trace else [np.arange(n_pre)] * rows


def _update_weights(step: _Step, o: UpdateWeights) -> None:
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


def _update_reached(step: _Step, o: UpdateWeights, key: int) -> None:
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


def _update_local(step: _Step, o: UpdateWeights, key: int) -> None:
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


def _accumulate_products(step: _Step, o: AccumulateProducts) -> None:
    memory, buffer = step.memory, step.circuit.buffers[o.change]
    total: Array = memory[o.change].astype(np.int64 if buffer.format else np.float32)
    for row, units in enumerate(_active(memory, o, 0, len(memory[o.third_factor]))):
        third = memory[o.third_factor][row].reshape(o.kind.output_shape)
        for unit in units:
            pre = memory[o.trace][row, unit] if o.trace else 1
            for tap in taps_of(o.kind, int(unit)):
                total[tap.row] += third[tap.outputs, tap.y, tap.x] * pre
    memory[o.change][...] = total.clip(buffer.format.low, buffer.format.high) if buffer.format else total


def _count_steps(step: _Step, o: CountSteps) -> None:
    step.memory[STEPS_LEFT] -= 1


OPERATION_TABLE: dict[type[Operation], Callable[[_Step, Any], None]] = {
    Accumulate: _accumulate,
    AccumulateProducts: _accumulate_products,
    CountSteps: _count_steps,
    Delay: _delay,
    ListEvents: _list_events,
    MarkEvents: _mark_events,
    Pool: _pool,
    RunProgram: _run_program,
    Unpool: _unpool,
    UpdateWeights: _update_weights,
}
