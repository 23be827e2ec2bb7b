"""Recordings in files that the user gives: a small N-MNIST archive (.npz), spoken words in SHD's layout (.h5)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import tp_lava as tpl
from experiments.config import Data
from experiments.samples import DataSet, SpokenWords


def nmnist(path: Path, data: Data) -> DataSet:
    """The archive, binned like the whole data set: events after n_steps steps, and so the later saccades, are left out."""
    train, test = tpl.data.from_nmnist(path, data.n_steps, int(data.step or 1000))
    return DataSet(f"N-MNIST, a part of it: the recordings of {path.name}, {data.binning}", False, 10, train, test)


def words(path: Path, data: Data) -> SpokenWords:
    """A file in SHD's layout, in steps as long as those of the data set; every recording keeps its length."""
    seconds = (data.step or 0.0) * 1e-6
    samples, speakers = tpl.data.from_shd(path, seconds)
    labels = np.array([sample.label for sample in samples])
    details = f"{samples[0].events.n_units} channels, {len(np.unique(speakers))} speakers, steps of {seconds * 1e3:g} ms"
    what = f"spoken words, not {data.name}: {path.name}, {details}"
    return SpokenWords(what, False, int(labels.max()) + 1, samples, labels, speakers)
