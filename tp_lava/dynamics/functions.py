"""Declared functions: each has an exact float form and a fixed-point form with a stated error bound.

Real traces use the exact form. Fixed traces reduce the argument to one octave and look the rest up in a
piecewise-linear table, so that every function costs a few compares, selects and shifts on any target.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from tp_lava.dynamics import piecewise
from tp_lava.dynamics.piecewise import Piecewise
from tp_lava.dynamics.symbols import (
    Symbol,
    absolute,
    apply,
    evaluate,
    fit,
    largest,
    maximum,
    minimum,
    multiply,
    saturate,
    select,
    total,
)
from tp_lava.numbers import REGISTER_BITS, SCORE_BITS, Format

POWER = Format(17, 15, signed=False)  # 2**-f in (1/2, 1]; also probabilities
LOGARITHM = Format(REGISTER_BITS, 12)  # results of log2, arguments of exp2
LOGIT = Format(SCORE_BITS, 12)  # scaled arguments of softmax
RECIPROCAL = Format(30, 28, signed=False)  # of whole numbers
_OCTAVE_BITS = 13  # mantissa bits that index the log2 table
_SEGMENTS = 10
_MAX_COUNT = 31  # largest shift by a register
_LOG2E = Format(16, 14, signed=False)
_SOFTMAX_FLOOR = -24.0  # exp(-24) is below the resolution of a probability

EXP2_ERROR = 2.0**-11  # relative, of exp2 in fixed point, down to the resolution of its result
LOG2_ERROR = 2.0**-10  # absolute
SQRT_ERROR = 2.0**-9  # relative, down to the resolution of its result
RECIPROCAL_ERROR = 2.0**-9  # relative


@lru_cache
def _half_power_table() -> Piecewise:
    return piecewise.fit_piecewise("exp2", lambda f: np.exp2(-f), LOGARITHM, POWER, 2**LOGARITHM.frac - 1, _SEGMENTS)


@lru_cache
def _octave_table() -> Piecewise:
    argument = Format(_OCTAVE_BITS, _OCTAVE_BITS, signed=False)
    return piecewise.fit_piecewise("log2", lambda f: np.log2(1.0 + f), argument, LOGARITHM, argument.high, _SEGMENTS)


def exp2(x: Symbol, into: Format | None = POWER) -> Symbol:
    """2**x. Fixed: x in LOGARITHM's binary point; the result in `into`."""
    if not x.tracer.fixed:
        return apply("exp2", x)
    assert into is not None
    frac = x.format.frac
    octaves = max(0, -(-x.interval[1] >> frac))  # 2**octaves bounds the result
    below = _constant(x, octaves << frac) - x
    whole = _shift_right_const(below, frac)
    power = evaluate(_mask(below, frac), _half_power_table())
    lift = octaves + into.frac - POWER.frac
    if lift > 0:
        power = _relabel(_shift_left(power, lift), into)
    else:
        power, whole = _relabel(power, into), whole + _constant(whole, -lift)
    return saturate(_shift_right(power, whole), into)


def log2(x: Symbol) -> Symbol:
    """log2(x) for x of at least one mantissa step; smaller x count as one. Fixed result: LOGARITHM."""
    if not x.tracer.fixed:
        return apply("log2", x)
    mantissa, top = maximum(x, x.format.resolution), REGISTER_BITS - 2
    exponent = None
    for step in (16, 8, 4, 2, 1):
        limit = 2 ** (top + 1 - step)
        small = mantissa < _constant(mantissa, limit)
        lifted = _relabel(_shift_left(minimum(mantissa, _constant(mantissa, limit - 1)), step), mantissa.format)
        mantissa = select(small, lifted, mantissa)
        less = select(small, _integer(x, -step), _integer(x, 0))
        exponent = less if exponent is None else exponent + less
    assert exponent is not None
    fraction = _mask(_shift_right_const(mantissa, top - _OCTAVE_BITS), _OCTAVE_BITS)
    octave = evaluate(fraction, _octave_table())
    return octave + (exponent + _integer(x, top - x.format.frac))


def sqrt(x: Symbol, into: Format | None) -> Symbol:
    """Square root of x >= 0. Fixed: 2**(log2(x)/2), zero at zero, in `into`."""
    if not x.tracer.fixed:
        return apply("sqrt", x)
    assert into is not None
    half = _relabel(log2(x), Format(REGISTER_BITS, LOGARITHM.frac + 1))
    root = exp2(fit(half, LOGARITHM), into)
    return select(x.equals(0.0), 0.0, root)


def reciprocal(x: Symbol) -> Symbol:
    """1 / x for whole numbers x >= 1, as 2**-log2(x). Fixed result: RECIPROCAL."""
    return exp2(-log2(x), RECIPROCAL) if x.tracer.fixed else 1.0 / x


def softmax(x: Symbol, axis: str) -> Symbol:
    """exp(x) / sum over `axis` of exp(x), as powers of two of a = (x - max x) / ln 2.

    Fixed, where a division is dear: 2**(a - log2(sum of 2**a)); result: POWER.
    """
    below = minimum(x - largest(x, axis), 0.0)
    if not x.tracer.fixed:
        power = exp2(multiply(below, x.tracer.constant(math.log2(math.e)), None))
        return power * reciprocal(total(power, axis))
    exponent = multiply(maximum(below, _SOFTMAX_FLOOR), x.tracer.constant(math.log2(math.e), _LOG2E), LOGARITHM)
    return exp2(exponent - log2(total(exp2(exponent), axis)))


def declared(x: Symbol, function, table: Piecewise | None) -> Symbol:
    """A declared function of |x|: `function` itself, or its table; beyond the table's end, its last value."""
    distance = absolute(x)
    if table is None:
        return function(distance)
    last = table.argument.real(table.last)
    return evaluate(fit(minimum(distance, float(last)), table.argument), table)


# Integer steps of the reductions above (fixed traces only).


def _constant(like: Symbol, mantissa: int) -> Symbol:
    return like.tracer.emit("constant", (), format=like.format, interval=(mantissa, mantissa), value=mantissa)


def _integer(like: Symbol, number: int) -> Symbol:
    return like.tracer.constant(number, Format(REGISTER_BITS, 0))


def _relabel(x: Symbol, format: Format) -> Symbol:
    """The same mantissa read with another binary point."""
    return x.tracer.emit("shift", (x,), by=0, format=Format(REGISTER_BITS, format.frac), interval=x.interval)


def _shift_left(x: Symbol, by: int) -> Symbol:
    interval = (x.interval[0] << by, x.interval[1] << by)
    return x.tracer.emit("shift", (x,), by=by, format=x.format, interval=interval)


def _shift_right_const(x: Symbol, by: int) -> Symbol:
    interval = (x.interval[0] >> by, x.interval[1] >> by)
    return x.tracer.emit("shift", (x,), by=-by, format=Format(REGISTER_BITS, 0), interval=interval)


def _shift_right(x: Symbol, count: Symbol) -> Symbol:
    """x >> count for x >= 0 and count >= 0."""
    count = minimum(count, _constant(count, _MAX_COUNT))
    interval = (x.interval[0] >> count.interval[1], x.interval[1] >> count.interval[0])
    return x.tracer.emit("shift_right", (x, count), format=x.format, interval=interval)


def _mask(x: Symbol, bits: int) -> Symbol:
    mask = _constant(x, 2**bits - 1)
    return x.tracer.emit("and", (x, mask), format=x.format, interval=(0, 2**bits - 1))
