"""The search for formats: layer by layer from the input, those that keep most of the float network's spikes.

A layer is tried in each candidate on the spikes that its decided, fixed-point layers below give; it is judged by the spikes
the float network has there. Among candidates with the same spikes the weights' signal-to-noise ratio decides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tp_lava.backends.layerwise import Batch, forward_layers, run_layer, run_readout, simulate
from tp_lava.circuit import names
from tp_lava.circuit.formats import GROWTH, REAL, FixedPoint, Formats, plan, weight_exponents
from tp_lava.dynamics.parameters import highest
from tp_lava.errors import NumberRangeError
from tp_lava.graph.chain import GraphLayer
from tp_lava.graph.names import INPUT
from tp_lava.graph.network import Connection, Network
from tp_lava.numbers import STATE_BITS, WEIGHT_BITS, Format, exponent_to_hold
from tp_lava.rules import BaseRule

_BELOW, _ABOVE = 4, 1  # candidates around the smallest exponent that holds the largest weight
_FEWEST_BITS = 2
_FURTHEST = 24  # from where the search starts
_FINER = (0, 2, 4)  # moves of the membrane's binary point, where head-room allows
_HEAD_ROOM = 1.0  # bits that the largest membrane seen should leave

_Merit = tuple[float, float, float]  # what is compared, in this order; the last: share of spikes or predictions kept


@dataclass(frozen=True)
class SearchOptions:
    """bits: for all connections, by name, or searched for; rule, room: see quantise; accept: share of agreement to keep."""

    bits: int | Mapping[str, int] | Literal["search"]
    rule: BaseRule | None
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


def head_room(largest: float, membrane: Format) -> float:
    """Bits between the largest |membrane| and saturation; infinite where none moved."""
    return math.log2(membrane.largest / largest) if largest > 0 else math.inf


class Search:
    """Decides, one after the other, every exponent, number of bits and binary point."""

    def __init__(self, network: Network, batch: Batch, options: SearchOptions) -> None:
        self._network, self._options, self._batch, self._within = network, options, batch, batch.within
        self._layers = forward_layers(network)
        rule = options.rule
        own = {c.name: c for c in rule.connections(network)} if rule else {}  # of the rule
        self._connections = {c.name: c for c in network.connections} | own
        self._weights = {name: array for name, array in network.weights.items() if not network.is_bias(name)}
        self._weights |= rule.parameters(network) if rule else {}
        self._float = simulate(network, REAL, batch)
        self._fixed = self._start()

    def run(self) -> FixedPoint:
        """The options found."""
        self._sent = {INPUT: self._batch.spikes}  # by those whose formats are decided
        for layer, run in zip(self._layers, self._float.layers, strict=True):
            self._expected, self._seen = run.spikes, dict[tuple, tuple[float, float]]()
            for connection in self._order(layer):
                self._fixed = self._decided(connection, layer)
            self._fixed = self._placed(layer)
            self._sent[layer.name] = run_layer(self._network, layer, self._plan(self._fixed), self._sent, self._within).sent
        self._fixed = self._decided(self._network.readout, None)
        for name in self._weights.keys() - self._network.weights.keys():
            self._fixed = self._by_weights(name)
        return self._fixed

    def _order(self, layer: GraphLayer) -> tuple[Connection, ...]:
        """The connections of a layer in the order they are decided; where several meet, the first once more, the others known."""
        once = len(layer.connections) == 1 or self._options.bits == "search"
        return layer.connections if once else (*layer.connections, layer.connections[0])

    def _plan(self, fixed: FixedPoint) -> Formats:
        return plan(self._network, self._options.rule, fixed)

    def _formats(self, fixed: FixedPoint) -> Formats | None:
        try:
            return self._plan(fixed)
        except NumberRangeError:
            return None

    # Where it starts --------------------------------------------------------------------------
    def _start(self) -> FixedPoint:
        given = FixedPoint() if self._options.bits == "search" else FixedPoint(self._options.bits)
        weight_exponents(self._network, self._options.rule, given)  # refuses unknown names
        return replace(given, weight_exponents={name: self._first_fitting(name, given.bits(name)) for name in self._weights})

    def _first_fitting(self, name: str, bits: int) -> int:
        return max(self._first(name, bits), self._coarsest(name))

    def _first(self, name: str, bits: int) -> int:
        """The smallest exponent that holds a connection's weights and the growth they are allowed."""
        least, largest = self._least(name, bits), self._largest(name)
        if least is not None:
            return least
        return self._default(name, bits) if self._is_own(name) or largest == 0 else exponent_to_hold(largest, bits)

    def _least(self, name: str, bits: int) -> int | None:
        """The exponent below which a connection would not have the growth it is allowed; None where it may clip."""
        room, largest = self._options.room, self._largest(name)
        if self._is_own(name) or not (self._learns(name) or (room is not None and self._options.rule is None)):
            return None
        return exponent_to_hold((room or GROWTH) * largest, bits) if largest > 0 else self._default(name, bits)

    def _default(self, name: str, bits: int) -> int:
        """A Learner's exponent, with head-room for untrained layers."""
        return weight_exponents(self._network, self._options.rule, FixedPoint({name: bits}))[name]

    def _coarsest(self, name: str) -> int:
        """The exponent below which the membrane, as fine as these weights, would not hold twice its threshold."""
        connection = self._connections[name]
        if connection == self._network.readout:
            return self._first(name, WEIGHT_BITS) - WEIGHT_BITS
        neuron = self._network.population(connection.post).neuron
        return math.ceil(math.log2(max(highest(neuron.threshold), highest(neuron.reset_by or 0.0) / 2))) - (STATE_BITS - 3)

    def _largest(self, name: str) -> float:
        return float(np.abs(self._weights[name]).max(initial=0.0))

    def _is_own(self, name: str) -> bool:
        """Whether a connection is the rule's own, whose room to learn circuit.formats decides."""
        return name not in self._network.weights

    def _learns(self, name: str) -> bool:
        rule, connection = self._options.rule, self._connections[name]
        if rule is None:
            return False
        return rule.learns_readout if connection == self._network.readout else rule.rates(self._network)[connection.post] > 0

    # One connection ---------------------------------------------------------------------------
    def _decided(self, connection: Connection, layer: GraphLayer | None) -> FixedPoint:
        """The options with this connection's exponent, and its bits where they are searched for. layer: None for the readout."""
        best, goal = self._best(connection.name, layer, self._fixed)
        if self._options.bits == "search":
            for bits in range(WEIGHT_BITS - 1, _FEWEST_BITS - 1, -1):
                fewer, kept = self._best(connection.name, layer, self._with_bits(best, connection.name, bits))
                if kept < self._options.accept * goal:
                    break
                best = fewer
        return best

    def _with_bits(self, fixed: FixedPoint, name: str, bits: int) -> FixedPoint:
        each = {other: fixed.bits(other) for other in self._weights} | {name: bits}
        return _with_exponent(replace(fixed, weight_bits=each), name, self._first_fitting(name, bits))

    def _best(self, name: str, layer: GraphLayer | None, fixed: FixedPoint) -> tuple[FixedPoint, float]:
        """The options with the best exponent for a connection, and the share of spikes, or of predictions, that they keep."""
        first, least = fixed.weight_exponents[name], self._least(name, fixed.bits(name))
        lowest, tried = first + _ABOVE + 1, list[tuple[_Merit, FixedPoint]]()
        while True:
            until, lowest = lowest, lowest - _BELOW - (_ABOVE + 1 if not tried else 0)
            exponents = range(lowest if least is None else max(least, lowest), until)
            more = [self._merit(name, layer, _with_exponent(fixed, name, exponent)) for exponent in exponents]
            tried += [entry for entry in more if entry]
            if not tried:
                self._plan(fixed)  # raises, naming what does not fit
            merit, best = max(tried, key=lambda entry: entry[0])
            # On to smaller ones only where the smallest is best so far, or all silence the layer: one weight far from the others.
            at_edge = best.weight_exponents[name] == lowest or merit[0] == 0
            if not any(more) or not at_edge or least is not None or lowest < first - _FURTHEST:
                return best, merit[2]

    def _merit(self, name: str, layer: GraphLayer | None, candidate: FixedPoint) -> tuple[_Merit, FixedPoint] | None:
        formats = self._formats(candidate)
        if formats is None:
            return None
        agreement, kept = self._scores(formats) if layer is None else (self._tried(layer, formats)[0],) * 2
        # A thousandth of the spikes is within what chance decides; then the weights themselves do.
        return (round(agreement, 3), signal_to_noise(self._weights[name], formats[name]), kept), candidate

    def _by_weights(self, name: str) -> FixedPoint:
        """The options with the exponent of a rule's own connection: a network that infers has none, so its weights alone decide."""
        fixed, rule = self._fixed, self._options.rule
        first = fixed.weight_exponents[name]
        lowest = first if rule and rule.trains(name) else first - _BELOW
        tried = [_with_exponent(fixed, name, exponent) for exponent in range(lowest, first + 1)]
        fitting = [(candidate, formats[name]) for candidate in tried if (formats := self._formats(candidate))]
        return max(fitting, key=lambda entry: signal_to_noise(self._weights[name], entry[1]), default=(fixed, None))[0]

    # How well it does -------------------------------------------------------------------------
    def _scores(self, formats: Formats) -> tuple[float, float]:
        """Of the readout, which does not spike: the scores' signal-to-noise ratio on the same spikes, and predictions kept."""
        expected, found = (run_readout(self._network, how, self._sent, self._batch.lengths) for how in (REAL, formats))
        kept = float(np.mean(expected.argmax(axis=1) == found.argmax(axis=1)))
        # What all classes share decides nothing.
        expected, found = (scores - scores.mean(axis=1, keepdims=True) for scores in (expected, found))
        return decibels(expected, found - expected), kept

    def _tried(self, layer: GraphLayer, formats: Formats) -> tuple[float, float]:
        """Spike agreement of a layer and its largest membrane; of the same formats, computed once."""
        key = tuple(formats[name] for name in (*(c.name for c in layer.connections), names.of(layer.name, "membrane")))
        if key not in self._seen:
            run = run_layer(self._network, layer, formats, self._sent, self._within)
            self._seen[key] = spike_agreement(self._expected, run.spikes), run.largest
        return self._seen[key]

    # The membrane -----------------------------------------------------------------------------
    def _placed(self, layer: GraphLayer) -> FixedPoint:
        """The options with this membrane's binary point: head-room above the largest one seen, then agreement, then as planned."""
        membrane, planned, tried = names.of(layer.name, "membrane"), self._plan(self._fixed), []
        scarce = head_room(self._tried(layer, planned)[1], planned[membrane]) < _HEAD_ROOM
        before = self._fixed.membrane_frac if isinstance(self._fixed.membrane_frac, Mapping) else {}
        for move in range(0, -_FURTHEST, -1) if scarce else _FINER:
            candidate = replace(self._fixed, membrane_frac={**before, layer.name: planned[membrane].frac + move})
            formats = self._formats(candidate)
            if formats:
                agreement, largest = self._tried(layer, formats)
                room = min(head_room(largest, formats[membrane]), _HEAD_ROOM)
                tried.append(((room, round(agreement, 2), -abs(move)), candidate))  # moved only for what counts
        return max(tried, key=lambda entry: entry[0])[1]


def _with_exponent(fixed: FixedPoint, name: str, exponent: int) -> FixedPoint:
    return replace(fixed, weight_exponents={**fixed.weight_exponents, name: exponent})
