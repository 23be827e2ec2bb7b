"""What is learned from: samples with a plain description of what they are, and parts of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tp_lava.data.events import Sample


class Part(Sequence):
    """Some samples of a sequence, by index, read when they are asked for."""

    def __init__(self, samples: Sequence[Sample], indices: Sequence[int] | np.ndarray) -> None:
        self._samples, self._indices = samples, np.asarray(indices, np.int64)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index):
        chosen = self._indices[index]
        return [self._samples[int(i)] for i in chosen] if isinstance(index, slice) else self._samples[int(chosen)]


class Task(NamedTuple):
    """Training and test samples. what: in plain words; published: whether they are what the paper measured on; n_classes."""

    what: str
    published: bool
    n_classes: int
    train: Sequence[Sample]
    test: Sequence[Sample]


class Speakers(NamedTuple):
    """Spoken words. labels, speakers: (count,) integers, those of `samples`; judged: words of the same speakers for testing, if apart."""

    what: str
    published: bool
    n_classes: int
    samples: Sequence[Sample]
    labels: np.ndarray
    speakers: np.ndarray
    judged: Sequence[Sample] | None = None


def some(samples: Sequence[Sample], count: int | None) -> Sequence[Sample]:
    """So many of them, drawn evenly, always the same ones; None: all."""
    if count is None or count >= len(samples):
        return samples
    return Part(samples, np.sort(np.random.default_rng(0).permutation(len(samples))[:count]))


def split(groups: Sequence[np.ndarray], share: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices in two parts, the first with `share` of the members of every group; always the same ones.

    groups: arrays of numbers; members with the same numbers in all of them are one group.
    """
    _, group = np.unique(np.stack(groups, axis=1), axis=0, return_inverse=True)
    rng = np.random.default_rng(0)
    first, second = [], []
    for number in range(int(group.max()) + 1):
        members = rng.permutation(np.flatnonzero(group.ravel() == number))
        cut = round(share * len(members))
        first.append(members[:cut])
        second.append(members[cut:])
    return np.sort(np.concatenate(first)), np.sort(np.concatenate(second))


def as_task(words: Speakers) -> Task:
    """Spoken words of all speakers, a fifth of every speaker's recordings of every word for testing."""
    train, test = split((words.labels, words.speakers), 0.8)
    return Task(words.what, words.published, words.n_classes, Part(words.samples, train), Part(words.samples, test))
