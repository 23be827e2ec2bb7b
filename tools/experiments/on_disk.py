"""Data from files: the whole data sets, most of them read by tonic, and smaller files that the user gives. Nothing is downloaded."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tp_lava as tpl
from experiments import cifar
from experiments.config import Data, Preparation
from experiments.images import Frames, Images, Part, elapsed
from experiments.samples import DataSet, Samples, SpokenWords
from tp_lava.reading.hdf5 import opened


class MissingDataError(Exception):
    """Files are missing; the message says where they belong and how to get them."""


def whole_data_set(data: Data, folder: Path, n_classes: int) -> DataSet:
    """Training and test part. Raises MissingDataError, LayoutError."""
    if data.preparation:
        read = _pictures if data.loader == "bytes" else _recordings
        return DataSet(_description(data), data.published, n_classes, *read(data, data.preparation, folder, n_classes))
    train, test = (_samples(dataset, data) for dataset in _datasets(data, folder))
    return DataSet(_description(data), data.published, n_classes, train, test)


def _pictures(data: Data, how: Preparation, folder: Path, n_classes: int) -> tuple[Images, Images, tuple[int, ...]]:
    """CIFAR's binary version. -> samples to learn and to test, and their shape."""
    _check_present(data, folder)
    parts = (cifar.pictures([folder / file for file in files["files"]], n_classes) for files in (data.train, data.test))
    train, test = (of_pictures(pictures, labels, how, data.n_steps) for pictures, labels in parts)
    return train, test, cifar.SHAPE


def of_pictures(pictures: np.ndarray, labels: np.ndarray, how: Preparation, n_steps: int) -> Images:
    """pictures: (count, channels, height, width) uint8."""
    return Images(lambda number: pictures[number][None] / np.float32(255), labels.tolist(), how, n_steps)


def _recordings(data: Data, how: Preparation, folder: Path, n_classes: int) -> tuple[Images, Images, tuple[int, ...]]:
    """Tonic's recordings, as frames. -> samples to learn and to test, and their shape."""
    if data.needs and importlib.util.find_spec(data.needs) is None:
        raise MissingDataError(f"tonic reads {data.name} with the package {data.needs}: uv pip install {data.needs}")
    train, test = _datasets(data, folder)
    parts = _slices(train, how), _whole(range(len(test)))
    if data.first is not None:
        first, rest = _first_of_each(train, data.first)
        parts = _whole(first), _whole(rest)
    frames = Frames(train, parts[0], data), Frames(test, parts[1], data, how.longest)
    labels = ([part.targets[number] for number, _ in which] for part, which in zip((train, test), parts, strict=True))
    learned, tested = (Images(read, of, how, data.n_steps) for read, of in zip(frames, labels, strict=True))
    return learned, tested, (data.sensor_size[2], how.side, how.side)


def _whole(numbers: Sequence[int]) -> list[Part]:
    return [(number, None) for number in numbers]


def _slices(dataset: Any, how: Preparation) -> list[Part]:
    """Full slices of each recording, of a shorter one itself."""
    if how.slices is None:
        return _whole(range(len(dataset)))
    counts = [max(1, int(elapsed(dataset[number][0]).max(initial=0) // how.slices)) for number in range(len(dataset))]
    return [(number, part * how.slices) for number, count in enumerate(counts) for part in range(count)]


def _first_of_each(dataset: Any, count: int) -> tuple[list[int], list[int]]:
    """Numbers of the first recordings of each class, and of the rest, in the order of the numbers in their files' names."""
    ordered = sorted(range(len(dataset)), key=lambda number: [int(found) for found in re.findall(r"\d+", Path(dataset.data[number]).name)])
    classes = [[number for number in ordered if dataset.targets[number] == label] for label in sorted(set(dataset.targets))]
    return [number for of in classes for number in of[:count]], [number for of in classes for number in of[count:]]


def whole_words(data: Data, folder: Path) -> SpokenWords:
    """The training part with its speakers, and the test part. Raises MissingDataError."""
    train, test = _datasets(data, folder)
    with opened(Path(train.location_on_system) / train.data_filename) as file:
        labels, speakers = file.numbers("labels").astype(np.int64), file.numbers("extra/speaker").astype(np.int64)
    classes = int(labels.max()) + 1
    return SpokenWords(_description(data), data.published, classes, _samples(train, data), labels, speakers, _samples(test, data))


def _description(data: Data) -> str:
    return f"{data.name}, the whole of it, {data.binning}"


def _datasets(data: Data, folder: Path) -> list[Any]:
    """Tonic's data sets of the training and the test part."""
    _check_present(data, folder)
    return [_dataset(data, folder, arguments) for arguments in (data.train, data.test)]


def _check_present(data: Data, folder: Path) -> None:
    missing = [folder / file for file in data.files if not (folder / file).exists()]
    if missing:
        raise MissingDataError(_message(data, folder, missing))


def _message(data: Data, folder: Path, missing: Sequence[Path]) -> str:
    lines = [f"{data.name} is not in {folder.resolve()}; nothing is downloaded for you. Missing:"]
    lines += [f"    {path.resolve()}" for path in missing]
    reader = "the program itself" if data.loader == "bytes" else data.loader
    lines += [f"It is read by {reader}. Get it from {data.obtain}.", "Or try something smaller: --small"]
    pickled = [name for name in ("cifar-10-batches-py", "cifar-100-python") if data.loader == "bytes" and (folder / name).exists()]
    lines += [f"The Python version in {folder / name} is not read: pickles may run code." for name in pickled]
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


_LIST_UNITS, _LIST_STEPS, _LIST_STEP = 64, 200, 5_000.0  # of recordings as spike lists; microseconds


def spoken_words(path: Path, data: Data) -> SpokenWords:
    """SHD's layout (.h5), or spike lists of 64 channels (.npz), in steps as long as the data set's; every recording keeps its length."""
    seconds = (data.step or 0.0) * 1e-6
    if path.suffix == ".npz":
        merged = max(1, round((data.step or 0.0) / _LIST_STEP))
        samples = tpl.data.from_spike_lists(path, _LIST_UNITS, _LIST_STEPS, merged)
        seconds = merged * _LIST_STEP * 1e-6
    else:
        samples = tpl.data.from_shd(path, seconds)
    labels = np.array([sample.label for sample in samples])
    details = f"{samples[0].events.n_units} channels, {len(np.unique(samples.speakers))} speakers, steps of {seconds * 1e3:g} ms"
    what = f"spoken words, not {data.name}: {path.name}, {details}"
    return SpokenWords(what, False, int(labels.max()) + 1, samples, labels, samples.speakers)
