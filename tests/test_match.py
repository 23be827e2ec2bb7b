"""Match: no readout, the class whose target trace matches best - by a hand calculation, in both targets, and as a classifier."""

import numpy as np
import pytest
from conftest import lively, port_arrays, random_events, random_samples, run_both

import tp_lava as tpl
from tp_lava.dynamics.match import match_program
from tp_lava.numbers import TRACE_BITS, Format

SIZES = (8, 9, 7, 4)


@pytest.fixture
def network():
    return lively(tpl.Network.dense(SIZES, tpl.LIF(0.9, 0.7), trace_decay=0.8, seed=11), 2.5)


def target_traces(network, label, steps):
    """Traces of the last layer's target stream of a class: its label, through S and the layers, by hand."""
    below = np.repeat(np.eye(SIZES[-1])[[label]], steps, axis=0)
    for number, layer in enumerate(network.layers):
        weights = (network.weights[f"hidden{number}"] if number else tpl.TP().parameters(network)["target"]).astype(float)
        v, e, spikes, traces = np.zeros(layer.size), np.zeros(layer.size), [], []
        for row in below:
            pre = layer.neuron.decay * v + weights @ row
            s = pre >= layer.neuron.threshold
            v, e = pre - layer.neuron.threshold * s, layer.trace_decay * e + s
            spikes.append(s)
            traces.append(e)
        below = np.array(spikes, float)
    return np.array(traces)


def test_scores_are_the_votes_of_every_step(network, rng):
    learner = tpl.Learner(network, tpl.TP(0.02, contrast=2, readout=tpl.Match()))
    learner.fit(random_samples(rng, 6, SIZES[0], SIZES[-1], rate=0.3))
    outcome = learner.infer(random_events(rng, SIZES[0], 15, 0.3), record=True)
    z = np.stack([(outcome.traces[-1] * target_traces(learner.network, label, 15)).sum(axis=1) for label in range(SIZES[-1])], axis=1)
    votes = np.exp(z - z.max(axis=1, keepdims=True))
    np.testing.assert_allclose(outcome.scores, (votes / votes.sum(axis=1, keepdims=True)).sum(axis=0), atol=1e-4)
    assert outcome.scores.sum() == pytest.approx(15)


def test_while_it_learns_only_contrasted_classes_have_scores(network, rng):
    learner = tpl.Learner(network, tpl.TP(0.02, contrast=3, readout=tpl.Match()))
    outcome = learner.learn(random_events(rng, SIZES[0], 15, 0.3), 1, contrast_labels=[0, 1, 3])
    assert outcome.scores[2] == 0
    assert outcome.scores.sum() == pytest.approx(15)


@pytest.mark.parametrize("precision", ["float", "fixed"])
def test_hidden_weights_learn_as_with_a_readout(precision, network, rng):
    samples = random_samples(rng, 5, SIZES[0], SIZES[-1], rate=0.3)
    with_readout, without = (tpl.Learner(network, tpl.TP(0.02, 0.05, 3, readout=r), precision) for r in (tpl.Readout(), tpl.Match()))
    for learner in (with_readout, without):
        learner.fit(samples)
        learner.infer(samples[0][0])
    for name in ("hidden0", "hidden1"):
        np.testing.assert_array_equal(without.weights[name], with_readout.weights[name])
    np.testing.assert_array_equal(without.weights["readout"], tpl.Learner(network, None, precision).weights["readout"])


@pytest.mark.parametrize("fixed", [True, False], ids=["fixed", "float"])
def test_both_targets(fixed, rng):
    sizes = {"b": 2, "k": 5, "c": 4, "n": 9}
    program = match_program(sizes, Format(TRACE_BITS, 10, signed=False) if fixed else None)
    interpreted, compiled = run_both(program, port_arrays(program, sizes, rng))
    np.testing.assert_allclose(compiled["score"], interpreted["score"], rtol=0 if fixed else 1e-5, atol=0 if fixed else 1e-6)


def test_saved_and_loaded(network, rng, tmp_path):
    samples = random_samples(rng, 4, SIZES[0], SIZES[-1], rate=0.3)
    learner = tpl.Learner(network, tpl.TP(0.02, contrast=3, readout=tpl.Match()), "fixed")
    learner.fit(samples)
    learner.save(tmp_path / "match.safetensors")
    loaded = tpl.Learner.load(tmp_path / "match.safetensors")
    np.testing.assert_array_equal(loaded.infer(samples[0][0]).scores, learner.infer(samples[0][0]).scores)


def test_only_tp_has_targets_to_match():
    with pytest.raises(tpl.InvalidValueError, match="TESS: readout is Match.*only TP has target traces"):
        tpl.TESS(readout=tpl.Match())
