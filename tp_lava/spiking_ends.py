"""Networks that end in spikes: the class whose neurons spike most is the answer. Their last map can stand as a readout, which learns.

    score[c] = sum over t of (G W s[t])[c]  (+ G b)       W, b: weights and biases of the last neurons; G: which of them are of class c

So scores are the drive of the last neurons instead of their spikes: without their leak, threshold and reset. Where the largest drive
and the most spikes are of the same class, nothing is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tp_lava.circuit.formats import FixedPoint
from tp_lava.dynamics.parameters import is_per_neuron, spread
from tp_lava.graph.connections import AllToAll
from tp_lava.graph.names import INPUT, READOUT, READOUT_BIAS
from tp_lava.graph.network import Connection, Network


def ends_in_spikes(network: Network) -> bool:
    """Whether the readout only counts: each class has units of its own, which count alike, and there are no biases."""
    counting = network.weights[READOUT]
    own = (counting > 0).sum(axis=0) <= 1
    rows = [row[row != 0] for row in counting]
    alike = all(len(row) and (row > 0).all() and np.ptp(row) == 0 for row in rows)
    return bool(own.all() and alike and READOUT_BIAS not in network.weights)


def last_map_as_readout(network: Network) -> Network | None:
    """The network without its last neurons, whose map is its readout; None where it has no single map from a population into them.

    Biases are kept. Weights keep their unit where the last neurons have one threshold; of several, each row is divided by its own.
    """
    last = network.populations[-1]
    reaching = network.into(last)
    plain = len(reaching) == 1 and not reaching[0].kind.by_place and not reaching[0].recurrent and reaching[0].pre != INPUT
    if not plain or not ends_in_spikes(network) or network.readout.pre != last.name or network.readout.delays:
        return None
    if reaching[0].standardisation or any(c.pre == last.name for c in network.connections if c.post != READOUT):
        return None
    below, counting = reaching[0], network.weights[READOUT]
    rows = counting / counting.max()
    if is_per_neuron(last.neuron.threshold):
        rows = rows / np.asarray(spread(last.neuron.threshold, last.shape))
    weights = {n: w for n, w in network.weights.items() if n not in (below.name, last.bias)}
    weights[READOUT] = np.asarray(rows @ network.weights[below.name], np.float32)
    if last.bias in network.weights:
        weights[READOUT_BIAS] = np.asarray(rows @ network.weights[last.bias], np.float32)
    readout = Connection(READOUT, below.pre, READOUT, AllToAll(below.kind.n_inputs, network.n_classes), delays=below.delays)
    connections = [*(c for c in network.connections if c.post not in (last.name, READOUT)), readout]
    provenance = network.provenance and replace(network.provenance, fixed=_moved(network.provenance.fixed, below.name, last.name))
    return replace(
        network,
        populations=network.populations[:-1],
        connections=tuple(connections),
        weights=weights,
        readout_decay=1.0,
        provenance=provenance,
    )


def _moved(fixed: object, weights: str, neurons: str) -> object:
    """A source's formats, those of the last map for the readout."""
    if not isinstance(fixed, FixedPoint):
        return fixed
    exponents = {name: e for name, e in fixed.weight_exponents.items() if name not in (weights, READOUT)}
    if weights in fixed.weight_exponents:
        exponents[READOUT] = fixed.weight_exponents[weights]
    bits = fixed.weight_bits
    if isinstance(bits, Mapping):
        bits = {name: b for name, b in bits.items() if name != weights} | {READOUT: fixed.bits(weights)}
    frac = fixed.membrane_frac
    if isinstance(frac, Mapping):
        frac = {name: f for name, f in frac.items() if name != neurons}
    return replace(fixed, weight_exponents=exponents, weight_bits=bits, membrane_frac=frac)
