"""Smaller real data, to compare ways to learn in convolutional networks: pictures, recordings of a simulated camera and of a real one."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

import tp_lava as tpl
from experiments import cifar, on_disk
from experiments.config import Comparison
from experiments.configs.cifar10 import PREPARATION
from experiments.configs.nmnist import DATA as N_MNIST
from experiments.samples import DataSet
from tp_lava.data.events import Sample
from tp_lava.errors import ArchiveError
from tp_lava.reading.npz import read_arrays

_CAMERA = tpl.data.EventCamera(n_steps=20)
_PICTURE_STEPS, _RECORDING_STEPS, _RECORDING_STEP = 6, 20, 15_000.0  # microseconds


class _Part(NamedTuple):
    numbers: np.ndarray
    labels: np.ndarray


def data_set(comparison: Comparison, file: Path | None) -> DataSet:
    """Its data, read from that file."""
    assert file is not None
    return _READERS[comparison.kind](comparison, file)


def _pictures(comparison: Comparison, file: Path) -> DataSet:
    from PIL import Image

    held = _arrays(file, "jpeg", "end", "label", "split")
    packed, ends, parts = held["jpeg"], held["end"], _parts(held, comparison)
    begins = np.concatenate([[0], ends[:-1]])

    def picture(number: int) -> np.ndarray:
        encoded = io.BytesIO(packed[begins[number] : ends[number]].tobytes())
        return np.asarray(Image.open(encoded).convert("RGB")).transpose(2, 0, 1)

    how = replace(PREPARATION, cutout=False)
    read = ((np.stack([picture(number) for number in part.numbers]), part.labels) for part in parts)
    train, test = (on_disk.of_pictures(pictures, labels, how, _PICTURE_STEPS) for pictures, labels in read)
    what = f"CIFAR-10 as JPEG, not quite CIFAR-10: {file.name}; each picture for {_PICTURE_STEPS} steps, cropped and mirrored to learn"
    return DataSet(what, False, 10, train, test, cifar.SHAPE)


def _camera(comparison: Comparison, file: Path) -> DataSet:
    held = _arrays(file, "image", "label", "split")
    images, parts = held["image"], _parts(held, comparison)
    numbers, labels = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    seen = _CAMERA.record(images[numbers] / 255.0)  # by one camera
    samples = [Sample(events, int(label)) for events, label in zip(seen, labels, strict=True)]
    count = len(parts[0].numbers)
    what = f"MNIST seen by the simulated event camera: {file.name}, {_CAMERA.n_steps} steps"
    return DataSet(what, False, 10, samples[:count], samples[count:], (2, _CAMERA.side, _CAMERA.side))


def _recordings(comparison: Comparison, file: Path) -> DataSet:
    data = replace(N_MNIST, n_steps=_RECORDING_STEPS, step=_RECORDING_STEP, binning="all saccades, 20 steps of 15 ms")
    found = on_disk.nmnist_archive(file, data).limited(comparison.train, comparison.test)
    return found._replace(image=(2, *N_MNIST.sensor_size[:2]))


def _arrays(file: Path, *names: str) -> dict[str, np.ndarray]:
    try:
        return read_arrays(file, names)
    except (ArchiveError, OSError) as error:
        raise cifar.LayoutError(f"{file}: not a .npz of the arrays {', '.join(names)} ({error})") from None


def _parts(held: Mapping[str, np.ndarray], comparison: Comparison) -> list[_Part]:
    """Of the training and the test part, so many samples, drawn at random, always the same ones."""
    split, labels, found = held["split"], held["label"], []
    for number, count in enumerate((comparison.train, comparison.test)):
        numbers = np.random.default_rng(0).permutation(np.flatnonzero(split == number))[:count]
        found.append(_Part(numbers, labels[numbers]))
    return found


_READERS: dict[str, Callable[[Comparison, Path], DataSet]] = {"pictures": _pictures, "camera": _camera, "recordings": _recordings}
