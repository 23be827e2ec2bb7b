"""Range analysis: no run ever leaves a proven interval, what fits passes, and what is too tight is refused by its name."""

import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import lively
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import random_program
from test_connections import spatial_network

import tp_lava as tpl
from tp_lava.engine import Engine, stream_labels
from tp_lava.errors import InvalidValueError, NumberRangeError
from tp_lava.fixedpoint import FixedPoint, plan
from tp_lava.numbers import Format
from tp_lava.ranges import LOIHI, Limits, analyse, check, check_ranges
from tp_lava.ranges.checking import circuit_of
from tp_lava.ranges.evaluator import Evaluator
from tp_lava.ranges.intervals import Interval
from tp_lava.targets.interpreter import interpret, interpret_step
from tp_lava.wiring import build_circuit

SEEDS = st.integers(0, 2**32 - 1)
STEPS = 12


# No run leaves a proven interval ------------------------------------------------------------------


class Watch:
    """The least and greatest of every buffer and of every value of every program."""

    def __init__(self):
        self.seen = {}

    def note(self, key, array):
        if array.size:
            low, high = self.seen.get(key, (array.min(), array.max()))
            self.seen[key] = min(low, array.min()), max(high, array.max())

    def __call__(self, number, value, array):
        self.note((number, value.index), array)


def watched(circuit, memory, samples, seed=0):
    """Carry out samples, (T, rows, inputs) of bool with labels, and see everything."""
    watch, engine = Watch(), Engine(circuit, memory)
    for number, (spikes, labels) in enumerate(samples):
        engine.begin(len(spikes))
        classes = circuit.network.n_classes
        streams = labels if len(labels) > 1 else stream_labels(labels[0], classes, circuit.sizes.get("k", 0), seed, number)
        engine.set_labels(labels, streams)
        for step in spikes:
            for row, on in enumerate(step):
                units = np.flatnonzero(on)
                memory["input_active"][row, : units.size], memory["input_count"][row] = units, units.size
            interpret_step(circuit, memory, watch)
            for name, buffer in circuit.buffers.items():
                if buffer.format:
                    watch.note(name, memory[name])
    return watch.seen


def proven(report):
    return {(e.operation, e.value) if e.program else e.name: (e.low, e.high) for e in report.entries}


def assert_within(seen, report):
    intervals, compared = proven(report), 0
    for key, (low, high) in seen.items():
        if key in intervals:
            assert intervals[key][0] <= low, (key, low, high, intervals[key])
            assert high <= intervals[key][1], (key, low, high, intervals[key])
            compared += 1
    assert compared >= len(intervals) * 0.9


def random_neuron(rng):
    reset = str(rng.choice(["subtract", "zero"]))
    return tpl.LIF(
        float(rng.choice([0.3, 0.8, 0.98, 1.0])),
        float(rng.choice([0.4, 1.0, 2.5])),
        str(rng.choice([">", ">="])),
        reset,
        float(rng.choice([0.0, 0.6])),
        [tpl.ArcTan(), tpl.Triangle(), tpl.FastSigmoid(4.0)][rng.integers(3)],
        reset_by=0.9 if reset == "subtract" and rng.random() < 0.3 else None,
        bias_to=str(rng.choice(["membrane", "current"])),
    )


def random_network(rng):
    if rng.random() < 0.25:
        return spatial_network(rng, random_neuron(rng), readout_decay=float(rng.choice([1.0, 0.9])))
    recurrent = [bool(rng.integers(2)), bool(rng.integers(2))]
    network = tpl.Network.dense((9, 7, 6, 3), random_neuron(rng), float(rng.choice([0.5, 0.9])), recurrent, int(rng.integers(99)))
    biases = {name: rng.normal(0, 0.3, network.shapes[name]) for name in ("bias0", "bias1", "readout_bias") if rng.random() < 0.5}
    return replace(lively(network, float(rng.choice([1, 4, 30]))).with_weights(biases), readout_decay=float(rng.choice([1.0, 0.9])))


