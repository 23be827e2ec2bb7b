"""Plasticity: a weight changes by a sum of products of a presynaptic and a postsynaptic term.

    dw = sum of pre * post,   pre: x0 (spike now) or x1 (spike trace),   post: y1, y2, ... (neuron terms)

In fixed point every product is rounded stochastically to the weight's resolution and the weight saturates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tp_lava.dynamics.neuron import DECAY, LIF
from tp_lava.dynamics.parameters import axes_of
from tp_lava.dynamics.program import Program
from tp_lava.dynamics.symbols import Symbol, Tracer, fit, multiply, saturate, total
from tp_lava.numbers import REGISTER_BITS, Format

_NET_FRAC = 10  # fractional bits, at least, of what a threshold's rise is taken from


@dataclass(frozen=True)
class Product:
    """One term of a rule: pre * post."""

    pre: Literal["x0", "x1"]
    post: str


@dataclass(frozen=True)
class PlasticityRule:
    """dw = sum of terms. x0 rules act where the presynaptic unit spikes now, x1 rules where its trace is not zero."""

    terms: tuple[Product, ...]

    @property
    def uses_trace(self) -> bool:
        """Whether any term takes the presynaptic trace."""
        return any(term.pre == "x1" for term in self.terms)


SPIKE_TIMES_THIRD = PlasticityRule((Product("x0", "y1"),))  # TP's hidden layers
TRACE_TIMES_THIRD = PlasticityRule((Product("x1", "y1"),))  # the delta rule of the readout


def plasticity(
    rule: PlasticityRule, weight: Symbol, pre: Mapping[str, Symbol], post: Mapping[str, Symbol], format: Format | None
) -> Symbol:
    """The weight after one event; pre["x0"] is absent (one)."""
    for term in rule.terms:
        factor, change = post[term.post], None
        if term.pre == "x0":
            unit = factor.tracer.constant(1, Format(1, 0, signed=False))
            change = multiply(factor, unit, _unclamped(format), rounding="stochastic")
        else:
            change = multiply(factor, pre[term.pre], _unclamped(format), rounding="stochastic")
        weight = weight + change
    return saturate(weight, format)


def _unclamped(format: Format | None) -> Format | None:
    """The weight's binary point without its limits: only the sum saturates."""
    return Format(REGISTER_BITS, format.frac) if format else None


def plasticity_program(
    rule: PlasticityRule, weight: Format | None = None, post: Format | None = None, trace: Format | None = None, name: str = "plasticity"
) -> Program:
    """One presynaptic unit's row of weights over axis (n). State weight (n); inputs the post terms (n), x1 () if used."""
    t = Tracer(name, fixed=weight is not None, axes={"n": 1})
    w = t.read("weight", "state", ("n",), weight)
    x = {"x1": t.read("x1", "input", (), trace)} if rule.uses_trace else {}
    y = {name: t.read(name, "input", ("n",), post) for name in dict.fromkeys(term.post for term in rule.terms)}
    t.write("weight", plasticity(rule, w, x, y, weight))
    return t.program()


def filtered_plasticity_program(
    weight: Format | None = None,
    post: Format | None = None,
    pre: Format | None = None,
    factor: Format | None = None,
    eligibility: Format | None = None,
    name: str = "plasticity",
) -> Program:
    """The same with a state per synapse: E = filter * E + x1 * a1, then dw = y1 * E.

    Over axis (n). States weight and eligibility (n); inputs y1 and a1 (n), x1 (); parameter filter. Formats: of the weight, y1, x1, a1
    and E. Source: Bellec et al. 2020 (e-prop).
    """
    t = Tracer(name, fixed=weight is not None, axes={"n": 1})
    w, e = t.read("weight", "state", ("n",), weight), t.read("eligibility", "state", ("n",), eligibility)
    product = multiply(t.read("a1", "input", ("n",), factor), t.read("x1", "input", (), pre), eligibility)
    decayed = e * t.read("filter", "parameter", (), DECAY)
    after = saturate(decayed + product, eligibility)
    t.write("eligibility", after)
    change = multiply(t.read("y1", "input", ("n",), post), after, _unclamped(weight), rounding="stochastic")
    t.write("weight", saturate(w + change, weight))
    return t.program()


