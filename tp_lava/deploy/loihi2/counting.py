"""Counting: what a real run of the engine asks of a chip, operation by operation, sample by sample.

A synaptic operation is a weight added to an accumulator: an active unit times the synapses it has. A plastic update is a weight
changed, or its sum of changes. Both are counted from the events of every step, as the circuit's own operations see them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tp_lava.circuit.operations import STEPS_LEFT
from tp_lava.circuit import Circuit, Deliver, Gather, Learn, Operation, Run, synapse_table
from tp_lava.data.events import Sample, check_events
from tp_lava.deploy.loihi2.demand import processor_operations
from tp_lava.deploy.loihi2.programs import instructions, sizes_of
from tp_lava.circuit.labels import check_label
from tp_lava.errors import invalid
from tp_lava.learner import Learner


@dataclass(frozen=True)
class LayerCounts:
    """One hidden layer and one sample. synaptic, spikes: of the sample's own path; target_*: of the target streams, whose spikes
    count where they go anywhere; updates: plastic; neuron_updates: compartments stepped, those of the target streams among them.
    """

    name: str
    synaptic: int
    target_synaptic: int
    updates: int
    neuron_updates: int
    spikes: int
    target_spikes: int


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
        """Synaptic operations on neuro-cores, target streams included."""
        return sum(layer.synaptic + layer.target_synaptic for layer in self.layers)

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
        return sum(layer.spikes + layer.target_spikes for layer in self.layers)


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
    circuit = learning if learns and learning else inference
    tally = _Tally(circuit, learner.memory, learner.position[1] if learns else circuit.sizes.get("k", 0))
    for begin, end in zip(events.offsets[:-1], events.offsets[1:], strict=True):
        tally.before()
        learner.step(events.units[begin:end], checked=True)
        tally.after(events.units[begin:end])
    return tally.result(events.n_steps, len(events))


class _Tally:
    """Of one sample: which population's events each operation of a step saw, and what it did with them."""

    def __init__(self, circuit: Circuit, memory: Mapping[str, np.ndarray], streams: int) -> None:
        self.circuit, self.memory, self.streams = circuit, memory, streams
        self.processors = {id(o) for operations in processor_operations(circuit).values() for o in operations}
        self.gathered = {o.population: number for number, o in enumerate(circuit.step) if isinstance(o, Gather)}
        self.last: dict[str, list[np.ndarray]] = {}
        self.now: dict[str, list[np.ndarray]] = {}
        names = ("synaptic", "target_synaptic", "updates", "neuron_updates", "spikes", "target_spikes")
        self.layers = [dict.fromkeys(names, 0) for _ in circuit.network.layers]
        self.own = dict.fromkeys(("credit", "readout_synaptic", "readout_updates"), 0)

    def before(self) -> None:
        """A step is about to run: its feedback comes from the last one."""
        self.last = {name: self._events(name) for name in self.gathered}

    def after(self, units: np.ndarray) -> None:
        """A step has run, with these inputs."""
        self.now = {name: self._events(name) for name in self.gathered} | {"input": [units]}
        if "label_active" in self.circuit.buffers:
            self.now["label"] = self._events("label")
        for number, operation in enumerate(self.circuit.step):
            self._add(number, operation)
        for population, rows in self.now.items():
            name = "target_spikes" if population.startswith("target") else "spikes"
            if population not in ("input", "label"):
                self.layers[_layer(population)][name] += sum(len(row) for row in rows)

    def result(self, steps: int, input_spikes: int) -> SampleCounts:
        """What came together."""
        layers = tuple(LayerCounts(f"hidden{number}", **counts) for number, counts in enumerate(self.layers))
        return SampleCounts(steps, input_spikes, layers, **self.own)

    def _add(self, number: int, o: Operation) -> None:
        match o:
            case Deliver():
                done = sum(self._fan_out(o, row).sum() for row in self._seen(number, o.events))
                self._deliver(o, int(done))
            case Learn() if self._happens(o):
                active = self._traced(o.trace) if o.trace else sum(len(row) for row in self._seen(number, o.events))
                self._update(o.weights, active * self._width(o.weights))
            case Run() if self._happens(o):
                self._run(o)

    def _deliver(self, o: Deliver, done: int) -> None:
        if id(o) in self.processors:
            self.own["readout_synaptic"] += done
        else:
            self.layers[_layer(o.into)]["target_synaptic" if o.into.startswith("target") else "synaptic"] += done

    def _update(self, weights: str, done: int) -> None:
        name = weights.removesuffix("_change")
        if name == "readout":
            self.own["readout_updates"] += done
        else:
            self.layers[0 if name == "target" else _layer(name)]["updates"] += done

    def _run(self, o: Run) -> None:
        name, sizes = o.program.name, sizes_of(o, self.circuit, self.streams)
        if name.endswith("_optimiser") and "bias" not in name:
            weights = name.removesuffix("_optimiser")
            self._update(weights, int(np.prod([self.circuit.sizes[axis] for axis in self.circuit.buffers[weights].axes])))
        elif id(o) in self.processors:
            self.own["credit"] += instructions(o.program, sizes)
        elif name.endswith("_neuron"):
            self.layers[_layer(name)]["neuron_updates"] += sizes["row"] * sizes["n"]

    def _events(self, population: str) -> list[np.ndarray]:
        active, counts = self.memory[f"{population}_active"], self.memory[f"{population}_count"]
        rows = self.streams if self.circuit.buffers[f"{population}_active"].axes[0] == "k" else len(counts)
        return [active[row, : counts[row]].copy() for row in range(rows)]

    def _seen(self, number: int, population: str) -> list[np.ndarray]:
        """The events that operation `number` saw: those of this step, if they had been gathered when it ran."""
        return (self.now if self.gathered.get(population, -1) < number else self.last)[population]

    def _fan_out(self, o: Deliver, units: np.ndarray) -> np.ndarray:
        if not o.table:
            return np.full(len(units), self._width(o.weights), np.int64)
        offsets = self.memory[synapse_table(o.table)[0]]
        return (offsets[units + 1] - offsets[units]).astype(np.int64)

    def _width(self, weights: str) -> int:
        return self.circuit.sizes[self.circuit.buffers[weights].axes[1]]

    def _traced(self, trace: str) -> int:
        return int(np.count_nonzero(self.memory[trace]))

    def _happens(self, o: Run | Learn) -> bool:
        on = not o.switch or self.memory[o.switch][0] != 0
        return bool(on and (not o.within or 0 <= self.memory[STEPS_LEFT][0] < o.within))


def _layer(name: str) -> int:
    """Number of the hidden layer in the name of a buffer, population or program."""
    return int(name.split("_")[0].removeprefix("hidden").removeprefix("target").removeprefix("recurrent"))
