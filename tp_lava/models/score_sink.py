"""Models of ScoreSink."""

from __future__ import annotations

from lava.magma.core.model.py.model import PyAsyncProcessModel, PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort
from lava.magma.core.model.py.type import LavaPyType

from tp_lava.lava.channels import WithoutThreads
from tp_lava.lava.hardware import TAGS
from tp_lava.models.register import register_model
from tp_lava.parts.messages import LAST_STEP, LEFT
from tp_lava.processes.score_sink import ScoreSink


class _ScoreSink(WithoutThreads):
    score_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    sample_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, int)

    def _keep(self, scores) -> None:
        kept, count = self.proc_params["kept"], self.proc_params["count"]  # type: ignore[attr-defined]
        if count[0] < len(kept):
            kept[count[0]] = scores
            count += 1


@register_model(ScoreSink, *TAGS)
class PyScoreSink(_ScoreSink, PyLoihiProcessModel):
    """Keeps the scores of the last step of each sample."""

    def run_spk(self) -> None:
        """Lava calls this in each spiking phase."""
        scores, sample = self.score_in.recv(), self.sample_in.recv()
        if sample[LEFT] == LAST_STEP:
            self._keep(scores)


@register_model(ScoreSink, *TAGS)
class PyScoreSinkAsync(_ScoreSink, PyAsyncProcessModel):
    """Receives one message of scores a sample until it has all."""

    def run_async(self) -> None:
        """Lava calls this once a run."""
        for _ in range(len(self.proc_params["kept"])):
            self._keep(self.score_in.recv())
