"""Reports, declarations and the list of experiments in words, to be read."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from experiments.declaration import Convolution, Dense, Experiment
from experiments.report import published_rows

WIDTH = 120
NOT_RUNNABLE = "needs convolution, not runnable yet"


def text(report: dict[str, Any]) -> str:
    """The report, to be read."""
    return "\n".join([*_heading(report), "", *_published(report["published"]), "", *_measured(report)])


def _heading(report: dict[str, Any]) -> list[str]:
    lines = [report["title"], report["paper"], ""]
    if report["reproduction"]:
        lines += ["THE PUBLISHED EXPERIMENT, REPEATED."]
    else:
        reasons = "; ".join(report["shortcomings"])
        lines += _wrapped(f"NOT A REPRODUCTION: {reasons}. The measured figures below are not to be set against the published ones.")
        lines += [f"The whole experiment: {report['command']}"]
    if report["differences"]:
        lines += ["Where even the whole experiment, run here, differs from the published one:"]
        lines += [line for difference in report["differences"] for line in _wrapped(f"- {difference}", "  ")]
    return lines


def _published(figures: Sequence[dict[str, Any]]) -> list[str]:
    """Figures in a row that were measured alike share one note."""
    lines = ["PUBLISHED, not measured here:"]
    for (measured, source), group in groupby(figures, lambda figure: (figure["measured"], figure["source"])):
        lines += [f"  {_figure(figure)}" for figure in group]
        lines += _wrapped(f"{measured} ({source})", " " * 8, 8)
    return lines


def _measured(report: dict[str, Any]) -> list[str]:
    run = report["measured"]
    samples = ", ".join(f"{use} {count}" for use, count in run["samples"].items())
    facts = {"data": run["data"], "samples": samples, "network": run["network"], "form": run["form"], "rule": run["rule"]}
    how = f"{run['optimiser']}, schedule {run['schedule']}, batch {run['batch']}, {run['epochs']} epochs"
    facts |= {"learned by": how, "seeds": str(run["seeds"]), "took": f"{run['seconds']} s"}
    lines = ["MEASURED HERE, now, mean +- standard deviation over seeds of the test accuracy:"]
    lines += [f"  {_figure(figure)}" for figure in run["figures"]]
    for name, fact in facts.items():
        lines += _wrapped(f"{name + ':':12}{fact}", "  ", 14)
    return lines


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


def declared(experiment: Experiment) -> str:
    """An experiment that cannot be run, in full."""
    learning, data, net = experiment.batch, experiment.data, experiment.network
    lines = [experiment.title, experiment.paper, "", f"{experiment.name}: {NOT_RUNNABLE}. What is declared:"]
    facts = {
        "network": _shape_text(net),
        "rule": repr(learning.rule),
        "learned by": f"{learning.optimiser!r}, schedule {learning.schedule!r}, batch {learning.batch}, {learning.epochs} epochs",
        "seeds": str(experiment.seeds),
        "data": f"{data.name} by {data.loader}; {data.binning}",
        "files": f"{', '.join(data.files)}, from {data.obtain}",
    }
    for name, fact in facts.items():
        lines += _wrapped(f"{name + ':':12}{fact}", "  ", 14)
    return "\n".join([*lines, "", *_published(published_rows(experiment.published))])


def _shape_text(net: Dense | Convolution) -> str:
    if isinstance(net, Dense):
        return "-".join(map(str, net.sizes))
    trace = "" if net.trace_decay is None else f", trace decay {net.trace_decay:g}"
    shape = " x ".join(map(str, net.image))
    return f"{shape}; channels {'; '.join(net.layers)}; {net.classes} classes; weights {net.weights}; {net.neuron!r}{trace}"
