"""Blank networks that suit their data, so that they learn at the first try: delay lines where the order in time tells the classes
apart, and weights as large as neurons need to spike now and then.

    W_l <- g_l * W_l,  g_l the smallest power of 2^(1/4) for which the layer's mean rate is at least RATE, from the first layer upwards
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tp_lava.checks import is_number
from tp_lava.data.events import Sample, check_samples
from tp_lava.data.timing import LEAST, time_in_data
from tp_lava.dynamics.neuron import LIF
from tp_lava.errors import invalid
from tp_lava.graph.delays import MOST_STEPS
from tp_lava.graph.network import Network, Population
from tp_lava.learner import Learner

RATE = 0.02  # spikes of a neuron per step: what the untrained networks have that learn best on digits and on speech
FITS = (0.5, 2.0)  # of RATE: layers in this range stay as they are
DECAY, DELAYED_DECAY = 0.95, 0.9  # of membranes and traces, without and with delay lines
COPIES, SPAN = 12, 0.9  # of each input; the longest delay, as a share of the recordings' usual length
MOST_DELAYED = 1024  # units that get delay lines unasked: of a camera's they would be too many
_SAMPLES, _RANGE, _PER_OCTAVE = 20, 10, 4  # samples looked at; gains from 2^-10 to 2^10, in quarters of an octave


def network_for(
    samples: Sequence[Sample],
    hidden: Sequence[int] = (200,),
    n_classes: int | None = None,
    *,
    neuron: LIF | None = None,
    trace_decay: float | None = None,
    recurrent: bool = False,
    span: int | None = None,
    copies: int = COPIES,
    scale: bool = True,
    seed: int = 0,
) -> Network:
    """A blank network of all-to-all layers for these samples.

    hidden: neurons of each hidden layer; n_classes: by default one more than the largest label, at least two; neuron and
    trace_decay: unless given LIF(0.95) and 0.95, with delay lines LIF(0.9) and 0.9; span: longest of the delays of `copies` copies of
    the inputs, in steps, 0: none; None: by the data, see suitable_span; scale: see scaled_to_data. Raises InvalidValueError.
    """
    check_samples("network_for", samples, "give those that are learned")
    sizes = samples[0][0].n_units, *hidden, n_classes or max(2, 1 + max(label for _, label in samples))
    span = suitable_span(samples, seed) if span is None else span
    decay = DELAYED_DECAY if span else DECAY
    neuron, trace_decay = LIF(decay) if neuron is None else neuron, decay if trace_decay is None else trace_decay
    if span:
        network = Network.temporal(sizes, neuron, trace_decay, span, min(copies, span + 1), recurrent, seed)
    else:
        network = Network.dense(sizes, neuron, trace_decay, recurrent, seed)
    return scaled_to_data(network, samples) if scale else network


def suitable_span(samples: Sequence[Sample], seed: int = 0) -> int:
    """The longest delay that suits samples: nine tenths of their usual length, at most 63 steps, where the order of events in time
    tells their classes apart and they have at most 1024 units; else 0.
    """
    if len(samples) < LEAST or samples[0][0].n_units > MOST_DELAYED or not time_in_data(samples, seed).matters:
        return 0
    return min(MOST_STEPS, round(SPAN * float(np.median([events.n_steps for events, _ in samples]))))


def scaled_to_data(network: Network, samples: Sequence[Sample], rate: float = RATE) -> Network:
    """The network with the weights into each hidden layer from below scaled so that its neurons spike `rate` times a step, in the mean.

    samples: the first 20 are looked at; rate: in (0, 1). Layers within a factor of two stay as they are, as does a layer that no gain
    makes spike. Biases, recurrent weights and the readout stay. Raises InvalidValueError.
    """
    if not is_number(rate) or not 0 < rate < 1:
        raise invalid("scaled_to_data", "rate", repr(rate), "spikes of a neuron per step, in (0, 1)", f"{RATE} is usual")
    check_samples("scaled_to_data", samples, "give those that are learned")
    chosen = samples[:: max(1, len(samples) // _SAMPLES)][:_SAMPLES]
    for number, population in enumerate(network.populations):
        if not FITS[0] * rate <= _rate(network, number, chosen) <= FITS[1] * rate:
            network = _scaled(network, number, population, chosen, rate)
    return network


def _scaled(network: Network, number: int, population: Population, samples: Sequence[Sample], rate: float) -> Network:
    """With the gain of one population, found by bisection: its rate grows with its gain."""
    low, high = -_RANGE * _PER_OCTAVE, _RANGE * _PER_OCTAVE
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _rate(_with_gain(network, population, middle), number, samples) < rate else (low, middle)
    scaled = _with_gain(network, population, high)
    return scaled if _rate(scaled, number, samples) > 0 else network


def _with_gain(network: Network, population: Population, quarters: int) -> Network:
    gain = np.float32(2.0 ** (quarters / _PER_OCTAVE))
    return network.with_weights({c.name: network.weights[c.name] * gain for c in network.into(population) if not c.recurrent})


def _rate(network: Network, number: int, samples: Sequence[Sample]) -> float:
    learner = Learner(network)
    rates = [learner.infer(events).spike_counts[number].mean() / events.n_steps for events, _ in samples]
    return float(np.mean(rates))
