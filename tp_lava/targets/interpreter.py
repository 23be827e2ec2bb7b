"""The reference interpreter: a program carried out instruction by instruction on NumPy arrays.

Slow and obviously right. It defines fixed point: every other target equals it bit for bit. It checks on
every run that each value stays in the interval the tracer proved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from functools import partial

import numpy as np

from tp_lava.circuit import STEPS_LEFT, Circuit, Clock, Deliver, Gather, Learn, Run, Scatter, synapse_table
from tp_lava.dynamics.program import Instruction, Port, Program, Value
from tp_lava.numbers import REGISTER_BITS, draw, mix

Array = np.ndarray
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
    sizes = axis_sizes(program.ports, arrays)
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
        result = _execute(program, instruction, values, sizes, key, real)
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


def _execute(program: Program, i: Instruction, values: Mapping[int, Array], sizes: Mapping[str, int], key: int, real: type) -> Array:
    a = [values[index] for index in i.arguments]
    match i.op:
        case "constant":
            return np.full([1] * len(program.axes), i["value"], np.int64 if program.fixed else real)
        case "add":
            return np.broadcast_to(a[0] + a[1], _spread(program, i, sizes, a))
        case "neg":
            return -a[0]
        case "min":
            return np.minimum(a[0], a[1])
        case "mul":
            return shifted(a[0] * a[1], i["shift"], i["rounding"]) if program.fixed else a[0] * a[1]
        case "mul_random":
            return (a[0] * a[1] + a[2]) >> i["shift"]
        case "shift":
            by = int(i["by"])
            return a[0] << by if by >= 0 else a[0] >> -by
        case "shift_right":
            return a[0] >> a[1]
        case "and":
            return a[0] & a[1]
        case "lt":
            return a[0] < a[1]
        case "ge":
            return a[0] >= a[1]
        case "eq":
            return a[0] == a[1]
        case "select":
            return np.where(a[0], a[1], a[2])
        case "spike":
            return a[0].astype(np.int64 if program.fixed else real)
        case "random":
            return _random(program, i, program.values[i.result], sizes, key)
        case "piecewise":
            return i["table"](a[0])
        case "apply":
            return _FUNCTIONS[str(i["function"])](a[0])
        case "sum" | "max":
            reduce = np.sum if i.op == "sum" else np.max
            return reduce(a[0], axis=program.axes.index(str(i["axis"])), keepdims=True)
        case _:
            raise ValueError(f"{program.name}: unknown instruction {i.op}")


def _spread(program: Program, i: Instruction, sizes: Mapping[str, int], a: list[Array]) -> tuple[int, ...]:
    """Shape of a sum: that of its operands, or larger where the instruction spreads a value over more axes."""
    axes = program.values[i.result].axes
    return tuple(sizes[axis] if axis in axes else 1 for axis in program.axes)


# Circuits ----------------------------------------------------------------------------------------


def interpret_step(
    circuit: Circuit,
    memory: MutableMapping[str, Array],
    run: Runner = interpret,
    watch: Callable[[int, Value, Array], None] | None = None,
) -> None:
    """One time step of a circuit on its buffers (Circuit.allocate), with the events already in input_active.

    run: what carries out the programs of Run operations, called as interpret is; watch: called with the number of an operation and
    every value that its program reads or computes, all of them interpreted.
    """
    base = int(mix(memory["random_seed"], memory["random_step"])[0])
    if circuit.learns:
        memory["random_step"] += np.uint32(1)
    for number, operation in enumerate(circuit.step):
        seen = partial(watch, number) if watch else None
        carry_out = partial(interpret, watch=seen) if seen else run
        match operation:
            case Deliver(weights, events, into, table):
                for row, units in enumerate(_events(memory, events)):
                    memory[into][row] = _delivered(memory, weights, units, table, memory[into][row])
            case Gather(population, total):
                _gather(memory, population, total)
            case Run() | Learn() if not _happens(operation, memory):
                continue
            case Run(program, bindings, first, place):
                arrays = {port: memory[buffer][0:1] if port in first else memory[buffer] for port, buffer in bindings}
                carry_out(program, arrays, _key(base, place))
            case Learn():
                _learn(operation, memory, _key(base, operation.place), seen)
            case Scatter(population, into):
                memory[into].fill(0)
                for row, units in enumerate(_events(memory, population)):
                    memory[into][row, units] = 1
            case Clock():
                memory[STEPS_LEFT] -= 1


def _delivered(memory: Mapping[str, Array], weights: str, units: Array, table: str, like: Array) -> Array:
    if not table:
        return memory[weights][units].sum(axis=0, dtype=like.dtype)
    offsets, targets, taps = (memory[name] for name in synapse_table(table))
    arriving = np.zeros_like(like)
    for unit in units:
        synapses = slice(offsets[unit], offsets[unit + 1])
        np.add.at(arriving, targets[synapses], memory[weights].ravel()[taps[synapses]])
    return arriving


def _happens(operation: Run | Learn, memory: Mapping[str, Array]) -> bool:
    on = not operation.switch or memory[operation.switch][0] != 0
    return bool(on and (not operation.within or 0 <= memory[STEPS_LEFT][0] < operation.within))


def _key(base: int, word: int) -> int:
    return int(mix(np.array([base], np.uint32), np.array([word], np.uint32))[0])


def _events(memory: Mapping[str, Array], population: str) -> list[Array]:
    """Active units of each row."""
    active, count = memory[f"{population}_active"], memory[f"{population}_count"]
    return [active[row, : count[row]] for row in range(len(count))]


def _gather(memory: MutableMapping[str, Array], population: str, total: str) -> None:
    for row, spikes in enumerate(memory[f"{population}_spike"]):
        units = np.flatnonzero(spikes)
        memory[f"{population}_active"][row, : units.size] = units
        memory[f"{population}_count"][row] = units.size
        if total:
            memory[total][row, units] += 1


def _learn(operation: Learn, memory: MutableMapping[str, Array], key: int, watch: Callable[[Value, Array], None] | None) -> None:
    weights, third = memory[operation.weights], memory[operation.third]
    traces = memory.get(operation.trace)
    rows = [np.flatnonzero(row) for row in traces] if traces is not None else _events(memory, operation.events)
    for row, units in enumerate(rows):
        for unit in units:
            arrays = {"weight": weights[unit], "y1": third[row]}
            if traces is not None:
                arrays["x1"] = traces[row, unit : unit + 1]
            interpret(operation.program, arrays, _key(key, row * len(weights) + int(unit)), watch=watch)
