"""analyse, check and check_ranges: the range analysis of a circuit, and of what a person has."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from tp_lava.checks import is_whole
from tp_lava.circuit import Circuit
from tp_lava.circuit.build import build_circuit
from tp_lava.circuit.formats import FixedPoint, own_fixed_point, plan, start_weights
from tp_lava.errors import invalid
from tp_lava.graph.network import Network
from tp_lava.learner import Learner
from tp_lava.ranges.analysis import IntervalAnalysis
from tp_lava.ranges.report import RangeReport
from tp_lava.ranges.verdicts import Limits, entries_of
from tp_lava.rules import BaseRule


class HeldNetwork(Protocol):
    """A network with its options of fixed point, such as quantise gives."""

    @property
    def network(self) -> Network:
        """The network."""

    @property
    def fixed(self) -> FixedPoint:
        """How it is held."""


def analyse(
    circuit: Circuit,
    memory: Mapping[str, np.ndarray] | None = None,
    *,
    steps: int | None = None,
    learning: bool = True,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
) -> RangeReport:
    """The proven interval of every buffer and value of a fixed-point circuit, and what becomes of it.

    memory: what its buffers hold (their start values); steps: most that a sample has (None: any number), which bounds what only
    adds up; learning: weights that a rule changes may be anything in their format, or stay what they are; limits: bits of
    registers. Raises InvalidValueError for a float circuit.
    """
    if not circuit.fixed:
        raise invalid("analyse", "circuit", "of floats", "of integers", "make it with formats from circuit.formats.plan")
    if steps is not None and not is_whole(steps, 1):
        raise invalid("analyse", "steps", repr(steps), "an integer of at least 1, or None", "None is any number of steps")
    given = {name: circuit.buffers[name].encode(value) for name, value in circuit.values.items()}
    analysis = IntervalAnalysis(circuit, {**given, **(memory or {})}, steps, learning)
    return RangeReport(entries_of(analysis, limits), steps, learning and circuit.learns)


def check(circuit: Circuit, memory: Mapping[str, np.ndarray] | None = None, **options) -> RangeReport:
    """As analyse. Raises NumberRangeError, naming layer, value, bound, limit and remedy, for what does not fit."""
    return analyse(circuit, memory, **options).check()


def check_ranges(
    model: Network | Learner | HeldNetwork,
    rule: BaseRule | None = None,
    fixed: FixedPoint | None = None,
    *,
    steps: int | None = None,
    learning: bool = True,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    batch: int = 1,
    strict: bool = True,
) -> RangeReport:
    """Prove that every number of a network fits where it is held in fixed point. Raises NumberRangeError for what does not.

    model: a Network, with the rule (None: it infers) and options of fixed point a Learner would take; what quantise gave, with the
    rule; or a fixed-point Learner as it is. batch: samples learned together; strict=False: what does not fit is only in the
    report; steps, learning, limits: as for analyse.
    """
    if not is_whole(batch, 1):
        raise invalid("check_ranges", "batch", repr(batch), "an integer of at least 1", "1 learns sample by sample")
    circuit, memory = _circuit(model, rule, fixed, batch)
    report = analyse(circuit, memory, steps=steps, learning=learning, limits=limits)
    return report.check() if strict else report


def _circuit(model: object, rule: BaseRule | None, fixed: FixedPoint | None, batch: int) -> tuple[Circuit, Mapping[str, np.ndarray] | None]:
    """The circuit of whatever was given, and what its buffers hold."""
    if isinstance(model, Learner):
        return _of_learner(model, rule, fixed, batch)
    held = getattr(model, "network", None), getattr(model, "fixed", None)
    if isinstance(model, Network):
        return circuit_of(model, rule, fixed or own_fixed_point(model), batch), None
    if isinstance(held[0], Network) and isinstance(held[1], FixedPoint):
        return circuit_of(held[0], rule, fixed or held[1], batch), None
    remedy = "load one with tpl.load_network"
    raise invalid("check_ranges", "model", repr(model)[:60], "a Network, a Learner or what quantise gives", remedy)


def circuit_of(network: Network, rule: BaseRule | None, options: FixedPoint, batch: int = 1) -> Circuit:
    """The circuit in which a network of a rule has all its numbers: the one that learns, if it does."""
    network = network.folded()
    options = options.resolved(network, rule)
    held = network.with_weights(dict(start_weights(network, options)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whoever learns with it is told
        return build_circuit(held, rule, plan(network, rule, options, batch), batch)


def _of_learner(learner: Learner, rule: object, fixed: object, batch: int) -> tuple[Circuit, Mapping[str, np.ndarray] | None]:
    if learner.fixed is None:
        remedy = 'make the learner with precision="fixed", or give its network and rule'
        raise invalid("check_ranges", "precision", "float", "fixed", remedy)
    if rule is not None or fixed is not None:
        raise invalid("check_ranges", "rule or fixed", "given with a Learner", "those of the learner", "leave them out")
    if batch > 1:
        return circuit_of(learner.network, learner.rule, learner.fixed, batch), None
    inference, learning = learner.circuits
    return learning or inference, learner.memory
