"""Models of what labels do."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from tp_lava.engine import check_label, stream_labels
from tp_lava.models.part import PartModel, define, is_active, is_labelled
from tp_lava.parts import Part
from tp_lava.processes.labels import LabelGate, TargetProjection
from tp_lava.processes.protocol import ALL_STREAMS, LABEL, NO_LABEL, START, STREAMS


class _LabelGate(PartModel):
    """Passes sample messages on, without the label where it does not count."""

    process: ClassVar[type[LabelGate]] = LabelGate

    @classmethod
    def make_simulator(cls, proc_params) -> Part:
        """The part, whether the present sample is learned, and how many were."""
        part = super().make_simulator(proc_params)
        part.keep("labelled", (1,))
        part.keep("samples_seen", (1,), np.int64)
        return part

    def run_spk(self) -> None:
        """Lava calls this in each spiking phase."""
        arriving = self.receive_sample()
        with self.step():
            self._prepare(arriving)
        self.sample_out.send(self.simulator.memory["pending"])

    def _prepare(self, arriving: np.ndarray) -> None:
        """What a sample message means for the step to come."""
        memory, learning = self.simulator.memory, bool(self.all_learning[0])
        if arriving[START]:
            memory["labelled"][0] = learning and is_labelled(arriving)
            if memory["labelled"][0]:
                self._draw(check_label(int(arriving[LABEL]), self.simulator.sizes["class"]))
                memory["samples_seen"][0] += 1
        memory["pending"][...] = arriving
        if not (memory["labelled"][0] and learning):
            memory["pending"][LABEL] = NO_LABEL

    def _draw(self, label: int) -> None:
        """Choose what the next sample, of this label, is contrasted with."""


class _TargetProjection(_LabelGate):
    """Presents the label of the step before to its streams; draws the streams of a sample that starts."""

    process: ClassVar[type[LabelGate]] = TargetProjection

    @classmethod
    def make_simulator(cls, proc_params) -> Part:
        """Also the labels of the next sample's streams."""
        part = super().make_simulator(proc_params)
        part.keep("drawn", (part.sizes["k"],))
        part.keep("streams", (1,))
        return part

    def run_spk(self) -> None:
        """Lava calls this in each spiking phase."""
        part, memory = self.simulator, self.simulator.memory
        arriving = self.receive_sample()
        trained = part.has("learn")
        with self.step(done=not trained):
            sample = memory["pending"].copy()
            if part.has("label") and is_active(sample):
                self._present(sample)
            self._prepare(arriving)
        self.sample_out.send(memory["pending"])
        if part.has("label"):
            self.a_out.send(memory["accumulator"])
            self.trace_out.send(memory["trace"])
        if trained:
            third = self.target_third_in.recv()
            with self.step():
                if is_labelled(sample):
                    self.put_rows("target_third", third)
                    self.run_stage("learn", sample)
                    part.count_step()

    def _present(self, sample: np.ndarray) -> None:
        part, memory = self.simulator, self.simulator.memory
        if sample[START]:
            part.begin()
            memory["label_spike"].fill(0)
            labels = memory["drawn"][: None if sample[STREAMS] == ALL_STREAMS else sample[STREAMS]]
            memory["label_spike"][np.arange(len(labels)), labels] = 1
            memory["label_active"][: len(labels), 0] = labels
            memory["label_count"].fill(1)
        if is_labelled(sample):
            self.run_stage("label", sample)
            self.run_stage("deliver", sample)

    def _prepare(self, arriving: np.ndarray) -> None:
        super()._prepare(arriving)
        if is_active(arriving):
            self.simulator.memory["pending"][STREAMS] = self.simulator.memory["streams"][0]

    def _draw(self, label: int) -> None:
        memory, classes = self.simulator.memory, self.simulator.sizes["class"]
        count = int(np.clip(memory["contrast"][0], 2, self.simulator.sizes["k"])) if "contrast" in memory else self.simulator.sizes["k"]
        memory["drawn"][:count] = stream_labels(label, classes, count, self.proc_params["seed"], int(memory["samples_seen"][0]))
        memory["streams"][0] = count


for _model in (_LabelGate, _TargetProjection):
    define(_model)
