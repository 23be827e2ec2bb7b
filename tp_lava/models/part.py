"""Models of the Processes of one part each: a part behind ports, in float and in fixed point.

Within a Lava step a part waits only for what its present stage needs, and sends what the stage has written before it waits again; what
is for later steps it receives last. Who waits for whom was checked when the graph was derived.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType

from tp_lava.circuit import names
from tp_lava.circuit.terms import third_factor_of
from tp_lava.lava.learning import engine_terms, rails
from tp_lava.models.base import SimulatorModel
from tp_lava.models.register import TypesOnDemand, register_model
from tp_lava.parts.messages import FREE_RUN
from tp_lava.parts.part import LabelPart, Part
from tp_lava.processes.base import VARS
from tp_lava.processes.layers import (
    Credit,
    LabelGate,
    LayerProcess,
    LearningTraceLIF,
    PlasticConv,
    PlasticDense,
    Readout,
    TargetProjection,
    TraceLIF,
    part_of,
)


class _TypesOfPart(TypesOnDemand):
    """Any port has the type of the number system, any array may be a Var."""

    def lava_type(cls, name: str) -> LavaPyType | None:
        """See TypesOnDemand."""
        to_engine = name.startswith("s_out_")
        kind = PyInPort if name.endswith("_in") else PyOutPort if name.endswith("_out") or to_engine else None
        if kind is None:
            return LavaPyType(np.ndarray, float) if name in VARS else None
        real = float if to_engine else np.float32  # Lava's learning engine takes float64
        return LavaPyType(kind.VEC_DENSE, np.int32 if cls.fixed or name.startswith("sample") else real)


class PartModel(SimulatorModel, PyLoihiProcessModel, metaclass=_TypesOfPart):
    """A part behind ports. fixed: number system."""

    fixed: ClassVar[bool] = False
    process: ClassVar[type[LayerProcess]]
    simulator: Part

    @classmethod
    def make_simulator(cls, proc_params) -> Part:
        """The part."""
        return part_of(cls.process, proc_params, fixed=cls.fixed)

    def start(self) -> None:
        """See SimulatorModel; also look up the ports of every stage."""
        spec = self.proc_params["simulator"].spec
        receives = {each: getattr(self, each.name).recv for each in spec.inputs}
        sends = {each: getattr(self, each.name).send for each in spec.outputs}
        self._late = [(each.name, receive) for each, receive in receives.items() if each.delay]
        self._stages = [
            (
                stage,
                [(each.name, receive) for each, receive in receives.items() if each.stage == stage.name and not each.delay],
                [(each, send) for each, send in sends.items() if each.stage == stage.name],
            )
            for stage in spec.stages
        ]
        super().start()

    def run_spk(self) -> None:
        """Lava calls this in each spiking phase."""
        part, spec = self.simulator, self.simulator.spec
        early = self._receive_sample() if spec.sample_from and not spec.sample_delay else None
        with self.step():
            if early is not None:
                part.receive(early)
            self._send_sample()
            for stage, receives, sends in self._stages:
                part.run(stage, {name: receive() for name, receive in receives})
                for output, send in sends:
                    send(part.outgoing(output))
            self._send_more()
            arriving = {name: receive() for name, receive in self._late}
            if spec.sample_delay:
                part.receive(self._receive_sample())
            part.finish(arriving)

    def _send_more(self) -> None:
        """Send what is not of one stage alone, once all have run."""

    def _receive_sample(self) -> np.ndarray:
        """The sample message of this step; none where nobody sends any."""
        return self.sample_in.recv() if self.sample_in.csp_ports else FREE_RUN

    def _send_sample(self) -> None:
        """Send the sample message of the step that is to be computed, where it is passed on."""
        if self.simulator.spec.sends_samples:
            self.sample_out.send(self.simulator.message())


class _LabelModel(PartModel):
    """Sends a sample message once it is decided whether it is learned, and its labels are drawn."""

    simulator: LabelPart

    def run_spk(self) -> None:
        """Lava calls this in each spiking phase."""
        self.simulator.learning = bool(self.all_learning[0])
        super().run_spk()
        super()._send_sample()

    def _send_sample(self) -> None:
        """It is sent last."""


class _LearningModel(PartModel):
    """A population that also has its third factors on rails."""

    def _send_more(self) -> None:
        part, rule = self.simulator, self.proc_params["rule"]
        population, terms = part.graph.circuit.network.populations[0], engine_terms(rule)
        leaving = {each.signal: part.outgoing(each) for each in part.spec.outputs}
        thirds = {term.name: names.of(third_factor_of(population, term), "third_factor") for term in rule.terms if term.name in terms}
        self.s_out_bap.send(leaving[names.of(population.name, "spike")])
        for number, rail in enumerate(rails(terms, {name: leaving[third] for name, third in thirds.items()}), 1):
            getattr(self, f"s_out_y{number}").send(rail)


def _define(model: type[PartModel], process: type[LayerProcess]) -> None:
    """The two model classes of a Process, one for each number system, where Lava finds them."""
    for fixed in (False, True):
        members = {"fixed": fixed, "process": process, "__doc__": f"{'Fixed point' if fixed else 'Float32'}.", "__module__": __name__}
        made = _TypesOfPart(f"Py{process.__name__}{'Fixed' if fixed else 'Float'}", (model,), members)
        register_model(process, "fixed_pt" if fixed else "floating_pt")(made)


for _process in (PlasticDense, PlasticConv, TraceLIF, Credit, Readout):
    _define(PartModel, _process)
for _label_process in (LabelGate, TargetProjection):
    _define(_LabelModel, _label_process)
_define(_LearningModel, LearningTraceLIF)
