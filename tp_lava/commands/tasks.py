"""What is learned anew: a data set, as another sensor has it, or a class that was never shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from tp_lava.data import digits, from_nmnist, from_shd
from tp_lava.data.events import Sample
from tp_lava.data.sensors import through
from tp_lava.errors import invalid
from tp_lava.finetuning import few
from tp_lava.rules import TESS, TP, Rule

_TEST_SHARE = 5  # one in so many


@dataclass(frozen=True)
class Task:
    """samples: to be learned; test, old_test: of the new and of the old task; validation: of the new one, from neither."""

    samples: list[Sample]
    test: list[Sample]
    old_test: list[Sample]
    validation: list[Sample]


def split(data: str, seed: int) -> tuple[list[Sample], list[Sample]]:
    """(train, test) of "digits", of an N-MNIST archive (.npz) or of a file in SHD's layout (.h5), one in five to test."""
    if data == "digits":
        return digits()
    path = Path(data)
    if path.suffix == ".npz":
        return from_nmnist(path)
    if path.suffix not in (".h5", ".hdf5"):
        raise invalid("finetune", "data", repr(data), "digits, an .npz of from_nmnist, or an .h5 in SHD's layout", "convert it")
    samples = from_shd(path).samples
    order = np.random.default_rng(seed).permutation(len(samples))
    cut = len(samples) // _TEST_SHARE
    return [samples[i] for i in order[cut:]], [samples[i] for i in order[:cut]]


def shots_of(text: str) -> int | None:
    """A number of samples a class; None for "all"."""
    if text == "all":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise invalid("finetune", "shots", repr(text), 'a number of at least 1, or "all"', "5 is a few")
    return int(text)


def changed_sensor(data: str, sensor: str | None, shots: int | None, seed: int) -> Task:
    """`shots` samples of each class (None: all), through another sensor; the old task is without it."""
    train, test = split(data, seed)
    if sensor is None:
        return _task(train, shots, seed, test, [])
    return _task(through(sensor, train), shots, seed, through(sensor, test), test)


def new_class(data: str, label: int, shots: int | None, rehearse: int | None, seed: int) -> Task:
    """`shots` samples of one class (None: all) and `rehearse` of each other one; the old task is the others."""
    train, test = split(data, seed)
    fresh, known = _apart(train, label), [sample for sample in train if sample.label != label]
    if not fresh:
        raise invalid("finetune", "new_class", label, "a class of the data", "give one of its labels")
    again = few(known, rehearse, seed) if rehearse else known
    task = _task(fresh, shots, seed, _apart(test, label), [sample for sample in test if sample.label != label])
    return Task(task.samples + again, task.test, task.old_test, task.validation)


def _task(train: list[Sample], shots: int | None, seed: int, test: list[Sample], old_test: list[Sample]) -> Task:
    samples = few(train, shots, seed) if shots else list(train)
    chosen = {id(sample.events) for sample in samples}
    rest = [sample for sample in train if id(sample.events) not in chosen]
    return Task(samples, test, old_test, rest[: len(test)])


def _apart(samples: Sequence[Sample], label: int) -> list[Sample]:
    return [sample for sample in samples if sample.label == label]


def rule_named(name: Literal["tp", "tess"], rate: float | None, readout_rate: float | None) -> Rule:
    """TP or TESS with rates that suit a few samples a class."""
    if name == "tp":
        return TP(1e-3 if rate is None else rate, 5e-4 if readout_rate is None else readout_rate, contrast="all")
    rates = 0.2 if rate is None else rate, 1e-3 if readout_rate is None else readout_rate
    return TESS(*rates, basis="walsh", temperature=0.05, activity="trace")
