"""Piecewise-linear tables: the fixed-point form of a declared unary function.

    y = (x * slope[i] + offset[i]) >> shift      i: the last segment with start[i] <= x

Segments are narrow where the function bends: their ends share out the integral of sqrt|f''| evenly, which
makes the errors of all segments about equal. Products fit a 32-bit register, so a table costs compares,
selects and one multiply-and-shift on any target.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tp_lava.numbers import REGISTER_BITS, Format

_SAMPLES = 4097  # points at which a function is looked at when its segments are laid out
_MAX_SHIFT = 16


@dataclass(frozen=True)
class Piecewise:
    """A table on mantissas 0..last. argument, result: formats; start, offset, slope: one entry a segment."""

    name: str
    argument: Format
    result: Format
    last: int
    start: tuple[int, ...]
    offset: tuple[int, ...]
    slope: tuple[int, ...]
    shift: int

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The table at mantissas x (int array within 0..last). -> int64 mantissas of `result`."""
        i = np.searchsorted(self.start, x, side="right") - 1
        offset, slope = (np.asarray(column, np.int64)[i] for column in (self.offset, self.slope))
        return (x * slope + offset) >> self.shift

    def interval(self, high: int) -> tuple[int, int]:
        """Smallest and largest result over arguments 0..high (by trying each)."""
        results = self(np.arange(high + 1))
        return int(results.min()), int(results.max())

    def buckets(self, most: int) -> Buckets | None:
        """At most so many buckets of 2**shift arguments, in each of which at most one segment begins; None where there are none."""
        shift = max(0, self.last.bit_length() - (most.bit_length() - 1))
        begins = range(0, self.last + 1, 1 << shift)
        inside = [[start for start in self.start if begin < start < begin + (1 << shift)] for begin in begins]
        if len(begins) > most or any(len(starts) > 1 for starts in inside):
            return None
        first = tuple(sum(start <= begin for start in self.start) - 1 for begin in begins)
        return Buckets(shift, first, tuple(starts[0] if starts else self.last + 1 for starts in inside))

    def __str__(self) -> str:
        return f"{self.name}({len(self.start)} segments)"


class Buckets(NamedTuple):
    """Which segment an argument x lies in: first[b] + (x >= next[b]), b = x >> shift."""

    shift: int
    first: tuple[int, ...]
    next: tuple[int, ...]


def fit_piecewise(
    name: str, function: Callable[[np.ndarray], np.ndarray], argument: Format, result: Format, last: int, segments: int
) -> Piecewise:
    """Fit a table to `function` (float64 array to array) on arguments 0..last of format `argument`."""
    starts = _breakpoints(function, argument, last, segments)
    ends = [*starts[1:], last + 1]
    lines = [_line(function, argument, begin, end) for begin, end in zip(starts, ends, strict=True)]
    scale = 2.0**result.frac
    largest = max(abs(slope) * end + abs(value) + 1.0 for (value, slope), end in zip(lines, ends, strict=True)) * scale
    shift = min(_MAX_SHIFT, REGISTER_BITS - 2 - math.ceil(math.log2(largest)))
    slopes = [round(slope * scale * 2.0**shift) for _, slope in lines]
    half = 1 << shift >> 1
    offsets = [
        round(value * scale * 2.0**shift) - slope * begin + half for (value, _), slope, begin in zip(lines, slopes, starts, strict=True)
    ]
    return Piecewise(name, argument, result, last, tuple(starts), tuple(offsets), tuple(slopes), shift)


def _breakpoints(function: Callable[[np.ndarray], np.ndarray], argument: Format, last: int, segments: int) -> list[int]:
    x = np.linspace(0.0, (last + 1) * argument.resolution, _SAMPLES)
    bend = np.sqrt(np.abs(np.diff(function(x), 2))) + 1e-12
    share = np.concatenate([[0.0], np.cumsum(bend)])
    where = np.interp(np.linspace(0.0, share[-1], segments + 1)[:-1], share, x[1:])
    where[0] = 0.0
    return sorted({min(round(w / argument.resolution), last) for w in where})


def _line(function: Callable[[np.ndarray], np.ndarray], argument: Format, begin: int, end: int) -> tuple[float, float]:
    """Value at `begin` and slope per mantissa of the chord over [begin, end], moved to halve its largest error."""
    x = np.arange(begin, end + 1)
    y = function(x * argument.resolution)
    slope = (y[-1] - y[0]) / (end - begin)
    deviation = y - (y[0] + slope * (x - begin))
    return float(y[0] + (deviation.max() + deviation.min()) / 2), float(slope)
