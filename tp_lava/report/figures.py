"""Pictures as inline SVG, and figures of a report that `tp_lava.plots` does not have, each drawn on a matplotlib Axes.

Text stays text, identifiers are unique on the page, and the same picture gives the same bytes every time.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tp_lava.deploy.loihi2 import Counts, Estimate, Remembered
from tp_lava.plots.style import SERIES

INK, MUTED, RULE, PALE = "#1c2733", "#55616d", "#c9d1d8", "#eef2f5"
COLOURS = SERIES[:-1]  # without black
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": INK,
    "legend.frameon": False,
}


def drawn(name: str, label: str, draw: Callable[[Axes], object], size: tuple[float, float] = (5.4, 2.8)) -> str:
    """A matplotlib picture as an <svg> element. name: unique on the page; label: text for screen readers; size: inches."""
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.subplots())
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", text)
    width, height = (f"{inches * 72:g}" for inches in size)
    opening = f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}"'
    return re.sub(r"<svg[^>]*>", f'{opening} xmlns:xlink="http://www.w3.org/1999/xlink">', text, count=1).strip()


_OPERATIONS = (("synaptic", "sample's path"), ("rule_synaptic", "target streams"), ("updates", "plastic updates"))


def operations(axes: Axes, counts: Counts) -> None:
    """Operations per sample, by layer, mean over the samples."""
    names = [layer.name for layer in counts.samples[0].layers]
    left = np.zeros(len(names))
    for (attr, label), colour in zip(_OPERATIONS, COLOURS, strict=False):
        values = np.array([counts.of_layer(number, attr) for number in range(len(names))])
        if values.any():
            axes.barh(names, values, 0.62, left=left, color=colour, label=label)
            left += values
    axes.invert_yaxis()
    axes.set(xlabel="operations per sample, mean")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, 1.3 if len(names) == 1 else 1.2), ncols=3)


def energy(axes: Axes, estimate: Estimate) -> None:
    """The parts of an energy estimate, each as a bar from low to high."""
    lines = [line for line in estimate.energy if line.high > 0]
    for place, line in enumerate(lines):
        axes.plot([line.low, line.high], [place, place], color=COLOURS[0], linewidth=7, solid_capstyle="butt")
        if line.low == line.high:  # a bar of no length
            axes.plot(line.low, place, "|", color=COLOURS[0], markersize=10, markeredgewidth=3)
    axes.set_yticks(range(len(lines)), [line.name.split(",")[0] for line in lines])
    axes.set(xscale="log", xlabel="µJ per sample, low to high: an estimate", ylim=(len(lines) - 0.4, -0.6))
    axes.grid(axis="x", color=RULE, linewidth=0.6)


def memory(axes: Axes, rows: Sequence[Remembered]) -> None:
    """Numbers stored to learn one sample, all hidden layers."""
    totals = [row.total for row in rows]
    axes.barh([row.name for row in rows], totals, 0.62, color=[COLOURS[1] if row.yours else COLOURS[0] for row in rows])
    for place, total in enumerate(totals):
        axes.annotate(f"{total:,}", (total, place), (4, 0), textcoords="offset points", va="center", color=MUTED)
    axes.invert_yaxis()
    axes.set(xlabel="numbers stored", xlim=(0, max(totals) * 1.2))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter("{x:,.0f}")


def weights(axes: Axes, real: np.ndarray, held: np.ndarray) -> None:
    """Distribution of a connection's weights in float and in fixed point."""
    largest = float(max(np.abs(real).max(initial=0), np.abs(held).max(initial=0))) or 1.0
    edges = np.linspace(-largest, largest, 42).tolist()
    axes.hist(real.ravel(), edges, color=COLOURS[5], label="float")
    axes.hist(held.ravel(), edges, histtype="step", color=COLOURS[1], linewidth=1.2, label="fixed point")
    axes.set(xlabel="weight", ylabel="synapses", yscale="log", ylim=(0.7, None))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
