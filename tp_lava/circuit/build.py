"""From a network and a rule to a circuit. Here is the order of things within a time step.

For each population: the rule's presynaptic traces; deliver events and step the neurons; what the rule adds; list the new events.
Then the readout, and what the rule adds to that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from tp_lava.circuit.builder import Builder
from tp_lava.circuit.circuit import Circuit
from tp_lava.circuit.formats import REAL, Formats
from tp_lava.circuit.names import sample_path
from tp_lava.circuit.readout import add_readout
from tp_lava.circuit.terms import LearningRule
from tp_lava.graph.network import Network, Population
from tp_lava.optimisers import SGD, Optimiser


class Teaching(Protocol):
    """What a rule adds to a circuit under construction, in the order in which it is asked."""

    needs_readout_error: bool

    def start(self) -> None:
        """Before the first population."""

    def before(self, population: Population) -> None:
        """Before a population's neurons are stepped."""

    def after(self, population: Population) -> None:
        """After a population's neurons were stepped, before its events are listed."""

    def learns(self, population: Population) -> bool:
        """Whether anything that reaches the population learns."""

    def needs_surrogate(self, population: Population) -> bool:
        """Whether a population's surrogate derivatives are needed."""

    def after_error(self) -> None:
        """Once the readout has told its error, before it learns."""

    def replaces_readout(self) -> bool:
        """Append something in place of a readout. -> whether it did."""

    def after_readout(self) -> None:
        """After the readout."""


class TeachingRule(LearningRule, Protocol):
    """A rule that can be built into a circuit."""

    def teach(self, builder: Builder) -> Teaching:
        """What it adds to a circuit."""


def build_circuit(
    network: Network,
    rule: TeachingRule | None = None,
    formats: Formats = REAL,
    batch_size: int = 1,
    optimiser: Optimiser | Mapping[str, Optimiser] = SGD(),  # noqa: B008 (frozen)
) -> Circuit:
    """The circuit of a network that infers (rule None) or learns.

    formats: from circuit.formats.plan, or REAL. batch_size: samples presented together, whose mean change is learned; optimiser:
    one for all layers, or one per layer; in fixed point plain SGD.
    """
    builder = Builder(network, rule, formats, batch_size, optimiser)
    teaching = rule.teach(builder) if rule is not None else None
    if teaching:
        teaching.start()
    for connection in network.connections:
        if connection.recurrent:  # its events are those of the step before, from a population that comes later
            builder.path_events(sample_path(network.population(connection.pre)))
    for population in network.populations:
        if teaching:
            teaching.before(population)
        path, sources = sample_path(population), {c: c.pre for c in network.into(population)}
        builder.follow(path, sources, surrogate=teaching is not None and teaching.needs_surrogate(population), total=True)
        if teaching:
            teaching.after(population)
        builder.list_events(path, total=True)
    if not (teaching and teaching.replaces_readout()):
        add_readout(builder, teaching.after_error if teaching is not None and teaching.needs_readout_error else None)
    if teaching:
        teaching.after_readout()
    return builder.circuit()
