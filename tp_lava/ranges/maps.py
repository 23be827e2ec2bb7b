"""Intervals over maps: convolutions and poolings, channel by channel.

The positions of a channel have one interval: its sums are those of the position that has most. Only where each position has weights
of its own are their sums told apart.
"""

from __future__ import annotations

from functools import reduce

import numpy as np

from tp_lava.circuit import Pool, Unpool
from tp_lava.graph.connections import Convolution
from tp_lava.ranges.intervals import Array, Interval, corners


def by_unit(interval: Interval, count: int) -> Interval:
    """One number for each unit, (count,), whatever its row."""
    low, high = interval.map(np.atleast_2d)
    return Interval(low.min(axis=0), high.max(axis=0)).map(lambda bound: np.repeat(bound, count // len(bound)))


def by_channel(interval: Interval, channels: int) -> Interval:
    """The last axis, of units, with one number for each channel, or one for all where they were not told apart."""
    if interval.low.shape[-1] <= channels:
        return interval
    low, high = interval.map(lambda bound: bound.reshape(*bound.shape[:-1], channels, -1))
    return Interval(low.min(axis=-1), high.max(axis=-1))


# Convolutions -------------------------------------------------------------------------------------


def convolved(kind: Convolution, weights: Interval, sent: Interval) -> Interval:
    """Sums of weights times what the units below may send, or not: (1, channels) or, of weights that are not shared, (1, units).

    weights: as they are stored; sent: (units below,).
    """
    products = corners(weights, _seen(kind, sent)).or_zero()
    place, shape = ("", ()) if kind.shared else ("yx", kind.output_shape[1:])
    inside = [_inside(kind, axis) for axis in range(2)]

    def summed(bound: Array) -> Array:
        taps = np.broadcast_to(bound.sum(axis=-4), (*shape, *kind.kernel, kind.channels))
        return np.einsum(f"ya,xb,{place}abo->oyx", *inside, taps).reshape(1, -1)

    sums = products.map(summed)
    return by_channel(sums, kind.channels) if kind.shared else sums


def learned(kind: Convolution, pre: Interval, third: Interval, rows: int) -> Interval:
    """Sums of the products of every kernel weight: one at each position where it has a synapse, in each row, or not.

    pre: (units below,); third: (units,) or (channels,).
    """
    products = corners(_seen(kind, pre), by_channel(third, kind.channels)).or_zero()
    counts = np.outer(*(_inside(kind, axis).sum(axis=0) for axis in range(2)))[..., np.newaxis]
    return products.map(lambda bound: bound * counts * rows)


def _seen(kind: Convolution, sent: Interval) -> Interval:
    """What each channel below sends to each channel that sees it, (channels below / groups, 1, 1, channels)."""
    each = kind.channels // kind.groups
    groups = by_channel(sent, kind.shape[0]).map(lambda bound: bound.reshape(kind.groups, -1))
    return groups.map(lambda bound: np.repeat(bound, each, axis=0).T[:, np.newaxis, np.newaxis])


def _inside(kind: Convolution, axis: int) -> Array:
    """Along an axis: whether a position's tap is inside the map below, (positions, taps)."""
    return (kind.taps(axis) >= 0).astype(np.int64)


# Pooling ------------------------------------------------------------------------------------------


def pooled(o: Pool, source: Interval, share: Array | None) -> Interval:
    """What a pooling makes of its source, (1, channels). share: as its buffer holds it."""
    source = by_channel(source, o.shape[0])
    if o.pooling.mode == "max":
        return source
    w = o.pooling.windows(o.shape)
    counts = np.outer(w.end_y - w.first_y, w.end_x - w.first_x).ravel()
    shares = np.ones_like(counts) if share is None else share
    windows = {*zip(counts.tolist(), shares.tolist(), strict=True)}
    return reduce(Interval.hull, [_share(corners(source, Interval.of(count, count)), each, o) for count, each in windows])


def unpooled(o: Unpool, signal: Interval, share: Array | None) -> Interval:
    """What a pooling's signals are when they are back at the units, (1, channels)."""
    signal = by_channel(signal, o.shape[0])
    handed = reduce(Interval.hull, [_share(signal, each, o) for each in ({1} if share is None else {*share.tolist()})])
    over = np.outer(*(o.pooling.paths(axis, o.shape[axis + 1]).sum(axis=0) for axis in range(2)))
    least = 0 if o.pooling.mode == "max" else int(over.min())
    return corners(handed, Interval.of(least, over.max()))


def _share(interval: Interval, share: int, o: Pool | Unpool) -> Interval:
    """So much of it, rounded as a back end does; all of it where there are no shares."""
    return interval.map(lambda bound: (bound * share + (1 << o.shift >> 1)) >> o.shift) if o.share else interval
