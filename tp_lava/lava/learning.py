"""Our rules as Lava's own learning engine takes them.

Stock `LearningDense` pairs the spikes it receives in a step with the neuron terms of the same step, which the neuron
can only know one step later. With two Lava steps a time step and a learning epoch of two steps they meet: spikes
arrive in the first; the activation, and the third factors it leads to, follow in the second, where it learns.

TP: dw = x0*y1 - x0*y2, the third factor on two rails. TESS: dw = x1*y1 - x1*y2 + x0*(y3 - 64), the causal factor on two
rails, the acausal one on a third that is offset, for the engine has no fourth. x1 is the presynaptic trace, which the
engine keeps: it decays once in each Lava step, so twice in a time step, and nothing but silence takes it back to zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tp_lava.backends.loihi2.learning_engine import loihi_string
from tp_lava.checks import is_whole
from tp_lava.dynamics.neuron import FADED
from tp_lava.dynamics.plasticity import SPIKE_TIMES_THIRD, TRACE_TIMES_THIRD
from tp_lava.errors import invalid
from tp_lava.circuit.formats import FixedPoint, Formats, plan, start_weights, stock_trace_frac
from tp_lava.lava.shim import make_importable
from tp_lava.graph.network import Network
from tp_lava.numbers import THIRD_FACTOR_BITS
from tp_lava.rules import TESS, Rule

PERIOD = 2  # Lava steps of a time step, and of a learning epoch
OFFSET = 64  # what the third rail carries for zero
_RAIL = 2 ** (THIRD_FACTOR_BITS - 1) - 1
_FOREVER = 1e18  # Lava decays y once, by exp(-1/tau), before it uses it
_PRODUCT_SHIFT = 3  # fixed point: what a product of two traces loses


def loihi_rule(shift: int = 0) -> Any:
    """TP's rule of the hidden weights, dw = 2^-shift*x0*y1 - 2^-shift*x0*y2, as a stock Loihi3FLearningRule.

    shift: 0..7, of both rails. Raises InvalidValueError, LavaUnavailableError.
    """
    if not is_whole(shift, 0, 8):
        raise invalid("loihi_rule", "shift", repr(shift), "an integer in [0, 8)", "put the rest of the factor into the rate")
    return _stock(loihi_string(SPIKE_TIMES_THIRD, {"y1": shift}))


def tess_loihi_rule(rule: TESS, shift: int = 0, trace_frac: int | None = None, seed: int = 0) -> Any:
    """TESS's rule of the hidden weights as a stock Loihi3FLearningRule.

    dw = 2^-shift*u0*x1*y1 - 2^-shift*u0*x1*y2 + 2^0*x0*(y3-64)         without a trace: 2^0*x0*y1 - 2^0*x0*y2

    shift: -8..7, of the causal rails; trace_frac: x1 is the presynaptic trace times 2**trace_frac, with a whole impulse, as
    fixed point needs it, or, if None, the trace itself; seed: of the engine's rounding of x1 in fixed point.
    Raises InvalidValueError, LavaUnavailableError.
    """
    if not is_whole(shift, -8, 8):
        raise invalid("loihi_rule", "shift", repr(shift), "an integer in [-8, 8)", "put the rest of the factor into the rate")
    if not keeps_trace(rule):
        return _stock(loihi_string(SPIKE_TIMES_THIRD, {"y1": 0}))
    dw = loihi_string(TRACE_TIMES_THIRD, {"y1": shift}) + (f" + 2^0*x0*(y3-{OFFSET})" if rule.acausal else "")
    decay = rule.pre_decay ** (1 / PERIOD)
    impulse = 1.0 / decay if trace_frac is None else round(2.0**trace_frac / decay)  # decayed once before it acts
    return _stock(dw, x1_impulse=impulse, x1_tau=-1.0 / math.log(decay), rng_seed=seed)


def _stock(dw: str, **trace: Any) -> Any:
    make_importable()
    from lava.magma.core.learning.learning_rule import Loihi3FLearningRule

    rule = Loihi3FLearningRule(dw=dw, t_epoch=PERIOD, **trace)
    rule.y1_tau = rule.y2_tau = rule.y3_tau = _FOREVER
    return rule


def keeps_trace(rule: Rule) -> bool:
    """Whether the learning engine must keep presynaptic traces for a rule: one of decay 0 is the spike."""
    return rule.pre_trace_decay > 0


def pause(rule: Rule | None) -> int:
    """Silent time steps between two samples in which the learning engine's traces fade."""
    return math.ceil(math.log(FADED) / math.log(rule.pre_trace_decay)) if rule and keeps_trace(rule) else 0


