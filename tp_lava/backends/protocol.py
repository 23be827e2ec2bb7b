"""What a back end is: something that compiles a circuit, or some of its operations, and carries them out on its memory.

A back end has one function for each kind of operation and one for each instruction, in two tables. What is not in a table it
refuses by name. Random bits are drawn from a key and indices (numbers.mix, numbers.draw), so order and threads do not matter.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from tp_lava.circuit import Circuit, Operation
from tp_lava.circuit.operations import INPUT_VALUES, events_of
from tp_lava.errors import invalid
from tp_lava.graph.names import INPUT

MOST_THREADS = 1024  # that share the work of one step
Memory = MutableMapping[str, np.ndarray]
T = TypeVar("T")


class Compiled(Protocol):
    """Operations of a circuit, ready to be carried out."""

    def steps(
        self,
        memory: Memory,
        offsets: np.ndarray,
        units: np.ndarray,
        begin: int,
        end: int,
        values: np.ndarray | None = None,
        constant: bool = False,
    ) -> None:
        """Steps begin..end-1 of one sample per row. units: int32, the active inputs of all rows; offsets: int32 (rows, T + 1).

        values: one for each of the units, as memory holds them, where the input is graded; constant: they are the same in all steps.
        """

    def once(self, memory: Memory) -> None:
        """Carry the operations out once; steps are not counted."""


class BackEnd(Protocol):
    """name: as errors call it."""

    name: str

    def compile(self, circuit: Circuit, operations: Sequence[Operation] | None = None) -> Compiled:
        """Make code of a circuit's step, or of some of its operations. Raises InvalidValueError for what it does not have."""


class StepByStep(ABC):
    """A Compiled of back ends that carry out a step at a time: lists the input's events, then carries the operations out."""

    circuit: Circuit

    @abstractmethod
    def once(self, memory: Memory) -> None:
        """See Compiled."""

    def steps(
        self,
        memory: Memory,
        offsets: np.ndarray,
        units: np.ndarray,
        begin: int,
        end: int,
        values: np.ndarray | None = None,
        constant: bool = False,
    ) -> None:
        """See Compiled."""
        active, count = (memory[name] for name in events_of(INPUT))
        for step in range(begin, end):
            for row, bounds in enumerate(offsets):
                here = slice(bounds[step], bounds[step + 1])
                if values is not None:
                    memory[INPUT_VALUES][row] = 0
                    memory[INPUT_VALUES][row, units[here]] = values[here]
                now = units[here]
                active[row, : len(now)], count[row] = now, len(now)
            self.once(memory)
            if self.circuit.learns:
                count_step(memory)


def count_step(memory: Mapping[str, np.ndarray]) -> None:
    """A step that learned is over: fresh random bits from now on. In place, so that a read-only view of the memory will do."""
    counter = memory["random_step"]
    np.add(counter, np.uint32(1), out=counter)


def entry(back_end: str, kind: str, table: Mapping[Any, T], key: object, name: str) -> T:
    """What a back end's table has for an operation or an instruction. Raises InvalidValueError, naming what it does not have."""
    found = table.get(key)
    if found is None:
        known = ", ".join(sorted(getattr(k, "__name__", str(k)) for k in table))
        raise invalid(back_end, kind, name, f"one of {known}", "use another back end, or add it to this one's table")
    return found


def operation_entry(back_end: str, table: Mapping[type[Operation], Callable], operation: Operation) -> Callable:
    """The function of a back end for an operation."""
    return entry(back_end, "operation", table, type(operation), type(operation).__name__)
