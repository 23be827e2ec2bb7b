"""The third factor: what a neuron multiplies with a presynaptic term to learn.

    y[r,n] = -rate * A[r,n] * sum_c coefficient[c,n] * error[r,c]          A: psi, its trace h, the spike trace, or 1
    h[t+1] = post_decay * h[t] + psi[t]                                    h excludes the present step's psi

A neuron knows A and its own coefficients (TP: its traces; TESS: its fixed bits); the error is a short vector broadcast to the
layer. Fixed point: sign and 7 bits, rounded stochastically, so that rates far below a weight's resolution still act in the
mean. On Loihi a signed factor takes two unsigned rails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tp_lava.dynamics.contrast import ERROR
from tp_lava.dynamics.neuron import DECAY, spike_trace
from tp_lava.dynamics.program import Program
from tp_lava.dynamics.surrogate import SURROGATE
from tp_lava.dynamics.symbols import Symbol, Tracer, fit, multiply, saturate, total
from tp_lava.numbers import REGISTER_BITS, Format

_FRAC = 16  # least fractional bits of signal times factor


@dataclass(frozen=True)
class ThirdFactor:
    """One third factor of a population. prefix: of its ports `rate` and `third_factor`; post: A; formats: of rate and result (fixed)."""

    prefix: str = ""
    post: str = "surrogate"
    rate: Format | None = None
    result: Format | None = None


@dataclass(frozen=True)
class Seen:
    """Formats of what a neuron reads to learn: its coefficients, its spike trace, the trace of psi and the error; None in a real program.

    role: of the port of the coefficients, "input" where they change from step to step, else "parameter"; port: its name,
    "weight" where they are weights, which are stored narrower; signal: of a learning signal
    that was computed before, in the place of coefficients and error.
    """

    coefficient: Format | None = None
    role: str = "input"
    spike_trace: Format | None = None
    post_trace: Format | None = None
    error: Format | None = ERROR
    signal: Format | None = None
    port: str = "coefficient"


def learning_signal(coefficient: Symbol, error: Symbol) -> Symbol:
    """sum_c coefficient[c,n] * error[r,c], exact."""
    fixed = coefficient.tracer.fixed
    exact = Format(REGISTER_BITS, coefficient.format.frac + error.format.frac) if fixed else None
    return total(multiply(coefficient, error, exact), "c")


def gated(signal: Symbol, factor: Symbol | None, rate: Symbol, format: Format | None) -> Symbol:
    """-rate * signal * factor (None: 1); format: of the result (fixed)."""
    if factor is not None:
        fine = Format(REGISTER_BITS, max(signal.format.frac, _FRAC)) if format else None
        signal = multiply(signal, factor, fine)
    return multiply(-signal, rate, format, rounding="stochastic")


def signal_program(sources: int, seen: Seen, *, fixed: bool = False, name: str) -> Program:
    """The learning signal alone, where it has a way to go before neurons use it: over axes (r, c, n).

    Inputs coefficient, or seen.port, (c, n), error (r, c); output signal (r, n) of signal_format(sources, seen).
    """
    t = Tracer(name, fixed=fixed, axes={"r": 1, "c": sources, "n": 1})
    t.write("signal", _signal(t, seen), ("r", "n"), signal_format(sources, seen) if fixed else None)
    return t.program()


def signal_format(sources: int, seen: Seen) -> Format:
    """Of a learning signal: as it was computed before, else exact, with room for the largest."""
    if seen.signal is not None:
        return seen.signal
    assert seen.coefficient is not None
    assert seen.error is not None
    largest = sources * seen.coefficient.high * seen.error.high
    return Format(min(largest.bit_length() + 1, REGISTER_BITS), seen.coefficient.frac + seen.error.frac)


def _signal(t: Tracer, seen: Seen) -> Symbol:
    return learning_signal(t.read(seen.port, seen.role, ("c", "n"), seen.coefficient), t.read("error", "input", ("r", "c"), seen.error))


def back_program(
    sources: Sequence[tuple[int, Format | None, Format | None]], delta: Format | None = None, *, fixed: bool = False, name: str
) -> Program:
    """delta[r,n] = sum over what is above of sum_c W[c,n] * error[r,c]: an error of now goes back through the weights, transposed.

    sources: what is above: how many units, the formats of their weights and of their error; delta: its format (fixed).
    Over axes (r, n, c0, c1, ...). Inputs weight0 (n, c0), error0 (r, c0), and so on; output delta (r, n).
    """
    t = Tracer(name, fixed=fixed, axes={"r": 1, "n": 1, **{f"c{i}": size for i, (size, _, _) in enumerate(sources)}})
    parts = []
    for i, (_, weight, error) in enumerate(sources):
        w = t.read(f"weight{i}", "input", ("n", f"c{i}"), weight)
        e = t.read(f"error{i}", "input", ("r", f"c{i}"), error)
        exact = Format(REGISTER_BITS, weight.frac + error.frac) if weight and error else None
        parts.append(fit(total(multiply(w, e, exact), f"c{i}"), delta))
    whole = parts[0]
    for part in parts[1:]:
        whole = whole + part
    t.write("delta", saturate(whole, delta), ("r", "n"), delta)
    return t.program()


def gated_error_program(delta: Format | None = None, error: Format | None = None, *, fixed: bool = False, name: str) -> Program:
    """error[r,n] = delta[r,n] * psi[r,n]: the error of neurons, as those below see it. Over axes (r, n); inputs delta, surrogate."""
    t = Tracer(name, fixed=fixed, axes={"r": 1, "n": 1})
    psi = t.read("surrogate", "input", ("r", "n"), SURROGATE)
    t.write("error", multiply(t.read("delta", "input", ("r", "n"), delta), psi, error), ("r", "n"), error)
    return t.program()


def resting_program(thirds: Sequence[ThirdFactor], name: str, *, fixed: bool = False) -> Program:
    """The third factors of a step in which nothing is learned, over axes (r, n): zeros."""
    t = Tracer(name, fixed=fixed, axes={"r": 1, "n": 1})
    for third in thirds:
        t.write(f"{third.prefix}third_factor", t.constant(0, third.result), ("r", "n"), third.result)
    return t.program()


def third_factors_program(
    sources: int,
    thirds: Sequence[ThirdFactor],
    seen: Seen = Seen(),  # noqa: B008 (frozen)
    *,
    fixed: bool = False,
    name: str,
    pooled: bool = False,
) -> Program:
    """Over axes (r, c, n); sources: largest c.

    Inputs coefficient (c, n), error (r, c), surrogate and trace (r, n) as far as they are needed; parameters rate of each third factor
    and post_decay; state post_trace (r, n); outputs the third factors (r, n). pooled: input signal (r, n) stands in the place of
    coefficient and error: it came back through a pooling.
    """
    t = Tracer(name, fixed=fixed, axes={"r": 1, **({} if pooled else {"c": sources}), "n": 1})
    held = signal_format(sources, seen) if fixed and pooled else None
    signal = t.read("signal", "input", ("r", "n"), held) if pooled else _signal(t, seen)
    psi = t.read("surrogate", "input", ("r", "n"), SURROGATE)
    factors: dict[str, Symbol | None] = {"surrogate": psi, "one": None}
    posts = {third.post for third in thirds}
    if "post_trace" in posts:
        factors["post_trace"] = t.read("post_trace", "state", ("r", "n"), seen.post_trace)
    if "spike_trace" in posts:
        factors["spike_trace"] = t.read("trace", "input", ("r", "n"), seen.spike_trace)
    for third in thirds:
        rate = t.read(f"{third.prefix}rate", "parameter", (), third.rate)
        t.write(f"{third.prefix}third_factor", gated(signal, factors[third.post], rate, third.result), ("r", "n"), third.result)
    if (trace := factors.get("post_trace")) is not None:
        t.write("post_trace", spike_trace(trace, psi, t.read("post_decay", "parameter", (), DECAY)))
    return t.program()
