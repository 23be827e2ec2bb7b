"""Batched TESS, and the delta rule of every kind of readout, equal an oracle that goes sample by sample in NumPy."""

import numpy as np
import pytest
from conftest import lively, random_events
from torch_oracle import Optimised, OracleTESS, adam, momentum

import tp_lava as tpl
from tp_lava.dynamics.basis import basis

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # the tensors are small, and tests run side by side

from tp_lava import torch as tt  # noqa: E402

BIASES = ("bias0", "bias1", "readout_bias")


def network_of(hidden=(9, 7), recurrent=True, neuron=None, biases=BIASES, gain=3.0):
    network = lively(tpl.Network.dense((8, *hidden, 4), neuron or tpl.TESS.neuron(), 0.8, recurrent, seed=5), gain)
    rng = np.random.default_rng(7)
    return network.with_weights({name: rng.normal(0, 0.1, network.shapes[name]) for name in biases})


def batches(rng, count=3, samples=5, steps=12):
    for _ in range(count):
        yield rng.random((samples, steps, 8)) < 0.3, rng.integers(4, size=samples)


def as_input(dense):
    return torch.tensor(dense.transpose(1, 0, 2), dtype=torch.float64)


def moved(trainer, network):
    return {name for name, array in trainer.module.weights.items() if np.abs(array.detach().numpy() - network.weights[name]).max() > 1e-5}


def assert_equals_oracle(network, rule, rng, *options, count=3):
    """-> names of the arrays that have changed."""
    trainer, oracle = tt.TESSTrainer(tt.SpikingNetwork(network, dtype=torch.float64), rule), OracleTESS(network, rule, *options)
    for dense, labels in batches(rng, count):
        np.testing.assert_allclose(trainer.learn_batch(as_input(dense), labels), oracle.learn(dense, labels), atol=1e-9)
    for name, array in trainer.module.weights.items():
        np.testing.assert_allclose(array.detach().numpy(), oracle.weights[name], atol=1e-9, err_msg=name)
    return moved(trainer, network)


@pytest.mark.parametrize("update", ["sequence", "step"])
@pytest.mark.parametrize("recurrent", [False, True], ids=["forward", "recurrent"])
def test_oracle(recurrent, update, rng):
    network = network_of(recurrent=recurrent)
    assert assert_equals_oracle(network, tpl.TESS(0.5, 0.05, update=update), rng) == set(network.weights)


@pytest.mark.parametrize(
    "rule",
    [
        tpl.TESS((0.5, 0.3), 0.1, pre_decay=0.8, post_decay=0.6, causal=0.5, acausal=-2.0, temperature=0.1, learn_last=4),
        tpl.TESS(0.5, 0.1, causal=0.0),
        tpl.TESS(0.5, 0.1, acausal=0.0, update="step", learn_last=3),
        tpl.TESS(0.5, 0.1, causal=0.0, acausal=0.0),
        tpl.TESS((0.0, 0.5), 0.0),
        tpl.TESS(0.5, 0.1, temperature=0.1, activity="trace"),
    ],
    ids=["all", "acausal", "causal", "biases", "frozen", "trace"],
)
def test_options(rule, rng):
    network = network_of()
    arrays = set(network.weights)
    if rule.causal == rule.acausal == 0:
        arrays = set(BIASES) | {"readout"}
    if rule.readout_rate == 0:
        arrays = {"hidden1", "recurrent1", "bias1"}
    assert assert_equals_oracle(network, rule, rng) == arrays


@pytest.mark.parametrize(
    "neuron",
    [tpl.LIF(0.8, 0.6, ">=", "zero", 0.3, tpl.ArcTan()), tpl.LIF(0.5, 0.9, ">", "subtract", 0.0, tpl.FastSigmoid(2.0))],
    ids=["current", "fast-sigmoid"],
)
def test_other_neurons(neuron, rng):
    assert_equals_oracle(network_of(neuron=neuron), tpl.TESS(0.5, 0.1), rng)


def test_walsh_basis(rng):
    assert_equals_oracle(
        network_of(biases=()), tpl.TESS(0.5, 0.1, basis="walsh"), rng, lambda classes, size: basis("walsh", classes, size).astype(float)
    )


