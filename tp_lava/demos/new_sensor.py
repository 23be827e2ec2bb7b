"""Demonstration: a network trained in PyTorch goes into Lava, its sensor changes, and it learns the new one there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from tp_lava.convert import convert
from tp_lava.data.digits import digits
from tp_lava.data.order import epoch_order
from tp_lava.data.sensors import through
from tp_lava.finetuning import RULE, Round, few, run_in_lava
from tp_lava.graph.network import Network
from tp_lava.learner import Learner
from tp_lava.pretrained import pretrained

Precision = Literal["float", "fixed"]


@dataclass(frozen=True)
class SensorSettings:
    """Settings of the demonstration; the defaults are those of the README's figures."""

    sensor: str = "mirrored"
    shots: int = 5
    epochs: int = 20
    seed: int = 0
    n_test: int = 397


@dataclass(frozen=True)
class SensorRun:
    """One run in Lava.

    Accuracies: trained: old sensor, at first; changed: new sensor, at first; curve: new sensor, later; old: old sensor, at the end.
    """

    trained: float
    changed: float
    curve: list[float]
    old: float
    seconds_per_step: float
    learner: Learner

    @property
    def learned(self) -> float:
        """On the new sensor, at the end."""
        return self.curve[-1]


def run_demo(settings: SensorSettings, progress: bool = False) -> dict[str, SensorRun]:
    """One run in Lava in float and one in fixed point."""
    network = convert(pretrained("digits"), seed=settings.seed)
    precisions: tuple[Precision, ...] = ("float", "fixed")
    return {precision: _run(network, precision, settings, progress) for precision in precisions}


def _run(network: Network, precision: Precision, settings: SensorSettings, progress: bool) -> SensorRun:
    train, test = digits()
    old_test = Round(test[: settings.n_test], learns=False)
    new_test = Round(through(settings.sensor, old_test.samples), learns=False)
    shots = few(through(settings.sensor, train), settings.shots, settings.seed)
    rounds = [old_test, new_test]
    for epoch in range(settings.epochs):
        rounds.append(Round([shots[i] for i in epoch_order(len(shots), settings.seed, epoch)], learns=True))
        if epoch + 1 in _tested_epochs(settings.epochs):
            rounds.append(new_test)
    rounds.append(old_test)
    accuracies, result = run_in_lava(Learner(network, RULE, precision, settings.seed), rounds, progress)
    trained, changed, *curve, old = (accuracy for accuracy, part in zip(accuracies, rounds, strict=True) if not part.learns)
    steps = sum(sample.events.n_steps for part, *_ in rounds for sample in part)
    return SensorRun(trained, changed, curve, old, result.seconds / steps, result.learner)


def _tested_epochs(epochs: int) -> list[int]:
    """Epochs after which the new sensor's test samples are presented: five at most."""
    count = min(5, epochs)
    return sorted({round(epochs * (k + 1) / count) for k in range(count)})


def rows(settings: SensorSettings, runs: Mapping[str, SensorRun]) -> list[dict[str, object]]:
    """The table: step, accuracy in float and in fixed point."""
    titles = {
        "trained": "trained in PyTorch, converted",
        "changed": f"the sensor changes: {settings.sensor}",
        "learned": f"TP on the chip, {settings.shots} a digit, {settings.epochs} times",
        "old": "the old sensor again",
    }
    return [{"step": title} | {name: getattr(run, attr) for name, run in runs.items()} for attr, title in titles.items()]


def save(out: Path, settings: SensorSettings, runs: Mapping[str, SensorRun]) -> list[Path]:
    """Write the picture, the figures and the networks into a folder. -> the files."""
    from tp_lava import plots
    from tp_lava.plots.style import figure_file

    files = [out / "demo.png", out / "demo.json", *(out / f"digits_{settings.sensor}_{name}.safetensors" for name in runs)]
    learned = [0, *(n * settings.shots * 10 for n in _tested_epochs(settings.epochs))]
    with figure_file(files[0], (10, 4.2), columns=2) as (left, right):
        plots.accuracy_over_samples(left, {name: (learned, [run.changed, *run.curve]) for name, run in runs.items()})
        left.set_title(f"{settings.sensor} camera, learned in Lava")
        plots.raster(right, runs["fixed"].learner.infer(through(settings.sensor, digits()[1][:1])[0].events, record=True))
    result = {"settings": asdict(settings), "table": rows(settings, runs)}
    files[1].write_text(json.dumps(result, indent=1) + "\n")
    for file, run in zip(files[2:], runs.values(), strict=True):
        run.learner.save(file)
    return files
