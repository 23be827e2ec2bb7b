"""A rule's products in Lava's own learning engine.

Stock `LearningDense` pairs the spikes it receives in a step with the neuron terms of the same step, which the neuron
can only know one step later. With two Lava steps a time step and a learning epoch of two steps they meet: spikes
arrive in the first; the activation, and the third factors that depend on it, follow in the second, where it learns.

Third factors times the spike are on two rails: dw = x0*y1 - x0*y2. With a presynaptic trace, dw = x1*y1 - x1*y2 + x0*(y3 - 64): the third
factor of the trace is on two rails, that of the spike on a third that is offset, for the engine has no fourth. x1 is the
trace, which the engine keeps: it decays once in each Lava step, so twice in a time step, and only silence takes it back to zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from tp_lava.checks import is_whole
from tp_lava.circuit import names
from tp_lava.circuit.formats import FixedPoint, first_weights, plan, start_weights, stock_trace_frac
from tp_lava.circuit.terms import third_factor_of
from tp_lava.dynamics.neuron import FADED
from tp_lava.errors import invalid
from tp_lava.graph.network import Network
from tp_lava.lava.shim import make_importable
from tp_lava.numbers import THIRD_FACTOR_BITS
from tp_lava.rules import BaseRule

PERIOD = 2  # Lava steps of a time step, and of a learning epoch
OFFSET = 64  # what the third rail carries for zero
_RAIL = 2 ** (THIRD_FACTOR_BITS - 1) - 1
_NO_DECAY = 1e18  # Lava decays y once, by exp(-1/tau), before it uses it
_PRODUCT_SHIFT = 3  # fixed point: a product of two traces comes out 2^-3 smaller

EngineTerms = Mapping[str, Literal["x0", "x1"]]


# What a rule declares -------------------------------------------------------------------------------


def engine_terms(rule: BaseRule) -> EngineTerms:
    """Name of a term -> what the engine multiplies its third factor with: x0, the presynaptic spike, or x1, its trace.

    Biases are not the engine's. Raises InvalidValueError for a rule that it cannot carry out.
    """
    terms = [term for term in rule.terms if term.pre != "one" and term.factor]
    found: EngineTerms = {term.name: "x1" if term.pre == "trace" and rule.keeps_pre_trace else "x0" for term in terms}
    refused = {
        "the readout's error": rule.credit.needs_readout_error,
        "states of synapses": any(term.filter or term.membrane or term.adapts for term in terms),
        "second presynaptic traces": any(term.pre == "second_trace" for term in terms),
        "presynaptic traces": rule.keeps_pre_trace and sorted(found.values()) not in (["x1"], ["x0", "x1"]),
    }
    if reasons := [what for what, is_so in refused.items() if is_so]:
        limit = "one of third factors times spikes, beside at most one times a trace"
        raise invalid("LearningTraceLIF", "rule", f"{type(rule).__name__}, by {reasons[0]}", limit, "use layers=True")
    return found


# Terms in the engine --------------------------------------------------------------------------------


def _offset_term(terms: EngineTerms) -> str | None:
    """The term that has the rail y3 to itself: that of x0 beside one of x1."""
    return next((name for name, pre in terms.items() if pre == "x0"), None) if "x1" in terms.values() else None


def learning_rule_string(terms: EngineTerms, shift: int = 0) -> str:
    """Terms as dw of a Loihi3FLearningRule: on the rails y1 and y2, by a factor of 2^-shift, and y3."""
    pre = f"2^{-shift}*{'u0*x1' if 'x1' in terms.values() else 'x0'}"
    offset = "" if _offset_term(terms) is None else f" + 2^0*x0*(y3-{OFFSET})"
    return f"{pre}*y1 - {pre}*y2{offset}"


def rails(terms: EngineTerms, third_factors: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The third factors of a layer, by the names of their terms, as y1, y2 and y3, none of them negative."""
    offset = _offset_term(terms)
    paired = np.add.reduce([third_factors[name] for name in terms if name != offset])
    if np.issubdtype(paired.dtype, np.integer):
        paired = np.clip(paired, -_RAIL, _RAIL)
    y3 = np.zeros(paired.shape) if offset is None else third_factors[offset].astype(np.float64) + OFFSET
    return np.maximum(paired, 0), np.maximum(-paired, 0), y3


