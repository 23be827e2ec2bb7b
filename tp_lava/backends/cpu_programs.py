"""Programs compiled by Numba, and operations as they are called."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from tp_lava.alignment import aligned
from tp_lava.backends import cpu_calls, cpu_code, cpu_loops
from tp_lava.backends.cpu_calls import PART_OF_SEVERAL, Argument
from tp_lava.backends.cpu_operation import KEY, Source, operation
from tp_lava.backends.cpu_text import LOOPS, Text, operation_text, unpacked_in
from tp_lava.backends.cpu_vectors import program_text
from tp_lava.backends.loops import loop_form
from tp_lava.backends.scalar import Scratch, scratch_of
from tp_lava.circuit.buffers import stored_weight_type
from tp_lava.circuit.operations import STEPS_LEFT
from tp_lava.dynamics.program import REDUCTIONS, Program

NO_NAMES: Mapping[str, Source] = MappingProxyType({})


# One operation -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Compiled:
    """An operation as it is called. bound: for each argument, its buffer and whether only row 0 of it; the rest are scratch arrays.

    axes: of each bound array, by which scratch arrays get their sizes; parts: if there are several, each has scratch arrays of its own and
    one more argument, cpu_calls.PART; count, least: see cpu_shares.
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
    flag: str = ""  # see cpu_changes
    parts: int = 1
    count: str = ""
    least: int = 0

    def __post_init__(self) -> None:
        _ = self._scratch  # here, so that a process forked later need not find it out in its first step

    @cached_property
    def _scratch(self) -> tuple[Scratch, ...]:
        return scratch_of(self.program, vectors=True) if self.program else ()

    def arrays(self, memory: Mapping[str, np.ndarray], part: tuple[int, int] = (0, 1)) -> list[np.ndarray]:
        """The arrays of a part, see cpu_calls.PART, scratch arrays made anew: a step is too short to make them."""
        found = [memory[buffer][0:1] if first else memory[buffer] for buffer, first in self.bound]
        found = [a.reshape(*a.shape[:-1], *maps) if maps else a for a, maps in zip(found, self.maps, strict=True)] if self.maps else found
        sizes = {axis: size for axes, array in zip(self.axes, found, strict=False) for axis, size in zip(axes, array.shape, strict=False)}
        made = [np.empty([sizes[axis] for axis in s.axes], s.dtype) for s in self._scratch]
        number = [np.array(part, np.int64)] if self.parts > 1 else []
        return found + made + [aligned(shape, dtype) for shape, dtype in self.work] + number


def address_of(arguments: Sequence[Argument], body: Sequence[str], names: Mapping[str, Source] = NO_NAMES) -> int:
    """Compile an operation in Python. -> where it begins."""
    return cpu_code.address_of(operation(arguments, body, names))


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
    return tuple(Argument(s.name, np.dtype(s.dtype), len(s.axes)) for s in scratch_of(program, vectors=True))


def part_of(shared: bool) -> tuple[Argument, ...]:
    """The further argument of an operation that is shared."""
    return (PART_OF_SEVERAL,) if shared else ()


def compiled_program(program: Program, shared: str = "") -> tuple[int, tuple[Argument, ...]]:
    """A program as an operation. shared: the axis of which each part has some elements. -> where it begins, and its arguments."""
    arguments, text = (*arguments_of(program), *part_of(bool(shared))), Text()
    passed, flat = unpacked_in(text, arguments), flattened(program)
    passed, part = (passed[:-1], passed[-1][0]) if shared else (passed, None)
    if flat:
        passed, shared = [[at, text.product(shape)] for at, *shape in passed], shared and flat.axes[-1]
    made = flat or program
    if part:
        size = next(words[1 + p.axes.index(shared)] for words, p in zip(passed, made.ports, strict=False) if shared in p.axes)
        passed.append([*text.own(part, size)])
    text.line(f"call void @program({', '.join(['i32 %key', *(str(word) for words in passed for word in words)])})")
    return operation_of(text, made, shared), arguments


def shareable(program: Program) -> tuple[str, ...]:
    """The axes by whose elements a program can be divided: what it writes has them, and nothing is summed up over them."""
    reduced = {i["axis"] for i in program.instructions if i.op in REDUCTIONS}
    written = [program.port(port).axes for port, _ in program.writes]
    return tuple(axis for axis in program.axes if axis not in reduced and all(axis in axes for axes in written))


def flattened(program: Program) -> Program | None:
    """The same over one axis, all elements of its arrays in a row; None where it may not be taken so."""
    axes = program.axes
    if len(axes) < 2 or program.reduces or program.uses_random or any(port.axes not in ((), axes) for port in program.ports):
        return None
    ports = tuple(replace(port, axes=port.axes[-1:]) for port in program.ports)
    flat = replace(program, axes=axes[-1:], ports=ports, values=tuple(replace(value, axes=value.axes[-1:]) for value in program.values))
    return None if loop_form(flat, vectors=True).kept else flat


def operation_of(text: Text, program: Program, shared: str = "") -> int:
    """Compile an operation that calls @program. shared: see program_text. -> where it begins."""
    return cpu_code.address_of(operation_text(text, program_text(program, arguments_of(program), shared)))


def carry_out(program: Program, arrays: MutableMapping[str, np.ndarray], key: int = 0) -> None:
    """Run a program in place, as interpret does.

    arrays: port name -> C-contiguous array, int32 or float32 (weights see stored_weight_type).
    """
    address, arguments = compiled_program(program)
    ports = tuple((port.name, False) for port in program.ports)
    bound = Compiled(address, arguments, ports, tuple(port.axes for port in program.ports), program).arrays(arrays)
    slots = cpu_calls.slots_of(arguments, bound)
    call = np.array([cpu_calls.call_of(address, slots)], np.int64)
    cpu_loops.with_key(call, key)


def row_program(program: Program) -> Source:
    """The program of one row of weights, as operations in Python call it."""
    key, arguments = ((KEY,) if program.uses_random else ()), arguments_of(program)
    return Source(program_text(program, arguments) + LOOPS, (*key, *arguments), language="llvm")
