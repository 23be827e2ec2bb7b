"""Pooling: windows over the units of a (channels, height, width) population, channel by channel.

    sum      o[c,p] = sum of s[c,q] over the window of p
    average  o[c,p] = the same / the window's units
    max      o[c,p] = largest s[c,q]: of binary spikes, whether any unit of the window spikes

Learning signals go back the other way: each unit of a window gets the window's (of an average, its share); of a maximum,
the first unit in row-major order that has it, which of a window without spikes is its first unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np

from tp_lava.checks import is_whole
from tp_lava.errors import invalid

Pair = tuple[int, int]
Shape = tuple[int, ...]  # (channels, height, width)
Mode = Literal["sum", "average", "max"]


class Windows(NamedTuple):
    """Units [first, end) of each window along each axis, int32, and the share of a unit in each window's average, (height, width)."""

    first_y: np.ndarray
    end_y: np.ndarray
    first_x: np.ndarray
    end_x: np.ndarray
    share: np.ndarray


@dataclass(frozen=True)
class Pool2d:
    """One pooling; pairs are (y, x). Windows reach `padding` beyond the edges; there is nothing, which an average counts as zeros.

    size: of the result, where windows adapt to what is below, as PyTorch's AdaptiveAvgPool2d does; kernel, stride and padding are
    left out then. Raises InvalidValueError.
    """

    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    mode: Mode = "sum"
    size: Pair | None = None

    def __post_init__(self) -> None:
        for name in ("kernel", "stride", "padding", *(("size",) if self.size is not None else ())):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        positive = {"kernel": self.kernel, "stride": self.stride} | ({"size": self.size} if self.size is not None else {})
        check_pairs("Pool2d", positive, {"padding": self.padding})
        if self.mode not in get_args(Mode):
            raise invalid("Pool2d", "mode", repr(self.mode), f"one of {', '.join(get_args(Mode))}", "check the layer")
        if self.size is not None and (self.kernel, self.stride, self.padding) != ((1, 1), (1, 1), (0, 0)):
            raise invalid("Pool2d", "kernel", self.kernel, "left out beside size", "windows adapt to what is below")

    def shape(self, below: Shape) -> Shape:
        """(channels, height, width) of the result."""
        if self.size is not None:
            if self.size[0] > below[1] or self.size[1] > below[2]:
                raise invalid("Pool2d", "size", self.size, f"at most {below[1:]}, what is below", "use a smaller size")
            return below[0], *self.size
        return below[0], *extent("Pool2d", below, self.kernel, self.stride, self.padding, (1, 1))

    def windows(self, below: Shape) -> Windows:
        """Its windows."""
        shape = self.shape(below)
        (first_y, end_y), (first_x, end_x) = (self._along(axis, below[axis + 1], shape[axis + 1]) for axis in range(2))
        share = np.ones(shape[1:])
        if self.mode == "average":
            adaptive = np.outer(end_y - first_y, end_x - first_x)
            share = 1.0 / (adaptive if self.size is not None else np.full(shape[1:], self.kernel[0] * self.kernel[1]))
        return Windows(first_y, end_y, first_x, end_x, share)

    def _along(self, axis: int, n: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        numbers = np.arange(count)
        if self.size is not None:
            first, end = numbers * n // count, -(-(numbers + 1) * n // count)
        else:
            first = numbers * self.stride[axis] - self.padding[axis]
            end = first + self.kernel[axis]
        return np.clip(first, 0, n).astype(np.int32), np.clip(end, 0, n).astype(np.int32)

    def paths(self, axis: int, n: int) -> np.ndarray:
        """Along an axis of n units: 1 where a unit is in a window, (windows, n)."""
        span = n + 2 * self.padding[axis] - self.kernel[axis]
        count = span // self.stride[axis] + 1 if self.size is None else self.size[axis]
        first, end = self._along(axis, n, count)
        units = np.arange(n)
        return ((units >= first[:, None]) & (units < end[:, None])).astype(np.int64)

    def largest(self, below: Shape) -> int:
        """Units of the largest window."""
        w = self.windows(below)
        return int((w.end_y - w.first_y).max() * (w.end_x - w.first_x).max())


def pooled(poolings: Sequence[Pool2d], shape: Shape) -> Shape:
    """What is left of a shape after poolings."""
    for pooling in poolings:
        shape = pooling.shape(shape)
    return shape


def to_grid(shape: tuple[int, ...], grid: int) -> tuple[Pool2d, ...]:
    """Averages that bring maps to at most grid by grid places; none where there are no maps, or no larger ones."""
    if len(shape) != 3 or max(shape[1:]) <= grid:
        return ()
    return (Pool2d(mode="average", size=(min(grid, shape[1]), min(grid, shape[2]))),)


def extent(obj: str, below: Shape, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Pair:
    """(height, width) of what windows of a kernel give. Raises InvalidValueError where there is none."""
    found = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip(below[1:], kernel, stride, padding, dilation, strict=True)]
    if min(found) < 1:
        raise invalid(
            obj, "kernel", f"{kernel} over {below[1:]} with padding {padding}", "within it", "use a smaller kernel or more padding"
        )
    return found[0], found[1]


def check_pairs(obj: str, positive: Mapping[str, Sequence[int]], others: Mapping[str, Sequence[int]]) -> None:
    """Refuse what is no pair (y, x) of integers of at least 1, or 0."""
    for least, pairs in ((1, positive), (0, others)):
        for name, pair in pairs.items():
            if len(pair) != 2 or not all(is_whole(n, least, 2**31) for n in pair):
                raise invalid(obj, name, pair, f"a pair (y, x) of integers of at least {least}", "check the layer")
