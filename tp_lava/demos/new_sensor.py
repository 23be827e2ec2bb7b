"""Demonstration: a network trained in PyTorch goes into Lava, its sensor changes, and it learns the new one there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tp_lava.continual import Anchor, Cost
from tp_lava.convert import convert
from tp_lava.data.digits import digits
from tp_lava.data.sensors import through
from tp_lava.finetuning import CAMERA_DEFAULTS, CAMERA_VARIANTS, FineTuned, few, finetune
from tp_lava.pretrained import pretrained

DEFAULT = "+ gate"  # what finetune does where nothing is said
VARIANTS: dict[str, dict[str, Any]] = {
    "the new samples alone": {"replay": None, "gate": None},
    "+ replay": {"gate": None},
    DEFAULT: {},
    "+ anchor": {"anchor": Anchor(1e-3, every=CAMERA_VARIANTS)},
}


@dataclass(frozen=True)
class SensorSettings:
    """Settings of the demonstration; the defaults are those of the README's figures."""

    sensor: str = "mirrored"
    shots: int = 5
    epochs: int = 20
    seed: int = 0
    n_test: int = 397


Runs = Mapping[str, Mapping[str, FineTuned]]  # number system -> VARIANTS -> what came of it; the curve of DEFAULT is on the new sensor


def run_demo(settings: SensorSettings, progress: bool = False) -> Runs:
    """Fine-tuning in Lava in float and in fixed point, each with every variant; DEFAULT is tested there after each epoch."""
    network, (train, test) = convert(pretrained("digits"), seed=settings.seed), digits()
    old_test = test[: settings.n_test]
    new, new_test = few(through(settings.sensor, train), settings.shots, settings.seed), through(settings.sensor, old_test)

    task: dict[str, Any] = {"old": train, "old_test": old_test, "epochs": settings.epochs, "seed": settings.seed, "progress": progress}

    def tuned(precision: Any, name: str) -> FineTuned:
        options = {**CAMERA_DEFAULTS, **VARIANTS[name], "validation": new_test if name == DEFAULT else ()}
        return finetune(network, new, new_test, precision=precision, in_lava=True, **task, **options)

    return {precision: {name: tuned(precision, name) for name in VARIANTS} for precision in ("float", "fixed")}


def rows(settings: SensorSettings, runs: Runs) -> list[dict[str, object]]:
    """The table: step, accuracy in float and in fixed point."""
    titles = {
        "old_before": "trained in PyTorch, converted",
        "before": f"the sensor changes: {settings.sensor}",
        "after": f"TP on the chip, {settings.shots} a digit, {settings.epochs} times",
        "old_after": "the old sensor again",
    }
    return [{"step": title} | {form: getattr(run[DEFAULT], attr) for form, run in runs.items()} for attr, title in titles.items()]


def variant_rows(runs: Runs) -> list[dict[str, object]]:
    """The second table: how it was learned, accuracy on the new and on the old sensor, samples learned, bytes, in each number system."""
    found = []
    for name in VARIANTS:
        row: dict[str, object] = {"learned from": name}
        for form, run in runs.items():
            row |= {f"new, {form}": run[name].after, f"old, {form}": run[name].old_after}
        fixed = runs["fixed"][name]
        cost = fixed.cost or Cost()
        found.append(row | {"samples learned": fixed.learner.samples_seen, "KB": (cost.replay_bytes + cost.anchor_bytes) // 1024})
    return found


def save(out: Path, settings: SensorSettings, runs: Runs) -> list[Path]:
    """Write the picture, the figures and the networks into a folder. -> the files."""
    from tp_lava import plots
    from tp_lava.plots.style import figure_file

    defaults = {form: run[DEFAULT] for form, run in runs.items()}
    files = [out / "demo.png", out / "demo.json", *(out / f"digits_{settings.sensor}_{form}.safetensors" for form in runs)]
    presented = [epoch * settings.shots * 10 * CAMERA_DEFAULTS["variants"] for epoch in range(settings.epochs + 1)]
    with figure_file(files[0], (10, 4.2), columns=2) as (left, right):
        plots.accuracy_over_samples(left, {form: (presented, run.curve) for form, run in defaults.items()})
        left.set_title(f"{settings.sensor} camera, learned in Lava")
        plots.raster(right, defaults["fixed"].learner.infer(through(settings.sensor, digits()[1][:1])[0].events, record=True))
    result = {"settings": asdict(settings), "table": rows(settings, runs), "variants": variant_rows(runs)}
    files[1].write_text(json.dumps(result, indent=1) + "\n")
    for file, run in zip(files[2:], defaults.values(), strict=True):
        run.learner.save(file)
    return files
