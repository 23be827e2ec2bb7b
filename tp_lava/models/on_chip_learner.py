"""Models of OnChipLearner: a Learner behind Lava's ports and Vars, float and fixed, step by step and asynchronous.

Vars are the learner's own arrays (weights seen as (n_out, n_in)), so what Lava reads is what the compiled step
uses, and what Lava writes acts from the next step on.
"""

from __future__ import annotations

import re
from abc import ABCMeta
from typing import ClassVar, Literal

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import AbstractPyProcessModel, PyAsyncProcessModel, PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.async_protocol import AsyncProtocol
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from tp_lava.data.events import Events
from tp_lava.fixedpoint import FixedPoint
from tp_lava.learner import Learner
from tp_lava.models.register import ASYNC_SUFFIX, found_with
from tp_lava.processes.on_chip_learner import OnChipLearner, visible
from tp_lava.processes.protocol import LABEL, NO_LABEL, START, unpack

_BUFFER_NAME = re.compile(r"(hidden|recurrent|target|bias)\d*\w*|readout\w*|score|label_\w+|sample_label")


class _VarsOfNetwork(ABCMeta):
    """Which Vars there are depends on the network, while Lava looks for their types on the class: any buffer has one."""

    def __getattr__(cls, name: str):
        if _BUFFER_NAME.fullmatch(name):
            return LavaPyType(np.ndarray, float)
        raise AttributeError(f"type object {cls.__name__!r} has no attribute {name!r}")


class _LearnerModel(AbstractPyProcessModel, metaclass=_VarsOfNetwork):
    """What all four models share."""

    precision: ClassVar[Literal["float", "fixed"]]

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, int)
    sample_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, int)
    packet_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    score_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    learning: np.ndarray = LavaPyType(np.ndarray, np.int32)

    @classmethod
    def prepare(cls, proc_params) -> None:
        """In the parent, before the fork: compile, and put the memory where both sides see it."""
        precision: FixedPoint | Literal["float"] = proc_params["fixed"] if cls.precision == "fixed" else "float"
        learner = Learner(proc_params["network"], proc_params["rule"], precision, proc_params["seed"])
        learner.share()
        proc_params.overwrite("learner", learner)

    def start(self) -> None:
        """Take over the Vars, whose values are physical until now, then run as any model does."""
        self._learner: Learner = self.proc_params["learner"]
        views = {}
        for name, buffer in self._learner.buffers.items():
            if visible(buffer) and hasattr(self, name):
                array = self._learner.memory[name]
                array[...] = buffer.encode(getattr(self, name))
                views[name] = array.T if buffer.role == "weight" else array
        self.__dict__.update(views)
        self._views = views
        super().start()

    # What Lava writes goes into the learner's arrays --------------------------------------------
    def __setattr__(self, name: str, value) -> None:
        view = self.__dict__.get("_views", {}).get(name)
        if view is None:
            super().__setattr__(name, value)
        else:
            self._store(name, view, value)

    def _store(self, name: str, view: np.ndarray, value) -> None:
        buffer = self._learner.buffers[name]
        values = np.asarray(value, np.float64)
        view[...] = np.clip(np.rint(values), buffer.format.low, buffer.format.high) if buffer.format else values

    def _set_var(self) -> None:
        """Lava fills arrays in the order of their memory, but sends them in C order: give it a C-ordered copy to fill."""
        name = self.var_id_to_var_map[int(self.service_to_process.peek()[0].item())]
        view = self._views.get(name)
        if view is None:
            super()._set_var()
            return
        self.__dict__[name] = np.array(view, np.float64, order="C")
        super()._set_var()
        values, self.__dict__[name] = self.__dict__[name], view
        self._store(name, view, values)

    # What arrives -------------------------------------------------------------------------------
    def _begin(self, label: int) -> None:
        self._learner.begin(None if label == NO_LABEL or not self.learning[0] else label)

    def _advance(self, events: Events) -> None:
        self._learner.learning = bool(self.learning[0])
        self._learner.advance(events)

    def _send_scores(self) -> None:
        self.score_out.send(self._learner.memory["score"][0])


class _Stepwise(_LearnerModel, PyLoihiProcessModel):
    """One time step in each spiking phase."""

    def run_spk(self) -> None:
        """Lava calls this in each spiking phase."""
        sample, spikes = self.sample_in.recv(), self.s_in.recv()
        if sample[START]:
            self._begin(int(sample[LABEL]))
        units = np.flatnonzero(spikes)
        self._advance(Events.from_counts(np.array([units.size]), units, spikes.size))
        self._send_scores()


class _Asynchronous(_LearnerModel, PyAsyncProcessModel):
    """Packet after packet, until the end."""

    def run_async(self) -> None:
        """Lava calls this once a run."""
        n_inputs = self.s_in.shape[0]
        while (packet := unpack(self.packet_in.recv(), n_inputs)) is not None:
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
