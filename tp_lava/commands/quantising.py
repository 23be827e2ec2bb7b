"""`tp-lava quantise`: a network in fixed point: the report of `quantise`, and what it costs on samples that it did not see."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tp_lava.commands import configuration
from tp_lava.commands.configuration import Config
from tp_lava.commands.converting import model_named
from tp_lava.commands.options import AsJson, Data, Model
from tp_lava.commands.printing import make_folder, print_json, print_table, say_written
from tp_lava.commands.tasks import check_fits, split
from tp_lava.errors import invalid
from tp_lava.learner import Learner
from tp_lava.numbers import WEIGHT_BITS
from tp_lava.quantisation import QuantisationReport
from tp_lava.quantisation import quantise as in_fixed_point


def quantise(
    context: typer.Context,
    model: Model,
    data: Data = "digits",
    bits: Annotated[str, typer.Option(help="Of the weights, 2 to 8, or search.")] = "8",
    calibration: Annotated[int, typer.Option(min=1, help="Training samples that ranges and scales are chosen from.")] = 64,
    plot: Annotated[Path | None, typer.Option(help="Picture of the report.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the label projection and the split of a file.")] = 0,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Choose fixed-point formats from samples, by how well spikes agree, and say what they cost in each layer."""
    report, tested = quantised(model, data, bits, calibration, seed)
    files = list[Path]()
    if plot:
        make_folder(plot.parent)
        draw(report, plot)
        files = [plot, configuration.save(context, configuration.beside(plot))]
    asked = configuration.effective(context)
    if as_json:
        print_json({"config": asked, **report.to_dict(), "test": tested})
        return
    print(configuration.to_toml(asked))
    print_table(report.table())
    print(f"{tested['samples']} test samples: accuracy {tested['float']:.3f} in float, {tested['fixed']:.3f} in fixed point")
    say_written(files)


def quantised(model: str, data: str, bits: str, calibration: int, seed: int) -> tuple[QuantisationReport, dict[str, float]]:
    """-> (the report on the calibration samples, {"samples", "float", "fixed"}: accuracy on the test samples)."""
    network, (train, test) = model_named(model, seed), split(data, seed)
    check_fits("quantise", train, network)
    chosen = in_fixed_point(network, train[:calibration], weight_bits=_bits(bits), calibration=calibration)
    fixed = Learner(chosen.network, precision=chosen.fixed).evaluate(test)
    return chosen.report, {"samples": len(test), "float": Learner(network).evaluate(test), "fixed": fixed}


def draw(report: QuantisationReport, file: Path) -> None:
    """Its picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from tp_lava import plots

    figure = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(figure)
    plots.quantisation(figure.subplots(), report)
    figure.savefig(file, dpi=120)


def _bits(text: str) -> int | Literal["search"]:
    if text == "search":
        return "search"
    if not text.isdecimal() or not 2 <= int(text) <= WEIGHT_BITS:
        raise invalid("quantise", "bits", repr(text), f"a number in 2..{WEIGHT_BITS}, or search", "8 is what Loihi holds")
    return int(text)
