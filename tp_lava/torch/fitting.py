"""Whole data sets: epochs of batches in an order drawn from a seed, and accuracy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from tp_lava.checks import is_whole
from tp_lava.data.augmentation import Augmentation, augmented
from tp_lava.data.events import Events, check_events
from tp_lava.data.order import epoch_order
from tp_lava.errors import invalid
from tp_lava.optimisers import Schedule, check_schedule
from tp_lava.progress import track
from tp_lava.torch.inputs import checked_labels, dense
from tp_lava.torch.module import SpikingNetwork
from tp_lava.torch.trainer import Trainer

Samples = Sequence[tuple[Events, int]]


def fit(
    trainer: Trainer,
    samples: Samples,
    epochs: int = 1,
    batch: int = 128,
    schedule: Schedule | None = None,
    seed: int = 0,
    test: Samples | None = None,
    progress: bool = False,
    augmentation: Augmentation | None = None,
) -> list[float]:
    """Learn every sample once an epoch, in batches of `batch`. -> accuracy of each epoch: of `test`, or while learning.

    A last batch of one sample joins the one before it. schedule: Cosine(...) or Plateau(...), of the accuracies of all
    epochs that the trainer has done; seed: of the order, with the number of epochs done, so that two calls go on as one
    would; augmentation: how the recordings vary from epoch to epoch while they are learned. The same seed, samples and machine
    give the same weights. Raises InvalidValueError.
    """
    if not isinstance(trainer, Trainer):
        raise invalid(
            "fit", "trainer", f"of type {type(trainer).__name__}", "a trainer", "make one, for example TPTrainer(module, tpl.TP())"
        )
    _check_batch("fit", batch)
    check_schedule(schedule)
    if not is_whole(epochs, 0):
        raise invalid("fit", "epochs", repr(epochs), "an integer of at least 0", "give the number of epochs")
    for _ in range(epochs):
        if schedule is not None:
            trainer.scale_rates(schedule.factor(trainer.accuracies))
        epoch = len(trainer.accuracies)
        order, presented = epoch_order(len(samples), seed, epoch).tolist(), augmented(samples, augmentation, seed, epoch)
        title = f"epoch {epoch + 1}"
        learned = _learn(trainer, presented, track(_batches(order, batch), _batch_count(len(order), batch), title, progress))
        trainer.accuracies.append(evaluate(trainer.module, test, batch) if test is not None else learned)
    return trainer.accuracies[len(trainer.accuracies) - epochs :]


def evaluate(module: SpikingNetwork, samples: Samples, batch: int = 128) -> float:
    """Share of samples whose prediction is their label; each is judged at its own end, however long the others are."""
    _check_batch("evaluate", batch)
    right = torch.zeros((), dtype=torch.int64, device=module.device)
    with torch.no_grad():
        for first in range(0, len(samples), batch):
            events, labels = _columns(samples, range(first, min(first + batch, len(samples))))
            lengths = torch.tensor([recording.n_steps for recording in events])
            scores = module(_dense(module, events), lengths)
            right += _right(scores, checked_labels(labels, len(labels), module.n_classes, module.device))
    return int(right) / max(1, len(samples))


def _learn(trainer: Trainer, samples: Samples, batches: Iterator[list[int]]) -> float:
    """One epoch. -> accuracy while learning."""
    module, right = trainer.module, torch.zeros((), dtype=torch.int64, device=trainer.module.device)
    for indices in batches:
        events, labels = _columns(samples, indices)
        scores = trainer.learn_batch(_dense(module, events), labels)
        right += _right(scores, torch.tensor(labels, device=scores.device))
    return int(right) / max(1, len(samples))


def _right(scores: Tensor, labels: Tensor) -> Tensor:
    return (scores.argmax(dim=1) == labels).sum()


def _dense(module: SpikingNetwork, events: Sequence[Events]) -> Tensor:
    for recording in events:
        if isinstance(recording, Events) and recording.is_graded:
            check_events(recording, module.n_inputs, module.input_format)
    return dense(events, module.device, module.dtype)


def _columns(samples: Samples, indices: Sequence[int]) -> tuple[list[Events], list[int]]:
    chosen = [samples[index] for index in indices]
    return [events for events, _ in chosen], [label for _, label in chosen]


def _batch_count(count: int, batch: int) -> int:
    full, left = divmod(count, batch)
    return full if left == 0 or (full and left == 1) else full + 1


def _batches(order: Sequence[int], batch: int) -> Iterator[list[int]]:
    count = _batch_count(len(order), batch)
    for number in range(count):
        yield list(order[number * batch : None if number == count - 1 else (number + 1) * batch])


def _check_batch(obj: str, batch: object) -> None:
    if not is_whole(batch, 1):
        raise invalid(obj, "batch", repr(batch), "an integer of at least 1", "give the number of samples in a batch")
