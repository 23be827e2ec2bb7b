"""The results of a run as JSON values: published figures and measured ones, apart, each with the data and settings behind it."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments import adapting
from experiments.adapting import SpeakerSplit
from experiments.config import Experiment
from experiments.plan import Plan, shortcomings
from experiments.samples import DataSet


def published_rows(experiment: Experiment) -> list[dict[str, Any]]:
    """The published figures."""
    return [vars(figure) for figure in experiment.published]


def measured(plan: Plan, data: DataSet | SpeakerSplit, accuracies: np.ndarray, seconds: float) -> dict[str, Any]:
    """The results of a run. accuracies: see plan.all_seeds."""
    experiment, learning = plan.experiment, plan.learning
    known = data if isinstance(data, DataSet) else data.known
    reasons = shortcomings(plan, known.published)
    return {
        "experiment": experiment.name,
        "title": experiment.title,
        "paper": experiment.paper,
        "command": experiment.command,
        "published": published_rows(experiment),
        "reproduction": not reasons,
        "shortcomings": reasons,
        "differences": list(experiment.differences),
        "measured": {
            "data": known.what,
            "samples": _sample_counts(data),
            "network": _network(plan, known),
            "form": _form(plan),
            "rule": repr(learning.rule),
            "optimiser": repr(learning.optimiser),
            "schedule": repr(learning.schedule),
            "batch": min(learning.batch, len(known.train)),
            "epochs": learning.epochs,
            "seeds": plan.seeds,
            "seconds": round(seconds, 1),
            "figures": _figures(plan, accuracies),
            "accuracies": np.round(100 * accuracies, 4).tolist(),
        },
    }


def _sample_counts(data: DataSet | SpeakerSplit) -> dict[str, int]:
    if isinstance(data, DataSet):
        return {"train": len(data.train), "test": len(data.test)}
    names = {count: "all there are" if count is None else f"{count} of each word" for count in data.support}
    support = {f"fine-tuning ({names[count]})": len(samples) for count, samples in data.support.items()}
    return _sample_counts(data.known) | support | {"test (new speaker)": len(data.query)}


def _network(plan: Plan, data: DataSet) -> str:
    shape = plan.shape
    sizes = (data.train[0].events.n_units, *shape.sizes[1:-1], data.n_classes)
    text = "-".join(map(str, sizes)) + (" recurrent" if shape.recurrent else "")
    published = "-".join(map(str, shape.sizes))
    changed = "" if sizes == shape.sizes else f" (published: {published}; inputs and classes are those of the data)"
    return f"{text}{changed}, {shape.neuron!r}, trace decay {shape.trace_decay:g}"


def _form(plan: Plan) -> str:
    forms = {"batch": "batches, contrasted with themselves, as published", "streaming": "streaming, one sample at a time, our own form"}
    where = "tp_lava's engine" if plan.mode.device is None else f"PyTorch on {plan.mode.device}"
    return f"{forms[plan.mode.form]}; {plan.mode.precision} numbers; {where}"


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
