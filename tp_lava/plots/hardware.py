"""A network as a drawing of populations and connections, and its placement on the cores of a chip."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Rectangle

from tp_lava.errors import invalid
from tp_lava.graph.names import READOUT, hidden
from tp_lava.graph.network import Network
from tp_lava.plots.style import GREY, INK, OTHERS, PALE, SERIES, VERMILION, drawing, finished, some

_UNITS = 9  # most circles drawn for a population


class CoreEntry(NamedTuple):
    """Use of a core: its name, the layers on it, and for each resource (used, maximum, ...); further entries are ignored."""

    name: str
    layers: Sequence[str]
    resources: Mapping[str, tuple[Any, ...]]


@drawing
def core_map(axes: Axes, cores: Sequence[CoreEntry | tuple], columns: int | None = None) -> Axes:
    """Cores as a grid of squares in the colour of their first layer; in each, a bar per resource, as long as the share in use.

    cores: (name, layers, {resource: (used, maximum, ...)}), row by row; a share above 1 is drawn in another colour.
    """
    entries = [CoreEntry(*core) for core in some("plots.core_map", "cores", cores)]
    width = columns or math.ceil(math.sqrt(len(entries)))
    named = list(dict.fromkeys(layer for entry in entries for layer in entry.layers))
    colours = {layer: OTHERS[place % len(OTHERS)] for place, layer in enumerate(named)}
    for place, entry in enumerate(entries):
        _core(axes, place % width, place // width, entry, colours)
    for layer, colour in colours.items():
        axes.plot([], [], "s", color=colour, alpha=0.5, label=layer)
    axes.spines[:].set_visible(False)
    if named:
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    rows = math.ceil(len(entries) / width)
    return finished(axes, xlim=(-0.05, width), ylim=(rows, -0.05), aspect="equal", xticks=[], yticks=[])


def _core(axes: Axes, x: int, y: int, entry: CoreEntry, colours: Mapping[str, str]) -> None:
    colour = colours[entry.layers[0]] if entry.layers else PALE
    axes.add_patch(Rectangle((x, y), 0.95, 0.95, facecolor=colour, alpha=0.18, edgecolor="none"))
    axes.add_patch(Rectangle((x, y), 0.95, 0.95, fill=False, edgecolor=colour if entry.layers else GREY, linewidth=1))
    axes.text(x + 0.05, y + 0.05, entry.name, fontsize="x-small", va="top", color=INK)
    height = 0.7 / max(1, len(entry.resources))
    for place, (resource, (used, maximum, *_)) in enumerate(entry.resources.items()):
        if not maximum > 0 or used < 0:
            attr, found, limit = f"{resource} of {entry.name}", f"({used!r}, {maximum!r})", "(used >= 0, maximum > 0)"
            raise invalid("plots.core_map", attr, found, limit, "leave out resources that the core lacks")
        share, top = used / maximum, y + 0.22 + place * height
        axes.add_patch(Rectangle((x + 0.06, top), 0.83, 0.8 * height, facecolor=PALE, edgecolor="none"))
        full = Rectangle((x + 0.06, top), 0.83 * min(share, 1.0), 0.8 * height, edgecolor="none", gid=f"{entry.name}/{resource}")
        full.set(facecolor=VERMILION if share > 1 else colour, alpha=0.55)  # so that the text on it can be read
        axes.add_patch(full)
        axes.text(x + 0.09, top + 0.4 * height, f"{resource} {share:.0%}", fontsize="xx-small", va="center", color=INK)


@drawing
def network(axes: Axes, network: Network) -> Axes:
    """A network from its inputs to its classes: populations as columns of circles, connections with their sizes.

    A loop is a recurrent connection; the dashed arrow is the label projection, through which TP's target streams enter the first layer.
    """
    if not isinstance(network, Network):
        raise invalid("plots.network", "network", repr(network)[:60], "a Network", "use learner.network or module.network()")
    names = ["inputs", *map(hidden, range(len(network.layers))), READOUT]
    for place, (name, size) in enumerate(zip(names, network.sizes, strict=True)):
        _population(axes, place, name, size, SERIES[place % len(SERIES)])
        if place:
            _connection(axes, place, name, network)
    _arrow(axes, (len(names) - 1.0, -0.95), (1.0, -0.95), "arc3,rad=-0.12", linestyle="--")
    axes.text(len(names) / 2, -1.25, f"labels, target {network.sizes[1]} x {network.n_classes}", ha="center", va="top", fontsize="small")
    axes.spines[:].set_visible(False)
    return finished(axes, xlim=(-0.45, len(names) - 0.55), ylim=(-1.5, 1.15), xticks=[], yticks=[])


def _population(axes: Axes, x: float, name: str, size: int, colour: str) -> None:
    shown = min(size, _UNITS)
    heights = np.linspace(-0.55, 0.55, shown) if shown > 1 else np.zeros(1)
    axes.plot(np.full(shown, x), heights, "o", color=colour, markersize=7, label=name)
    if size > shown:
        axes.plot(x, heights[shown // 2], "o", color="white", markersize=9)
        axes.text(x, heights[shown // 2], "⋮", ha="center", va="center")
    axes.text(x, 0.75, f"{name}\n{size:,}", ha="center", va="bottom", fontsize="small")


def _connection(axes: Axes, place: int, name: str, network: Network) -> None:
    _arrow(axes, (place - 0.88, 0.0), (place - 0.12, 0.0))
    axes.text(place - 0.5, 0.06, " x ".join(map(str, network.shapes[name])), ha="center", va="bottom", fontsize="x-small")
    if name != READOUT and network.layers[place - 1].recurrent:
        _arrow(axes, (place + 0.12, -0.62), (place - 0.12, -0.62), "arc3,rad=-1.4")


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], curve: str = "arc3", linestyle: str = "-") -> None:
    arrow = FancyArrowPatch(start, end, connectionstyle=curve, arrowstyle="-|>", mutation_scale=12, color=GREY, linestyle=linestyle)
    axes.add_patch(arrow)
