"""Our rules as Lava's own learning engine takes them.

Stock `LearningDense` pairs the spikes it receives in a step with the neuron terms of the same step, which the neuron
can only know one step later. With two Lava steps a time step and a learning epoch of two steps they meet: spikes
arrive in the first; the activation, and the third factor it leads to, follow in the second, where it learns.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tp_lava.dynamics.plasticity import SPIKE_TIMES_THIRD
from tp_lava.errors import invalid
from tp_lava.fixedpoint import FixedPoint, plan, start_weights
from tp_lava.lava.shim import make_importable
from tp_lava.network import Network
from tp_lava.rules import Rule

PERIOD = 2  # Lava steps of a time step, and of a learning epoch
_FOREVER = 1e18  # Lava decays y once, by exp(-1/tau), before it uses it


def loihi_rule(shift: int = 0) -> Any:
    """TP's rule of the hidden weights, dw = 2^-shift*x0*y1 - 2^-shift*x0*y2, as a stock Loihi3FLearningRule.

    shift: 0..7, of both rails. Raises InvalidValueError, LavaUnavailableError.
    """
    if not isinstance(shift, int) or not 0 <= shift <= 7:
        raise invalid("loihi_rule", "shift", repr(shift), "an integer in [0, 8)", "put the rest of the factor into the rate")
    make_importable()
    from lava.magma.core.learning.learning_rule import Loihi3FLearningRule

    rule = Loihi3FLearningRule(dw=SPIKE_TIMES_THIRD.loihi_string({"y1": shift}), t_epoch=PERIOD)
    rule.y1_tau = rule.y2_tau = rule.y3_tau = _FOREVER
    return rule


def learning_dense(network: Network, rule: Rule, fixed: FixedPoint | None = None, **options: Any) -> Any:
    """A stock LearningDense with the network's weights into its first hidden layer, which learns by the rule.

    fixed: None for a floating_pt run; else its weights are mantissas in the learning engine's units.
    options: as LearningDense's. Connect its s_in_bap, s_in_y1 to s_in_y3 to a LearningTraceLIF.
    """
    learning_rule = rule.loihi_rule()  # type: ignore[union-attr]
    from lava.proc.dense.process import LearningDense

    held = network.weights["hidden0"].astype(np.float64)
    if fixed:
        fixed = replace(fixed, stock=True).resolved(network, rule)
        held = plan(network, rule, fixed)["hidden0"].quantise(start_weights(network, fixed)["hidden0"])
    return LearningDense(weights=held, learning_rule=learning_rule, name=options.pop("name", "hidden0"), **options)
