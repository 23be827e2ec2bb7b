"""The third factor: what a neuron multiplies with a presynaptic term to learn.

    y[r,n] = -rate * psi[r,n] * sum_c coefficient[c,n] * error[r,c]

A neuron knows psi and its own coefficients (TP: its traces; TESS: its fixed bits, see tess.py); the error is a
short vector broadcast to the layer. Fixed point: sign and 7 bits, rounded stochastically, so that rates far
below a weight's resolution still act in the mean. On Loihi a signed factor takes two unsigned rails.
"""

from __future__ import annotations

from tp_lava.dynamics.contrast import ERROR
from tp_lava.dynamics.program import Program
from tp_lava.dynamics.surrogate import SURROGATE
from tp_lava.dynamics.symbols import Symbol, Trace, multiply, total
from tp_lava.numbers import REGISTER_BITS, Format

_FRAC = 16  # least fractional bits of signal times factor


def learning_signal(coefficient: Symbol, error: Symbol) -> Symbol:
    """sum_c coefficient[c,n] * error[r,c], exact."""
    fixed = coefficient.trace.fixed
    exact = Format(REGISTER_BITS, coefficient.format.frac + error.format.frac) if fixed else None
    return total(multiply(coefficient, error, exact), "c")


def gated(signal: Symbol, factor: Symbol, rate: Symbol, format: Format | None) -> Symbol:
    """-rate * signal * factor; format: of the result (fixed)."""
    fine = Format(REGISTER_BITS, max(signal.format.frac, _FRAC)) if format else None
    product = multiply(signal, factor, fine)
    return multiply(-product, rate, format, rounding="stochastic")


def third_factor_program(
    sources: int,
    coefficient: Format | None = None,
    rate: Format | None = None,
    result: Format | None = None,
    name: str = "third_factor",
) -> Program:
    """Over axes (r, c, n); sources: largest c.

    Inputs coefficient (c, n), error (r, c), surrogate (r, n); parameter rate; output third (r, n).
    """
    t = Trace(name, fixed=coefficient is not None, axes={"r": 1, "c": sources, "n": 1})
    signal = learning_signal(t.read("coefficient", "input", ("c", "n"), coefficient), t.read("error", "input", ("r", "c"), ERROR))
    psi, scale = t.read("surrogate", "input", ("r", "n"), SURROGATE), t.read("rate", "parameter", (), rate)
    t.write("third", gated(signal, psi, scale, result), ("r", "n"), result)
    return t.program()
