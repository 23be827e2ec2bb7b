"""Batch TP in torch: the closed form equals the losses' gradients, an oracle that shares nothing with it, and the Learner."""

import numpy as np
import pytest
from conftest import lively, random_events
from oracle import OracleTP
from random_neurons import NEURONS
from torch_oracle import Optimised, Summed, adam, momentum

import tp_lava as tpl

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # the tensors are small, and tests run side by side

from tp_lava import torch as tt  # noqa: E402

RATE, READOUT_RATE = 0.2, 0.1
BOTH = ("closed", "autograd")


def network_of(hidden=(9, 7), recurrent=True, neuron=None, biases=(), gain=2.5):
    network = lively(tpl.Network.dense((8, *hidden, 4), neuron or tpl.LIF(0.9, 0.7), 0.8, recurrent, seed=11), gain)
    rng = np.random.default_rng(7)
    return network.with_weights({name: rng.normal(0, 0.1, network.shapes[name]) for name in biases})


def trainers_of(network, rule, **options):
    """One trainer for each way to the gradient, in float64."""
    return [tt.TPTrainer(tt.SpikingNetwork(network, dtype=torch.float64), rule, gradient=gradient, **options) for gradient in BOTH]


def batches(rng, count=3, samples=6, steps=15):
    """(B, T, n) spikes and labels; some labels twice, some not at all."""
    for _ in range(count):
        yield rng.random((samples, steps, 8)) < 0.3, rng.integers(4, size=samples)


def as_input(dense):
    return torch.tensor(dense.transpose(1, 0, 2), dtype=torch.float64)


def arrays(trainer):
    held = {**trainer.module.weights, **trainer.module.rule_parameters}
    return {name: weights.detach().numpy() for name, weights in held.items()}


def start_of(network):
    """Every array before learning, the label projection among them."""
    return {**network.weights, **tpl.TP().parameters(network)}


def assert_equal(trainer, expected, atol=1e-9):
    for name, array in arrays(trainer).items():
        np.testing.assert_allclose(array, expected[name], atol=atol, err_msg=name)


def assert_moved(trainer, start, names):
    before = start_of(start)
    moved = {name for name, array in arrays(trainer).items() if np.abs(array - before[name]).max() > 1e-4}
    assert moved == set(names)


@pytest.mark.parametrize("train_target", [False, True], ids=["fixed", "target"])
@pytest.mark.parametrize("recurrent", [False, True], ids=["forward", "recurrent"])
@pytest.mark.parametrize("hidden", [(9,), (9, 7, 6)], ids=["1", "3"])
def test_oracle(hidden, recurrent, train_target, rng):
    network = network_of(hidden, recurrent)
    trainers = trainers_of(network, tpl.TP(RATE, READOUT_RATE, train_target=train_target, readout=tpl.Readout()))
    oracle = OracleTP(network, RATE, READOUT_RATE, train_target)
    for dense, labels in batches(rng):
        expected = oracle.learn(dense, labels, labels, np.arange(len(labels)))
        for trainer in trainers:
            np.testing.assert_allclose(trainer.learn_batch(as_input(dense), labels), expected, atol=1e-9)
    for trainer in trainers:
        assert_equal(trainer, oracle.weights)
        assert_moved(trainer, network, [*network.weights, *(["target"] if train_target else [])])


@pytest.mark.parametrize("neuron", NEURONS.values(), ids=NEURONS)
def test_other_neurons(neuron, rng):
    network = network_of(neuron=neuron, gain=5.0)
    trainers, oracle = trainers_of(network, tpl.TP(RATE, READOUT_RATE, readout=tpl.Readout())), OracleTP(network, RATE, READOUT_RATE)
    for dense, labels in batches(rng):
        oracle.learn(dense, labels, labels, np.arange(len(labels)))
        for trainer in trainers:
            trainer.learn_batch(as_input(dense), labels)
    for trainer in trainers:
        assert_equal(trainer, oracle.weights)


