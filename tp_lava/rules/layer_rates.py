"""A rule with other rates in some layers: frozen ones, and ones that learn slower or faster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tp_lava.checks import is_number
from tp_lava.errors import invalid
from tp_lava.graph.names import READOUT, RELAY
from tp_lava.graph.network import Network
from tp_lava.rules.base import BaseRule

CONVOLUTIONS = "convolutions"


def frozen(rule: BaseRule, network: Network, layers: Sequence[str] | str) -> BaseRule:
    """The rule with rate 0 for the named layers: "hidden0", ..., "readout", or "convolutions" for all that a convolution reaches.

    A relay, which hands on the spikes of others (see `convert`), keeps its weights always. Raises InvalidValueError.
    """
    rest = {layers} if isinstance(layers, str) else set(layers)
    known = [*(population.name for population in network.populations), READOUT, CONVOLUTIONS]
    if unknown := sorted(rest - set(known)):
        raise invalid("finetune", "freeze", ", ".join(unknown), f"among {', '.join(known)}", "correct the name")
    if CONVOLUTIONS in rest:
        rest |= {c.post for c in network.connections if c.kind.by_place}
    rest |= {RELAY}
    rates = tuple(0.0 if name in rest else rate for name, rate in rule.rates(network).items())
    return replace(rule, rate=rates, readout_rate=0.0 if READOUT in rest else rule.readout_rate)


def scaled(rule: BaseRule, network: Network, rates: Mapping[str, float]) -> BaseRule:
    """The rule with the rates of the named layers, "hidden0", ..., "readout", multiplied by these factors. Raises InvalidValueError."""
    known = [*(population.name for population in network.populations), READOUT]
    if unknown := sorted(set(rates) - set(known)):
        raise invalid("finetune", "rates", ", ".join(unknown), f"among {', '.join(known)}", "correct the name")
    for name, factor in rates.items():
        if not is_number(factor, 0):
            raise invalid("finetune", f"rates[{name!r}]", repr(factor), "a finite number >= 0", "it multiplies the rule's rate")
    hidden = tuple(rate * rates.get(name, 1.0) for name, rate in rule.rates(network).items())
    return replace(rule, rate=hidden, readout_rate=rule.readout_rate * rates.get(READOUT, 1.0)) if rates else rule
