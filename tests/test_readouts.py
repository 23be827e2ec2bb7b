"""Every way to teach a readout, against the same written out by hand in float64, and on every target."""

from dataclasses import replace

import numpy as np
import pytest
from both_back_ends import BothBackEnds, engine_for
from conftest import lively, random_events
from tess_oracle import HandReadout
from test_functions import evaluate, unary

import tp_lava as tpl
from tp_lava.circuit import RunProgram
from tp_lava.circuit.build import build_circuit
from tp_lava.dynamics.functions import RECIPROCAL, RECIPROCAL_ERROR, reciprocal
from tp_lava.numbers import Format

RATE = 0.02
STEPS = 15
READOUTS = {
    "published": tpl.Readout(),
    "scaled": tpl.Readout(temperature=2.5, normalised=True),
    "tess": tpl.Readout(decay=0, features="spike"),
    "last": tpl.Readout(features="count", normalised=True, learn_last=1),
    "everything": tpl.Readout(0.9, 0.5, True, "count", 4),
}
BIASED = ("scaled", "everything")


def network_of(biased=False):
    network = lively(tpl.Network.dense((9, 9, 4), trace_decay=0.8, neuron=tpl.LIF(0.9, 0.8), seed=4), 2.5)
    return network.with_weights({"readout_bias": np.array([0.3, -0.2, 0.1, 0.0])}) if biased else network


def rule_of(readout, rate=RATE, **options):
    """The readout alone learns."""
    return tpl.TP(0.0, rate, 2, readout=readout, **options)


def recorded(network, events):
    """A sample's hidden spikes, step by step, and their traces."""
    spikes = tpl.Learner(network).infer(events, record=True).spikes[0].astype(float)
    traces, trace = [], 0.0
    for step in spikes:
        trace = network.layers[0].trace_decay * trace + step
        traces.append(trace)
    return spikes, np.array(traces)


