"""Random programs: any mixture of instructions on any axes, as long as it fits its registers."""

import numpy as np

from tp_lava.dynamics import functions
from tp_lava.dynamics.surrogate import ArcTan, Triangle, pseudo_derivative
from tp_lava.dynamics.symbols import (
    Tracer,
    absolute,
    fit,
    largest,
    maximum,
    minimum,
    multiply,
    saturate,
    select,
    spike,
    total,
)
from tp_lava.errors import NumberRangeError
from tp_lava.numbers import Format

AXES = [("n",), ("row", "n"), ("b", "k", "n")]
ROUNDINGS = ["zero", "floor", "nearest", "stochastic"]


def random_format(rng):
    signed = bool(rng.random() < 0.7)
    return Format(int(rng.integers(2, 25)), int(rng.integers(-2, 15)), signed)


def random_program(rng, fixed=True, length=14):
    """A program and the sizes of its axes."""
    axes = AXES[rng.integers(len(AXES))]
    sizes = {axis: int(rng.integers(1, 40 if axis == "n" else 5)) for axis in axes}
    t = Tracer("random_program", fixed=fixed, axes=sizes)
    pool = [t.read(f"p{i}", *_port(rng, axes)) for i in range(int(rng.integers(2, 5)))]
    state = t.read("state", "state", axes, Format(int(rng.integers(4, 25)), int(rng.integers(0, 12))))
    pool.append(state)
    for _ in range(length):
        try:
            pool.append(_step(rng, t, pool))
        except NumberRangeError:
            pool.append(_narrow(rng, pool[rng.integers(len(pool))]))
    t.write("state", _like(pool[-1], state))
    for i in range(int(rng.integers(1, 4))):
        symbol = pool[rng.integers(len(pool))]
        order = tuple(rng.permutation(list(axes)).tolist())
        t.write(f"out{i}", symbol, order, Format(32, symbol.format.frac) if fixed else None)
    return t.program(), sizes


def _port(rng, axes):
    kind = rng.integers(3)
    if kind == 0:
        return "parameter", (), random_format(rng)
    kept = tuple(a for a in axes if rng.random() < 0.7) or axes[-1:]
    return "input", tuple(rng.permutation(list(kept)).tolist()), random_format(rng)


def _like(symbol, state):
    if not symbol.tracer.fixed:
        return symbol
    try:
        return fit(symbol, state.format) if abs(symbol.format.frac - state.format.frac) < 25 else state
    except NumberRangeError:
        return state


def _narrow(rng, symbol):
    """The symbol in few bits, so that the next operation fits."""
    if not symbol.tracer.fixed:
        return symbol
    return saturate(symbol, Format(int(rng.integers(2, 12)), symbol.format.frac))


def _step(rng, t, pool):
    a, b = (pool[i] for i in rng.integers(len(pool), size=2))
    if t.fixed and abs(a.format.frac - b.format.frac) > 12:
        b = a
    match int(rng.integers(14)):
        case 0:
            return a + b
        case 1:
            return a - b
        case 2:
            return multiply(a, b, _target(rng, a, b), ROUNDINGS[rng.integers(4)])
        case 3:
            return select(a < b, a, b)
        case 4:
            return select(a >= b, -a, 0.0)
        case 5:
            return spike(a > b)
        case 6:
            return minimum(a, b) if rng.random() < 0.5 else maximum(a, b)
        case 7:
            return absolute(a)
        case 8:
            return fit(a, random_format(rng)) if not t.fixed or a.format.frac < 15 else _narrow(rng, a)
        case 9 | 10:
            return _reduce(rng, t, a)
        case 11:
            return _function(rng, t, a)
        case 12:
            return select(a.equals(b), a, b)
        case _:
            return a * b


def _target(rng, a, b):
    if not a.tracer.fixed:
        return None
    frac = int(np.clip(a.format.frac + b.format.frac - rng.integers(0, 20), -2, 20))
    return Format(int(rng.integers(3, 33)), frac)


def _reduce(rng, t, a):
    if not a.value.axes:
        return -a
    axis = a.value.axes[rng.integers(len(a.value.axes))]
    return total(a, axis) if rng.random() < 0.5 else largest(a, axis)


def _function(rng, t, a):
    if rng.random() < 0.4:
        return pseudo_derivative(ArcTan() if rng.random() < 0.5 else Triangle(), a)
    if not t.fixed:
        return functions.exp2(minimum(a, 0.0))
    if rng.random() < 0.5:
        return functions.log2(a)
    return functions.exp2(fit(minimum(a, 0.0), functions.LOGARITHM))
