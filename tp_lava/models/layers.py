"""Models of the per-layer Processes: parts behind ports, in float and in fixed point.

Every model first sends what it knows from the step before, then receives: so no cycle waits for itself.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from tp_lava.engine import stream_labels
from tp_lava.models.base import UnitModel
from tp_lava.models.register import TypesOnDemand, found_with
from tp_lava.parts import Part
from tp_lava.processes.layers import Contrast, LearningTraceLIF, PlasticDense, Readout, TargetProjection, TraceLIF, part_of
from tp_lava.processes.protocol import ALL_STREAMS, FREE_RUN, IDLE, LABEL, NO_LABEL, NO_SAMPLE, SAMPLE_SIZE, START, STREAMS

_VARS = (
    *("weights", "learning", "all_learning", "contrast", "bias", "rate", "score", "decay", "current_decay", "trace_decay", "threshold"),
    *("membrane", "current", "trace", "spike", "surrogate", "third", "error", "label_spike", "sample_label"),
    *("target_membrane", "target_current", "target_trace", "target_spike", "target_surrogate", "target_third", "target_error"),
)


class _TypesOfPart(TypesOnDemand):
    """Any port has the type of the number system, any array may be a Var."""

    def lava_type(cls, name: str) -> LavaPyType | None:
        """See TypesOnDemand."""
        kind = PyInPort if name.endswith("_in") else PyOutPort if name.endswith("_out") or name.startswith("s_out_") else None
        if kind is None:
            return LavaPyType(np.ndarray, float) if name in _VARS else None
        number = np.int32 if cls.fixed or name.startswith("sample") else np.float32
        return LavaPyType(kind.VEC_DENSE, number)


class _PartModel(UnitModel, PyLoihiProcessModel, metaclass=_TypesOfPart):
    """A part behind ports. fixed: number system."""

    fixed: ClassVar[bool] = False
    process: ClassVar[type]
    unit: Part

    @classmethod
    def make_unit(cls, proc_params) -> Part:
        """The part, and the sample message it will act on."""
        part = part_of(cls.process, proc_params, cls.fixed)
        part.keep("pending", (SAMPLE_SIZE,))
        part.memory["pending"][...] = NO_SAMPLE
        return part

    def start(self) -> None:
        """Lava calls this once; it ends with the network."""
        self.unit = self.proc_params["unit"]
        self.prepare_to_run()
        super().start()

    def prepare_to_run(self) -> None:
        """Look up what the part has."""

    def next_sample(self, arriving: np.ndarray) -> np.ndarray:
        """The sample message of the step to compute: what arrived in the step before."""
        pending = self.unit.memory["pending"]
        now, pending[...] = pending.copy(), arriving
        return now

    def receive_sample(self) -> np.ndarray:
        """The sample message of this step; none where nobody sends any."""
        return self.sample_in.recv() if self.sample_in.csp_ports else FREE_RUN

    def streams(self, sample: np.ndarray) -> int | None:
        """Target streams in use."""
        return None if sample[STREAMS] == ALL_STREAMS else int(sample[STREAMS])

    def put(self, name: str, values: np.ndarray) -> None:
        """Into row 0 of a buffer, no further than its format reaches."""
        self._put(name, values, self.unit.memory[name][0])

    def put_rows(self, name: str, values: np.ndarray) -> None:
        """Into all rows of a buffer."""
        self._put(name, values, self.unit.memory[name])

    def _put(self, name: str, values: np.ndarray, into: np.ndarray) -> None:
        format = self.unit.buffers[name].format
        into[...] = np.clip(values, format.low, format.high) if format else values

    def row(self, name: str) -> np.ndarray:
        """Row 0 of a buffer."""
        return self.unit.memory[name][0]

    def is_off(self) -> bool:
        """Whether this part's learning is switched off."""
        return "learning" in self.unit.memory and self.unit.memory["learning"][0] == 0


