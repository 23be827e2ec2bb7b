"""Formats of learning from measured signals: how far a layer's third factors reach, in float, on a few samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tp_lava.circuit.formats import THIRD_FACTOR_RANGE, FixedPoint
from tp_lava.circuit.terms import third_factor_of
from tp_lava.data.events import Sample
from tp_lava.errors import invalid
from tp_lava.graph.network import Network
from tp_lava.learner import Learner
from tp_lava.rules import BaseRule
from tp_lava.state_history import watch

SAMPLES = 10  # that are looked at, spread over those given
CUT = 0.2  # share of the summed third factors that saturation may take
_LEAST, _MOST = 2.0**-6, THIRD_FACTOR_RANGE  # of a range


def measured_formats(
    network: Network, rule: BaseRule, samples: Sequence[Sample], fixed: FixedPoint | None = None, *, cut: float = CUT
) -> FixedPoint:
    """The options of fixed point with the third factors' ranges chosen from what they are in float.

        R = the smallest power of two with  sum max(0, |y| - R) <= cut * sum |y|          y: third factors before their rate

    over the steps and neurons of up to 10 samples, which a copy learns. The range of 16 that holds without measuring suits long traces and
    strong signals; where signals are smaller it costs bits: a third factor is rounded for all synapses of a neuron together, so that its
    steps are noise that they share. samples: to be learned; fixed: other options, FixedPoint() unless given, whose ranges are kept where it
    names them one by one; cut: in [0, 1), 0.2 unless given. Layers with a bound of their own, and those that do not learn, have nothing
    to measure. Raises InvalidValueError.
    """
    if not samples:
        raise invalid("measured_formats", "samples", "empty", "at least one recording with its label", "give some that will be learned")
    if not 0 <= cut < 1:
        raise invalid("measured_formats", "cut", repr(cut), "a number in [0, 1)", "0.2 is usual")
    fixed = fixed or FixedPoint()
    kept = dict(fixed.third_factor_range) if isinstance(fixed.third_factor_range, Mapping) else {}
    found = {name: _range(values, cut) for name, values in third_factors(network, rule, samples).items() if name not in kept}
    return replace(fixed, third_factor_range={**found, **kept}) if found else fixed


def third_factors(network: Network, rule: BaseRule, samples: Sequence[Sample]) -> dict[str, np.ndarray]:
    """|y| of each hidden layer before its rate, in float: of all steps, neurons, paths (TP's target rows learn too) and samples, those
    above zero; of layers alone whose third factors have no bound by the rule.
    """
    learner = Learner(network.folded(), rule)
    wanted = _measurable(learner, rule)
    found: dict[str, list[np.ndarray]] = {name: [] for name, _ in wanted.values()}
    for events, label in samples[:: max(1, len(samples) // SAMPLES)][:SAMPLES] if wanted else ():
        history = watch(learner, events, label, names=list(wanted))
        for buffer, (population, scale) in wanted.items():
            values = np.abs(history[buffer]).ravel() / scale
            found[population].append(values[values > 0])
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _measurable(learner: Learner, rule: BaseRule) -> dict[str, tuple[str, float]]:
    """Buffer of each path's third factors -> the population whose they are, and the rate they have been multiplied by."""
    circuit, gains = learner.circuits[1], rule.gains(learner.network)
    found: dict[str, tuple[str, float]] = {}
    for population in learner.network.populations:
        for term in rule.terms:
            gain = gains[third_factor_of(population, term)]
            scale, local = abs(gain.rate * gain.factor), f"{term.prefix}third_factor"
            if scale and gain.largest is None and circuit is not None:
                own = (b for b in circuit.buffers.values() if b.owner.name == population.name and b.role == "work")
                found |= {b.name: (population.name, scale) for b in own if b.local.removeprefix(b.prefix) == local}
    return found


def _range(values: np.ndarray, cut: float) -> float:
    """The smallest power of two beyond which at most this share of the sum lies."""
    total, reach = float(values.sum()), _MOST
    if not total or not math.isfinite(total):
        return _MOST
    while reach / 2 >= _LEAST and float(np.maximum(values - reach / 2, 0.0).sum()) <= cut * total:
        reach /= 2
    return reach
