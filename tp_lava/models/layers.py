"""Models of connections, populations and readouts."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from tp_lava.lava.learning import engine_terms, rails
from tp_lava.models.part import PartModel, define, is_active, is_labelled
from tp_lava.parts import thirds_of
from tp_lava.processes.layers import LearningTraceLIF, PlasticDense, Readout, TraceLIF
from tp_lava.processes.protocol import LEFT, START, steps_left


class _PlasticDense(PartModel):
    """Delivers, then receives spikes for the next step and what this step taught."""

    process = PlasticDense

    def prepare_to_run(self) -> None:
        """See PartModel."""
        populations = [
            name.removesuffix("_count") for name, buffer in self.simulator.buffers.items() if buffer.index and name.endswith("_count")
        ]
        self._target = next((name for name in populations if name.startswith("target")), "")
        self._student = next(name for name in populations if name != self._target)
        self._recurrent = self.proc_params["connection"].startswith("recurrent")
        self._thirds = thirds_of(self.simulator)

    def run_spk(self) -> None:
        """Lava calls this in each spiking phase."""
        part = self.simulator
        with self.step(done=False):
            part.run("deliver")
        self.a_out.send(self.row("accumulator"))
        if self._target:
            self.target_a_out.send(part.memory["target_accumulator"])
        spikes = self.s_in.recv()[np.newaxis]
        target_spikes = self.target_s_in.recv() if self._target else None
        taught = self._receive_taught() if part.has("learn") else None
        with self.step():
            if taught is not None:
                self._learn(*taught)
            part.set_events(self._student, spikes)
            if target_spikes is not None:
                part.set_events(self._target, target_spikes)
            if "spike" in part.memory:
                part.memory["spike"][...] = spikes

    def _receive_taught(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        sample = self.receive_sample()
        return sample, {third: getattr(self, f"{third}_in").recv() for third in self._thirds}

    def _learn(self, sample: np.ndarray, thirds: dict[str, np.ndarray]) -> None:
        part = self.simulator
        if not is_active(sample):
            return
        if sample[START]:
            part.begin(events=self._recurrent)  # what a recurrent connection holds is of the sample before
        if part.has("trace"):
            part.run("trace")
        if not is_labelled(sample):
            return
        for third, values in thirds.items():
            (self.put_rows if third.startswith("target") else self.put)(third, values)
        self.run_stage("learn", sample)
        part.count_step()


class _TraceLIF(PartModel):
    """Student and target neurons, then the third factors from the credit's error."""

    process: ClassVar[type[TraceLIF]] = TraceLIF

    def prepare_to_run(self) -> None:
        """See PartModel."""
        ports = {"a_in": "input", "feedback_in": "feedback", "target_a_in": "target_input", "target_feedback_in": "target_feedback"}
        self._arriving = {port: buffer for port, buffer in ports.items() if buffer in self.simulator.buffers}
        self._thirds = thirds_of(self.simulator)

    def run_spk(self) -> None:
        """Lava calls this in each spiking phase."""
        part, arriving = self.simulator, {port: getattr(self, port).recv() for port in self._arriving}
        message = self.receive_sample()
        with self.step(done=not part.has("third")):
            sample = self.next_sample(message)
            active = is_active(sample)
            if active:
                self._advance(sample, arriving)
        self.sample_out.send(sample)
        self.s_out.send(self.row("spike") * active)
        if part.has("target"):
            self.target_trace_out.send(part.memory["target_trace"])
            self.target_s_out.send(part.memory["target_spike"] * active)
        if part.has("third"):
            self._teach(sample)

    def _advance(self, sample: np.ndarray, arriving: dict[str, np.ndarray]) -> None:
        part = self.simulator
        if sample[START]:
            part.begin()
        for port, values in arriving.items():
            self._accumulate(port, values, bool(sample[START]))
        part.run("student")
        if is_labelled(sample) and part.has("target"):
            self.run_stage("target", sample)

    def _accumulate(self, port: str, values: np.ndarray, start: bool) -> None:
        """What comes back from the sample before does not count."""
        values = np.zeros_like(values) if start and "feedback" in port else values
        (self.put_rows if port.startswith("target") else self.put)(self._arriving[port], values)

    def _teach(self, sample: np.ndarray) -> None:
        part, labelled = self.simulator, is_labelled(sample)
        self.trace_out.send(self.row("trace"))
        error = getattr(self, self.process.error_port).recv()
        with self.step():
            if labelled:
                part.memory["error"][0] = error
                if "target_error" in part.memory:
                    part.memory["target_error"][:, 0] = error
                self.run_stage("third", sample)
                part.count_step()
        self._send_thirds(sample, labelled and not self.is_off())

    def _send_thirds(self, sample: np.ndarray, taught: bool) -> None:
        for third in self._thirds:
            rows = self.simulator.memory[third] if third.startswith("target") else self.row(third)
            getattr(self, f"{third}_out").send(rows * taught)


class _LearningTraceLIF(_TraceLIF):
    """The same, with the third factors on rails, and zero where a connection of ours would not learn."""

    process: ClassVar[type[TraceLIF]] = LearningTraceLIF

    def _send_thirds(self, sample: np.ndarray, taught: bool) -> None:
        super()._send_thirds(sample, taught)
        rule = self.proc_params["rule"]
        last = getattr(rule, "learn_last", None)
        taught = taught and (last is None or steps_left(int(sample[LEFT])) <= last)
        thirds = {third: self.row(third) * taught for third in self._thirds if not third.startswith("target")}
        self.s_out_bap.send(self.row("spike") * is_active(sample))
        for number, rail in enumerate(rails(engine_terms(rule), thirds), 1):
            getattr(self, f"s_out_y{number}").send(rail)


class _Readout(PartModel):
    """Integrates, and says how wrong it is."""

    process = Readout

    def run_spk(self) -> None:
        """Lava calls this in each spiking phase."""
        arriving, message = self.a_in.recv(), self.receive_sample()
        with self.step():
            sample = self.next_sample(message)
            if sample[START]:
                self.simulator.begin()
                self.present_label(sample)
            if is_active(sample):
                self.put("input", arriving)
                self._integrate(sample)
        self.sample_out.send(sample)
        self.score_out.send(self.row("score"))
        if "third" in self.simulator.buffers:
            self.third_out.send(self.row("third") * (is_labelled(sample) and not self.is_off()))

    def _integrate(self, sample: np.ndarray) -> None:
        part, labelled = self.simulator, is_labelled(sample)
        part.run("readout" if labelled or not part.has("infer") else "infer")
        if labelled:
            if part.has("learn"):
                self.run_stage("learn", sample)
            part.count_step()


for _model in (_PlasticDense, _TraceLIF, _LearningTraceLIF, _Readout):
    define(_model)
