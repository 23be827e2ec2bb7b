"""Test vectors: samples, and what the interpreter, which defines fixed point, makes of them step by step."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence

import numpy as np

from tp_lava.backends.interpreter import interpret_step
from tp_lava.circuit import Circuit, Learn, Operation, Run
from tp_lava.data.events import Events, Sample
from tp_lava.deploy.c import in_turn, present
from tp_lava.learner import Learner

SPIKES, CHANGE = "spikes_", "change_"  # of names in the file


def first_steps(samples: Sequence[Sample], steps: int) -> list[Sample]:
    """Samples cut to their first steps."""
    return [Sample(_cut(events, min(steps, events.n_steps)), label) for events, label in samples]


def _cut(events: Events, steps: int) -> Events:
    return Events.from_counts(np.diff(events.offsets)[:steps], events.units[: events.offsets[steps]], events.n_units)


def learned_names(learner: Learner) -> tuple[str, ...]:
    """Weights and biases that some step may change."""
    circuit = learner.circuits[1]
    if circuit is None:
        return ()
    written = {name.removesuffix("_change") for operation in circuit.step for name in _changed(operation)}
    return tuple(name for name in learner.network.weights if name in written)


def _changed(operation: Operation) -> tuple[str, ...]:
    """What an operation may write, of weights and biases and their changes."""
    match operation:
        case Learn(_, weights):
            return (weights,)
        case Run(program, bindings):
            return tuple(dict(bindings)[name] for name, _ in program.writes)
    return ()


def vectors(learner: Learner, samples: Sequence[Sample]) -> dict[str, np.ndarray]:
    """Samples, learned and inferred in turn, step by step; the learner stays as it is. All steps are one after the other (S of them).

    labels, steps (N,): of each sample, label -1 where it is inferred; counts (S,), units: input events; scores (S, classes) int32,
    mantissas; spikes_hidden0, ... (S, n) uint8; change_hidden0, ... (S, n_out, n_in) int16: how much the mantissas differ from those
    of the step before.
    """
    twin, names = learner.copy(), learned_names(learner)
    layers = [f"hidden{number}" for number in range(len(learner.network.layers))]
    kept: dict[str, list[np.ndarray]] = {"scores": [], **{SPIKES + layer: [] for layer in layers}, **{CHANGE + name: [] for name in names}}
    before = {name: _mantissas(twin, name) for name in names}

    def step(circuit: Circuit, memory: MutableMapping[str, np.ndarray]) -> None:
        interpret_step(circuit, memory)
        kept["scores"].append(memory["score"][0].astype(np.int32))
        for layer in layers:
            kept[SPIKES + layer].append(memory[f"{layer}_spike"][0].astype(np.uint8))
        for name in names:
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
