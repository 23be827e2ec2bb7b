"""What populations and their connections are given by stages of neurons: units of measurement, biases, neurons, one number or many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tp_lava.convert.maps import Connection
from tp_lava.convert.stages import Neurons, Source, Spiking
from tp_lava.convert.values import Shape, extent, per_unit, refuse
from tp_lava.dynamics.neuron import LIF
from tp_lava.dynamics.parameters import Parameter

TRACE_DECAY = 0.98  # where the membrane's decay suits no trace


@dataclass(frozen=True, eq=False)
class Reaching:
    """All connections that reach one population, which has this shape."""

    connections: tuple[Connection, ...]
    shape: Shape

    @property
    def bias(self) -> np.ndarray:
        """(n,)."""
        return np.sum([each.bias for each in self.connections], axis=0)

    def takes(self, factor: np.ndarray) -> bool:
        """Whether the weights of all can have a factor for each unit, (n,)."""
        return all(each.takes(factor) for each in self.connections)


def units_of(source: Source, spiking: Spiking, connection: Reaching) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The unit in which each neuron's potentials are measured, so that the weights can take its threshold or gain, if they can.

    -> (factor of its biases, feedback and resets; of its weights; its threshold then), (n,) each.
    """
    threshold, gain = (flat(spiking, name, connection.shape) for name in ("threshold", "gain"))
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


def biases_of(spiking: Spiking, connection: Reaching, factor: np.ndarray) -> tuple[np.ndarray, bool]:
    """-> (biases (n,), whether they are filtered with the current)."""
    gain, offset = (flat(spiking, name, connection.shape) for name in ("gain", "offset"))
    of_current, of_membrane = connection.bias * gain * factor, offset * factor
    is_filtered = bool(np.any(spiking.current_decay) and np.any(of_current) and spiking.bias_to != "membrane")
    if is_filtered and np.any(of_membrane):
        found = "a constant drive of the membrane beside biases of the current"
        raise refuse(spiking.path, "offset", found, "one of them", "put the constant drive in one place")
    return np.asarray(of_current + of_membrane, np.float32), is_filtered


def lif_of(
    spiking: Spiking, connection: Reaching, factor: np.ndarray, threshold: np.ndarray, bias_to: Literal["membrane", "current"]
) -> LIF:
    """The neuron of a layer. factor: of its resets and adaptation, (n,); threshold: in its units, (n,)."""
    reset_by = None
    if spiking.reset_by is not None and spiking.reset == "subtract":
        amount = flat(spiking, "reset_by", connection.shape) * factor
        reset_by = None if np.isclose(amount, threshold, rtol=1e-7, atol=0).all() else parameter_of(connection, amount)
    names = ("decay", "current_decay", "adaptation_decay", "refractory")
    numbers: dict[str, Any] = {name: parameter_of(connection, flat(spiking, name, connection.shape)) for name in names}
    return LIF(
        threshold=parameter_of(connection, threshold),
        comparison=spiking.comparison,
        reset=spiking.reset,
        reset_by=reset_by,
        surrogate=spiking.surrogate,
        bias_to=bias_to,
        adaptation=parameter_of(connection, flat(spiking, "adaptation", connection.shape) * factor),
        **numbers,
    )


def trace_decay_of(asked: float | None, spiking: Spiking, lif: LIF, connection: Reaching) -> Parameter:
    """The caller's, the source's, or each membrane's own."""
    if asked is not None:
        return asked
    if spiking.trace_decay is not None:
        return parameter_of(connection, flat(spiking, "trace_decay", connection.shape))
    each = lif.decay if isinstance(lif.decay, tuple) else (lif.decay,)
    decays = tuple(decay if 0 < decay < 1 else TRACE_DECAY for decay in each)
    return decays if isinstance(lif.decay, tuple) else decays[0]


def feedback_of(spiking: Spiking, factor: np.ndarray) -> np.ndarray:
    """Recurrent weights, float32, in the units of the neurons they reach."""
    return np.asarray(np.asarray(spiking.feedback) * factor[:, np.newaxis], np.float32)


def parameter_of(connection: Reaching, value: np.ndarray) -> Parameter:
    """Numbers of a connection's neurons, (n,), as one where all are the same, else as one a channel or one a neuron."""
    low, high = float(value.min()), float(value.max())
    if np.isclose(low, high, rtol=1e-6, atol=0):
        return low
    channels = value.reshape(connection.shape[0], -1)
    if len(connection.shape) == 3 and not np.ptp(channels, axis=1).any():
        value = channels[:, 0]
    return tuple(value.tolist())


def by_channel(value: Parameter, shape: Shape) -> Parameter:
    """A parameter of maps with one number a channel at most: the mean of each."""
    return tuple(np.reshape(value, (shape[0], -1)).mean(axis=1).tolist()) if isinstance(value, tuple) else value


def flat(stage: Neurons, name: str, shape: Shape) -> np.ndarray:
    """A parameter of checked neurons as one number for each unit, (n,)."""
    return per_unit(getattr(stage, name), shape).ravel()


def one_number(stage: Neurons, name: str) -> float:
    """A parameter of checked neurons, which must be the same for the whole layer."""
    array = np.asarray(getattr(stage, name), np.float64)
    low, high = float(array.min()), float(array.max())
    if not np.isclose(low, high, rtol=1e-6, atol=0):
        remedy = "train one number a layer, or split the layer"
        raise refuse(stage.path, name, f"{low:g} to {high:g} within the layer", "the same for all its neurons", remedy)
    return low
