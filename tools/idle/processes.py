"""Source -> relay -> sink, with the messages of EventSource -> OnChipLearner -> ScoreSink and no work."""

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol


class Source(AbstractProcess):
    """Sends zeros of n and of 4."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.s_out, self.sample_out = OutPort(shape=(n,)), OutPort(shape=(4,))


class Relay(AbstractProcess):
    """Receives n and 4, sends zeros of m and of 4."""

    def __init__(self, n: int, m: int) -> None:
        super().__init__()
        self.s_in, self.sample_in = InPort(shape=(n,)), InPort(shape=(4,))
        self.score_out, self.sample_out = OutPort(shape=(m,)), OutPort(shape=(4,))


class Sink(AbstractProcess):
    """Receives m and 4."""

    def __init__(self, m: int) -> None:
        super().__init__()
        self.score_in, self.sample_in = InPort(shape=(m,)), InPort(shape=(4,))


@implements(proc=Source, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PySource(PyLoihiProcessModel):
    """Does nothing."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    sample_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)

    def run_spk(self) -> None:
        """Send."""
        self.s_out.send(np.zeros(self.s_out.shape, np.int32))
        self.sample_out.send(np.zeros(4, np.int32))


@implements(proc=Relay, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyRelay(PyLoihiProcessModel):
    """Does nothing."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    sample_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    score_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    sample_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)

    def run_spk(self) -> None:
        """Receive and send."""
        self.s_in.recv()
        self.sample_in.recv()
        self.score_out.send(np.zeros(self.score_out.shape))
        self.sample_out.send(np.zeros(4, np.int32))


@implements(proc=Sink, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PySink(PyLoihiProcessModel):
    """Does nothing."""

    score_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    sample_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, int)

    def run_spk(self) -> None:
        """Receive."""
        self.score_in.recv()
        self.sample_in.recv()
