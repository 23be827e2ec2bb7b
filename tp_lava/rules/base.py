"""What every learning rule has. A rule is a frozen dataclass that inherits BaseRule: its terms, its credit, its own parameters.

    dW[i,j] = -rate * sum over terms of factor * (delta[i] * A[i]) * B[j]

CONTRIBUTING.md, "A rule", says how to add one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field
from typing import Any, ClassVar, Literal

import numpy as np

from tp_lava.checks import is_number, is_whole, register
from tp_lava.circuit import names
from tp_lava.circuit.builder import Builder
from tp_lava.circuit.payloads import arriving_format
from tp_lava.circuit.products import Products, keep_pre_traces, keep_spikes
from tp_lava.circuit.terms import Gain, StateRange, Term, third_factor_of
from tp_lava.dynamics.neuron import LIF
from tp_lava.dynamics.parameters import check_decay, highest
from tp_lava.dynamics.readout import Match, Readout
from tp_lava.dynamics.surrogate import peak
from tp_lava.errors import invalid
from tp_lava.graph.names import READOUT
from tp_lava.graph.network import Connection, Network, Population
from tp_lava.numbers import PRE_TRACE_BITS
from tp_lava.rules import memory
from tp_lava.rules.credits.base import Credit
from tp_lava.rules.credits.base import sample_events as sample_events

Update = Literal["step", "sequence"]
_MOST_KEPT = 0.98  # of a membrane that does not leak, when the range of its derivatives is chosen


class BaseRule:
    """What every learning rule has: the fields rate, readout_rate, update and readout, and what follows from them.

    A rule overrides what is different with it. Its name is that of its type, by which files know it too.
    """

    rate: float | tuple[float, ...]
    readout_rate: float
    update: Update
    readout: Readout | Match

    learn_last: int | None = None  # steps at a sample's end in which it learns; None: all
    pre_decay: float = 0.0
    second_decay: float = 0.0
    post_decay: float = 0.0
    terms: tuple[Term, ...] = (Term(),)
    may_match: ClassVar[bool] = False  # whether it has what Match() needs
    paper: ClassVar[str] = ""  # address of where it was published
    types: ClassVar[dict[str, type[BaseRule]]] = {}  # all rules by name
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __init_subclass__(cls, *, shared: bool = False) -> None:
        """shared: it is no rule, but what several inherit."""
        if not shared:
            register(BaseRule.types, "Rule", cls)

    def __post_init__(self) -> None:
        obj = type(self).__name__
        if isinstance(self.rate, list):
            object.__setattr__(self, "rate", tuple(self.rate))
        rates = self.rate if isinstance(self.rate, tuple) else (self.rate,)
        for attr, value in (("readout_rate", self.readout_rate), *(("rate", rate) for rate in rates)):
            if not is_number(value, 0):
                raise invalid(obj, attr, repr(value), "a finite number >= 0", "0 freezes, 1e-3 is usual")
        if self.update not in ("step", "sequence"):
            raise invalid(obj, "update", repr(self.update), '"step" or "sequence"', '"step" changes the weights at every step')
        if not isinstance(self.readout, Readout | Match):
            raise invalid(obj, "readout", repr(self.readout), "a Readout or, with TP, Match()", "use for example tpl.Readout()")
        if isinstance(self.readout, Match) and not self.may_match:
            raise invalid(obj, "readout", repr(self.readout), "a Readout", "only TP has target traces to be matched")
        if self.learn_last is not None and not is_whole(self.learn_last, 1):
            raise invalid(obj, "learn_last", repr(self.learn_last), "an integer of at least 1, or None", "None learns at every step")
        for attr in ("pre_decay", "second_decay", "post_decay"):
            check_decay(obj, attr, getattr(self, attr))

    # What it is made of -----------------------------------------------------------------------
    @property
    def credit(self) -> Credit:
        """What tells its populations how wrong they are."""
        raise NotImplementedError(f"{type(self).__name__} has no credit")

    @property
    def label(self) -> str:
        """Its name in a table."""
        return type(self).__name__

    @property
    def local(self) -> bool:
        """Whether a population needs nothing of those above it to learn."""
        return self.credit.local

    @property
    def paths(self) -> int:
        """Signals that a population may learn from, at most."""
        return self.credit.paths

    @property
    def matches(self) -> bool:
        """Whether it matches traces instead of learning a readout."""
        return isinstance(self.readout, Match)

    @property
    def learns_readout(self) -> bool:
        """Whether it changes the readout."""
        return isinstance(self.readout, Readout) and self.readout_rate > 0

    def with_most_rows(self, n_classes: int) -> BaseRule:
        """Itself, or a form of it that a network of so few classes can learn by."""
        return self

    def to_infer(self) -> BaseRule | None:
        """The rule of a network that only infers, if it needs one."""
        return None

    # Rates and scales -------------------------------------------------------------------------
    def rates(self, network: Network) -> Mapping[str, float]:
        """The rate of each hidden population."""
        count = len(network.populations)
        rates = self.rate if isinstance(self.rate, tuple) else (self.rate,) * count
        if len(rates) != count:
            remedy = "give one number for all layers or one for each"
            raise invalid(type(self).__name__, "rate", f"{len(rates)} numbers", f"one per hidden layer, {count}", remedy)
        return {population.name: rate for population, rate in zip(network.populations, rates, strict=True)}

    def gains(self, network: Network) -> Mapping[str, Gain]:
        """The scale of each third factor, by what the names of its buffers begin with."""
        rates, credit = self.rates(network), self.credit
        gains = {
            third_factor_of(population, term): Gain(
                rates[population.name], term.factor * credit.scale(population), self._largest(network, term, population)
            )
            for population in network.populations
            for term in self.terms
        }
        gains |= credit.gains(network)
        return gains | ({READOUT: Gain(self.readout_rate, 1.0, 1.0)} if isinstance(self.readout, Readout) else {})

    def _largest(self, network: Network, term: Term, population: Population) -> float | None:
        """The bound of a third factor before its rate."""
        if (bound := self.credit.bound(network, population)) is None:
            return None
        psi = peak(population.neuron.surrogate)
        factors = {"surrogate": psi, "one": 1.0, "spike_trace": population.largest_trace}
        factor = psi / (1.0 - self.post_decay) if term.post == "post_trace" else factors[term.post]
        return bound * (1.0 if term.filter else factor)

    # States of its own ------------------------------------------------------------------------
    def _wanted(self, what: str) -> bool:
        """Whether a term with a factor has such a presynaptic or postsynaptic part."""
        return any(term.factor and what in (term.pre, term.post) for term in self.terms)

    @property
    def keeps_pre_trace(self) -> bool:
        """Whether connections keep presynaptic traces that differ from the spikes."""
        return self.pre_decay > 0 and (self._wanted("trace") or self._wanted("second_trace"))

    def decays(self) -> Mapping[str, float]:
        """Decays of its own, beside the populations'."""
        kept = {"pre_decay": self._wanted("trace") or self._wanted("second_trace"), "second_decay": self._wanted("second_trace")}
        kept["post_decay"] = self._wanted("post_trace")
        return {name: getattr(self, name) for name, wanted in kept.items() if wanted} | {
            f"{term.prefix}filter": term.filter for term in self.terms if term.filter
        }

    def states(self, network: Network) -> Mapping[str, StateRange]:
        """The range of each state of its own, by the name of its buffer."""
        states: dict[str, StateRange] = {}
        for population in network.populations:
            psi = peak(population.neuron.surrogate)
            states[names.of(population.name, "post_trace")] = StateRange(psi / (1.0 - self.post_decay))
            for connection in network.into(population):
                arriving = arriving_format(network, connection)
                first = arriving.largest / (1.0 - self.pre_decay)
                states[names.of(connection.name, "pre_trace")] = StateRange(first, PRE_TRACE_BITS, arriving.signed)
                second = first / (1.0 - self.second_decay)
                states[names.of(connection.name, "second_trace")] = StateRange(second, PRE_TRACE_BITS, arriving.signed)
                for term in self.terms:
                    pre = {"spike": arriving.largest, "trace": first}.get(term.pre, second)
                    for name, state in _states_of_synapses(term, population, pre, signed=arriving.signed).items():
                        states[names.of(connection.name, term.prefix + name)] = state
        return states

    # Memory -----------------------------------------------------------------------------------
    @property
    def memory_formula(self) -> str:
        """What learning one sample keeps in a population of n neurons, as published; n_in: units below, K: rows, C: classes."""
        return "as counted: no formula is known here"

    @property
    def _summed(self) -> str:
        """The part of that which update="sequence" adds."""
        return " and a change for each synapse" if self.update == "sequence" else ""

    def remembered(self, network: Network, n_steps: int, batch: int = 1) -> tuple[int, ...]:
        """Numbers that learning one sample, or a batch, of n_steps steps keeps beside weights and neurons, by population.

        A rule whose formula is known computes it; else they are counted in the arrays of its circuit.
        """
        return memory.counted(network, self, batch)

    # Parameters of its own --------------------------------------------------------------------
    def connections(self, network: Network) -> tuple[Connection, ...]:
        """See Credit: connections of its own."""
        return self.credit.connections(network)

    def trains(self, connection: str) -> bool:
        """Whether such a connection learns."""
        return self.credit.trains(connection)

    def parameters(self, network: Network) -> Mapping[str, np.ndarray]:
        """Weights of its own connections: those the network brings along, else drawn."""
        found = {}
        for connection in self.connections(network):
            given = network.rule_parameters.get(connection.name)
            array = self.credit.draw(connection, network) if given is None else np.asarray(given, np.float32)
            if array.shape != connection.kind.weight_shape:
                found_shape, limit = f"of shape {array.shape}", f"{connection.kind.weight_shape}, (n_out, n_in)"
                raise invalid(type(self).__name__, f"parameters[{connection.name!r}]", found_shape, limit, "leave it out to have it drawn")
            found[connection.name] = array
        return found

    # Building ---------------------------------------------------------------------------------
    def teach(self, builder: Builder) -> RuleTeaching:
        """What it adds to a circuit under construction."""
        return RuleTeaching(self, builder)


