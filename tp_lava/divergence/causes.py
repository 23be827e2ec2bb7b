"""The likely cause of a difference, in words: which term of the replay is largest, and whether rounding explains it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tp_lava.divergence.forms import FLOAT_ROUNDING, FormPair, Trial, resolutions
from tp_lava.divergence.replay import NeuronForm, Replay, incoming, replay
from tp_lava.dynamics.neuron import LIF
from tp_lava.dynamics.parameters import spread
from tp_lava.graph.delays import SynapticDelays
from tp_lava.graph.names import READOUT_BIAS
from tp_lava.numbers import DECAY_BITS


def why(
    pair: FormPair, trials: tuple[Trial, Trial], given: tuple[np.ndarray, np.ndarray], number: int, neuron: int, step: int
) -> tuple[str, Replay]:
    """The cause of a difference of a hidden neuron's spike or membrane, and the replay it is read from. given: what arrives."""
    one, other = (NeuronForm.of(form, trial, number, neuron) for form, trial in zip((pair.a, pair.b), trials, strict=True))
    own = trials[0].spikes[number]
    seen = replay(one, other, *given, own[:, neuron], step)
    spiked = (bool(trials[0].spikes[number][step, neuron]), bool(trials[1].spikes[number][step, neuron]))
    return _Difference(pair, number, neuron, spiked, seen).cause(), seen


