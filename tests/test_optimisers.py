"""Momentum, Adam and schedules, against the same by hand in float64 on gradients that were found automatically."""

import math
from dataclasses import replace

import numpy as np
import pytest
from both_back_ends import BothBackEnds
from conftest import lively, random_events, random_samples
from oracle import OracleTP
from tess_oracle import OracleTESS
from test_tess import rule_of

import tp_lava as tpl
from tp_lava.circuit import UpdateWeights
from tp_lava.circuit.build import build_circuit
from tp_lava.data.order import epoch_order
from tp_lava.optimisers import of_layer

NETWORK = lively(tpl.Network.dense((8, 9, 7, 4), neuron=tpl.LIF(0.9, 0.7), trace_decay=0.8, seed=11), 2.5)
ADAM, MOMENTUM = tpl.Adam(0.8, 0.95, 1e-3), tpl.SGD(0.7)
MIXED = {"hidden0": ADAM, "hidden1": MOMENTUM}  # and a readout without memory
STEP = tpl.TP((0.01, 0.02), 0.03, 3, readout=tpl.Readout())
SEQUENCE = replace(STEP, update="sequence")
TESS, TESS_NETWORK = rule_of((0.02, 0.03), 0.01, update="sequence"), NETWORK.with_weights({"bias0": np.full(9, 0.1)})


class ByHand:
    """What optimisers make of gradients. optimisers: per layer, or one for all; rates: per layer."""

    def __init__(self, optimisers, rates):
        self.optimisers, self.rates, self.memory = optimisers, rates, {}

    def __call__(self, name, weights, gradient):
        layer = "readout" if name.startswith("readout") else f"hidden{name[-1]}"
        optimiser = self.optimisers.get(layer, tpl.SGD()) if isinstance(self.optimisers, dict) else self.optimisers
        one, two, count = self.memory.get(name, (0.0, 0.0, 0))
        count += 1
        if isinstance(optimiser, tpl.SGD):
            step = one = optimiser.momentum * one + gradient
        else:
            one = optimiser.beta1 * one + (1 - optimiser.beta1) * gradient
            two = optimiser.beta2 * two + (1 - optimiser.beta2) * gradient**2
            step = one / (1 - optimiser.beta1**count) / (np.sqrt(two / (1 - optimiser.beta2**count)) + optimiser.epsilon)
        self.memory[name] = one, two, count
        return weights - self.rates[layer] * step


def by_hand(optimisers, rule):
    return ByHand(optimisers, {"hidden0": rule.rate[0], "hidden1": rule.rate[1], "readout": rule.readout_rate})


class Watched(dict):
    """Weights whose every change, asked for at rate 1, goes to an optimiser: at once, or summed up until `apply`."""

    def __init__(self, weights, optimise, sequence):
        super().__init__(weights)
        self.optimise, self.sequence, self.sums = optimise, sequence, {}

    def __setitem__(self, name, value):
        gradient = self[name] - value
        if self.sequence:
            self.sums[name] = self.sums.get(name, 0.0) + gradient
        else:
            super().__setitem__(name, self.optimise(name, self[name], gradient))

    def apply(self):
        for name, gradient in self.sums.items():
            super().__setitem__(name, self.optimise(name, self[name], gradient))
        self.sums = {}


class OptimisedTESS(OracleTESS):
    optimise = None

    def change(self, gradients):
        for name, gradient in gradients.items():
            self.weights[name] = self.optimise(name, self.weights[name], gradient)


def assert_equal(learner, expected, start):
    for name, weights in expected.items():
        np.testing.assert_allclose(learner.weights[name], weights, atol=2e-5, err_msg=name)
        assert name == "target" or np.abs(weights - start[name]).max() > 1e-3, name


