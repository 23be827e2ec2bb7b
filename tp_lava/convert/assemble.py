"""From a chain of stages to a Network (maps become connections, neuron parameters one number a layer or a neuron), and back."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from tp_lava.convert.delays import Delaying, stage_of_delays
from tp_lava.convert.graphs import GraphAssembly, graph_stages_of
from tp_lava.convert.joins import Join, Scaled
from tp_lava.convert.maps import Connection, combined, leading_poolings
from tp_lava.convert.populations import biases_of, by_channel, feedback_of, flat, lif_of, one_number, trace_decay_of, units_of
from tp_lava.convert.stages import Convolution, Delayed, Dense, Integrating, Map, Pooling, Source, Spiking, Stage, stage_of
from tp_lava.convert.values import refuse
from tp_lava.dynamics.parameters import is_per_neuron
from tp_lava.errors import invalid
from tp_lava.graph.delays import AnyDelays
from tp_lava.graph.names import READOUT, READOUT_BIAS, bias, hidden, recurrent
from tp_lava.graph.network import Layer, Network
from tp_lava.graph.pooling import pooled
from tp_lava.numbers import Format, seed_key
from tp_lava.provenance import Provenance


def assemble(source: Source, trace_decay: float | None = None, seed: int = 0, input_format: Format | None = None) -> Network:
    """The network of a source. trace_decay: of all hidden layers, instead of their membranes' own; seed: of the label
    projection, which no source has; input_format: of graded input, None: the input spikes. Its provenance says what became of
    each parameter. Raises InvalidValueError.
    """
    if input_format is not None and not isinstance(input_format, Format):
        raise invalid("convert", "input_format", repr(input_format)[:60], "a Format, or None", "use for example tpl.Format(9, 8)")
    if source.below:
        return GraphAssembly(source, trace_decay).network(seed, input_format)
    assembly = _Assembly(source, trace_decay)
    for stage in source.stages:
        assembly.add(stage)
    return assembly.network(seed, input_format)


def stages_of(network: Network) -> Source:
    """The stages of a network, without the label projection, which only learning needs. Paths are the network's own names."""
    network = network.folded()
    if not network.is_chain:
        return graph_stages_of(network)
    first = network.layers[0].connection
    stages: list[Stage] = []
    for number, layer in enumerate(network.layers):
        stages += stage_of_delays(hidden(number), layer.delays)
        stages += [*_maps_of(network, number, layer), _neurons_of(network, number, layer)]
        stages += [Pooling.of(f"neurons{number}_pool{k}", pool) for k, pool in enumerate(layer.pooling)]
    stages += stage_of_delays(READOUT, network.readout.delays)
    stages.append(Dense(READOUT, network.weights[READOUT], network.weights.get(READOUT_BIAS)))
    stages.append(Integrating("score", network.readout_decay))
    return Source("tp_lava", first.shape if first else (network.n_inputs,), stages)


def _maps_of(network: Network, number: int, layer: Layer) -> list[Map]:
    name, spatial = hidden(number), layer.connection
    biases = network.weights.get(bias(number)) if layer.neuron.bias_to == "current" else None  # else the neurons' offset
    if spatial is None:
        return [Dense(name, network.weights[name], biases)]
    if biases is not None:
        channels = biases.reshape(spatial.channels, -1)
        if np.ptp(channels, axis=1).any():
            raise refuse(name, "bias", "another one for each unit", "one per channel of a convolution", "use one per channel")
        biases = channels[:, 0]
    pools = [Pooling.of(f"{name}_pool{k}", pool) for k, pool in enumerate(spatial.pooling)]
    options = spatial.stride, spatial.padding, spatial.dilation, spatial.groups
    return [*pools, Convolution(name, network.weights[name], biases, *options)]


def _neurons_of(network: Network, number: int, layer: Layer) -> Spiking:
    spatial = layer.connection
    offset = network.weights.get(bias(number), 0.0) if layer.neuron.bias_to == "membrane" else 0.0
    feedback = network.weights.get(recurrent(number))
    if feedback is not None and network.connection(recurrent(number)).delays:
        raise refuse(recurrent(number), "delays", "given", "none of a recurrent connection", "keep it in a .tplava file")
    if feedback is not None and layer.pooling:
        remedy = "give the pooling to the connection of the next layer"
        raise refuse(recurrent(number), "feedback", "of pooled spikes", "of the spikes themselves", remedy)
    if layer.pooling and spatial and is_per_neuron(layer.trace_decay) and np.size(layer.trace_decay) != spatial.channels:
        raise refuse(f"neurons{number}", "trace_decay", "one for each pooled unit", "one a channel", "give one a channel")
    return stage_of(f"neurons{number}", layer.neuron, offset=offset, feedback=feedback, trace_decay=layer.trace_decay)


