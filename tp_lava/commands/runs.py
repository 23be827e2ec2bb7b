"""A training run in its folder: what every finished epoch leaves there, so that an interrupt costs no more than the epoch it falls into.

learner.safetensors   the learner after the last finished epoch; best.safetensors: after the best one, with --keep-best
results.json          accuracy and speed of each epoch, how the run came about, at the end the accuracy on the test samples
config.toml           the effective configuration
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tp_lava import lava
from tp_lava.archive import encoded
from tp_lava.commands.courses import Choices, Course
from tp_lava.commands.printing import json_text
from tp_lava.errors import ArchiveError, invalid
from tp_lava.learner import Learner, epoch_order

LEARNER, BEST, RESULTS, PICTURE = "learner.safetensors", "best.safetensors", "results.json", "accuracy.png"


@dataclass
class Run:
    """about: how it came about, as JSON has it; epochs: epoch, accuracy, seconds and samples_per_second of each."""

    out: Path
    about: Mapping[str, Any]
    learner: Learner
    epochs: list[dict[str, Any]] = field(default_factory=list)

    def note(self, accuracy: float, seconds: float, presented: int) -> None:
        """One more epoch."""
        speed = presented / seconds if seconds else None
        self.epochs.append({"epoch": len(self.epochs) + 1, "accuracy": accuracy, "seconds": seconds, "samples_per_second": speed})

    def keep(self, **more: Any) -> None:
        """Write what there is; the learner last, for a run is as far as its learner is."""
        _write(self.out / RESULTS, json_text(self.results(**more)) + "\n")
        self.learner.save(self.out / LEARNER)

    def results(self, **more: Any) -> dict[str, Any]:
        """As results.json has it."""
        told = {"sizes": list(self.learner.network.sizes), "rule": encoded(self.learner.rule)}
        return {**self.about, **told, "samples_seen": self.learner.samples_seen, "epochs": self.epochs, **more}

    @property
    def best(self) -> int:
        """Number of the first epoch with the highest accuracy; 0 before there is one."""
        return 1 + int(np.argmax([epoch["accuracy"] for epoch in self.epochs])) if self.epochs else 0


def begun(out: Path, about: Mapping[str, Any], learner: Learner) -> Run:
    """A run at its start. Raises InvalidValueError where the folder holds another one."""
    if (out / LEARNER).exists():
        remedy = f"give another with --out, or --resume {out} to go on with it"
        raise invalid("train", "out", f"{out}, which holds a run", "a folder without one", remedy)
    run = Run(out, about, learner)
    run.keep()
    return run


def resumed(out: Path, about: Mapping[str, Any]) -> Run:
    """The run in a folder, as far as it got. Raises FileNotFoundError, ArchiveError."""
    learner = Learner.load(out / LEARNER)
    try:
        epochs = json.loads((out / RESULTS).read_text())["epochs"][: learner.epochs_done]
        if [epoch["epoch"] for epoch in epochs] != list(range(1, learner.epochs_done + 1)):
            raise ValueError(f"{len(epochs)} epochs, the learner has had {learner.epochs_done}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"{out / RESULTS}: does not belong to {LEARNER} ({error}); begin a new run."
        raise ArchiveError(problem, obj=str(out / RESULTS), attr="file") from None
    return Run(out, about, learner, epochs)


def learn(run: Run, course: Course, choices: Choices, progress: bool) -> None:
    """The epochs that are left, each kept when it is done. A copy learns a little first: that compiles, and the speeds told are right."""
    if choices.in_lava:
        if not run.epochs:
            _learn_in_lava(run, course, choices, progress)
        return
    run.learner.copy().fit(course.samples[: choices.batch], 1, progress, batch=choices.batch, validation=course.held[:1] or None)
    while run.learner.epochs_done < choices.epochs and not (choices.patience and len(run.epochs) - run.best >= choices.patience):
        start = time.perf_counter()
        (accuracy,) = run.learner.fit(course.samples, progress=progress, batch=choices.batch, validation=course.held or None)
        run.note(accuracy, time.perf_counter() - start, len(course.samples) + len(course.held))
        if choices.keep_best and run.best == len(run.epochs):
            run.learner.save(run.out / BEST)
        run.keep()


def _learn_in_lava(run: Run, course: Course, choices: Choices, progress: bool) -> None:
    """All epochs in one run, samples held back shown after each without their labels."""
    start, rounds = run.learner, []
    for epoch in range(choices.epochs):
        order = epoch_order(len(course.samples), choices.seed, epoch)
        rounds.append([*((course.samples[i], True) for i in order), *((sample, False) for sample in course.held)])
    samples, learning = zip(*(shown for shown_samples in rounds for shown in shown_samples), strict=True)
    result = lava.run(start.network, start.rule, samples, learning, choices.tag, choices.seed, fixed=start.fixed, progress=progress)
    right = result.predictions == np.array([sample.label for sample in samples])
    looked_at = ~np.array(learning) if course.held else np.array(learning)
    for accuracy in right[looked_at].reshape(choices.epochs, -1).mean(axis=1):
        run.note(float(accuracy), result.seconds / choices.epochs, len(rounds[0]))
    run.learner, run.learner.epochs_done = result.learner, choices.epochs
    run.keep()


def draw(file: Path, epochs: Sequence[Mapping[str, Any]], n_samples: int, looked_at: str) -> None:
    """The accuracy of each epoch."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from tp_lava import plots

    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    curve = [epoch["epoch"] * n_samples for epoch in epochs], [epoch["accuracy"] for epoch in epochs]
    plots.accuracy_over_samples(figure.subplots(), {looked_at: curve}).set(ylabel="accuracy")
    figure.savefig(file, dpi=120)


def _write(file: Path, text: str) -> None:
    """An interrupted write leaves the old file whole."""
    beside = file.with_name(f".{file.name}")
    beside.write_text(text)
    os.replace(beside, file)
