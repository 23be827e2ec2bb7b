"""What fine-tuning does to a network from elsewhere before it learns: units, an end that can learn, formats with room.

Thresholds become about 1 (units.py), the last map of a network that ends in spikes its readout (spiking_ends.py), the readout's unit one
in which a softmax of its scores says something, and the integers of a file get finer steps where there is room. Nothing of this changes a
spike of what stays.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tp_lava.circuit.formats import GROWTH, FixedPoint, own_fixed_point
from tp_lava.data.events import Sample
from tp_lava.dynamics.readout import Readout
from tp_lava.errors import invalid
from tp_lava.graph.names import READOUT
from tp_lava.graph.network import Network
from tp_lava.learner import Learner
from tp_lava.numbers import exponent_to_hold
from tp_lava.quantisation.measured import measured_formats, measured_weights
from tp_lava.rules import BaseRule
from tp_lava.spiking_ends import ends_in_spikes, last_map_as_readout
from tp_lava.state_history import watch
from tp_lava.units import Units

Precision = Literal["float", "fixed"] | FixedPoint
Ends = Literal["choose", "readout", "spikes"]
LOGITS = 2.0  # what scores of one step differ from their mean, root mean square, where a softmax teaches well
_SMALLEST, _LARGEST = LOGITS / 32, LOGITS * 4  # readouts whose scores are within stay as they are: small ones of blank networks grow
_MEASURED = 8  # samples that scores are measured on
_COMPARED = 200  # samples on which a readout is compared with spikes
KEPT = 0.1  # accuracy that the last map may lose as a readout; what learns from counts of spikes learns far less
AGREE = 0.8  # share of samples with the same prediction, where no labels of the old task are given


class FineTuningWarning(UserWarning):
    """A network that cannot be brought into a form that learns well."""


@dataclass(frozen=True)
class Prepared:
    """network, rule, precision: to learn with; units: by which the network was scaled; said: what was done, a sentence each."""

    network: Network
    rule: BaseRule
    precision: Precision
    units: Units
    said: tuple[str, ...]

    def back(self, network: Network) -> Network:
        """A network that has learned, in the units of the one that was given."""
        return self.units.inverse().apply(network)


def prepare(network: Network, rule: BaseRule, precision: Precision, samples: Sequence[Sample], end: End | None = None) -> Prepared:
    """A network in units, and with formats, that learning wants; the same objects where they are so already.

    rule: of this network; samples: to learn, on some of which the scores are measured; end: what was chosen before.
    """
    measured = precision == "fixed"
    network, rule, precision, units, said = _in_units(network, rule, precision, samples)
    if measured and samples:
        fixed = own_fixed_point(network) if precision == "fixed" else precision
        assert isinstance(fixed, FixedPoint)
        precision = measured_formats(network, rule, samples, fixed)
        if any(connection.recurrent for connection in network.connections):  # what rounding does to their weights comes back in each step
            precision = measured_weights(network, rule, samples, precision, finer=True)
    return Prepared(network, rule, precision, units, (*(end.said if end else ()), *said))


# The end ------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class End:
    """network: with the end to be taught; said: what was done; removed: the neurons whose map is now the readout, "" for none."""

    network: Network
    said: tuple[str, ...] = ()
    removed: str = ""


def choose_end(network: Network, precision: Precision, samples: Sequence[Sample], old: Sequence[Sample] = (), ends: Ends = "choose") -> End:
    """What learns at the end of a network: of one that ends in spikes its last map, as a readout, or its last neurons.

    samples: to learn; old: of the task that it knows, if there are any, by which the end is chosen. ends: "readout" takes the last map,
    "spikes" counts the last neurons' spikes and teaches them as hidden ones, "choose" takes the map where it loses at most 0.1 of the
    accuracy on old samples, or, without them, tells 0.8 of the new ones the same. Warns (FineTuningWarning) where the map cannot be taken.
    Raises InvalidValueError.
    """
    if ends not in ("choose", "readout", "spikes"):
        raise invalid("finetune", "ends", repr(ends), '"choose", "readout" or "spikes"', "leave it out to have it chosen")
    if ends == "spikes" or not ends_in_spikes(network):
        return End(network)
    last = network.populations[-1].name
    if (made := last_map_as_readout(network)) is None:
        _warn(f"{last}: the network ends in spikes, and no single all-to-all map leads from neurons to them, so they learn as hidden ones")
        return End(network)
    taken = list(old or samples)[:: max(1, len(old or samples) // _COMPARED)][:_COMPARED]
    spiking, mapped = (Learner(each, precision=precision) for each in (network, made))
    told = [(spiking.infer(events).prediction, mapped.infer(events).prediction, label) for events, label in taken]
    if old:
        before, after = (float(np.mean([row[k] == row[2] for row in told])) for k in (0, 1))
        fits, how = after >= before - KEPT, f"accuracy on {len(taken)} old samples {before:.3f} by spikes, {after:.3f} by the map"
    else:
        same = float(np.mean([a == b for a, b, _ in told]))
        fits, how = same >= AGREE, f"{same:.0%} of {len(taken)} new samples told the same"
    if fits or ends == "readout":
        return End(made, (f"{last}: its map is the readout, and learns; {how}",), last)
    _warn(f"{last}: the network ends in spikes, and its last map would be another readout ({how}), so its neurons learn as hidden ones")
    return End(network, (f"{last}: its spikes are counted, and its neurons learn as hidden ones; {how}",))


def _warn(text: str) -> None:
    warnings.warn(f"{text}.", FineTuningWarning, stacklevel=5)


# Units --------------------------------------------------------------------------------------------
def _in_units(
    network: Network, rule: BaseRule, precision: Precision, samples: Sequence[Sample]
) -> tuple[Network, BaseRule, Precision, Units, tuple[str, ...]]:
    own = rule.connections(network)
    held = own_fixed_point(network) if precision == "fixed" else precision
    integers = isinstance(held, FixedPoint) and bool(held.weight_exponents or held.membrane_frac is not None)
    units = Units.of(network, powers=integers, readout=_readout_factor(network, rule, samples))
    if not units.change:
        return network, rule, precision, units, ()
    scaled, chosen, said = units.apply(network, own), precision, _told(network, units)
    if integers:
        assert isinstance(held, FixedPoint)
        moved = units.fixed(held, network, own)
        chosen = with_room(moved, scaled, rule) if precision == "fixed" else moved
    return scaled, _with_rates(rule, network, units.residuals), chosen, units, said


def _told(network: Network, units: Units) -> tuple[str, ...]:
    found = []
    for population in network.populations:
        if (factor := units.factors[population.name]) != 1:
            found.append(f"{population.name}: potentials and weights are multiplied by {factor:g}, so that the threshold is about 1")
    if (factor := units.factors[READOUT]) != 1:
        found.append(f"readout: weights are multiplied by {factor:g}, so that a softmax of the scores teaches")
    return tuple(found)


def _with_rates(rule: BaseRule, network: Network, factors: Mapping[str, float]) -> BaseRule:
    """The rule with its rates times a factor for each population."""
    if all(factor == 1 for factor in factors.values()):
        return rule
    return replace(rule, rate=tuple(rate * factors.get(name, 1.0) for name, rate in rule.rates(network).items()))


def _readout_factor(network: Network, rule: BaseRule, samples: Sequence[Sample]) -> float:
    """A power of two, 1 where the scores are what a softmax needs or nothing can be measured."""
    used = rule.learns_readout or rule.credit.needs_readout_error
    if not isinstance(rule.readout, Readout) or not used or not samples:
        return 1.0
    size = logit_size(network, rule.readout, samples[:: max(1, len(samples) // _MEASURED)][:_MEASURED])
    if not 0 < size < math.inf or _SMALLEST <= size <= _LARGEST:
        return 1.0
    return 2.0 ** round(math.log2(LOGITS / size))


def logit_size(network: Network, readout: Readout, samples: Sequence[Sample]) -> float:
    """Root mean square over steps and classes of p / temperature less its mean over classes; p: the potential that a readout learns by."""
    learner, squares = Learner(network), []
    for events, _ in samples:
        scores = watch(learner, events, names=["score"])["score"].astype(np.float64)
        arriving = np.diff(scores, axis=0, prepend=0 * scores[:1])
        if network.readout_decay < 1:
            arriving[1:] = scores[1:] - network.readout_decay * scores[:-1]
        potential = np.zeros(network.n_classes)
        for step, row in enumerate(arriving, 1):
            potential = readout.decay * potential + row
            logits = potential / readout.temperature / (step if readout.normalised else 1)
            squares.append(np.mean((logits - logits.mean()) ** 2))
    return float(np.sqrt(np.mean(squares))) if squares else 0.0


# Formats ------------------------------------------------------------------------------------------
def with_room(fixed: FixedPoint, network: Network, rule: BaseRule) -> FixedPoint:
    """The formats of a file's integers with finer exponents where weights that learn can double all the same; integers stay."""
    rates = rule.rates(network)
    exponents = dict(fixed.weight_exponents)
    for connection in network.connections:
        learns = rates.get(connection.post, 0.0) > 0 or (connection.post == READOUT and rule.learns_readout)
        if learns and connection.name in exponents:
            largest = float(np.abs(network.weights[connection.name]).max(initial=0.0)) or 2.0**-20
            finest = exponent_to_hold(GROWTH * largest, fixed.bits(connection.name))
            point = fixed.frac(connection.post)  # of the membranes, which must not lose a bit of them
            exponents[connection.name] = min(exponents[connection.name], finest if point is None else max(finest, -point))
    return replace(fixed, weight_exponents=exponents)
