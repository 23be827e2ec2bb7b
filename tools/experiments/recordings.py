"""Recordings in files given by hand: a small N-MNIST archive (.npz), spoken words in SHD's layout (.h5)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import tp_lava as tpl
from experiments.declaration import Data
from experiments.samples import Speakers, Task


def nmnist(path: Path, data: Data) -> Task:
    """The archive, binned as the whole data set is: what comes after n_steps steps is left out, later saccades too."""
    train, test = tpl.data.from_nmnist(path, data.n_steps, int(data.step or 1000))
    return Task(f"N-MNIST, a part of it: the recordings of {path.name}, {data.binning}", False, 10, train, test)


def words(path: Path, data: Data) -> Speakers:
    """A file in SHD's layout, in steps of the declared length; each recording as long as it is."""
    seconds = (data.step or 0.0) * 1e-6
    samples, speakers = tpl.data.from_shd(path, seconds)
    labels = np.array([sample.label for sample in samples])
    said = f"{samples[0].events.n_units} channels, {len(np.unique(speakers))} speakers, steps of {seconds * 1e3:g} ms"
    what = f"spoken words, not {data.name}: {path.name}, {said}"
    return Speakers(what, False, int(labels.max()) + 1, samples, labels, speakers)
