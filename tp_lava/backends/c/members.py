"""The arrays of a C library: where each lives, and which operations say so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import numpy as np

from tp_lava.circuit import STEPS_LEFT, Clock, Deliver, Gather, Learn, Operation, Run, Scatter

BYTES = {f"{sign}int{bits}_t": bits // 8 for sign in ("", "u") for bits in (8, 16, 32)}
STRUCTS = ("learned", "sample", "work", "switches")


@dataclass(frozen=True)
class Member:
    """One array of the library. place: the struct it is a member of, or "constant"; start: its values, None where they are zero."""

    name: str
    type: str
    place: str
    shape: tuple[int, ...]
    format: str
    start: np.ndarray | None = None

    @property
    def cells(self) -> int:
        """Number of its elements."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Memory it takes."""
        return self.cells * BYTES[self.type]

    @property
    def where(self) -> str:
        """The array as the source writes it."""
        return f"const_{self.name}" if self.place == "constant" else f"s->{self.place}.{self.name}"

    @property
    def declaration(self) -> str:
        """As a member of its struct."""
        return f"{self.type} {self.name}[{self.cells}];"


def written(operation: Operation) -> tuple[str, ...]:
    """Names of the buffers an operation changes."""
    match operation:
        case Deliver(into=into) | Scatter(into=into):
            return (into,)
        case Run(program, bindings):
            buffers = dict(bindings)
            return tuple(buffers[port] for port, _ in program.writes)
        case Learn(weights=weights):
            return (weights,)
        case Gather(population, total):
            return f"{population}_active", f"{population}_count", *((total,) if total else ())
        case Clock():
            return (STEPS_LEFT,)


def bound_formats(operations: Iterable[Operation]) -> dict[str, list]:
    """Buffer -> formats of the ports it is bound to; None where sums of any size are written."""
    bound: dict[str, list] = {}
    for operation in operations:
        if isinstance(operation, Run):
            for port, buffer in operation.bindings:
                bound.setdefault(buffer, []).append(operation.program.port(port).format)
        elif isinstance(operation, Deliver):
            bound.setdefault(operation.into, []).append(None)
        elif isinstance(operation, Learn):
            bound.setdefault(operation.weights, []).append(operation.program.port("weight").format)
    return bound


def described(m: Member) -> str:
    """An array in the words of a comment."""
    return " ".join([m.name if m.place == "constant" else "", " x ".join(map(str, m.shape)), m.format]).strip()