@pytest.mark.parametrize(
    "readout",
    [
        tpl.Readout(0.0, features="spike"),
        tpl.Readout(0.7, 2.0, features="count"),
        tpl.Readout(1.0, 0.5, normalised=True, features="count", learn_last=1),
        tpl.Readout(0.9, normalised=True, learn_last=4),
    ],
    ids=["step", "leaky", "once", "last"],
)
@pytest.mark.parametrize("update", ["sequence", "step"])
def test_readouts(readout, update, rng):
    network = network_of((9,), False, biases=("bias0", "readout_bias"))
    assert {"readout", "readout_bias"} <= assert_equals_oracle(network, tpl.TESS(0.5, 0.05, update=update, readout=readout), rng)


def test_without_biases(rng):
    network = network_of(biases=())
    assert assert_equals_oracle(network, tpl.TESS(0.5, 0.1), rng) == set(network.weights)


def test_learner(rng):
    """Everything at once: options, a readout of its own kind, biases, and Adam going on where nothing is learned."""
    network = network_of((9,), False, biases=("bias0", "readout_bias"))
    readout = tpl.Readout(0.5, 2.0, normalised=True, features="count", learn_last=3)
    rule = tpl.TESS(0.01, 0.02, 0.6, 0.4, 1.0, 0.5, "walsh", 4, "step", 0.1, "trace", readout)
    optimiser = tpl.Adam(epsilon=1e-3)  # a small one makes much of rounding errors where the gradient is zero
    learner, trainer = tpl.Learner(network, rule, optimiser=optimiser), tt.TESSTrainer(tt.SpikingNetwork(network), rule, optimiser)
    for _ in range(3):
        samples, labels = [random_events(rng, 8, steps, 0.3) for steps in (15, 12, 15, 9)], rng.integers(4, size=4).tolist()
        expected = [outcome.scores for outcome in learner.learn_batch(samples, labels)]
        np.testing.assert_allclose(trainer.learn_batch(tt.dense(samples), labels), expected, atol=1e-4)
    trained = trainer.module.network()
    for name, array in learner.network.weights.items():
        np.testing.assert_allclose(trained.weights[name], array, atol=1e-4, err_msg=name)
    assert moved(trainer, network) == set(network.weights)


@pytest.mark.parametrize("update", ["sequence", "step"])
def test_optimisers(update, rng):
    """One for each layer."""
    network, rule = network_of(biases=("bias0",)), tpl.TESS(0.02, 0.02, update=update)
    optimiser = {"hidden0": tpl.SGD(0.5), "readout": tpl.Adam(0.8, 0.9, 1e-6)}
    trainer, oracle = tt.TESSTrainer(tt.SpikingNetwork(network, dtype=torch.float64), rule, optimiser), OracleTESS(network, rule)
    momenta = {name: momentum(0.5) for name in ("hidden0", "recurrent0", "bias0")}
    oracle.weights = Optimised(oracle.weights, 0.02, **momenta, readout=adam(0.8, 0.9, 1e-6))
    for dense, labels in batches(rng):
        np.testing.assert_allclose(trainer.learn_batch(as_input(dense), labels), oracle.learn(dense, labels), atol=1e-9)
    for name, array in trainer.module.weights.items():
        np.testing.assert_allclose(array.detach().numpy(), oracle.weights[name], atol=1e-9, err_msg=name)


@pytest.mark.parametrize(
    ("module", "rule", "message"),
    [
        (None, tpl.TP(), r"TESSTrainer: rule is TP\(.*, but must be a TESS\(...\)"),
        (7, tpl.TESS(), "TESSTrainer: module is of type int, but must be a SpikingNetwork"),
        (None, tpl.TESS(rate=(1, 2, 3)), "TESS: rate is 3 numbers, but must be one per hidden layer, 2"),
    ],
)
def test_arguments(module, rule, message):
    with pytest.raises(tpl.InvalidValueError, match=message):
        tt.TESSTrainer(module or tt.SpikingNetwork(network_of()), rule)
