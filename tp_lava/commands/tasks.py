"""Data by name, and what is learned anew of it: as another sensor has it, or a class that was never shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from tp_lava.data import digits, from_nmnist, from_shd, load_samples
from tp_lava.data.arrays import is_plain
from tp_lava.data.events import Sample
from tp_lava.data.sensors import through
from tp_lava.errors import invalid
from tp_lava.finetuning import few
from tp_lava.graph.network import Network
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
    """(train, test) of `parts`; where the data has no split of its own, one in five is drawn to test."""
    samples, test = parts(data)
    return (samples, test) if test else apart(samples, 1 / _TEST_SHARE, seed)


def parts(data: str) -> tuple[list[Sample], list[Sample]]:
    """ "digits", an N-MNIST archive or own arrays (.npz), a file in SHD's layout (.h5): (train, test), or (all, []) of those without."""
    if data == "digits":
        return digits()
    path = Path(data)
    if path.suffix == ".npz":
        return (load_samples(path), []) if is_plain(path) else from_nmnist(path)
    if path.suffix not in (".h5", ".hdf5"):
        limit = "digits, an .npz of save_samples or from_nmnist, or an .h5 in SHD's layout"
        raise invalid("data", "name", repr(data), limit, "tpl.data.from_arrays and save_samples make one of your arrays")
    return from_shd(path).samples, []


def check_fits(command: str, samples: Sequence[Sample], network: Network) -> None:
    """Refuse samples of another number of inputs than a model's, which are most often those of the default data."""
    units = samples[0].events.n_units
    if units != network.n_inputs:
        raise invalid(command, "data", f"of {units} inputs", f"of the model's {network.n_inputs}", "give what the model is for with --data")


def apart(samples: Sequence[Sample], share: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """(the rest, `share` of the samples), drawn from the seed."""
    order = np.random.default_rng(seed).permutation(len(samples))
    cut = int(len(samples) * share)
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
    fresh, known = _of_class(train, label), [sample for sample in train if sample.label != label]
    if not fresh:
        raise invalid("finetune", "new_class", label, "a class of the data", "give one of its labels")
    again = few(known, rehearse, seed) if rehearse else known
    task = _task(fresh, shots, seed, _of_class(test, label), [sample for sample in test if sample.label != label])
    return Task(task.samples + again, task.test, task.old_test, task.validation)


def _task(train: list[Sample], shots: int | None, seed: int, test: list[Sample], old_test: list[Sample]) -> Task:
    samples = few(train, shots, seed) if shots else list(train)
    chosen = {id(sample.events) for sample in samples}
    rest = [sample for sample in train if id(sample.events) not in chosen]
    return Task(samples, test, old_test, rest[: len(test)])


def _of_class(samples: Sequence[Sample], label: int) -> list[Sample]:
    return [sample for sample in samples if sample.label == label]


def rule_named(name: Literal["tp", "tess"], rate: float | None, readout_rate: float | None) -> Rule:
    """TP or TESS with rates that suit a few samples a class."""
    if name == "tp":
        return TP(1e-3 if rate is None else rate, 5e-4 if readout_rate is None else readout_rate, contrast="all")
    rates = 0.2 if rate is None else rate, 1e-3 if readout_rate is None else readout_rate
    return TESS(*rates, basis="walsh", temperature=0.05, activity="trace")
