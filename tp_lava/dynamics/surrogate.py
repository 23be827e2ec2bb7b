"""Surrogate derivatives of the spike: how much a neuron near its threshold counts as "about to spike".

Each is a function of the distance |v - theta| alone, 1 (or its height) at the threshold and falling to
zero; `profile` is its one definition, used exactly in float and as a piecewise-linear table in fixed point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tp_lava.checks import is_number
from tp_lava.dynamics import functions
from tp_lava.dynamics.piecewise import Piecewise, fit_piecewise
from tp_lava.dynamics.symbols import Symbol, maximum
from tp_lava.errors import invalid
from tp_lava.numbers import Format

SURROGATE = Format(11, 10, signed=False)  # values 0..1.999
SURROGATE_ERROR = 0.005  # of every table, against the exact profile
_ARGUMENT_BITS = 14
_SEGMENTS = 10
_TAIL = 2.0**-9  # a table ends where its profile is below this


def _positive(obj: str, attr: str, value: float) -> None:
    if not is_number(value) or value <= 0:
        raise invalid(obj, attr, value, "a positive number", "leave it out for the published value")


@dataclass(frozen=True)
class ArcTan:
    """psi = 1 / (1 + (pi * scale * d)**2), d = |v - theta|. Published with TP (scale 1); after Fang et al. 2021."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        _positive("ArcTan", "scale", self.scale)

    def profile(self, distance):
        """psi at d (symbol or float64 array)."""
        steep = distance * (math.pi * self.scale)
        return 1.0 / (steep * steep + 1.0)


@dataclass(frozen=True)
class Triangle:
    """psi = height * max(0, 1 - d / width), d = |v - theta|. Published with S-TLLR and TESS (0.3, 1)."""

    height: float = 0.3
    width: float = 1.0

    def __post_init__(self) -> None:
        _positive("Triangle", "height", self.height)
        _positive("Triangle", "width", self.width)
        if self.height >= SURROGATE.largest:
            raise invalid("Triangle", "height", self.height, f"below {SURROGATE.largest:.3f}", "put the factor into the rate")

    def profile(self, distance):
        """psi at d (symbol or float64 array)."""
        ramp = distance * (-self.height / self.width) + self.height
        return maximum(ramp, 0.0) if isinstance(ramp, Symbol) else np.maximum(ramp, 0.0)


@dataclass(frozen=True)
class FastSigmoid:
    """psi = 1 / (slope * d + 1)**2, d = |v - theta|. After Zenke and Ganguli 2018 (SuperSpike); slope 25 as in snnTorch."""

    slope: float = 25.0

    def __post_init__(self) -> None:
        _positive("FastSigmoid", "slope", self.slope)

    def profile(self, distance):
        """psi at d (symbol or float64 array)."""
        root = distance * self.slope + 1.0
        return 1.0 / (root * root)


Surrogate = ArcTan | Triangle | FastSigmoid


def stretched(surrogate: Surrogate, factor: float) -> Surrogate:
    """The surrogate with psi(d) -> psi(d / factor): as wide for a threshold of `factor` as the given one is for 1. factor: > 0."""
    if factor == 1:
        return surrogate
    if isinstance(surrogate, ArcTan):
        return ArcTan(surrogate.scale / factor)
    if isinstance(surrogate, Triangle):
        return Triangle(surrogate.height, surrogate.width * factor)
    return FastSigmoid(surrogate.slope / factor)


def peak(surrogate: Surrogate) -> float:
    """psi at the threshold, its largest value."""
    return float(surrogate.profile(np.zeros(1))[0])


@lru_cache
def surrogate_table(surrogate: Surrogate) -> Piecewise:
    """The fixed-point form: 10 segments up to where the profile has faded."""
    reach = 1.0
    while surrogate.profile(np.array([reach]))[0] > _TAIL and reach < 2.0**10:
        reach *= 2.0
    while surrogate.profile(np.array([reach / 2]))[0] <= _TAIL and reach > 2.0**-10:
        reach /= 2.0
    argument = Format(_ARGUMENT_BITS + 1, _ARGUMENT_BITS - round(math.log2(reach)), signed=False)
    name = type(surrogate).__name__
    return fit_piecewise(name, surrogate.profile, argument, SURROGATE, 2**_ARGUMENT_BITS, _SEGMENTS)


def pseudo_derivative(surrogate: Surrogate, excess: Symbol) -> Symbol:
    """psi of a membrane that is `excess` = v - theta above its threshold."""
    table = surrogate_table(surrogate) if excess.tracer.fixed else None
    return functions.declared(excess, surrogate.profile, table)