class _PlasticDense(_PartModel):
    """Delivers, then receives spikes for the next step and what this step taught."""

    process = PlasticDense

    def prepare_to_run(self) -> None:
        """See _PartModel."""
        populations = [name.removesuffix("_count") for name in self.unit.buffers if name.endswith("_count")]
        self._target = next((name for name in populations if name.startswith("target")), "")
        self._student = next(name for name in populations if name != self._target)
        self._recurrent = self.proc_params["connection"].startswith("recurrent")

    def run_spk(self) -> None:
        """Lava calls this in each spiking phase."""
        part = self.unit
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
            if part.has("trace"):
                part.memory["spike"][...] = spikes

    def _receive_taught(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        sample, third = self.receive_sample(), self.third_in.recv()
        return sample, third, self.target_third_in.recv() if "target_third" in self.unit.buffers else None

    def _learn(self, sample: np.ndarray, third: np.ndarray, target_third: np.ndarray | None) -> None:
        part = self.unit
        if sample[STREAMS] == IDLE:
            return
        if sample[START]:
            self._begin()
        if part.has("trace"):
            part.run("trace")
        if sample[LABEL] == NO_LABEL:
            return
        self.put("third", third)
        if target_third is not None:
            self.put_rows("target_third", target_third)
        part.run("learn", self.streams(sample))
        part.count_step()

    def _begin(self) -> None:
        """A sample starts: no trace yet; what a recurrent connection holds is of the sample before."""
        if "trace" in self.unit.memory:
            self.unit.memory["trace"].fill(0)
        if self._recurrent:
            for population in filter(None, (self._student, self._target)):
                self.unit.memory[f"{population}_count"].fill(0)


class _TraceLIF(_PartModel):
    """Student and target neurons, then the third factor from the credit's error."""

    process: ClassVar[type[TraceLIF]] = TraceLIF

    def run_spk(self) -> None:
        """Lava calls this in each spiking phase."""
        part, arriving = self.unit, {port: getattr(self, port).recv() for port in self._arriving}
        message = self.receive_sample()
        with self.step(done=not part.has("third")):
            sample = self.next_sample(message)
            labelled = sample[LABEL] != NO_LABEL
            active = sample[STREAMS] != IDLE
            if active:
                self._advance(sample, arriving, labelled)
        self.sample_out.send(sample)
        if part.has("target"):
            self.target_trace_out.send(part.memory["target_trace"])
        if part.has("third"):
            self._teach(sample, labelled)
        self.s_out.send(self.row("spike") * active)
        if part.has("target"):
            self.target_s_out.send(part.memory["target_spike"] * active)

    def _advance(self, sample: np.ndarray, arriving: dict[str, np.ndarray], labelled: bool) -> None:
        part = self.unit
        if sample[START]:
            part.begin()
        for port, values in arriving.items():
            self._accumulate(port, values, bool(sample[START]))
        part.run("student")
        if labelled and part.has("target"):
            part.run("target", self.streams(sample))

    def prepare_to_run(self) -> None:
        """See _PartModel."""
        ports = {"a_in": "input", "feedback_in": "feedback", "target_a_in": "target_input", "target_feedback_in": "target_feedback"}
        self._arriving = {port: buffer for port, buffer in ports.items() if buffer in self.unit.buffers}

    def _accumulate(self, port: str, values: np.ndarray, start: bool) -> None:
        """What comes back from the sample before does not count."""
        values = np.zeros_like(values) if start and "feedback" in port else values
        (self.put_rows if port.startswith("target") else self.put)(self._arriving[port], values)

    def _teach(self, sample: np.ndarray, labelled: bool) -> None:
        part = self.unit
        self.trace_out.send(self.row("trace"))
        error = getattr(self, self.process.error_port).recv()
        with self.step():
            if labelled:
                part.memory["error"][0] = error
                if "target_error" in part.memory:
                    part.memory["target_error"][:, 0] = error
                part.run("third", self.streams(sample))
                part.count_step()
        gain = 0 if self.is_off() or not labelled else 1
        self._send_third(self.row("third") * gain, sample[STREAMS] != IDLE)
        if "target_third" in part.buffers:
            self.target_third_out.send(part.memory["target_third"] * gain)

    def _send_third(self, third: np.ndarray, active: bool) -> None:
        self.third_out.send(third)


class _LearningTraceLIF(_TraceLIF):
    """The same, with the third factor on two rails."""

    process: ClassVar[type[TraceLIF]] = LearningTraceLIF

    def _send_third(self, third: np.ndarray, active: bool) -> None:
        super()._send_third(third, active)
        self.s_out_bap.send(self.row("spike") * active)
        self.s_out_y1.send(np.maximum(third, 0))
        self.s_out_y2.send(np.maximum(-third, 0))
        self.s_out_y3.send(np.zeros_like(third))


class _Contrast(_PartModel):
    """Compares as soon as its population has spoken; the layer below spoke one step before."""

    process = Contrast

    @classmethod
    def make_unit(cls, proc_params) -> Part:
        """The part, and what the layer below said in this step, which counts in the next."""
        part = super().make_unit(proc_params)
        part.keep("below_next", part.memory["below"].shape, part.memory["below"].dtype.type)
        return part

    def run_spk(self) -> None:
        """Lava calls this in each spiking phase."""
        part, sample = self.unit, self.receive_sample()
        trace, target_trace, below = self.trace_in.recv(), self.target_trace_in.recv(), self.below_in.recv()
        with self.step():
            late = self.proc_params["layer"] > 0
            part.memory["below"][...] = part.memory["below_next"] if late else below
            part.memory["below_next"][...] = below
            part.memory["trace"][0] = trace
            part.memory["target_trace"][...] = target_trace
            if sample[LABEL] != NO_LABEL:
                part.run("contrast", self.streams(sample))
        self.error_out.send(self.row("error"))


class _TargetProjection(_PartModel):
    """Presents the label of the step before to its streams; draws the streams of a sample that starts."""

    process = TargetProjection

    @classmethod
    def make_unit(cls, proc_params) -> Part:
        """The part, the labels of the next sample's streams, and the counter that they are drawn by."""
        part = super().make_unit(proc_params)
        part.keep("drawn", (part.sizes["k"],))
        part.keep("labelled", (1,))
        part.keep("streams", (1,))
        part.keep("samples_seen", (1,), np.int64)
        return part

    def run_spk(self) -> None:
        """Lava calls this in each spiking phase."""
        part, memory = self.unit, self.unit.memory
        arriving = self.receive_sample()
        trained = part.has("learn")
        with self.step(done=not trained):
            sample = memory["pending"].copy()
            streams = self.streams(sample)
            if part.has("label") and sample[STREAMS] != IDLE:
                self._present(sample, streams)
            self._prepare(arriving)
        self.sample_out.send(memory["pending"])
        if part.has("label"):
            self.a_out.send(memory["accumulator"])
            self.trace_out.send(memory["trace"])
        if trained:
            third = self.target_third_in.recv()
            with self.step():
                if sample[LABEL] != NO_LABEL:
                    self.put_rows("target_third", third)
                    part.run("learn", streams)
                    part.count_step()

    def _present(self, sample: np.ndarray, streams: int | None) -> None:
        part, memory = self.unit, self.unit.memory
        if sample[START]:
            part.begin()
            memory["label_spike"].fill(0)
            labels = memory["drawn"][:streams]
            memory["label_spike"][np.arange(len(labels)), labels] = 1
            memory["label_active"][: len(labels), 0] = labels
            memory["label_count"].fill(1)
        if sample[LABEL] != NO_LABEL:
            part.run("label", streams)
            part.run("deliver", streams)

    def _prepare(self, arriving: np.ndarray) -> None:
        """What a sample message means for the step to come."""
        memory = self.unit.memory
        learning = bool(self.all_learning[0])
        if arriving[START]:
            memory["labelled"][0] = learning and arriving[LABEL] != NO_LABEL
            if memory["labelled"][0]:
                self._draw(int(arriving[LABEL]))
        pending = memory["pending"]
        pending[...] = arriving
        pending[STREAMS] = IDLE if arriving[STREAMS] == IDLE else memory["streams"][0]
        if not (memory["labelled"][0] and learning):
            pending[LABEL] = NO_LABEL

    def _draw(self, label: int) -> None:
        memory, classes = self.unit.memory, self.unit.sizes["class"]
        count = int(np.clip(memory["contrast"][0], 2, self.unit.sizes["k"])) if "contrast" in memory else self.unit.sizes["k"]
        memory["drawn"][:count] = stream_labels(label, classes, count, self.proc_params["seed"], int(memory["samples_seen"][0]))
        memory["samples_seen"][0] += 1
        memory["streams"][0] = count


class _Readout(_PartModel):
    """Integrates, and says how wrong it is."""

    process = Readout

    def run_spk(self) -> None:
        """Lava calls this in each spiking phase."""
        part, arriving, message = self.unit, self.a_in.recv(), self.receive_sample()
        with self.step():
            sample = self.next_sample(message)
            labelled = sample[LABEL] != NO_LABEL
            if sample[START]:
                self._begin(sample)
            if sample[STREAMS] != IDLE:
                self.put("input", arriving)
                part.run("readout")
            if labelled:
                part.count_step()
        self.sample_out.send(sample)
        self.score_out.send(self.row("score"))
        if "third" in part.buffers:
            self.third_out.send(self.row("third") * (0 if self.is_off() or not labelled else 1))

    def _begin(self, sample: np.ndarray) -> None:
        memory = self.unit.memory
        self.unit.begin()
        if sample[LABEL] != NO_LABEL and "sample_label" in memory:
            memory["sample_label"].fill(0)
            memory["sample_label"][0, sample[LABEL]] = 1


def _define(model: type[_PartModel], name: str, fixed: bool) -> None:
    """One model class of a Process, for one number system, where Lava finds it."""
    members = {"fixed": fixed, "__doc__": f"{'Fixed point' if fixed else 'Float32'}.", "__module__": __name__}
    tagged = tag("fixed_pt" if fixed else "floating_pt")(requires(CPU)(_TypesOfPart(name, (model,), members)))
    found_with(model.process)(implements(proc=model.process, protocol=LoihiProtocol)(tagged))


for _model in (_PlasticDense, _TraceLIF, _LearningTraceLIF, _Contrast, _TargetProjection, _Readout):
    for _fixed in (False, True):
        _define(_model, f"Py{_model.process.__name__}{'Fixed' if _fixed else 'Float'}", _fixed)
