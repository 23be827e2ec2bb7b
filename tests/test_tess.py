"""TESS equals the gradient of its local losses; its bases teach whom they say; and it is the same on every target."""

from dataclasses import replace

import numpy as np
import pytest
from both_back_ends import BothBackEnds
from conftest import lively, random_events
from tess_oracle import OracleTESS, square_waves, walsh_waves

import tp_lava as tpl
from tp_lava.circuit import UpdateWeights
from tp_lava.circuit.build import build_circuit
from tp_lava.dynamics.basis import square, untaught, walsh

PUBLISHED, INTEGRATING = tpl.Readout(decay=0, features="spike"), tpl.Readout()


def network_of(hidden=(9,), recurrent=False, biased=False, neuron=None, classes=4, gain=2.5, trace_decay=0.8):
    """A lively network whose layers all have the same numbers of inputs, so that their fixed-point code is the same."""
    network = tpl.Network.dense(
        (9, *hidden, classes), neuron=neuron or tpl.TESS.neuron(), trace_decay=trace_decay, recurrent=recurrent, seed=11
    )
    network, rng = lively(network, gain), np.random.default_rng(3)
    network = network.with_weights({name: array / 4 for name, array in network.weights.items() if name.startswith("recurrent")})
    biases = {f"bias{number}": rng.uniform(-0.1, 0.2, size) for number, size in enumerate(hidden)}
    biases["readout_bias"] = rng.uniform(-0.2, 0.2, classes)
    return network.with_weights(biases) if biased else network


def rule_of(rate=0.5, readout_rate=0.03, basis="walsh", readout=INTEGRATING, **options):
    return tpl.TESS(rate, readout_rate, basis=basis, readout=readout, **options)


# What differs in the order of things in a step has code of its own, which the tests below share; in fixed point, what
# differs in number formats has too: so rates, sizes and readouts lie close together.
ONE, TWO = network_of(recurrent=True, biased=True), network_of((9, 9), recurrent=True, biased=True)
PLAIN = {"network": network_of(), "rule": rule_of()}
DEEP = {"network": TWO, "rule": rule_of(readout=PUBLISHED)}
STEP = {"network": ONE, "rule": rule_of(update="step", causal=0.95, learn_last=6, activity="trace", readout=PUBLISHED)}
ACAUSAL = {"network": ONE, "rule": rule_of(causal=0, acausal=-0.7, readout=tpl.Readout(0, features="spike", learn_last=2))}
CIRCUITS = {"plain": PLAIN, "deep": DEEP, "step": STEP, "acausal": ACAUSAL}


def assert_oracle_agrees(network, rule, rng, batch_size=1, presentations=3, least=1e-3, learner=None):
    """Learner and oracle learn the same; every weight array that should has changed by more than `least`. -> the learner."""
    learner, oracle = learner or tpl.Learner(network, rule), OracleTESS(network, rule)
    for _ in range(presentations):
        samples = [random_events(rng, network.n_inputs, 15, 0.3) for _ in range(batch_size)]
        labels = rng.integers(network.n_classes, size=batch_size).tolist()
        outcomes = learner.learn_batch(samples, labels) if batch_size > 1 else [learner.learn(samples[0], labels[0])]
        scores = oracle.learn(np.stack([events.to_dense() for events in samples]), labels)
        np.testing.assert_allclose([outcome.scores for outcome in outcomes], scores, rtol=1e-5, atol=2e-5)
    for name, expected in oracle.weights.items():
        np.testing.assert_allclose(learner.weights[name], expected, atol=1e-5, err_msg=name)
        assert (np.abs(expected - network.weights[name]).max() > least) == (name != "target"), name
    return learner


@pytest.mark.parametrize("batch_size", [1, 3], ids=["single", "batch"])
@pytest.mark.parametrize("circuit", CIRCUITS)
def test_every_circuit_descends_its_losses(circuit, batch_size, rng):
    assert_oracle_agrees(**CIRCUITS[circuit], rng=rng, batch_size=batch_size)


