"""What events carry: the formats of pooled spikes and of graded input, and the shares of an average.

In fixed point a sum is a whole number; an average over 2**k units is the sum with k bits behind its binary point where that has at most
16 bits, and any other the sum times 2**16 / units, rounded to 8 more bits, or to 16 in all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tp_lava.graph.names import INPUT
from tp_lava.graph.network import Connection, Network
from tp_lava.graph.pooling import Pool2d, Shape
from tp_lava.numbers import Format

SPIKE = Format(1, 0, signed=False)
SHARE_BITS = 16  # of a unit's share of its window
_AVERAGE_BITS = 8  # that an average has more than what it is of, where it is rounded
_WIDEST = 16  # bits of an average: sums of many must fit a register
_SHARE = Format(SHARE_BITS + 1, SHARE_BITS, signed=False)


@dataclass(frozen=True)
class Arrival:
    """What reaches a connection: events, the buffer of their values ("" where they are 1), the axis of their units, their format.

    signed: whether values may be negative.
    """

    events: str
    values: str
    axis: str
    format: Format | None
    signed: bool = False


@dataclass(frozen=True, eq=False)
class Pooled:
    """What a pooling makes: shape and format of the result; shares of a unit in each window, None where they are 1, and their format;
    shift: of the sum times a share.
    """

    shape: Shape
    format: Format | None
    shares: np.ndarray | None = None
    share_format: Format | None = None
    shift: int = 0


def pooled_format(pooling: Pool2d, shape: Shape, format: Format | None) -> Pooled:
    """What a pooling makes of units of this shape and format (None: real)."""
    result, shares = pooling.shape(shape), pooling.windows(shape).share
    if pooling.mode == "max":
        return Pooled(result, format)
    if format is None:
        return Pooled(result, None, shares if pooling.mode == "average" else None)
    largest = pooling.largest(shape) * format.high
    if pooling.mode == "sum":
        return Pooled(result, _holding(largest, format.frac, format.signed))
    octaves = np.log2(shares)
    if (octaves == octaves.flat[0]).all() and octaves.flat[0] == int(octaves.flat[0]):
        exact = _holding(largest, format.frac - int(octaves.flat[0]), format.signed)
        if exact.bits <= _WIDEST:
            return Pooled(result, exact)
    more = max(0, min(_AVERAGE_BITS, _WIDEST - format.bits))
    held = _holding(format.high << more, format.frac + more, format.signed)
    return Pooled(result, held, shares, _SHARE, SHARE_BITS - more)


def unpooled_shares(pooling: Pool2d, shape: Shape, *, fixed: bool) -> tuple[np.ndarray | None, Format | None]:
    """The shares by which a window's signal goes back to its units, and their format."""
    if pooling.mode != "average":
        return None, None
    return pooling.windows(shape).share, _SHARE if fixed else None


def sent_format(network: Network, name: str) -> Format:
    """The format of what the input or a population sends, in fixed point."""
    if name == INPUT:
        return network.input_format or SPIKE
    population = network.population(name)
    return _after(population.pooling, population.shape, SPIKE)


def arriving_format(network: Network, connection: Connection) -> Format:
    """The format of what reaches a connection, after poolings of its own."""
    kind, format = connection.kind, sent_format(network, connection.pre)
    return _after(kind.pooling, kind.shape, format)


def _after(poolings: Sequence[Pool2d], shape: Shape, format: Format) -> Format:
    """A format after poolings."""
    for pooling in poolings:
        made = pooled_format(pooling, shape, format)
        assert made.format is not None
        shape, format = made.shape, made.format
    return format


def _holding(largest: int, frac: int, signed: bool) -> Format:
    return Format(largest.bit_length() + signed, frac, signed)