class _Assembly:
    """A network under construction. shape: of the last stage's output; shape_below: of the last population."""

    def __init__(self, source: Source, trace_decay: float | None) -> None:
        self.source, self.trace_decay = source, trace_decay
        self.shape = self.shape_below = tuple(source.input_shape)
        self.maps: list[Map] = []  # since the last population
        self.delays = Delaying()  # since then too
        self.readout: Integrating | None = None
        self.last_delays: AnyDelays | None = None  # of the readout
        self.layers: list[Layer] = []
        self.weights: dict[str, np.ndarray] = {}

    def add(self, stage: Stage) -> None:
        """Append a stage; layers are made at their neurons."""
        if self.readout is not None:
            remedy = "only the readout integrates without spikes"
            raise refuse(self.readout.path, "position", "before other stages", "the last", remedy)
        assert not isinstance(stage, Join | Scaled), "a chain has none"
        checked, self.shape = stage.checked(self.shape)
        if isinstance(checked, Spiking):
            self._add_layer(checked)
        elif isinstance(checked, Integrating):
            self.readout = checked
        elif isinstance(checked, Delayed):
            self.delays.add(checked, self.maps)
        else:
            self.maps.append(checked)

    def _add_layer(self, spiking: Spiking) -> None:
        number, source = len(self.layers), self.source
        if not self.maps:
            source.record(spiking.path, "weight", "added", "each unit reaches its own neuron")
        connection = self._connection()
        factor, of_weights, threshold = units_of(source, spiking, connection)
        self.weights[hidden(number)] = connection.times(of_weights)
        biases, is_filtered = biases_of(spiking, connection, factor)
        if np.any(biases):
            self.weights[bias(number)] = biases
        if spiking.feedback is not None:
            self.weights[recurrent(number)] = feedback_of(spiking, factor)
        lif = lif_of(spiking, connection, factor, threshold, spiking.bias_to or ("current" if is_filtered else "membrane"))
        trace_decay = trace_decay_of(self.trace_decay, spiking, lif, connection)
        delays, fed_back = self._delays(connection), spiking.feedback is not None
        self.layers.append(Layer(len(factor), lif, trace_decay, fed_back, connection.spatial, delays=delays))
        self.shape_below, self.maps, self.delays = connection.shape, [], Delaying()

    def _delays(self, connection: Connection) -> AnyDelays | None:
        """Of the connection of the maps since the last population."""
        below = self.layers[-1].pooling if self.layers else ()
        shape = pooled(below, self.shape_below) if below else self.shape_below
        return self.delays.of(connection, math.prod(shape), len(leading_poolings(self.maps)[0]))

    def _connection(self) -> Connection:
        """The connection of the maps since the last population. Poolings right behind neurons become those of their population,
        so that what learns has traces of pooled spikes; those of neurons that feed their spikes back stay in the connection.
        """
        poolings, maps = leading_poolings(self.maps)
        below = self.layers[-1] if self.layers else None
        if below is None or below.connection is None or below.recurrent or not poolings:
            return combined(self.source, self.maps, self.shape_below)
        factor, pools = 1.0, []
        for pooling in poolings:
            pool, scale = pooling.as_population()
            pools.append(pool)
            factor *= scale
        self.layers[-1] = replace(below, pooling=tuple(pools), trace_decay=by_channel(below.trace_decay, self.shape_below))
        connection = combined(self.source, maps, pooled(pools, self.shape_below))
        return replace(connection, weight=connection.weight * factor)

    def network(self, seed: int, input_format: Format | None = None) -> Network:
        """The network of all stages."""
        source = self.source
        path = source.stages[-1].path if source.stages else source.format
        if not self.layers:
            raise refuse(path, "neurons", "none", "at least one layer of spiking neurons", "declare a neuron for each hidden layer")
        decay = self._add_readout(path)
        if len(self.weights[READOUT]) == 1:
            self._add_silent_class(path)
        n_classes = len(self.weights[READOUT])
        seed_key(seed)
        source.record("label projection", "weight", "added", f"TP draws it from seed {seed}")
        provenance = Provenance(source.format, tuple(source.records), source.fixed)
        n_inputs = math.prod(source.input_shape)
        origin = {"seed": seed, "input_format": input_format}
        network = Network.of_layers(n_inputs, tuple(self.layers), n_classes, self.weights, decay, provenance, **origin)
        if self.last_delays is None:
            return network
        return replace(network, connections=(*network.connections[:-1], replace(network.readout, delays=self.last_delays)))

    def _add_silent_class(self, path: str) -> None:
        """A network that computes one number, such as a steering angle, has it as the score of class 0."""
        self.weights[READOUT] = np.pad(self.weights[READOUT], ((0, 1), (0, 0)))
        if READOUT_BIAS in self.weights:
            self.weights[READOUT_BIAS] = np.pad(self.weights[READOUT_BIAS], (0, 1))
        self.source.record(path, "class 1", "added", "without weights, for networks have two classes or more; class 0 is the output")

    def _add_readout(self, path: str) -> float:
        """Add its weights. -> its decay."""
        if not self.maps and not self.readout:
            self.weights[READOUT] = np.eye(self.layers[-1].size, dtype=np.float32)
            size = np.eye(self.layers[-1].size)
            self.last_delays = self._delays(Connection(size, size[0], (len(size),)))
            self.source.record(path, "readout", "added", "the spikes of each output neuron are counted")
            return 1.0
        connection = self._connection().dense(self.source, path)
        self.last_delays = self._delays(connection)
        weight, biases, decay = connection.weight, connection.bias, 1.0
        if self.readout is None:
            self.source.record(path, "readout", "added", "the outputs are summed over the steps of a sample")
        else:
            gain, offset = (flat(self.readout, name, connection.shape) for name in ("gain", "offset"))
            weight, biases = weight * gain[:, np.newaxis], biases * gain + offset
            decay = one_number(self.readout, "decay")
        self.weights[READOUT] = np.asarray(weight, np.float32)
        if np.any(biases):
            self.weights[READOUT_BIAS] = np.asarray(biases, np.float32)
        return decay