@pytest.mark.parametrize("activity", ["spike", "trace"])
@pytest.mark.parametrize(("causal", "acausal"), [(1, -1), (-0.5, 0.3), (2, 1)])
def test_signs_and_weights_of_the_terms(causal, acausal, activity, rng):
    rule = rule_of(causal=causal, acausal=acausal, activity=activity, temperature=0.2)
    assert_oracle_agrees(PLAIN["network"], rule, rng)


def test_the_causal_term_alone(rng):
    assert_oracle_agrees(PLAIN["network"], rule_of(acausal=0), rng)


def test_no_term_at_all_teaches_the_readout_alone():
    circuit = build_circuit(PLAIN["network"], rule_of(causal=0, acausal=0))
    assert [operation.weights for operation in circuit.step if isinstance(operation, UpdateWeights)] == ["readout_change"]


@pytest.mark.parametrize("decays", [(0.0, 0.0, 0.0), (0.9, 0.8, 0.95), (0.2, 0.95, 0.5)], ids=str)
def test_decays(decays, rng):
    pre_decay, post_decay, decay = decays
    rule = rule_of(0.4, pre_decay=pre_decay, post_decay=post_decay)
    assert_oracle_agrees(network_of(neuron=tpl.TESS.neuron(decay)), rule, rng)


@pytest.mark.parametrize("temperature", [0.1, 5.0])
def test_temperature(temperature, rng):
    assert_oracle_agrees(PLAIN["network"], rule_of(temperature=temperature), rng)


def test_another_neuron(rng):
    neuron = tpl.LIF(0.8, 0.7, ">=", "zero", 0.3, tpl.ArcTan(2.0))
    assert_oracle_agrees(network_of(neuron=neuron), rule_of(0.5), rng)


@pytest.mark.filterwarnings("ignore:.*basis gives")
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_the_published_basis(classes, rng):
    assert_oracle_agrees(network_of((40,), classes=classes), rule_of(4.0, 0.02, basis="square"), rng)


def test_a_rate_for_each_layer(rng):
    assert_oracle_agrees(TWO, rule_of((0.5, 2.0), readout=PUBLISHED), rng)


def test_late_learning_looks_at_the_last_steps_alone(rng):
    """Earlier steps only fill the traces; and a sample not longer than that learns at every step."""
    network, rule = STEP["network"], STEP["rule"]
    learner, oracle = tpl.Learner(network, rule), OracleTESS(network, rule)
    events, start = random_events(rng, 9, 10, 0.3), network.weights["hidden0"]
    learner.begin(2, n_steps=events.n_steps)
    early = events.times < 4
    learner.advance(tpl.Events(events.times[early], events.units[early], 4, 9))
    np.testing.assert_array_equal(learner.weights["hidden0"], start)
    learner.step(np.flatnonzero(events.to_dense()[4]))
    assert not np.array_equal(learner.weights["hidden0"], start)
    learner = tpl.Learner(network, rule)
    short = random_events(rng, 9, 4, 0.4)
    learner.learn(short, 1)
    oracle.learn(short.to_dense()[None], [1])
    np.testing.assert_allclose(learner.weights["hidden0"], oracle.weights["hidden0"], atol=1e-5)
    assert np.abs(learner.weights["hidden0"] - start).max() > 1e-3


def test_a_sequence_changes_nothing_before_its_end(rng):
    network, events = PLAIN["network"], random_events(rng, 9, 6, 0.4)
    whole, stepwise = (tpl.Learner(network, PLAIN["rule"]) for _ in range(2))
    stepwise.begin(3, n_steps=6)
    for units in events.to_dense():
        np.testing.assert_array_equal(stepwise.weights["hidden0"], network.weights["hidden0"])
        stepwise.step(np.flatnonzero(units))
    whole.learn(events, 3)
    for name in whole.weights:
        np.testing.assert_array_equal(whole.weights[name], stepwise.weights[name])
    assert not np.array_equal(whole.weights["hidden0"], network.weights["hidden0"])


