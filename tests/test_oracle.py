"""Streaming and batch TP equal gradient descent on the paper's local losses."""

import numpy as np
import pytest
from conftest import lively, random_events
from oracle import OracleTP
from random_neurons import NEURONS, own_neurons

import tp_lava as tpl

RATE, READOUT_RATE = 0.02, 0.01
PUBLISHED = tpl.Readout()


def network_of(hidden, recurrent, neuron=None, gain=2.5):
    return lively(
        tpl.Network.dense((8, *hidden, 4), neuron=neuron or tpl.LIF(0.9, 0.7), trace_decay=0.8, recurrent=recurrent, seed=11), gain
    )


def assert_learned(learner, oracle, start):
    for name, expected in oracle.weights.items():
        np.testing.assert_allclose(learner.weights[name], expected, atol=1e-4, err_msg=name)
    changed = {name for name in start if np.abs(learner.weights[name] - start[name]).max() > 1e-3}
    assert changed >= {name for name in start if name != "target"}


def assert_learns_as(oracle, learner, network, rng):
    """Three samples, all classes in contrast."""
    for _ in range(3):
        events, label = random_events(rng, 8, 15, 0.3), int(rng.integers(4))
        learner.learn(events, label)
        oracle.learn(events.to_dense()[None], [label], [label, *[k for k in range(4) if k != label]], np.array([0]))
    assert_learned(learner, oracle, network.weights)


@pytest.mark.parametrize("recurrent", [False, True], ids=["forward", "recurrent"])
@pytest.mark.parametrize("hidden", [(9,), (9, 7), (9, 7, 6)], ids=["1", "2", "3"])
def test_streaming(hidden, recurrent, rng):
    network = network_of(hidden, recurrent)
    learner = tpl.Learner(network, tpl.TP(RATE, READOUT_RATE, 3, readout=PUBLISHED))
    oracle = OracleTP(network, RATE, READOUT_RATE)
    for _ in range(4):
        events, streams = random_events(rng, 8, 15, 0.3), rng.permutation(4)[:3]
        label = int(streams[1])
        outcome = learner.learn(events, label, contrast_labels=streams.tolist())
        score = oracle.learn(events.to_dense()[None], [label], [label, *[s for s in streams if s != label]], np.array([0]))
        np.testing.assert_allclose(outcome.scores, score[0], atol=1e-4)
    assert_learned(learner, oracle, network.weights)


@pytest.mark.parametrize("recurrent", [False, True], ids=["forward", "recurrent"])
@pytest.mark.parametrize("hidden", [(9,), (9, 7), (9, 7, 6)], ids=["1", "2", "3"])
def test_batch(hidden, recurrent, rng):
    network = network_of(hidden, recurrent)
    learner = tpl.Learner(network, tpl.TP(0.2, 0.1, readout=PUBLISHED))
    oracle = OracleTP(network, 0.2, 0.1)
    for _ in range(3):
        samples = [random_events(rng, 8, 15, 0.3) for _ in range(5)]
        labels = rng.integers(4, size=5)
        outcomes = learner.learn_batch(samples, labels.tolist())
        dense = np.stack([events.to_dense() for events in samples])
        scores = oracle.learn(dense, labels, labels, np.arange(5))
        np.testing.assert_allclose([o.scores for o in outcomes], scores, atol=1e-4)
    assert_learned(learner, oracle, network.weights)


@pytest.mark.parametrize("neuron", NEURONS.values(), ids=NEURONS)
def test_other_neurons(neuron, rng):
    network = network_of((9, 7), True, neuron, gain=5.0)
    learner = tpl.Learner(network, tpl.TP(RATE, READOUT_RATE, "all", readout=PUBLISHED))
    oracle = OracleTP(network, RATE, READOUT_RATE)
    assert_learns_as(oracle, learner, network, rng)


def test_trained_target_projection(rng):
    network = network_of((9,), False)
    learner = tpl.Learner(network, tpl.TP(RATE, READOUT_RATE, "all", train_target=True, readout=PUBLISHED))
    oracle = OracleTP(network, RATE, READOUT_RATE, train_target=True)
    assert_learns_as(oracle, learner, network, rng)
    assert np.abs(learner.weights["target"] - tpl.TP().parameters(network)["target"]).max() > 1e-3


def test_streams_of_all_classes_and_one_sample_equal_the_batch_equations_with_b_1(rng):
    """The streaming form is the batch form with one row of samples: so says the oracle with B = 1 and K columns."""
    network = network_of((9, 7), False)
    events, label = random_events(rng, 8, 20, 0.3), 2
    a, b = (tpl.Learner(network, tpl.TP(RATE, READOUT_RATE, k, readout=PUBLISHED)) for k in ("all", 4))
    a.learn(events, label)
    b.learn(events, label, contrast_labels=[0, 1, 2, 3])
    for name in a.weights:
        np.testing.assert_allclose(a.weights[name], b.weights[name], atol=1e-6)


def test_neurons_of_their_own(rng):
    """Every parameter differs from neuron to neuron, those of the target path too."""
    first, second = (own_neurons(rng, size) for size in (9, 7))
    decays = [rng.uniform(0.5, 0.9, size) for size in (9, 7)]
    network = lively(tpl.Network.dense((8, 9, 7, 4), [first, second], decays, recurrent=True, seed=11), 5.0)
    learner = tpl.Learner(network, tpl.TP(RATE, READOUT_RATE, "all", readout=PUBLISHED))
    oracle = OracleTP(network, RATE, READOUT_RATE)
    assert_learns_as(oracle, learner, network, rng)
