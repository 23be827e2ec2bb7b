"""Demonstration: a network trained in PyTorch goes into Lava, its sensor changes, and it learns the new one there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from tp_lava.continual import Anchor, Continual, Cost, Gate, Replay
from tp_lava.continual.in_lava import play_in_lava
from tp_lava.continual.presenter import Round
from tp_lava.convert import convert
from tp_lava.data.digits import digits
from tp_lava.data.order import epoch_order
from tp_lava.data.sensors import through
from tp_lava.finetuning import ANCHOR, GATE, REPLAY, RULE, few
from tp_lava.graph.network import Network
from tp_lava.learner import Learner
from tp_lava.pretrained import pretrained

Precision = Literal["float", "fixed"]
Options = tuple[Replay | None, Gate | None, Anchor | None]
DEFAULT: Options = (REPLAY, GATE, ANCHOR)  # finetune's, where there are old samples
VARIANTS: dict[str, Options] = {
    "the new samples alone": (None, None, None),
    "+ replay": (REPLAY, None, None),
    "+ gate": (REPLAY, GATE, None),
    "+ anchor": (REPLAY, GATE, Anchor(1e-3)),
}


@dataclass(frozen=True)
class SensorSettings:
    """Settings of the demonstration; the defaults are those of the README's figures."""

    sensor: str = "mirrored"
    shots: int = 5
    epochs: int = 20
    seed: int = 0
    n_test: int = 397


@dataclass(frozen=True)
class Variant:
    """One way to learn the new sensor: accuracy on the new one and on the old one at the end, and what it cost."""

    new: float
    old: float
    cost: Cost


@dataclass(frozen=True)
class SensorRun:
    """Runs in Lava in one number system.

    Accuracies: trained: old sensor, at first; changed: new sensor, at first; curve: new sensor, later; old: old sensor, at the end;
    variants: the same with less and with more against forgetting.
    """

    trained: float
    changed: float
    curve: list[float]
    old: float
    seconds_per_step: float
    learner: Learner
    variants: Mapping[str, Variant]

    @property
    def learned(self) -> float:
        """On the new sensor, at the end."""
        return self.curve[-1]


def run_demo(settings: SensorSettings, progress: bool = False) -> dict[str, SensorRun]:
    """Runs in Lava in float and in fixed point, each with every variant."""
    network = convert(pretrained("digits"), seed=settings.seed)
    precisions: tuple[Precision, ...] = ("float", "fixed")
    return {precision: _run(network, precision, settings, progress) for precision in precisions}


def _run(network: Network, precision: Precision, settings: SensorSettings, progress: bool) -> SensorRun:
    """The default with its curve, then the variants."""
    rounds = _rounds(settings)
    continual = _continual(network, precision, settings, DEFAULT)
    run = play_in_lava(continual, rounds, progress=progress)
    trained, changed, *curve, old = (accuracy for accuracy, part in zip(run.accuracies, rounds, strict=True) if not part.learns)
    steps = continual.cost.steps + sum(sample.events.n_steps for part in rounds if not part.learns for sample in part.samples)
    variants = {DEFAULT: Variant(curve[-1], old, continual.cost)}
    short = [part for part in rounds if part.learns] + [rounds[1], rounds[0]]
    for options in VARIANTS.values():
        if options not in variants:
            other = _continual(network, precision, settings, options)
            *_, new, kept = play_in_lava(other, short, progress=progress).accuracies
            variants[options] = Variant(new, kept, other.cost)
    named = {name: variants[options] for name, options in VARIANTS.items()}
    return SensorRun(trained, changed, curve, old, run.seconds / steps, continual.learner, named)


def _continual(network: Network, precision: Precision, settings: SensorSettings, options: Options) -> Continual:
    """A learner that holds some of the old sensor's recordings, where there is replay."""
    continual = Continual(Learner(network, RULE, precision, settings.seed), *options)
    if continual.buffer is not None:
        continual.remember(digits()[0])
    return continual


def _rounds(settings: SensorSettings) -> list[Round]:
    """Old sensor, new sensor, learning with tests of the new one in between, old sensor."""
    train, test = digits()
    old_test = Round(test[: settings.n_test], learns=False)
    new_test = Round(through(settings.sensor, old_test.samples), learns=False)
    shots = few(through(settings.sensor, train), settings.shots, settings.seed)
    rounds = [old_test, new_test]
    for epoch in range(settings.epochs):
        rounds.append(Round([shots[i] for i in epoch_order(len(shots), settings.seed, epoch)], learns=True, keep=False))
        if epoch + 1 in _tested_epochs(settings.epochs):
            rounds.append(new_test)
    return [*rounds, old_test]


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


def variant_rows(runs: Mapping[str, SensorRun]) -> list[dict[str, object]]:
    """The second table: how it was learned, accuracy on the new and on the old sensor, samples learned, bytes, in each number system."""
    found = []
    for name in VARIANTS:
        row: dict[str, object] = {"learned from": name}
        for precision, run in runs.items():
            variant = run.variants[name]
            row |= {f"new, {precision}": variant.new, f"old, {precision}": variant.old}
        cost = runs["fixed"].variants[name].cost
        found.append(row | {"samples learned": cost.learned + cost.relearned, "KB": (cost.replay_bytes + cost.anchor_bytes) // 1024})
    return found


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
    result = {"settings": asdict(settings), "table": rows(settings, runs), "variants": variant_rows(runs)}
    files[1].write_text(json.dumps(result, indent=1) + "\n")
    for file, run in zip(files[2:], runs.values(), strict=True):
        run.learner.save(file)
    return files
