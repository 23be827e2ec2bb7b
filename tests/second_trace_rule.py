"""A rule with a second presynaptic trace: the delta rule, but a synapse learns by the trace of its input's trace.

x1[t] = pre_decay * x1[t-1] + s_below[t],   x2[t] = second_decay * x2[t-1] + x1[t]
dW[n,i] = -rate * psi[n] * sum_c B[c,n] * error[c] * x2[i]          error and B as in delta_rule.py
"""

from __future__ import annotations

from dataclasses import dataclass

from delta_rule import Delta

from tp_lava.rules import Term


@dataclass(frozen=True)
class SecondTrace(Delta):
    """The delta rule by second traces."""

    pre_decay: float = 0.5
    second_decay: float = 0.25
    terms: tuple[Term, ...] = (Term("surrogate", "second_trace"),)
