"""From a chain of stages to a Network: maps become connections, neuron parameters one number a layer, the rest is told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tp_lava.convert.maps import Map, combined, is_zero
from tp_lava.convert.stages import Convolution, Dense, Integrating, Parameter, Pooling, Source, Spiking, refuse
from tp_lava.dynamics.neuron import LIF
from tp_lava.graph.network import Layer, Network
from tp_lava.numbers import seed_key
from tp_lava.provenance import Provenance

_TRACE_DECAY = 0.98  # where the membrane's own suits no trace


def assemble(source: Source, trace_decay: float | None = None, seed: int = 0) -> Network:
    """The network of a source. trace_decay: of all hidden layers, instead of their membranes' own; seed: of the label
    projection, which no source has. Its provenance says what became of each parameter. Raises InvalidValueError.
    """
    assembly = _Assembly(source, trace_decay)
    for stage in source.stages:
        assembly.add(stage)
    return assembly.network(seed)


@dataclass
class _Assembly:
    """A network under construction."""

    source: Source
    trace_decay: float | None

    def __post_init__(self) -> None:
        self.layers: list[Layer] = []
        self.weights: dict[str, np.ndarray] = {}
        self.shape = tuple(self.source.input_shape)
        self.maps: list[Dense | Convolution | Pooling] = []
        self.readout: Integrating | None = None

    def add(self, stage: object) -> None:
        if self.readout is not None:
            raise refuse(self.readout.path, "position", "before other stages", "the last", "only the readout integrates without spikes")
        if isinstance(stage, Spiking):
            self._layer(stage)
        elif isinstance(stage, Integrating):
            self.readout = stage
        else:
            self.maps.append(stage)  # type: ignore[arg-type]

    # Hidden layers ----------------------------------------------------------------------------
    def _layer(self, spiking: Spiking) -> None:
        number, connection = len(self.layers), self._connection(spiking.path)
        neurons = _Neurons(self.source, spiking, connection)
        weight, bias, lif = neurons.scaled()
        name = f"hidden{number}"
        self.weights[name] = weight
        if not is_zero(bias):
            self.weights[f"bias{number}"] = np.ravel(bias)
        if spiking.feedback is not None:
            self.weights[f"recurrent{number}"] = neurons.feedback()
        size = int(np.prod(connection.shape))
        layer = Layer(size, lif, self._trace_decay(spiking, lif), spiking.feedback is not None, connection.spatial)
        self.layers.append(layer)
        self.shape, self.maps = connection.shape, []

    def _connection(self, path: str) -> Map:
        if not self.maps:
            self.source.note(path, "weight", "added", "each unit reaches its own neuron")
        return combined(self.source, self.maps, self.shape)

    def _trace_decay(self, spiking: Spiking, lif: LIF) -> float:
        if self.trace_decay is not None:
            return self.trace_decay
        if spiking.trace_decay is not None:
            return spiking.trace_decay
        return lif.decay if 0 < lif.decay < 1 else _TRACE_DECAY

    # Readout ----------------------------------------------------------------------------------
    def network(self, seed: int) -> Network:
        if not self.layers:
            path = self.source.stages[-1].path if self.source.stages else self.source.format
            raise refuse(path, "neurons", "none", "at least one layer of spiking neurons", "declare a neuron for each hidden layer")
        path, size = self.source.stages[-1].path, self.layers[-1].size
        if self.maps or self.readout:
            decay = self._read_out(path)
        else:
            self.weights["readout"], decay = np.eye(size, dtype=np.float32), 1.0
            self.source.note(path, "readout", "added", "the spikes of each output neuron are counted")
        classes = len(self.weights["readout"])
        seed_key(seed)
        n_inputs = int(np.prod(self.source.input_shape))
        provenance = Provenance(self.source.format, tuple(self.source.fates), self.source.fixed)
        return Network.of_layers(n_inputs, tuple(self.layers), classes, self.weights, decay, provenance, seed=seed)

    def _read_out(self, path: str) -> float:
        connection = combined(self.source, self.maps, self.shape).dense(self.source, path)
        weight, bias, decay = connection.weight, connection.bias, 1.0
        if self.readout is None:
            self.source.note(path, "readout", "added", "the outputs are summed over the steps of a sample")
        else:
            gain, offset = (_per_unit(self.readout, attr, connection) for attr in ("gain", "offset"))
            weight, bias = weight * np.reshape(gain, (-1, 1)), bias * gain + offset
            decay = _single(self.readout, "decay", self.readout.decay)
        self.weights["readout"] = np.asarray(weight, np.float32)
        if not is_zero(bias):
            self.weights["readout_bias"] = np.asarray(bias, np.float32)
        return decay


class _Neurons:
    """The neurons of one layer: their arrays as single numbers, and what that asks of the weights."""

    def __init__(self, source: Source, spiking: Spiking, connection: Map) -> None:
        self.source, self.spiking, self.connection = source, spiking, connection
        threshold = _per_unit(spiking, "threshold", connection)
        if not (np.isfinite(threshold).all() and (threshold > 0).all()):
            raise refuse(spiking.path, "threshold", threshold.min(), "above 0", "a neuron that always fires is no neuron: check the model")
        self.varied = bool(np.ptp(threshold) > 0)
        self.threshold = 1.0 if self.varied else float(threshold[0])
        self.factor = self.threshold / threshold if self.varied else np.ones_like(threshold)
        if self.varied:
            detail = f"{threshold.min():g} to {threshold.max():g}, now 1: weights, biases and resets of each neuron are divided by it"
            source.note(spiking.path, "threshold", "rescaled", detail)

    def scaled(self) -> tuple[np.ndarray, np.ndarray, LIF]:
        """Weights, bias (one per unit) and the neuron they go with."""
        spiking, connection = self.spiking, self.connection
        gain, offset = _per_unit(spiking, "gain", connection), _per_unit(spiking, "offset", connection)
        current_decay = _single(spiking, "current_decay", spiking.current_decay)
        below, bias = connection.bias * gain * self.factor, offset * self.factor
        filtered = current_decay > 0 and not is_zero(below)
        if filtered and not is_zero(bias):
            remedy = "put the constant drive in one place"
            raise refuse(spiking.path, "offset", "a constant drive of the membrane beside biases of the current", "one of them", remedy)
        lif = LIF(
            decay=_single(spiking, "decay", spiking.decay),
            threshold=self.threshold,
            comparison=spiking.comparison,
            reset=spiking.reset,
            current_decay=current_decay,
            reset_by=self._reset_by(),
            bias_to="current" if filtered else "membrane",
        )
        try:
            weight = connection.times(gain * self.factor)
        except ValueError:
            found = "another number for each neuron"
            raise refuse(spiking.path, "threshold or gain", found, "one per channel of a convolution", "use one per channel") from None
        return weight, np.asarray(below + bias, np.float32), lif

    def feedback(self) -> np.ndarray:
        """Recurrent weights."""
        given, size = np.asarray(self.spiking.feedback), int(np.prod(self.connection.shape))
        if given.shape != (size, size):
            raise refuse(self.spiking.path, "feedback", f"of shape {given.shape}", f"({size}, {size})", "check the model")
        return np.asarray(given * self.factor[:, np.newaxis], np.float32)

    def _reset_by(self) -> float | None:
        if self.spiking.reset_by is None or self.spiking.reset != "subtract":
            return None
        amount = _per_unit(self.spiking, "reset_by", self.connection) * self.factor
        single = _single(self.spiking, "reset_by", amount)
        return None if np.isclose(single, self.threshold, rtol=1e-7, atol=0) else single


def _per_unit(stage: Spiking | Integrating, attr: str, connection: Map) -> np.ndarray:
    """A parameter of a stage as one number per unit, float64."""
    value, shape = np.asarray(getattr(stage, attr), np.float64), connection.shape
    size = int(np.prod(shape))
    if value.size == 1:
        return np.full(size, float(value.ravel()[0]))
    if value.size == size:
        return value.ravel()
    if len(shape) == 3 and value.size == shape[0]:
        return np.repeat(value.ravel(), shape[1] * shape[2])
    raise refuse(stage.path, attr, f"of {value.size} numbers", f"one, or one for each of {size} neurons", "check the model")


def _single(stage: Spiking | Integrating, attr: str, value: Parameter) -> float:
    """A parameter that is one number for the whole layer."""
    array = np.asarray(value, np.float64).ravel()
    if array.size == 0 or not np.isfinite(array).all():
        raise refuse(stage.path, attr, value, "finite", "check the model")
    low, high = float(array.min()), float(array.max())
    if not np.isclose(low, high, rtol=1e-6, atol=0):
        remedy = "train one number a layer, or split the layer"
        raise refuse(stage.path, attr, f"{low:g} to {high:g} within the layer", "the same for all its neurons", remedy)
    return low
