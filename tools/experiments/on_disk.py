"""The whole data sets, read by tonic from files that are there. Nothing is ever downloaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tp_lava as tpl
from experiments.declaration import Data
from experiments.samples import Speakers, Task
from tp_lava.data.events import Sample


class MissingDataError(Exception):
    """Files that are not there; says where they belong and how to get them."""


def task(data: Data, folder: Path, n_classes: int) -> Task:
    """Training and test part."""
    check(data, folder)
    train, test = (_samples(_dataset(data, folder, how), data) for how in (data.train, data.test))
    return Task(f"{data.name}, the whole of it, {data.binning}", data.published, n_classes, train, test)


def speakers(data: Data, folder: Path) -> Speakers:
    """The training part with its speakers; the test part is what the known speakers are judged by."""
    import h5py

    check(data, folder)
    train, test = (_dataset(data, folder, how) for how in (data.train, data.test))
    with h5py.File(Path(train.location_on_system) / train.data_filename) as file:
        labels, who = file["labels"][:].astype(np.int64), file["extra/speaker"][:].astype(np.int64)
    what = f"{data.name}, the whole of it, {data.binning}"
    return Speakers(what, data.published, int(labels.max()) + 1, _samples(train, data), labels, who, _samples(test, data))


def check(data: Data, folder: Path) -> None:
    """Raise MissingDataError unless every file is there."""
    missing = [folder / file for file in data.files if not (folder / file).exists()]
    if missing:
        raise MissingDataError(_absent(data, folder, missing))


def _absent(data: Data, folder: Path, missing: Sequence[Path]) -> str:
    lines = [f"{data.name} is not in {folder.resolve()}; nothing is downloaded for you. Missing:"]
    lines += [f"    {path.resolve()}" for path in missing]
    lines += [f"It is read by {data.loader}. Get it from {data.obtain}.", "Or try a stand-in, without any data: --small"]
    return "\n".join(lines)


def _dataset(data: Data, folder: Path, how: Mapping[str, Any]) -> Any:
    """Tonic's data set, unable to download."""
    import tonic

    original = getattr(tonic.datasets, data.loader.rsplit(".", 1)[1])

    def refuse(self) -> None:
        found = f"tonic finds {data.name} incomplete in {self.location_on_system} (it looks for {self.filename} and what is packed in it)"
        raise MissingDataError(f"{found}; nothing is downloaded for you. Get it from {data.obtain}.")

    dataset_class = type(original.__name__, (original,), {"download": refuse})  # the name is the folder's
    return dataset_class(save_to=str(folder), transform=_without_idle_fields(data), **how)


def _without_idle_fields(data: Data):
    """Of recordings with a single polarity only time and channel count: tonic numbers that polarity 1."""
    return (lambda events: events[["t", "x"]]) if data.sensor_size[2] == 1 else None


def _samples(dataset: Any, data: Data) -> Sequence[Sample]:
    return tpl.data.from_tonic(dataset, data.n_steps, data.sensor_size, data.step)