# Optimisers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "batch_size"), [(STEP, 3), (SEQUENCE, 1)], ids=["step, batch", "sequence"])
def test_tp(rule, batch_size, rng):
    learner, oracle = tpl.Learner(NETWORK, rule, optimiser=MIXED), OracleTP(NETWORK, 1.0, 1.0)
    oracle.weights = Watched(oracle.weights, by_hand(MIXED, rule), rule.update == "sequence")
    for _ in range(4):
        samples = [random_events(rng, 8, 15, 0.3) for _ in range(batch_size)]
        labels = rng.integers(4, size=batch_size)
        if batch_size > 1:
            learner.learn_batch(samples, labels.tolist())
            oracle.learn(np.stack([events.to_dense() for events in samples]), labels, labels, np.arange(batch_size))
        else:
            streams = [int(labels[0]), *np.delete(np.arange(4), labels[0])[:2].tolist()]
            learner.learn(samples[0], streams[0], contrast_labels=streams)
            oracle.learn(samples[0].to_dense()[None], labels, streams, np.array([0]))
        oracle.weights.apply()
    assert_equal(learner, oracle.weights, NETWORK.weights)


@pytest.mark.parametrize("batch_size", [1, 3], ids=["single", "batch"])
def test_tess(batch_size, rng):
    learner = tpl.Learner(TESS_NETWORK, TESS, optimiser=ADAM)
    oracle = OptimisedTESS(TESS_NETWORK, TESS)
    oracle.optimise = by_hand(ADAM, TESS)
    for _ in range(4):
        samples = [random_events(rng, 8, 15, 0.3) for _ in range(batch_size)]
        labels = rng.integers(4, size=batch_size).tolist()
        _ = learner.learn_batch(samples, labels) if batch_size > 1 else learner.learn(samples[0], labels[0])
        oracle.learn(np.stack([events.to_dense() for events in samples]), labels)
    assert_equal(learner, oracle.weights, TESS_NETWORK.weights)


def test_single_samples_and_batches_share_their_moments(rng):
    learner = tpl.Learner(TESS_NETWORK, TESS, optimiser=ADAM)
    oracle = OptimisedTESS(TESS_NETWORK, TESS)
    oracle.optimise = by_hand(ADAM, TESS)
    for batch_size in (1, 3, 2, 1):
        samples, labels = [random_events(rng, 8, 15, 0.3) for _ in range(batch_size)], [1, 3, 0][:batch_size]
        _ = learner.learn_batch(samples, labels) if batch_size > 1 else learner.learn(samples[0], labels[0])
        oracle.learn(np.stack([events.to_dense() for events in samples]), labels)
    assert_equal(learner, oracle.weights, TESS_NETWORK.weights)


def test_both_targets_agree(rng):
    both = BothBackEnds(NETWORK, STEP, False, 3, optimiser=MIXED)
    for _ in range(2):
        events, labels = [random_events(rng, 8, steps, 0.3) for steps in (10, 8, 9)], rng.integers(4, size=3)
        both.present(labels, events)
    assert both.memory["hidden0_second_moment"].max() > 0


def test_memory_is_what_each_optimiser_says():
    moments = build_circuit(NETWORK, STEP, optimiser=MIXED).names("moment")
    adam = {f"hidden0_{name}" for name in ("first_moment", "second_moment", "first_share", "second_share")}
    assert set(moments) == adam | {"hidden1_velocity"}
    assert not build_circuit(NETWORK, SEQUENCE).names("moment")


def test_plain_descent_changes_the_weights_in_place():
    plain = build_circuit(NETWORK, STEP)
    assert not [name for name in plain.buffers if name.endswith("_change")]
    assert {operation.weights for operation in plain.step if isinstance(operation, UpdateWeights)} == {"hidden0", "hidden1", "readout"}
    for same in (tpl.SGD(0.0), {"hidden1": tpl.SGD()}, {}):
        assert build_circuit(NETWORK, STEP, optimiser=same).step == plain.step
    mixed = build_circuit(NETWORK, STEP, optimiser=MIXED)
    changed = {operation.weights for operation in mixed.step if isinstance(operation, UpdateWeights)}
    assert changed == {"hidden0_change", "hidden1_change", "readout"}


