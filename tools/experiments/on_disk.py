"""Data from files: the whole data sets, read by tonic, and smaller files that the user gives. Nothing is downloaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tp_lava as tpl
from experiments.config import Data
from experiments.samples import DataSet, Samples, SpokenWords


class MissingDataError(Exception):
    """Files are missing; the message says where they belong and how to get them."""


def whole_data_set(data: Data, folder: Path, n_classes: int) -> DataSet:
    """Training and test part. Raises MissingDataError."""
    train, test = (_samples(dataset, data) for dataset in _datasets(data, folder))
    return DataSet(_description(data), data.published, n_classes, train, test)


def whole_words(data: Data, folder: Path) -> SpokenWords:
    """The training part with its speakers, and the test part. Raises MissingDataError."""
    import h5py

    train, test = _datasets(data, folder)
    with h5py.File(Path(train.location_on_system) / train.data_filename) as file:
        labels, speakers = file["labels"][:].astype(np.int64), file["extra/speaker"][:].astype(np.int64)
    classes = int(labels.max()) + 1
    return SpokenWords(_description(data), data.published, classes, _samples(train, data), labels, speakers, _samples(test, data))


def _description(data: Data) -> str:
    return f"{data.name}, the whole of it, {data.binning}"


def _datasets(data: Data, folder: Path) -> list[Any]:
    """Tonic's data sets of the training and the test part."""
    missing = [folder / file for file in data.files if not (folder / file).exists()]
    if missing:
        raise MissingDataError(_message(data, folder, missing))
    return [_dataset(data, folder, arguments) for arguments in (data.train, data.test)]


def _message(data: Data, folder: Path, missing: Sequence[Path]) -> str:
    lines = [f"{data.name} is not in {folder.resolve()}; nothing is downloaded for you. Missing:"]
    lines += [f"    {path.resolve()}" for path in missing]
    lines += [f"It is read by {data.loader}. Get it from {data.obtain}.", "Or try a stand-in, without any data: --small"]
    return "\n".join(lines)


def _dataset(data: Data, folder: Path, arguments: Mapping[str, Any]) -> Any:
    """Tonic's data set, unable to download."""
    import tonic

    original = getattr(tonic.datasets, data.loader.rsplit(".", 1)[1])

    def refuse(self) -> None:
        found = f"tonic finds {data.name} incomplete in {self.location_on_system} (it looks for {self.filename} and what is packed in it)"
        raise MissingDataError(f"{found}; nothing is downloaded for you. Get it from {data.obtain}.")

    dataset_class = type(original.__name__, (original,), {"download": refuse})  # the name is the folder's
    return dataset_class(save_to=str(folder), transform=_without_idle_fields(data), **arguments)


def _without_idle_fields(data: Data):
    """Recordings with a single polarity keep only time and channel: tonic numbers that polarity 1."""
    return (lambda events: events[["t", "x"]]) if data.sensor_size[2] == 1 else None


def _samples(dataset: Any, data: Data) -> Samples:
    return tpl.data.from_tonic(dataset, data.n_steps, data.sensor_size, data.step)


def nmnist_archive(path: Path, data: Data) -> DataSet:
    """A small N-MNIST archive (.npz), binned like the whole data set, without events after n_steps steps, as of later saccades."""
    train, test = tpl.data.from_nmnist(path, data.n_steps, int(data.step or 1000))
    return DataSet(f"N-MNIST, a part of it: the recordings of {path.name}, {data.binning}", False, 10, train, test)


def spoken_words(path: Path, data: Data) -> SpokenWords:
    """A file in SHD's layout (.h5), in steps as long as those of the data set; every recording keeps its length."""
    seconds = (data.step or 0.0) * 1e-6
    samples, speakers = tpl.data.from_shd(path, seconds)
    labels = np.array([sample.label for sample in samples])
    details = f"{samples[0].events.n_units} channels, {len(np.unique(speakers))} speakers, steps of {seconds * 1e3:g} ms"
    what = f"spoken words, not {data.name}: {path.name}, {details}"
    return SpokenWords(what, False, int(labels.max()) + 1, samples, labels, speakers)
