"""The samples by which an export is tested, and what the interpreter, which defines fixed point, makes of them, also step by step."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass

import numpy as np

from tp_lava.backends.interpreter import interpret_step
from tp_lava.circuit import Circuit, Owner, names
from tp_lava.circuit.buffers import rows_in_use
from tp_lava.circuit.labels import check_label
from tp_lava.circuit.names import SCORE
from tp_lava.circuit.operations import INPUT_VALUES, events_of
from tp_lava.data.events import Events, Sample, check_events, check_samples, steps_of, values_of
from tp_lava.graph.names import INPUT
from tp_lava.learner import Learner
from tp_lava.numbers import Format

_STEPS, _SAMPLES = 12, 4
_RATES = (0.05, 0.1, 0.2, 0.4, 0.8)  # of random events: the first one at which every population spikes


@dataclass(frozen=True)
class Presented:
    """One sample and what came of it. label: None if inferred; scores: mantissas; spikes: of each population."""

    events: Events
    label: int | None
    scores: tuple[int, ...]
    prediction: int
    spikes: tuple[int, ...]


def checked_samples(samples: Sequence[Sample], learner: Learner) -> list[Sample]:
    """The samples, if the learner can take them. Raises InvalidValueError."""
    check_samples("export", samples, "leave it out for random events")
    for events, label in samples:
        check_events(events, learner.network.n_inputs, learner.network.input_format)
        check_label(label, learner.network.n_classes)
    return [Sample(*sample) for sample in samples]


def random_samples(learner: Learner) -> list[Sample]:
    """A few samples of random events, drawn from the learner's seed, at which every population spikes if any rate makes it."""
    network, rng = learner.network, np.random.default_rng(learner.seed)
    noise = rng.random((_SAMPLES, _STEPS, network.n_inputs))
    probe = Learner(network, None, learner.fixed or "fixed", learner.seed)
    for rate in _RATES:
        events = [_random_events(sample < rate, network.input_format, rng) for sample in noise]
        if all(present(probe, events[0], None).spikes):
            break
    return [Sample(sample, number % network.n_classes) for number, sample in enumerate(events)]


def _random_events(spikes: np.ndarray, format: Format | None, rng: np.random.Generator) -> Events:
    """Events where `spikes` are; format: of their random values."""
    if format is None:
        return Events.from_dense(spikes)
    return Events.from_dense(format.real(rng.integers(format.low, format.high, spikes.shape, endpoint=True)) * spikes, graded=True)


def in_turn(learner: Learner, samples: Sequence[Sample]) -> list[tuple[Events, int | None]]:
    """How a test presents samples: learned and inferred (label None) in turn, and what was learned first inferred at the end."""
    if learner.rule is None:
        return [(events, None) for events, _ in samples]
    taught = [(events, None if number % 2 else label) for number, (events, label) in enumerate(samples)]
    return [*taught, (samples[0][0], None)]


def present(
    learner: Learner,
    events: Events,
    label: int | None,
    step: Callable[[Circuit, MutableMapping[str, np.ndarray]], None] = interpret_step,
) -> Presented:
    """A sample through the interpreter, so that nothing has to be compiled. step: another way to take a step."""
    learner.begin(label, n_steps=events.n_steps)
    inference, learning = learner.circuits
    circuit = learning if label is not None and learning else inference
    used = circuit.rows_used(learner.memory)
    memory = {name: rows_in_use(learner.memory[name], buffer.axes, used) for name, buffer in circuit.buffers.items()}
    active, count = events_of(INPUT)
    values = value_mantissas(learner, events) if learner.network.input_format else None
    for begin, end in zip(events.offsets[:-1], events.offsets[1:], strict=True):
        units = events.units[begin:end]
        memory[active][0, : units.size], memory[count][0] = units, units.size
        if values is not None:
            memory[INPUT_VALUES][0] = 0
            memory[INPUT_VALUES][0, units] = values[begin:end]
        step(circuit, memory)
    scores = memory[SCORE][0]
    totals = (circuit.buffer(Owner("population", p.name), "total").name for p in learner.network.populations)
    return Presented(events, label, tuple(scores.tolist()), int(scores.argmax()), tuple(int(memory[name].sum()) for name in totals))


def value_mantissas(learner: Learner, events: Events) -> np.ndarray:
    """The values of events as the memory of a learner with graded input holds them."""
    return learner.buffers[INPUT_VALUES].encode(values_of(events))


def checksum_of(learner: Learner, weights: Sequence[str]) -> int:
    """FNV-1a of the mantissas of weights, each as 32 bits: as the test program does."""
    total = 0x811C9DC5
    for name in weights:
        for value in learner.memory[name].ravel().tolist():
            total = ((total ^ (value & 0xFFFFFFFF)) * 0x01000193) & 0xFFFFFFFF
    return total


SPIKES, CHANGE = "spikes_", "change_"  # of names in the file


def first_steps(samples: Sequence[Sample], steps: int) -> list[Sample]:
    """Samples cut to their first steps."""
    return [Sample(steps_of(events, 0, min(steps, events.n_steps)), label) for events, label in samples]


def learned_names(learner: Learner) -> tuple[str, ...]:
    """Weights and biases, a rule's own among them, that some step may change."""
    circuit = learner.circuits[1]
    written = {name for operation in circuit.step for name in operation.writes} if circuit else set()
    return tuple(name for name in learner.weights if name in written)


def vectors(learner: Learner, samples: Sequence[Sample]) -> dict[str, np.ndarray]:
    """Samples, learned and inferred in turn, step by step; the learner stays as it is. All steps are one after the other (S of them).

    labels, steps (N,): of each sample, label -1 where it is inferred; counts (S,), units: input events; scores (S, classes) int32,
    mantissas; spikes_hidden0, ... (S, n) uint8; change_hidden0, ... (S, n_out, n_in) int16: how much the mantissas differ from those
    of the step before.
    """
    twin, changing = learner.copy(), learned_names(learner)
    spikes = {SPIKES + population.name: names.of(population.name, "spike") for population in learner.network.populations}
    kept: dict[str, list[np.ndarray]] = {"scores": [], **{key: [] for key in spikes}, **{CHANGE + name: [] for name in changing}}
    before = {name: _mantissas(twin, name) for name in changing}

    def step(circuit: Circuit, memory: MutableMapping[str, np.ndarray]) -> None:
        interpret_step(circuit, memory)
        kept["scores"].append(memory[names.SCORE][0].astype(np.int32))
        for key, buffer in spikes.items():
            kept[key].append(memory[buffer][0].astype(np.uint8))
        for name in changing:
            now = _mantissas(twin, name)
            kept[CHANGE + name].append((now - before[name]).astype(_change_type(twin, name)))
            before[name] = now

    presented = [present(twin, events, label, step) for events, label in in_turn(twin, samples)]
    given = [sample.events for sample in presented]
    return {
        "labels": np.array([-1 if sample.label is None else sample.label for sample in presented], np.int32),
        "steps": np.array([events.n_steps for events in given], np.int32),
        "counts": np.concatenate([np.diff(events.offsets) for events in given]).astype(np.int32),
        "units": np.concatenate([events.units for events in given]).astype(np.int32),
        **{name: np.stack(rows) for name, rows in kept.items()},
    }


def _mantissas(learner: Learner, name: str) -> np.ndarray:
    return np.array(learner.buffers[name].seen(learner.memory[name]), np.int32, order="C")


def _change_type(learner: Learner, name: str) -> type:
    """Biases are as wide as membranes; two 8- or 9-bit weights differ by no more than 16 bits hold."""
    return np.int32 if learner.buffers[name].role == "bias" else np.int16