def test_shorter_samples_of_a_batch_end_in_silence(rng):
    short, long = random_events(rng, 9, 8, 0.3), random_events(rng, 9, 14, 0.3)
    padded = tpl.Events(short.times, short.units, 14, 9)
    a, b = (tpl.Learner(PLAIN["network"], PLAIN["rule"]) for _ in range(2))
    a.learn_batch([short, long], [0, 1])
    b.learn_batch([padded, long], [0, 1])
    np.testing.assert_array_equal(a.weights["hidden0"], b.weights["hidden0"])


def test_the_published_neuron():
    assert tpl.TESS.neuron() == tpl.LIF(0.5, 0.6, ">", "subtract", 0.0, tpl.Triangle(0.3, 1.0))
    assert tpl.TESS.neuron(0.9, 0.2) == tpl.LIF(0.9, 0.5, ">", surrogate=tpl.Triangle())


def test_a_low_threshold_counts_as_a_half(rng):
    assert_oracle_agrees(network_of(neuron=tpl.TESS.neuron(threshold=0.1)), rule_of(), rng)


# Bases ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3, 5, 10, 100])
def test_square_waves(classes):
    signs = square(classes, 1500)
    np.testing.assert_array_equal(signs, square_waves(classes, 1500))
    assert not signs[:, 0].any()
    assert (signs[:, 1:] != 0).all()


@pytest.mark.parametrize(("classes", "share"), [(2, 0.5), (5, 0.125), (10, 0.055)])
def test_square_waves_leave_some_neurons_out(classes, share):
    signs = square(classes, 4096)
    alike = [k for k in range(4096) if len(set(signs[:, k])) == 1]
    assert untaught(signs).tolist() == alike
    assert len(alike) / 4096 == pytest.approx(share, abs=0.005)


