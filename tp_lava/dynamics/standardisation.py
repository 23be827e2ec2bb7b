"""Weight standardisation: the weights that are delivered, and what a change of them is for those that are kept.

    V = gain * c / q,   c = W - mean(W),   q = sqrt(sum(c^2) + epsilon)          over what reaches one unit, or one channel
    dW = gain / q * (G - mean(G) - c * sum(G * c) / q^2)                        G = dV

Real programs alone: fixed point holds V. Source: arXiv 2509.13053.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from tp_lava.dynamics.program import Program
from tp_lava.dynamics.symbols import Symbol, Tracer, apply, total


def _summed(x: Symbol, over: Sequence[str]) -> Symbol:
    for axis in over:
        x = total(x, axis)
    return x


def _centred(x: Symbol, over: Sequence[str], count: int) -> Symbol:
    return x - _summed(x, over) * (1.0 / count)


def _reciprocal_size(centred: Symbol, over: Sequence[str], epsilon: float) -> Symbol:
    return 1.0 / apply("sqrt", _summed(centred * centred, over) + epsilon)


def standardised_program(axes: Sequence[tuple[str, int]], over: Sequence[str], gain: float, epsilon: float, name: str) -> Program:
    """V of W. axes: (name, size) of W, in order; over: those of the weights that reach one unit. Input weight, output delivered."""
    sizes = dict(axes)
    t = Tracer(name, fixed=False, axes=sizes)
    centred = _centred(t.read("weight", "input", tuple(sizes)), over, prod(sizes[axis] for axis in over))
    t.write("delivered", centred * (_reciprocal_size(centred, over, epsilon) * gain), tuple(sizes))
    return t.program()


def change_through(weight: Symbol, change: Symbol, over: Sequence[str], count: int, gain: float, epsilon: float) -> Symbol:
    """dW of G. count: weights that reach one unit."""
    centred = _centred(weight, over, count)
    reciprocal = _reciprocal_size(centred, over, epsilon)
    along = _summed(change * centred, over) * (reciprocal * reciprocal)
    return (_centred(change, over, count) - centred * along) * (reciprocal * gain)
