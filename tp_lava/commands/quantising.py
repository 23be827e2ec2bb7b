"""A network in fixed point: the report of `quantise`, and what it costs on samples that it did not see."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tp_lava.commands.converting import model_named
from tp_lava.commands.tasks import split
from tp_lava.errors import invalid
from tp_lava.learner import Learner
from tp_lava.numbers import WEIGHT_BITS
from tp_lava.quantisation import QuantisationReport, quantise


def quantised(model: str, data: str, bits: str, calibration: int, seed: int) -> tuple[QuantisationReport, dict[str, float]]:
    """-> (the report on the calibration samples, {"samples", "float", "fixed"}: accuracy on the test samples)."""
    network, (train, test) = model_named(model, seed), split(data, seed)
    chosen = quantise(network, train[:calibration], weight_bits=_bits(bits), calibration=calibration)
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