def test_temperatures_and_scales_are_kept_apart():
    """The readout's temperature beside Adam, which scales the change by the number of samples alone."""
    rule = tpl.TP(0.01, 0.01, 2, readout=tpl.Readout(temperature=4.0))
    for optimiser in (tpl.SGD(), ADAM):
        assert build_circuit(NETWORK, rule, batch_size=5, optimiser=optimiser).values["readout_gain"] == 0.25


def test_a_layer_switched_off_keeps_weights_and_moments(rng):
    learner = tpl.Learner(TESS_NETWORK, TESS, optimiser=ADAM)
    learner.learn(random_events(rng, 8, 15, 0.3), 1)
    names = [name for name in learner.memory if name.startswith(("hidden0", "bias0")) and name.endswith(("moment", "share", "0"))]
    before = {name: learner.memory[name].copy() for name in (*names, "hidden1")}
    assert {"hidden0", "bias0", "hidden0_first_moment", "bias0_second_share"} <= set(before)
    learner.memory["hidden0_learning"][0] = 0
    learner.learn(random_events(rng, 8, 15, 0.3), 2)
    for name, array in before.items():
        assert np.array_equal(array, learner.memory[name]) == (name != "hidden1"), name


@pytest.mark.parametrize("layer", ["hidden0", "hidden3", "readout"])
def test_a_layer_left_out_has_plain_descent(layer):
    assert of_layer({"hidden1": ADAM}, layer) == tpl.SGD()
    assert of_layer(ADAM, layer) == of_layer({layer: ADAM}, layer) == ADAM


# Schedules -----------------------------------------------------------------------------------------------------------


def test_cosine():
    root = math.sqrt(0.5)
    factors = [tpl.Cosine(4).factor([0.5] * epoch) for epoch in range(6)]
    np.testing.assert_allclose(factors, [1, (1 + root) / 2, 0.5, (1 - root) / 2, 0, 0], atol=1e-15)
    factors = [tpl.Cosine(2, floor=0.2).factor([0.5] * epoch) for epoch in range(4)]
    np.testing.assert_allclose(factors, [1, 0.6, 0.2, 0.2], atol=1e-15)


def test_plateau():
    plateau = tpl.Plateau(reduce=0.5, patience=2, least=0.125)
    scores = [0.25, 0.5, 0.5625, 0.75, 0.75, 0.75, 0.875, 0.5, 0.5, 1.0]  # a rise by no more than 0.125 does not count
    expected = [1, 1, 1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25]
    assert [plateau.factor(scores[:epoch]) for epoch in range(11)] == expected
    assert tpl.Plateau(0.1, 1).factor([0.3, 0.3, 0.4, 0.2]) == pytest.approx(0.01)


def silence(network):
    """A sample from which nothing is learned but the epoch."""
    return [tpl.Sample(tpl.Events.from_dense(np.zeros((1, network.n_inputs), bool)), 0)]


@pytest.mark.parametrize("precision", ["float", "fixed"])
@pytest.mark.parametrize("rule", [STEP, SEQUENCE, TESS], ids=["TP", "TP sequence", "TESS"])
def test_fit_scales_every_rate_from_epoch_to_epoch(rule, precision):
    learner = tpl.Learner(TESS_NETWORK, rule, precision, schedule=tpl.Cosine(2, floor=0.5))
    if rule is TESS:
        rates = {f"hidden{n}_{third}_rate": rule.rate[n] / (9, 7)[n] for n in (0, 1) for third in ("causal", "acausal")}
        rates["hidden0_bias_rate"] = rule.rate[0] / 9
    else:
        rates = {"hidden0_rate": rule.rate[0], "hidden1_rate": rule.rate[1]}
    rates["readout_rate"] = rule.readout_rate
    for factor in (1, 0.75, 0.5, 0.5):
        for name, rate in rates.items():
            np.testing.assert_allclose(learner.buffers[name].decode(learner.memory[name]), rate * factor, rtol=2**-11, err_msg=name)
        learner.fit(silence(TESS_NETWORK))


