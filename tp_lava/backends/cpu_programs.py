"""Programs compiled by Numba, and operations as they are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numba
import numpy as np
from numba import types

from tp_lava.alignment import aligned
from tp_lava.backends import cpu_calls
from tp_lava.backends.cpu_calls import Argument, inlined
from tp_lava.backends.cpu_functions import exp2
from tp_lava.backends.cpu_rows import add_parts, add_rows, add_scaled_parts, add_scaled_rows, transpose
from tp_lava.backends.cpu_source import program_body, program_source, table_names, table_source
from tp_lava.backends.scalar import scratch_of
from tp_lava.circuit.buffers import stored_weight_type
from tp_lava.circuit.operations import STEPS_LEFT
from tp_lava.dynamics.piecewise import Piecewise
from tp_lava.dynamics.program import Program
from tp_lava.numbers import draw, mix

_REASSOCIATE = {"reassoc", "nsz"}  # lets LLVM vectorise float sums; results stay the same on one machine


@inlined
def _select(condition, a, b):
    return a if condition else b


SCOPE = {
    "np": np,
    "i32": np.int32,
    "i64": np.int64,
    "u32": np.uint32,
    "u64": np.uint64,
    "f32": np.float32,
    "mix": inlined(mix),
    "draw": inlined(draw),
    "select": _select,
    "exp2": exp2,
    "add_parts": add_parts,
    "add_rows": add_rows,
    "add_scaled_parts": add_scaled_parts,
    "add_scaled_rows": add_scaled_rows,
    "transpose": transpose,
    **cpu_calls.SCOPE,
}
NO_NAMES: Mapping[str, object] = MappingProxyType({})
_functions: dict[tuple, Callable] = {}


def compile_source(source: str, signature: tuple, names: Mapping[str, object] = NO_NAMES, *, reassociate: bool = False) -> Callable:
    """Compile the function of a source for one signature, once."""
    key = (source, signature, reassociate, *names.items())
    if key not in _functions:
        scope = {**SCOPE, **names}
        exec(compile(source, "<tp_lava>", "exec"), scope)
        options: dict[str, Any] = {"fastmath": _REASSOCIATE if reassociate else False, "error_model": "numpy", "no_cpython_wrapper": True}
        name = source.split("(", 1)[0].removeprefix("def ")
        _functions[key] = numba.njit(types.void(*signature), **options)(scope[name])
    return _functions[key]


# One operation -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Compiled:
    """An operation as it is called. bound: for each argument, its buffer and whether only row 0 of it; the rest are scratch arrays.

    axes: of each bound array, by which scratch arrays get their sizes.
    """

    address: int
    arguments: tuple[Argument, ...]
    bound: tuple[tuple[str, bool], ...]
    axes: tuple[tuple[str, ...], ...] = ()
    program: Program | None = None
    random_stream: int = cpu_calls.NO_KEY
    switch: str = ""
    last_steps: int = 0
    clock: str = STEPS_LEFT
    maps: tuple[tuple[int, ...], ...] = ()  # of each bound array: (channels, positions) of its units, where it is seen so
    work: tuple[tuple[tuple[int, ...], Any], ...] = ()  # shape and type of further scratch arrays

    def arrays(self, memory: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Its arrays, scratch arrays made anew: a step is too short to make them."""
        found = [memory[buffer][0:1] if first else memory[buffer] for buffer, first in self.bound]
        found = [a.reshape(*a.shape[:-1], *maps) if maps else a for a, maps in zip(found, self.maps, strict=True)] if self.maps else found
        sizes = {axis: size for axes, array in zip(self.axes, found, strict=False) for axis, size in zip(axes, array.shape, strict=False)}
        scratch = scratch_of(self.program) if self.program else ()
        made = [np.empty([sizes[axis] for axis in s.axes], s.dtype) for s in scratch]
        return found + made + [aligned(shape, dtype) for shape, dtype in self.work]


def address_of(
    arguments: Sequence[Argument], body: Sequence[str], names: Mapping[str, object] = NO_NAMES, *, reassociate: bool = False
) -> int:
    """Compile an operation. -> where it begins. names: what its body calls beside SCOPE."""
    lines = ["def operation(key, slots):", *(f"    {line}" for line in cpu_calls.unpacked(arguments)), *body]
    return cpu_calls.address_of(compile_source("\n".join(lines) + "\n", cpu_calls.SIGNATURE, names, reassociate=reassociate))


def indented(template: str) -> list[str]:
    """The lines of a template as the body of a function."""
    return [f"    {line}" for line in template.strip("\n").splitlines()]


def arguments_of(program: Program) -> tuple[Argument, ...]:
    """Ports, then scratch arrays. Numbers are float32, or int32 in a fixed program, whose weights are narrower (see stored_weight_type)."""
    number = np.int32 if program.fixed else np.float32
    dtypes = [stored_weight_type(port.format) if port.format and port.name.startswith("weight") else number for port in program.ports]
    ports = (Argument(port.name, np.dtype(d), max(1, len(port.axes))) for port, d in zip(program.ports, dtypes, strict=True))
    return *ports, *scratch_arguments_of(program)


def scratch_arguments_of(program: Program) -> tuple[Argument, ...]:
    """The scratch arrays of a program."""
    return tuple(Argument(s.name, np.dtype(s.dtype), len(s.axes)) for s in scratch_of(program))


def _reassociates(program: Program) -> bool:
    return program.reduces and not program.fixed


def _tables(program: Program) -> dict[str, Callable]:
    return {name: _table(table) for table, name in table_names(program).items()}


@lru_cache(maxsize=64)
def _table(table: Piecewise) -> Callable:
    scope: dict[str, Any] = dict(SCOPE)
    exec(compile(table_source(table), "<tp_lava table>", "exec"), scope)
    return inlined(scope["table"])


def compiled_program(program: Program) -> tuple[int, tuple[Argument, ...]]:
    """A program as an operation. -> where it begins, and its arguments."""
    arguments = arguments_of(program)
    return address_of(arguments, program_body(program), _tables(program), reassociate=_reassociates(program)), arguments


def carry_out(program: Program, arrays: MutableMapping[str, np.ndarray], key: int = 0) -> None:
    """Run a program in place, as interpret does.

    arrays: port name -> C-contiguous array, int32 or float32 (weights see stored_weight_type).
    """
    address, arguments = compiled_program(program)
    ports = tuple((port.name, False) for port in program.ports)
    bound = Compiled(address, arguments, ports, tuple(port.axes for port in program.ports), program).arrays(arrays)
    slots = cpu_calls.slots_of(arguments, bound)
    call = np.array([cpu_calls.call_of(address, slots)], np.int64)
    cpu_calls.with_key()(call, np.uint32(key))


def row_program(program: Program) -> Callable:
    """The program of one row of weights, as the operations that learn call it."""
    arrays = tuple(types.Array(numba.from_dtype(a.dtype), a.dimensions, "C") for a in arguments_of(program))
    key = (types.uint32,) if program.uses_random else ()
    return compile_source(program_source(program), key + arrays, _tables(program), reassociate=_reassociates(program))
