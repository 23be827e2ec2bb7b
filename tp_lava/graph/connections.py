"""How spikes of one population reach another: all-to-all, convolved, or convolved with weights that are not shared.

A kind of connection says all that a circuit and its analysis ask: what it is between (shape, arriving, output_shape), its weights
(weight_shape, weight_axes, shares_weights), the poolings before it, and what a unit reaches: all units, those that back ends find by
its place (by_place), or those of a table (reached).

Units of a (channels, height, width) population are numbered in C order. What a unit reaches follows from its place, so there is no
table of synapses; `synapses()` makes one for whoever asks, of small connections.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np

from tp_lava.checks import is_whole
from tp_lava.errors import invalid
from tp_lava.graph.pooling import Pair, Pool2d, Shape, check_pairs, extent, pooled

MOST_SYNAPSES = 2**27  # of a table
MOST_UNITS = 2**31 - 1  # a unit's number is an int32


@dataclass(frozen=True)
class AllToAll:
    """All-to-all: weights are (n_out, n_in). n_inputs: units below; size: units of this population."""

    n_inputs: int
    size: int

    def __post_init__(self) -> None:
        for name in ("n_inputs", "size"):
            if not is_whole(getattr(self, name), 1):
                raise invalid("AllToAll", name, repr(getattr(self, name)), "a positive integer", "give the number of units")

    @property
    def by_place(self) -> None:
        """What finds the units that one reaches: no one has to, since it reaches all."""

    @property
    def reached(self) -> tuple[np.ndarray, np.ndarray] | None:
        """(offsets, targets), int32: unit i reaches targets[k] for k in offsets[i]..offsets[i+1]-1. None: it reaches all."""
        return None

    @property
    def pooling(self) -> tuple[Pool2d, ...]:
        """Poolings on what comes from below: none."""
        return ()

    @property
    def shape(self) -> tuple[int]:
        """Of the units below."""
        return (self.n_inputs,)

    @property
    def arriving(self) -> int:
        """Units that synapses see."""
        return self.n_inputs

    @property
    def weight_shape(self) -> tuple[int, int]:
        """Of the weights."""
        return self.size, self.n_inputs

    def weight_axes(self, name: str, below: str, above: str) -> tuple[tuple[str, int], ...]:
        """The axes of its weights in memory, those of the units below and above, and their lengths. name: of the weights."""
        return (below, self.n_inputs), (above, self.size)

    @property
    def output_shape(self) -> tuple[int]:
        """Of the population it reaches."""
        return (self.size,)

    @property
    def fan_in(self) -> int:
        """Synapses of each unit."""
        return self.n_inputs

    @property
    def synapse_count(self) -> int:
        """Synapses in all."""
        return self.n_inputs * self.size

    @property
    def shares_weights(self) -> bool:
        """Whether a weight belongs to several synapses."""
        return False


@dataclass(frozen=True)
class Convolution:
    """A convolution, after any number of sum poolings, as PyTorch's Conv2d. Its weights are (channels, c / groups, ky, kx).

    shape: (c, height, width) of the population below; channels: of this one; kernel, stride, padding, dilation: (y, x);
    groups: as many groups of channels that do not see each other; pooling: sums, first on what comes from below; shared: whether
    all positions have the same weights; where not, they are (channels, height, width, c / groups, ky, kx), those of each position apart.
    Raises InvalidValueError.
    """

    shape: tuple[int, int, int]
    channels: int
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    pooling: tuple[Pool2d, ...] = ()
    shared: bool = True

    def __post_init__(self) -> None:
        for name in ("shape", "kernel", "stride", "padding", "dilation", "pooling"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.shape) != 3 or not all(is_whole(n, 1, 2**31) for n in self.shape):
            raise invalid("Conv2d", "shape", self.shape, "(channels, height, width)", "give three positive integers")
        positive = {"kernel": self.kernel, "stride": self.stride, "dilation": self.dilation}
        check_pairs("Conv2d", positive, {"padding": self.padding})
        for name in ("channels", "groups"):
            if not is_whole(getattr(self, name), 1, 2**31):
                raise invalid("Conv2d", name, repr(getattr(self, name)), "a positive integer", "check the layer")
        if self.shape[0] % self.groups or self.channels % self.groups:
            found = f"{self.groups} for {self.shape[0]} and {self.channels} channels"
            raise invalid("Conv2d", "groups", found, "a divisor of both", "check the layer")
        if any(pool.mode != "sum" for pool in self.pooling):
            remedy = "give pooling of other kinds to the population below"
            raise invalid("Conv2d", "pooling", self.pooling, "sums", remedy)
        count = max(prod(self.output_shape), prod(self.weight_shape))
        if count > MOST_UNITS:
            raise invalid("Conv2d", "units or weights", count, f"at most {MOST_UNITS}", "use fewer channels, a larger stride or pooling")

    @property
    def by_place(self) -> Convolution:
        """What finds the units that one reaches."""
        return self

    @property
    def reached(self) -> None:
        """No table: see by_place."""

    @property
    def pooled_shape(self) -> Shape:
        """What the convolution sees."""
        return pooled(self.pooling, self.shape)

    @property
    def arriving(self) -> int:
        """Units that synapses see: those below, pooled."""
        return prod(self.pooled_shape)

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of this population."""
        height, width = extent("Conv2d", self.pooled_shape, self.kernel, self.stride, self.padding, self.dilation)
        return self.channels, height, width

    @property
    def n_inputs(self) -> int:
        """Units below."""
        return prod(self.shape)

    @property
    def size(self) -> int:
        """Units of this population."""
        return prod(self.output_shape)

    @property
    def kernel_shape(self) -> tuple[int, int, int]:
        """(channels below that one unit sees, ky, kx)."""
        return self.shape[0] // self.groups, *self.kernel

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Of the kernel, or of the kernels of all positions."""
        return self.channels, *(() if self.shared else self.output_shape[1:]), *self.kernel_shape

    def weight_axes(self, name: str, below: str, above: str) -> tuple[tuple[str, int], ...]:
        """The axes of its weights in memory, channels last, which belong to it alone, and their lengths. name: of the weights."""
        axes = *(() if self.shared else ("oy", "ox")), "in", "y", "x", "out"
        return tuple((f"{name}_{axis}", n) for axis, n in zip(axes, (*self.weight_shape[1:], self.channels), strict=True))

    @property
    def fan_in(self) -> int:
        """Synapses of the unit that has most."""
        y, x = (int(self.paths(axis).sum(axis=1).max()) for axis in range(2))
        return self.kernel_shape[0] * y * x

    @property
    def synapse_count(self) -> int:
        """Synapses in all."""
        y, x = (int(self.paths(axis).sum()) for axis in range(2))
        return self.channels * self.kernel_shape[0] * y * x

    @property
    def shares_weights(self) -> bool:
        """Whether a weight belongs to several synapses."""
        return self.shared

    def paths(self, axis: int) -> np.ndarray:
        """Along an axis (0: y, 1: x): how often each unit below reaches each unit, (height, height below) or (width, width below)."""
        n, paths = self.shape[axis + 1], None
        for pool in self.pooling:
            step = pool.paths(axis, n)
            paths, n = step if paths is None else step @ paths, len(step)
        taps = self.taps(axis)
        convolved = np.zeros((len(taps), n), np.int64)
        rows, columns = np.nonzero(taps >= 0)
        np.add.at(convolved, (rows, taps[rows, columns]), 1)
        return convolved if paths is None else convolved @ paths

    def taps(self, axis: int) -> np.ndarray:
        """Along an axis: which of the pooled units each tap of each position sees, -1 beyond the edges, (height or width, kernel)."""
        k, s, p, d = (getattr(self, name)[axis] for name in ("kernel", "stride", "padding", "dilation"))
        taps = np.arange(self.output_shape[axis + 1])[:, None] * s + np.arange(k) * d - p
        return np.where(taps < self.pooled_shape[axis + 1], taps, -1).clip(-1)

    @property
    def geometry(self) -> np.ndarray:
        """What a back end needs to find the units that one reaches, int32, in the order of GEOMETRY."""
        values = (*self.pooled_shape, *self.output_shape, *self.kernel, *self.stride, *self.padding, *self.dilation, self.groups)
        return np.array([*values, int(self.shared)], np.int32)

    def synapses(self) -> Synapses:
        """A table of its synapses, made once. Raises InvalidValueError for more than 2**27."""
        if self.synapse_count > MOST_SYNAPSES:
            raise invalid("Conv2d", "synapses", self.synapse_count, f"at most {MOST_SYNAPSES} where they are listed", "use a smaller one")
        return _synapses(self)

    def matrix(self, kernel: np.ndarray) -> np.ndarray:
        """The same connection all-to-all, (n_out, n_in), float64. kernel: of weight_shape."""
        offsets, targets, taps = self.synapses()
        matrix = np.zeros((self.size, self.n_inputs))
        np.add.at(matrix, (targets, np.repeat(np.arange(self.n_inputs), np.diff(offsets))), np.ravel(kernel)[taps])
        return matrix


GEOMETRY = ("c", "h", "w", "oc", "oh", "ow", "ky", "kx", "sy", "sx", "py", "px", "dy", "dx", "groups", "shared")
ConnectionKind = AllToAll | Convolution


class Synapses(NamedTuple):
    """Unit i below reaches targets[k] by weight number taps[k] of the kernel, for k in offsets[i]..offsets[i+1]-1; all int32."""

    offsets: np.ndarray
    targets: np.ndarray
    taps: np.ndarray

    @property
    def fan_in(self) -> int:
        """Synapses of the unit that has most."""
        return int(np.bincount(self.targets).max(initial=0))


@lru_cache(maxsize=16)
def _synapses(convolution: Convolution) -> Synapses:
    pre, post, taps = _convolved(convolution)
    shapes: list[Shape] = [convolution.shape]
    for pooling in convolution.pooling:
        shapes.append(pooling.shape(shapes[-1]))
    for pooling, shape in zip(reversed(convolution.pooling), reversed(shapes[:-1]), strict=True):
        pre, post, taps = _after(_pooled(pooling, shape), int(np.prod(pooling.shape(shape))), pre, post, taps)
    order = np.argsort(pre, kind="stable")
    offsets = np.searchsorted(pre[order], np.arange(convolution.n_inputs + 1))
    table = Synapses(*(np.ascontiguousarray(array, np.int32) for array in (offsets, post[order], taps[order])))
    for array in table:
        array.flags.writeable = False
    return table


def _convolved(convolution: Convolution) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(pre, post, tap) of every synapse from the pooled units."""
    (c, h, w), (out, oh, ow) = convolution.pooled_shape, convolution.output_shape
    per_group, out_per_group = c // convolution.groups, out // convolution.groups
    grid = np.ix_(*(np.arange(n) for n in (out, per_group, *convolution.kernel, oh, ow)))
    o, i, a, b, y, x = grid
    iy = y * convolution.stride[0] + a * convolution.dilation[0] - convolution.padding[0]
    ix = x * convolution.stride[1] + b * convolution.dilation[1] - convolution.padding[1]
    inside = (iy >= 0) & (iy < h) & (ix >= 0) & (ix < w)
    pre = ((o // out_per_group * per_group + i) * h + iy) * w + ix
    post = (o * oh + y) * ow + x
    own = o if convolution.shared else post
    taps = ((own * per_group + i) * convolution.kernel[0] + a) * convolution.kernel[1] + b
    within = np.broadcast_to(inside, np.broadcast_shapes(pre.shape, taps.shape, post.shape))
    return tuple(np.broadcast_to(array, within.shape)[within] for array in (pre, post, taps))  # type: ignore[return-value]


def _pooled(pooling: Pool2d, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """(unit, window) of every unit in a window."""
    channels = shape[0]
    windows = Convolution((channels, shape[1], shape[2]), channels, pooling.kernel, pooling.stride, pooling.padding, groups=channels)
    pre, post, _ = _convolved(windows)
    return pre, post


def _after(
    first: tuple[np.ndarray, np.ndarray], middle: int, pre: np.ndarray, post: np.ndarray, taps: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Synapses (pre, post, taps) from `middle` units, seen from the units that reach those: first, (unit, middle unit)."""
    units, windows = first
    order = np.argsort(pre, kind="stable")
    offsets = np.searchsorted(pre[order], np.arange(middle + 1))
    counts = np.diff(offsets)[windows]
    begins = np.repeat(offsets[windows] - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
    chosen = order[begins + np.arange(counts.sum())]
    return np.repeat(units, counts), post[chosen], taps[chosen]
