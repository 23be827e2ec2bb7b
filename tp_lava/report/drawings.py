"""What drawings.svg.jinja draws of a network: its layers from the input down to the readout, in words and colours."""

from __future__ import annotations

from dataclasses import dataclass

from tp_lava.deploy.loihi2 import Mapping
from tp_lava.deploy.loihi2.demand import LayerDemand
from tp_lava.dynamics.parameters import in_words
from tp_lava.graph.names import READOUT
from tp_lava.graph.network import Layer, Network
from tp_lava.report.figures import COLOURS
from tp_lava.rules import BaseRule


@dataclass(frozen=True)
class Row:
    """into: lines beside the arrow from the row above; credit: of the layer, "" where it learns nothing."""

    name: str
    line: str
    into: tuple[str, ...] = ()
    colour: str = ""
    recurrent: bool = False
    credit: str = ""


@dataclass(frozen=True)
class Architecture:
    """label: what stands beside the input, where labels reach the first layer."""

    title: str
    rows: tuple[Row, ...]
    label: str

    @classmethod
    def of(cls, network: Network, rule: BaseRule | None, mapping: Mapping) -> Architecture:
        """From the input down to the readout; beside each layer that learns, its credit."""
        named = {population.name for population in network.populations}
        demands = [layer for layer in mapping.layers if layer.name in named]  # neurons, and not units that pool them
        layers = [_layer(layer, demand, rule, mapping) for layer, demand in zip(network.layers, demands, strict=True)]
        n_weights, has_readout = network.n_classes * network.layers[-1].size, READOUT in mapping.circuit.buffers
        into = _weights(n_weights, mapping.fixed.bits(READOUT)) if has_readout else "traces"
        readout = Row(READOUT if has_readout else "match", f"{network.n_classes:,} classes", (into,))
        labelled = any(connection.name == "target" for connection in mapping.layers[0].connections)
        label = f"{network.n_classes} units, {mapping.layers[0].compartments - 1} streams" if labelled else ""
        sizes = ", ".join(str(layer.size) for layer in network.layers)
        title = f"Architecture: {network.n_inputs} inputs, hidden layers of {sizes} neurons, {network.n_classes} classes"
        return cls(title, (Row("input", f"{network.n_inputs:,} units"), *layers, readout), label)


def colour_of(mapping: Mapping, layer: str) -> str:
    """The colour of a hidden layer, in every drawing."""
    return COLOURS[[demand.name for demand in mapping.layers].index(layer) % len(COLOURS)]


def _layer(layer: Layer, demand: LayerDemand, rule: BaseRule | None, mapping: Mapping) -> Row:
    (forward,) = (c for c in demand.connections if c.name == demand.name)
    count = forward.reach.synapses if forward.reach else forward.units * demand.neurons
    kernel = [" x ".join(map(str, layer.connection.kernel)) + " convolution"] if layer.connection else []
    streams = demand.compartments - 1
    credit = (f"{streams} target streams" if streams else rule.label) if demand.errors and rule else ""
    neurons = f"{layer.size:,} neurons, decay {in_words(layer.neuron.decay)}"
    return Row(demand.name, neurons, (*kernel, _weights(count, forward.bits)), colour_of(mapping, demand.name), layer.recurrent, credit)


def _weights(count: int, bits: int) -> str:
    return f"{count:,} synapses, {bits} bits"
