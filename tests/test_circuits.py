"""Whole circuits, learning included: interpreter = CPU, bit for bit in fixed point."""

import numpy as np
import pytest
from both_back_ends import BothBackEnds
from conftest import lively, random_events

import tp_lava as tpl
from tp_lava.circuit import UpdateWeights
from tp_lava.circuit.build import build_circuit
from tp_lava.engine import COUNTERS
from tp_lava.errors import NumberRangeError

SIZES = (11, 9, 7, 4)
VARIANTS = {
    "plain": {},
    "recurrent": {"recurrent": True},
    "lava_like": {"neuron": tpl.LIF(0.9, 1.3, ">", "zero", 0.4, tpl.Triangle())},
    "fast": {"neuron": tpl.LIF(0.5, 0.6, surrogate=tpl.FastSigmoid(4.0)), "trace_decay": 0.7},
    "mixed": {"recurrent": (True, False), "trace_decay": (0.9, 0.5)},
}
RULES = {
    "k2": tpl.TP(0.02, 0.05, 2),
    "all": tpl.TP(0.02, 0.05, "all"),
    "trained_target": tpl.TP(0.03, 0.01, 3, train_target=True),
    "sequence": tpl.TP(0.02, 0.05, 2, update="sequence"),
}


@pytest.mark.parametrize("fixed", [True, False], ids=["fixed", "float"])
@pytest.mark.parametrize(
    ("variant", "rule"),
    [("plain", "k2"), ("recurrent", "all"), ("lava_like", "trained_target"), ("fast", "all"), ("mixed", "k2"), ("recurrent", "sequence")],
)
def test_streaming_learning(variant, rule, fixed, rng):
    network = lively(tpl.Network.dense(SIZES, seed=3, **VARIANTS[variant]), 2.5)
    both = BothBackEnds(network, RULES[rule], fixed)
    before = both.memory["hidden0"].copy()
    for _ in range(3):
        events, label = random_events(rng, SIZES[0], 15, 0.3), int(rng.integers(SIZES[-1]))
        both.present([label], [events])
        for engine in (both.interpreted, both.compiled):
            engine.memory["samples_seen"] += 1
    assert both.memory["random_step"][0] == 45
    assert both.memory["hidden1_total"].sum() > 0
    assert not np.array_equal(before, both.memory["hidden0"])


@pytest.mark.parametrize("fixed", [True, False], ids=["fixed", "float"])
def test_batch_learning(fixed, rng):
    network = lively(tpl.Network.dense(SIZES, recurrent=(False, True), seed=3), 2.5)
    events = [random_events(rng, SIZES[0], steps, 0.3) for steps in (12, 9, 12)]
    BothBackEnds(network, tpl.TP(0.5, 0.5), fixed, 3).present([0, 2, 0], events)


def test_bias_reaches_the_membrane(rng):
    network = tpl.Network.dense((4, 3, 2)).with_weights({"bias0": np.array([2.0, 0.0, 0.5])})
    for fixed in (True, False):
        both = BothBackEnds(network, None, fixed)
        both.present((), [random_events(rng, 4, 5, 0.0)])
        assert both.memory["hidden0_total"][0].tolist()[:2] == [5, 0]


def test_frozen_layers_do_not_change_and_cost_nothing():
    network = tpl.Network.dense((6, 5, 4, 3))
    both = build_circuit(network, tpl.TP((0.1, 0.1), contrast=2))
    lower, readout_only = build_circuit(network, tpl.TP((0.1, 0.0), contrast=2)), build_circuit(network, tpl.TP(0.0, contrast=2))
    assert len(both.step) > len(lower.step) > len(readout_only.step)
    assert [o.weights for o in readout_only.step if isinstance(o, UpdateWeights)] == ["readout"]
    assert {o.weights for o in lower.step if isinstance(o, UpdateWeights)} == {"hidden0", "readout"}
    assert "hidden1_error" not in lower.buffers