def test_optimisers_with_memory_scale_their_own_rates():
    learner = tpl.Learner(NETWORK, STEP, optimiser=MIXED, schedule=tpl.Cosine(1, floor=0.25))
    learner.fit(silence(NETWORK))
    for name, rate in {"hidden0_rate": 0.01, "hidden1_rate": 0.02, "readout_rate": 0.03}.items():
        np.testing.assert_allclose(learner.memory[name], rate / 4, rtol=1e-6)
    for name in ("hidden0_scale", "hidden1_scale"):
        assert learner.memory[name] == 1


def test_a_scheduled_epoch_is_one_with_smaller_rates(rng):
    """The second of two cosine epochs has half the rates; from the third on nothing changes. Moments go on."""
    samples = random_samples(rng, 5, 8, 4, 15, 0.3)
    scheduled = tpl.Learner(TESS_NETWORK, TESS, optimiser=ADAM, schedule=tpl.Cosine(2))
    plain = tpl.Learner(TESS_NETWORK, TESS, optimiser=ADAM)
    scheduled.fit(samples, 2)
    plain.fit(samples)
    plain.rule = replace(TESS, rate=(0.01, 0.015), readout_rate=0.005)
    plain.fit(samples)
    for name in plain.weights:
        np.testing.assert_allclose(scheduled.weights[name], plain.weights[name], atol=1e-6)
    before = dict(scheduled.weights)
    scheduled.fit(samples)
    for name, weights in before.items():
        np.testing.assert_array_equal(scheduled.weights[name], weights)


def test_batches_are_scheduled_too(rng):
    """A batch learns at the same factor, whether its size has been seen before or not."""
    samples = random_samples(rng, 6, 8, 4, 15, 0.3)
    learner = tpl.Learner(TESS_NETWORK, TESS, optimiser=ADAM, schedule=tpl.Cosine(1))
    learner.fit(samples, batch=3)
    before = dict(learner.weights)
    assert not np.array_equal(before["hidden0"], TESS_NETWORK.weights["hidden0"])
    learner.fit(samples, batch=3)
    learner.fit(samples, batch=2)
    for name, weights in before.items():
        np.testing.assert_array_equal(learner.weights[name], weights)


def test_the_plateau_looks_at_the_validation_score(rng):
    scores = iter([0.5, 0.4, 0.6, 0.6])
    learner = tpl.Learner(NETWORK, STEP, optimiser=MIXED, schedule=tpl.Plateau(0.5, 1))
    learner.evaluate = lambda samples: next(scores)
    for rate in (0.03, 0.015, 0.015):
        learner.fit(silence(NETWORK), validation=[])
        np.testing.assert_allclose(learner.memory["readout_rate"], rate, rtol=1e-6)
    assert learner.fit(silence(NETWORK), validation=[]) == [0.6]
    np.testing.assert_allclose(learner.memory["readout_rate"], 0.0075, rtol=1e-6)


# Fitting and files ---------------------------------------------------------------------------------------------------


def test_fit_learns_batches_in_the_order_of_the_epoch(rng):
    samples = random_samples(rng, 7, 8, 4, 15, 0.3)
    fitted, by_batches = (tpl.Learner(TESS_NETWORK, TESS, seed=3, optimiser=ADAM) for _ in range(2))
    accuracies = fitted.fit(samples, 2, batch=3)
    right = []
    for epoch in range(2):
        order, said = epoch_order(7, 3, epoch), []
        for group in (order[:3], order[3:6]):
            said += by_batches.learn_batch([samples[index][0] for index in group], [samples[index][1] for index in group])
        said.append(by_batches.learn(*samples[order[6]]))
        right.append(np.mean([outcome.prediction == samples[index][1] for outcome, index in zip(said, order, strict=True)]))
    np.testing.assert_allclose(accuracies, right)
    assert fitted.samples_seen == by_batches.samples_seen == 14
    for name in fitted.weights:
        np.testing.assert_array_equal(fitted.weights[name], by_batches.weights[name])


