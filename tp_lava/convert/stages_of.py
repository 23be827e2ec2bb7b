"""The reverse of `assemble`: a Network as a chain of stages, from which other formats are written."""

from __future__ import annotations

import numpy as np

from tp_lava.convert.stages import Convolution, Dense, Integrating, Map, Pooling, Source, Spiking, Stage
from tp_lava.convert.values import refuse
from tp_lava.graph.names import READOUT, READOUT_BIAS, bias, hidden, recurrent
from tp_lava.network import Layer, Network


def stages_of(network: Network) -> Source:
    """Its stages, without the label projection, which only learning needs. Paths are the network's own names."""
    first = network.layers[0].connection
    stages: list[Stage] = []
    for number, layer in enumerate(network.layers):
        stages += [*_maps(network, number, layer), _neurons(network, number, layer)]
    stages.append(Dense(READOUT, network.weights[READOUT], network.weights.get(READOUT_BIAS)))
    stages.append(Integrating("score", network.readout_decay))
    return Source("tp_lava", first.shape if first else (network.n_inputs,), stages)


def _maps(network: Network, number: int, layer: Layer) -> list[Map]:
    name, spatial = hidden(number), layer.connection
    biases = network.weights.get(bias(number)) if layer.neuron.bias_to == "current" else None  # else the neurons' offset
    if spatial is None:
        return [Dense(name, network.weights[name], biases)]
    if biases is not None:
        channels = biases.reshape(spatial.channels, -1)
        if np.ptp(channels, axis=1).any():
            raise refuse(name, "bias", "another one for each unit", "one per channel of a convolution", "use one per channel")
        biases = channels[:, 0]
    pools = [Pooling(f"{name}_pool{k}", p.kernel, p.stride, p.padding) for k, p in enumerate(spatial.pooling)]
    options = spatial.stride, spatial.padding, spatial.dilation, spatial.groups
    return [*pools, Convolution(name, network.weights[name], biases, *options)]


def _neurons(network: Network, number: int, layer: Layer) -> Spiking:
    neuron = layer.neuron
    return Spiking(
        f"neurons{number}",
        neuron.decay,
        neuron.threshold,
        neuron.current_decay,
        neuron.reset,
        neuron.reset_by,
        neuron.comparison,
        offset=network.weights.get(bias(number), 0.0) if neuron.bias_to == "membrane" else 0.0,
        feedback=network.weights.get(recurrent(number)),
        trace_decay=layer.trace_decay,
    )
