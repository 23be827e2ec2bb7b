"""Maps between two populations, made one: any chain of dense, convolution and pooling stages is one connection and one bias.

Delays between them are made one too: those before any map, of units, and those of what maps make, of neurons.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np

from tp_lava.convert.stages import Convolution, Delayed, Dense, Map, Pooling, Source
from tp_lava.convert.values import Shape, extent, refuse
from tp_lava.errors import InvalidValueError
from tp_lava.graph import connections
from tp_lava.graph.connections import MOST_SYNAPSES
from tp_lava.graph.delays import MOST_STEPS, AnyDelays, Delays, SynapticDelays, delays_of
from tp_lava.graph.pooling import Pool2d


@dataclass(frozen=True, eq=False)
class Connection:
    """y = connection(x) + bias. weight: (n_out, n_in), or the kernel of `spatial`; bias: (n_out,), float64; shape: of y."""

    weight: np.ndarray
    bias: np.ndarray
    shape: Shape
    spatial: connections.Convolution | None = None

    def times(self, factor: np.ndarray) -> np.ndarray:
        """The weights, float32, each unit's times its factor (n_out,). Raises ValueError where a kernel cannot have that."""
        if self.spatial is None:
            return np.asarray(self.weight * factor[:, np.newaxis], np.float32)
        if not self.takes(factor):
            raise ValueError("one kernel, many factors")
        by_channel = factor.reshape(self.shape[0], -1)[:, 0]
        return np.asarray(self.weight * by_channel.reshape(-1, 1, 1, 1), np.float32)

    def takes(self, factor: np.ndarray) -> bool:
        """Whether its weights can have a factor for each unit, (n_out,): a kernel can where those of a channel are the same."""
        return self.spatial is None or not np.ptp(factor.reshape(self.shape[0], -1), axis=1).any()

    def dense(self, source: Source | None, path: str) -> Connection:
        """The same, all-to-all. source: takes the record of that."""
        if self.spatial is None:
            return self
        size, n_inputs = self.spatial.size, self.spatial.n_inputs
        check_size(path, "maps", size, n_inputs, "put neurons between them")
        if source is not None:
            source.record(path, "maps", "folded", f"convolution or pooling before a dense map: one {size} x {n_inputs} matrix")
        return Connection(self.spatial.matrix(self.weight), self.bias, self.shape)


def leading_poolings(maps: Sequence[Map]) -> tuple[list[Pooling], Sequence[Map]]:
    """-> (the poolings with which the maps begin, the maps after them)."""
    poolings = [stage for stage in takewhile(lambda stage: isinstance(stage, Pooling), maps) if isinstance(stage, Pooling)]
    return poolings, maps[len(poolings) :]


def combined(source: Source, maps: Sequence[Map], shape: Shape) -> Connection:
    """One connection of a chain of maps from a population of that shape. Sums over windows and a convolution after them stay one
    kernel. Raises InvalidValueError for a maximum, which is no linear map.
    """
    for stage in maps:
        if isinstance(stage, Pooling) and stage.mode == "max":
            limit = "right after spiking neurons of maps that have no feedback"
            remedy = "put it after the neurons and train again, or use average pooling, which is linear"
            raise refuse(stage.path, "max pooling", "of the input, of currents, or of other neurons", limit, remedy)
    count = len(list(takewhile(lambda stage: isinstance(stage, Pooling) and stage.is_sum, maps)))
    count += any(isinstance(stage, Convolution) for stage in maps[count : count + 1])
    if count or (len(shape) == 3 and not maps):
        connection = _spatial(maps[:count], shape)
    elif maps:
        connection, count = _one(maps[0], shape), 1
    else:
        size = shape[0]
        check_size(source.format, "input", size, size, "remove neurons of the input")
        connection = Connection(np.eye(size), np.zeros(size), shape)
    for stage in maps[count:]:
        first = connection.dense(source, stage.path)
        second = _one(stage, connection.shape).dense(source, stage.path)
        connection = Connection(second.weight @ first.weight, second.weight @ first.bias + second.bias, second.shape)
    return connection


def convolution_matrix(stage: Convolution, shape: Shape) -> np.ndarray:
    """A convolution of a (channels, height, width) input as a matrix, (n_out, n_in), units in C order. The bias is left out."""
    connection = _spatial([stage], shape)
    assert connection.spatial is not None
    return connection.spatial.matrix(stage.weight).astype(stage.weight.dtype)


def _one(stage: Map, shape: Shape) -> Connection:
    """The connection of a single stage."""
    if isinstance(stage, Dense):
        return Connection(np.asarray(stage.weight, np.float64), _bias(stage), (stage.outputs,))
    return _adaptive(stage, shape) if isinstance(stage, Pooling) and not stage.is_sum else _spatial([stage], shape)


def _adaptive(stage: Pooling, shape: Shape) -> Connection:
    """The connection of a pooling over windows of different sizes, all-to-all."""
    pool, factor = stage.as_population()
    result = pool.shape(shape)
    check_size(stage.path, "output_size", math.prod(result), math.prod(shape), "put it after spiking neurons")
    plane = np.kron(pool.paths(0, shape[1]), pool.paths(1, shape[2])) * pool.windows(shape).share.reshape(-1, 1)
    return Connection(np.kron(np.eye(shape[0]), plane * factor), np.zeros(math.prod(result)), result)


