"""Models of OnChipLearner: a Learner behind Lava's ports and Vars, float and fixed, step by step and asynchronous."""

from __future__ import annotations

import re
from abc import ABCMeta
from typing import ClassVar, Literal

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyAsyncProcessModel, PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.async_protocol import AsyncProtocol
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from tp_lava.data.events import Events
from tp_lava.fixedpoint import FixedPoint
from tp_lava.learner import Learner
from tp_lava.models.base import UnitModel
from tp_lava.models.register import ASYNC_SUFFIX, found_with
from tp_lava.processes.on_chip_learner import OnChipLearner
from tp_lava.processes.protocol import LABEL, NO_LABEL, START, unpack

_BUFFER_NAME = re.compile(r"(hidden|recurrent|target|bias)\d*\w*|readout\w*|score|label_\w+|sample_label|contrast")


class _VarsOfNetwork(ABCMeta):
    """Which Vars there are depends on the network, while Lava looks for their types on the class: any buffer has one."""

    def __getattr__(cls, name: str):
        if _BUFFER_NAME.fullmatch(name):
            return LavaPyType(np.ndarray, float)
        raise AttributeError(f"type object {cls.__name__!r} has no attribute {name!r}")


class _LearnerModel(UnitModel, metaclass=_VarsOfNetwork):
    """What all four models share."""

    precision: ClassVar[Literal["float", "fixed"]]

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, int)
    sample_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, int)
    packet_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    score_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    learning: np.ndarray = LavaPyType(np.ndarray, np.int32)

    @classmethod
    def make_unit(cls, proc_params) -> Learner:
        """A Learner."""
        precision: FixedPoint | Literal["float"] = proc_params["fixed"] if cls.precision == "fixed" else "float"
        return Learner(proc_params["network"], proc_params["rule"], precision, proc_params["seed"])

    # What arrives -------------------------------------------------------------------------------
    def _begin(self, label: int) -> None:
        self.unit.begin(None if label == NO_LABEL or not self.learning[0] else label)

    def _advance(self, events: Events) -> None:
        self.unit.learning = bool(self.learning[0])
        self.unit.advance(events)

    def _send_scores(self) -> None:
        self.score_out.send(self.unit.memory["score"][0])


class _Stepwise(_LearnerModel, PyLoihiProcessModel):
    """One time step in each spiking phase."""

    def run_spk(self) -> None:
        """Lava calls this in each spiking phase."""
        sample, spikes = self.sample_in.recv(), self.s_in.recv()
        units = np.flatnonzero(spikes)
        with self.step():
            if sample[START]:
                self._begin(int(sample[LABEL]))
            self._advance(Events.from_counts(np.array([units.size]), units, spikes.size))
        self._send_scores()


class _Asynchronous(_LearnerModel, PyAsyncProcessModel):
    """Packet after packet, until the end."""

    def run_async(self) -> None:
        """Lava calls this once a run."""
        n_inputs = self.s_in.shape[0]
        while (packet := unpack(self.packet_in.recv(), n_inputs)) is not None:
            with self.step():
                if packet.start:
                    self._begin(packet.label)
                self._advance(packet.events)
            if packet.last:
                self._send_scores()


@found_with(OnChipLearner)
@implements(proc=OnChipLearner, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyOnChipLearnerFloat(_Stepwise):
    """Float32, step by step."""

    precision = "float"


@found_with(OnChipLearner)
@implements(proc=OnChipLearner, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyOnChipLearnerFixed(_Stepwise):
    """Fixed point, step by step."""

    precision = "fixed"


@found_with(OnChipLearner)
@implements(proc=OnChipLearner, protocol=AsyncProtocol)
@requires(CPU)
@tag("floating_pt" + ASYNC_SUFFIX)
class PyOnChipLearnerFloatAsync(_Asynchronous):
    """Float32, asynchronous."""

    precision = "float"


@found_with(OnChipLearner)
@implements(proc=OnChipLearner, protocol=AsyncProtocol)
@requires(CPU)
@tag("fixed_pt" + ASYNC_SUFFIX)
class PyOnChipLearnerFixedAsync(_Asynchronous):
    """Fixed point, asynchronous."""

    precision = "fixed"
