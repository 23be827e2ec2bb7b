"""Models of ScoreSink."""

from __future__ import annotations

from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyAsyncProcessModel, PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.async_protocol import AsyncProtocol
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from tp_lava.models.register import ASYNC_SUFFIX, STEPWISE_TAGS, found_with
from tp_lava.processes.protocol import LAST_STEP, LEFT
from tp_lava.processes.score_sink import ScoreSink


def _keep(model, scores) -> None:
    kept, count = model.proc_params["kept"], model.proc_params["count"]
    if count[0] < len(kept):
        kept[count[0]] = scores
        count += 1


@found_with(ScoreSink)
@implements(proc=ScoreSink, protocol=LoihiProtocol)
@requires(CPU)
@tag(*STEPWISE_TAGS)
class PyScoreSink(PyLoihiProcessModel):
    """Keeps the score of the last step of each sample."""

    score_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    sample_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, int)

    def run_spk(self) -> None:
        """Lava calls this in each spiking phase."""
        scores, sample = self.score_in.recv(), self.sample_in.recv()
        if sample[LEFT] == LAST_STEP:
            _keep(self, scores)


@found_with(ScoreSink)
@implements(proc=ScoreSink, protocol=AsyncProtocol)
@requires(CPU)
@tag(*(name + ASYNC_SUFFIX for name in STEPWISE_TAGS))
class PyScoreSinkAsync(PyAsyncProcessModel):
    """Keeps the one score that comes for each sample, until it has all."""

    score_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    sample_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, int)

    def run_async(self) -> None:
        """Lava calls this once a run."""
        for _ in range(len(self.proc_params["kept"])):
            _keep(self, self.score_in.recv())
