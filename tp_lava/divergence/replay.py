"""Where a difference of one neuron's membranes comes from: their linear part, replayed term by term in both forms.

    u[t] = c u[t-1] + w s[t],   v[t] = d v[t-1] + u[t] + b - r s_out[t], or v[t-1] in refractory steps

Up to the step in which they differ, both forms have the same spikes, so the difference of their membranes is the sum of what
different weights, biases, decays and resets bring, each carried on by the decays, and of a rest: rounding and saturation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tp_lava.divergence.forms import NetworkForm, Trial
from tp_lava.graph.chain import GraphLayer
from tp_lava.graph.delays import AnyDelays, SynapticDelays
from tp_lava.graph.network import Connection, Population
from tp_lava.graph.pooling import pooled

TERMS = ("weights", "bias", "decay", "current_decay", "reset")


@dataclass(frozen=True)
class NeuronForm:
    """One neuron in one form: w (n_in,) its weights from all that is computed before it, r (units,) those from what is one step older, b
    its bias, v (T,) its membrane, constants as held.
    """

    w: np.ndarray
    r: np.ndarray
    b: float
    v: np.ndarray
    constants: Mapping[str, float]
    filtered_bias: bool
    zeroed: bool

    @classmethod
    def of(cls, form: NetworkForm, trial: Trial, number: int, neuron: int) -> NeuronForm:
        """Neuron `neuron` of hidden layer `number`."""
        layer = form.layers[number]
        bias = form.weights.get(layer.population.bias)
        w, r = (
            np.concatenate([incoming(form, connection, neuron) for connection in those] or [np.zeros(0)])
            for those in (layer.forward, layer.recurrent)
        )
        return cls(
            w,
            r,
            0.0 if bias is None else float(bias[neuron]),
            trial.membranes[number][:, neuron],
            {attr: float(values[neuron]) for attr, values in form.constants[number].items()},
            layer.neuron.bias_to == "current",
            layer.neuron.reset == "zero",
        )

    def waits(self, own: np.ndarray, step: int) -> np.ndarray:
        """(step + 1,): whether each step is a refractory one. own: (T,) the neuron's spikes."""
        last, waits = -np.inf, np.zeros(step + 1, bool)
        for t in range(step + 1):
            waits[t] = t - last <= self.constants["refractory"]
            last = t if own[t] else last
        return waits

    def threshold(self, own: np.ndarray, step: int) -> float:
        """At the step, after the spikes before it."""
        raised = 0.0
        for spiked in own[:step]:
            raised = self.constants["adaptation_decay"] * raised + float(spiked)
        return self.constants["threshold"] + self.constants["adaptation"] * raised


