"""The demonstration: a network trained in PyTorch goes into Lava, its sensor changes, and it learns the new one there."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from tp_lava import lava
from tp_lava.convert import convert
from tp_lava.data.digits import digits
from tp_lava.data.events import Sample
from tp_lava.data.sensors import through
from tp_lava.finetuning import RULE, few
from tp_lava.learner import Learner, epoch_order
from tp_lava.graph.network import Network
from tp_lava.pretrained import pretrained

Tag = Literal["floating_pt", "fixed_pt"]


@dataclass(frozen=True)
class SensorSettings:
    """What the demonstration does; the defaults are those of the README's figures."""

    sensor: str = "mirrored"
    shots: int = 5
    epochs: int = 20
    seed: int = 0
    n_test: int = 397


@dataclass(frozen=True)
class Story:
    """One run in Lava. Accuracies: the old sensor, the new one, the new one after each epoch, the old one at the end."""

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


def run_demo(settings: SensorSettings, progress: bool = False) -> dict[str, Story]:
    """Tell the story in float and in fixed point, each in one Lava run."""
    network = convert(pretrained("digits"), seed=settings.seed)
    tags: dict[str, Tag] = {"float": "floating_pt", "fixed": "fixed_pt"}
    return {name: _told(network, tag, settings, progress) for name, tag in tags.items()}


def _told(network: Network, tag: Tag, settings: SensorSettings, progress: bool) -> Story:
    train, test = digits()
    test = test[: settings.n_test]
    new_test = through(settings.sensor, test)
    shots = few(through(settings.sensor, train), settings.shots, settings.seed)
    rounds: list[tuple[list[Sample], bool]] = [(test, False), (new_test, False)]
    for epoch in range(settings.epochs):
        rounds.append(([shots[i] for i in epoch_order(len(shots), settings.seed, epoch)], True))
        if epoch + 1 in _looks(settings.epochs):
            rounds.append((new_test, False))
    rounds.append((test, False))
    samples = [sample for part, _ in rounds for sample in part]
    learn = [learns for part, learns in rounds for _ in part]
    result = lava.run(network, RULE, samples, learn, tag, settings.seed, progress=progress)
    right = result.predictions == np.array([sample.label for sample in samples])
    ends = np.cumsum([len(part) for part, _ in rounds])
    told = [float(right[end - len(part) : end].mean()) for end, (part, learns) in zip(ends, rounds, strict=True) if not learns]
    steps = sum(sample.events.n_steps for sample in samples)
    return Story(told[0], told[1], told[2:-1], told[-1], result.seconds / steps, result.learner)


def _looks(epochs: int) -> list[int]:
    """Epochs after which the new sensor's test samples are shown: five at most."""
    return sorted({round(epochs * (k + 1) / min(5, epochs)) for k in range(min(5, epochs))})


def rows(settings: SensorSettings, stories: dict[str, Story]) -> list[dict[str, object]]:
    """The table: what, accuracy in float and in fixed point."""
    said = {
        "trained in PyTorch, converted": "trained",
        f"the sensor changes: {settings.sensor}": "changed",
        f"TP on the chip, {settings.shots} a digit, {settings.epochs} times": "learned",
        "the old sensor again": "old",
    }
    return [{"step": title} | {name: getattr(story, attr) for name, story in stories.items()} for title, attr in said.items()]


def save(out: Path, settings: SensorSettings, stories: dict[str, Story]) -> list[Path]:
    """Write the picture, the figures and the networks into a folder. -> the files."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from tp_lava import plots

    out.mkdir(parents=True, exist_ok=True)
    files = [out / "demo.png", out / "demo.json", *(out / f"digits_{settings.sensor}_{name}.safetensors" for name in stories)]
    learned = [0, *(n * settings.shots * 10 for n in _looks(settings.epochs))]
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    plots.accuracy_over_samples(left, {name: (learned, [story.changed, *story.curve]) for name, story in stories.items()})
    left.set_title(f"{settings.sensor} camera, learned in Lava")
    plots.raster(right, stories["fixed"].learner.infer(through(settings.sensor, digits()[1][:1])[0].events, record=True))
    figure.savefig(files[0], dpi=120)
    described = {"settings": dataclasses.asdict(settings), "table": rows(settings, stories)}
    files[1].write_text(json.dumps(described, indent=1) + "\n")
    for file, story in zip(files[2:], stories.values(), strict=True):
        story.learner.save(file)
    return files