def random_rule(rng, network):
    rates = tuple(0.0 if layer.connection else float(rng.choice([0.0, 0.3])) for layer in network.layers)
    update, last = str(rng.choice(["step", "sequence"])), [None, 3][rng.integers(2)]
    decay, gain = float(rng.choice([0.0, 0.9, 1.0])), float(rng.choice([1.0, 0.2]))
    readout = tpl.Readout(decay, gain, bool(rng.integers(2)), str(rng.choice(["trace", "count", "spike"])), last)
    match int(rng.integers(4)):
        case 0:
            return None
        case 1:
            return tpl.TP(rates, 0.3, int(rng.integers(2, 4)), bool(rng.integers(2)), update, readout)
        case 2:
            return tpl.TP(rates, 0.0, "all", readout=tpl.Match())
    activity = str(rng.choice(["spike", "trace"]))
    return tpl.TESS(rates, 0.3, basis="walsh", update=update, learn_last=last, temperature=gain, activity=activity, readout=readout)


def random_formats(rng, network, rule, students):
    """Those planned, some of them narrower, so that clamps act."""
    bits = {name: int(rng.integers(3, 9)) for name in network.weights if "bias" not in name}
    formats = dict(plan(network, rule, FixedPoint(bits).resolved(network, rule), students))
    for number in range(len(network.layers)):
        membrane, trace = formats[f"hidden{number}_membrane"], formats[f"hidden{number}_trace"]
        if rng.random() < 0.4:
            formats[f"hidden{number}_membrane"] = Format(int(rng.integers(membrane.frac + 2, 25)), membrane.frac)
        if rng.random() < 0.3:
            formats[f"hidden{number}_trace"] = Format(trace.bits - int(rng.integers(1, 4)), trace.frac, signed=False)
    if rng.random() < 0.3 and not isinstance(getattr(rule, "readout", None), tpl.Match):
        formats["score"] = Format(int(rng.integers(12, 31)), formats["score"].frac)
    return formats


def random_samples(rng, circuit):
    """At several densities, all and none among them, and what drives one neuron most."""
    rows, inputs = circuit.sizes["b"], circuit.sizes["input"]
    samples = []
    for density in (float(rng.random()), 1.0):
        spikes = rng.random((STEPS, rows, inputs)) < density
        samples.append((spikes, [int(rng.integers(circuit.network.n_classes)) for _ in range(rows)]))
    weights = circuit.network.weights["hidden0"]
    if weights.ndim == 2:
        driving = weights[rng.integers(len(weights))] > 0
        samples.append((np.broadcast_to(driving != bool(rng.integers(2)), (STEPS, rows, inputs)), samples[0][1]))
    return samples


@settings(max_examples=40)
@given(SEEDS)
def test_no_run_leaves_a_proven_interval(seed):
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    rule = random_rule(rng, network)
    students = 2 if rule is not None and not isinstance(rule.readout, tpl.Match) and rng.random() < 0.25 else 1
    try:
        circuit = build_circuit(network, rule, random_formats(rng, network, rule, students), students)
    except NumberRangeError:
        return
    memory = circuit.allocate()
    memory |= {name: circuit.buffers[name].encode(value) for name, value in circuit.values.items()}
    learning = bool(rng.integers(2)) or not circuit.learns
    if not learning:
        for name in circuit.names("switch"):
            memory[name][...] = memory[name] * (not name.endswith("_learning"))
    report = analyse(circuit, steps=STEPS, learning=learning)
    endless = analyse(circuit, learning=learning)
    seen = watched(circuit, memory, random_samples(rng, circuit), seed)
    assert_within(seen, report)
    assert_within(seen, endless)
    for entry in report.entries:
        if entry.program:
            value = circuit.step[entry.operation].program.values[entry.value]
            assert value.low <= entry.low <= entry.high <= value.high