def _states_of_synapses(term: Term, population: Population, pre: float, *, signed: bool) -> dict[str, StateRange]:
    """The range of each state of a term's. pre: the largest presynaptic part, signed: which may be negative too."""
    neuron, psi = population.neuron, peak(population.neuron.surrogate)
    found: dict[str, StateRange] = {}
    if term.membrane:
        found["eligibility"] = StateRange(pre / (1.0 - min(highest(neuron.decay), _MOST_KEPT)), signed=True)
    if term.filter:
        post, adapts = psi if term.post == "surrogate" else population.largest_trace, term.follows_threshold(neuron)
        found["eligibility"] = StateRange(pre * post / (1.0 - term.filter), signed=signed or adapts)
    if term.follows_threshold(neuron):
        found["adaptive_derivative"] = StateRange(pre * _largest_derivative(neuron, psi), signed=True)
    return found


def _largest_derivative(neuron: LIF, psi: float) -> float:
    """Of an adaptive threshold's trace by a weight whose input is 1: what a steady input comes to, and no more than lowers U to 0."""
    rises, decays = np.broadcast_arrays(np.asarray(neuron.adaptation), np.asarray(neuron.adaptation_decay))
    adapting = rises > 0
    rise, decay = rises[adapting], decays[adapting]
    return float(np.minimum(np.maximum(decay / rise, psi), psi / (1.0 - decay)).max())


