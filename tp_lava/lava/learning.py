"""Our rules in Lava's own learning engine.

Stock `LearningDense` pairs the spikes it receives in a step with the neuron terms of the same step, which the neuron
can only know one step later. With two Lava steps a time step and a learning epoch of two steps they meet: spikes
arrive in the first; the activation, and the third factors that depend on it, follow in the second, where it learns.

TP: dw = x0*y1 - x0*y2, the third factor on two rails. TESS: dw = x1*y1 - x1*y2 + x0*(y3 - 64), the causal factor on two
rails, the acausal one on a third that is offset, for the engine has no fourth. x1 is the presynaptic trace, which the
engine keeps: it decays once in each Lava step, so twice in a time step, and only silence takes it back to zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from tp_lava.checks import is_whole
from tp_lava.dynamics.neuron import FADED
from tp_lava.dynamics.plasticity import SPIKE_TIMES_THIRD, TRACE_TIMES_THIRD
from tp_lava.errors import invalid
from tp_lava.circuit.formats import FixedPoint, plan, start_weights, stock_trace_frac
from tp_lava.lava.shim import make_importable
from tp_lava.graph.network import Network
from tp_lava.numbers import THIRD_FACTOR_BITS
from tp_lava.rules import TESS, Rule

PERIOD = 2  # Lava steps of a time step, and of a learning epoch
OFFSET = 64  # what the third rail carries for zero
_RAIL = 2 ** (THIRD_FACTOR_BITS - 1) - 1
_NO_DECAY = 1e18  # Lava decays y once, by exp(-1/tau), before it uses it
_PRODUCT_SHIFT = 3  # fixed point: a product of two traces comes out 2^-3 smaller

Terms = Mapping[str, Literal["x0", "x1"]]


# What the rules change the hidden weights by: all that this module knows of particular rules ------


def terms_of(rule: Rule) -> Terms:
    """Name of a layer's third factor -> what it is multiplied with: x0, the presynaptic spike, or x1, its trace.

    Raises InvalidValueError for a rule with a trace that is not known here.
    """
    if isinstance(rule, TESS):
        causal: Terms = {"causal_third": "x1" if keeps_trace(rule) else "x0"} if rule.causal else {}
        return {**causal, "acausal_third": "x0"} if rule.acausal else causal
    if keeps_trace(rule):
        limit = "of the form spike times third factor, or TESS"
        raise invalid("LearningTraceLIF", "rule", f"{type(rule).__name__}, by presynaptic traces", limit, "use layers=True")
    return {"third": "x0"}


def keeps_trace(rule: Rule) -> bool:
    """Whether the learning engine must keep presynaptic traces for a rule: one of decay 0 is the spike."""
    return rule.pre_trace_decay > 0


# Terms in the engine ------------------------------------------------------------------------------


def _offset_third(terms: Terms) -> str | None:
    """The third factor that has the rail y3 to itself: one of x0 beside one of x1."""
    return next((third for third, pre in terms.items() if pre == "x0"), None) if "x1" in terms.values() else None


def learning_rule_string(terms: Terms, shift: int = 0) -> str:
    """Terms as dw of a Loihi3FLearningRule: on the rails y1 and y2, by a factor of 2^-shift, and y3."""
    if "x1" not in terms.values():
        return SPIKE_TIMES_THIRD.loihi_string({"y1": shift})
    return TRACE_TIMES_THIRD.loihi_string({"y1": shift}) + (f" + 2^0*x0*(y3-{OFFSET})" if _offset_third(terms) else "")


def rails(terms: Terms, thirds: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A layer's third factors, by name, as y1, y2 and y3, none of them negative."""
    offset = _offset_third(terms)
    paired = np.add.reduce([third for name, third in thirds.items() if name != offset])
    if np.issubdtype(paired.dtype, np.integer):
        paired = np.clip(paired, -_RAIL, _RAIL)
    y3 = np.zeros(paired.shape) if offset is None else thirds[offset].astype(np.float64) + OFFSET
    return np.maximum(paired, 0), np.maximum(-paired, 0), y3