@pytest.mark.parametrize("name", READOUTS)
def test_by_hand(name, rng):
    biased, update = name in BIASED, "sequence" if name == "everything" else "step"
    network, readout = network_of(biased), READOUTS[name]
    learner = tpl.Learner(network, rule_of(readout, update=update))
    weights, bias = network.weights["readout"].astype(float), np.array(network.weights.get("readout_bias", np.zeros(4)), float)
    for _ in range(3):
        events, label = random_events(rng, 9, STEPS, 0.3), int(rng.integers(4))
        by_hand, waiting = HandReadout(readout, 1, 4, 9), [0.0, 0.0]
        for step, (spikes, trace) in enumerate(zip(*recorded(network, events), strict=True)):
            gradients = by_hand.step(weights, bias, spikes[None], trace[None], np.eye(4)[[label]])
            left = STEPS - 1 - step
            if by_hand.learns(left):
                waiting = [total + gradient for total, gradient in zip(waiting, gradients, strict=True)]
            if update == "step" or not left:
                weights, bias = weights - RATE * waiting[0], bias - RATE * waiting[1] * biased
                waiting = [0.0, 0.0]
        np.testing.assert_allclose(learner.learn(events, label).scores, by_hand.score[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(learner.weights["readout"], weights, atol=1e-5)
    assert np.abs(weights - network.weights["readout"]).max() > 1e-3
    if biased:
        np.testing.assert_allclose(learner.weights["readout_bias"], bias, atol=1e-5)
        assert np.abs(bias - network.weights["readout_bias"]).max() > 1e-3


def test_the_published_rule_of_tp(rng):
    """m = m + W s; dW = -rate * (softmax(m) - c) x e, at every step."""
    network, events = network_of(), random_events(rng, 9, STEPS, 0.3)
    learner = tpl.Learner(network, rule_of(tpl.Readout()))
    learner.learn(events, 2)
    weights, m = network.weights["readout"].astype(float), np.zeros(4)
    for spikes, trace in zip(*recorded(network, events), strict=True):
        m = m + weights @ spikes
        p = np.exp(m) / np.exp(m).sum()
        weights = weights - RATE * np.outer(p - np.eye(4)[2], trace)
    np.testing.assert_allclose(learner.weights["readout"], weights, atol=1e-5)


def test_what_the_rules_have_if_nothing_is_said():
    assert tpl.TP().readout == tpl.Readout(decay=0.98)
    assert tpl.TESS().readout == READOUTS["tess"]


def test_a_batch_learns_the_mean(rng):
    network, readout = network_of(biased=True), READOUTS["scaled"]
    learner = tpl.Learner(network, rule_of(readout, 3 * RATE))
    samples, labels = [random_events(rng, 9, STEPS, 0.3) for _ in range(3)], [0, 3, 1]
    learner.learn_batch(samples, labels)
    by_hand, weights, bias = HandReadout(readout, 3, 4, 9), *(network.weights[name].astype(float) for name in ("readout", "readout_bias"))
    both = [recorded(network, events) for events in samples]
    for step in range(STEPS):
        spikes, trace = (np.stack([one[part][step] for one in both]) for part in (0, 1))
        gradients = by_hand.step(weights, bias, spikes, trace, np.eye(4)[labels])
        weights, bias = weights - 3 * RATE * gradients[0], bias - 3 * RATE * gradients[1]
    np.testing.assert_allclose(learner.weights["readout"], weights, atol=1e-5)
    np.testing.assert_allclose(learner.weights["readout_bias"], bias, atol=1e-5)


def test_the_published_rule_costs_no_more_than_its_equation():
    circuit = build_circuit(network_of(), rule_of(READOUTS["published"]))
    (program,) = (
        operation.program for operation in circuit.step if isinstance(operation, RunProgram) and operation.program.name == "readout"
    )
    assert [port.name for port in program.ports] == ["input", "score", "label", "rate", "third_factor"]
    assert not {"readout_potential", "readout_elapsed", "readout_gain", "readout_decay", "readout_count", "steps_left"} & set(
        circuit.buffers
    )


@pytest.mark.parametrize("fixed", [True, False], ids=["fixed", "float"])
@pytest.mark.parametrize(("name", "update", "batch_size"), [("scaled", "step", 3), ("everything", "sequence", 1)])
def test_both_targets_agree(name, update, batch_size, fixed, rng):
    rule = rule_of(READOUTS[name], RATE * batch_size, update=update)
    both = BothBackEnds(network_of(biased=True), rule, fixed, batch_size)
    before = both.memory["readout"].copy()
    for _ in range(2):
        events = [random_events(rng, 9, steps, 0.3) for steps in (12, 7, 10)[:batch_size]]
        both.present(rng.integers(4, size=batch_size), events)
    assert not np.array_equal(before, both.memory["readout"])


@pytest.mark.parametrize(("name", "update"), [("scaled", "step"), ("everything", "sequence")])
def test_fixed_point_learns_what_float_does(name, update, rng):
    learners = [tpl.Learner(network_of(biased=True), rule_of(READOUTS[name], update=update), precision) for precision in ("float", "fixed")]
    start = [dict(learner.weights) for learner in learners]
    for _ in range(20):
        events, label = random_events(rng, 9, 12, 0.3), int(rng.integers(4))
        for learner in learners:
            learner.learn(events, label)
    for weights in ("readout", "readout_bias"):
        a, b = ((learner.weights[weights] - before[weights]).ravel() for learner, before in zip(learners, start, strict=True))
        assert np.corrcoef(a, b)[0, 1] > 0.9, weights


@pytest.mark.parametrize("temperature", [0.01, 1, 300])
@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("decay", [0, 0.5, 1])
@pytest.mark.parametrize("rule", [tpl.TP(contrast=2), tpl.TESS(basis="walsh")], ids=["TP", "TESS"])
def test_every_combination_fits_the_registers(rule, decay, normalised, temperature):
    engine_for(network_of(biased=True), replace(rule, readout=tpl.Readout(decay, temperature, normalised, "count")), fixed=True)


def test_reciprocals_of_whole_numbers():
    argument = Format(24, 0, signed=False)
    x = np.arange(1, 20001)
    y = RECIPROCAL.real(evaluate(unary(reciprocal, argument, RECIPROCAL), x))
    assert np.all(np.abs(y * x - 1) <= RECIPROCAL_ERROR)
