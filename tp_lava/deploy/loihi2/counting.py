"""Counting: what a real run of the engine asks of a chip, operation by operation, sample by sample.

A synaptic operation is a weight added to an accumulator: an active unit times the synapses it has. A plastic update is a weight
changed, or its sum of changes. Both are counted from the events of every step, as the circuit's own operations see them.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from tp_lava.backends.loihi2.circuits import axis_lengths, axis_of, unit_axes
from tp_lava.backends.protocol import Memory, StepByStep
from tp_lava.circuit import (
    Accumulate,
    AccumulateProducts,
    Circuit,
    ListEvents,
    Operation,
    Pool,
    RunProgram,
    Unpool,
    UpdateWeights,
)
from tp_lava.circuit.buffers import SAMPLES, rows_in_use
from tp_lava.circuit.labels import check_label
from tp_lava.circuit.operations import INPUT_VALUES, STEPS_LEFT, Conditional, events_of
from tp_lava.data.events import Sample, check_events, check_samples
from tp_lava.deploy.loihi2.demand import instructions, on_cores, pooling_steps, steps_neurons
from tp_lava.deploy.loihi2.reach import Reach
from tp_lava.deploy.samples import value_mantissas
from tp_lava.errors import invalid
from tp_lava.graph.connections import Convolution
from tp_lava.learner import Learner


@dataclass(frozen=True)
class LayerCounts:
    """One population, or the units that pool one, and one sample.

    synaptic, spikes: of the sample's own path; rule_*: of a rule's own rows, whose spikes count
    where they go anywhere; updates: plastic; neuron_updates: compartments stepped, those of a rule's rows among them.
    """

    name: str
    synaptic: int
    rule_synaptic: int
    updates: int
    neuron_updates: int
    spikes: int
    rule_spikes: int


@dataclass(frozen=True)
class SampleCounts:
    """One sample. credit: operations of all embedded processors' programs; readout_synaptic, readout_updates: of its weights."""

    steps: int
    input_spikes: int
    layers: tuple[LayerCounts, ...]
    credit: int
    readout_synaptic: int
    readout_updates: int

    @property
    def synaptic(self) -> int:
        """Synaptic operations on neuro-cores, those of a rule's rows included."""
        return sum(layer.synaptic + layer.rule_synaptic for layer in self.layers)

    @property
    def updates(self) -> int:
        """Plastic updates on neuro-cores."""
        return sum(layer.updates for layer in self.layers)

    @property
    def neuron_updates(self) -> int:
        """Compartments stepped."""
        return sum(layer.neuron_updates for layer in self.layers)

    @property
    def spikes(self) -> int:
        """Of all compartments."""
        return sum(layer.spikes + layer.rule_spikes for layer in self.layers)


@dataclass(frozen=True)
class Counts:
    """Some samples, inferred or, if learning, learned."""

    samples: tuple[SampleCounts, ...]
    learning: bool

    @property
    def steps(self) -> float:
        """Mean steps of a sample."""
        return self.mean("steps")

    def mean(self, name: str) -> float:
        """Mean over samples of a number of theirs: steps, synaptic, updates, ..."""
        return float(np.mean([getattr(sample, name) for sample in self.samples]))

    def of_layer(self, number: int, name: str) -> float:
        """The same of a layer's."""
        return float(np.mean([getattr(sample.layers[number], name) for sample in self.samples]))

    def to_dict(self) -> dict:
        """For JSON."""
        return dataclasses.asdict(self)


def count(learner: Learner, samples: Sequence[Sample], learning: bool | None = None) -> Counts:
    """Count what presenting samples takes; a copy of the learner does it, step by step.

    learning: with their labels, by default if the learner has a rule. Raises InvalidValueError.
    """
    learns = learner.rule is not None if learning is None else learning
    if learns and learner.rule is None:
        raise invalid("count", "learning", True, "False for a learner without a rule", "give the learner a rule")
    check_samples("count", samples)
    twin = learner.copy()
    inference, taught = twin.circuits
    counter = _Counter(taught if learns and taught else inference)
    return Counts(tuple(_count_sample(twin, counter, sample, learns) for sample in samples), learns)


