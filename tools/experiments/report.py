"""The results of a run, published and measured figures apart, as JSON values and as text; and the configurations as text."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from experiments import adapting
from experiments.adapting import SpeakerSplit
from experiments.config import Experiment, Learning
from experiments.plan import Plan, shortcomings
from experiments.samples import DataSet
from experiments.training import Measured

WIDTH = 120


def published_rows(experiment: Experiment) -> list[dict[str, Any]]:
    """The published figures."""
    return [vars(figure) for figure in experiment.published]


def measured(plan: Plan, data: DataSet | SpeakerSplit, found: Measured, seconds: float) -> dict[str, Any]:
    """The results of a run. found: see plan.all_seeds."""
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
            **(_compared(plan, known, found) if plan.methods else _learned(learning, known)),
            "form": _form(plan),
            "epochs": learning.epochs,
            "seeds": plan.seeds,
            "seconds": round(seconds, 1),
            "figures": _figures(plan, found.accuracies),
            "accuracies": np.round(100 * found.accuracies, 4).tolist(),
        },
    }


def _sample_counts(data: DataSet | SpeakerSplit) -> dict[str, int]:
    if isinstance(data, DataSet):
        return {"train": len(data.train), "test": len(data.test)}
    names = {count: "all there are" if count is None else f"{count} of each word" for count in data.support}
    support = {f"fine-tuning ({names[count]})": len(samples) for count, samples in data.support.items()}
    return _sample_counts(data.known) | support | {"test (new speaker)": len(data.query)}


def _learned(learning: Learning, data: DataSet) -> dict[str, Any]:
    return {
        "rule": repr(learning.rule),
        "optimiser": repr(learning.optimiser),
        "schedule": repr(learning.schedule),
        "batch": min(learning.batch, len(data.train)),
    }


def _compared(plan: Plan, data: DataSet, found: Measured) -> dict[str, Any]:
    """Of each method its settings, and best and last epoch."""
    rows = []
    for number, method in enumerate(plan.methods):
        each, accuracies = found.seconds[:, number] / method.learning.epochs / len(data.train), found.accuracies[:, number]
        figures = {"best": _figure_of(accuracies.max(axis=1)), "last": _figure_of(accuracies[:, -1])}
        row = {"method": method.name, **figures, "seconds_per_sample": round(float(each.mean()), 5)}
        rows.append(row | _learned(method.learning, data))
    return {"methods": rows}


def _network(plan: Plan, data: DataSet) -> str:
    shape = plan.shape
    text = shape.text(data.input_shape, data.n_classes)
    changed = (
        "" if plan.methods or text == shape.published else f" (published: {shape.published}; inputs and classes are those of the data)"
    )
    return f"{text}{changed}, {shape.neuron!r}, trace decay {shape.trace_decay:g}"


def _form(plan: Plan) -> str:
    form = "streaming, one sample at a time, our own form" if plan.mode.form == "streaming" else "batches, as published"
    where = f"PyTorch on {plan.mode.device}" if plan.mode.form == "torch" else "tp_lava's engine"
    return f"{form}; {plan.mode.precision} numbers; {where}"


def _figures(plan: Plan, accuracies: np.ndarray) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds, in percent."""
    rows: dict[str, np.ndarray] = {}
    if plan.methods:
        for number, method in enumerate(plan.methods):
            rows[f"{method.name}, best epoch"] = accuracies[:, number].max(axis=1)
            rows[f"{method.name}, last epoch"] = accuracies[:, number, -1]
    elif plan.experiment.adaptation is None:
        rows = {"best epoch (chosen by these test samples)": accuracies.max(axis=1), "last epoch": accuracies[:, -1]}
    else:
        names = adapting.stages(plan.experiment.adaptation)
        rows = {f"new speaker, {name}": accuracies[:, number, 0] for number, name in enumerate(names)}
        rows |= {f"known speakers, {name}": accuracies[:, number, 1] for number, name in enumerate(names)}
    return [{"what": what, **_figure_of(of)} for what, of in rows.items()]


def _figure_of(shares: np.ndarray) -> dict[str, float | None]:
    """shares: of each seed."""
    return {"percent": _percent(shares.mean()), "spread": _percent(shares.std()) if len(shares) > 1 else None}