def membrane_plasticity_program(
    weight: Format | None = None,
    post: Format | None = None,
    pre: Format | None = None,
    retention: Format | None = None,
    kept: Format | None = None,
    name: str = "plasticity",
) -> Program:
    """The same by the derivative of the membrane by the weight: E = kept + x1, dw = y1 * E, kept = retention * E.

    Over axis (n). States weight and eligibility (n), which is kept; inputs y1 and retention (n), x1 (). Formats: of the weight, y1, x1, the
    retention and kept. Source: Bohnstingl et al. 2022 (OSTL), arXiv 2007.12723.
    """
    t = Tracer(name, fixed=weight is not None, axes={"n": 1})
    w, before = t.read("weight", "state", ("n",), weight), t.read("eligibility", "state", ("n",), kept)
    arrived = fit(t.read("x1", "input", (), pre), Format(REGISTER_BITS - 1, kept.frac) if kept else None)
    e = saturate(before + arrived, kept)
    left = t.read("retention", "input", ("n",), retention)
    t.write("eligibility", multiply(e, left, kept))
    change = multiply(t.read("y1", "input", ("n",), post), e, _unclamped(weight), rounding="stochastic")
    t.write("weight", saturate(w + change, weight))
    return t.program()


@dataclass(frozen=True)
class AdaptiveFormats:
    """Formats of what adaptive_plasticity_program reads: y1, x1, psi, adaptation, D and, filtered, E; None in a real program."""

    post: Format | None = None
    pre: Format | None = None
    surrogate: Format | None = None
    adaptation: Format | None = None
    derivative: Format | None = None
    eligibility: Format | None = None

    @property
    def net(self) -> Format | None:
        """Of U: up to twice as large as x1 may be."""
        if self.pre is None:
            return None
        frac = max(self.pre.frac, _NET_FRAC)
        return Format(self.pre.bits - self.pre.signed - self.pre.frac + frac + 2, frac)


def adaptive_plasticity_program(
    weight: Format | None = None,
    formats: AdaptiveFormats = AdaptiveFormats(),  # noqa: B008 (frozen)
    *,
    neuron: LIF,
    filtered: bool = False,
    name: str = "plasticity",
) -> Program:
    """The same by the derivative of an adaptive threshold's trace by the weight, D.

        U = x1 - adaptation * D,   D = adaptation_decay * D + psi * U,   dw = y1 * U
        filtered: E = filter * E + psi * U,   dw = y1 * E

    Over axis (n). States weight, adaptive_derivative and, filtered, eligibility (n); inputs y1 and a1, psi (n), x1 (); parameters
    adaptation and adaptation_decay, over (n) where neuron has one a neuron, and filter. Source: Bellec et al. 2020 (e-prop).
    """
    f, net = formats, formats.net
    t = Tracer(name, fixed=weight is not None, axes={"n": 1})
    w, before = t.read("weight", "state", ("n",), weight), t.read("adaptive_derivative", "state", ("n",), f.derivative)
    psi, y1 = t.read("a1", "input", ("n",), f.surrogate), t.read("y1", "input", ("n",), f.post)
    rise = t.read("adaptation", "parameter", axes_of(neuron.adaptation), f.adaptation)
    arrived = fit(t.read("x1", "input", (), f.pre), net)
    u = saturate(arrived - multiply(before, rise, net), net)
    decayed = before * t.read("adaptation_decay", "parameter", axes_of(neuron.adaptation_decay), DECAY)
    t.write("adaptive_derivative", saturate(decayed + multiply(psi, u, f.derivative), f.derivative))
    if filtered:
        kept = t.read("eligibility", "state", ("n",), f.eligibility) * t.read("filter", "parameter", (), DECAY)
        u = saturate(kept + multiply(psi, u, f.eligibility), f.eligibility)
        t.write("eligibility", u)
    change = multiply(y1, u, _unclamped(weight), rounding="stochastic")
    t.write("weight", saturate(w + change, weight))
    return t.program()


def bias_program(rows: int, weight: Format | None = None, post: Format | None = None, name: str = "bias_plasticity") -> Program:
    """db = sum over rows of y1: the weight of a unit that is always active. Over axes (r, n); state weight (n), input y1 (r, n)."""
    t = Tracer(name, fixed=weight is not None, axes={"r": rows, "n": 1})
    bias = t.read("weight", "state", ("n",), weight)
    change = total(t.read("y1", "input", ("r", "n"), post), "r")
    unit = t.constant(1, Format(1, 0, signed=False))
    t.write("weight", saturate(bias + multiply(change, unit, _unclamped(weight), rounding="stochastic"), weight))
    return t.program()