def _spatial(stages: Sequence[Map], shape: Shape) -> Connection:
    """The connection of poolings and at most a convolution after them; of none, from each unit to its own."""
    pools = [stage for stage in stages if isinstance(stage, Pooling)]
    pooling = tuple(Pool2d(pool.kernel, pool.stride, pool.padding) for pool in pools)
    image, scale = (shape[0], shape[1], shape[2]), math.prod(pool.scale for pool in pools)
    last = stages[-1] if stages else None
    try:
        if isinstance(last, Convolution):
            kernel, options = last.weight.shape[2:], (last.stride, last.padding, last.dilation, last.groups)
            spatial = connections.Convolution(image, last.outputs, (kernel[0], kernel[1]), *options, pooling)
            bias = np.repeat(_bias(last), math.prod(spatial.output_shape[1:]))
            return Connection(np.asarray(last.weight, np.float64) * scale, bias, spatial.output_shape, spatial)
        spatial = connections.Convolution(image, image[0], (1, 1), groups=image[0], pooling=pooling)
    except InvalidValueError as error:  # too many synapses
        raise refuse(last.path if last else "input", "shape", f"impossible ({error})", "possible", "check the input shape") from None
    return Connection(np.full(spatial.weight_shape, float(scale)), np.zeros(spatial.size), spatial.output_shape, spatial)


def _bias(stage: Dense | Convolution) -> np.ndarray:
    return np.zeros(stage.outputs) if stage.bias is None else np.asarray(stage.bias, np.float64)


def identity(size: int) -> Connection:
    """From each of so many units to its own, with a weight each."""
    spatial = connections.Convolution((size, 1, 1), size, (1, 1), groups=size)
    return Connection(np.ones(spatial.weight_shape), np.zeros(size), (size,), spatial)


def check_size(path: str, parameter: str, size: int, n_inputs: int, remedy: str) -> None:
    """Refuse a matrix that is too large."""
    if size * n_inputs > MOST_SYNAPSES:
        raise refuse(path, parameter, f"{size} x {n_inputs} weights, as a matrix", f"at most {MOST_SYNAPSES}", remedy)


class Delaying:
    """The delays since the last population. A delay that is the same for all units may stand anywhere before the next neurons."""

    def __init__(self) -> None:
        self._path = ""
        self._all = 0
        self._units: np.ndarray | None = None  # of each unit below
        self._poolings = 0  # before those of units
        self._neurons: np.ndarray | None = None  # of each neuron that a dense map reaches

    def add(self, stage: Delayed, maps: Sequence[Map]) -> None:
        """A checked stage, after these maps. Raises InvalidValueError where no connection has such delays."""
        self._path, steps = stage.path, np.asarray(stage.steps)
        biases = [each.bias for each in maps if isinstance(each, Dense | Convolution) and each.bias is not None]
        if steps.any() and any(map(np.any, biases)):
            remedy = "put it before the map, or leave biases out"
            raise refuse(stage.path, "delay", f"{extent(steps)} of biases too", "of spikes alone", remedy)
        if not np.ptp(steps):
            self._all += int(steps[0])
        elif all(isinstance(each, Pooling) for each in maps):
            self._check_units(len(maps))
            self._units = steps + (0 if self._units is None else self._units)
        elif isinstance(maps[-1], Dense):
            self._neurons = steps + (0 if self._neurons is None else self._neurons)
        else:
            limit = "one number after a convolution"
            raise refuse(stage.path, "delay", f"{extent(steps)}, differing", limit, "put it right after the neurons")

    def of(self, connection: Connection, n_units: int, poolings: int) -> AnyDelays | None:
        """The delays of a connection from so many units, as that many poolings since the last neurons left them; None if there are none."""
        if self._units is None and self._neurons is None:
            return self._bounded(delays_of, np.array(self._all), n_units) if self._all else None
        self._check_units(poolings)
        if self._units is not None and connection.spatial is not None and connection.spatial.pooling:
            found, remedy = f"{extent(self._units)}, differing", "convolve before you pool, or give one number"
            raise refuse(self._path, "delay", found, "one number behind a pooling of the input or of recurrent neurons", remedy)
        units = self._all + (np.zeros(n_units, np.int64) if self._units is None else self._units)
        if self._neurons is None:
            return self._bounded(delays_of, units, n_units)
        if connection.spatial is not None:
            raise refuse(self._path, "delay", extent(self._neurons), "one number beside convolutions", "put it right after the neurons")
        return self._bounded(lambda steps, _: SynapticDelays.of(steps), self._neurons[:, np.newaxis] + units, n_units)

    def _check_units(self, poolings: int) -> None:
        """Refuse delays of units, some before and some after a pooling."""
        if self._units is not None and poolings != self._poolings:
            found, limit = f"{extent(self._units)}, differing", "one number before a pooling"
            raise refuse(self._path, "delay", found, limit, "put it after the pooling")
        self._poolings = poolings

    def _bounded(self, made: Callable[[np.ndarray, int], Delays | SynapticDelays], steps: np.ndarray, n_units: int) -> AnyDelays:
        if steps.max() > MOST_STEPS:
            raise refuse(self._path, "delay", extent(steps), f"{MOST_STEPS} steps at most in all", "use longer steps")
        return made(steps, n_units)


def stage_of_delays(path: str, delays: AnyDelays | None) -> list[Delayed]:
    """The delays of a connection as a stage before its maps. Raises InvalidValueError for copies and for delays of single synapses."""
    if delays is None:
        return []
    if isinstance(delays, SynapticDelays) or delays.copies > 1:
        found = "one a synapse" if isinstance(delays, SynapticDelays) else f"{delays.copies} copies of each unit"
        raise refuse(path, "delays", found, "one delay a unit, which is all that others have", "keep it in a .tplava file")
    return [Delayed(f"{path}_delay", delays.array)]