def _count_sample(learner: Learner, counter: _Counter, sample: Sample, learns: bool) -> SampleCounts:
    events, label = sample
    check_events(events, learner.network.n_inputs, learner.network.input_format)
    learner.begin(check_label(label, learner.network.n_classes) if learns else None, n_steps=events.n_steps)
    memory = dict(learner.memory)
    counter.start(memory)
    values = value_mantissas(learner, events) if INPUT_VALUES in counter.circuit.buffers else None
    counter.steps(memory, events.offsets[np.newaxis], events.units, 0, events.n_steps, values)
    return counter.result(events.n_steps, len(events))


class _Counter(StepByStep):
    """Carries a circuit out operation by operation, and counts what each is about to do."""

    def __init__(self, circuit: Circuit) -> None:
        from tp_lava.backends.cpu import CPU  # Numba takes a second to load

        self.circuit = circuit
        self._operations = [(o, CPU().compile(circuit, [o])) for o in circuit.step]
        self._layers = [axis for population in circuit.network.populations for axis in unit_axes(circuit, population)]
        self._reached = {o.owner.name: axis_of(circuit, o.into) for o in circuit.step if isinstance(o, Accumulate)}
        self._sources = {o.into: o.source for o in circuit.step if isinstance(o, Pool)}
        self._pooled = {o.source for o in circuit.step if isinstance(o, Pool) and o.owner.kind == "population"}
        self._listed = {o.population: o.spikes for o in circuit.step if isinstance(o, ListEvents)}
        self._on_processors = [o for o in circuit.step if not on_cores(circuit, o)]

    def start(self, memory: Memory) -> None:
        """A sample begins: count from 0. Rows are in use or not for the whole of it."""
        self._memory, self._rows = memory, self.circuit.rows_used(memory)
        self._in_use = replace(self.circuit, sizes={**self.circuit.sizes, **self._rows})
        self._counts = {axis: Counter[str]() for axis in self._layers}
        self._readout, self._credit = Counter[str](), 0

    def once(self, memory: Memory) -> None:
        for o, code in self._operations:
            if type(o) in _COUNTED and (not isinstance(o, Conditional) or self._happens(o)):
                _COUNTED[type(o)](self, o)
            code.once(memory)

    def result(self, steps: int, input_spikes: int) -> SampleCounts:
        """What came together."""
        kinds = [f.name for f in dataclasses.fields(LayerCounts)][1:]
        layers = tuple(LayerCounts(axis, *(counts[kind] for kind in kinds)) for axis, counts in self._counts.items())
        return SampleCounts(steps, input_spikes, layers, self._credit, self._readout["synaptic"], self._readout["updates"])

    # Operations -------------------------------------------------------------------------------
    def accumulate(self, o: Accumulate) -> None:
        """Sums that a connection pools first are synapses of the units below them."""
        units = self._unpooled(o.events) if o.kind and o.kind.pooling else self._events(o.events)
        self._at(o.into)[self._kind("synaptic", o.into)] += sum(self._synapses(o, active) for active in units)

    def list_events(self, o: ListEvents) -> None:
        """What is pooled is counted there, and a connection's own poolings are nobody's spikes."""
        if o.owner.kind == "population" and o.spikes not in self._pooled:
            self._at(o.spikes)[self._kind("spikes", o.spikes)] += sum(map(len, self._active_in(o.spikes)))

    def pool(self, o: Pool | Unpool) -> None:
        """Spikes into the units that pool them, and signals back."""
        if any(o is other for other in self._on_processors):
            self._credit += pooling_steps(self._in_use, o)
        elif o.owner.kind == "population":
            reach, source = Reach.pooling(o.pooling, o.shape), o.source if isinstance(o, Pool) else o.signal
            reach, active = reach if isinstance(o, Pool) else reach.back(), self._active_in(source)
            self._at(o.into)[self._kind("synaptic", o.into)] += sum(map(reach.fans, active))
            if isinstance(o, Pool):
                self._at(o.into)["neuron_updates"] += prod(self._in_use.shape(o.into))
                self._at(source)[self._kind("spikes", source)] += sum(map(len, active))

    def update_weights(self, o: UpdateWeights) -> None:
        if o.kind:
            self._of(o)["updates"] += self._learned(o, o.kind)
            return
        n_pre, width = self._in_use.shape(o.weights)
        active = self._active(o)
        if o.offsets:
            self._of(o)["updates"] += sum(self._delayed(o, units) for units in active or ())
            return
        units = n_pre * self._in_use.shape(o.third_factor)[0] if active is None else sum(map(len, active))
        self._of(o)["updates"] += units * width

    def accumulate_products(self, o: AccumulateProducts) -> None:
        self._of(o)["updates"] += self._learned(o, o.kind)

    def run_program(self, o: RunProgram) -> None:
        weights = [name for name in o.writes if self.circuit.buffers[name].role in ("weight", "kernel")]
        if weights:
            self._of(o)["updates"] += prod(self._in_use.shape(weights[0]))
        elif any(o is other for other in self._on_processors):
            self._credit += instructions(o.program, axis_lengths(self._in_use, o))
        elif steps_neurons(o) and axis_of(self.circuit, o.writes[0]) == o.owner.name:
            self._at(o.writes[0])["neuron_updates"] += prod(self._in_use.shape(o.writes[0]))

    # Inside -----------------------------------------------------------------------------------
    def _of(self, o: Operation) -> Counter[str]:
        """The counts of the population that an operation belongs to, or that its connection reaches; else those of the readout."""
        name = o.owner.name if o.owner.kind == "population" else self._reached.get(o.owner.name, "")
        return self._counts.get(name, self._readout)

    def _at(self, buffer: str) -> Counter[str]:
        """The counts of the layer that a buffer's units are; else those of the readout."""
        return self._counts.get(axis_of(self.circuit, buffer), self._readout)

    def _kind(self, name: str, buffer: str) -> str:
        return name if self.circuit.buffers[buffer].axes[0] == SAMPLES else f"rule_{name}"

    def _events(self, population: str) -> list[np.ndarray]:
        """Active units of each row in use."""
        active, counts = events_of(population)
        rows = self._in_use.shape(active)[0]
        return [self._memory[active][row, : self._memory[counts][row]] for row in range(rows)]

    def _active(self, o: UpdateWeights | AccumulateProducts) -> list[np.ndarray] | None:
        """Presynaptic units of each row for which something is learned; None: all."""
        if o.events:
            return self._events(o.events)
        return self._active_in(o.trace) if o.trace else None

    def _active_in(self, buffer: str) -> list[np.ndarray]:
        """Units of each row in use for which a buffer has no zero."""
        return [np.flatnonzero(row) for row in rows_in_use(self._memory[buffer], self.circuit.buffers[buffer].axes, self._rows)]

    def _unpooled(self, events: str) -> list[np.ndarray]:
        """Active units of what a connection pools before it lists these events."""
        buffer = self._listed[events]
        while buffer in self._sources:
            buffer = self._sources[buffer]
        return self._active_in(buffer)

    def _synapses(self, o: Accumulate, units: np.ndarray) -> int:
        """Synapses of some units."""
        if o.offsets:
            return self._delayed(o, units)
        return _reach(o.kind).fans(units) if o.kind else len(units) * self.circuit.shape(o.weights)[1]

    def _delayed(self, o: Accumulate | UpdateWeights, units: np.ndarray) -> int:
        """Those of some delayed units, where synapses have delays of their own."""
        return int(np.diff(self._memory[o.offsets])[units].sum())

    def _learned(self, o: UpdateWeights | AccumulateProducts, kind: Convolution) -> int:
        """Weights of a convolution that active units, pooled by it or not, change."""
        reach = _reach(replace(kind, shape=kind.pooled_shape, pooling=()))  # type: ignore[arg-type]
        return sum(map(reach.fans, self._active(o) or ()))

    def _happens(self, o: Conditional) -> bool:
        on = not o.switch or self._memory[o.switch][0] != 0
        return bool(on and (not o.last_steps or 0 <= self._memory[STEPS_LEFT][0] < o.last_steps))


@lru_cache(maxsize=64)
def _reach(kind: Convolution) -> Reach:
    return Reach.of(kind)


_COUNTED: dict[type[Operation], Callable[[_Counter, Any], None]] = {
    Accumulate: _Counter.accumulate,
    AccumulateProducts: _Counter.accumulate_products,
    ListEvents: _Counter.list_events,
    Pool: _Counter.pool,
    RunProgram: _Counter.run_program,
    Unpool: _Counter.pool,
    UpdateWeights: _Counter.update_weights,
}
