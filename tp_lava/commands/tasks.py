"""New tasks for a network that has learned an old one: another sensor, or another class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tp_lava.commands.named import load_split
from tp_lava.data.events import Sample
from tp_lava.data.sensors import through
from tp_lava.errors import invalid
from tp_lava.finetuning import few


@dataclass(frozen=True)
class FineTuningData:
    """samples: to learn; test, old_test: of the new and of the old task; validation: of the new task, in neither of these; old: of the
    old task, to be replayed.
    """

    samples: list[Sample]
    test: list[Sample]
    old_test: list[Sample]
    validation: list[Sample]
    old: Sequence[Sample] = ()


def changed_sensor(data: str, sensor: str | None, shots: int | None, seed: int) -> FineTuningData:
    """New task: `shots` samples of each class (None: all) from another sensor; old task: the original sensor."""
    train, test = load_split(data, seed)
    if sensor is None:
        return _task(train, shots, seed, test, [])
    return replace(_task(through(sensor, train), shots, seed, through(sensor, test), test), old=train)


def new_class_data(data: str, label: int, shots: int | None, rehearse: int | None, seed: int, replayed: bool = False) -> FineTuningData:
    """New task: `shots` samples of one class (None: all), and `rehearse` samples of each other class; old task: the other classes.

    replayed: the samples of the other classes are for the replay buffer instead.
    """
    (new, old), (new_test, old_test) = (_by_class(samples, label) for samples in load_split(data, seed))
    if not new:
        raise invalid("finetune", "new_class", label, "a class of the data", "give one of its labels")
    if replayed:
        return replace(_task(new, shots, seed, new_test, old_test), old=old)
    return _task(new, shots, seed, new_test, old_test, few(old, rehearse, seed) if rehearse else old)


def _task(
    train: list[Sample], shots: int | None, seed: int, test: list[Sample], old_test: list[Sample], rehearsed: Sequence[Sample] = ()
) -> FineTuningData:
    samples = few(train, shots, seed) if shots else train
    chosen = {id(sample.events) for sample in samples}
    rest = [sample for sample in train if id(sample.events) not in chosen]
    return FineTuningData([*samples, *rehearsed], test, old_test, rest[: len(test)])


def _by_class(samples: Sequence[Sample], label: int) -> tuple[list[Sample], list[Sample]]:
    """(samples of the class, the others)."""
    return [s for s in samples if s.label == label], [s for s in samples if s.label != label]
