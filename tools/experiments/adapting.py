"""Fine-tuning to a new speaker: a network trained on the other speakers learns some of the new speaker's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from experiments.config import Adaptation, Dense, Learning
from experiments.samples import DataSet, Samples, SpokenWords, Subset, some, split
from experiments.training import Mode, learn

_KNOWN_SHARE = 0.8  # of the known speakers' recordings, to learn from, where the data set has no test part


class SpeakerSplit(NamedTuple):
    """known: recordings of the known speakers; support, query: of the new one, to learn (by number of shots) and to test."""

    known: DataSet
    support: Mapping[int | None, Samples]
    query: Samples

    def limited(self, train: int | None, test: int | None) -> SpeakerSplit:
        """With at most so many recordings of the known speakers to learn, and so many of each test part."""
        return self._replace(known=self.known.limited(train, test), query=some(self.query, test))


def split_speakers(words: SpokenWords, adaptation: Adaptation) -> SpeakerSplit:
    """The new speaker is the one with the most recordings; among equals, the last."""
    speakers, counts = np.unique(words.speakers, return_counts=True)
    new = words.speakers == speakers[len(counts) - 1 - np.argmax(counts[::-1])]
    train, test = _divided(words, ~new, _KNOWN_SHARE)
    support, query = _divided(words, new, adaptation.support)
    known_test: Samples = Subset(words.samples, test)
    if words.test is not None:
        train, known_test = np.flatnonzero(~new), words.test
    known = DataSet(words.what, words.published, words.n_classes, Subset(words.samples, train), known_test)
    shots = {count: Subset(words.samples, _first(support, words.labels, count)) for count in adaptation.shots}
    return SpeakerSplit(known, shots, Subset(words.samples, query))


def _divided(words: SpokenWords, chosen: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the chosen recordings in two parts, the first with that share of every speaker's recordings of every word."""
    indices = np.flatnonzero(chosen)
    first, second = split((words.labels[indices], words.speakers[indices]), share)
    return indices[first], indices[second]


def _first(indices: np.ndarray, labels: np.ndarray, count: int | None) -> np.ndarray:
    """The first `count` recordings of each word; None: all."""
    if count is None:
        return indices
    return np.concatenate([indices[labels[indices] == label][:count] for label in np.unique(labels[indices])])


def stages(adaptation: Adaptation) -> list[str]:
    """The stages at which accuracy is measured, in order."""
    names = {None: "all recordings to learn from", 1: "1 recording of each word"}
    return ["before fine-tuning", *(names.get(count, f"{count} recordings of each word") for count in adaptation.shots)]


def accuracies(shape: Dense, learning: Learning, adaptation: Adaptation, mode: Mode, data: SpeakerSplit, seed: int) -> np.ndarray:
    """(stages, 2): on the new speaker and on the known ones, before fine-tuning and after it with each number of shots."""
    known = data.known
    untrained = shape.network(known.input_shape, known.n_classes, seed)
    before = learn(untrained, learning, mode, known.train, known.test, seed)
    rows = [(before.evaluate(data.query), before.accuracies[-1])]
    for support in data.support.values():
        after = learn(before.network, learning.lasting(adaptation.epochs), mode, support, data.query, seed)
        rows.append((after.accuracies[-1], after.evaluate(known.test)))
    return np.array(rows)