def test_update_at_the_end_of_the_sequence(rng):
    network = network_of()
    trainers, oracle = trainers_of(network, tpl.TP(0.02, 0.01, update="sequence", readout=tpl.Readout())), OracleTP(network, 0.02, 0.01)
    oracle.weights = Summed(oracle.weights)
    for dense, labels in batches(rng):
        oracle.learn(dense, labels, labels, np.arange(len(labels)))
        oracle.weights.apply()
        for trainer in trainers:
            trainer.learn_batch(as_input(dense), labels)
    for trainer in trainers:
        assert_equal(trainer, oracle.weights)
        assert_moved(trainer, network, set(network.weights))


def test_optimisers_at_every_step(rng):
    """One for each layer."""
    network = network_of()
    optimiser = {"hidden0": tpl.Adam(0.8, 0.9, 1e-6), "hidden1": tpl.SGD(0.6)}
    trainers, oracle = trainers_of(network, tpl.TP(0.02, 0.02, readout=tpl.Readout()), optimiser=optimiser), OracleTP(network, 0.02, 0.02)
    adams = {name: adam(0.8, 0.9, 1e-6) for name in ("hidden0", "recurrent0")}
    oracle.weights = Optimised(oracle.weights, 0.02, **adams, hidden1=momentum(0.6), recurrent1=momentum(0.6))
    for dense, labels in batches(rng, count=2):
        oracle.learn(dense, labels, labels, np.arange(len(labels)))
        for trainer in trainers:
            trainer.learn_batch(as_input(dense), labels)
    for trainer in trainers:
        assert_equal(trainer, oracle.weights)


@pytest.mark.parametrize("optimiser", [tpl.SGD(0.9), tpl.Adam()], ids=["momentum", "adam"])
@pytest.mark.parametrize("update", ["step", "sequence"])
def test_both_gradients_agree(update, optimiser, rng):
    """With biases, a readout of its own kind and every array that can learn."""
    network = network_of(biases=("bias0", "bias1", "readout_bias"))
    readout = tpl.Readout(0.5, 2.0, normalised=True, features="count", learn_last=5)
    rule = tpl.TP((0.01, 0.02), 0.01, train_target=True, update=update, readout=readout)
    closed, autograd = trainers_of(network, rule, optimiser=optimiser)
    for dense, labels in batches(rng):
        scores = [trainer.learn_batch(as_input(dense), labels) for trainer in (closed, autograd)]
        np.testing.assert_allclose(*scores, atol=1e-5)
    assert_equal(closed, arrays(autograd), atol=1e-5)
    assert_moved(closed, network, set(start_of(network)) - {"bias0", "bias1"})


@pytest.mark.parametrize(
    ("rates", "moved"),
    [((0.2, 0.0), {"hidden0", "recurrent0", "readout"}), ((0.0, 0.2), {"hidden1", "recurrent1", "readout"}), ((0.0, 0.0), {"readout"})],
    ids=["below", "above", "readout"],
)
def test_frozen_layers(rates, moved, rng):
    """A layer below one that learns hands targets on; one above all that learn needs none."""
    network = network_of()
    whole = tpl.TP(RATE, READOUT_RATE, readout=tpl.Readout())
    dense, labels = next(batches(rng))
    for frozen, learning in zip(
        trainers_of(network, tpl.TP(rates, READOUT_RATE, readout=tpl.Readout())), trainers_of(network, whole), strict=True
    ):
        frozen.learn_batch(as_input(dense[:, :1]), labels)
        learning.learn_batch(as_input(dense[:, :1]), labels)
        for name in moved:
            np.testing.assert_allclose(arrays(frozen)[name], arrays(learning)[name], atol=1e-12, err_msg=name)
        for _ in range(2):
            frozen.learn_batch(as_input(dense), labels)
        assert_moved(frozen, network, moved)


def test_frozen_readout(rng):
    network = network_of()
    for trainer in trainers_of(network, tpl.TP(RATE, 0.0, readout=tpl.Readout())):
        for dense, labels in batches(rng):
            trainer.learn_batch(as_input(dense), labels)
        assert_moved(trainer, network, {"hidden0", "recurrent0", "hidden1", "recurrent1"})


