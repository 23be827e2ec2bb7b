"""A training run in its folder, saved after every epoch, so that an interrupt loses at most the epoch in progress.

config.toml           the effective configuration, written first: with it alone a run can be resumed
learner.safetensors   the learner after the last finished epoch; best.safetensors: after the best one, with --keep-best
held_back/            learner and results of the run that found the number of epochs, on four fifths of the samples, where it was not given
results.json          accuracy and speed of each epoch, how the run was made, at the end the accuracy on the test samples

All are written whole (saving.py), each epoch anew. An epoch is about 120 bytes of results.json; the learner beside it is written as often,
and is larger for thousands of epochs. A file that is appended to would be no JSON file, or half of one after a kill.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tp_lava.archive import encoded
from tp_lava.commands import configuration
from tp_lava.commands.options import LEARNER
from tp_lava.commands.printing import json_text
from tp_lava.commands.train_settings import TrainingData, TrainSettings
from tp_lava.data.augmentation import augmented
from tp_lava.data.order import epoch_order
from tp_lava.errors import ArchiveError, invalid
from tp_lava.finetuning import Round, run_in_lava
from tp_lava.learner import Learner
from tp_lava.saving import write_whole

BEST, RESULTS, PICTURE = "best.safetensors", "results.json", "accuracy.png"
TRIAL = "held_back"
FILES = (LEARNER, BEST, RESULTS, PICTURE, configuration.NAME)


@dataclass
class Run:
    """about: how it was made, as JSON values; epochs: epoch, accuracy, seconds and samples_per_second of each."""

    out: Path
    about: Mapping[str, Any]
    learner: Learner
    epochs: list[dict[str, Any]] = field(default_factory=list)

    def add_epoch(self, accuracy: float, seconds: float, presented: int) -> None:
        """Record the results of one more epoch."""
        speed = presented / seconds if seconds else None
        self.epochs.append({"epoch": len(self.epochs) + 1, "accuracy": accuracy, "seconds": seconds, "samples_per_second": speed})

    def save(self, **more: Any) -> None:
        """Write results and learner. The learner comes last: its epochs count when the run is continued."""
        write_whole(self.out / RESULTS, (json_text(self.results(**more)) + "\n").encode())
        self.learner.save(self.out / LEARNER)

    def results(self, **more: Any) -> dict[str, Any]:
        """The contents of results.json."""
        made = {"sizes": list(self.learner.network.sizes), "rule": encoded(self.learner.rule)}
        return {**self.about, **made, "samples_seen": self.learner.samples_seen, "epochs": self.epochs, **more}

    @property
    def best(self) -> int:
        """Number of the first epoch with the highest accuracy; 0 before there is one."""
        return 1 + int(np.argmax([epoch["accuracy"] for epoch in self.epochs])) if self.epochs else 0


def check_free(out: Path) -> None:
    """Raise InvalidValueError where the folder has a run that was begun."""
    if any((folder / LEARNER).exists() for folder in (out, out / TRIAL)):
        remedy = f"give another with --out, or --resume {out} to go on with it"
        raise invalid("train", "out", f"{out}, which holds a run", "a folder without one", remedy)


def check_same_data(out: Path, checksums: Mapping[str, str]) -> None:
    """Raise InvalidValueError where a file of data is not what it was as the run in the folder began. checksums: file -> SHA-256 now."""
    before = {str(Path(name).resolve()): checksum for name, checksum in kept(out, "sha256").items()}
    for name, now in checksums.items():
        then = before.get(str(Path(name).resolve()), now)
        if now != then:
            limit = f"the file that the run was begun with, of SHA-256 {then}"
            raise invalid("train", "data", f"{name} of SHA-256 {now}", limit, "bring that one back, or begin a new run")


def kept(out: Path, name: str) -> dict[str, Any]:
    """What results.json has by this name; empty where that is not known."""
    try:
        return dict(json.loads((out / RESULTS).read_text())[name])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def begin(out: Path, about: Mapping[str, Any], learner: Callable[[], Learner]) -> Run:
    """The run in a folder, after its last saved epoch, or a new one of the learner that is made. Raises ArchiveError."""
    if (out / LEARNER).exists():
        return resume(out, about)
    run = Run(out, about, learner())
    run.save()
    return run


def resume(out: Path, about: Mapping[str, Any]) -> Run:
    """The run in a folder, after its last saved epoch. Raises FileNotFoundError, ArchiveError."""
    learner = Learner.load(out / LEARNER)
    try:
        epochs = json.loads((out / RESULTS).read_text())["epochs"][: learner.epochs_done]
        if [epoch["epoch"] for epoch in epochs] != list(range(1, learner.epochs_done + 1)):
            raise ValueError(f"{len(epochs)} epochs, the learner has had {learner.epochs_done}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"{out / RESULTS}: does not belong to {LEARNER} ({error}); begin a new run."
        raise ArchiveError(problem, obj=str(out / RESULTS), attr="file") from None
    return Run(out, about, learner, epochs)


def learn(run: Run, data: TrainingData, settings: TrainSettings, progress: bool) -> None:
    """The remaining epochs, each saved when it is done. A copy learns a little first, so that speeds do not include compiling."""
    if settings.in_lava:
        if not run.epochs:
            _learn_in_lava(run, data, settings, progress)
        return
    length = settings.length
    run.learner.copy().fit(data.samples[: settings.batch], 1, progress, batch=settings.batch, validation=data.held[:1] or None)
    while run.learner.epochs_done < length.epochs and not (length.patience and len(run.epochs) - run.best >= length.patience):
        begin = time.perf_counter()
        held, varied = data.held or None, settings.augmentation
        (accuracy,) = run.learner.fit(data.samples, 1, progress, batch=settings.batch, validation=held, augmentation=varied)
        run.add_epoch(accuracy, time.perf_counter() - begin, len(data.samples) + len(data.held))
        if length.keep_best and run.best == len(run.epochs):
            run.learner.save(run.out / BEST)
        run.save()


def _learn_in_lava(run: Run, data: TrainingData, settings: TrainSettings, progress: bool) -> None:
    """All epochs in one run; after each, the samples held back are presented without their labels."""
    rounds, epochs = list[Round](), settings.length.epochs
    for epoch in range(epochs):
        order = epoch_order(len(data.samples), settings.seed, epoch)
        presented = augmented(data.samples, settings.augmentation, settings.seed, epoch)
        rounds.append(Round([presented[i] for i in order], learns=True))
        if data.held:
            rounds.append(Round(data.held, learns=False))
    accuracies, result = run_in_lava(run.learner, rounds, progress)
    for accuracy in accuracies[1::2] if data.held else accuracies:
        run.add_epoch(accuracy, result.seconds / epochs, len(data.samples) + len(data.held))
    run.learner, run.learner.epochs_done = result.learner, epochs
    run.save()


def draw(run: Run, n_samples: int) -> Path:
    """Draw the accuracy of each epoch. -> the file."""
    from tp_lava import plots
    from tp_lava.plots.style import figure_file

    curve = [epoch["epoch"] * n_samples for epoch in run.epochs], [epoch["accuracy"] for epoch in run.epochs]
    with figure_file(run.out / PICTURE, (6, 4)) as axes:
        plots.accuracy_over_samples(axes, {run.about["accuracy_of"]: curve}).set(ylabel="accuracy")
    return run.out / PICTURE
