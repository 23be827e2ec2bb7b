"""The results of a run, published and measured figures apart, as JSON values and as text; and the configurations as text."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from experiments import adapting
from experiments.adapting import SpeakerSplit
from experiments.config import Convolution, Dense, Experiment
from experiments.plan import Plan, shortcomings
from experiments.samples import DataSet

WIDTH = 120
NOT_RUNNABLE = "needs convolution, not runnable yet"


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
    lines += [f"  {_figure(figure)}" for figure in run["figures"]]
    settings = {
        "data": run["data"],
        "samples": ", ".join(f"{use} {count}" for use, count in run["samples"].items()),
        "network": run["network"],
        "form": run["form"],
        "rule": run["rule"],
        "learned by": f"{run['optimiser']}, schedule {run['schedule']}, batch {run['batch']}, {run['epochs']} epochs",
        "seeds": run["seeds"],
        "took": f"{run['seconds']} s",
    }
    return lines + _settings(settings)


def _settings(settings: Mapping[str, object]) -> list[str]:
    return [line for name, value in settings.items() for line in _wrapped(f"{name + ':':12}{value}", "  ", 14)]


def _figure(figure: dict[str, Any]) -> str:
    spread = "" if figure["spread"] is None else f" +- {figure['spread']:.2f}"
    return f"{figure['what']:52} {figure['percent']:6.2f}{spread} %"


def _wrapped(line: str, indent: str = "", hanging: int | None = None) -> list[str]:
    later = indent + "  " if hanging is None else " " * hanging
    return textwrap.wrap(line, WIDTH, initial_indent=indent, subsequent_indent=later, break_long_words=False)


# Configurations ----------------------------------------------------------------------------------


def listing(experiments: Sequence[Experiment]) -> str:
    """One line for each, with its first published figure."""
    lines = [f"{'name':18} {'experiment':58} {'published':>28}  state"]
    for experiment in experiments:
        first = experiment.published[-1] if experiment.adaptation else experiment.published[0]
        figure = f"{first.what.split(',')[0]} {first.percent:.2f} %"
        state = "runs" if experiment.runnable else NOT_RUNNABLE
        lines.append(f"{experiment.name:18} {experiment.title:58} {figure:>28}  {state}")
    papers = sorted({experiment.paper for experiment in experiments})
    lines += ["", "Published figures, none of them measured here, are from:", *(f"  {paper}" for paper in papers)]
    return "\n".join([*lines, "", f"Run one:  {experiments[0].command}    or, without any data, with --small"])


def configuration_text(experiment: Experiment) -> str:
    """The configuration of an experiment that cannot be run."""
    learning, data = experiment.batch, experiment.data
    settings = {
        "network": _network_text(experiment.network),
        "rule": repr(learning.rule),
        "learned by": f"{learning.optimiser!r}, schedule {learning.schedule!r}, batch {learning.batch}, {learning.epochs} epochs",
        "seeds": experiment.seeds,
        "data": f"{data.name} by {data.loader}; {data.binning}",
        "files": f"{', '.join(data.files)}, from {data.obtain}",
    }
    lines = [experiment.title, experiment.paper, "", f"{experiment.name}: {NOT_RUNNABLE}. Its configuration:", *_settings(settings)]
    return "\n".join([*lines, "", *_published_lines(published_rows(experiment))])


def _network_text(network: Dense | Convolution) -> str:
    if isinstance(network, Dense):
        return "-".join(map(str, network.sizes))
    trace = "" if network.trace_decay is None else f", trace decay {network.trace_decay:g}"
    shape, layers = " x ".join(map(str, network.image)), "; ".join(network.layers)
    return f"{shape}; channels {layers}; {network.classes} classes; weights {network.weights}; {network.neuron!r}{trace}"
