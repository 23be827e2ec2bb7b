"""Drawings of a network and of the chips it is placed on, as SVG narrow enough for a phone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tp_lava.deploy.loihi2 import Core, Mapping
from tp_lava.deploy.loihi2.demand import LayerDemand
from tp_lava.deploy.loihi2.mapping import Chip
from tp_lava.dynamics.parameters import in_words
from tp_lava.graph.names import READOUT
from tp_lava.graph.network import Layer, Network
from tp_lava.report.svg import COLOURS, INK, MUTED, PALE, RULE, element, picture, text
from tp_lava.rules import BaseRule

_WIDTH, _BOX, _GAP, _LEFT, _SIDE = 460.0, 54.0, 46.0, 34.0, 300.0  # of the drawing, its rows and its second column
_CELL, _COLUMNS = 34.0, 12  # of a core map
_MOST_CHIPS = 8  # that are drawn


def colour_of(mapping: Mapping, layer: str) -> str:
    """The colour of a hidden layer, in every drawing."""
    return COLOURS[[demand.name for demand in mapping.layers].index(layer) % len(COLOURS)]


# The network --------------------------------------------------------------------------------------


def architecture(network: Network, rule: BaseRule | None, mapping: Mapping) -> str:
    """From the input down to the readout; beside each layer that learns, its credit."""
    last = len(network.layers) + 1
    parts = [_arrowhead(), *_row(0, "input", f"{network.n_inputs:,} units")]
    for number, (layer, demand) in enumerate(zip(network.layers, _of_neurons(network, mapping), strict=True)):
        parts += _into(number, _synapses(demand, layer))
        neurons = f"{layer.size:,} neurons, decay {in_words(layer.neuron.decay)}"
        parts += _row(number + 1, demand.name, neurons, colour_of(mapping, demand.name))
        if layer.recurrent:
            parts += _feedback(number + 1)
        if demand.errors and rule:
            parts += _credit(number + 1, rule, demand)
    has_readout = READOUT in mapping.circuit.buffers
    n_weights = network.n_classes * network.layers[-1].size
    parts += _into(last - 1, [_weights(n_weights, mapping.fixed.bits(READOUT)) if has_readout else "traces"])
    parts += _row(last, READOUT if has_readout else "match", f"{network.n_classes:,} classes")
    if any(connection.name == "target" for connection in mapping.layers[0].connections):
        parts += _label(network, mapping.layers[0])
    sizes = ", ".join(str(layer.size) for layer in network.layers)
    title = f"Architecture: {network.n_inputs} inputs, hidden layers of {sizes} neurons, {network.n_classes} classes"
    return picture(_WIDTH, _top(last) + _BOX + 6, title, parts)


def _of_neurons(network: Network, mapping: Mapping) -> list[LayerDemand]:
    """The layers that are neurons, and not units that pool them."""
    named = {population.name for population in network.populations}
    return [layer for layer in mapping.layers if layer.name in named]


def _top(row: int) -> float:
    return 6 + row * (_BOX + _GAP)


def _box(x: float, y: float, width: float, name: str, line: str, colours: tuple[str, str] = ("#fff", MUTED)) -> Iterator[str]:
    """A box with its name and a line of text. colours: fill, stroke."""
    fill, stroke = colours
    yield element("rect", x=x, y=f"{y:g}", width=width, height=f"{_BOX:g}", rx=6, fill=fill, stroke=stroke)
    yield text(x + 18, y + 23, name, class_="name")
    yield text(x + 18, y + 41, line, class_="small")


def _row(row: int, name: str, line: str, colour: str = "") -> Iterator[str]:
    yield from _box(_LEFT, _top(row), _SIDE - _LEFT - 40, name, line)
    if colour:
        yield element("rect", x=_LEFT, y=f"{_top(row):g}", width=7, height=f"{_BOX:g}", rx=3, fill=colour)


def _into(row: int, lines: Sequence[str]) -> Iterator[str]:
    """The connection into the row below."""
    y = _top(row) + _BOX
    yield _line(_LEFT + 40, y, _LEFT + 40, y + _GAP)
    for number, line in enumerate(lines):
        yield text(_LEFT + 52, y + _GAP / 2 + 4 + 15 * (number - (len(lines) - 1) / 2), line, class_="small")


def _feedback(row: int) -> Iterator[str]:
    y = _top(row) + _BOX / 2
    yield _path(f"M {_LEFT:g} {y + 10:g} C 4 {y + 10:g} 4 {y - 10:g} {_LEFT - 3:g} {y - 10:g}")


def _credit(row: int, rule: BaseRule, demand: LayerDemand) -> Iterator[str]:
    y, streams = _top(row), demand.compartments - 1
    yield from _box(_SIDE, y, _WIDTH - _SIDE - 6, "credit", f"{streams} target streams" if streams else rule.label, (PALE, RULE))
    yield _line(_SIDE - 40, y + 18, _SIDE, y + 18)
    yield _line(_SIDE, y + 38, _SIDE - 40, y + 38)


def _label(network: Network, demand: LayerDemand) -> Iterator[str]:
    y = _top(0)
    yield from _box(_SIDE, y, _WIDTH - _SIDE - 6, "label", f"{network.n_classes} units, {demand.compartments - 1} streams")
    yield _path(f"M {_SIDE:g} {y + _BOX / 2:g} H {_SIDE - 20:g} V {_top(1) + 8:g} H {_SIDE - 40:g}")


def _path(d: str) -> str:
    return element("path", d=d, fill="none", stroke=INK, marker_end="url(#architecture-arrow)")


def _line(x: float, y: float, to_x: float, to_y: float) -> str:
    ends = {"x1": f"{x:g}", "y1": f"{y:g}", "x2": f"{to_x:g}", "y2": f"{to_y:g}"}
    return element("line", **ends, stroke=INK, marker_end="url(#architecture-arrow)")


def _arrowhead() -> str:
    shape = {"viewBox": "0 0 8 8", "refX": 7, "refY": 4, "markerWidth": 7, "markerHeight": 7, "orient": "auto"}
    return element("marker", element("path", d="M 0 0 L 8 4 L 0 8 z", fill=INK), id="architecture-arrow", **shape)


def _synapses(demand: LayerDemand, layer: Layer) -> list[str]:
    (forward,) = (c for c in demand.connections if c.name == demand.name)
    count = forward.reach.synapses if forward.reach else forward.units * demand.neurons
    kernel = [" x ".join(map(str, layer.connection.kernel)) + " convolution"] if layer.connection else []
    return [*kernel, _weights(count, forward.bits)]


def _weights(count: int, bits: int) -> str:
    return f"{count:,} synapses, {bits} bits"


# The chips ----------------------------------------------------------------------------------------


def core_map(mapping: Mapping, chip: Chip) -> str:
    """The cores of a chip as a grid, each in its layer's colour and filled as high as its fullest resource."""
    count = mapping.limits.cores_per_chip.value
    first, cores = chip.number * count, {core.number: core for core in chip.cores}
    parts = [part for place in range(count) for part in _core(mapping, place, cores.get(first + place))]
    title = f"Chip {chip.number}: {len(chip.cores)} of {count} cores in use, by {', '.join(chip.layers)}"
    return picture(_COLUMNS * _CELL, -(-count // _COLUMNS) * _CELL, title, parts, "cores")


def _core(mapping: Mapping, place: int, core: Core | None) -> Iterator[str]:
    x, y, side = place % _COLUMNS * _CELL + 2, place // _COLUMNS * _CELL + 2, _CELL - 4
    yield element("rect", x=f"{x:g}", y=f"{y:g}", width=f"{side:g}", height=f"{side:g}", rx=3, fill=PALE, stroke=RULE)
    if core is None:
        return
    full = min(1.0, max(used / maximum for used, maximum, _ in core.usage(mapping.limits).values()))
    height = max(2.0, full * side)
    title = element("title", f"core {core.number}: {core.layer}, neurons {core.first} to {core.last - 1}, {core.memory / 1024:.1f} KB")
    shape = {"x": f"{x:g}", "y": f"{y + side - height:.3g}", "width": f"{side:g}", "height": f"{height:.3g}", "rx": 3}
    over = {} if core.fits(mapping.limits) else {"stroke": INK, "stroke_width": 2.5}
    yield element("rect", title, **shape, fill=colour_of(mapping, core.layer), **over)


def shown_chips(mapping: Mapping) -> Sequence[Chip]:
    """The chips that are drawn."""
    return mapping.chips[:_MOST_CHIPS]
