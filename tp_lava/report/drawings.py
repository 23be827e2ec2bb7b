"""Drawings of a network and of the chips it lies on, made by hand as SVG: narrow enough for a phone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tp_lava.deploy.loihi2 import Core, Mapping
from tp_lava.deploy.loihi2.demand import LayerDemand
from tp_lava.deploy.loihi2.mapping import Chip
from tp_lava.graph.network import Layer, Network
from tp_lava.report.svg import COLOURS, INK, MUTED, PALE, RULE, element, picture, text
from tp_lava.rules import TP, Rule

_WIDTH, _BOX, _GAP, _LEFT, _SIDE = 460.0, 54.0, 46.0, 34.0, 300.0  # of the drawing, its rows and its second column
_CELL, _COLUMNS = 34.0, 12  # of a core map
MOST_CHIPS = 8  # that are drawn; more are told


def colour_of(mapping: Mapping, layer: str) -> str:
    """Of a hidden layer, in every drawing."""
    return COLOURS[[demand.name for demand in mapping.layers].index(layer) % len(COLOURS)]


# The network --------------------------------------------------------------------------------------


def architecture(network: Network, rule: Rule | None, mapping: Mapping) -> str:
    """From the input down to the readout; beside each layer that learns, where its credit comes from."""
    rows = len(network.layers) + 2
    height = rows * _BOX + (rows - 1) * _GAP + 12
    parts = [_arrowhead(), *_row(0, "input", f"{network.n_inputs:,} units")]
    for number, layer in enumerate(network.layers):
        demand = mapping.layers[number]
        parts += _into(number, _synapses(demand, layer))
        parts += _row(number + 1, demand.name, _neurons(layer), colour_of(mapping, demand.name))
        if layer.recurrent:
            parts += _feedback(number + 1)
        if demand.errors:
            parts += _credit(number + 1, rule, demand)
    matches = "readout" not in mapping.circuit.buffers
    read = "traces" if matches else _weights(network.n_classes * network.layers[-1].size, mapping.fixed.bits("readout"))
    parts += _into(rows - 2, [read])
    parts += _row(rows - 1, "match" if matches else "readout", f"{network.n_classes:,} classes")
    if any(connection.name == "target" for connection in mapping.layers[0].connections):
        parts += _label(network, mapping.layers[0])
    label = f"Architecture: {network.n_inputs} inputs, hidden layers of {', '.join(str(layer.size) for layer in network.layers)} neurons, "
    return picture(_WIDTH, height, f"{label}{network.n_classes} classes", parts)


def _top(row: int) -> float:
    return 6 + row * (_BOX + _GAP)


def _row(row: int, name: str, told: str, colour: str = "") -> Iterator[str]:
    y = _top(row)
    yield element("rect", x=_LEFT, y=f"{y:g}", width=_SIDE - _LEFT - 40, height=f"{_BOX:g}", rx=6, fill="#fff", stroke=MUTED)
    if colour:
        yield element("rect", x=_LEFT, y=f"{y:g}", width=7, height=f"{_BOX:g}", rx=3, fill=colour)
    yield text(_LEFT + 18, y + 23, name, class_="name")
    yield text(_LEFT + 18, y + 41, told, class_="small")


def _into(row: int, lines: Sequence[str]) -> Iterator[str]:
    """The connection into the row below."""
    y = _top(row) + _BOX
    yield _line(_LEFT + 40, y, _LEFT + 40, y + _GAP)
    for number, line in enumerate(lines):
        yield text(_LEFT + 52, y + _GAP / 2 + 4 + 15 * (number - (len(lines) - 1) / 2), line, class_="small")


def _feedback(row: int) -> Iterator[str]:
    y = _top(row) + _BOX / 2
    path = f"M {_LEFT:g} {y + 10:g} C 4 {y + 10:g} 4 {y - 10:g} {_LEFT - 3:g} {y - 10:g}"
    yield element("path", d=path, fill="none", stroke=INK, marker_end="url(#architecture-arrow)")


def _credit(row: int, rule: Rule | None, demand: LayerDemand) -> Iterator[str]:
    y = _top(row)
    yield element("rect", x=_SIDE, y=f"{y:g}", width=_WIDTH - _SIDE - 6, height=f"{_BOX:g}", rx=6, fill=PALE, stroke=RULE)
    told = f"{demand.compartments - 1} target streams" if isinstance(rule, TP) else "fixed basis"
    yield text(_SIDE + 12, y + 23, "credit", class_="name")
    yield text(_SIDE + 12, y + 41, told, class_="small")
    yield _line(_SIDE - 40, y + 18, _SIDE, y + 18)
    yield _line(_SIDE, y + 38, _SIDE - 40, y + 38)


def _label(network: Network, demand: LayerDemand) -> Iterator[str]:
    y = _top(0)
    yield element("rect", x=_SIDE, y=f"{y:g}", width=_WIDTH - _SIDE - 6, height=f"{_BOX:g}", rx=6, fill="#fff", stroke=MUTED)
    yield text(_SIDE + 12, y + 23, "label", class_="name")
    yield text(_SIDE + 12, y + 41, f"{network.n_classes} units, {demand.compartments - 1} streams", class_="small")
    path = f"M {_SIDE:g} {y + _BOX / 2:g} H {_SIDE - 20:g} V {_top(1) + 8:g} H {_SIDE - 40:g}"
    yield element("path", d=path, fill="none", stroke=INK, marker_end="url(#architecture-arrow)")


def _line(x: float, y: float, to_x: float, to_y: float) -> str:
    ends = {"x1": f"{x:g}", "y1": f"{y:g}", "x2": f"{to_x:g}", "y2": f"{to_y:g}"}
    return element("line", **ends, stroke=INK, marker_end="url(#architecture-arrow)")


def _arrowhead() -> str:
    shape = {"viewBox": "0 0 8 8", "refX": 7, "refY": 4, "markerWidth": 7, "markerHeight": 7, "orient": "auto"}
    return element("marker", element("path", d="M 0 0 L 8 4 L 0 8 z", fill=INK), id="architecture-arrow", **shape)


def _synapses(demand: LayerDemand, layer: Layer) -> list[str]:
    (forward,) = (c for c in demand.connections if c.name == demand.name)
    count = len(forward.table.targets) if forward.table else forward.units * demand.neurons
    kernel = [" x ".join(map(str, layer.connection.kernel)) + " convolution"] if layer.connection else []
    return [*kernel, _weights(count, forward.bits)]


def _weights(count: int, bits: int) -> str:
    return f"{count:,} synapses, {bits} bits"


def _neurons(layer: Layer) -> str:
    return f"{layer.size:,} neurons, decay {layer.neuron.decay:g}"


# The chips ----------------------------------------------------------------------------------------


def core_map(mapping: Mapping, chip: Chip) -> str:
    """The cores of a chip as a grid; each in its layer's colour, as high as its memory is full."""
    count = mapping.limits.cores_per_chip.value
    first, held = chip.number * count, {core.number: core for core in chip.cores}
    parts = [part for place in range(count) for part in _core(mapping, place, held.get(first + place))]
    height = -(-count // _COLUMNS) * _CELL
    label = f"Chip {chip.number}: {len(chip.cores)} of {count} cores in use, by {', '.join(chip.layers)}"
    return picture(_COLUMNS * _CELL, height, label, parts, "cores")


def _core(mapping: Mapping, place: int, core: Core | None) -> Iterator[str]:
    x, y, side = place % _COLUMNS * _CELL + 2, place // _COLUMNS * _CELL + 2, _CELL - 4
    yield element("rect", x=f"{x:g}", y=f"{y:g}", width=f"{side:g}", height=f"{side:g}", rx=3, fill=PALE, stroke=RULE)
    if core is None:
        return
    full = min(1.0, max(used / maximum for used, maximum, _ in core.usage(mapping.limits).values()))
    high = max(2.0, full * side)
    told = element("title", f"core {core.number}: {core.layer}, neurons {core.first} to {core.last - 1}, {core.memory / 1024:.1f} KB")
    shape = {"x": f"{x:g}", "y": f"{y + side - high:.3g}", "width": f"{side:g}", "height": f"{high:.3g}", "rx": 3}
    over = {} if core.fits(mapping.limits) else {"stroke": INK, "stroke_width": 2.5}
    yield element("rect", told, **shape, fill=colour_of(mapping, core.layer), **over)


def shown_chips(mapping: Mapping) -> Sequence[Chip]:
    """Those that are drawn."""
    return mapping.chips[:MOST_CHIPS]