def arriving(layer: GraphLayer, sent_by: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """What reaches a layer, connection by connection: (T, n_in) from what is computed before it, (T, units) from a step ago.

    sent_by: name of the input or a population -> (T, n), what it sends.
    """
    now = [delayed(sent_by[connection.pre], connection.delays) for connection in layer.forward]
    ago = [delayed(later(sent_by[connection.pre], 1), connection.delays) for connection in layer.recurrent]
    steps = len(now[0])
    return np.concatenate(now, axis=1), np.concatenate([np.zeros((steps, 0)), *ago], axis=1)


def delayed(units: np.ndarray, delays: AnyDelays | None) -> np.ndarray:
    """(T, n): the units that a connection sees, behind its delays."""
    if delays is None:
        return units
    seen = np.zeros((len(units), delays.n_delayed))
    for number, steps in enumerate(delays.array.tolist()):
        seen[:, number] = later(units[:, number % delays.n_units], steps)
    return seen


def later(units: np.ndarray, steps: int) -> np.ndarray:
    """The same, so many steps later."""
    return np.concatenate([np.zeros_like(units[:steps]), units[: len(units) - steps]]) if steps else units


def incoming(form: NetworkForm, connection: Connection, neuron: int) -> np.ndarray:
    """(n_in,): the weight by which each unit that a connection sees reaches a neuron."""
    kind, weights = connection.kind, np.asarray(form.weights[connection.name], np.float64)
    if isinstance(connection.delays, SynapticDelays):
        found = np.zeros(connection.delays.n_delayed)
        found[connection.delays.units[neuron]] = weights[neuron]
        return found
    if kind.by_place is None:
        return weights[neuron]
    channel, y, x = np.unravel_index(neuron, kind.output_shape)
    kernel = weights[channel] if kind.shared else weights[channel, y, x]
    (ya, rows), (xa, columns) = ((np.flatnonzero(seen >= 0), seen[seen >= 0]) for seen in (kind.taps(0)[y], kind.taps(1)[x]))
    group = slice(*(int(channel) // (kind.channels // kind.groups) + np.arange(2)) * len(kernel))
    maps = np.zeros(kind.pooled_shape)
    maps[group, rows[:, None], columns] = kernel[:, ya[:, None], xa]
    shapes = [pooled(kind.pooling[:count], kind.shape) for count in range(len(kind.pooling))]
    for pooling, (_, height, width) in zip(reversed(kind.pooling), reversed(shapes), strict=True):
        maps = pooling.paths(0, height).T @ maps @ pooling.paths(1, width)
    return maps.ravel()


def sent(population: Population, spikes: np.ndarray) -> np.ndarray:
    """(T, units): what others get of a population's spikes, (T, n)."""
    maps, shape = spikes.astype(np.float64), population.shape
    for pooling in population.pooling:
        maps = pooling.paths(0, shape[1]) @ maps.reshape(-1, *shape) @ pooling.paths(1, shape[2]).T
        maps = (maps > 0).astype(np.float64) if pooling.mode == "max" else maps * pooling.windows(shape).share
        shape = maps.shape[1:]
    return maps.reshape(len(spikes), -1)


@dataclass(frozen=True)
class Replay:
    """before_reset, threshold: (a, b) of the step, the membranes before reset; terms: what brings their difference; largest: (a, b)
    |membrane| before saturation, in any step so far; shares: weights' term by (unit below, recurrent unit); waits: (a, b) whether the
    step is a refractory one.
    """

    before_reset: tuple[float, float]
    terms: Mapping[str, float]
    largest: tuple[float, float]
    shares: tuple[np.ndarray, np.ndarray]
    threshold: tuple[float, float]
    waits: tuple[bool, bool]

    @property
    def rest(self) -> float:
        """The difference that no term brings."""
        return self.before_reset[0] - self.before_reset[1] - sum(self.terms.values())

    @property
    def scale(self) -> float:
        """Size of the numbers whose sums were rounded."""
        return max(1.0, *self.largest)


def replay(a: NeuronForm, b: NeuronForm, below: np.ndarray, back: np.ndarray, own: np.ndarray, step: int) -> Replay:
    """Up to `step`. below, back: what arrives, see `arriving`, in both forms until `step`; own: (T,) the neuron's spikes."""
    u = [0.0, 0.0]
    filtered, term = dict.fromkeys(TERMS, 0.0), dict.fromkeys(TERMS, 0.0)
    shares, filtered_shares = ([np.zeros_like(a.w), np.zeros_like(a.r)] for _ in range(2))
    largest, pre = [0.0, 0.0], [0.0, 0.0]
    c, d = b.constants["current_decay"], b.constants["decay"]
    waits = tuple(side.waits(own, step) for side in (a, b))
    for t in range(step + 1):
        s, fed = below[t].astype(np.float64), back[t].astype(np.float64)
        v = [side.v[t - 1] if t else 0.0 for side in (a, b)]
        filtered["current_decay"] = c * filtered["current_decay"] + (a.constants["current_decay"] - c) * u[0]
        for place, side in enumerate((a, b)):
            u[place] = side.constants["current_decay"] * u[place] + side.w @ s + side.r @ fed + (side.b if side.filtered_bias else 0.0)
            pre[place] = side.constants["decay"] * v[place] + u[place] + (0.0 if side.filtered_bias else side.b)
            pre[place] = v[place] if waits[place][t] else pre[place]
            largest[place] = max(largest[place], abs(pre[place]))
        filtered["weights"] = c * filtered["weights"] + (a.w - b.w) @ s + (a.r - b.r) @ fed
        for part, difference, active in zip(range(2), (a.w - b.w, a.r - b.r), (s, fed), strict=True):
            filtered_shares[part] = c * filtered_shares[part] + difference * active
            shares[part] = shares[part] if waits[1][t] else d * shares[part] + filtered_shares[part]
        filtered["bias"] = (c * filtered["bias"] if b.filtered_bias else 0.0) + a.b - b.b
        if not waits[1][t]:
            term = {name: d * term[name] + filtered[name] for name in TERMS}
            term["decay"] += (a.constants["decay"] - d) * v[0]
        if t < step and own[t]:
            jumps = [pre[place] if side.zeroed else side.constants["reset_by"] for place, side in enumerate((a, b))]
            if a.zeroed and b.zeroed:
                term = dict.fromkeys(TERMS, 0.0)
                shares = [np.zeros_like(a.w), np.zeros_like(a.r)]
            else:
                term["reset"] -= jumps[0] - jumps[1]
    threshold, waited = (a.threshold(own, step), b.threshold(own, step)), (bool(waits[0][step]), bool(waits[1][step]))
    return Replay((pre[0], pre[1]), term, (largest[0], largest[1]), (shares[0], shares[1]), threshold, waited)
