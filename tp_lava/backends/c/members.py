"""The arrays of a C library: which there are, how they are stored, and where each lives.

Arrays that no step changes are constants; the rest is one struct: what lasts (`learned`), what is zeroed when a sample starts
(`sample`), what a step works with (`work`), and switches. Each number is stored in the smallest type that holds its formats.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from tp_lava.backends.c.program import REGISTER, c_type
from tp_lava.circuit import Accumulate, AccumulateProducts, Buffer, Circuit, Delay, Operation, RunProgram, Unpool, UpdateWeights
from tp_lava.circuit.operations import events_of
from tp_lava.graph.names import INPUT
from tp_lava.numbers import Format

TYPES = {f"{sign}int{bits}_t": getattr(ctypes, f"c_{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32)}
STRUCTS = {
    "learned": "what lasts: save this to go on later",
    "sample": "of a sample: zeroed when one starts",
    "work": "of a single step",
    "switches": "yours to change between samples: 0 puts a layer to rest",
}
CONSTANT = "constant"
_PLACES = {"state": "sample", "label": "sample", "work": "work", "switch": "switches"}  # of roles; others last
_LONGEST_SHORT = 2**16 - 1


@dataclass(frozen=True, eq=False)
class Member:
    """One array. place: the struct it is a member of, or CONSTANT; role: as of its buffer; start: its values, None where they are zero."""

    name: str
    type: str
    place: str
    shape: tuple[int, ...]
    role: str
    format: Format | None = None
    start: np.ndarray | None = None

    @property
    def cells(self) -> int:
        """Number of its elements."""
        return prod(self.shape)

    @property
    def bytes_each(self) -> int:
        """Memory that an element takes."""
        return ctypes.sizeof(TYPES[self.type])

    @property
    def bytes(self) -> int:
        """Memory it takes."""
        return self.cells * self.bytes_each

    @property
    def where(self) -> str:
        """The array as the source writes it."""
        return f"const_{self.name}" if self.place == CONSTANT else f"s->{self.place}.{self.name}"

    @property
    def told(self) -> str:
        """Its shape and format, as a comment says them."""
        return " x ".join(map(str, self.shape)) + (f" {self.format}" if self.format else "")


def in_structs(members: Iterable[Member]) -> dict[str, list[Member]]:
    """The members of each struct that has any, the widest first."""
    held = {place: sorted((m for m in members if m.place == place), key=lambda m: -m.bytes_each) for place in STRUCTS}
    return {place: found for place, found in held.items() if found}


def layout_of(members: Iterable[Member]) -> type[ctypes.Structure]:
    """The state struct as C lays it out, for this machine."""

    def structure(name: str, fields: list[tuple[str, type]]) -> type[ctypes.Structure]:
        return type(name, (ctypes.Structure,), {"_fields_": fields})

    structs = {place: [(m.name, TYPES[m.type] * m.cells) for m in held] for place, held in in_structs(members).items()}
    return structure("state", [*((place, structure(place, fields)) for place, fields in structs.items()), ("labelled", ctypes.c_int32)])


def unit_type(circuits: Iterable[Circuit]) -> str:
    """The type of unit numbers and of how many units are active."""
    return "uint16_t" if max(size for circuit in circuits for size in circuit.sizes.values()) <= _LONGEST_SHORT else REGISTER


def members_of(
    circuits: Sequence[Circuit], operations: Sequence[Operation], memory: Mapping[str, np.ndarray] | None, *, lists_input: bool
) -> Iterator[Member]:
    """The arrays that operations of these circuits use.

    memory: what they start with, and what never changes; None: both come later. lists_input: the input's events are listed in arrays.
    """
    buffers = {name: buffer for circuit in reversed(circuits) for name, buffer in circuit.buffers.items()}
    sizes = {axis: size for circuit in circuits for axis, size in circuit.sizes.items()}
    used = {name for operation in operations for name in operation.touches}
    used |= {count for circuit in circuits for count in circuit.row_counts.values()}
    used -= set() if lists_input else set(events_of(INPUT))
    used -= {getattr(operation, "geometry", "") for operation in operations}  # written as numbers
    changed = {name for operation in operations for name in operation.writes}
    units, formats = _unit_numbers(operations), _formats(operations)
    for name, buffer in buffers.items():
        if name not in used or buffer.role == "random":
            continue
        place = _PLACES.get(buffer.role, "learned")
        if memory is not None and place == "learned" and name not in changed:
            place = CONSTANT
        start = np.asarray(memory[name]) if memory is not None and place not in ("sample", "work") else None
        narrow = name in units or (place == CONSTANT and start is not None and start.max(initial=0) <= _LONGEST_SHORT)
        type_ = (unit_type(circuits) if narrow else REGISTER) if buffer.index else _number_type(buffer, formats.get(name, []))
        yield Member(name, type_, place, tuple(sizes[axis] for axis in buffer.axes) or (1,), buffer.role, buffer.format, start)
    yield from (_counter(name, memory) for name in ("random_seed", "random_step", "samples_seen") if memory is not None or name in buffers)


def _counter(name: str, memory: Mapping[str, np.ndarray] | None) -> Member:
    start = None if memory is None else np.array([int(memory[name][0]) & 0xFFFFFFFF], np.uint32)
    return Member(name, "uint32_t", "learned", (1,), "random", start=start)


def _unit_numbers(operations: Iterable[Operation]) -> set[str]:
    """Buffers that list events: they hold unit numbers, and how many there are."""
    populations = {getattr(operation, field, INPUT) for operation in operations for field in ("events", "population")}
    delays = [operation for operation in operations if isinstance(operation, Delay)]
    waiting = {name for o in delays for name in (o.pending, o.waiting, o.slot)}
    return {name for population in populations | {o.into for o in delays} for name in events_of(population)} | waiting


def _formats(operations: Iterable[Operation]) -> dict[str, list[Format | None]]:
    """Buffer -> formats of the ports it is bound to; None where sums are gathered in it."""
    bound: dict[str, list[Format | None]] = {}
    for o in operations:
        if isinstance(o, RunProgram | UpdateWeights):
            for port, buffer in o.bindings:
                bound.setdefault(buffer, []).append(o.program.port(port).format)
        elif isinstance(o, Accumulate | AccumulateProducts | Unpool):
            bound.setdefault(o.change if isinstance(o, AccumulateProducts) else o.into, []).append(None)
    return bound


def _number_type(buffer: Buffer, formats: list[Format | None]) -> str:
    types = [c_type(format) for format in (buffer.format, *formats)]
    return max(types, key=lambda name: (ctypes.sizeof(TYPES[name]), name))