def rails(rule: Rule, thirds: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A layer's third factors as y1, y2 and y3, none of them negative."""
    alone = thirds.get("acausal_third") if keeps_trace(rule) else None
    paired = np.add.reduce([third for third in thirds.values() if third is not alone])
    if np.issubdtype(paired.dtype, np.integer):
        paired = np.clip(paired, -_RAIL, _RAIL)
    y3 = np.zeros(paired.shape) if alone is None else alone.astype(np.float64) + OFFSET
    return np.maximum(paired, 0), np.maximum(-paired, 0), y3


def check_stock(network: Network, rule: Rule | None) -> None:
    """Raise InvalidValueError for what one LearningDense cannot learn."""
    rates = rule.rates(len(network.layers)) if rule else (0.0,)
    if rule is None or len(network.layers) > 1 or network.layers[0].recurrent or rates[0] == 0:
        found = f"{network!r}, rates {rates}"
        remedy = "use layers=True, or PlasticDense in a network of your own"
        raise invalid("LearningTraceLIF", "network", found, "with one hidden layer, not recurrent, that learns", remedy)
    if rule.update != "step":
        remedy = 'stock LearningDense sums nothing up; use update="step", or layers=True, whose connections do'
        raise invalid("LearningTraceLIF", "rule.update", repr(rule.update), '"step"', remedy)
    if keeps_trace(rule) and not isinstance(rule, TESS):
        limit, remedy = "of the form spike times third factor, or TESS", "use layers=True"
        raise invalid("LearningTraceLIF", "rule", f"{type(rule).__name__}, by presynaptic traces", limit, remedy)


def learning_dense(network: Network, rule: Rule, fixed: FixedPoint | None = None, seed: int = 0, **options: Any) -> Any:
    """A stock LearningDense with the network's weights into its hidden layer, which learns by the rule.

    fixed: None for a floating_pt run; else its weights are mantissas in the learning engine's units; seed: of the engine's
    rounding of traces; options: as LearningDense's. Connect its s_in_bap, s_in_y1 to s_in_y3 to a LearningTraceLIF.
    """
    check_stock(network, rule)
    held, formats = network.weights["hidden0"].astype(np.float64), None
    if fixed:
        fixed = replace(fixed, stock=True).resolved(network, rule)
        formats = plan(network, rule, fixed)
        held = formats["hidden0"].quantise(start_weights(network, fixed)["hidden0"])
    learning_rule = _scaled(rule, formats, seed) if isinstance(rule, TESS) else loihi_rule()
    from lava.proc.dense.process import LearningDense

    return LearningDense(weights=held, learning_rule=learning_rule, name=options.pop("name", "hidden0"), **options)


def _scaled(rule: TESS, formats: Formats | None, seed: int) -> Any:
    """The stock rule for real numbers, or for mantissas of these formats."""
    if formats is None or not keeps_trace(rule):
        return tess_loihi_rule(rule, seed=seed)
    trace_frac = stock_trace_frac(rule.pre_decay)
    shift = formats["hidden0_causal_third"].frac + trace_frac - formats["hidden0"].frac - _PRODUCT_SHIFT
    return tess_loihi_rule(rule, shift, trace_frac, seed)
