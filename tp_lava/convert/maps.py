"""Maps between two populations, made one: any chain of dense, convolution and pooling stages is one connection and one bias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tp_lava.graph import connections
from tp_lava.graph.connections import MOST_SYNAPSES, Conv2d
from tp_lava.convert.stages import Convolution, Dense, Pooling, Source, refuse
from tp_lava.errors import InvalidValueError

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Map:
    """y = connection(x) + bias. weight: (n_out, n_in), or the kernel of `spatial`; bias: (n_out,), float64; shape: of y."""

    weight: np.ndarray
    bias: np.ndarray
    shape: Shape
    spatial: Conv2d | None = None

    def times(self, factor: np.ndarray) -> np.ndarray:
        """The weights, float32, each unit's times its factor (n_out,). Raises ValueError where a kernel cannot have that."""
        if self.spatial is None:
            return np.asarray(self.weight * factor[:, np.newaxis], np.float32)
        by_channel = factor.reshape(self.shape[0], -1)
        if np.ptp(by_channel, axis=1).any():
            raise ValueError("one kernel, many factors")
        return np.asarray(self.weight * by_channel[:, 0].reshape(-1, 1, 1, 1), np.float32)

    def dense(self, source: Source, path: str) -> Map:
        """The same, all-to-all."""
        if self.spatial is None:
            return self
        size, below = self.spatial.size, self.spatial.n_inputs
        if size * below > MOST_SYNAPSES:
            raise refuse(path, "maps", f"{size} x {below} weights, written out", f"at most {MOST_SYNAPSES}", "put neurons between them")
        source.note(path, "maps", "folded", f"convolution or pooling before a dense map: one {size} x {below} matrix")
        return Map(self.spatial.matrix(self.weight), self.bias, self.shape)


def combined(source: Source, maps: Sequence[Dense | Convolution | Pooling], shape: Shape) -> Map:
    """One map of a chain of maps from a population of that shape. A pooling and a convolution after it stay one kernel."""
    if maps and isinstance(maps[0], Dense):
        _check(maps[0], shape)
        weight = np.asarray(maps[0].weight, np.float64)
        done, maps = Map(weight, _bias(maps[0], len(weight)), (len(weight),)), maps[1:]
    else:
        done = _identity(source, shape)
    for stage in maps:
        done = _then(source, done, stage)
    return done


def is_zero(array: np.ndarray) -> bool:
    """Whether there is nothing in it."""
    return not np.any(array)


def _identity(source: Source, shape: Shape) -> Map:
    size = int(np.prod(shape))
    if len(shape) == 3:
        spatial = Conv2d((shape[0], shape[1], shape[2]), shape[0], (1, 1), groups=shape[0])
        return Map(np.ones(spatial.weight_shape), np.zeros(size), shape, spatial)
    if size * size > MOST_SYNAPSES:
        raise refuse(
            source.format, "input", f"{size} units with neurons of their own", f"at most {MOST_SYNAPSES} weights", "leave them out"
        )
    return Map(np.eye(size), np.zeros(size), shape)


def _then(source: Source, before: Map, stage: Dense | Convolution | Pooling) -> Map:
    _check(stage, before.shape)
    if isinstance(stage, Dense):
        second = Map(np.asarray(stage.weight, np.float64), _bias(stage, len(stage.weight)), (len(stage.weight),))
    else:
        try:
            joined = _spatial(stage, before)
            if joined is not None:
                return joined
            second = _spatial(stage, _identity(source, before.shape)) or before
        except InvalidValueError as error:
            raise refuse(stage.path, "shape", f"impossible ({error})", "possible", "check the input shape") from None
    first, second = before.dense(source, stage.path), second.dense(source, stage.path)
    return Map(second.weight @ first.weight, second.weight @ first.bias + second.bias, second.shape)


def _spatial(stage: Convolution | Pooling, before: Map) -> Map | None:
    """Pooling or convolution of a population, or of one that was only pooled; else None."""
    spatial = before.spatial
    if spatial is None or not _only_pools(before):
        return None
    scale = float(before.weight.ravel()[0])
    if isinstance(stage, Pooling):
        pools = (*spatial.pooling, connections.Pool2d(stage.kernel, stage.stride, stage.padding))
        pooled = Conv2d(spatial.shape, spatial.channels, (1, 1), groups=spatial.groups, pooling=pools)
        return Map(np.full(pooled.weight_shape, scale * stage.scale), np.zeros(pooled.size), pooled.output_shape, pooled)
    channels, ky, kx = stage.kernel.shape[0], *stage.kernel.shape[2:]
    whole = Conv2d(spatial.shape, channels, (ky, kx), stage.stride, stage.padding, stage.dilation, stage.groups, spatial.pooling)
    bias = np.repeat(_bias(stage, channels), int(np.prod(whole.output_shape[1:])))
    return Map(np.asarray(stage.kernel, np.float64) * scale, bias, whole.output_shape, whole)


def _only_pools(before: Map) -> bool:
    """Whether every unit is a window's sum, times one number, or a unit itself."""
    spatial, weight = before.spatial, before.weight
    assert spatial is not None
    own = spatial.kernel == (1, 1) and spatial.stride == (1, 1) and spatial.padding == (0, 0)
    return own and spatial.groups == spatial.channels == spatial.shape[0] and is_zero(np.ptp(weight)) and is_zero(before.bias)


def _bias(stage: Dense | Convolution, count: int) -> np.ndarray:
    bias = np.zeros(count) if stage.bias is None else np.asarray(stage.bias, np.float64).ravel()
    if bias.size != count:
        raise refuse(stage.path, "bias", f"of {bias.size} numbers", f"one for each of {count} outputs", "check the model")
    return bias


def _check(stage: Dense | Convolution | Pooling, below: Shape) -> None:
    """Whether a stage fits what comes before it."""
    size = int(np.prod(below))
    if isinstance(stage, Dense):
        if np.ndim(stage.weight) != 2 or stage.weight.shape[1] != size:
            raise refuse(
                stage.path, "weight", f"of shape {np.shape(stage.weight)}", f"(n_out, {size}), as {below} comes in", "check the model"
            )
    elif len(below) != 3:
        raise refuse(stage.path, "input", f"of shape {below}", "(channels, height, width)", "give input_shape=(c, h, w)")
    elif isinstance(stage, Convolution) and (np.ndim(stage.kernel) != 4 or stage.kernel.shape[1] * stage.groups != below[0]):
        limit = f"(c_out, {below[0]} / groups, height, width), as {below} comes in"
        raise refuse(stage.path, "kernel", f"of shape {np.shape(stage.kernel)} in {stage.groups} groups", limit, "check the model")
    values = {"weight": stage.weight} if isinstance(stage, Dense) else {"kernel": stage.kernel} if isinstance(stage, Convolution) else {}
    for name, array in values.items():
        if not np.isfinite(array).all():
            raise refuse(stage.path, name, "NaN or infinite somewhere", "finite", "look for a diverged training run")
