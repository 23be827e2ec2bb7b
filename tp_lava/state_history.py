"""What a Learner's arrays hold at the end of every step of a sample, in physical units.

For Processes in Lava the Recorder does this (docs/probing.md); here the engine runs step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tp_lava.circuit import Buffer, Circuit, Owner
from tp_lava.circuit.buffers import SAMPLES
from tp_lava.circuit.operations import events_of
from tp_lava.data.events import Events, check_events
from tp_lava.errors import invalid
from tp_lava.learner_view import LearnerView
from tp_lava.outcome import Arrays, Outcome

_RECORDED = {"spikes": "spike", "membranes": "membrane", "traces": "trace"}  # attribute of an Outcome -> a population's own name


class StateHistory(Arrays):
    """Arrays during a sample: name -> (T, ...) float32, at the end of each step.

    start: name -> the same before the first step, of what is kept from step to step (states, weights, parameters); outcome: of the
    sample; streams: labels of the rows that a rule gives the label's population (TP's target rows), the sample's own first; else ().
    """

    def __init__(self, steps: Mapping[str, np.ndarray], start: Mapping[str, np.ndarray], outcome: Outcome, streams: Sequence[int]) -> None:
        super().__init__(tuple(steps), dict(steps).__getitem__)
        self.start, self.outcome, self.streams = dict(start), outcome, tuple(streams)

    def changes(self, name: str) -> np.ndarray:
        """(T, ...): by how much each step changed it. Raises InvalidValueError for what every step computes anew."""
        if name in self and name not in self.start:
            raise invalid("StateHistory", "name", repr(name), "a state, a weight or a parameter", f"{name} is made anew in every step")
        return np.diff(self[name], axis=0, prepend=self.start[name][np.newaxis])


def watch(
    learner: LearnerView,
    events: Events,
    label: int | None = None,
    names: Sequence[str] | None = None,
    *,
    select: Mapping[str, Any] | None = None,
    **given: Sequence[int] | None,
) -> StateHistory:
    """Present a sample, and learn it if a label is given, and record arrays after every step.

    The learner ends as infer(events) or learn(events, label, **given) leaves it, bit for bit.
    names: of learner.buffers, by default all states and results of a step; weights (n_out, n_in) and parameters by name;
    select: name -> an index (np.s_[...]) into what would be recorded of a step. Recorded is (n,) where a sample has one row,
    (K, n) where each row of its labels has one, () for a single number. Raises InvalidValueError for unknown names and wrong indices.
    """
    check_events(events, learner.network.n_inputs, learner.network.input_format)
    infers, learns = learner.circuits
    circuit = learns if learns is not None and label is not None and learner.learning else infers
    select = dict(select or {})
    names = _names(circuit, names, select)
    learner.begin(label, events.n_steps, **given)
    rows = {SAMPLES: 0} | {axis: slice(count) for axis, count in circuit.rows_used(learner.memory).items()}
    read = {name: _reader(learner.memory[name], circuit.buffers[name], rows, select.get(name, ())) for name in names}
    start = {name: now() for name, now in read.items() if circuit.buffers[name].role != "work"}
    steps: dict[str, list[np.ndarray]] = {name: [] for name in read}
    for step in range(events.n_steps):
        here = slice(events.offsets[step], events.offsets[step + 1])
        learner.step(events.units[here], checked=True, values=None if events.values is None else events.values[here])
        for name, now in read.items():
            steps[name].append(now())
    return StateHistory(
        {name: np.stack(values) for name, values in steps.items()}, start, learner.outcome(), _row_labels(circuit, learner.memory)
    )


def recorded(learner: LearnerView, events: Events) -> Outcome:
    """What inferring a sample gives, with every step's spikes, membranes and traces of each population."""
    circuit, owners = learner.circuits[0], [Owner("population", population.name) for population in learner.network.populations]
    names = {kept: [circuit.buffer(owner, local).name for owner in owners] for kept, local in _RECORDED.items()}
    history = watch(learner, events, names=[name for layers in names.values() for name in layers])
    kept = {each: tuple(history[name] for name in layers) for each, layers in names.items()}
    kept["spikes"] = tuple(spikes.astype(bool) for spikes in kept["spikes"])
    return replace(history.outcome, **kept)  # type: ignore[arg-type]


def _names(circuit: Circuit, names: Sequence[str] | None, select: Mapping[str, Any]) -> Sequence[str]:
    """The buffers to record. Raises InvalidValueError for unknown ones."""
    if names is None:
        rows = [b.name for b in circuit.buffers.values() if b.role in ("state", "work") and not b.index and not b.outputs_last]
        names = list(dict.fromkeys([*rows, *select]))
    known = [name for name, buffer in circuit.buffers.items() if buffer.role not in ("random", "table")]
    without_label = "without a label there is nothing of learning"
    for attr, given, among, remedy in (
        ("names", names, known, "rename it" if circuit.learns else without_label),
        ("select", select, names, "rename it"),
    ):
        if unknown := [name for name in given if name not in among]:
            raise invalid("watch", attr, ", ".join(unknown), f"among {', '.join(among)}", remedy)
    return names


def _row_labels(circuit: Circuit, memory: Mapping[str, np.ndarray]) -> list[int]:
    """The labels that the rows of the label's population have in this sample."""
    for operation in circuit.start:
        if operation.population:
            labels = memory[events_of(operation.population)[0]][:, 0]
            return labels[: int(memory[operation.count][0]) if operation.count else None].tolist()
    return []


def _reader(array: np.ndarray, buffer: Buffer, rows: Mapping[str, Any], index: Any) -> Callable[[], np.ndarray]:
    """A function that copies what is selected of an array. rows: axis -> those in use; the only sample's row is left out."""
    used = tuple(rows.get(axis, slice(None)) for axis in buffer.axes) or (0,)
    whole = buffer.decode(array)[used]
    try:
        empty = not np.asarray(whole[index]).size
    except (IndexError, TypeError, ValueError):
        empty = True
    if empty:
        limit = f"an index into an array of shape {whole.shape}"
        raise invalid("watch", f"select[{buffer.name!r}]", f"{index!r}", limit, "use for example np.s_[:5]")
    return lambda: np.array(buffer.decode(array)[used][index], np.float32)
