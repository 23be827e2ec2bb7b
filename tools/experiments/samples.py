"""Data sets with a description, subsets and splits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tp_lava.data.events import Sample

Samples = Sequence[Sample]


class Subset(Sequence):
    """Some samples of a sequence, by index, read when they are used."""

    def __init__(self, samples: Samples, indices: Sequence[int] | np.ndarray) -> None:
        self._samples, self._indices = samples, np.asarray(indices, np.int64)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index):
        chosen = self._indices[index]
        return [self._samples[int(i)] for i in chosen] if isinstance(index, slice) else self._samples[int(chosen)]

    def varied(self, seed: int) -> Subset:
        """The same of varied samples."""
        return Subset(varied(self._samples, seed), self._indices)


def varied(samples: Samples, seed: int) -> Samples:
    """To learn from: samples that can be varied each time anew are, see Images."""
    return samples.varied(seed) if hasattr(samples, "varied") else samples


class DataSet(NamedTuple):
    """Training and test samples.

    what: description; published: whether the paper's figures were measured on these data; image: (channels, height, width), where
    they have it.
    """

    what: str
    published: bool
    n_classes: int
    train: Samples
    test: Samples
    image: tuple[int, ...] = ()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of a network for these samples."""
        return self.image or (self.train[0].events.n_units,)

    def limited(self, train: int | None, test: int | None) -> DataSet:
        """With at most so many samples of each part."""
        return self._replace(train=some(self.train, train), test=some(self.test, test))


class SpokenWords(NamedTuple):
    """Recordings with their speakers.

    what, published, n_classes: as in DataSet; labels, speakers: (count,) integers, of `samples`; test: other recordings of the same
    speakers, where the data set has a test part.
    """

    what: str
    published: bool
    n_classes: int
    samples: Samples
    labels: np.ndarray
    speakers: np.ndarray
    test: Samples | None = None

    def split(self) -> DataSet:
        """All speakers, with one fifth of each speaker's recordings of each word for testing."""
        train, test = split((self.labels, self.speakers), 0.8)
        return DataSet(self.what, self.published, self.n_classes, Subset(self.samples, train), Subset(self.samples, test))


def some(samples: Samples, count: int | None) -> Samples:
    """`count` samples, drawn at random, always the same ones; None: all."""
    if count is None or count >= len(samples):
        return samples
    return Subset(samples, np.sort(np.random.default_rng(0).permutation(len(samples))[:count]))


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