@dataclass(frozen=True)
class _Difference:
    """Of one neuron. spiked: whether it did in that step, in each form."""

    pair: FormPair
    number: int
    neuron: int
    spiked: tuple[bool, bool]
    seen: Replay

    def cause(self) -> str:
        """In words."""
        return self._saturation() or self._options() or self._largest_term()

    @property
    def _neurons(self) -> tuple[LIF, LIF]:
        return self.pair.a.layers[self.number].neuron, self.pair.b.layers[self.number].neuron

    def _held(self, attr: str) -> tuple[float, float]:
        """A constant of the neuron in both forms."""
        a, b = self.pair.constants(self.number, attr)
        return float(a[self.neuron]), float(b[self.neuron])

    @property
    def _margin(self) -> float:
        """Of the membranes to their thresholds."""
        return max(abs(pre - threshold) for pre, threshold in zip(self.seen.before_reset, self.seen.threshold, strict=True))

    def _saturation(self) -> str:
        for membrane, largest in zip(self.pair.membranes(self.number), self.seen.largest, strict=True):
            if membrane and largest > membrane.largest + membrane.resolution:
                return f"membrane saturated at {membrane.bits} bits: {largest:.6g} was reached where {membrane.largest:.6g} is the most"
        return ""

    def _options(self) -> str:
        """Another comparison, kind of reset or refractory time, where that decides here."""
        one, other = self._neurons
        if self.seen.waits[0] != self.seen.waits[1]:
            a, b = self._held("refractory")
            return f"different refractory times: {a:.0f} and {b:.0f} steps"
        near = FLOAT_ROUNDING * max(self.seen.threshold) + sum(resolutions(self.pair.membranes(self.number)))
        if self.spiked[0] != self.spiked[1] and one.comparison != other.comparison and self._margin <= near:
            return f'different comparison: "{one.comparison}" and "{other.comparison}", and the membrane meets the threshold'
        terms = self.seen.terms
        if one.reset != other.reset and (all(self.spiked) or abs(terms["reset"]) >= max(map(abs, terms.values())) > 0):
            return f'different reset: "{one.reset}" and "{other.reset}"'
        return ""

    def _largest_term(self) -> str:
        terms = dict(self.seen.terms)
        if self.spiked[0] != self.spiked[1]:
            a, b = self.seen.threshold
            terms["threshold"] = b - a
        elif self.spiked[0] and any(neuron.reset != "zero" for neuron in self._neurons):
            a, b = self._held("reset_by")
            terms["reset"] -= a - b
        name = max(terms, key=lambda term: abs(terms[term]))
        if abs(terms[name]) <= max(self.pair.float_noise(self.seen.scale), abs(self.seen.rest)):
            return self._rounding()
        match name:
            case "weights":
                return self._weights()
            case "bias":
                bias = self.pair.layers[self.number].population.bias
                if self.pair.rounded(bias):
                    return f"rounding of {bias}: accumulated difference {self.seen.terms['bias']:.3g}"
                return _different_weights(self.pair, bias, self.neuron)
            case "threshold":
                return self._threshold("threshold")
            case "reset":
                return self._threshold("reset_by")
        return self._decay(name)

    def _weights(self) -> str:
        """Which weight into the neuron brings most, or that all are rounded."""
        layer, shares = self.pair.layers[self.number], np.abs(np.concatenate(self.seen.shares))
        if all(self.pair.rounded(connection.name) for connection in layer.connections):
            return f"weight rounding: accumulated difference {self.seen.terms['weights']:.3g}"
        sizes = [len(incoming(self.pair.a, connection, self.neuron)) for connection in layer.connections]
        unit, place = int(shares.argmax()), 0
        while unit >= sizes[place]:
            unit, place = unit - sizes[place], place + 1
        connection = layer.connections[place]
        if not connection.kind.by_place:
            index = unit % connection.delays.n_units if isinstance(connection.delays, SynapticDelays) else unit
            return _different_weights(self.pair, connection.name, self.neuron, index)
        a, b = self.pair.each(lambda form: incoming(form, connection, self.neuron)[unit])
        return f"different weights: {connection.name} from unit {unit} to neuron {self.neuron} is {a:.6g} and {b:.6g}"

    def _decay(self, attr: str) -> str:
        held, words = self._held(attr), attr.replace("_", " ")
        if not self.pair.rounded_decays(held):
            return f"different {words}s: {held[0]:.6g} and {held[1]:.6g}"
        coarse = 0 if self.pair.fixed[0] else 1
        asked, mantissa = self._asked(coarse, attr), round(held[coarse] * 2**DECAY_BITS)
        return f"{words} held as {mantissa}/{2**DECAY_BITS}, not {asked:.6g}: accumulated difference {self.seen.terms[attr]:.3g}"

    def _asked(self, place: int, attr: str) -> float:
        """A constant of the neuron as a form was asked for it."""
        population = (self.pair.a, self.pair.b)[place].layers[self.number].population
        return float(np.broadcast_to(spread(getattr(population.neuron, attr), population.shape), population.size)[self.neuron])

    def _threshold(self, attr: str) -> str:
        a, b = self._held(attr)
        if attr == "threshold" and self.seen.threshold != (a, b):
            return self._adaptation()
        if attr == "reset_by" and all(neuron.reset_by is None for neuron in self._neurons):
            attr = "threshold"  # is what a spike subtracts
        what = "threshold" if attr == "threshold" else "amount subtracted by a spike"
        if abs(a - b) <= sum(resolutions(self.pair.membranes(self.number))) / 2 + 1e-7:
            return f"rounding of the {what}: {a:.9g} and {b:.9g}"
        return f"different {what}{'s' if attr == 'threshold' else ''}: {a:.6g} and {b:.6g}"

    def _adaptation(self) -> str:
        """Why a threshold that has risen differs."""
        for attr in ("threshold", "adaptation", "adaptation_decay"):
            a, b = self._asked(0, attr), self._asked(1, attr)
            if a != b:
                return f"different {attr.replace('_', ' ')}s: {a:.6g} and {b:.6g}"
        a, b = self.seen.threshold
        return f"rounding of the threshold's adaptation: {a:.9g} and {b:.9g}"

    def _rounding(self) -> str:
        """What no parameter explains."""
        apart, steps = f"{abs(self.seen.rest):.3g}", resolutions(self.pair.membranes(self.number))
        if not any(self.pair.fixed):
            if self.spiked[0] != self.spiked[1] and self._margin <= FLOAT_ROUNDING * self.seen.scale:
                return f"float rounding at the threshold: |membrane - threshold| is {self._margin:.1g}"
            return f"unknown: weights and constants are the same, and the membranes {apart} apart; suspect the order of steps"
        if not all(self.pair.fixed) or steps[0] != steps[-1]:
            return f"membrane rounding: products with decays are cut to steps of {max(steps):.3g}; the membranes are {apart} apart"
        return f"unknown: the same integers, and the membranes {apart} apart; suspect the order of steps"


def why_scores(pair: FormPair, label: int) -> str:
    """The cause of different scores of a class on the same spikes."""
    readout = pair.a.network.readout.name
    if not pair.rounded(readout):
        a, b = pair.weights(readout)
        return _different_weights(pair, readout, label, int(np.argmax(np.abs(a[label] - b[label]))))
    if not pair.rounded(READOUT_BIAS):
        return _different_weights(pair, READOUT_BIAS, label)
    decays = pair.readout_decays
    if not pair.rounded_decays(decays):
        return f"different readout decays: {decays[0]:.6g} and {decays[1]:.6g}"
    return "rounding of the readout's weights, bias or decay" if any(pair.fixed) else "float rounding of the scores"


def _different_weights(pair: FormPair, name: str, *index: int) -> str:
    a, b = (array[index] for array in pair.weights(name))
    return f"different weights: {name}[{', '.join(map(str, index))}] is {a:.6g} and {b:.6g}"
