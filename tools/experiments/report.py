"""What a run gives, for print and JSON: the published figures and the measured ones, apart, each with what it was measured on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments import adapting
from experiments.declaration import Published
from experiments.plan import Plan, heard, limited, shortcomings
from experiments.samples import Speakers, Task


def published_rows(figures: Sequence[Published]) -> list[dict[str, Any]]:
    """For JSON."""
    return [vars(figure) for figure in figures]


def measured(plan: Plan, material: Task | Speakers, accuracies: np.ndarray, seconds: float) -> dict[str, Any]:
    """Everything about a run. accuracies: see plan.all_seeds."""
    experiment, learning = plan.experiment, plan.learning
    samples = _sample_counts(plan, material)
    return {
        "experiment": experiment.name,
        "title": experiment.title,
        "paper": experiment.paper,
        "command": experiment.command,
        "published": published_rows(experiment.published),
        "reproduction": not shortcomings(plan, material.published),
        "shortcomings": shortcomings(plan, material.published),
        "differences": list(experiment.differences),
        "measured": {
            "data": material.what,
            "samples": samples,
            "network": _network(plan, material),
            "form": _form(plan),
            "rule": repr(learning.rule),
            "optimiser": repr(learning.optimiser),
            "schedule": repr(learning.schedule),
            "batch": min(learning.batch, samples["train"]),
            "epochs": learning.epochs,
            "seeds": plan.seeds,
            "seconds": round(seconds, 1),
            "figures": _figures(plan, accuracies),
            "accuracies": np.round(100 * accuracies, 4).tolist(),
        },
    }


def _sample_counts(plan: Plan, material: Task | Speakers) -> dict[str, int]:
    if isinstance(material, Task):
        task = limited(plan, material)
        return {"train": len(task.train), "test": len(task.test)}
    parts = heard(plan, material)
    support = {f"fine-tuning ({_shots(count)})": len(part) for count, part in parts.support.items()}
    return {"train": len(parts.known), "test": len(parts.judged)} | support | {"test (new speaker)": len(parts.query)}


def _shots(count: int | None) -> str:
    return "all there are" if count is None else f"{count} of each word"


def _network(plan: Plan, material: Task | Speakers) -> str:
    samples = material.train if isinstance(material, Task) else material.samples
    sizes = (samples[0].events.n_units, *plan.shape.sizes[1:-1], material.n_classes)
    text = "-".join(map(str, sizes)) + (" recurrent" if plan.shape.recurrent else "")
    given = "-".join(map(str, plan.shape.sizes))
    suited = "" if sizes == plan.shape.sizes else f" (published: {given}; inputs and classes are those of the data)"
    return f"{text}{suited}, {plan.shape.neuron!r}, trace decay {plan.shape.trace_decay:g}"


def _form(plan: Plan) -> str:
    names = {"batch": "batches, contrasted with themselves, as published", "streaming": "streaming, one sample at a time, our own form"}
    where = "tp_lava's engine" if plan.form.device is None else f"PyTorch on {plan.form.device}"
    return f"{names[plan.form.name]}; {plan.form.precision} numbers; {where}"


def _figures(plan: Plan, accuracies: np.ndarray) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds, in percent."""
    if plan.experiment.adaptation is None:
        rows = {"best epoch (chosen by these test samples)": accuracies.max(axis=1), "last epoch": accuracies[:, -1]}
    else:
        names = adapting.stages(plan.experiment.adaptation)
        rows = {f"new speaker, {name}": accuracies[:, number, 0] for number, name in enumerate(names)}
        rows |= {f"known speakers, {name}": accuracies[:, number, 1] for number, name in enumerate(names)}
    spread = plan.seeds > 1
    return [{"what": what, "percent": _percent(of.mean()), "spread": _percent(of.std()) if spread else None} for what, of in rows.items()]


def _percent(share: float) -> float:
    return round(100 * float(share), 2)
