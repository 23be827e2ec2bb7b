"""Counting: what a real run of the engine asks of a chip, operation by operation, sample by sample.

A synaptic operation is a weight added to an accumulator: an active unit times the synapses it has. A plastic update is a weight
changed, or its sum of changes. Both are counted from the events of every step, as the circuit's own operations see them.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from tp_lava.backends.loihi2.circuits import axis_lengths
from tp_lava.backends.protocol import Memory, StepByStep
from tp_lava.circuit import Accumulate, AccumulateProducts, Circuit, ListEvents, Operation, Owner, RunProgram, UpdateWeights
from tp_lava.circuit.labels import check_label
from tp_lava.circuit.operations import SAMPLES, STEPS_LEFT, Conditional, events_of, rows_in_use
from tp_lava.data.events import Sample, check_events
from tp_lava.deploy.loihi2.demand import instructions, on_cores, steps_neurons
from tp_lava.errors import invalid
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
    inference, taught = twin.circuits
    counter = _Counter(taught if learns and taught else inference)
    return Counts(tuple(_count_sample(twin, counter, sample, learns) for sample in samples), learns)


def _count_sample(learner: Learner, counter: _Counter, sample: Sample, learns: bool) -> SampleCounts:
    events, label = sample
    check_events(events, learner.network.n_inputs, learner.network.input_format)
    learner.begin(check_label(label, learner.network.n_classes) if learns else None, n_steps=events.n_steps)
    memory = dict(learner.memory)
    counter.start(memory)
    counter.steps(memory, events.offsets[np.newaxis], events.units, 0, events.n_steps)
    return counter.result(events.n_steps, len(events))


class _Counter(StepByStep):
    """Carries a circuit out operation by operation, and counts what each is about to do."""

    def __init__(self, circuit: Circuit) -> None:
        from tp_lava.backends.cpu import CPU  # Numba takes a second to load

        self.circuit = circuit
        self._operations = [(o, CPU().compile(circuit, [o])) for o in circuit.step]
        self._reached = {o.owner.name: circuit.buffers[o.into].owner for o in circuit.step if isinstance(o, Accumulate)}

    def start(self, memory: Memory) -> None:
        """A sample begins: count from 0. Rows are in use or not for the whole of it."""
        self._memory, self._rows = memory, self.circuit.rows_used(memory)
        self._in_use = replace(self.circuit, sizes={**self.circuit.sizes, **self._rows})
        self._counts = {Owner("population", p.name): Counter[str]() for p in self.circuit.network.populations}
        self._readout, self._credit = Counter[str](), 0

    def once(self, memory: Memory) -> None:
        """See Compiled."""
        for o, code in self._operations:
            if type(o) in _COUNTED and (not isinstance(o, Conditional) or self._happens(o)):
                _COUNTED[type(o)](self, o)
            code.once(memory)

    def result(self, steps: int, input_spikes: int) -> SampleCounts:
        """What came together."""
        kinds = [f.name for f in dataclasses.fields(LayerCounts)][1:]
        layers = tuple(LayerCounts(owner.name, *(counts[kind] for kind in kinds)) for owner, counts in self._counts.items())
        return SampleCounts(steps, input_spikes, layers, self._credit, self._readout["synaptic"], self._readout["updates"])

    # Operations -------------------------------------------------------------------------------
    def accumulate(self, o: Accumulate) -> None:
        done = sum(self._synapses(o.weights, o.table, units) for units in self._events(o.events))
        self._of(o)[self._kind("synaptic", o.into)] += done

    def list_events(self, o: ListEvents) -> None:
        spikes = rows_in_use(self._memory[o.spikes], self.circuit.buffers[o.spikes].axes, self._rows)
        self._of(o)[self._kind("spikes", o.spikes)] += int(np.count_nonzero(spikes))

    def update_weights(self, o: UpdateWeights) -> None:
        n_pre, width = self._in_use.shape(o.weights)
        active = self._active(o)
        units = n_pre * self._in_use.shape(o.third_factor)[0] if active is None else sum(map(len, active))
        self._of(o)["updates"] += units * width

    def accumulate_products(self, o: AccumulateProducts) -> None:
        self._of(o)["updates"] += sum(self._synapses(o.change, o.table, units) for units in self._active(o) or ())

    def run_program(self, o: RunProgram) -> None:
        weights = [name for name in o.writes if self.circuit.buffers[name].role in ("weight", "kernel")]
        if weights:
            self._of(o)["updates"] += prod(self._in_use.shape(weights[0]))
        elif not on_cores(o):
            self._credit += instructions(o.program, axis_lengths(self._in_use, o))
        elif steps_neurons(o):
            self._of(o)["neuron_updates"] += prod(self._in_use.shape(o.writes[0]))

    # Inside -----------------------------------------------------------------------------------
    def _of(self, o: Operation) -> Counter[str]:
        """The counts of the population that an operation belongs to, or that its connection reaches; else those of the readout."""
        owner = o.owner if o.owner.kind == "population" else self._reached.get(o.owner.name, o.owner)
        return self._counts.get(owner, self._readout)

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
        return [np.flatnonzero(row) for row in self._memory[o.trace]] if o.trace else None

    def _synapses(self, weights: str, table: str, units: np.ndarray) -> int:
        """Synapses of some units."""
        if not table:
            return len(units) * self.circuit.shape(weights)[1]
        offsets = self._memory[synapse_table(table)[0]]
        return int((offsets[units + 1] - offsets[units]).sum())

    def _happens(self, o: Conditional) -> bool:
        on = not o.switch or self._memory[o.switch][0] != 0
        return bool(on and (not o.last_steps or 0 <= self._memory[STEPS_LEFT][0] < o.last_steps))


_COUNTED: dict[type[Operation], Callable[[_Counter, Any], None]] = {
    Accumulate: _Counter.accumulate,
    AccumulateProducts: _Counter.accumulate_products,
    ListEvents: _Counter.list_events,
    RunProgram: _Counter.run_program,
    UpdateWeights: _Counter.update_weights,
}
