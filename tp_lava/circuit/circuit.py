"""A circuit: a network and a rule as hardware sees them - buffers with owners, and the order of operations in one step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from tp_lava.circuit.buffers import Buffer, Owner
from tp_lava.circuit.formats import Formats
from tp_lava.circuit.operations import STEPS_LEFT, Operation, PresentLabels
from tp_lava.graph.network import Network


@dataclass(frozen=True)
class Circuit:
    """sizes: axis -> length; buffers by name; step: the operations of one time step, in order; start: those of a sample's start.

    values: physical value of every parameter, switch and weight by buffer name, to start with; rates: buffers that a
    schedule scales; row_counts: row axis -> buffer that says how many of its rows are in use.
    """

    network: Network
    sizes: Mapping[str, int]
    buffers: Mapping[str, Buffer]
    step: tuple[Operation, ...]
    formats: Formats = field(repr=False)
    values: Mapping[str, object] = field(repr=False)
    rates: tuple[str, ...] = ()
    start: tuple[PresentLabels, ...] = ()
    row_counts: Mapping[str, str] = field(default_factory=dict)

    @property
    def fixed(self) -> bool:
        """Whether its numbers are integers."""
        return bool(self.formats)

    @property
    def learns(self) -> bool:
        """Whether its step changes weights, kernels or biases."""
        return any(self.buffers[name].role in ("weight", "kernel", "bias") for operation in self.step for name in operation.writes)

    @property
    def needs_length(self) -> bool:
        """Whether it must be told how many steps a sample has."""
        return STEPS_LEFT in self.buffers

    def of(self, *owners: Owner) -> tuple[Operation, ...]:
        """The operations of these owners, in the order of a step."""
        return tuple(operation for operation in self.step if operation.owner in owners)

    def owned(self, *owners: Owner) -> tuple[Buffer, ...]:
        """The buffers of these owners."""
        return tuple(buffer for buffer in self.buffers.values() if buffer.owner in owners)

    def owners(self, kind: str) -> tuple[Owner, ...]:
        """The owners of a kind, in the order of a step."""
        found = [operation.owner for operation in self.step] + [buffer.owner for buffer in self.buffers.values()]
        return tuple(dict.fromkeys(owner for owner in found if owner.kind == kind))

    def buffer(self, owner: Owner, local: str) -> Buffer:
        """The buffer that an owner calls `local`. Raises KeyError."""
        for buffer in self.buffers.values():
            if buffer.owner == owner and buffer.local == local:
                return buffer
        raise KeyError(f"{owner} has no {local!r}")

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a buffer's array; buffers without axes have one element."""
        return tuple(self.sizes[axis] for axis in self.buffers[name].axes) or (1,)

    def allocate(self) -> dict[str, np.ndarray]:
        """Zeroed arrays for every buffer."""
        return {buffer.name: np.zeros(self.shape(buffer.name), buffer.dtype) for buffer in self.buffers.values()}

    def names(self, role: str) -> tuple[str, ...]:
        """Names of the buffers of a role."""
        return tuple(b.name for b in self.buffers.values() if b.role == role)

    def rows_used(self, memory: Mapping[str, np.ndarray]) -> dict[str, int]:
        """Row axis -> how many of its rows are in use now, where not all are."""
        if not self.row_counts:
            return {}
        used = {axis: int(memory[count][0]) for axis, count in self.row_counts.items()}
        return {axis: rows for axis, rows in used.items() if rows != self.sizes[axis]}


def touched(operations: Iterable[Operation]) -> tuple[str, ...]:
    """Names of the buffers that operations read or write, each once, in order."""
    return tuple(dict.fromkeys(name for operation in operations for name in operation.touches))
