"""Maps between two populations, made one: any chain of dense, convolution and pooling stages is one connection and one bias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tp_lava import connections
from tp_lava.connections import MOST_SYNAPSES, Spatial
from tp_lava.convert.stages import Convolution, Dense, Map, Pooling, Source
from tp_lava.convert.values import Shape, refuse
from tp_lava.errors import InvalidValueError


@dataclass(frozen=True, eq=False)
class Connection:
    """y = connection(x) + bias. weight: (n_out, n_in), or the kernel of `spatial`; bias: (n_out,), float64; shape: of y."""

    weight: np.ndarray
    bias: np.ndarray
    shape: Shape
    spatial: Spatial | None = None

    def times(self, factor: np.ndarray) -> np.ndarray:
        """The weights, float32, each unit's times its factor (n_out,). Raises ValueError where a kernel cannot have that."""
        if self.spatial is None:
            return np.asarray(self.weight * factor[:, np.newaxis], np.float32)
        by_channel = factor.reshape(self.shape[0], -1)
        if np.ptp(by_channel, axis=1).any():
            raise ValueError("one kernel, many factors")
        return np.asarray(self.weight * by_channel[:, 0].reshape(-1, 1, 1, 1), np.float32)

    def dense(self, source: Source, path: str) -> Connection:
        """The same, all-to-all."""
        if self.spatial is None:
            return self
        size, n_inputs = self.spatial.size, self.spatial.n_inputs
        _check_size(path, "maps", size, n_inputs, "put neurons between them")
        source.record(path, "maps", "folded", f"convolution or pooling before a dense map: one {size} x {n_inputs} matrix")
        return Connection(self.spatial.matrix(self.weight), self.bias, self.shape)


def combined(source: Source, maps: Sequence[Map], shape: Shape) -> Connection:
    """One connection of a chain of maps from a population of that shape. Poolings and a convolution after them stay one kernel."""
    if maps and isinstance(maps[0], Dense):
        connection, maps = _dense(maps[0]), maps[1:]
    else:
        connection = _identity(source, shape)
    for stage in maps:
        connection = _then(source, connection, stage)
    return connection


def convolution_matrix(stage: Convolution, shape: Shape) -> np.ndarray:
    """A convolution of a (channels, height, width) input as a matrix, (n_out, n_in), units in C order. The bias is left out."""
    return _spatial(stage, shape).matrix(stage.weight).astype(stage.weight.dtype)


def _spatial(stage: Convolution, shape: Shape, pooling: tuple[connections.Pooling, ...] = ()) -> Spatial:
    height, width = stage.weight.shape[2:]
    options = stage.stride, stage.padding, stage.dilation, stage.groups
    return Spatial((shape[0], shape[1], shape[2]), stage.outputs, (height, width), *options, pooling)


def _identity(source: Source, shape: Shape) -> Connection:
    size = int(np.prod(shape))
    if len(shape) == 3:
        spatial = Spatial((shape[0], shape[1], shape[2]), shape[0], (1, 1), groups=shape[0])
        return Connection(np.ones(spatial.weight_shape), np.zeros(size), shape, spatial)
    _check_size(source.format, "input", size, size, "remove neurons of the input")
    return Connection(np.eye(size), np.zeros(size), shape)


def _then(source: Source, before: Connection, stage: Map) -> Connection:
    """The connection `before`, and the map after it."""
    if isinstance(stage, Dense):
        second = _dense(stage)
    else:
        try:
            joined = _joined(stage, before)
            if joined is not None:
                return joined
            second = _joined(stage, _identity(source, before.shape)) or before
        except InvalidValueError as error:  # too many synapses
            raise refuse(stage.path, "shape", f"impossible ({error})", "possible", "check the input shape") from None
    first, second = before.dense(source, stage.path), second.dense(source, stage.path)
    return Connection(second.weight @ first.weight, second.weight @ first.bias + second.bias, second.shape)


def _joined(stage: Convolution | Pooling, before: Connection) -> Connection | None:
    """Pooling or convolution of a population, or of one that was only pooled; else None."""
    spatial = before.spatial
    if spatial is None or not _only_pools(before, spatial):
        return None
    scale = float(before.weight.ravel()[0])
    if isinstance(stage, Pooling):
        pooling = (*spatial.pooling, connections.Pooling(stage.kernel, stage.stride, stage.padding))
        pooled = Spatial(spatial.shape, spatial.channels, (1, 1), groups=spatial.groups, pooling=pooling)
        return Connection(np.full(pooled.weight_shape, scale * stage.scale), np.zeros(pooled.size), pooled.output_shape, pooled)
    convolved = _spatial(stage, spatial.shape, spatial.pooling)
    bias = np.repeat(_bias(stage), int(np.prod(convolved.output_shape[1:])))
    return Connection(np.asarray(stage.weight, np.float64) * scale, bias, convolved.output_shape, convolved)


def _only_pools(before: Connection, spatial: Spatial) -> bool:
    """Whether every unit is a window's sum, times one number, or a unit itself."""
    one_to_one = spatial.kernel == (1, 1) and spatial.stride == (1, 1) and spatial.padding == (0, 0)
    separate = spatial.groups == spatial.channels == spatial.shape[0]
    return one_to_one and separate and not np.ptp(before.weight) and not np.any(before.bias)


def _dense(stage: Dense) -> Connection:
    return Connection(np.asarray(stage.weight, np.float64), _bias(stage), (stage.outputs,))


def _bias(stage: Dense | Convolution) -> np.ndarray:
    return np.zeros(stage.outputs) if stage.bias is None else np.asarray(stage.bias, np.float64)


def _check_size(path: str, parameter: str, size: int, n_inputs: int, remedy: str) -> None:
    if size * n_inputs > MOST_SYNAPSES:
        raise refuse(path, parameter, f"{size} x {n_inputs} weights, as a matrix", f"at most {MOST_SYNAPSES}", remedy)
