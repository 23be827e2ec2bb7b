"""How spikes of one population reach another: all-to-all, or pooled and convolved.

Units of a (channels, height, width) population are numbered in C order. A convolution is a table of synapses: which unit
each unit reaches, and by which weight of the kernel; a spike costs the synapses it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from tp_lava.checks import is_whole
from tp_lava.errors import invalid

MOST_SYNAPSES = 2**27

Pair = tuple[int, int]


@dataclass(frozen=True)
class Dense:
    """All-to-all: weights are (n_out, n_in). n_inputs: units below; size: units of this population."""

    n_inputs: int
    size: int

    def __post_init__(self) -> None:
        for name in ("n_inputs", "size"):
            if not is_whole(getattr(self, name), 1):
                raise invalid("Dense", name, repr(getattr(self, name)), "a positive integer", "give the number of units")

    @property
    def weight_shape(self) -> tuple[int, int]:
        """Of the weights."""
        return self.size, self.n_inputs

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
class Pool2d:
    """Sums of spikes over windows, channel by channel; pairs are (y, x). Windows reach `padding` beyond the edges."""

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)

    def __post_init__(self) -> None:
        for name in ("kernel", "stride", "padding"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        _check_pairs("Pool2d", {"kernel": self.kernel, "stride": self.stride}, {"padding": self.padding})

    def shape(self, below: tuple[int, int, int]) -> tuple[int, int, int]:
        """(channels, height, width) of the sums."""
        height, width = _extent("Pool2d", below, self.kernel, self.stride, self.padding, (1, 1))
        return below[0], height, width


@dataclass(frozen=True)
class Conv2d:
    """A convolution, after any number of poolings, as PyTorch's Conv2d. Its weights are (channels, c / groups, ky, kx).

    shape: (c, height, width) of the population below; channels: of this one; kernel, stride, padding, dilation: (y, x);
    groups: as many groups of channels that do not see each other; pooling: first on what comes from below.
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

    def __post_init__(self) -> None:
        for name in ("shape", "kernel", "stride", "padding", "dilation", "pooling"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.shape) != 3 or not all(is_whole(n, 1, 2**31) for n in self.shape):
            raise invalid("Conv2d", "shape", self.shape, "(channels, height, width)", "give three positive integers")
        positive = {"kernel": self.kernel, "stride": self.stride, "dilation": self.dilation}
        _check_pairs("Conv2d", positive, {"padding": self.padding})
        for name in ("channels", "groups"):
            if not is_whole(getattr(self, name), 1, 2**31):
                raise invalid("Conv2d", name, repr(getattr(self, name)), "a positive integer", "check the layer")
        if self.shape[0] % self.groups or self.channels % self.groups:
            found = f"{self.groups} for {self.shape[0]} and {self.channels} channels"
            raise invalid("Conv2d", "groups", found, "a divisor of both", "check the layer")
        count = int(np.prod([float(n) for n in (*self.weight_shape, *self.output_shape[1:])]))
        if count > MOST_SYNAPSES:
            raise invalid("Conv2d", "synapses", count, f"at most {MOST_SYNAPSES}", "use fewer channels, a larger stride or pooling")

    @property
    def pooled_shape(self) -> tuple[int, int, int]:
        """What the convolution sees."""
        shape = self.shape
        for pooling in self.pooling:
            shape = pooling.shape(shape)
        return shape

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of this population."""
        height, width = _extent("Conv2d", self.pooled_shape, self.kernel, self.stride, self.padding, self.dilation)
        return self.channels, height, width

    @property
    def n_inputs(self) -> int:
        """Units below."""
        return int(np.prod(self.shape))

    @property
    def size(self) -> int:
        """Units of this population."""
        return int(np.prod(self.output_shape))

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """Of the kernel."""
        return self.channels, self.shape[0] // self.groups, *self.kernel

    @property
    def fan_in(self) -> int:
        """Synapses of the unit that has most."""
        return self.synapses().fan_in

    @property
    def synapse_count(self) -> int:
        """Synapses in all."""
        return len(self.synapses().targets)

    @property
    def shares_weights(self) -> bool:
        """Whether a weight belongs to several synapses."""
        return True

    def synapses(self) -> Synapses:
        """Its table of synapses, made once."""
        return _synapses(self)

    def matrix(self, kernel: np.ndarray) -> np.ndarray:
        """The same connection all-to-all, (n_out, n_in), float64. kernel: of weight_shape."""
        offsets, targets, taps = self.synapses()
        matrix = np.zeros((self.size, self.n_inputs))
        np.add.at(matrix, (targets, np.repeat(np.arange(self.n_inputs), np.diff(offsets))), np.ravel(kernel)[taps])
        return matrix


ConnectionKind = Dense | Conv2d


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
def _synapses(convolution: Conv2d) -> Synapses:
    pre, post, taps = _convolved(convolution)
    shapes = [convolution.shape]
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


def _convolved(convolution: Conv2d) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
    taps = ((o * per_group + i) * convolution.kernel[0] + a) * convolution.kernel[1] + b
    within = np.broadcast_to(inside, np.broadcast_shapes(pre.shape, taps.shape, post.shape))
    return tuple(np.broadcast_to(array, within.shape)[within] for array in (pre, post, taps))  # type: ignore[return-value]


def _pooled(pooling: Pool2d, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(unit, window) of every unit in a window."""
    channels = shape[0]
    windows = Conv2d(shape, channels, pooling.kernel, pooling.stride, pooling.padding, groups=channels)
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


def _extent(obj: str, below: tuple[int, int, int], kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Pair:
    extent = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip(below[1:], kernel, stride, padding, dilation, strict=True)]
    if min(extent) < 1:
        raise invalid(
            obj, "kernel", f"{kernel} over {below[1:]} with padding {padding}", "within it", "use a smaller kernel or more padding"
        )
    return extent[0], extent[1]


def _check_pairs(obj: str, positive: Mapping[str, Sequence[int]], others: Mapping[str, Sequence[int]]) -> None:
    for least, pairs in ((1, positive), (0, others)):
        for name, pair in pairs.items():
            if len(pair) != 2 or not all(is_whole(n, least, 2**31) for n in pair):
                raise invalid(obj, name, pair, f"a pair (y, x) of integers of at least {least}", "check the layer")
