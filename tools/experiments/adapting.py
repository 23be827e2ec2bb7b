"""Fine-tuning to a new speaker: a network that has learned from the others hears some of his words, and is judged by the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from experiments.declaration import Adaptation, Dense, Learning
from experiments.samples import Part, Speakers, split
from experiments.training import Form, Samples, learn

_KNOWN_SHARE = 0.8  # of the known speakers' recordings, to learn from, where no others are for testing


class Parts(NamedTuple):
    """Recordings by use.

    known, judged: of the known speakers, for training and testing; support, query: of the new one, by number of shots.
    """

    known: Samples
    judged: Samples
    support: Mapping[int | None, Samples]
    query: Samples


def parts(words: Speakers, how: Adaptation) -> Parts:
    """The new speaker is the one with the most recordings, among equals the last."""
    speakers, counts = np.unique(words.speakers, return_counts=True)
    new = words.speakers == speakers[len(counts) - 1 - np.argmax(counts[::-1])]
    known_train, known_test = _divided(words, ~new, _KNOWN_SHARE)
    support, query = _divided(words, new, how.support)
    if words.judged is not None:
        known_train, judged = np.flatnonzero(~new), words.judged
    else:
        judged = Part(words.samples, known_test)
    shots = {count: Part(words.samples, _first(support, words.labels, count)) for count in how.shots}
    return Parts(Part(words.samples, known_train), judged, shots, Part(words.samples, query))


def _divided(words: Speakers, chosen: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the chosen recordings in two parts, the first with that share of every speaker's recordings of every word."""
    indices = np.flatnonzero(chosen)
    first, second = split((words.labels[indices], words.speakers[indices]), share)
    return indices[first], indices[second]


def _first(indices: np.ndarray, labels: np.ndarray, count: int | None) -> np.ndarray:
    """So many recordings of each word; None: all."""
    if count is None:
        return indices
    return np.concatenate([indices[labels[indices] == label][:count] for label in np.unique(labels[indices])])


def stages(how: Adaptation) -> list[str]:
    """What is judged, in order."""
    names = {None: "all recordings to learn from", 1: "1 recording of each word"}
    return ["before fine-tuning", *(names.get(count, f"{count} recordings of each word") for count in how.shots)]


def accuracies(shape: Dense, learning: Learning, how: Adaptation, form: Form, heard: Parts, n_classes: int, seed: int) -> np.ndarray:
    """(stages, 2): of the new speaker's query and of the known speakers, before fine-tuning and after it with each number of shots."""
    blank = shape.network(heard.known[0].events.n_units, n_classes, seed)
    before = learn(blank, learning, form, heard.known, heard.judged, seed)
    rows = [(before.evaluate(heard.query), before.accuracies[-1])]
    tuning = learning.lasting(how.epochs)
    for support in heard.support.values():
        after = learn(before.network, tuning, form, support, heard.query, seed)
        rows.append((after.accuracies[-1], after.evaluate(heard.judged)))
    return np.array(rows)
