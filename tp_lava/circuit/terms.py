"""What a circuit asks of a rule: products, their scales and traces, and the rule's own parameters.

    dW[i,j] = -rate * sum over terms of factor * (delta[i] * A[i]) * B[j]          i: post, j: pre

delta comes from the rule's credit. A says what the neuron knows of itself, B what the synapse knows of its input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from tp_lava.checks import is_number
from tp_lava.dynamics.neuron import LIF
from tp_lava.dynamics.readout import Match, Readout
from tp_lava.errors import invalid
from tp_lava.graph.network import Connection, Network, Population
from tp_lava.numbers import TRACE_BITS

Post = Literal["surrogate", "post_trace", "spike_trace", "one"]
Pre = Literal["spike", "trace", "second_trace", "one"]
POSTS: tuple[Post, ...] = ("surrogate", "post_trace", "spike_trace", "one")
PRES: tuple[Pre, ...] = ("spike", "trace", "second_trace", "one")


@dataclass(frozen=True)
class Term:
    """One product of a rule.

    post: A, the surrogate derivative psi, its trace h (without this step's psi), the spike trace, or 1; pre: B, the spike of this
    step, its trace x1, the trace of that trace x2, or 1, which is a bias; factor: of the term; name: of its third factor, ""
    where a rule has one term; filter: decay, (0, 1), of a state per synapse, E = filter * E + A * B, which then takes the place of
    A * B; 0: none; membrane: the state per synapse is instead the derivative of the membrane by the weight, E[t] = r[t-1] * E[t-1] + B[t],
    and the product A * E; r: the neuron's retention, what a step leaves of a change of the membrane (dynamics/neuron.py); adapts: in the
    place of B stands U = B - adaptation * D, where neurons have adaptive thresholds; D: the derivative of the threshold's trace by the
    weight, D[t+1] = adaptation_decay * D[t] + psi * U, a state per synapse.
    Raises InvalidValueError.
    """

    post: Post = "surrogate"
    pre: Pre = "spike"
    factor: float = 1.0
    name: str = ""
    filter: float = 0.0
    membrane: bool = False
    adapts: bool = False

    def __post_init__(self) -> None:
        for attr, known in (("post", POSTS), ("pre", PRES)):
            if getattr(self, attr) not in known:
                raise invalid(
                    "Term", attr, repr(getattr(self, attr)), f"one of {', '.join(known)}", 'use for example Term("surrogate", "spike")'
                )
        if not isinstance(self.name, str) or (self.name and not self.name.isidentifier()):
            limit = 'a name of letters, digits and _, or ""'
            raise invalid("Term", "name", repr(self.name), limit, "it becomes a part of the names of buffers")
        if not is_number(self.factor):
            raise invalid("Term", "factor", repr(self.factor), "a finite number", "1 takes the term in, 0 leaves it out")
        if not is_number(self.filter, 0, 1):
            raise invalid("Term", "filter", repr(self.filter), "a number in [0, 1)", "0 keeps no state per synapse")
        if self.filter and (self.post not in ("surrogate", "spike_trace") or self.pre == "one"):
            found, limit = f"{self.filter} of {self.post} times {self.pre}", "of surrogate or spike_trace times a presynaptic part"
            raise invalid("Term", "filter", found, limit, "leave the filter out")
        if self.membrane and (self.filter or self.post != "surrogate" or self.pre == "one"):
            found, limit = f"of {self.post} times {self.pre}, filter {self.filter}", "of surrogate times a presynaptic part, without filter"
            raise invalid("Term", "membrane", found, limit, "leave one of them out")
        if self.adapts and (self.membrane or self.post != "surrogate" or self.pre == "one"):
            found, limit = f"of {self.post} times {self.pre}", "of surrogate times a presynaptic part, without membrane"
            raise invalid("Term", "adapts", found, limit, "leave one of them out")

    def follows_threshold(self, neuron: LIF) -> bool:
        """Whether it keeps the derivative of such a neuron's threshold by each weight."""
        return self.adapts and neuron.adapts

    def has_state(self, neuron: LIF) -> bool:
        """Whether it keeps a state per synapse of such a neuron."""
        return bool(self.filter) or self.membrane or self.follows_threshold(neuron)

    @property
    def prefix(self) -> str:
        """Of the names of its buffers."""
        return f"{self.name}_" if self.name else ""


@dataclass(frozen=True)
class Gain:
    """What scales a third factor: the learning rate, which schedules change, times a constant of the rule.

    largest: bound of the absolute value of what is scaled; None where there is none.
    """

    rate: float
    factor: float = 1.0
    largest: float | None = None


@dataclass(frozen=True)
class StateRange:
    """A state of a rule's own: its largest absolute value, and the bits that hold it."""

    largest: float
    bits: int = TRACE_BITS
    signed: bool = False


class LearningRule(Protocol):
    """A rule as circuits and number formats see it; tp_lava.rules.BaseRule is what rules inherit."""

    update: Literal["step", "sequence"]
    readout: Readout | Match
    readout_rate: float

    @property
    def terms(self) -> tuple[Term, ...]:
        """Its products."""

    @property
    def paths(self) -> int:
        """Signals that a population may learn from, at most: random bits are numbered by them."""

    @property
    def pre_decay(self) -> float:
        """Decay of the presynaptic traces x1."""

    @property
    def second_decay(self) -> float:
        """Decay of the presynaptic traces x2."""

    @property
    def post_decay(self) -> float:
        """Decay of the traces of psi."""

    @property
    def keeps_pre_trace(self) -> bool:
        """Whether a connection keeps presynaptic traces that differ from the spikes."""

    @property
    def learn_last(self) -> int | None:
        """Steps at a sample's end in which it learns; None: all."""

    def rates(self, network: Network) -> Mapping[str, float]:
        """The rate of each population."""

    def gains(self, network: Network) -> Mapping[str, Gain]:
        """The scale of each third factor, by the name of its buffers without their last part."""

    def decays(self) -> Mapping[str, float]:
        """Decays of its own, by name."""

    def states(self, network: Network) -> Mapping[str, StateRange]:
        """The range of each state of its own, by the name of its buffer."""

    def connections(self, network: Network) -> tuple[Connection, ...]:
        """Connections of its own: from a population of its own into the network's, or from those to one of its own."""

    def trains(self, connection: str) -> bool:
        """Whether such a connection learns."""

    def parameters(self, network: Network) -> Mapping[str, np.ndarray]:
        """Weights of its own connections: the network's rule_parameters of that name, or drawn."""


def third_factor_of(population: Population | str, term: Term) -> str:
    """What the names of a term's rate, scale and third factor in a population begin with."""
    name = population if isinstance(population, str) else population.name
    return f"{name}_{term.name}" if term.name else name
