"""Optimisers: how the change that a rule asked for becomes a weight. See tp_lava.optimisers for the equations.

Float alone knows moments; in fixed point the change is rounded stochastically to the weight's resolution, as Loihi does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from tp_lava.dynamics.program import Program
from tp_lava.dynamics.standardisation import change_through
from tp_lava.dynamics.symbols import Symbol, Tracer, apply, multiply, saturate
from tp_lava.numbers import REGISTER_BITS, Format
from tp_lava.optimisers import SGD, Adam, Optimiser


def summed(weight: Symbol, change: Symbol, format: Format | None) -> Symbol:
    """w + g, rounded and saturated to the weight's format."""
    one = change.tracer.constant(1, Format(1, 0, signed=False))
    lift = format.frac - change.format.frac if format else 0
    if lift > 0:  # a coarser change is moved to the weight's binary point, where it must fit the register; the weight saturates anyway
        change = saturate(change, Format(REGISTER_BITS - 2 - lift, change.format.frac))
    rounded = multiply(change, one, Format(REGISTER_BITS, format.frac) if format else None, rounding="stochastic")
    return saturate(weight + rounded, format)


def momentum(velocity: Symbol, change: Symbol, decay: float) -> Symbol:
    """v = decay * v + g."""
    return velocity * decay + change


def _moment(mean: Symbol, value: Symbol, decay: float) -> Symbol:
    """A running mean that starts at zero."""
    return mean * decay + value * (1.0 - decay)


def adam(t: Tracer, optimiser: Adam, change: Symbol, axes: tuple[str, ...]) -> Symbol:
    """m' / (sqrt(v') + epsilon), both moments corrected for their start at zero."""
    moments = []
    for name, value, decay in (("first", change, optimiser.beta1), ("second", change * change, optimiser.beta2)):
        mean = _moment(t.read(f"{name}_moment", "state", axes), value, decay)
        share = _moment(t.read(f"{name}_share", "state"), t.constant(1.0), decay)  # 1 - decay**k
        t.write(f"{name}_moment", mean)
        t.write(f"{name}_share", share)
        moments.append(mean * (1.0 / share))
    first, second = moments
    return first * (1.0 / (apply("sqrt", second) + optimiser.epsilon))


def optimiser_program(
    optimiser: Optimiser,
    sizes: Mapping[str, int],
    weight: Format | None = None,
    change: Format | None = None,
    name: str = "optimiser",
    through: tuple[Sequence[str], float, float] | None = None,
) -> Program:
    """Apply a change and take it back to zero. States weight and change over axes; with moments: theirs, parameter rate.

    sizes: of the axes; through: the axes along which weights are standardised, gain and epsilon: the change is then one of the
    weights that are delivered.
    """
    axes = tuple(sizes)
    t = Tracer(name, fixed=weight is not None, axes=sizes if through else dict.fromkeys(axes, 1))
    w, g = t.read("weight", "state", axes, weight), t.read("change", "state", axes, change)
    if through:
        over, gain, epsilon = through
        g = change_through(w, g, over, prod(sizes[axis] for axis in over), gain, epsilon)
    if optimiser == SGD():
        after = summed(w, g, weight)
    elif isinstance(optimiser, SGD):
        velocity = momentum(t.read("velocity", "state", axes), g, optimiser.momentum)
        t.write("velocity", velocity)
        after = w + velocity * t.read("rate", "parameter")
    else:
        after = w + adam(t, optimiser, g, axes) * t.read("rate", "parameter")
    t.write("weight", after)
    t.write("change", t.constant(0, change))
    return t.program()
