"""Delays of a connection: spikes of a unit arrive some steps later, at one synapse of each neuron or, in copies, at several.

Either a unit has one delay for all its synapses (Delays), and may have copies with other delays, each with weights of its own, so that a
neuron learns which delay of its input tells it something; or each synapse has its own (SynapticDelays). In both a connection sees
delayed units, copy by copy: number k * n + j is copy k of unit j. Of SynapticDelays there is a copy for each delay that occurs, and a
synapse belongs to the copy of its delay; the copies share the weights of their unit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tp_lava.errors import invalid

MOST_STEPS = 63  # of Loihi 2's synapses: six bits


class _Delays(ABC):
    """What both kinds have. steps: each 0 to 63."""

    steps: tuple[int, ...]

    def _check(self) -> None:
        object.__setattr__(self, "steps", tuple(int(step) for step in self.steps))
        worst = min(self.steps) if min(self.steps) < 0 else max(self.steps)
        if not 0 <= worst <= MOST_STEPS:
            remedy = "use fewer, longer time steps"
            raise invalid(type(self).__name__, "steps", worst, f"0 to {MOST_STEPS} time steps, as Loihi 2 has", remedy)

    @property
    @abstractmethod
    def n_units(self) -> int:
        """Units below."""

    @property
    @abstractmethod
    def n_seen(self) -> int:
        """Units that weights are from."""

    @property
    @abstractmethod
    def array(self) -> np.ndarray:
        """Delay of each delayed unit, int32 (copies * n_units,), read-only."""

    @property
    def n_delayed(self) -> int:
        """Delayed units: all copies."""
        return len(self.array)

    @property
    def copies(self) -> int:
        """Of each unit below."""
        return self.n_delayed // self.n_units

    @property
    def longest(self) -> int:
        """In steps."""
        return max(self.steps)


@dataclass(frozen=True)
class Delays(_Delays):
    """steps: of every copy of every unit, copy by copy; n_copies: of each unit. Make them with Delays.of. Raises InvalidValueError."""

    steps: tuple[int, ...]
    n_copies: int = 1

    def __post_init__(self) -> None:
        if self.n_copies < 1 or not self.steps or len(self.steps) % self.n_copies:
            found, limit = f"{len(self.steps)} of {self.n_copies} copies", "one for each copy of each unit"
            raise invalid("Delays", "steps", found, limit, "make them with tpl.Delays.of(steps, n_units)")
        self._check()

    @classmethod
    def of(cls, steps: object, n_units: int) -> Delays:
        """Delays of the `n_units` units below a connection.

        steps: one whole number for all, (n_units,) one a unit, or (copies, 1) or (copies, n_units). Raises InvalidValueError.
        """
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
        """See _Delays."""
        return len(self.steps) // self.n_copies

    @property
    def n_seen(self) -> int:
        """See _Delays: each copy has weights of its own."""
        return len(self.steps)

    @cached_property
    def array(self) -> np.ndarray:
        """See _Delays."""
        return _constant(self.steps)


@dataclass(frozen=True)
class SynapticDelays(_Delays):
    """One delay a synapse. steps: of synapse j of neuron i at i * n_inputs + j. Make them with SynapticDelays.of.

    Raises InvalidValueError.
    """

    steps: tuple[int, ...]
    n_inputs: int

    def __post_init__(self) -> None:
        if self.n_inputs < 1 or not self.steps or len(self.steps) % self.n_inputs:
            found, limit = f"{len(self.steps)} of {self.n_inputs} units", "one for each synapse"
            raise invalid("SynapticDelays", "steps", found, limit, "make them with tpl.SynapticDelays.of(steps)")
        self._check()

    @classmethod
    def of(cls, steps: object) -> SynapticDelays:
        """Delays of the synapses of an all-to-all connection. steps: (n_out, n_in), as its weights. Raises InvalidValueError."""
        array = np.asarray(steps)
        if array.dtype.kind not in "iu" or array.ndim != 2 or not array.size:
            found = f"{array.dtype} of shape {array.shape}"
            raise invalid("SynapticDelays", "steps", found, "whole numbers, (n_out, n_in)", "give one for each weight")
        return cls(tuple(array.ravel().tolist()), array.shape[1])

    @property
    def n_units(self) -> int:
        """See _Delays."""
        return self.n_inputs

    @property
    def n_seen(self) -> int:
        """See _Delays: a unit has one weight a neuron, whatever its delay."""
        return self.n_inputs

    @cached_property
    def _occurring(self) -> np.ndarray:
        return np.unique(self.steps)

    @cached_property
    def array(self) -> np.ndarray:
        """See _Delays."""
        return _constant(np.repeat(self._occurring, self.n_units))

    @cached_property
    def units(self) -> np.ndarray:
        """The delayed unit that each synapse belongs to, (n_out, n_in)."""
        copy = np.searchsorted(self._occurring, np.reshape(self.steps, (-1, self.n_inputs)))
        return copy * self.n_inputs + np.arange(self.n_inputs)

    @cached_property
    def reached(self) -> tuple[np.ndarray, np.ndarray]:
        """(offsets, targets): delayed unit v reaches the neurons targets[k] for k in offsets[v]..offsets[v+1]-1; int32."""
        units = self.units.ravel()
        order = np.argsort(units, kind="stable")
        offsets = np.searchsorted(units[order], np.arange(self.n_delayed + 1))
        return _constant(offsets), _constant(order // self.n_inputs)


AnyDelays = Delays | SynapticDelays


def delays_of(steps: object, n_units: int) -> AnyDelays:
    """Delays as a layer is given them: Delays, SynapticDelays, or what Delays.of takes. Raises InvalidValueError."""
    if not isinstance(steps, AnyDelays):
        return Delays.of(steps, n_units)
    if steps.n_units != n_units:
        found, limit = f"of {steps.n_units} units", f"of the {n_units} units below"
        raise invalid(type(steps).__name__, "steps", found, limit, "make them for those")
    return steps


def _constant(values: object) -> np.ndarray:
    array = np.array(values, np.int32)
    array.flags.writeable = False
    return array
