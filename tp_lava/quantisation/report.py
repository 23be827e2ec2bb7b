"""What fixed point costs: by connection, by layer and over all, as a table, as JSON-able numbers, and (tp_lava.plots) drawn."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tp_lava.backends.layerwise import Batch, LayerRun, forward_layers, simulate
from tp_lava.circuit import names
from tp_lava.circuit.formats import REAL, Formats
from tp_lava.data.events import Events
from tp_lava.dynamics.neuron import PER_NEURON, check_knows
from tp_lava.dynamics.parameters import Parameter, lowest
from tp_lava.graph.chain import GraphLayer
from tp_lava.graph.network import Network
from tp_lava.numbers import DECAY_BITS, Format, quantise_decay
from tp_lava.quantisation.search import head_room, signal_to_noise
from tp_lava.ranges.report import RangeReport
from tp_lava.rules import BaseRule
from tp_lava.tables import as_text, json_values

SATURATED = 0.95  # share of steps in which a saturated neuron spikes
_ROWS = 32  # samples simulated side by side
_KNOWN = frozenset({*PER_NEURON, "comparison", "reset", "surrogate", "bias_to"})


@dataclass(frozen=True)
class ConnectionReport:
    """How the weights of a connection are held: weight = mantissa * 2**exponent, mantissas of `bits` bits, sign included.

    clipped: share of the weights beyond the largest mantissa; noise_db: 10 log10(sum w^2 / sum (w - held)^2), infinite where
    nothing is lost; largest: |weight| before.
    """

    name: str
    bits: int
    exponent: int
    clipped: float
    noise_db: float
    largest: float


@dataclass(frozen=True)
class HeldDecay:
    """A decay factor asked for, and as it is held, mantissa / 4096.

    tau_error: relative error of the time constant -1 / ln(decay), None where there is none: decay 0 or 1.
    """

    asked: float
    mantissa: int
    tau_error: float | None

    @classmethod
    def of(cls, decay: Parameter, name: str) -> HeldDecay:
        """A decay in [0, 1], as plan accepts it; of several that whose time constant is furthest off."""
        if isinstance(decay, tuple):
            return max((cls.of(one, name) for one in sorted(set(decay))), key=lambda held: abs(held.tau_error or 0.0))
        if decay in (0, 1):
            return cls(decay, int(decay) << DECAY_BITS, None)
        mantissa = quantise_decay(decay, name)
        held = mantissa / 2**DECAY_BITS
        return cls(decay, mantissa, math.log(decay) / math.log(held) - 1.0 if held else -1.0)


@dataclass(frozen=True)
class LayerReport:
    """A hidden layer. Pairs are (float, fixed).

    membrane_bits, membrane_frac: its format; head_room: bits between the largest |membrane| seen, before reset, and
    saturation, negative where it saturated; threshold_mantissa, threshold_bits: as held; decays: by attribute; of neurons with numbers
    of their own the smallest threshold, and the decay whose time constant is furthest off; spikes: over
    all samples; dead: neurons that never spiked; saturated: neurons that spiked in at least 95 % of the steps; agreement:
    Jaccard index of the spikes, those in both over those in either, 1 where there are none; equal: share of (step, neuron)
    with the same value.
    """

    name: str
    neurons: int
    membrane_bits: int
    membrane_frac: int
    head_room: float
    threshold: float
    threshold_mantissa: int
    threshold_bits: int
    decays: dict[str, HeldDecay]
    spikes: tuple[int, int]
    dead: tuple[int, int]
    saturated: tuple[int, int]
    agreement: float
    equal: float


@dataclass(frozen=True)
class QuantisationReport:
    """A network in float and in fixed point on the same samples.

    accuracy: (float, fixed) share of the labelled samples told right, None without labels; agreement: share of all samples
    with the same prediction; readout_decay: None where scores integrate; ranges: what is proven of every number, None where it
    was not looked at.
    """

    connections: tuple[ConnectionReport, ...]
    layers: tuple[LayerReport, ...]
    samples: int
    labelled: int
    accuracy: tuple[float, float] | None
    agreement: float
    readout_decay: HeldDecay | None = None
    ranges: RangeReport | None = None

    def to_dict(self) -> dict[str, Any]:
        """Numbers that JSON can hold: infinite ones become None; of the ranges the summary."""
        plain = dataclasses.asdict(dataclasses.replace(self, ranges=None))
        return json_values({**plain, "ranges": self.ranges.summary() if self.ranges else None})

    def table(self):
        """A rich Table, a row for each connection; what belongs to a layer stands beside the connection of its name, or below."""
        from rich.table import Table

        drawn = Table(title=self._title(), caption=self.ranges.line() if self.ranges else None, caption_justify="left")
        for column in _COLUMNS:
            drawn.add_column(column, justify="left" if column == "connection" else "right")
        layers = {layer.name: layer for layer in self.layers}
        for connection in self.connections:
            drawn.add_row(*_connection_cells(connection), *_layer_cells(layers.pop(connection.name, None)))
        for layer in layers.values():
            drawn.add_row(layer.name, *_NO_CONNECTION, *_layer_cells(layer))
        return drawn

    def _title(self) -> str:
        title = f"{self.samples} samples: predictions agree on {self.agreement:.1%}"
        if self.accuracy is None:
            return title
        return f"{title}; accuracy {self.accuracy[0]:.3f} in float, {self.accuracy[1]:.3f} in fixed point, of {self.labelled} labelled"

    def __str__(self) -> str:
        return as_text(self.table())


_CONNECTION = ("connection", "bits", "scale", "clipped", "SNR dB")
_NO_CONNECTION = ("",) * (len(_CONNECTION) - 1)
_COLUMNS = (
    *_CONNECTION,
    *("membrane", "head-room", "threshold", "decay", "tau error", "spikes", "dead", "saturated", "agreement", "equal"),
)


def _connection_cells(connection: ConnectionReport) -> tuple[str, ...]:
    noise = "exact" if math.isinf(connection.noise_db) else f"{connection.noise_db:.1f}"
    return connection.name, str(connection.bits), f"2^{connection.exponent}", f"{connection.clipped:.2%}", noise


def _layer_cells(layer: LayerReport | None) -> tuple[str, ...]:
    if layer is None:
        return ("",) * (len(_COLUMNS) - len(_CONNECTION))
    decay = layer.decays["decay"]
    return (
        f"s{layer.membrane_bits}.{layer.membrane_frac}",
        "unused" if math.isinf(layer.head_room) else f"{layer.head_room:.1f} bits",
        f"{layer.threshold_mantissa} ({layer.threshold_bits} bits)",
        f"{decay.asked:g} as {decay.mantissa}/{2**DECAY_BITS}",
        "" if decay.tau_error is None else f"{decay.tau_error:+.2%}",
        *(f"{before} → {after}" for before, after in (layer.spikes, layer.dead, layer.saturated)),
        f"{layer.agreement:.1%}",
        f"{layer.equal:.1%}",
    )


# How it is measured -------------------------------------------------------------------------------


class _Tally:
    """What a hidden layer did in both forms, summed over samples."""

    def __init__(self, layer: GraphLayer) -> None:
        check_knows(layer.neuron, _KNOWN, "quantisation report")
        self._layer, self._counts = layer, np.zeros((2, layer.size), np.int64)
        self._both = self._either = self._equal = self._steps = 0
        self._largest = 0.0

    def add(self, real: LayerRun, fixed: LayerRun, within: np.ndarray) -> None:
        """Some samples. within: (T, B), whether they still went on."""
        a, b = real.spikes, fixed.spikes
        self._counts += [a.sum(axis=(0, 1)), b.sum(axis=(0, 1))]
        self._both += np.count_nonzero(a & b)
        self._either += np.count_nonzero(a | b)
        self._equal += np.count_nonzero((a == b)[within])
        self._steps += np.count_nonzero(within)
        self._largest = max(self._largest, real.largest, fixed.largest)

    def report(self, formats: Formats) -> LayerReport:
        """Of all samples so far."""
        layer, membrane = self._layer, formats[names.of(self._layer.name, "membrane")]
        neuron, threshold = layer.neuron, lowest(layer.neuron.threshold)
        mantissa = int(membrane.quantise(threshold))
        decays = {"decay": neuron.decay, "current_decay": neuron.current_decay, "trace_decay": layer.population.trace_decay}
        decays |= {"adaptation_decay": neuron.adaptation_decay} if neuron.adapts else {}
        return LayerReport(
            name=layer.name,
            neurons=layer.size,
            membrane_bits=membrane.bits,
            membrane_frac=membrane.frac,
            head_room=head_room(self._largest, membrane),
            threshold=threshold,
            threshold_mantissa=mantissa,
            threshold_bits=mantissa.bit_length(),
            decays={attr: HeldDecay.of(decay, f"{layer.name}.{attr}") for attr, decay in decays.items()},
            spikes=_pair(self._counts),
            dead=_pair(self._counts == 0),
            saturated=_pair(self._counts >= SATURATED * self._steps),
            agreement=self._both / self._either if self._either else 1.0,
            equal=self._equal / (self._steps * layer.size),
        )


def _pair(counts: np.ndarray) -> tuple[int, int]:
    """Sums over neurons, in float and in fixed point."""
    real, fixed = counts.sum(axis=1).tolist()
    return real, fixed


def measure(
    network: Network, formats: Formats, events: Sequence[Events], labels: Sequence[int | None], rule: BaseRule | None = None
) -> QuantisationReport:
    """Both forms of a float network, on all samples. formats: from circuit.formats.plan; rule: whose own connections count too."""
    tallies = [_Tally(layer) for layer in forward_layers(network)]
    predictions: tuple[list[int], list[int]] = ([], [])
    for begin in range(0, len(events), _ROWS):
        batch = Batch.of(events[begin : begin + _ROWS])
        real, fixed = simulate(network, REAL, batch), simulate(network, formats, batch)
        for tally, in_float, in_fixed in zip(tallies, real.layers, fixed.layers, strict=True):
            tally.add(in_float, in_fixed, batch.within)
        for found, simulation in zip(predictions, (real, fixed), strict=True):
            found += simulation.scores.argmax(axis=1).tolist()
    known = [index for index, label in enumerate(labels) if label is not None]
    right = [float(np.mean([found[index] == labels[index] for index in known])) if known else math.nan for found in predictions]
    weights = {name: array for name, array in network.weights.items() if not network.is_bias(name)}
    weights |= rule.parameters(network) if rule else {}
    return QuantisationReport(
        connections=tuple(_connection(name, array, formats[name]) for name, array in weights.items()),
        layers=tuple(tally.report(formats) for tally in tallies),
        samples=len(events),
        labelled=len(known),
        accuracy=(right[0], right[1]) if known else None,
        agreement=float(np.mean(np.equal(*predictions))),
        readout_decay=HeldDecay.of(network.readout_decay, "Network.readout_decay") if network.readout_decay < 1 else None,
    )


def _connection(name: str, weights: np.ndarray, format: Format) -> ConnectionReport:
    beyond = np.abs(np.rint(np.ldexp(weights.astype(np.float64), format.frac))) > format.high
    largest = float(np.abs(weights).max(initial=0.0))
    return ConnectionReport(name, format.bits, -format.frac, float(beyond.mean()), signal_to_noise(weights, format), largest)
