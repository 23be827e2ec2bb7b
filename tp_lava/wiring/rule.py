"""What every rule's part of a circuit has, and the register in which a rule's type finds its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from tp_lava.dynamics.neuron import DECAY, trace_program
from tp_lava.errors import invalid
from tp_lava.rules import Rule
from tp_lava.wiring.builder import Wiring

R = TypeVar("R", bound=Rule)
_WIRINGS: dict[type[Rule], type[RuleWiring]] = {}


class RuleWiring(ABC, Generic[R]):
    """Credit and learning of each layer that learns.

    Buffers go by these names, by which the parts of a network are found: hidden<l>_error, what the credit writes;
    hidden<l>_third or hidden<l>_<name>_third, the third factors, written by one program a layer (two with target streams).
    """

    def __init__(self, wiring: Wiring, rule: R) -> None:
        self.wiring, self.rule = wiring, rule
        self.rates = rule.rates(len(wiring.network.layers))

    def learns(self, number: int) -> bool:
        """Whether a layer's weights change."""
        return self.rates[number] > 0

    def connections(self, number: int) -> dict[str, str]:
        """Weights into a layer -> the population whose events they deliver."""
        below = {f"hidden{number}": f"hidden{number - 1}" if number else "input"}
        return below | ({f"recurrent{number}": f"hidden{number}"} if self.wiring.network.layers[number].recurrent else {})

    def keep_pre_trace(self, weights: str, events: str) -> str:
        """Append the trace of a connection's presynaptic spikes, this step's included. -> its buffer."""
        w = self.wiring
        w.population(events, "b", events)
        name, format = f"{weights}_pre_trace", w.format(f"{weights}_pre_trace")
        bindings = {
            "spike": w.scatter(events, "b", events),
            "trace": w.buffer(name, ("b", events), "state", format),
            "trace_decay": w.parameter("pre_decay", DECAY, self.rule.pre_trace_decay),
        }
        w.run(trace_program(format, name, fades=True), bindings)
        return name

    def before(self, number: int) -> None:
        """Called before the student path of a layer."""

    @abstractmethod
    def layer(self, number: int) -> None:
        """Called after the student path of a layer, before its events are gathered."""

    def match(self) -> None:
        """Called in place of a readout, of rules that may match."""
        raise NotImplementedError(f"{type(self).__name__} has no match, but its rule may_match")


def wires(rule: type[Rule]) -> Callable[[type], type]:
    """Class decorator of the RuleWiring of a rule's type."""

    def enter(wiring: type) -> type:
        _WIRINGS[rule] = wiring
        return wiring

    return enter


def wire_rule(wiring: Wiring, rule: Rule) -> RuleWiring[Any]:
    """A rule's part of this circuit."""
    found = _WIRINGS.get(type(rule))
    if found is None:
        name = type(rule).__name__
        raise invalid(name, "wiring", "unknown", "a RuleWiring", f"decorate it with @wires({name}), in the module that has the rule")
    return found(wiring, rule)