def test_fit_returns_the_validation_accuracy_of_each_epoch(rng):
    samples, validation = random_samples(rng, 6, 8, 4, 15, 0.3), random_samples(rng, 5, 8, 4, 15, 0.3)
    learner, step_by_step = (tpl.Learner(TESS_NETWORK, TESS, optimiser=ADAM) for _ in range(2))
    accuracies = learner.fit(samples, 3, validation=validation)
    for accuracy in accuracies:
        step_by_step.fit(samples)
        assert accuracy == step_by_step.evaluate(validation)


@pytest.mark.parametrize("schedule", [tpl.Cosine(5, 0.1), tpl.Plateau(0.5, 1)], ids=["cosine", "plateau"])
def test_a_file_goes_on_where_it_was_saved(schedule, rng, tmp_path):
    samples = random_samples(rng, 7, 8, 4, 15, 0.3)
    optimiser = {"hidden0": ADAM, "hidden1": ADAM, "readout": ADAM}
    whole, begun = (tpl.Learner(TESS_NETWORK, TESS, seed=5, optimiser=optimiser, schedule=schedule) for _ in range(2))
    accuracies = whole.fit(samples, 4, batch=3)
    assert begun.fit(samples, 2, batch=3) == accuracies[:2]
    begun.save(tmp_path / "learner")
    resumed = tpl.Learner.load(tmp_path / "learner")
    for name in ("hidden0_first_moment", "readout_second_moment", "bias0_second_share", "hidden1_rate", "readout_rate"):
        np.testing.assert_array_equal(resumed.memory[name], begun.memory[name])
        assert resumed.memory[name].any()
    assert resumed.fit(samples, 2, batch=3) == accuracies[2:]
    assert resumed.epochs_done == 4
    kept = [name for name, buffer in whole.buffers.items() if buffer.role in ("weight", "bias", "moment", "parameter", "random")]
    assert "hidden1_second_moment" in kept
    for name in kept:
        np.testing.assert_array_equal(resumed.memory[name], whole.memory[name], name)


@pytest.mark.parametrize("optimiser", [tpl.SGD(0.9), tpl.Adam()], ids=["momentum", "Adam"])
def test_no_optimiser_moves_weights_before_the_last_steps(optimiser, rng):
    network = tpl.Network.dense((11, 9, 4), seed=3)
    learner = tpl.Learner(network, tpl.TP(0.0, 0.05, 2, readout=tpl.Readout(learn_last=1)), optimiser=optimiser)
    events = random_events(rng, 11, 15, 0.3)
    learner.learn(events, 1)
    before = learner.weights["readout"]
    learner.begin(2, n_steps=15)
    for step in range(14):
        learner.step(events.units[events.offsets[step] : events.offsets[step + 1]])
    np.testing.assert_array_equal(learner.weights["readout"], before)
    learner.step(events.units[events.offsets[14] :])
    assert not np.array_equal(learner.weights["readout"], before)


def test_a_sample_that_goes_on_after_its_end_changes_nothing_more(rng):
    learner = tpl.Learner(tpl.Network.dense((11, 9, 4), seed=3), tpl.TP(0.05, 0.05, 2, update="sequence"))
    events = random_events(rng, 11, 10, 0.3)
    learner.begin(1, n_steps=5)
    learner.advance(events)
    after = learner.weights["hidden0"]
    learner.advance(events)
    np.testing.assert_array_equal(learner.weights["hidden0"], after)
