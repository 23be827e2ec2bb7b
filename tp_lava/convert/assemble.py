"""From a chain of stages to a Network (maps become connections, neuron parameters one number a layer or a neuron), and back."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from tp_lava.convert.delays import Delaying, stage_of_delays
from tp_lava.convert.maps import Connection, combined, leading_poolings
from tp_lava.convert.stages import Convolution, Delayed, Dense, Integrating, Map, Neurons, Pooling, Source, Spiking, Stage, stage_of
from tp_lava.convert.values import Shape, extent, per_unit, refuse
from tp_lava.dynamics.neuron import LIF
from tp_lava.dynamics.parameters import Parameter, is_per_neuron
from tp_lava.errors import invalid
from tp_lava.graph.delays import AnyDelays
from tp_lava.graph.names import READOUT, READOUT_BIAS, bias, hidden, recurrent
from tp_lava.graph.network import Layer, Network
from tp_lava.graph.pooling import pooled
from tp_lava.numbers import Format, seed_key
from tp_lava.provenance import Provenance

_TRACE_DECAY = 0.98  # where the membrane's decay suits no trace


def assemble(source: Source, trace_decay: float | None = None, seed: int = 0, input_format: Format | None = None) -> Network:
    """The network of a source. trace_decay: of all hidden layers, instead of their membranes' own; seed: of the label
    projection, which no source has; input_format: of graded input, None: the input spikes. Its provenance says what became of
    each parameter. Raises InvalidValueError.
    """
    if input_format is not None and not isinstance(input_format, Format):
        raise invalid("convert", "input_format", repr(input_format)[:60], "a Format, or None", "use for example tpl.Format(9, 8)")
    assembly = _Assembly(source, trace_decay)
    for stage in source.stages:
        assembly.add(stage)
    return assembly.network(seed, input_format)


def stages_of(network: Network) -> Source:
    """The stages of a network, without the label projection, which only learning needs. Paths are the network's own names."""
    network = network.folded()
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
        factor, of_weights, threshold = _units(source, spiking, connection)
        self.weights[hidden(number)] = connection.times(of_weights)
        biases, is_filtered = _biases(spiking, connection, factor)
        if np.any(biases):
            self.weights[bias(number)] = biases
        if spiking.feedback is not None:
            self.weights[recurrent(number)] = np.asarray(np.asarray(spiking.feedback) * factor[:, np.newaxis], np.float32)
        lif = _lif(spiking, connection, factor, threshold, spiking.bias_to or ("current" if is_filtered else "membrane"))
        trace_decay = self._trace_decay(spiking, lif, connection)
        delays, fed_back = self._delays(connection), spiking.feedback is not None
        self.layers.append(Layer(len(factor), lif, trace_decay, fed_back, connection.spatial, delays=delays))
        self.shape_below, self.maps, self.delays = connection.shape, [], Delaying()

    def _delays(self, connection: Connection) -> AnyDelays | None:
        """Of the connection of the maps since the last population."""
        below = self.layers[-1].pooling if self.layers else ()
        shape = pooled(below, self.shape_below) if below else self.shape_below
        return self.delays.of(connection, math.prod(shape), len(leading_poolings(self.maps)[0]))

    def _trace_decay(self, spiking: Spiking, lif: LIF, connection: Connection) -> Parameter:
        """The caller's, the source's, or each membrane's own."""
        if self.trace_decay is not None:
            return self.trace_decay
        if spiking.trace_decay is not None:
            return _parameter(connection, _flat(spiking, "trace_decay", connection.shape))
        each = lif.decay if isinstance(lif.decay, tuple) else (lif.decay,)
        decays = tuple(decay if 0 < decay < 1 else _TRACE_DECAY for decay in each)
        return decays if isinstance(lif.decay, tuple) else decays[0]

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
        self.layers[-1] = replace(below, pooling=tuple(pools), trace_decay=_by_channel(below.trace_decay, self.shape_below))
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
            gain, offset = (_flat(self.readout, name, connection.shape) for name in ("gain", "offset"))
            weight, biases = weight * gain[:, np.newaxis], biases * gain + offset
            decay = _one_number(self.readout, "decay")
        self.weights[READOUT] = np.asarray(weight, np.float32)
        if np.any(biases):
            self.weights[READOUT_BIAS] = np.asarray(biases, np.float32)
        return decay


