"""A rule with a state per synapse: the delta rule, its products filtered before the error is known (as e-prop's).

E[n,i] = filter * E[n,i] + psi[n] * x1[i],   x1[t] = pre_decay * x1[t-1] + s_below[t]
dW[n,i] = -rate * sum_c B[c,n] * error[c] * E[n,i]          error and B as in delta_rule.py
"""

from __future__ import annotations

from dataclasses import dataclass

from delta_rule import Delta

from tp_lava.rules import Term


@dataclass(frozen=True)
class SynapseState(Delta):
    """The delta rule by filtered products."""

    pre_decay: float = 0.5
    terms: tuple[Term, ...] = (Term("surrogate", "trace", filter=0.75),)
