"""Formats of learning from what it is in float: how far third factors reach on a few samples, and weights after all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tp_lava.circuit.formats import THIRD_FACTOR_RANGE, FixedPoint
from tp_lava.circuit.terms import third_factor_of
from tp_lava.data.events import Sample, check_samples
from tp_lava.errors import invalid
from tp_lava.graph.network import Network
from tp_lava.learner import Learner
from tp_lava.rules import BaseRule
from tp_lava.state_history import watch

SAMPLES = 10  # that are looked at, spread over those given
CUT = 0.2  # share of the summed third factors that saturation may take
CUT_WEIGHTS = 0.02  # share of the summed weights that may be beyond their format
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
    _check("measured_formats", samples, cut, CUT)
    fixed = fixed or FixedPoint()
    kept = dict(fixed.third_factor_range) if isinstance(fixed.third_factor_range, Mapping) else {}
    found = {name: _range(values, cut) for name, values in third_factors(network, rule, samples).items() if name not in kept}
    return replace(fixed, third_factor_range={**found, **kept}) if found else fixed


def measured_weights(
    network: Network,
    rule: BaseRule,
    samples: Sequence[Sample],
    fixed: FixedPoint | None = None,
    *,
    cut: float = CUT_WEIGHTS,
    finer: bool = False,
) -> FixedPoint:
    """The options of fixed point with coarser weights where learning makes them larger than the usual formats hold.

        R = the smallest power of two with  sum max(0, |w| - R) <= cut * sum |w|          w: a connection's weights

    of a copy that has learned each sample once in float, in an order drawn from seed 0. The usual format leaves a
    blank layer's weights room for about a quarter of a threshold, or 1 in the readout, which suits rules that change them at every step.
    A readout that learns once a sample, from counts, has larger ones: clipped, it forgets. samples: to be learned, all of them, as few
    do not tell how large weights become; fixed: other options, FixedPoint() unless given, whose weight exponents are kept; cut: in [0, 1),
    0.02 unless given; finer: formats also become finer than the usual ones, which leave room that is often not used: at 8 bits each change
    is rounded at random to 0 or one step, by which weights walk, half as far for steps of a quarter. Connections that do not learn stay.
    Raises InvalidValueError.
    """
    _check("measured_weights", samples, cut, CUT_WEIGHTS)
    fixed = fixed or FixedPoint()
    usual = fixed.resolved(network.folded(), rule).weight_exponents
    learner = Learner(network.folded(), rule)
    before = {name: learner.weights[name].copy() for name in usual}
    learner.fit(samples)
    found = dict(fixed.weight_exponents)
    for name in usual.keys() - found.keys():
        grown = np.abs(learner.weights[name])
        if not np.array_equal(before[name], learner.weights[name]) and np.isfinite(grown).all():
            needed = round(math.log2(_reach(grown.ravel(), cut, float(grown.max())))) - (fixed.bits(name) - 1)
            found[name] = needed if finer else max(usual[name], needed)
    return replace(fixed, weight_exponents={name: found[name] for name in usual if name in found})


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


def _check(function: str, samples: Sequence[Sample], cut: float, usual: float) -> None:
    check_samples(function, samples, "give some that will be learned")
    if not 0 <= cut < 1:
        raise invalid(function, "cut", repr(cut), "a number in [0, 1)", f"{usual} is usual")


def _range(values: np.ndarray, cut: float) -> float:
    """Of third factors: at most that which holds without measuring."""
    return _reach(values, cut, _MOST)


def _reach(values: np.ndarray, cut: float, most: float) -> float:
    """The smallest power of two beyond which at most this share of the sum lies, from 2^-6 up to the first that is not below `most`."""
    total, reach = float(values.sum()), 2.0 ** math.ceil(math.log2(max(most, _LEAST)))
    if not total or not math.isfinite(total):
        return reach
    while reach / 2 >= _LEAST and float(np.maximum(values - reach / 2, 0.0).sum()) <= cut * total:
        reach /= 2
    return reach
