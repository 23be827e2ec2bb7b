"""Processes that exchange messages and do no work: the cost of Lava's handshakes alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from lava.magma.core.decorator import implements, requires
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from tp_lava.models.register import TypesOnDemand


class Idle(AbstractProcess):
    """Receives messages and sends zeros. received, sent: name of a port ("..._in", "..._out") -> length of its messages."""

    def __init__(self, received: Mapping[str, int], sent: Mapping[str, int]) -> None:
        super().__init__(received=tuple(received), sent=tuple(sent))
        for kind, sizes in ((InPort, received), (OutPort, sent)):
            for name, size in sizes.items():
                setattr(self, name, kind(shape=(size,)))


class _Types(TypesOnDemand):
    def lava_type(cls, name: str) -> LavaPyType | None:
        """Scores are real numbers, all else integers."""
        kind = PyInPort.VEC_DENSE if name.endswith("_in") else PyOutPort.VEC_DENSE if name.endswith("_out") else None
        return kind and LavaPyType(kind, float if name.startswith("score") else np.int32)


@implements(proc=Idle, protocol=LoihiProtocol)
@requires(CPU)
class PyIdle(PyLoihiProcessModel, metaclass=_Types):
    """Receives, then sends."""

    def run_spk(self) -> None:
        """Lava calls this in each spiking phase."""
        for name in self.proc_params["received"]:
            getattr(self, name).recv()
        for name in self.proc_params["sent"]:
            port = getattr(self, name)
            port.send(np.zeros(port.shape, np.float64 if name.startswith("score") else np.int32))
