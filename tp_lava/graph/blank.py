"""Blank networks: the chain of populations and connections that layers make, and the weights they start with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from tp_lava.graph import names
from tp_lava.graph.checking import check_memory
from tp_lava.graph.connections import AllToAll
from tp_lava.graph.elements import Connection, Layer, Population
from tp_lava.graph.sizes import check_classes


def chain(n_inputs: int, layers: Sequence[Layer], n_classes: int) -> tuple[tuple[Population, ...], tuple[Connection, ...]]:
    """Populations and connections of a chain of layers."""
    populations: list[Population] = []
    connections: list[Connection] = []
    below, n_below = names.INPUT, n_inputs
    for number, layer in enumerate(layers):
        name, shape = names.hidden(number), layer.connection.output_shape if layer.connection else (layer.size,)
        populations.append(Population(name, shape, layer.neuron, layer.trace_decay, names.bias(number), layer.pooling))
        n = populations[-1].output_size
        kind = layer.connection or AllToAll(layer.delays.n_seen if layer.delays else n_below, layer.size)
        connections.append(Connection(name, below, name, kind, delays=layer.delays))
        if layer.recurrent:
            connections.append(Connection(names.recurrent(number), name, name, AllToAll(n, layer.size), recurrent=True))
        below, n_below = name, n
    check_classes(n_classes)
    connections.append(Connection(names.READOUT, below, names.READOUT, AllToAll(n_below, n_classes)))
    return tuple(populations), tuple(connections)


def draw_weights(
    connections: Sequence[Connection], seed: int, reserved: int, gains: Mapping[str, float] = MappingProxyType({})
) -> tuple[dict[str, np.ndarray], int]:
    """Uniform weights in +-gain / sqrt(fan-in), the readout's last, and how many numbers those of the hidden populations took.

    reserved: numbers left out before the readout's, from which a rule draws parameters of its own.
    """
    check_memory(connections)
    weights: dict[str, np.ndarray] = {}
    rng, drawn = np.random.default_rng(seed), 0
    for connection in connections:
        gain = gains.get(connection.name, 1.0)
        bound = gain / np.sqrt(connection.kind.fan_in)
        if connection.post == names.READOUT:
            drawn = sum(array.size for array in weights.values())
            rng.bit_generator.advance(reserved)  # type: ignore[attr-defined] # of PCG64: one state for each number
        weights[connection.name] = rng.uniform(-bound, bound, connection.kind.weight_shape).astype(np.float32)
    return weights, drawn
