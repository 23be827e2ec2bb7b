"""Results, configurations and the list of experiments as text."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from experiments.config import Convolution, Dense, Experiment
from experiments.report import published_rows

WIDTH = 120
NOT_RUNNABLE = "needs convolution, not runnable yet"


def results(report: dict[str, Any]) -> str:
    """The results of a run."""
    return "\n".join([*_heading(report), "", *_published(report["published"]), "", *_measured(report["measured"])])


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


def _published(figures: Sequence[dict[str, Any]]) -> list[str]:
    """Consecutive figures that were measured alike share one note."""
    lines = ["PUBLISHED, not measured here:"]
    for (measured, source), group in groupby(figures, lambda figure: (figure["measured"], figure["source"])):
        lines += [f"  {_figure(figure)}" for figure in group]
        lines += _wrapped(f"{measured} ({source})", " " * 8, 8)
    return lines


def _measured(run: dict[str, Any]) -> list[str]:
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


# All experiments ----------------------------------------------------------------------------------


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


def configuration(experiment: Experiment) -> str:
    """The configuration of an experiment that cannot be run."""
    learning, data = experiment.batch, experiment.data
    settings = {
        "network": _network(experiment.network),
        "rule": repr(learning.rule),
        "learned by": f"{learning.optimiser!r}, schedule {learning.schedule!r}, batch {learning.batch}, {learning.epochs} epochs",
        "seeds": experiment.seeds,
        "data": f"{data.name} by {data.loader}; {data.binning}",
        "files": f"{', '.join(data.files)}, from {data.obtain}",
    }
    lines = [experiment.title, experiment.paper, "", f"{experiment.name}: {NOT_RUNNABLE}. Its configuration:", *_settings(settings)]
    return "\n".join([*lines, "", *_published(published_rows(experiment))])


def _network(network: Dense | Convolution) -> str:
    if isinstance(network, Dense):
        return "-".join(map(str, network.sizes))
    trace = "" if network.trace_decay is None else f", trace decay {network.trace_decay:g}"
    shape, layers = " x ".join(map(str, network.image)), "; ".join(network.layers)
    return f"{shape}; channels {layers}; {network.classes} classes; weights {network.weights}; {network.neuron!r}{trace}"
