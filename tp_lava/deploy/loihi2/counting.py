"""Counting: what a real run of the engine asks of a chip, operation by operation, sample by sample.

A synaptic operation is a weight added to an accumulator: an active unit times the synapses it has. A plastic update is a weight
changed, or its sum of changes. Both are counted from the events of every step, as the circuit's own operations see them.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from tp_lava.backends.loihi2.circuits import axis_lengths
from tp_lava.circuit import Accumulate, AccumulateProducts, Circuit, ListEvents, Operation, Owner, RunProgram, UpdateWeights
from tp_lava.circuit.labels import check_label
from tp_lava.circuit.operations import SAMPLES, STEPS_LEFT, Conditional, events_of, rows_in_use, synapse_table
from tp_lava.data.events import Sample, check_events
from tp_lava.deploy.loihi2.demand import instructions, on_cores, steps_neurons
from tp_lava.errors import invalid
from tp_lava.graph.names import INPUT
from tp_lava.learner import Learner


@dataclass(frozen=True)
class LayerCounts:
    """One population and one sample. synaptic, spikes: of the sample's own path; rule_*: of a rule's own rows, whose spikes count
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
    if not samples:
        raise invalid("count", "samples", "empty", "at least one sample", "give some of the data")
    twin = learner.copy()
    return Counts(tuple(_count_sample(twin, sample, learns) for sample in samples), learns)


def _count_sample(learner: Learner, sample: Sample, learns: bool) -> SampleCounts:
    events, label = sample
    check_events(events, learner.network.n_inputs)
    own = check_label(label, learner.network.n_classes) if learns else None
    learner.begin(own, n_steps=events.n_steps)
    inference, learning = learner.circuits
    tally = _Tally(learning if learns and learning else inference, learner.memory)
    for begin, end in zip(events.offsets[:-1], events.offsets[1:], strict=True):
        tally.before()
        learner.step(events.units[begin:end], checked=True)
        tally.after(events.units[begin:end])
    return tally.result(events.n_steps, len(events))


class _Tally:
    """Of one sample: which population's events each operation of a step saw, and what it did with them."""

    def __init__(self, circuit: Circuit, memory: Mapping[str, np.ndarray]) -> None:
        self.memory, self.used = memory, circuit.rows_used(memory)
        self.circuit = replace(circuit, sizes={**circuit.sizes, **self.used})
        self.listed = {o.population: number for number, o in enumerate(circuit.step) if isinstance(o, ListEvents)}
        self.presented = [o.population for o in circuit.start if o.population]
        self.reached = {o.owner.name: circuit.buffers[o.into].owner for o in circuit.step if isinstance(o, Accumulate)}
        self.last: dict[str, list[np.ndarray]] = {}
        self.now: dict[str, list[np.ndarray]] = {}
        self.counts: dict[Owner, Counter[str]] = {Owner("population", p.name): Counter() for p in circuit.network.populations}
        self.readout, self.credit = Counter[str](), 0

    def before(self) -> None:
        """A step is about to run: its feedback comes from the last one."""
        self.last = {name: self._events(name) for name in self.listed}

    def after(self, units: np.ndarray) -> None:
        """A step has run, with these inputs."""
        self.now = {name: self._events(name) for name in (*self.listed, *self.presented)} | {INPUT: [units]}
        for number, o in enumerate(self.circuit.step):
            if type(o) in _COUNTED and (not isinstance(o, Conditional) or self._happens(o)):
                _COUNTED[type(o)](self, number, o)

    def result(self, steps: int, input_spikes: int) -> SampleCounts:
        """What came together."""
        kinds = [f.name for f in dataclasses.fields(LayerCounts)][1:]
        layers = tuple(LayerCounts(owner.name, *(counts[kind] for kind in kinds)) for owner, counts in self.counts.items())
        return SampleCounts(steps, input_spikes, layers, self.credit, self.readout["synaptic"], self.readout["updates"])

    # Operations -------------------------------------------------------------------------------
    def accumulate(self, number: int, o: Accumulate) -> None:
        done = sum(self._synapses(o.weights, o.table, units) for units in self._seen(number, o.events))
        self._of(o)[self._kind("synaptic", o.into)] += done

    def list_events(self, number: int, o: ListEvents) -> None:
        self._of(o)[self._kind("spikes", o.spikes)] += sum(map(len, self.now[o.population]))

    def update_weights(self, number: int, o: UpdateWeights) -> None:
        n_pre, width = self.circuit.shape(o.weights)
        rows = self.circuit.shape(o.third_factor)[0]
        active = self._active(number, o)
        self._of(o)["updates"] += width * (n_pre * rows if active is None else sum(map(len, active)))

    def accumulate_products(self, number: int, o: AccumulateProducts) -> None:
        active = self._active(number, o) or []
        self._of(o)["updates"] += sum(self._synapses(o.change, o.table, units) for units in active)

    def run_program(self, number: int, o: RunProgram) -> None:
        weights = [name for name in o.writes if self.circuit.buffers[name].role in ("weight", "kernel")]
        if weights:
            self._of(o)["updates"] += prod(self.circuit.shape(weights[0]))
        elif not on_cores(o):
            self.credit += instructions(o.program, axis_lengths(self.circuit, o))
        elif steps_neurons(o):
            self._of(o)["neuron_updates"] += prod(self.circuit.shape(o.writes[0]))

    # Inside -----------------------------------------------------------------------------------
    def _of(self, o: Operation) -> Counter[str]:
        """The counts of the population whose neurons, or the connection into which, an operation belongs to; else the readout's."""
        return self.counts.get(self.reached.get(o.owner.name, o.owner) if o.owner.kind != "population" else o.owner, self.readout)

    def _kind(self, name: str, buffer: str) -> str:
        return name if self.circuit.buffers[buffer].axes[0] == SAMPLES else f"rule_{name}"

    def _events(self, population: str) -> list[np.ndarray]:
        active, counts = events_of(population)
        held = rows_in_use(self.memory[active], self.circuit.buffers[active].axes, self.used)
        return [row[:length].copy() for row, length in zip(held, self.memory[counts], strict=False)]

    def _seen(self, number: int, population: str) -> list[np.ndarray]:
        """The events that operation `number` saw: those of this step, if they had been listed when it ran."""
        return (self.now if self.listed.get(population, -1) < number else self.last)[population]

    def _active(self, number: int, o: UpdateWeights | AccumulateProducts) -> list[np.ndarray] | None:
        """Presynaptic units of each row for which something is learned; None: all."""
        if o.events:
            return self._seen(number, o.events)
        return [np.flatnonzero(row) for row in self.memory[o.trace]] if o.trace else None

    def _synapses(self, weights: str, table: str, units: np.ndarray) -> int:
        """Synapses of some units."""
        if not table:
            return len(units) * self.circuit.shape(weights)[1]
        offsets = self.memory[synapse_table(table)[0]]
        return int((offsets[units + 1] - offsets[units]).sum())

    def _happens(self, o: Conditional) -> bool:
        on = not o.switch or self.memory[o.switch][0] != 0
        return bool(on and (not o.last_steps or 0 <= self.memory[STEPS_LEFT][0] < o.last_steps))


_COUNTED: dict[type[Operation], Callable[[_Tally, int, Any], None]] = {
    Accumulate: _Tally.accumulate,
    AccumulateProducts: _Tally.accumulate_products,
    ListEvents: _Tally.list_events,
    RunProgram: _Tally.run_program,
    UpdateWeights: _Tally.update_weights,
}
