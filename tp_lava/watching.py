"""Watching: what a Learner's arrays hold at the end of every step of a sample, in physical units.

In Lava the Recorder does this for running Processes (docs/probing.md); here it is for the engine, which it runs step by step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tp_lava.circuit import Buffer, Circuit
from tp_lava.data.events import Events, check_events
from tp_lava.errors import invalid
from tp_lava.learner import Learner
from tp_lava.outcome import Outcome

_WATCHED = ("state", "work")  # roles that are watched unless names are given


class Watched(Mapping[str, np.ndarray]):
    """What was watched: name -> (T, ...) float32, as it stood at the end of each step.

    start: name -> the same before the first step, of what is kept from step to step (states, weights, parameters); outcome: of the
    sample; streams: labels of the target streams, the sample's own first, () without any.
    """

    def __init__(self, steps: Mapping[str, np.ndarray], start: Mapping[str, np.ndarray], outcome: Outcome, streams: Sequence[int]) -> None:
        self._steps, self.start, self.outcome, self.streams = dict(steps), dict(start), outcome, tuple(streams)

    def changes(self, name: str) -> np.ndarray:
        """(T, ...): by how much each step changed it. Raises InvalidValueError for what is made anew in every step."""
        if name in self and name not in self.start:
            raise invalid("Watched", "name", repr(name), "a state, a weight or a parameter", f"{name} is made anew in every step")
        return np.diff(self[name], axis=0, prepend=self.start[name][np.newaxis])

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._steps:
            raise KeyError(f"{name!r}; watched were {', '.join(self._steps)}")
        return self._steps[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._steps)

    def __len__(self) -> int:
        return len(self._steps)


def watch(
    learner: Learner,
    events: Events,
    label: int | None = None,
    names: Sequence[str] | None = None,
    *,
    select: Mapping[str, Any] | None = None,
    contrast_labels: Sequence[int] | None = None,
) -> Watched:
    """Present a sample, and learn it if a label is given, while looking at arrays after every step.

    What becomes of the learner is what infer(events) or learn(events, label, contrast_labels) makes of it, bit for bit.
    names: of learner.buffers, by default all states and results of a step; weights (n_out, n_in) and parameters by name;
    select: name -> an index (np.s_[...]) into what would be kept of a step. Kept is (n,) for what a sample has one row of, (K, n)
    for what each target stream has, () for a single number. Raises InvalidValueError.
    """
    check_events(events, learner.network.n_inputs)
    circuit = _circuit(learner, label)
    chosen = _chosen(circuit, names, dict(select or {}))
    learner.begin(label, contrast_labels, events.n_steps)
    streams = learner.position[1] if circuit.learns else circuit.sizes.get("k", 0)
    looks = {name: _Look(learner, buffer, streams, index) for name, (buffer, index) in chosen.items()}
    start = {name: look.now() for name, look in looks.items() if circuit.buffers[name].role != "work"}
    kept: dict[str, list[np.ndarray]] = {name: [] for name in looks}
    for step in range(events.n_steps):
        learner.step(events.units[events.offsets[step] : events.offsets[step + 1]], checked=True)
        for name, look in looks.items():
            kept[name].append(look.now())
    labels = learner.memory["label_active"][:streams, 0].tolist() if "label_active" in circuit.buffers else ()
    return Watched({name: np.stack(values) for name, values in kept.items()}, start, learner.outcome(), labels)


def _circuit(learner: Learner, label: int | None) -> Circuit:
    infers, learns = learner.circuits
    return learns if learns is not None and label is not None and learner.learning else infers


def _chosen(circuit: Circuit, names: Sequence[str] | None, select: Mapping[str, Any]) -> dict[str, tuple[Buffer, Any]]:
    """The buffers to be watched, with what is selected of them."""
    if names is None:
        rows = (b for b in circuit.buffers.values() if b.role in _WATCHED and not b.index and not b.turned)
        names = list(dict.fromkeys([*(buffer.name for buffer in rows), *select]))
    known = [name for name, buffer in circuit.buffers.items() if buffer.role != "random" and buffer.role != "table"]
    for attr, given in (("names", names), ("select", select)):
        unknown = [name for name in given if name not in (known if attr == "names" else names)]
        if unknown:
            limit = f"among {', '.join(known if attr == 'names' else names)}"
            remedy = "without a label there is nothing of learning" if not circuit.learns and attr == "names" else "rename it"
            raise invalid("watch", attr, ", ".join(unknown), limit, remedy)
    return {name: (circuit.buffers[name], select.get(name, ())) for name in names}


class _Look:
    """One array, as it is now: without the row of the only sample, and with the target streams in use."""

    def __init__(self, learner: Learner, buffer: Buffer, streams: int, index: Any) -> None:
        self._array, self._buffer, self._index = learner.memory[buffer.name], buffer, index
        rows: dict[str, Any] = {"b": 0, "k": slice(streams)}
        self._rows: tuple[Any, ...] = tuple(rows.get(axis, slice(None)) for axis in buffer.axes) or (0,)
        self._check(index)

    def _check(self, index: Any) -> None:
        whole = self._buffer.decode(self._array)[self._rows]
        try:
            empty = not np.asarray(whole[index]).size
        except (IndexError, TypeError, ValueError):
            empty = True
        if empty:
            found, limit = f"{index!r}", f"an index into an array of shape {whole.shape}"
            raise invalid("watch", f"select[{self._buffer.name!r}]", found, limit, "use for example np.s_[:5]")

    def now(self) -> np.ndarray:
        """A copy of what is selected, in physical units."""
        return np.array(self._buffer.decode(self._array)[self._rows][self._index], np.float32)