def test_counters_are_the_only_random_state():
    circuit = build_circuit(tpl.Network.dense((6, 5, 3)), tpl.TP(contrast=2))
    assert set(circuit.names("random")) | {"samples_seen", "labelled"} == set(COUNTERS)


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (
            tpl.Network.dense((4, 3, 2), neuron=tpl.LIF(threshold=1e5)),
            {"membrane_frac": 14},
            "hidden0: threshold is 100000.0, but a 24-bit membrane with 14",
        ),
        (
            tpl.Network.dense((4, 3, 2)),
            {"weight_exponents": {"hidden0": -30}},
            r"hidden0: threshold is 1.0.* or a weight exponent \(now -30\) nearer",
        ),
        (tpl.Network.dense((4, 3, 2)), {"membrane_frac": 3}, "hidden0: membrane_frac is 3, but its weights have .* use membrane_frac >="),
        (
            tpl.Network.dense((4, 3, 2), neuron=tpl.LIF(decay=0.99999)),
            {},
            r"hidden0.decay: decay is 0.99999, which rounds to 4096/4096 in 12 bits",
        ),
        (tpl.Network.dense((4, 3, 2), trace_decay=0.99999), {}, r"hidden0.trace_decay: decay is 0.99999"),
    ],
)
def test_formats_that_cannot_hold_the_network_are_refused(network, options, message):
    with pytest.raises(NumberRangeError, match=message):
        tpl.Learner(network, tpl.TP(contrast=2), tpl.FixedPoint(**options))


def test_sums_that_would_overflow_name_layer_value_and_remedy():
    network = tpl.Network.dense((4, 3000, 2), trace_decay=0.999)
    with pytest.raises(
        NumberRangeError,
        match=r"hidden0_contrast: the sum of 3000 products of traces up to .* needs .* use a smaller trace_decay or fewer neurons",
    ):
        tpl.Learner(network, tpl.TP(contrast=2), "fixed")
    many = tpl.Network.dense((4, 3, 300))
    with pytest.raises(NumberRangeError, match=r"hidden0_third_factors: value .* could reach .* beyond the 32-bit register"):
        tpl.Learner(many, tpl.TP(contrast="all"), "fixed")
    tpl.Learner(many, tpl.TP(contrast=128), "fixed")


@pytest.mark.parametrize("options", [{"weight_bits": 9}, {"weight_bits": 1}, {"third_factor_range": 0}, {"weight_exponents": {"nope": 0}}])
def test_impossible_options_are_refused(options):
    with pytest.raises(tpl.InvalidValueError, match="FixedPoint: .* but must be"):
        tpl.Learner(tpl.Network.dense((4, 3, 2)), None, tpl.FixedPoint(**options))


@pytest.mark.parametrize("fixed", [True, False], ids=["fixed", "float"])
@pytest.mark.parametrize(("layer", "rule"), [("hidden0", "k2"), ("hidden1", "k2"), ("readout", "k2"), ("hidden1", "sequence")])
def test_a_layer_switched_off_keeps_its_weights_and_the_others_learn(layer, rule, fixed, rng):
    network = lively(tpl.Network.dense(SIZES, seed=3, recurrent=True), 2.5)
    both = BothBackEnds(network, RULES[rule], fixed)
    before = {name: both.memory[name].copy() for name in ("hidden0", "recurrent0", "hidden1", "recurrent1", "readout")}
    for engine in (both.interpreted, both.compiled):
        engine.memory[f"{layer}_learning"][0] = 0
    both.present([1], [random_events(rng, SIZES[0], 20, 0.3)], {"contrast_labels": [1, 3]})
    for name, weights in before.items():
        kept = name in (layer, layer.replace("hidden", "recurrent"))
        assert np.array_equal(weights, both.memory[name]) == kept, name


@pytest.mark.parametrize("precision", ["fixed", "float"])
def test_fewer_streams_at_run_time_equal_a_rule_with_fewer(precision, rng):
    network = lively(tpl.Network.dense(SIZES, seed=3, recurrent=(True, False)), 2.5)
    many, few = (tpl.Learner(network, tpl.TP(0.02, 0.05, count), precision) for count in (4, 2))
    many.memory["contrast"][0] = 2
    for _ in range(3):
        sample = random_events(rng, SIZES[0], 15, 0.3), int(rng.integers(SIZES[-1]))
        for learner in (many, few):
            learner.learn(*sample)
    for name in network.weights:
        np.testing.assert_array_equal(many.weights[name], few.weights[name])
    many.memory["contrast"][0] = 99
    assert np.isfinite(many.learn(*sample).scores).all()
