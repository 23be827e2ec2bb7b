"""analyse, check and check_ranges: the range analysis of a circuit, and of what a person has."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from tp_lava.checks import is_whole
from tp_lava.circuit import Circuit
from tp_lava.errors import invalid
from tp_lava.fixedpoint import FixedPoint, plan, start_weights
from tp_lava.learner import Learner
from tp_lava.network import Network
from tp_lava.ranges.abstract import AbstractRun
from tp_lava.ranges.judge import Judge, Limits
from tp_lava.ranges.report import RangeReport
from tp_lava.rules import Rule
from tp_lava.wiring import build_circuit


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
        raise invalid("analyse", "circuit", "of floats", "of integers", "make it with formats from fixedpoint.plan")
    if steps is not None and not is_whole(steps, 1):
        raise invalid("analyse", "steps", repr(steps), "an integer of at least 1, or None", "None is any number of steps")
    given = {name: circuit.buffers[name].encode(value) for name, value in circuit.values.items()}
    run = AbstractRun(circuit, {**given, **(memory or {})}, steps, learning)
    return RangeReport(Judge(run, limits).entries(), steps, learning and circuit.learns)


def check(circuit: Circuit, memory: Mapping[str, np.ndarray] | None = None, **options) -> RangeReport:
    """As analyse. Raises NumberRangeError, naming layer, value, bound, limit and remedy, for what does not fit."""
    return analyse(circuit, memory, **options).check()


def check_ranges(
    model: Network | Learner | HeldNetwork,
    rule: Rule | None = None,
    fixed: FixedPoint | None = None,
    *,
    steps: int | None = None,
    learning: bool = True,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    batch: int = 1,
) -> RangeReport:
    """Prove that every number of a network fits where it is held in fixed point. Raises NumberRangeError for what does not.

    model: a Network, with the rule (None: it infers) and options of fixed point a Learner would take; what quantise gave, with the
    rule; or a fixed-point Learner as it is. batch: samples learned together; steps, learning, limits: as for analyse.
    """
    if isinstance(model, Learner):
        return _of_learner(model, rule, fixed, steps, learning, limits, batch)
    if isinstance(model, Network):
        network, options = model, fixed or FixedPoint()
    elif isinstance(getattr(model, "network", None), Network) and isinstance(getattr(model, "fixed", None), FixedPoint):
        network, options = model.network, fixed or model.fixed
    else:
        raise invalid(
            "check_ranges", "model", repr(model)[:60], "a Network, a Learner or what quantise gives", "load one with tpl.load_network"
        )
    return check(circuit_of(network, rule, options, batch), steps=steps, learning=learning, limits=limits)


def circuit_of(network: Network, rule: Rule | None, options: FixedPoint, batch: int = 1) -> Circuit:
    """The circuit in which a network of a rule has all its numbers: the one that learns, if it does."""
    options = options.resolved(network, rule)
    held = network.with_weights(dict(start_weights(network, options)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whoever learns with it is told
        return build_circuit(held, rule, plan(network, rule, options, batch), batch)


def _of_learner(learner: Learner, rule, fixed, steps, learning: bool, limits: Limits, batch: int) -> RangeReport:
    if learner.precision != "fixed":
        raise invalid("check_ranges", "precision", "float", "fixed", "floats have no formats")
    if rule is not None or fixed is not None:
        raise invalid("check_ranges", "rule or fixed", "given with a Learner", "those of the learner", "leave them out")
    if batch != 1 and learner.fixed:
        return check(circuit_of(learner.network, learner.rule, learner.fixed, batch), steps=steps, learning=learning, limits=limits)
    inference, learns = learner.circuits
    return check(learns or inference, learner.memory, steps=steps, learning=learning, limits=limits)
