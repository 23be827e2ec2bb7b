"""Memory of learning: what a rule has to remember beside weights and neurons, next to what other rules would need for the same network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tp_lava.graph.network import Network
from tp_lava.rules import TESS, TP, BaseRule
from tp_lava.rules.memory import bptt, counted, eprop

EPROP_PAPER = "https://doi.org/10.1038/s41467-020-17236-y"
BPTT_PAPER = "https://doi.org/10.1109/5.58337"


@dataclass(frozen=True)
class Remembered:
    """What one rule remembers to learn one sample: numbers per population. formula: by the words of `says`; counted: in the arrays
    of the circuit that learns here, None for rules that are not run here; yours: whether it is the rule asked about.
    """

    name: str
    formula: tuple[int, ...]
    counted: tuple[int, ...] | None
    says: str
    source: str
    yours: bool = False

    @property
    def total(self) -> int:
        """Over all populations, as counted where it is, else by formula."""
        return sum(self.counted or self.formula)


def learning_memory(network: Network, rule: BaseRule | None, n_steps: int) -> tuple[Remembered, ...]:
    """The rule itself, the rules that come along in their usual forms, BPTT over n_steps steps, and e-prop; one sample at a time."""
    found = [_of_rule(network, rule, n_steps, yours=True)] if rule else []
    for other in _others(network, rule):
        row = _of_rule(network, other, n_steps)
        if row.name not in (r.name for r in found):
            found.append(row)
    found.append(Remembered(f"BPTT over {n_steps} steps", bptt(network, n_steps), None, "T (n_in + 2 n)", BPTT_PAPER))
    found.append(Remembered("e-prop", eprop(network), None, "n n_in, and n n if recurrent: a trace for each synapse", EPROP_PAPER))
    return tuple(found)


def _others(network: Network, rule: BaseRule | None) -> Iterator[BaseRule]:
    """Rules to compare with, at the same rates."""
    rate = tuple(rule.rates(network).values()) if rule else 1e-3
    yield from (TP(rate, contrast=k) for k in dict.fromkeys(min(k, network.n_classes) for k in (2, 4, network.n_classes)))
    yield from (TESS(rate, basis="walsh", update=update) for update in ("step", "sequence"))


def _of_rule(network: Network, rule: BaseRule, n_steps: int, yours: bool = False) -> Remembered:
    formula, held = rule.remembered(network, n_steps), counted(network, rule)
    return Remembered(rule.label, formula, held, rule.memory_formula, rule.paper, yours)
