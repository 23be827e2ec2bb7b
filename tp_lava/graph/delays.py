"""Delays of a connection: spikes of a unit arrive some steps later, at one synapse of each neuron or, in copies, at several.

A unit with c copies is c units for whoever is behind the connection, copy by copy: number k * n + j is copy k of unit j. Each copy
has weights of its own, so a neuron learns which delay of its input tells it something.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tp_lava.errors import invalid

MOST_STEPS = 63  # of Loihi 2's synapses: six bits


@dataclass(frozen=True)
class Delays:
    """steps: of every copy of every unit, copy by copy, each 0 to 63; copies: of each unit. Make them with Delays.of.

    Raises InvalidValueError.
    """

    steps: tuple[int, ...]
    copies: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(int(step) for step in self.steps))
        if self.copies < 1 or not self.steps or len(self.steps) % self.copies:
            found, limit = f"{len(self.steps)} of {self.copies} copies", "one for each copy of each unit"
            raise invalid("Delays", "steps", found, limit, "make them with tpl.Delays.of(steps, n_units)")
        if min(self.steps) < 0 or max(self.steps) > MOST_STEPS:
            worst = min(self.steps) if min(self.steps) < 0 else max(self.steps)
            raise invalid("Delays", "steps", worst, f"0 to {MOST_STEPS} time steps, as Loihi 2 has", "use fewer, longer time steps")

    @classmethod
    def of(cls, steps: object, n_units: int) -> Delays:
        """Delays of the `n_units` units below a connection.

        steps: one whole number for all, (n_units,) one a unit, or (copies, 1) or (copies, n_units). Raises InvalidValueError.
        """
        if isinstance(steps, Delays):
            if steps.n_units != n_units:
                raise invalid("Delays", "steps", f"of {steps.n_units} units", f"of the {n_units} units below", "make them for those")
            return steps
        array = np.asarray(steps)
        known = array.shape in ((), (n_units,)) or (array.ndim == 2 and array.shape[1] in (1, n_units))
        if array.dtype.kind not in "iu" or not known or not array.size:
            found = f"{array.dtype} of shape {array.shape}"
            limit = f"whole numbers: one, ({n_units},) one a unit, or (copies, 1) or (copies, {n_units})"
            raise invalid("Delays", "steps", found, limit, "for example np.arange(0, 48, 6)[:, None]: eight copies, six steps apart")
        copies = array.shape[0] if array.ndim == 2 else 1
        return cls(tuple(np.broadcast_to(array, (copies, n_units)).ravel().tolist()), copies)

    @property
    def n_units(self) -> int:
        """Units below."""
        return len(self.steps) // self.copies

    @property
    def n_delayed(self) -> int:
        """Units that the connection sees: all copies."""
        return len(self.steps)

    @property
    def longest(self) -> int:
        """In steps."""
        return max(self.steps)

    @cached_property
    def array(self) -> np.ndarray:
        """The same, int32 (copies * n_units,), read-only."""
        array = np.array(self.steps, np.int32)
        array.flags.writeable = False
        return array
