"""Memory of learning: what a rule has to remember beside weights and neurons, next to what other rules would need for the same network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tp_lava.comparison.memory import bptt, by_counting, eprop
from tp_lava.comparison.rule_facts import remembered
from tp_lava.network import Network
from tp_lava.rules import TESS, TP, Rule

TP_PAPER = "https://arxiv.org/abs/2509.13053"
TESS_PAPER = "https://arxiv.org/abs/2502.01837"
EPROP_PAPER = "https://doi.org/10.1038/s41467-020-17236-y"
BPTT_PAPER = "https://doi.org/10.1109/5.58337"


@dataclass(frozen=True)
class Remembered:
    """What one rule remembers to learn one sample: numbers per hidden layer. formula: by the words of `says`; counted: in the arrays
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
        """Over all hidden layers, as counted where it is, else by formula."""
        return sum(self.counted or self.formula)


def learning_memory(network: Network, rule: Rule | None, n_steps: int) -> tuple[Remembered, ...]:
    """The rule itself, TP with 2, 4 and all streams, TESS, BPTT over n_steps steps, and e-prop; one sample at a time."""
    found = [_of_rule(network, rule, n_steps, yours=True)] if rule else []
    found += [_of_rule(network, other, n_steps) for other in _others(network, rule)]
    found.append(Remembered(f"BPTT over {n_steps} steps", bptt(network, n_steps), None, "T (n_in + 2 n)", BPTT_PAPER))
    found.append(Remembered("e-prop", eprop(network), None, "n n_in, and n n if recurrent: a trace for each synapse", EPROP_PAPER))
    return tuple(found)


def _others(network: Network, rule: Rule | None) -> Iterator[Rule]:
    """Rules to compare with, at the same rates."""
    rate = rule.rate if rule else tuple(0.0 if layer.connection else 1e-3 for layer in network.layers)
    counts = dict.fromkeys(min(k, network.n_classes) for k in (2, 4, network.n_classes))
    theirs = rule.streams(network.n_classes) if isinstance(rule, TP) else 0
    yield from (TP(rate, contrast=k) for k in counts if k != theirs)
    yield from (TESS(rate, basis="walsh", update=update) for update in ("step", "sequence") if not _same(rule, update))


def _same(rule: Rule | None, update: str) -> bool:
    return isinstance(rule, TESS) and rule.update == update


def _of_rule(network: Network, rule: Rule, n_steps: int, yours: bool = False) -> Remembered:
    learned = replace(rule, rate=tuple(rule.rates(len(network.layers))))
    counted = by_counting(learned, network)
    if not isinstance(rule, TP | TESS):
        return Remembered(type(rule).__name__, counted, counted, "as counted: no formula is known here", "", yours)
    if isinstance(rule, TP):
        streams = rule.streams(network.n_classes)
        name, says, source = f"TP, K = {streams}", "n (2 K + 1), first layer K C + C n more", TP_PAPER
    else:
        summed = " and a change for each synapse" if rule.update == "sequence" else ""
        name, says, source = f"TESS, update each {rule.update}", f"n_in + n{summed}", TESS_PAPER
    return Remembered(name, remembered(learned, network, n_steps), counted, says, source, yours)
