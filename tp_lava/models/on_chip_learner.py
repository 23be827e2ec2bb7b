"""Models of OnChipLearner: a Learner behind Lava's ports and Vars, float and fixed, step by step and asynchronous."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from lava.magma.core.model.py.model import PyAsyncProcessModel, PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType

from tp_lava.circuit.formats import FixedPoint
from tp_lava.circuit.operations import STEPS_LEFT
from tp_lava.lava.channels import received
from tp_lava.learner import Learner
from tp_lava.models.base import SimulatorModel
from tp_lava.models.register import TypesOnDemand, register_model
from tp_lava.parts.messages import BEGINS, GOES_ON, LABEL, LEFT, NO_LABEL, START, UNKNOWN, is_active, steps_left
from tp_lava.processes.base import VARS
from tp_lava.processes.on_chip_learner import OnChipLearner
from tp_lava.processes.protocol import unpack


class _VarsOfNetwork(TypesOnDemand):
    """Any buffer may be a Var."""

    def lava_type(cls, name: str) -> LavaPyType | None:
        """See TypesOnDemand."""
        return LavaPyType(np.ndarray, float) if name in VARS else None


class _LearnerModel(SimulatorModel, metaclass=_VarsOfNetwork):
    """What all four models share."""

    precision: ClassVar[Literal["float", "fixed"]]

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    sample_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, int)
    packet_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    score_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    sample_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    learning: np.ndarray = LavaPyType(np.ndarray, np.int32)

    @classmethod
    def make_simulator(cls, proc_params) -> Learner:
        """A Learner."""
        precision: FixedPoint | Literal["float"] = proc_params["fixed"] if cls.precision == "fixed" else "float"
        return Learner(proc_params["network"], proc_params["rule"], precision, proc_params["seed"])

    # What arrives -------------------------------------------------------------------------------
    def _begin(self, start: int, label: int, left: int) -> None:
        """A sample begins, or goes on with another label."""
        own = None if label == NO_LABEL or not self.learning[0] else label
        if start == BEGINS:
            self.simulator.begin(own, n_steps=steps_left(left))
        else:
            self.simulator.relabel(own, GOES_ON[start])

    def _before_steps(self, left: int) -> None:
        """Whether the next steps learn, and how many the sample has left, these among them: also after a pause in learning."""
        self.simulator.learning = bool(self.learning[0])
        if left != UNKNOWN and STEPS_LEFT in self.simulator.memory:
            self.simulator.memory[STEPS_LEFT][0] = left

    def _send_scores(self) -> None:
        self.score_out.send(self.simulator.memory["score"][0])


class _Stepwise(_LearnerModel, PyLoihiProcessModel):
    """One time step in each spiking phase."""

    def run_spk(self) -> None:
        """Lava calls this in each spiking phase."""
        sample, spikes = self.sample_in.recv(), self.s_in.recv()
        units, format = np.flatnonzero(spikes).astype(np.int32), self.proc_params["network"].input_format
        values = format.real(spikes[units]) if format else None
        with self.step():
            if sample[START]:
                self._begin(int(sample[START]), int(sample[LABEL]), int(sample[LEFT]))
            if is_active(sample):
                self._before_steps(int(sample[LEFT]))
                self.simulator.step(units, checked=True, values=values)
        self._send_scores()
        self.sample_out.send(sample)


class _Asynchronous(_LearnerModel, PyAsyncProcessModel):
    """Packet after packet, until the end. Scores are sent where a sample ends, and where it goes on with another label."""

    def run_async(self) -> None:
        """Lava calls this once a run."""
        n_inputs, format, ends = self.s_in.shape[0], self.proc_params["network"].input_format, True
        while (packet := unpack(received(self.packet_in), n_inputs, format)) is not None:
            start, left = packet.start, packet.left
            if start and not ends:  # of a sample that did not say where it ends: it ends here
                self._send_scores()
            ends = left != UNKNOWN
            for events in self.chunks(packet.events):
                with self.step(events.n_steps):
                    if start:
                        self._begin(start, packet.label, left)
                    self._before_steps(left)
                    self.simulator.advance(events)
                start, left = 0, left and left - events.n_steps
            if packet.last:
                self._send_scores()


@register_model(OnChipLearner, "floating_pt")
class PyOnChipLearnerFloat(_Stepwise):
    """Float32, step by step."""

    precision = "float"


@register_model(OnChipLearner, "fixed_pt")
class PyOnChipLearnerFixed(_Stepwise):
    """Fixed point, step by step."""

    precision = "fixed"


@register_model(OnChipLearner, "floating_pt")
class PyOnChipLearnerFloatAsync(_Asynchronous):
    """Float32, asynchronous."""

    precision = "float"


@register_model(OnChipLearner, "fixed_pt")
class PyOnChipLearnerFixedAsync(_Asynchronous):
    """Fixed point, asynchronous."""

    precision = "fixed"
