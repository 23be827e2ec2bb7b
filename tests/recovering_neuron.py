"""A neuron of another kind, in one file: after each spike a current holds the membrane down, and recovers.

pre[t] = decay * v[t-1] + u[t] + bias - w[t-1]
w[t]   = recovery_decay * w[t-1] + rise * s[t]
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import tp_lava as tpl
from tp_lava.dynamics.neuron import DECAY
from tp_lava.dynamics.symbols import Symbol, Tracer


@dataclass(frozen=True)
class Recovering(tpl.LIF):
    """A LIF with a recovery current. recovery_decay: factor of w per step, [0, 1); rise: of w by a spike, in units of the membrane."""

    recovery_decay: float = 0.9
    rise: float = 0.2
    states: ClassVar[tuple[str, ...]] = ("recovery",)

    def extra(self, t: Tracer, membrane: Symbol, states: Mapping[str, Symbol]) -> Symbol:
        """See LIF."""
        return -states["recovery"]

    def after(self, t: Tracer, membrane: Symbol, event: Symbol, states: Mapping[str, Symbol]) -> Mapping[str, Symbol]:
        """See LIF."""
        recovery = states["recovery"]
        rise = self.number(t, "rise", recovery.value.format)
        return {"recovery": recovery * self.number(t, "recovery_decay", DECAY) + rise * event}