def _units(source: Source, spiking: Spiking, connection: Connection) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The unit in which each neuron's potentials are measured, so that the weights can take its threshold or gain, if they can.

    -> (factor of its biases, feedback and resets; of its weights; its threshold then), (n,) each.
    """
    threshold, gain = (_flat(spiking, name, connection.shape) for name in ("threshold", "gain"))
    same, ones, path = bool(threshold.min() == threshold.max()), np.ones_like(threshold), spiking.path
    if not same and connection.takes(gain / threshold):
        detail = f"{extent(threshold)}, now 1: weights, biases and resets of each neuron are divided by it"
        source.record(path, "threshold", "rescaled", detail)
        return 1.0 / threshold, gain / threshold, ones
    if connection.takes(gain):
        if not same:
            source.record(path, "threshold", "kept", f"{extent(threshold)}, one a neuron")
        return ones, gain, threshold
    if np.any(gain <= 0):
        found = f"{extent(gain)}, another number for each neuron"
        raise refuse(path, "gain", found, "one per channel of a convolution, or above 0", "use one per channel")
    of_channel = np.repeat(gain.reshape(connection.shape[0], -1)[:, 0], len(gain) // connection.shape[0])
    factor = of_channel / gain
    source.record(path, "gain", "folded", f"{extent(gain)}, other than its channel's first: the neuron's threshold is divided by that")
    return factor, of_channel, threshold * factor


def _biases(spiking: Spiking, connection: Connection, factor: np.ndarray) -> tuple[np.ndarray, bool]:
    """-> (biases (n,), whether they are filtered with the current)."""
    gain, offset = (_flat(spiking, name, connection.shape) for name in ("gain", "offset"))
    of_current, of_membrane = connection.bias * gain * factor, offset * factor
    is_filtered = bool(np.any(spiking.current_decay) and np.any(of_current) and spiking.bias_to != "membrane")
    if is_filtered and np.any(of_membrane):
        found = "a constant drive of the membrane beside biases of the current"
        raise refuse(spiking.path, "offset", found, "one of them", "put the constant drive in one place")
    return np.asarray(of_current + of_membrane, np.float32), is_filtered


def _lif(
    spiking: Spiking, connection: Connection, factor: np.ndarray, threshold: np.ndarray, bias_to: Literal["membrane", "current"]
) -> LIF:
    """The neuron of a layer. factor: of its resets and adaptation, (n,); threshold: in its units, (n,)."""
    reset_by = None
    if spiking.reset_by is not None and spiking.reset == "subtract":
        amount = _flat(spiking, "reset_by", connection.shape) * factor
        reset_by = None if np.isclose(amount, threshold, rtol=1e-7, atol=0).all() else _parameter(connection, amount)
    names = ("decay", "current_decay", "adaptation_decay", "refractory")
    numbers: dict[str, Any] = {name: _parameter(connection, _flat(spiking, name, connection.shape)) for name in names}
    return LIF(
        threshold=_parameter(connection, threshold),
        comparison=spiking.comparison,
        reset=spiking.reset,
        reset_by=reset_by,
        surrogate=spiking.surrogate,
        bias_to=bias_to,
        adaptation=_parameter(connection, _flat(spiking, "adaptation", connection.shape) * factor),
        **numbers,
    )


def _parameter(connection: Connection, value: np.ndarray) -> Parameter:
    """Numbers of a connection's neurons, (n,), as one where all are the same, else as one a channel or one a neuron."""
    low, high = float(value.min()), float(value.max())
    if np.isclose(low, high, rtol=1e-6, atol=0):
        return low
    channels = value.reshape(connection.shape[0], -1)
    if connection.spatial is not None and not np.ptp(channels, axis=1).any():
        value = channels[:, 0]
    return tuple(value.tolist())


def _by_channel(value: Parameter, shape: Shape) -> Parameter:
    """A parameter of maps with one number a channel at most: the mean of each."""
    return tuple(np.reshape(value, (shape[0], -1)).mean(axis=1).tolist()) if isinstance(value, tuple) else value


def _flat(stage: Neurons, name: str, shape: Shape) -> np.ndarray:
    """A parameter of checked neurons as one number for each unit, (n,)."""
    return per_unit(getattr(stage, name), shape).ravel()


def _one_number(stage: Neurons, name: str) -> float:
    """A parameter of checked neurons, which must be the same for the whole layer."""
    array = np.asarray(getattr(stage, name), np.float64)
    low, high = float(array.min()), float(array.max())
    if not np.isclose(low, high, rtol=1e-6, atol=0):
        remedy = "train one number a layer, or split the layer"
        raise refuse(stage.path, name, f"{low:g} to {high:g} within the layer", "the same for all its neurons", remedy)
    return low
