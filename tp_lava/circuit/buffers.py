"""The arrays of a circuit: whose each is, what it is for, and how it holds its numbers.

Every buffer and every operation has an owner. Rows: axis "b" has one for each sample, other row axes are a rule's own. Weights are
stored with the units they reach last: (n_in, n_out), (c, ky, kx, channels).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from tp_lava.numbers import WEIGHT_BITS, Format

OwnerKind = Literal["input", "population", "connection", "plasticity", "credit", "readout", "rule", "circuit"]
Role = Literal["weight", "kernel", "bias", "parameter", "switch", "moment", "table", "state", "work", "label", "random"]
SAMPLES = "b"  # the row axis of samples presented together


@dataclass(frozen=True)
class Owner:
    """Whose a buffer or an operation is.

    kind: "population" (neurons and their third factors), "connection" (weights and their delivery), "plasticity" (what changes the
    weights or biases `name`), "credit" (what tells population `name` how wrong it is), "readout", "rule" (what a rule has of
    its own, such as how labels enter), "input" and "circuit" (counters); name: of the population, weights or population of the rule.
    """

    kind: OwnerKind
    name: str = ""

    def __post_init__(self) -> None:
        assert self.kind in get_args(OwnerKind), self.kind


CIRCUIT = Owner("circuit")


def stored_weight_type(weight: Format) -> type:
    """The integer type that stores weights of a fixed format; accumulated changes use int32."""
    return np.int8 if weight.bits <= WEIGHT_BITS else np.int16 if weight.bits <= 2 * WEIGHT_BITS else np.int32


@dataclass(frozen=True)
class Buffer:
    """One array.

    role: weight, kernel (of a convolution), bias, parameter, switch (a whole number that users may change, as
    parameters), moment (of an optimiser: kept from sample to sample), table (of a layout: never changes), state (zeroed when
    a sample starts), work, label (set when a sample starts), or random (seed and step counter); format: None in a real circuit;
    index: holds unit numbers or counts, in either number system; owner: whose it is; local: its name within its owner; prefix: of the
    local names of its path through a population; outputs_last: memory has the units or channels that weights reach as its last axis,
    users have them as the first.
    """

    name: str
    axes: tuple[str, ...]
    role: Role
    format: Format | None = None
    index: bool = False
    owner: Owner = CIRCUIT
    local: str = ""
    prefix: str = ""
    outputs_last: bool = False

    @property
    def dtype(self) -> type:
        """How it is stored: fixed weights in a byte, other fixed numbers in a register, real ones as float32."""
        if self.role == "random":
            return np.uint32
        if self.index:
            return np.int32
        if self.format is None:
            return np.float32
        return stored_weight_type(self.format) if self.role in ("weight", "kernel") else np.int32

    def seen(self, array: np.ndarray) -> np.ndarray:
        """A view of a stored array with its axes in the order that users know."""
        return np.moveaxis(array, -1, 0) if self.outputs_last else array

    def stored(self, array: np.ndarray) -> np.ndarray:
        """The inverse: a copy with its axes in the order of memory."""
        return np.ascontiguousarray(np.moveaxis(array, 0, -1) if self.outputs_last else array)

    def encode(self, values: object) -> np.ndarray:
        """The array that memory holds for physical values: mantissas if fixed."""
        array = np.asarray(values)
        array = np.moveaxis(array, 0, -1) if self.outputs_last else np.atleast_1d(array)
        return np.array(self.format.quantise(array) if self.format else array, self.dtype, order="C")

    def decode(self, array: np.ndarray) -> np.ndarray:
        """The inverse of encode, a float32 copy (exact for weights)."""
        values = self.format.real(array) if self.format else array
        return np.array(self.seen(values), np.float32, order="C")


def axes_of(weights: Buffer) -> tuple[str, ...]:
    """Short names of the axes of stored weights: biases, matrices, kernels, kernels of all positions."""
    return {1: ("post",), 2: ("pre", "post"), 4: ("in", "y", "x", "out"), 6: ("oy", "ox", "in", "y", "x", "out")}[len(weights.axes)]


def reaching_axes(weights: Buffer) -> tuple[str, ...]:
    """The axes over which the weights of one unit extend, or of one channel where positions share weights."""
    return ("pre",) if len(weights.axes) == 2 else ("in", "y", "x")


def rows_in_use(array: np.ndarray, axes: tuple[str, ...], used: Mapping[str, int]) -> np.ndarray:
    """The first rows of an array. used: row axis -> how many of its rows are in use."""
    if not any(axis in used for axis in axes):
        return array
    return array[tuple(slice(used[axis]) if axis in used else slice(None) for axis in axes)]