def loihi_rule(rule: BaseRule, shift: int = 0, trace_frac: int | None = None, seed: int = 0) -> Any:
    """How a rule changes the hidden weights, as a stock Loihi3FLearningRule.

        without a presynaptic trace:  dw = 2^-shift*x0*y1 - 2^-shift*x0*y2                               (TP)
        with one:                     dw = 2^-shift*u0*x1*y1 - 2^-shift*u0*x1*y2 + 2^0*x0*(y3-64)        (TESS)

    shift: 0..7, with a trace -8..7; trace_frac: x1 is the presynaptic trace times 2**trace_frac, with a whole impulse, as
    fixed point needs it, or, if None, the trace itself; seed: of the engine's rounding of x1 in fixed point.
    Raises InvalidValueError for another shift and a rule that the engine cannot carry out, LavaUnavailableError without lava-nc.
    """
    terms = engine_terms(rule)
    lowest = -8 if rule.keeps_pre_trace else 0
    if not is_whole(shift, lowest, 8):
        raise invalid("loihi_rule", "shift", repr(shift), f"an integer in [{lowest}, 8)", "put the rest of the factor into the rate")
    trace: dict[str, Any] = {}
    if rule.keeps_pre_trace:
        decay = rule.pre_decay ** (1 / PERIOD)
        impulse = 1.0 / decay if trace_frac is None else round(2.0**trace_frac / decay)  # decayed once before it acts
        trace = {"x1_impulse": impulse, "x1_tau": -1.0 / math.log(decay), "rng_seed": seed}
    make_importable()
    from lava.magma.core.learning.learning_rule import Loihi3FLearningRule

    made = Loihi3FLearningRule(dw=learning_rule_string(terms, shift), t_epoch=PERIOD, **trace)
    made.y1_tau = made.y2_tau = made.y3_tau = _NO_DECAY
    return made


def pause(rule: BaseRule | None) -> int:
    """Silent time steps between two samples in which the learning engine's traces fade."""
    return math.ceil(math.log(FADED) / math.log(rule.pre_decay)) if rule and rule.keeps_pre_trace else 0


def check_stock(network: Network, rule: BaseRule | None) -> None:
    """Raise InvalidValueError for what one LearningDense cannot learn."""
    rates = tuple(rule.rates(network).values()) if rule else ()
    reaching = network.into(network.populations[0])
    plain = len(reaching) == 1 and not reaching[0].kind.by_place and network.input_format is None and not reaching[0].delays
    if len(rates) != 1 or rates[0] == 0 or not plain:
        remedy = "use layers=True, or PlasticDense in a network of your own"
        limit = "with one hidden layer, all-to-all and not recurrent, that learns from plain spikes without delays"
        raise invalid("LearningTraceLIF", "network", f"{network!r}, rates {rates}", limit, remedy)
    assert rule is not None
    if rule.update != "step":
        remedy = 'stock LearningDense does not sum changes; use update="step", or layers=True, whose connections do'
        raise invalid("LearningTraceLIF", "rule.update", repr(rule.update), '"step"', remedy)
    engine_terms(rule)


def learning_dense(network: Network, rule: BaseRule, fixed: FixedPoint | None = None, seed: int = 0, **options: Any) -> Any:
    """A stock LearningDense with the network's weights into its hidden layer, which learns by the rule.

    fixed: None for a floating_pt run; else its weights are mantissas in the learning engine's units; seed: of the engine's
    rounding of traces; options: as LearningDense's. Connect its s_in_bap, s_in_y1 to s_in_y3 to a LearningTraceLIF.
    Raises InvalidValueError as check_stock does.
    """
    check_stock(network, rule)
    name, scale = first_weights(network), dict[str, int]()
    weights = network.weights[name].astype(np.float64)
    if fixed:
        fixed = replace(fixed, stock=True).resolved(network, rule)
        formats = plan(network, rule, fixed)
        weights = formats[name].quantise(start_weights(network, fixed)[name])
        if rule.keeps_pre_trace:
            (term,) = (term for term in rule.terms if term.pre == "trace" and term.factor)
            traced = formats[names.of(third_factor_of(network.populations[0], term), "third_factor")]
            frac = stock_trace_frac(rule.pre_decay)
            scale = {"shift": traced.frac + frac - formats[name].frac - _PRODUCT_SHIFT, "trace_frac": frac}
    learning_rule = loihi_rule(rule, seed=seed, **scale)
    from lava.proc.dense.process import LearningDense

    return LearningDense(weights=weights, learning_rule=learning_rule, name=options.pop("name", name), **options)
