"""Models of credits."""

from __future__ import annotations

from tp_lava.models.part import PartModel, define, is_labelled
from tp_lava.parts import Part
from tp_lava.processes.credits import BasisError, Contrast


class _Contrast(PartModel):
    """Compares as soon as its population has spoken; the layer below spoke one step before."""

    process = Contrast

    @classmethod
    def make_simulator(cls, proc_params) -> Part:
        """The part, and what the layer below said in this step, which counts in the next."""
        part = super().make_simulator(proc_params)
        part.keep("below_next", part.memory["below"].shape, part.memory["below"].dtype.type)
        return part

    def run_spk(self) -> None:
        """Lava calls this in each spiking phase."""
        part, sample = self.simulator, self.receive_sample()
        trace, target_trace, below = self.trace_in.recv(), self.target_trace_in.recv(), self.below_in.recv()
        with self.step():
            late = self.proc_params["layer"] > 0
            part.memory["below"][...] = part.memory["below_next"] if late else below
            part.memory["below_next"][...] = below
            part.memory["trace"][0] = trace
            part.memory["target_trace"][...] = target_trace
            if is_labelled(sample):
                self.run_stage("error", sample)
        self.error_out.send(self.row("error"))


class _BasisError(PartModel):
    """Looks as soon as its population has spoken."""

    process = BasisError

    def run_spk(self) -> None:
        """Lava calls this in each spiking phase."""
        sample, activity = self.receive_sample(), self.activity_in.recv()
        with self.step():
            self.present_label(sample)
            if is_labelled(sample):
                self.put("activity", activity)
                self.run_stage("error", sample)
        self.error_out.send(self.row("error"))


for _model in (_Contrast, _BasisError):
    define(_model)
