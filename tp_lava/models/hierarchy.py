"""OnChipLearner opened into the parts that hardware has.

source -> hidden0 -> population 0 -> hidden1 -> population 1 -> ... -> readout weights -> readout
label  -> projection -> (target streams of population 0 -> hidden1 -> ...), or a gate where the rule has no target streams
each population <-> its credit; population -> (third factors) -> its connections
"""

from __future__ import annotations

from typing import Any, ClassVar

from lava.magma.core.model.sub.model import AbstractSubProcessModel

from tp_lava.lava.learning import learning_dense
from tp_lava.models.register import register_model
from tp_lava.processes.credits import BasisError, Contrast
from tp_lava.processes.labels import LabelGate, TargetProjection
from tp_lava.processes.layers import LayerProcess, LearningTraceLIF, PlasticDense, Readout, TraceLIF
from tp_lava.processes.on_chip_learner import OnChipLearner


class _Opened(AbstractSubProcessModel):
    """One Process per part."""

    fixed: ClassVar[bool]

    def __init__(self, proc: OnChipLearner) -> None:
        proc.check_parts()
        self._outside = (proc,)  # not an attribute by itself, or Lava would take it for a sub-process
        given = proc.proc_params
        self._network, self._rule = given["network"], given["rule"]
        self._options = {"seed": given["seed"], "fixed": given["fixed"]}
        self._stock = bool(given["stock"])
        self._made: dict[str, LayerProcess] = {}
        self._wire()
        proc.open_into(self._made)

    def _make(self, name: str, process: type[LayerProcess], *what):
        made = process(self._network, self._rule, *what, **self._options, name=f"{self._outside[0].name}.{name}")
        self._made[name] = made
        setattr(self, f"part_{name}", made)  # Lava finds sub-processes among the attributes
        return made

    def _wire(self) -> None:
        (proc,) = self._outside
        first = self._first() if self._rule else None
        if first:
            proc.sample_in.connect(first.sample_in)
        sample_from: Any = first
        spikes_from, target_from, below = proc.s_in, None, first
        for number in range(len(self._network.layers)):
            layer = self._layer(number, spikes_from, target_from, below)
            if sample_from is None:
                proc.sample_in.connect(layer.sample_in)
            else:
                sample_from.sample_out.connect(layer.sample_in)
            sample_from, spikes_from, target_from, below = layer, layer.s_out, getattr(layer, "target_s_out", None), layer
        self._readout(sample_from)

    def _first(self) -> LayerProcess:
        """What the label comes to first."""
        has_streams = self._rule.streams(self._network.n_classes) > 0
        return self._make("target", TargetProjection) if has_streams else self._make("gate", LabelGate)

    def _layer(self, number: int, spikes, target_spikes, below) -> TraceLIF:
        if self._stock:
            population = self._make("population0", LearningTraceLIF)
            self._connect_stock(population, spikes)
        else:
            population = self._make(f"population{number}", TraceLIF, number)
            forward = self._make(f"hidden{number}", PlasticDense, f"hidden{number}")
            self._connect_weights(forward, population, spikes, target_spikes, "a_in")
        if number == 0 and hasattr(population, "target_a_in"):
            below.a_out.connect(population.target_a_in)
            if hasattr(below, "target_third_in"):
                population.target_third_out.connect(below.target_third_in)
        if hasattr(population, "feedback_in"):
            feedback = self._make(f"recurrent{number}", PlasticDense, f"recurrent{number}")
            self._connect_weights(feedback, population, population.s_out, getattr(population, "target_s_out", None), "feedback_in")
        if hasattr(population, population.error_port):
            self._connect_credit(number, population, below)
        return population

    def _connect_stock(self, population: LearningTraceLIF, spikes) -> None:
        """Hidden weights in Lava's own learning engine."""
        dense = learning_dense(self._network, self._rule, self._options["fixed"] if self.fixed else None, self._options["seed"])
        self.part_hidden0 = dense
        self._made["hidden0"] = dense
        spikes.connect(dense.s_in)
        dense.a_out.connect(population.a_in)
        for name in ("bap", "y1", "y2", "y3"):
            getattr(population, f"s_out_{name}").connect(getattr(dense, f"s_in_{name}"))

    @staticmethod
    def _connect_weights(weights: PlasticDense, population: TraceLIF, spikes, target_spikes, into: str) -> None:
        spikes.connect(weights.s_in)
        weights.a_out.connect(getattr(population, into))
        if hasattr(weights, "target_s_in"):
            target_spikes.connect(weights.target_s_in)
            weights.target_a_out.connect(getattr(population, f"target_{into}"))
        if hasattr(weights, "sample_in"):
            population.sample_out.connect(weights.sample_in)
        for port in weights.in_ports.members:
            if port.name.endswith("third_in"):
                getattr(population, port.name.replace("_in", "_out")).connect(port)

    def _connect_credit(self, number: int, population: TraceLIF, below) -> None:
        credit: Any
        if not self._rule.streams(self._network.n_classes):
            credit = self._make(f"credit{number}", BasisError, number)
            (population.trace_out if credit.sees_traces else population.s_out).connect(credit.activity_in)
        else:
            credit = self._make(f"credit{number}", Contrast, number)
            population.trace_out.connect(credit.trace_in)
            population.target_trace_out.connect(credit.target_trace_in)
            (below.target_trace_out if number else below.trace_out).connect(credit.below_in)
        population.sample_out.connect(credit.sample_in)
        credit.error_out.connect(getattr(population, population.error_port))

    def _readout(self, last: TraceLIF) -> None:
        weights = self._make("readout_weights", PlasticDense, "readout")
        readout = self._make("readout", Readout)
        last.s_out.connect(weights.s_in)
        last.sample_out.connect(readout.sample_in)
        weights.a_out.connect(readout.a_in)
        if hasattr(weights, "third_in"):
            readout.third_out.connect(weights.third_in)
            readout.sample_out.connect(weights.sample_in)
        (proc,) = self._outside
        readout.score_out.connect(proc.score_out)
        readout.sample_out.connect(proc.sample_out)


@register_model(OnChipLearner, "floating_pt")
class SubOnChipLearnerFloat(_Opened):
    """Chosen by select_sub_proc_model=True."""

    fixed = False


@register_model(OnChipLearner, "fixed_pt")
class SubOnChipLearnerFixed(_Opened):
    """Chosen by select_sub_proc_model=True."""

    fixed = True