def loihi_rule(rule: Rule, shift: int = 0, trace_frac: int | None = None, seed: int = 0) -> Any:
    """How a rule changes the hidden weights, as a stock Loihi3FLearningRule.

        TP, or TESS without a trace:  dw = 2^-shift*x0*y1 - 2^-shift*x0*y2
        TESS:                         dw = 2^-shift*u0*x1*y1 - 2^-shift*u0*x1*y2 + 2^0*x0*(y3-64)

    shift: 0..7, with a trace -8..7; trace_frac: x1 is the presynaptic trace times 2**trace_frac, with a whole impulse, as
    fixed point needs it, or, if None, the trace itself; seed: of the engine's rounding of x1 in fixed point.
    Raises InvalidValueError for another shift, LavaUnavailableError without lava-nc.
    """
    terms = terms_of(rule)
    lowest = -8 if keeps_trace(rule) else 0
    if not is_whole(shift, lowest, 8):
        raise invalid("loihi_rule", "shift", repr(shift), f"an integer in [{lowest}, 8)", "put the rest of the factor into the rate")
    trace: dict[str, Any] = {}
    if keeps_trace(rule):
        decay = rule.pre_trace_decay ** (1 / PERIOD)
        impulse = 1.0 / decay if trace_frac is None else round(2.0**trace_frac / decay)  # decayed once before it acts
        trace = {"x1_impulse": impulse, "x1_tau": -1.0 / math.log(decay), "rng_seed": seed}
    make_importable()
    from lava.magma.core.learning.learning_rule import Loihi3FLearningRule

    made = Loihi3FLearningRule(dw=learning_rule_string(terms, shift), t_epoch=PERIOD, **trace)
    made.y1_tau = made.y2_tau = made.y3_tau = _NO_DECAY
    return made


def pause(rule: Rule | None) -> int:
    """Silent time steps between two samples in which the learning engine's traces fade."""
    return math.ceil(math.log(FADED) / math.log(rule.pre_trace_decay)) if rule and keeps_trace(rule) else 0


def check_stock(network: Network, rule: Rule | None) -> None:
    """Raise InvalidValueError for what one LearningDense cannot learn."""
    rates = rule.rates(len(network.layers)) if rule else (0.0,)
    if rule is None or len(network.layers) > 1 or network.layers[0].recurrent or rates[0] == 0:
        found = f"{network!r}, rates {rates}"
        remedy = "use layers=True, or PlasticDense in a network of your own"
        raise invalid("LearningTraceLIF", "network", found, "with one hidden layer, not recurrent, that learns", remedy)
    if rule.update != "step":
        remedy = 'stock LearningDense does not sum changes; use update="step", or layers=True, whose connections do'
        raise invalid("LearningTraceLIF", "rule.update", repr(rule.update), '"step"', remedy)
    terms_of(rule)


def learning_dense(network: Network, rule: Rule, fixed: FixedPoint | None = None, seed: int = 0, **options: Any) -> Any:
    """A stock LearningDense with the network's weights into its hidden layer, which learns by the rule.

    fixed: None for a floating_pt run; else its weights are mantissas in the learning engine's units; seed: of the engine's
    rounding of traces; options: as LearningDense's. Connect its s_in_bap, s_in_y1 to s_in_y3 to a LearningTraceLIF.
    """
    check_stock(network, rule)
    weights, scale = network.weights["hidden0"].astype(np.float64), dict[str, int]()
    if fixed:
        fixed = replace(fixed, stock=True).resolved(network, rule)
        formats = plan(network, rule, fixed)
        weights = formats["hidden0"].quantise(start_weights(network, fixed)["hidden0"])
        if keeps_trace(rule):
            frac = stock_trace_frac(rule.pre_trace_decay)
            (traced,) = (third for third, pre in terms_of(rule).items() if pre == "x1")
            shift = formats[f"hidden0_{traced}"].frac + frac - formats["hidden0"].frac - _PRODUCT_SHIFT
            scale = {"shift": shift, "trace_frac": frac}
    learning_rule = loihi_rule(rule, seed=seed, **scale)
    from lava.proc.dense.process import LearningDense

    return LearningDense(weights=weights, learning_rule=learning_rule, name=options.pop("name", "hidden0"), **options)
