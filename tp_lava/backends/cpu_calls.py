"""How compiled operations are called: all alike, by address, so that one loop, compiled once, runs every circuit.

An operation is a function of a key and of slots: for each of its arrays, C-contiguous, the address and then the shape. A call is a row of
numbers, named by the constants here; what its slots point to must be kept alive by who made them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FUNCTION, SLOTS, RANDOM_STREAM, SWITCH, CLOCK, LAST_STEPS, FLAG, CALL_WIDTH = range(8)  # columns of a call
NO_KEY = -1  # random stream of an operation that draws nothing
PART = "part"  # argument of an operation whose calls share its work: number of the part, and how many there are
KINDS = {np.dtype(t): t.__name__ for t in (np.float32, np.int32, np.int16, np.int8, np.uint32, np.int64, np.bool_)}


@dataclass(frozen=True)
class Argument:
    """An array that an operation takes."""

    name: str
    dtype: np.dtype
    dimensions: int


PART_OF_SEVERAL = Argument(PART, np.dtype(np.int64), 1)


def unpacked(arguments: Sequence[Argument]) -> list[str]:
    """Source lines that make arrays of an operation's slots."""
    lines = [f"slot = carray(slots, ({sum(1 + a.dimensions for a in arguments)},))"]
    place = 0
    for a in arguments:
        shape = "".join(f"slot[{place + 1 + dimension}], " for dimension in range(a.dimensions))
        lines.append(f"{a.name} = carray({KINDS[a.dtype]}_at(slot[{place}]), ({shape}))")
        place += 1 + a.dimensions
    return lines


def slots_of(arguments: Sequence[Argument], arrays: Sequence[np.ndarray]) -> np.ndarray:
    """The slots of an operation for its arrays. Raises TypeError for one that is not what the operation was compiled for."""
    slots: list[int] = []
    for a, array in zip(arguments, arrays, strict=True):
        if array.dtype != a.dtype or array.ndim != a.dimensions or not array.flags.c_contiguous:
            raise TypeError(
                f"{a.name} is {array.dtype} of shape {array.shape}{'' if array.flags.c_contiguous else ', not C-contiguous'}; "
                f"it must be a C-contiguous {a.dtype} of {a.dimensions} dimensions; replace it by one like that it was made with."
            )
        slots += [where(array), *array.shape]
    return np.array(slots, np.int64)


def where(array: np.ndarray) -> int:
    """The address of an array's first element."""
    return array.__array_interface__["data"][0]


def call_of(
    function: int,
    slots: np.ndarray,
    random_stream: int = NO_KEY,
    switch: np.ndarray | None = None,
    clock: np.ndarray | None = None,
    last_steps: int = 0,
    flag: np.ndarray | None = None,
) -> list[int]:
    """A call. switch: it is made only while this is not 0; clock: and, if `last_steps` is not 0, while this is in 0..last_steps - 1.

    flag: and while this is not 0, which it is then.
    """
    call = [0] * CALL_WIDTH
    call[FUNCTION], call[SLOTS], call[RANDOM_STREAM], call[LAST_STEPS] = function, where(slots), random_stream, last_steps
    call[SWITCH] = 0 if switch is None else where(switch)
    call[CLOCK] = 0 if clock is None else where(clock)
    call[FLAG] = 0 if flag is None else where(flag)
    return call
