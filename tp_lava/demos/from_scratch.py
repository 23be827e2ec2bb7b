"""The demonstration: handwritten digits, seen by an event camera, learned in Lava from blank, in float and in fixed point."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tp_lava import lava
from tp_lava.data.digits import N_CLASSES, digits
from tp_lava.data.events import Sample
from tp_lava.learner import Learner, epoch_order
from tp_lava.graph.network import Network
from tp_lava.rules import TP


@dataclass(frozen=True)
class DemoSettings:
    """What the demonstration does; the defaults are those of the README's figures."""

    hidden: int = 200
    epochs: int = 12
    contrast: int = 4
    rate: float = 7e-4
    readout_rate: float = 5e-4
    seed: int = 0
    n_train: int = 1400
    n_test: int = 397


@dataclass(frozen=True)
class Lesson:
    """One run. samples, accuracies: the learning curve; seconds_per_step: of the whole run in Lava, test samples included."""

    samples: list[int]
    accuracies: list[float]
    seconds_per_step: float
    learner: Learner


def run_demo(settings: DemoSettings, progress: bool = False) -> dict[str, Lesson]:
    """Learn three times in Lava: with a frozen hidden layer, by TP in float, by TP in fixed point."""
    train, test = digits(settings.seed)
    train, test = train[: settings.n_train], test[: settings.n_test]
    network = Network.dense((train[0].events.n_units, settings.hidden, N_CLASSES), seed=settings.seed)
    rule = TP(settings.rate, settings.readout_rate, settings.contrast)
    frozen = dataclasses.replace(rule, rate=0.0)
    lessons = {"frozen": (frozen, "floating_pt"), "float": (rule, "floating_pt"), "fixed": (rule, "fixed_pt")}
    return {name: _learn(network, *how, train, test, settings, progress) for name, how in lessons.items()}


def _learn(network, rule, tag, train: list[Sample], test: list[Sample], settings: DemoSettings, progress: bool) -> Lesson:
    """Test, then an epoch, then test again...: one Lava run, in which test samples come without their labels."""
    samples, learn = list(test), [False] * len(test)
    for epoch in range(settings.epochs):
        samples += [train[i] for i in epoch_order(len(train), settings.seed, epoch)] + test
        learn += [True] * len(train) + [False] * len(test)
    result = lava.run(network, rule, samples, learn, tag, settings.seed, progress=progress)
    right = result.predictions == np.array([sample.label for sample in samples])
    round_ = len(train) + len(test)
    accuracies = [float(right[i * round_ : i * round_ + len(test)].mean()) for i in range(settings.epochs + 1)]
    steps = sum(sample.events.n_steps for sample in samples)
    return Lesson([i * len(train) for i in range(settings.epochs + 1)], accuracies, result.seconds / steps, result.learner)


def rows(lessons: dict[str, Lesson]) -> list[dict[str, object]]:
    """The table: accuracy, weight and trace bits, microseconds per step."""
    described = {
        "before learning": ("float", 0),
        "frozen hidden layer": ("frozen", -1),
        "TP, float": ("float", -1),
        "TP, fixed point": ("fixed", -1),
    }
    table = []
    for title, (name, when) in described.items():
        lesson = lessons[name]
        buffers = lesson.learner.buffers
        bits = {key: buffers[key].format.bits if buffers[key].format else 32 for key in ("hidden0", "hidden0_trace")}  # type: ignore[union-attr]
        row = {"network": title, "accuracy": lesson.accuracies[when], "weight_bits": bits["hidden0"], "trace_bits": bits["hidden0_trace"]}
        table.append(row | {"microseconds_per_step": lesson.seconds_per_step * 1e6 if when else None})
    return table


def save(out: Path, settings: DemoSettings, lessons: dict[str, Lesson]) -> list[Path]:
    """Write the picture, the figures and the learned networks into a folder. -> the files."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from tp_lava import plots

    out.mkdir(parents=True, exist_ok=True)
    _, test = digits(settings.seed)
    figure, axes = pyplot.subplots(1, 3, figsize=(15, 4.2), constrained_layout=True)
    plots.accuracy_over_samples(axes[0], {name: (lesson.samples, lesson.accuracies) for name, lesson in lessons.items()})
    axes[0].set_title("handwritten digits, learned in Lava")
    plots.raster(axes[1], lessons["fixed"].learner.infer(test[0].events, record=True))
    blank = Network.dense(lessons["float"].learner.network.sizes, seed=settings.seed).weights["hidden0"]
    plots.weight_histogram(axes[2], blank, {name: lessons[name].learner.weights["hidden0"] for name in ("float", "fixed")})
    files = [out / "demo.png", out / "demo.json", *(out / f"digits_{name}.safetensors" for name in ("float", "fixed"))]
    figure.savefig(files[0], dpi=120)
    pyplot.close(figure)
    curves = {name: {"samples": lesson.samples, "accuracies": lesson.accuracies} for name, lesson in lessons.items()}
    files[1].write_text(json.dumps({"settings": dataclasses.asdict(settings), "table": rows(lessons), "curves": curves}, indent=1) + "\n")
    for file, name in zip(files[2:], ("float", "fixed"), strict=True):
        lessons[name].learner.save(file)
    return files
