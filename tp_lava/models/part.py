"""What the models of the per-layer Processes have in common: a part behind ports, in float and in fixed point.

Every model first sends what it knows from the step before, then receives: so no cycle waits for itself.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType

from tp_lava.models.base import SimulatorModel
from tp_lava.models.register import TypesOnDemand, register_model
from tp_lava.parts import Part
from tp_lava.processes.base import VARS
from tp_lava.processes.layers import part_of
from tp_lava.processes.protocol import (
    ALL_STREAMS,
    FREE_RUN,
    IDLE,
    LABEL,
    LEFT,
    NO_LABEL,
    NO_SAMPLE,
    SAMPLE_SIZE,
    START,
    STREAMS,
    steps_left,
)


class _TypesOfPart(TypesOnDemand):
    """Any port has the type of the number system, any array may be a Var."""

    def lava_type(cls, name: str) -> LavaPyType | None:
        """See TypesOnDemand."""
        kind = PyInPort if name.endswith("_in") else PyOutPort if name.endswith("_out") or name.startswith("s_out_") else None
        if kind is None:
            return LavaPyType(np.ndarray, float) if name in VARS else None
        real = float if name.startswith("s_out_") else np.float32  # Lava's learning engine takes float64
        number = np.int32 if cls.fixed or name.startswith("sample") else real
        return LavaPyType(kind.VEC_DENSE, number)


class PartModel(SimulatorModel, PyLoihiProcessModel, metaclass=_TypesOfPart):
    """A part behind ports. fixed: number system."""

    fixed: ClassVar[bool] = False
    process: ClassVar[type]
    simulator: Part

    @classmethod
    def make_simulator(cls, proc_params) -> Part:
        """The part, and the sample message it will act on."""
        part = part_of(cls.process, proc_params, cls.fixed)
        part.keep("pending", (SAMPLE_SIZE,))
        part.memory["pending"][...] = NO_SAMPLE
        return part

    def start(self) -> None:
        """Lava calls this once; it ends with the network."""
        self.simulator = self.proc_params["simulator"]
        self.prepare_to_run()
        super().start()

    def prepare_to_run(self) -> None:
        """Look up what the part has."""

    # The sample it is in ------------------------------------------------------------------------
    def next_sample(self, arriving: np.ndarray) -> np.ndarray:
        """The sample message of the step to compute: what arrived in the step before."""
        pending = self.simulator.memory["pending"]
        now, pending[...] = pending.copy(), arriving
        return now

    def receive_sample(self) -> np.ndarray:
        """The sample message of this step; none where nobody sends any."""
        return self.sample_in.recv() if self.sample_in.csp_ports else FREE_RUN

    def present_label(self, sample: np.ndarray) -> None:
        """The label of a sample that starts, as the learning rule takes it."""
        if sample[START] and sample[LABEL] != NO_LABEL and "sample_label" in self.simulator.memory:
            self.row("sample_label").fill(0)
            self.row("sample_label")[sample[LABEL]] = 1

    def run_stage(self, stage: str, sample: np.ndarray) -> None:
        """Carry out a stage in a step of this sample."""
        self.simulator.tell_steps_left(steps_left(int(sample[LEFT])))
        self.simulator.run(stage, None if sample[STREAMS] == ALL_STREAMS else int(sample[STREAMS]))

    # Its arrays ---------------------------------------------------------------------------------
    def put(self, name: str, values: np.ndarray) -> None:
        """Into row 0 of a buffer, no further than its format reaches."""
        self._put(name, values, self.simulator.memory[name][0])

    def put_rows(self, name: str, values: np.ndarray) -> None:
        """Into all rows of a buffer."""
        self._put(name, values, self.simulator.memory[name])

    def _put(self, name: str, values: np.ndarray, into: np.ndarray) -> None:
        format = self.simulator.buffers[name].format
        into[...] = np.clip(values, format.low, format.high) if format else values

    def row(self, name: str) -> np.ndarray:
        """Row 0 of a buffer."""
        return self.simulator.memory[name][0]

    def is_off(self) -> bool:
        """Whether this part's learning is switched off."""
        return "learning" in self.simulator.memory and self.simulator.memory["learning"][0] == 0


def is_labelled(sample: np.ndarray) -> bool:
    """Whether a step is learned."""
    return bool(sample[LABEL] != NO_LABEL)


def is_active(sample: np.ndarray) -> bool:
    """Whether anything happens in a step."""
    return bool(sample[STREAMS] != IDLE)


def define(model: type[PartModel]) -> None:
    """The two model classes of a Process, one for each number system, where Lava finds them."""
    for fixed in (False, True):
        members = {"fixed": fixed, "__doc__": f"{'Fixed point' if fixed else 'Float32'}.", "__module__": model.__module__}
        made = _TypesOfPart(f"Py{model.process.__name__}{'Fixed' if fixed else 'Float'}", (model,), members)
        register_model(model.process, "fixed_pt" if fixed else "floating_pt")(made)
