"""The way back: a Network as a chain of stages, from which other formats are written."""

from __future__ import annotations

from tp_lava.convert.stages import Convolution, Dense, Integrating, Pooling, Source, Spiking, Stage, refuse
from tp_lava.graph.network import Layer, Network


def stages_of(network: Network) -> Source:
    """Its stages; the label projection, which only learning needs, stays behind. Paths are the network's own names."""
    first = network.layers[0].connection
    stages: list[Stage] = []
    for number, layer in enumerate(network.layers):
        stages += [*_maps(network, number, layer), _neurons(network, number, layer)]
    stages.append(Dense("readout", network.weights["readout"], network.weights.get("readout_bias")))
    stages.append(Integrating("score", network.readout_decay))
    return Source("tp_lava", first.shape if first else (network.n_inputs,), stages)


def _maps(network: Network, number: int, layer: Layer) -> list[Stage]:
    name, weight, bias = f"hidden{number}", network.weights[f"hidden{number}"], _filtered_bias(network, number)
    spatial = layer.connection
    if spatial is None:
        return [Dense(name, weight, bias)]
    if bias is not None:
        channels = bias.reshape(spatial.channels, -1)
        if (channels != channels[:, :1]).any():
            raise refuse(name, "bias", "another one for each unit", "one per channel of a convolution", "use one per channel")
        bias = channels[:, 0]
    pools = [Pooling(f"{name}_pool{k}", p.kernel, p.stride, p.padding) for k, p in enumerate(spatial.pooling)]
    return [*pools, Convolution(name, weight, bias, spatial.stride, spatial.padding, spatial.dilation, spatial.groups)]


def _filtered_bias(network: Network, number: int):
    """The bias that is part of the input; that of the membrane is the neurons'."""
    return network.weights.get(f"bias{number}") if network.layers[number].neuron.bias_to == "current" else None


def _neurons(network: Network, number: int, layer: Layer) -> Spiking:
    neuron = layer.neuron
    offset = network.weights.get(f"bias{number}", 0.0) if neuron.bias_to == "membrane" else 0.0
    feedback = network.weights.get(f"recurrent{number}")
    dynamics = neuron.decay, neuron.threshold, neuron.current_decay, neuron.reset, neuron.reset_by, neuron.comparison
    return Spiking(f"neurons{number}", *dynamics, offset=offset, feedback=feedback, trace_decay=layer.trace_decay)
