"""Effects of fixed point: agreement of each layer with float, bits in use of each register, and where two forms of a network diverge."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from tp_lava.divergence import Divergence
from tp_lava.errors import invalid
from tp_lava.graph.names import hidden
from tp_lava.numbers import Format
from tp_lava.outcome import Outcome
from tp_lava.plots.activity import recorded
from tp_lava.plots.style import BLUE, COLOURS, GREY, PALE, VERMILION, array_of, drawing, finished, line_style, same_length, some
from tp_lava.quantisation import QuantisationReport

_AROUND = 12  # steps shown before and after the one in which two forms diverge


class RangeEntry(NamedTuple):
    """Use of a register: its name, the smallest and the largest mantissa in it, and its format, which may be written as "s24.14"."""

    name: str
    low: int
    high: int
    format: Format | str


@drawing
def quantisation(axes: Axes, report: QuantisationReport) -> Axes:
    """Agreement of each hidden layer with float: the share of spikes in both, and the share of (step, neuron) that are equal."""
    places = np.arange(len(report.layers))
    axes.barh(places - 0.2, [layer.agreement for layer in report.layers], 0.36, color=COLOURS["fixed"], label="spikes in both forms")
    axes.barh(places + 0.2, [layer.equal for layer in report.layers], 0.36, color=COLOURS["before"], label="steps that are equal")
    formats = {connection.name: f"{connection.bits} bits, 2^{connection.exponent}" for connection in report.connections}
    axes.set_yticks(places, [f"{layer.name}\n{formats[layer.name]}" for layer in report.layers])
    axes.invert_yaxis()
    accuracy = "" if report.accuracy is None else f", accuracy {report.accuracy[0]:.3f} → {report.accuracy[1]:.3f}"
    axes.legend(loc="lower left", framealpha=0.9, edgecolor="none")  # on the bars
    return finished(axes, xlabel="share", xlim=(0, 1.02), title=f"predictions agree on {report.agreement:.1%}{accuracy}", grid=True)


@drawing
def range_bars(axes: Axes, entries: Sequence[RangeEntry | tuple[str, int, int, Format | str]]) -> Axes:
    """Bits in use of each register: a pale bar as long as the register, and in it a bar as long as the bits that its values need.

    A value needs the bits of its magnitude and, in a signed register, its sign. Values that do not fit are drawn in another colour.
    entries: (name, low, high, format), low and high in mantissas.
    """
    rows = [RangeEntry(*entry) for entry in some("plots.range_bars", "entries", entries)]
    formats = [_format(entry) for entry in rows]
    largest = [max(abs(int(entry.low)), abs(int(entry.high))) for entry in rows]
    bits = [m.bit_length() + (f.signed or entry.low < 0) for m, f, entry in zip(largest, formats, rows, strict=True)]
    for place, (needed, format) in enumerate(zip(bits, formats, strict=True)):
        fits = needed <= format.bits
        axes.barh(place, format.bits, 0.62, color=PALE)
        axes.barh(place, needed, 0.34, color=BLUE if fits else VERMILION)
        spare = f"{format.bits - needed} spare" if fits else f"{needed - format.bits} too many"
        axes.annotate(f" {format}: {spare}", (max(needed, format.bits), place), va="center", fontsize="small")
    axes.set_yticks(range(len(rows)), [entry.name for entry in rows])
    widest = max(*bits, *(format.bits for format in formats))
    every = 8 if widest > 16 else 4
    ticks = range(0, widest + every, every)
    return finished(axes, xlabel="bits", xticks=ticks, xlim=(0, 1.35 * widest), ylim=(len(rows) - 0.4, -0.6))


def _format(entry: RangeEntry) -> Format:
    written = re.fullmatch(r"([su])(\d+)\.(-?\d+)", entry.format) if isinstance(entry.format, str) else None
    format = Format(int(written[2]), int(written[3]), written[1] == "s") if written else entry.format
    if not isinstance(format, Format) or not entry.low <= entry.high:
        found = f"({entry.low!r}, {entry.high!r}, {entry.format!r})"
        raise invalid("plots.range_bars", f"entry {entry.name!r}", found, "(low, high, Format) with low <= high", "give mantissas")
    return format


@drawing
def rounding(axes: Axes, values: np.ndarray, held: np.ndarray, name: str = "held") -> Axes:
    """Rounded numbers against the exact ones, both (n,); the grey line is no rounding error."""
    what = "plots.rounding"
    exact = array_of(what, "values", values, 1)
    rounded = same_length(what, "held", array_of(what, "held", held, 1), len(exact))
    axes.plot(exact, exact, color=GREY, linewidth=1, label="exact")
    axes.plot(exact, rounded, ".", markersize=3, color=COLOURS["fixed"], label=name)
    return finished(axes, xlabel="value", ylabel="value in fixed point", legend=True, grid=True)


@drawing
def divergence(axes: Axes, found: Divergence, a: Outcome, b: Outcome) -> Axes:
    """The membrane of the neuron where two forms of a network diverge, in both forms, around that step; a dot is a spike.

    found: from tpl.diverge, in a hidden layer; a, b: its sample in both forms, from infer(..., record=True).
    """
    what = "plots.divergence"
    names = [hidden(number) for number in range(len(recorded(what, a, "membranes")))]
    if not isinstance(found, Divergence) or found.layer not in names:
        seen = f"in the {found.layer}" if isinstance(found, Divergence) else repr(found)[:60]
        raise invalid(what, "found", seen, "a Divergence in a hidden layer", "compare other forms, or draw spikes_apart")
    layer = names.index(found.layer)
    length = min(len(recorded(what, outcome, "membranes")[layer]) for outcome in (a, b))
    if found.step >= length:
        limit = f"of sample {found.sample}, which diverges at step {found.step}"
        raise invalid(what, "outcomes", f"{length} steps long", limit, "record that sample")
    steps = np.arange(max(0, found.step - _AROUND), min(found.step + _AROUND, length - 1) + 1)
    for place, (name, outcome) in enumerate(zip(found.forms, (a, b), strict=True)):
        membranes, spikes = recorded(what, outcome, "membranes")[layer], recorded(what, outcome, "spikes")[layer]
        style = line_style(place)
        axes.plot(steps, membranes[steps, found.neuron], label=name, linewidth=1.5, alpha=0.9, **style)
        spiking = steps[spikes[steps, found.neuron]]
        axes.plot(spiking, membranes[spiking, found.neuron], "o", color=style["color"], markersize=5, fillstyle="full" if place else "none")
    if found.threshold:
        axes.axhline(found.threshold[0], color=GREY, linewidth=1, linestyle="--", label="threshold")
    axes.axvline(found.step, color=GREY, linewidth=6, alpha=0.3)
    title = f"{found.layer}, neuron {found.neuron}: diverges at step {found.step}"
    return finished(axes, xlabel="step", ylabel="membrane, end of the step", title=title, legend=True)


@drawing
def spikes_apart(axes: Axes, a: Outcome, b: Outcome) -> Axes:
    """The share of each layer's neurons whose spikes differ between two forms of a network, step by step.

    a, b: the same sample in both, from infer(..., record=True).
    """
    what = "plots.spikes_apart"
    first, second = recorded(what, a, "spikes"), recorded(what, b, "spikes")
    if [layer.shape for layer in first] != [layer.shape for layer in second]:
        found = f"{[layer.shape for layer in first]} and {[layer.shape for layer in second]}"
        raise invalid(what, "outcomes", found, "of the same sample and shape", "record one sample in both forms")
    for place, (one, other) in enumerate(zip(first, second, strict=True)):
        axes.plot(np.arange(len(one)), (one != other).mean(axis=1), label=hidden(place), linewidth=1.5, **line_style(place))
    return finished(axes, xlabel="step", ylabel="neurons that differ", ylim=(0, None), legend=True, grid=True)
