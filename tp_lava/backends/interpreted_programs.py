"""The reference interpreter of programs: carried out instruction by instruction on NumPy arrays.

Slow and obviously right. It defines fixed point: every other target equals it bit for bit. It checks on
every run that each value stays in the interval the tracer proved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass

import numpy as np

from tp_lava.backends.protocol import entry
from tp_lava.dynamics.program import Instruction, Port, Program, Value
from tp_lava.numbers import REGISTER_BITS, draw, mix

NAME = "interpreter"
Array = np.ndarray


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
