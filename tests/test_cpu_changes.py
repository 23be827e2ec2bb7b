"""Sums of changes known to be zero are neither cleared nor applied: the bits are those of samples that begin from cleared memory."""

import numpy as np
import pytest

import tp_lava as tpl
from tp_lava.backends.cpu_changes import known_to_rest, summed

RULES = {"TP": tpl.TP(0.05, 0.05, update="sequence"), "TESS": tpl.TESS(0.5, 0.05, basis="walsh")}


def network(**second):
    """Two convolutions; silent samples reach neither, and few the second."""
    layers = [tpl.Conv2d(4, 3, padding=1, gain=2.5), tpl.MaxPool2d(2), tpl.Conv2d(8, 3, padding=1, gain=2.5, **second)]
    return tpl.Network.sequential((2, 8, 8), layers, 3, tpl.LIF(0.9), 0.9, seed=1)


@pytest.fixture
def samples():
    """Silent ones among others."""
    rng = np.random.default_rng(0)
    return [(tpl.Events.from_dense(rng.random((12, 128)) < (0.15 if k % 3 else 0.0)), k % 3) for k in range(9)]


def learned_apart(learner, samples):
    """Each sample in a call of its own, from memory that has anything in its sums."""
    for events, label in samples:
        for change in summed(learner.circuits[1]):
            learner.memory[change][...] = 3
        learner.learn(events, label)
    return learner


@pytest.mark.parametrize(
    ("rule", "precision", "second"),
    [
        *((rule, precision, {}) for rule in RULES for precision in ("float", "fixed")),
        ("TP", "fixed", {"stride": 2}),
        ("TESS", "fixed", {"groups": 2}),
    ],
)
def test_samples_in_one_call_learn_as_samples_apart(rule, precision, second, samples):
    together, apart = (tpl.Learner(network(**second), RULES[rule], precision) for _ in range(2))
    for change in summed(together.circuits[1]):
        together.memory[change][...] = 3
    together.fit(samples, shuffle=False)
    learned_apart(apart, samples)
    blank = tpl.Learner(network(**second), RULES[rule], precision)
    for name, weights in together.weights.items():
        np.testing.assert_array_equal(weights, apart.weights[name])
    assert any((weights != blank.weights[name]).any() for name, weights in together.weights.items())
    assert not any(together.memory[change].any() for change in summed(together.circuits[1]))


def test_which_sums_are_known_to_rest():
    """Those of shared kernels that are added to the weights; an optimiser with moments changes weights by zeros too."""
    circuit = tpl.Learner(network(), RULES["TESS"], "fixed").circuits[1]
    assert set(known_to_rest(circuit)) == set(summed(circuit)) == {"hidden0_change", "hidden1_change"}
    with_moments = tpl.Learner(network(), RULES["TESS"], "float", optimiser=tpl.Adam()).circuits[1]
    assert summed(with_moments)
    assert not known_to_rest(with_moments)
    standardised = tpl.Learner(network(standardised=True), RULES["TESS"], "float").circuits[1]
    assert set(known_to_rest(standardised)) == {"hidden0_change"}
    dense = tpl.Learner(tpl.Network.dense((8, 6, 3)), tpl.TP(update="sequence"), "fixed").circuits[1]
    assert not summed(dense)