def _percent(share: float) -> float:
    return round(100 * float(share), 2)


# Text ---------------------------------------------------------------------------------------------


def results_text(report: dict[str, Any]) -> str:
    """The results of a run."""
    return "\n".join([*_heading(report), "", *_published_lines(report["published"]), "", *_measured_lines(report["measured"])])


def _heading(report: dict[str, Any]) -> list[str]:
    lines = [report["title"], report["paper"], ""]
    if report["reproduction"]:
        lines += ["THE PUBLISHED EXPERIMENT, REPEATED."]
    else:
        reasons = "; ".join(report["shortcomings"])
        lines += _wrapped(f"NOT A REPRODUCTION: {reasons}. Do not compare the measured figures below with the published ones.")
        lines += [f"The whole experiment: {report['command']}"]
    if report["differences"]:
        lines += ["Differences between the whole experiment, run here, and the published one:"]
        lines += [line for difference in report["differences"] for line in _wrapped(f"- {difference}", "  ")]
    return lines


def _published_lines(figures: Sequence[dict[str, Any]]) -> list[str]:
    """Consecutive figures that were measured alike share one note."""
    lines = ["PUBLISHED, not measured here:"]
    for (measured, source), group in groupby(figures, lambda figure: (figure["measured"], figure["source"])):
        lines += [f"  {_figure(figure)}" for figure in group]
        lines += _wrapped(f"{measured} ({source})", " " * 8, 8)
    return lines


def _measured_lines(run: dict[str, Any]) -> list[str]:
    lines = ["MEASURED HERE, now, mean +- standard deviation over seeds of the test accuracy:"]
    lines += _table(run["methods"]) if "methods" in run else [f"  {_figure(figure)}" for figure in run["figures"]]
    settings = {"data": run["data"], "samples": ", ".join(f"{use} {count}" for use, count in run["samples"].items())}
    settings |= {"network": run["network"], "form": run["form"]}
    lines += _settings(settings)
    for learned in run.get("methods", [run]):
        how = f"{learned['optimiser']}, schedule {learned['schedule']}, batch {learned['batch']}, {run['epochs']} epochs"
        lines += [f"  {learned['method']}:"] if "method" in learned else []
        lines += _settings({"rule": learned["rule"], "learned by": how})
    return lines + _settings({"seeds": run["seeds"], "took": f"{run['seconds']} s"})


def _table(methods: Sequence[dict[str, Any]]) -> list[str]:
    lines = [f"  {'method':24} {'best epoch on test':>20} {'last epoch':>20} {'s a sample':>12}"]
    for row in methods:
        best, last = (_percents(row[which]) for which in ("best", "last"))
        lines.append(f"  {row['method']:24} {best:>20} {last:>20} {row['seconds_per_sample']:>12.4f}")
    return [*lines, ""]


def _settings(settings: Mapping[str, object]) -> list[str]:
    return [line for name, value in settings.items() for line in _wrapped(f"{name + ':':12}{value}", "  ", 14)]


def _figure(figure: dict[str, Any]) -> str:
    return f"{figure['what']:52} {_percents(figure)}"


def _percents(figure: dict[str, Any]) -> str:
    spread = "" if figure["spread"] is None else f" +- {figure['spread']:.2f}"
    return f"{figure['percent']:6.2f}{spread} %"


def _wrapped(line: str, indent: str = "", hanging: int | None = None) -> list[str]:
    later = indent + "  " if hanging is None else " " * hanging
    return textwrap.wrap(line, WIDTH, initial_indent=indent, subsequent_indent=later, break_long_words=False)


def listing(experiments: Sequence[Experiment]) -> str:
    """One line for each, with its first published figure."""
    lines = [f"{'name':18} {'experiment':58} {'published':>28}"]
    for experiment in experiments:
        first = experiment.published[-1] if experiment.adaptation else experiment.published[0]
        figure = f"{first.what.split(',')[0]} {first.percent:.2f} %"
        lines.append(f"{experiment.name:18} {experiment.title:58} {figure:>28}")
    papers = sorted({experiment.paper for experiment in experiments})
    lines += ["", "Published figures, none of them measured here, are from:", *(f"  {paper}" for paper in papers)]
    return "\n".join([*lines, "", f"Run one:  {experiments[0].command}    or something smaller: --small"])