class RuleTeaching:
    """What a rule adds to one circuit: presynaptic traces, credit, third factors and plasticity of each population that learns."""

    def __init__(self, rule: BaseRule, builder: Builder) -> None:
        self.rule, self.builder, self.credit = rule, builder, rule.credit
        self.needs_readout_error = self.credit.needs_readout_error
        self._rates = rule.rates(builder.network)
        self._learning = [name for name, rate in self._rates.items() if rate > 0]

    def learns(self, population: Population) -> bool:
        """Whether anything that reaches the population learns."""
        return self._rates[population.name] > 0

    def needs_surrogate(self, population: Population) -> bool:
        """See Teaching."""
        return self.learns(population) or self.credit.carries(self.builder.network, population, self._learning)

    def start(self) -> None:
        """See Teaching."""
        self.credit.start(self.builder)

    def before(self, population: Population) -> None:
        """See Teaching: presynaptic traces, of this step's input and the last step's feedback."""
        if not self.learns(population):
            return
        for connection in self.builder.network.into(population):
            keep_pre_traces(self.builder, self.rule, connection, connection.pre)
            if self.needs_readout_error and connection.recurrent:
                keep_spikes(self.builder, connection, connection.pre)

    def after(self, population: Population) -> None:
        """See Teaching."""
        learns = self.learns(population)
        self.credit.follow(self.builder, population, learns)
        if learns and not self.needs_readout_error:
            self._learn(population)
        self.credit.close(self.builder, population)

    def _learn(self, population: Population) -> None:
        Products(self.builder, self.rule, population, self.credit.signals(self.builder, population)).append()

    def replaces_readout(self) -> bool:
        """See Teaching."""
        if self.rule.matches:
            self.credit.match(self.builder)
        return self.rule.matches

    def after_error(self) -> None:
        """See Teaching."""
        self.credit.go_back(self.builder, self._learning)

    def after_readout(self) -> None:
        """See Teaching."""
        if self.needs_readout_error:
            for population in self.builder.network.populations:
                if self.learns(population):
                    self._learn(population)


def check_local(rule: BaseRule | None, obj: str) -> None:
    """Refuse a rule, by name, for a form of a chip, `obj`, if its credit is not local. Raises InvalidValueError."""
    if rule is not None and not rule.local:
        found = f"{type(rule).__name__}, with the credit {type(rule.credit).__name__}"
        limit = "local: on a chip no error goes back through the weights of the layers above"
        raise invalid(obj, "rule", found, limit, rule.credit.instead)