def test_learner(rng):
    network = network_of((9,))
    learner = tpl.Learner(network, tpl.TP(RATE, READOUT_RATE, readout=tpl.Readout()))
    trainer = tt.TPTrainer(tt.SpikingNetwork(network), tpl.TP(RATE, READOUT_RATE, readout=tpl.Readout()))
    for _ in range(3):
        samples, labels = [random_events(rng, 8, steps, 0.3) for steps in (15, 12, 15, 9, 15)], rng.integers(4, size=5).tolist()
        expected = [outcome.scores for outcome in learner.learn_batch(samples, labels)]
        np.testing.assert_allclose(trainer.learn_batch(tt.dense(samples), labels), expected, atol=1e-4)
    assert_equal(trainer, learner.weights, atol=1e-4)
    assert_moved(trainer, network, set(network.weights))


def test_one_label_alone_teaches_the_readout_only(rng):
    network = network_of()
    for trainer in trainers_of(network, tpl.TP(RATE, READOUT_RATE, readout=tpl.Readout())):
        dense, labels = next(batches(rng))
        trainer.learn_batch(as_input(dense), np.full_like(labels, 2))
        assert_moved(trainer, network, {"readout"})


# What cannot be used -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "rule", "options", "message"),
    [
        ("no", tpl.TP(), {}, "TPTrainer: module is of type str, but must be a SpikingNetwork"),
        (None, "TP", {}, r"TPTrainer: rule is 'TP', but must be a TP\(...\)"),
        (None, tpl.TP(rate=(1, 2, 3)), {}, "TP: rate is 3 numbers, but must be one per hidden layer, 2"),
        (None, tpl.TP(), {"gradient": "fast"}, 'TPTrainer: gradient is \'fast\', but must be "closed" or "autograd"'),
        (
            None,
            tpl.TP(),
            {"optimiser": {"layer0": tpl.SGD()}},
            "optimiser is 'layer0', but must be for layers among hidden0, hidden1, readout",
        ),
        (None, tpl.TP(), {"optimiser": "adam"}, "optimiser is 'adam', but must be SGD"),
    ],
)
def test_arguments(module, rule, options, message):
    with pytest.raises(tpl.InvalidValueError, match=message):
        tt.TPTrainer(module or tt.SpikingNetwork(network_of()), rule, **options)


def test_a_rule_without_readout_is_refused():
    with pytest.raises(tpl.InvalidValueError, match=r"TPTrainer: readout is Match\(.*\), but must be a Readout"):
        tt.TPTrainer(tt.SpikingNetwork(network_of()), tpl.TP(readout=tpl.Match()))


@pytest.mark.parametrize(
    ("shape", "labels", "message"),
    [
        ((5, 1, 8), [0], "learn_batch: spikes is 1 sample, but must be at least 2; TP contrasts the samples of a batch"),
        ((5, 2, 8), [0], r"learn_batch: labels is of shape \(1,\), but must be one for each of the 2 samples"),
        ((5, 2, 8), [0, 4], r"learn_batch: labels is 4 at sample 1, but must be in \[0, 4\)"),
        ((5, 2, 8), [-1, 0], "learn_batch: labels is -1 at sample 0"),
        ((5, 2, 8), [0.0, 1.0], "learn_batch: labels is of dtype float64, but must be integers"),
        ((5, 2, 8), torch.tensor([0, 7]), "learn_batch: labels is 7 at sample 1"),
        ((5, 2, 7), [0, 1], r"SpikingNetwork: spikes is of shape \(5, 2, 7\)"),
    ],
)
def test_batch(shape, labels, message):
    trainer = tt.TPTrainer(tt.SpikingNetwork(network_of()), tpl.TP())
    with pytest.raises(tpl.InvalidValueError, match=message):
        trainer.learn_batch(torch.zeros(shape), labels)
    assert_equal(trainer, start_of(network_of()), atol=0)
