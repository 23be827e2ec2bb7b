"""A circuit: a network and a rule as hardware sees them - named buffers and the order of operations in one step.

The interpreter and the CPU target carry out the same list of operations; Lava's models hold the buffers as
Vars. wiring.py makes circuits.

Populations and their rows: "input" and "hidden<l>" have one row per sample (axis b), "label" and "target<l>"
one per target stream (axis k). A population's events are a list of active units per row, so delivering and
learning cost what spikes, not what synapses there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tp_lava.connections import Synapses
from tp_lava.dynamics.program import Program
from tp_lava.fixedpoint import Formats
from tp_lava.network import Network
from tp_lava.numbers import WEIGHT_BITS, Format


def held_as(weight: Format) -> type:
    """How weights of a fixed format are stored; what they change by is wider."""
    return np.int8 if weight.bits <= WEIGHT_BITS else np.int16 if weight.bits <= 2 * WEIGHT_BITS else np.int32


@dataclass(frozen=True)
class Buffer:
    """One array.

    role: weight, kernel (weights that synapses share), bias, parameter, switch (a whole number that users may change, as
    parameters), moment (of an optimiser: kept from sample to sample), table (of synapses: never changes), state (zeroed when
    a sample starts), work, or random (seed and step counter); format: None in a real circuit; index: holds unit numbers or
    counts, in either number system.
    """

    name: str
    axes: tuple[str, ...]
    role: str
    format: Format | None = None
    index: bool = False

    @property
    def dtype(self) -> type:
        """How it is stored: fixed weights in a byte, other fixed numbers in a register, real ones as float32."""
        if self.role == "random":
            return np.uint32
        if self.index:
            return np.int32
        if self.format is None:
            return np.float32
        return held_as(self.format) if self.role in ("weight", "kernel") else np.int32

    @property
    def turned(self) -> bool:
        """Whether it is stored as (n_in, n_out) and seen as (n_out, n_in): weights, and what they are to change by."""
        return self.role == "weight" or (self.name.endswith("_change") and len(self.axes) == 2)

    def seen(self, array: np.ndarray) -> np.ndarray:
        """A stored array as it is seen, a view."""
        return array.T if self.turned else array

    def encode(self, values: object) -> np.ndarray:
        """Physical values as they are stored: weights transposed to (n_in, n_out), mantissas if fixed."""
        array = np.asarray(values, np.float64)
        array = array.T if self.turned else np.atleast_1d(array)
        return np.ascontiguousarray(self.format.quantise(array) if self.format else array, self.dtype)

    def decode(self, array: np.ndarray) -> np.ndarray:
        """The inverse of encode, a float32 copy (exact for weights)."""
        values = self.format.real(array) if self.format else array
        return np.array(self.seen(values), np.float32, order="C")


@dataclass(frozen=True)
class Deliver:
    """into[row] = sum of the weights of the active units of population `events` in that row.

    table: of synapses that share weights: its buffers are `table`_offsets, _targets and _taps (see connections.Synapses).
    """

    weights: str
    events: str
    into: str
    table: str = ""


@dataclass(frozen=True)
class Run:
    """Carry out a program. bindings: port -> buffer; first: ports that see row 0 of their buffer only; place: of random bits.

    switch: if given, only where it is not 0; within: if not 0, only in the last so many steps of a sample.
    """

    program: Program
    bindings: tuple[tuple[str, str], ...]
    first: tuple[str, ...] = ()
    place: int = 0
    switch: str = ""
    within: int = 0


@dataclass(frozen=True)
class Learn:
    """For each row and active presynaptic unit, run a plasticity program on that unit's row of weights, if `switch` is not 0.

    Active are the units of population `events` or, if `trace` is given, those whose trace is not zero.
    within: if not 0, only in the last so many steps of a sample.
    """

    program: Program
    weights: str
    third: str
    switch: str
    events: str = ""
    trace: str = ""
    place: int = 0
    within: int = 0


@dataclass(frozen=True)
class Gather:
    """Turn a population's spikes into its events; total: buffer to which they are also added, or ""."""

    population: str
    total: str = ""


@dataclass(frozen=True)
class Scatter:
    """The inverse: 1 where a population has an event, else 0, into a buffer."""

    population: str
    into: str


@dataclass(frozen=True)
class Clock:
    """Count the sample's steps down: after it, STEPS_LEFT has those still to come."""


Operation = Deliver | Run | Learn | Gather | Scatter | Clock
STEPS_LEFT = "steps_left"
NO_END = 2**30  # steps left of a sample whose length nobody told


def touched(operation: Operation) -> tuple[str, ...]:
    """Names of the buffers an operation reads or writes."""
    match operation:
        case Deliver(weights, events, into, table):
            return weights, f"{events}_active", f"{events}_count", into, *synapse_table(table)
        case Run(_, bindings, switch=switch):
            return *(buffer for _, buffer in bindings), *((switch,) if switch else ()), *_clock(operation)
        case Learn(_, weights, third, switch, events, trace):
            return weights, third, switch, *((trace,) if trace else (f"{events}_active", f"{events}_count")), *_clock(operation)
        case Scatter(population, into):
            return f"{population}_active", f"{population}_count", into
        case Clock():
            return (STEPS_LEFT,)
        case Gather(population, total):
            lists = f"{population}_spike", f"{population}_active", f"{population}_count"
            return (*lists, total) if total else lists


def synapse_table(table: str) -> tuple[str, ...]:
    """Names of the buffers of a table of synapses; none for ""."""
    return tuple(f"{table}_{column}" for column in Synapses._fields) if table else ()


def _clock(operation: Run | Learn) -> tuple[str, ...]:
    return (STEPS_LEFT,) if operation.within else ()


@dataclass(frozen=True)
class Circuit:
    """sizes: axis -> length; buffers by name; step: the operations of one time step, in order.

    values: physical value of every parameter, switch and weight by buffer name, to start with; rates: buffers that a
    schedule scales.
    """

    network: Network
    sizes: Mapping[str, int]
    buffers: Mapping[str, Buffer]
    step: tuple[Operation, ...]
    formats: Formats = field(repr=False)
    values: Mapping[str, object] = field(repr=False)
    rates: tuple[str, ...] = ()

    @property
    def fixed(self) -> bool:
        """Whether its numbers are integers."""
        return bool(self.formats)

    @property
    def learns(self) -> bool:
        """Whether its step changes weights."""
        return any(isinstance(operation, Learn) for operation in self.step)

    @property
    def needs_length(self) -> bool:
        """Whether it must be told how many steps a sample has."""
        return STEPS_LEFT in self.buffers

    def allocate(self) -> dict[str, np.ndarray]:
        """Zeroed arrays for every buffer; buffers without axes have one element."""
        return {b.name: np.zeros([self.sizes[a] for a in b.axes] or [1], b.dtype) for b in self.buffers.values()}

    def names(self, role: str) -> tuple[str, ...]:
        """Names of the buffers of a role."""
        return tuple(b.name for b in self.buffers.values() if b.role == role)


def rows_in_use(array: np.ndarray, axes: Sequence[str], streams: int) -> np.ndarray:
    """The part of an array that belongs to the first `streams` target streams."""
    return array[tuple(slice(streams) if axis == "k" else slice(None) for axis in axes)] if "k" in axes else array
