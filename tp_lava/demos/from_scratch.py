"""Demonstration: an untrained network learns handwritten digits, seen by an event camera, in Lava, in float and in fixed point."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tp_lava.continual.in_lava import play_in_lava
from tp_lava.continual.presenter import Round
from tp_lava.data.digits import N_CLASSES, digits
from tp_lava.data.order import epoch_order
from tp_lava.graph.network import Network
from tp_lava.learner import Learner
from tp_lava.rules import TP


@dataclass(frozen=True)
class DemoSettings:
    """Settings of the demonstration; the defaults are those of the README's figures."""

    hidden: int = 200
    epochs: int = 12
    contrast: int = 4
    rate: float = 7e-4
    readout_rate: float = 5e-4
    seed: int = 0
    n_train: int = 1400
    n_test: int = 397


@dataclass(frozen=True)
class DemoRun:
    """One run. samples, accuracies: the learning curve; seconds_per_step: of the whole run in Lava, test samples included."""

    samples: list[int]
    accuracies: list[float]
    seconds_per_step: float
    learner: Learner


def run_demo(settings: DemoSettings, progress: bool = False) -> dict[str, DemoRun]:
    """Three runs in Lava: with a frozen hidden layer, by TP in float, by TP in fixed point."""
    train, test = digits(settings.seed)
    train, test = train[: settings.n_train], test[: settings.n_test]
    network = Network.dense((train[0].events.n_units, settings.hidden, N_CLASSES), seed=settings.seed)
    rule = TP(settings.rate, settings.readout_rate, settings.contrast)
    rounds = [Round(test, learns=False)]
    for epoch in range(settings.epochs):
        rounds.append(Round([train[i] for i in epoch_order(len(train), settings.seed, epoch)], learns=True))
        rounds.append(Round(test, learns=False))
    learners = {
        "frozen": Learner(network, replace(rule, rate=0.0), "float", settings.seed),
        "float": Learner(network, rule, "float", settings.seed),
        "fixed": Learner(network, rule, "fixed", settings.seed),
    }
    learned, steps = [i * len(train) for i in range(settings.epochs + 1)], sum(s.events.n_steps for part, *_ in rounds for s in part)
    runs = {name: play_in_lava(learner, rounds, progress=progress) for name, learner in learners.items()}
    return {name: DemoRun(learned, run.accuracies[::2], run.seconds / steps, learners[name]) for name, run in runs.items()}


def rows(runs: Mapping[str, DemoRun]) -> list[dict[str, object]]:
    """The table: accuracy, weight and trace bits, microseconds per step."""
    titles = {"frozen": "frozen hidden layer", "float": "TP, float", "fixed": "TP, fixed point"}
    before = _row("before learning", runs["float"], 0) | {"microseconds_per_step": None}
    return [before, *(_row(title, runs[name], -1) for name, title in titles.items())]


def _row(title: str, run: DemoRun, epoch: int) -> dict[str, object]:
    weights, traces = (run.learner.buffers[name].format for name in ("hidden0", "hidden0_trace"))
    return {
        "network": title,
        "accuracy": run.accuracies[epoch],
        "weight_bits": weights.bits if weights else 32,
        "trace_bits": traces.bits if traces else 32,
        "microseconds_per_step": run.seconds_per_step * 1e6,
    }


def save(out: Path, settings: DemoSettings, runs: Mapping[str, DemoRun]) -> list[Path]:
    """Write the picture, the figures and the trained networks into a folder. -> the files."""
    from tp_lava import plots
    from tp_lava.plots.style import figure_file

    files = [out / "demo.png", out / "demo.json", *(out / f"digits_{name}.safetensors" for name in ("float", "fixed"))]
    with figure_file(files[0], (15, 4.2), columns=3) as (left, middle, right):
        plots.accuracy_over_samples(left, {name: (run.samples, run.accuracies) for name, run in runs.items()})
        left.set_title("handwritten digits, learned in Lava")
        plots.raster(middle, runs["fixed"].learner.infer(digits(settings.seed)[1][0].events, record=True))
        untrained = Network.dense(runs["float"].learner.network.sizes, seed=settings.seed).weights["hidden0"]
        plots.weight_histogram(right, untrained, {name: runs[name].learner.weights["hidden0"] for name in ("float", "fixed")})
    curves = {name: {"samples": run.samples, "accuracies": run.accuracies} for name, run in runs.items()}
    files[1].write_text(json.dumps({"settings": asdict(settings), "table": rows(runs), "curves": curves}, indent=1) + "\n")
    for file, name in zip(files[2:], ("float", "fixed"), strict=True):
        runs[name].learner.save(file)
    return files
