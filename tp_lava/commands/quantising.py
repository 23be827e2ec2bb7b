"""`tp-lava quantise`: a network in fixed point: the report of `quantise`, and the accuracy on samples that were not used for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tp_lava.commands import configuration, options
from tp_lava.commands.configuration import Config
from tp_lava.commands.named import check_fits, load_split, model_named
from tp_lava.commands.printing import make_folder, print_result, print_table
from tp_lava.errors import invalid
from tp_lava.learner import Learner
from tp_lava.numbers import WEIGHT_BITS
from tp_lava.quantisation import QuantisationReport
from tp_lava.quantisation import quantise as in_fixed_point


def quantise(
    context: typer.Context,
    model: options.Model,
    data: options.Data = "digits",
    bits: Annotated[str, typer.Option(help="Bits of the weights, 2 to 8, or search.")] = "8",
    calibration: Annotated[int, typer.Option(min=1, help="Number of training samples from which ranges and scales are chosen.")] = 64,
    plot: Annotated[Path | None, typer.Option(help="File for a picture of the report.")] = None,
    seed: options.Seed = 0,
    config: Config = None,
    as_json: options.AsJson = False,
) -> None:
    """Choose fixed-point formats from samples, by agreement of spikes, and report what they cost in each layer."""
    network, (train, test) = model_named(model, seed), load_split(data, seed)
    check_fits("quantise", train, network)
    chosen = in_fixed_point(network, train[:calibration], weight_bits=_bits(bits), calibration=calibration)
    fixed = Learner(chosen.network, precision=chosen.fixed).evaluate(test)
    tested = {"samples": len(test), "float": Learner(network).evaluate(test), "fixed": fixed}
    files = list[Path]()
    if plot:
        make_folder(plot.parent)
        _draw(chosen.report, plot)
        files = [plot, configuration.save(context, configuration.beside(plot))]

    def show() -> None:
        print_table(chosen.report.table())
        print(f"{tested['samples']} test samples: accuracy {tested['float']:.3f} in float, {tested['fixed']:.3f} in fixed point")

    print_result(context, as_json, {**chosen.report.to_dict(), "test": tested}, show, files)


def _draw(report: QuantisationReport, file: Path) -> None:
    from tp_lava import plots
    from tp_lava.plots.style import figure_file

    with figure_file(file, (8, 4)) as axes:
        plots.quantisation(axes, report)


def _bits(text: str) -> int | Literal["search"]:
    if text == "search":
        return "search"
    if not text.isdecimal() or not 2 <= int(text) <= WEIGHT_BITS:
        raise invalid("quantise", "bits", repr(text), f"a number in 2..{WEIGHT_BITS}, or search", "8 is what Loihi holds")
    return int(text)