def test_walsh_functions_leave_nobody_out():
    for classes in range(2, 101):
        period = 2 ** len(f"{classes:b}")
        for size in (1, 2, period // 2, period + 1, 3 * period):
            signs = walsh(classes, size)
            assert signs.shape == (classes, size)
            assert set(np.unique(signs)) <= {-1, 1}
            assert (np.abs(signs.sum(axis=0, dtype=int)) < classes).all()
            assert not untaught(signs).size
        np.testing.assert_array_equal(signs, walsh_waves(classes, size))


@pytest.mark.parametrize("classes", [3, 4, 5, 7, 8, 10, 16, 20, 33, 64, 100])
def test_walsh_functions_tell_the_classes_apart(classes):
    """Over whole periods two rows agree in half of the neurons, but for the one or two columns that are left out."""
    period = 2 ** len(f"{classes:b}")
    signs = walsh(classes, (period - 1) * (period - 2)).astype(np.float32)
    agreement = signs @ signs.T / signs.shape[1] - np.eye(classes)
    assert np.abs(agreement).max() <= 1 / (period - 2) + 1e-6
    assert np.linalg.matrix_rank(signs[:, :period]) == classes


def test_two_classes_have_opposite_walsh_functions():
    """There is no other way to give both signs to every neuron."""
    signs = walsh(2, 7)
    np.testing.assert_array_equal(signs[0], -signs[1])


@pytest.mark.parametrize("precision", ["float", "fixed"])
def test_the_warning_names_the_neurons_that_never_learn(precision, rng):
    with pytest.warns(UserWarning, match="basis gives") as caught:
        learner = tpl.Learner(STEP["network"], replace(STEP["rule"], basis="square"), precision)
    silent = [k for k in range(9) if len(set(square_waves(4, 9)[:, k])) == 1]
    assert str(caught[0].message) == (
        "hidden0: the square basis gives 5 of 9 neurons no learning signal, so they never learn: "
        f'{", ".join(map(str, silent))}; use TESS(basis="walsh") to teach them all.'
    )
    assert len(caught) == 1
    assert_taught(learner, [k for k in range(9) if k not in silent], rng)


@pytest.mark.parametrize("precision", ["float", "fixed"])
def test_walsh_functions_teach_every_neuron(precision, rng):
    assert_taught(tpl.Learner(STEP["network"], STEP["rule"], precision), list(range(9)), rng)


def assert_taught(learner, neurons, rng):
    """Some samples change these neurons' weights and biases, and no others'."""
    start = dict(learner.weights)
    for _ in range(20):
        learner.learn(random_events(rng, 9, 15, 0.3), int(rng.integers(4)))
    for name in ("hidden0", "bias0"):
        changed = (learner.weights[name] != start[name]).reshape(9, -1).any(axis=1)
        assert np.flatnonzero(changed).tolist() == neurons, name


def test_a_long_warning_is_cut_short():
    with pytest.warns(UserWarning, match=r"hidden0: the square basis gives 100 of 200 neurons .*: 0(, \d+){19}, \.\.\.; use TESS"):
        build_circuit(tpl.Network.dense((4, 200, 2)), tpl.TESS())


# Number systems and targets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fixed", [True, False], ids=["fixed", "float"])
@pytest.mark.parametrize("circuit", ["deep", "step", "acausal"])
def test_both_targets_agree(circuit, fixed, rng):
    """Alone and in a batch of three, at three times the rate, so that the numbers of a fixed-point batch are the same."""
    network, rule = CIRCUITS[circuit]["network"], CIRCUITS[circuit]["rule"]
    for batch_size in (1, 3):
        many = replace(rule, rate=rule.rate * batch_size, readout_rate=rule.readout_rate * batch_size)
        both = BothBackEnds(network, many, fixed, batch_size)
        start = {name: both.memory[name].copy() for name in network.weights}
        for _ in range(2):
            events = [random_events(rng, 9, steps, 0.3) for steps in (12, 8, 11)[:batch_size]]
            both.present(rng.integers(4, size=batch_size), events)
            assert both.memory["steps_left"][0] == 0
        for name, before in start.items():
            assert not np.array_equal(before, both.memory[name]), name


@pytest.mark.parametrize("circuit", ["deep", "step"])
def test_fixed_point_learns_what_float_does(circuit, rng):
    network, rule = CIRCUITS[circuit]["network"], CIRCUITS[circuit]["rule"]
    learners = [tpl.Learner(network, rule, precision) for precision in ("float", "fixed")]
    start = [dict(learner.weights) for learner in learners]
    prototypes = rng.random((4, 12, 9)) < 0.3
    for sample in range(12):
        events = tpl.Events.from_dense(prototypes[sample % 4] ^ (rng.random((12, 9)) < 0.03))
        for learner in learners:
            learner.learn(events, sample % 4)
    for name in network.weights:
        if name != "target":
            a, b = ((learner.weights[name] - before[name]).ravel() for learner, before in zip(learners, start, strict=True))
            assert np.corrcoef(a, b)[0, 1] > 0.8, name


@pytest.mark.parametrize("precision", ["float", "fixed"])
def test_frozen_layers_do_not_change_and_cost_nothing(precision):
    both, upper = (tpl.Learner(TWO, rule_of(rate), precision) for rate in (0.9, (0.0, 0.9)))
    assert "hidden0_basis" in both.buffers
    assert not [name for name in upper.buffers if name.startswith("hidden0_") and name.split("_")[1] in ("basis", "causal", "change")]
    assert not {"hidden0_learning", "recurrent0_change", "bias0_change"} & set(upper.buffers)
    assert {"hidden1_learning", "recurrent1_change", "bias1_change"} <= set(upper.buffers)
