"""Fine-tuning to a new speaker: a network trained on the other speakers learns some of the new speaker's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from experiments.config import Adaptation, Dense, Learning
from experiments.samples import DataSet, Samples, SpokenWords, Subset, some, split
from experiments.training import Mode, learn

_KNOWN_SHARE = 0.8  # of the known speakers' recordings, to learn from, where the data set has no test part


class NewSpeaker(NamedTuple):
    """Recordings to learn, by number of shots, and to test."""

    support: Mapping[int | None, Samples]
    query: Samples


class SpeakerSplit(NamedTuple):
    """known: recordings of the known speakers; new: of each new one."""

    known: DataSet
    new: tuple[NewSpeaker, ...]

    @property
    def support(self) -> Mapping[int | None, Samples]:
        """Of the first new speaker."""
        return self.new[0].support

    @property
    def query(self) -> Samples:
        """Of the first new speaker."""
        return self.new[0].query

    def limited(self, train: int | None, test: int | None) -> SpeakerSplit:
        """With at most so many recordings of the known speakers to learn, and so many of each test part."""
        new = tuple(speaker._replace(query=some(speaker.query, test)) for speaker in self.new)
        return SpeakerSplit(self.known.limited(train, test), new)


def split_speakers(words: SpokenWords, adaptation: Adaptation) -> SpeakerSplit:
    """The new speakers are those with the most recordings; among equals, the last."""
    speakers, counts = np.unique(words.speakers, return_counts=True)
    chosen = speakers[np.lexsort((speakers, counts))[::-1][: adaptation.speakers]]
    new = np.isin(words.speakers, chosen)
    train, test = _divided(words, ~new, _KNOWN_SHARE)
    known_test: Samples = Subset(words.samples, test)
    if words.test is not None:
        train, known_test = np.flatnonzero(~new), words.test
    known = DataSet(words.what, words.published, words.n_classes, Subset(words.samples, train), known_test)
    return SpeakerSplit(known, tuple(_new_speaker(words, words.speakers == speaker, adaptation) for speaker in chosen))


def _new_speaker(words: SpokenWords, own: np.ndarray, adaptation: Adaptation) -> NewSpeaker:
    """own: (count,) which recordings are the speaker's."""
    support, query = _divided(words, own, adaptation.support)
    shots = {count: Subset(words.samples, _first(support, words.labels, count)) for count in adaptation.shots}
    return NewSpeaker(shots, Subset(words.samples, query))


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
    """(stages, 2): on the new speaker and on the known ones, before fine-tuning and after it with each number of shots.

    Means over the new speakers, to each of whom the network that has learned the known ones is fine-tuned by itself.
    """
    known = data.known
    untrained = shape.network(known.input_shape, known.n_classes, seed)
    before = learn(untrained, learning, mode, known.train, known.test, seed)
    found = []
    for speaker in data.new:
        rows = [(before.evaluate(speaker.query), before.accuracies[-1])]
        for support in speaker.support.values():
            after = learn(before.network, learning.lasting(adaptation.epochs), mode, support, speaker.query, seed)
            rows.append((after.accuracies[-1], after.evaluate(known.test)))
        found.append(rows)
    return np.mean(found, axis=0)
