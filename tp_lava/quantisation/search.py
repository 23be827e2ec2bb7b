"""The search for formats: layer by layer from the input, what keeps most of the float network's spikes.

A layer is tried in each candidate on the spikes that its decided, fixed-point layers below give; it is judged by the spikes
the float network has there. What gives the same spikes is decided by the weights' signal-to-noise ratio.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tp_lava.errors import NumberRangeError
from tp_lava.circuit.formats import GROWTH, REAL, FixedPoint, Formats, plan, weight_exponents
from tp_lava.graph.network import Network
from tp_lava.numbers import STATE_BITS, WEIGHT_BITS, Format, exponent_to_hold
from tp_lava.dynamics.readout import Readout
from tp_lava.rules import Rule
from tp_lava.backends.layerwise import Batch, run_layer, run_readout, simulate

_BELOW, _ABOVE = 4, 1  # candidates around the smallest exponent that holds the largest weight
_FEWEST_BITS = 2
_FURTHEST = 24  # from where the search starts
_FINER = (0, 2, 4)  # moves of the membrane's binary point, where head-room allows
_HEAD_ROOM = 1.0  # bits that the largest membrane seen should leave

_Merit = tuple[float, float, float]  # what is compared, in this order; the last: share of spikes or predictions kept


@dataclass(frozen=True)
class Wanted:
    """What was asked for. bits: for all connections, by name, or found; room: see quantise; accept: share of agreement to keep."""

    bits: int | Mapping[str, int] | Literal["search"]
    rule: Rule | None
    room: float | None
    accept: float


def spike_agreement(a: np.ndarray, b: np.ndarray) -> float:
    """Jaccard index of two sets of spikes (bool arrays): those in both over those in either; 1 where there are none."""
    either = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / either if either else 1.0


def decibels(signal: np.ndarray, noise: np.ndarray) -> float:
    """10 log10(sum signal^2 / sum noise^2); infinite without noise."""
    lost, whole = float(np.sum(np.square(noise))), float(np.sum(np.square(signal)))
    return math.inf if lost == 0 else 10 * math.log10(whole / lost) if whole else -math.inf


def signal_to_noise(weights: np.ndarray, format: Format) -> float:
    """Of weights (any shape) held in a format, in dB; what is clipped is noise too."""
    exact = np.asarray(weights, np.float64)
    return decibels(exact, exact - format.real(format.quantise(exact)))


class Search:
    """Decides, one after the other, every exponent, number of bits and binary point."""

    def __init__(self, network: Network, batch: Batch, wanted: Wanted) -> None:
        self._network, self._wanted, self._batch, self._within = network, wanted, batch, batch.within
        self._float = simulate(network, REAL, batch)
        self._names = [name for name in network.weights if not network.is_bias(name)]
        self._fixed = self._start()

    def run(self) -> FixedPoint:
        """The options found."""
        self._reach(self._batch.spikes)
        for number in range(len(self._network.layers)):
            for name in self._turns(number):
                self._fixed = self._decided(name, number)
            self._fixed = self._placed(number)
            formats = plan(self._network, None, self._fixed)
            self._reach(run_layer(self._network, number, formats, self._below, self._within).spikes)
        self._fixed = self._decided("readout", None)
        return self._projected()

    def _turns(self, number: int) -> tuple[str, ...]:
        """The connections of a layer in the order they are decided; where two meet, the first once more, the other known."""
        forward, feedback = f"hidden{number}", f"recurrent{number}"
        if feedback not in self._names:
            return (forward,)
        return (forward, feedback) if self._wanted.bits == "search" else (forward, feedback, forward)

    def _reach(self, below: np.ndarray) -> None:
        """Go on to the layer that sees these spikes."""
        self._below, self._seen = below, dict[tuple, tuple[float, float]]()

    # Where it starts --------------------------------------------------------------------------
    def _start(self) -> FixedPoint:
        given = FixedPoint() if self._wanted.bits == "search" else FixedPoint(self._wanted.bits)
        weight_exponents(self._network, None, given)  # says which names are unknown
        each = {name: given.bits(name) for name in self._names}
        return FixedPoint(each, {name: max(self._first(name, bits), self._coarsest(name)) for name, bits in each.items()})

    def _first(self, name: str, bits: int) -> int:
        """The smallest exponent that holds a connection's weights and the growth they are allowed."""
        least, largest = self._least(name, bits), self._largest(name)
        if least is not None:
            return least
        return self._default(name, bits) if name == "target" or largest == 0 else exponent_to_hold(largest, bits)

    def _least(self, name: str, bits: int) -> int | None:
        """The exponent below which a connection would not have the growth it is allowed; None where it may clip."""
        learns, room, largest = self._learns(name), self._wanted.room, self._largest(name)
        if name == "target" or not (learns or (room is not None and self._wanted.rule is None)):
            return None
        room = GROWTH if room is None else room
        return exponent_to_hold(room * largest, bits) if largest > 0 else self._default(name, bits)

    def _default(self, name: str, bits: int) -> int:
        """As a Learner chooses, who does not know whether a layer is trained: what a blank one may come to need."""
        return weight_exponents(self._network, self._wanted.rule, FixedPoint({name: bits}))[name]

    def _coarsest(self, name: str) -> int:
        """The exponent below which the membrane, as fine as these weights, would not hold twice its threshold."""
        digits = "".join(filter(str.isdigit, name)) or "0"
        if name == "readout":
            return self._first(name, WEIGHT_BITS) - WEIGHT_BITS
        neuron = self._network.layers[int(digits)].neuron
        return math.ceil(math.log2(max(neuron.threshold, (neuron.reset_by or 0.0) / 2))) - (STATE_BITS - 3)

    def _largest(self, name: str) -> float:
        return float(np.abs(self._network.weights[name]).max(initial=0.0))

    def _learns(self, name: str) -> bool:
        rule = self._wanted.rule
        if rule is None or name == "target":  # what the label projection needs, fixedpoint knows
            return False
        if name == "readout":
            return isinstance(rule.readout, Readout) and rule.readout_rate > 0
        return rule.rates(len(self._network.layers))[int(name.removeprefix("hidden").removeprefix("recurrent"))] > 0

    # One connection ---------------------------------------------------------------------------
    def _decided(self, name: str, number: int | None) -> FixedPoint:
        """The options with this connection's exponent, and its bits where they are searched for."""
        best, goal = self._best(name, number, self._fixed)
        if self._wanted.bits == "search":
            for bits in range(WEIGHT_BITS - 1, _FEWEST_BITS - 1, -1):
                fewer, kept = self._best(name, number, self._with_bits(best, name, bits))
                if kept < self._wanted.accept * goal:
                    break
                best = fewer
        return best

    def _with_bits(self, fixed: FixedPoint, name: str, bits: int) -> FixedPoint:
        each = {other: bits if other == name else fixed.bits(other) for other in self._names}
        exponent = max(self._first(name, bits), self._coarsest(name))
        return replace(fixed, weight_bits=each, weight_exponents={**fixed.weight_exponents, name: exponent})

    def _best(self, name: str, number: int | None, fixed: FixedPoint) -> tuple[FixedPoint, float]:
        """The options with the best exponent for a connection, and the share of spikes, or of predictions, that they keep."""
        first, least = fixed.weight_exponents[name], self._least(name, fixed.bits(name))
        lowest, tried = first + _ABOVE + 1, list[tuple[_Merit, FixedPoint]]()
        while True:
            until, lowest = lowest, lowest - _BELOW - (_ABOVE + 1 if not tried else 0)
            more = [self._merit(name, number, fixed, e) for e in range(lowest if least is None else max(least, lowest), until)]
            tried += [entry for entry in more if entry]
            if not tried:
                plan(self._network, None, fixed)  # says what does not fit
            merit, best = max(tried, key=lambda entry: entry[0])
            # On to smaller ones only where the smallest is best so far, or all silence the layer: one weight far from the others.
            at_edge = best.weight_exponents[name] == lowest or merit[0] == 0
            if not any(more) or not at_edge or least is not None or lowest < first - _FURTHEST:
                return best, merit[2]

    def _merit(self, name: str, number: int | None, fixed: FixedPoint, exponent: int) -> tuple[_Merit, FixedPoint] | None:
        candidate = replace(fixed, weight_exponents={**fixed.weight_exponents, name: exponent})
        formats = self._formats(candidate)
        if formats is None:
            return None
        agreement, kept = self._scores(formats) if number is None else (self._tried(number, formats)[0],) * 2
        # A thousandth of the spikes is within what chance decides; then the weights themselves do.
        return (round(agreement, 3), signal_to_noise(self._network.weights[name], formats[name]), kept), candidate

    # How well it does -------------------------------------------------------------------------
    def _scores(self, formats: Formats) -> tuple[float, float]:
        """For the readout, which does not spike: the scores' signal-to-noise ratio on the same spikes, and predictions kept."""
        expected, found = (run_readout(self._network, how, self._below, self._batch.lengths) for how in (REAL, formats))
        kept = float(np.mean(expected.argmax(axis=1) == found.argmax(axis=1)))
        # What all classes share decides nothing.
        expected, found = (scores - scores.mean(axis=1, keepdims=True) for scores in (expected, found))
        return decibels(expected, found - expected), kept

    def _formats(self, fixed: FixedPoint) -> Formats | None:
        try:
            return plan(self._network, None, fixed)
        except NumberRangeError:
            return None

    def _tried(self, number: int, formats: Formats) -> tuple[float, float]:
        """Spike agreement of a layer and its largest membrane; of the same formats, computed once."""
        key = tuple(formats.get(name) for name in (f"hidden{number}", f"recurrent{number}", f"hidden{number}_membrane"))
        if key not in self._seen:
            run = run_layer(self._network, number, formats, self._below, self._within)
            self._seen[key] = spike_agreement(self._float.layers[number].spikes, run.spikes), run.largest
        return self._seen[key]

    def _projected(self) -> FixedPoint:
        """With the label projection's exponent: it is not seen while a network infers, so its weights alone decide."""
        fixed, weights = self._fixed, self._network.weights["target"]
        first, rule = fixed.weight_exponents["target"], self._wanted.rule
        lowest = first if rule and rule.train_target else first - _BELOW
        tried = [replace(fixed, weight_exponents={**fixed.weight_exponents, "target": e}) for e in range(lowest, first + 1)]
        fitting = [candidate for candidate in tried if self._formats(candidate)]
        return max(fitting, key=lambda c: signal_to_noise(weights, Format(c.bits("target"), -c.weight_exponents["target"])), default=fixed)

    # The membrane -----------------------------------------------------------------------------
    def _placed(self, number: int) -> FixedPoint:
        """The options with this membrane's binary point: head-room above the largest one seen, then agreement, then as planned."""
        name, tried = f"hidden{number}", []
        planned = plan(self._network, None, self._fixed)
        scarce = head_room(self._tried(number, planned)[1], planned[f"{name}_membrane"]) < _HEAD_ROOM
        before = self._fixed.membrane_frac if isinstance(self._fixed.membrane_frac, Mapping) else {}
        for move in range(0, -_FURTHEST, -1) if scarce else _FINER:
            candidate = replace(self._fixed, membrane_frac={**before, name: planned[f"{name}_membrane"].frac + move})
            formats = self._formats(candidate)
            if formats:
                agreement, largest = self._tried(number, formats)
                room = min(head_room(largest, formats[f"{name}_membrane"]), _HEAD_ROOM)
                tried.append(((room, round(agreement, 2), -abs(move)), candidate))  # moved only for what counts
        return max(tried, key=lambda entry: entry[0])[1]


def head_room(largest: float, membrane: Format) -> float:
    """Bits between the largest |membrane| and saturation; infinite where none moved."""
    return math.log2(membrane.largest / largest) if largest > 0 else math.inf
