"""Test vectors: samples, and what the interpreter, which defines fixed point, makes of them step by step."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence

import numpy as np

from tp_lava.backends.interpreter import interpret_step
from tp_lava.circuit import Circuit, names
from tp_lava.data.events import Events, Sample
from tp_lava.deploy.samples import in_turn, present
from tp_lava.learner import Learner

SPIKES, CHANGE = "spikes_", "change_"  # of names in the file


def first_steps(samples: Sequence[Sample], steps: int) -> list[Sample]:
    """Samples cut to their first steps."""
    return [Sample(_cut(events, min(steps, events.n_steps)), label) for events, label in samples]


def _cut(events: Events, steps: int) -> Events:
    return Events.from_counts(np.diff(events.offsets)[:steps], events.units[: events.offsets[steps]], events.n_units)


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
