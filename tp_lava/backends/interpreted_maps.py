"""What the interpreter makes of maps: convolutions, poolings and their way back, on NumPy arrays, place by place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tp_lava.circuit import Pool, Unpool
from tp_lava.graph.connections import Convolution
from tp_lava.graph.pooling import Windows

Array = np.ndarray


class Tap(NamedTuple):
    """One position that a unit reaches: where; the weights to its channels, as an index of stored weights; those channels."""

    y: int
    x: int
    row: tuple[int | slice, ...]
    outputs: slice


def taps_of(kind: Convolution, unit: int) -> Iterator[Tap]:
    """The positions that a unit below a convolution reaches."""
    channels, height, width = kind.pooled_shape
    channel, y, x = np.unravel_index(unit, (channels, height, width))
    group, within = divmod(int(channel), channels // kind.groups)
    outputs = slice(group * (kind.channels // kind.groups), (group + 1) * (kind.channels // kind.groups))
    for a, b in np.ndindex(*kind.kernel):
        oy, ry = divmod(int(y) + kind.padding[0] - a * kind.dilation[0], kind.stride[0])
        ox, rx = divmod(int(x) + kind.padding[1] - b * kind.dilation[1], kind.stride[1])
        if ry == 0 and rx == 0 and 0 <= oy < kind.output_shape[1] and 0 <= ox < kind.output_shape[2]:
            place = () if kind.shared else (oy, ox)
            yield Tap(oy, ox, (*place, within, a, b, outputs), outputs)


def convolved(kind: Convolution, weights: Array, units: Array, values: Array) -> Array:
    """Sums of what active units and their values deliver, (channels, height, width). weights: as stored."""
    maps = np.zeros((*kind.output_shape[1:], kind.channels), values.dtype)
    for unit, value in zip(units, values, strict=True):
        for tap in taps_of(kind, int(unit)):
            maps[tap.y, tap.x, tap.outputs] += weights[tap.row].astype(values.dtype) * value
    return np.moveaxis(maps, -1, 0)


def pooled(o: Pool, source: Array, share: Array | None) -> Array:
    """What windows make of units (n,), (channels, height, width). share: (height * width,), mantissas or numbers."""
    windows, maps = o.pooling.windows(o.shape), _wide(source).reshape(o.shape)
    made = np.zeros(o.pooling.shape(o.shape), maps.dtype)
    for y, x in np.ndindex(*windows.share.shape):
        window = maps[_window(windows, y, x)].reshape(o.shape[0], -1)
        if o.pooling.mode == "max":
            made[:, y, x] = window.max(axis=1, initial=0)
        else:
            made[:, y, x] = _shared(window.sum(axis=1), share, y * made.shape[2] + x, o.shift)
    return made


def unpooled(o: Unpool, signal: Array, source: Array | None, share: Array | None) -> Array:
    """Signals of windows, handed back to their units, (channels, height, width). source: what was pooled, of a maximum."""
    windows, signals = o.pooling.windows(o.shape), _wide(signal).reshape(o.pooling.shape(o.shape))
    back = np.zeros(o.shape, signals.dtype)
    for y, x in np.ndindex(*windows.share.shape):
        place = _window(windows, y, x)
        handed = _shared(signals[:, y, x], share, y * signals.shape[2] + x, o.shift)
        if back[place].size == 0:
            continue
        if source is not None:
            firsts = source.reshape(o.shape)[place].reshape(o.shape[0], -1).argmax(axis=1)
            _, rows, columns = place
            width = columns.stop - columns.start
            np.add.at(back, (np.arange(o.shape[0]), rows.start + firsts // width, columns.start + firsts % width), handed)
        else:
            back[place] += handed[:, np.newaxis, np.newaxis]
    return back


def _wide(array: Array) -> Array:
    return array if array.dtype.kind == "f" else array.astype(np.int64)


def _window(windows: Windows, y: int, x: int) -> tuple[slice, slice, slice]:
    """Where a window is, in all channels."""
    return slice(None), slice(int(windows.first_y[y]), int(windows.end_y[y])), slice(int(windows.first_x[x]), int(windows.end_x[x]))


def _shared(numbers: Array, share: Array | None, place: int, shift: int) -> Array:
    """Numbers times the share of a window's unit; integers are rounded."""
    if share is None:
        return numbers
    if numbers.dtype.kind == "f":
        return numbers * share[place]
    return (numbers * int(share[place]) + (1 << shift >> 1)) >> shift
