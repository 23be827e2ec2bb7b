"""Formats of learning from measured signals: third factors' ranges are what they reach in float, weights' hold what these become."""

import numpy as np
import pytest
from conftest import random_samples

import tp_lava as tpl
from tp_lava import InvalidValueError

RULE = tpl.TP(1e-3, 5e-4, contrast="all")


@pytest.fixture
def samples():
    return random_samples(np.random.default_rng(5), 12, 20, 4, 30, 0.3)


def recurrent():
    network = tpl.Network.dense((20, 12, 9, 4), tpl.LIF(0.9), 0.9, recurrent=[True, False], seed=3)
    return network.with_weights({name: 2 * array for name, array in network.weights.items()})


def reached(network, samples):
    """Third factors of each layer, before the rate: computed here from errors, traces and surrogates."""
    learner, found = tpl.Learner(network, RULE), {"hidden0": [], "hidden1": []}
    for events, label in samples[:10]:
        history = tpl.watch(learner, events, label)
        for number, name in enumerate(found):
            own, target = (history[f"{path}{number}_trace"] for path in ("hidden", "target"))
            student = np.einsum("tk,tkn->tn", history[f"{name}_error"], target) * history[f"{name}_surrogate"]
            found[name].append(np.abs(student).ravel())
            taught = np.einsum("tk,tn->tkn", history[f"target{number}_error"], own) * history[f"target{number}_surrogate"]
            found[name].append(np.abs(taught).ravel())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def test_ranges_are_the_smallest_that_cut_little(samples):
    network = recurrent()
    fixed = tpl.measured_formats(network, RULE, samples[:10])
    for name, values in reached(network, samples).items():
        reach = fixed.third_factor_range[name]
        assert np.log2(reach) % 1 == 0
        assert np.maximum(values - reach, 0).sum() <= values.sum() * 0.2 * 1.001
        assert np.maximum(values - reach / 2, 0).sum() > values.sum() * 0.2 * 0.999
    wide = tpl.measured_formats(network, RULE, samples, cut=0.0)
    assert all(wide.third_factor_range[name] >= reach for name, reach in fixed.third_factor_range.items())


def test_learning_is_nearer_to_float(samples):
    """What all synapses of a neuron learn together is as noisy as the steps of its third factor."""
    network = tpl.Network.dense((20, 12, 4), tpl.LIF(0.9), 0.9, recurrent=True, seed=3)
    network = network.with_weights({name: 3 * array for name, array in network.weights.items()})
    rule = tpl.TP(5e-3, 0.0, contrast="all", update="sequence")
    fixed = tpl.measured_formats(network, rule, samples)
    assert fixed.third_factor_range["hidden0"] <= 4

    def learned(precision, seed):
        learner = tpl.Learner(network, rule, precision, seed)
        learner.fit(samples, 4, shuffle=False)
        return (learner.weights["hidden0"] - network.weights["hidden0"]).mean(axis=1)

    def error(precision):
        return np.mean([np.square(learned(precision, seed) - learned("float", seed)).mean() for seed in range(8)])

    assert error(fixed) < 0.8 * error("fixed")


def test_each_layer_has_its_own_range(samples, tmp_path):
    fixed = tpl.FixedPoint(third_factor_range={"hidden0": 1.0})
    learner = tpl.Learner(recurrent(), RULE, fixed)
    first, second = (learner.buffers[f"{name}_third_factor"].format for name in ("hidden0", "hidden1"))
    assert first.frac == second.frac + 4
    assert learner.buffers["target0_third_factor"].format == first
    learner.fit(samples, 1)
    learner.save(tmp_path / "learner.safetensors")
    loaded = tpl.Learner.load(tmp_path / "learner.safetensors")
    assert loaded.fixed == learner.fixed
    assert tpl.measured_formats(recurrent(), RULE, samples, fixed).third_factor_range["hidden0"] == 1.0


COUNTED = tpl.TP(1e-3, 1.0, contrast="all", readout=tpl.Readout(normalised=True, features="count", learn_last=1))


def test_weights_have_room_for_what_they_become(samples):
    network = recurrent()
    learner = tpl.Learner(network, COUNTED)
    learner.fit(samples, 1)
    fixed, usual = tpl.measured_weights(network, COUNTED, samples), tpl.FixedPoint().resolved(network, COUNTED)
    grown = np.abs(learner.weights["readout"])
    assert set(fixed.weight_exponents) == {"hidden0", "hidden1", "recurrent0", "readout"}
    assert fixed.weight_exponents["readout"] > usual.weight_exponents["readout"]
    for name, exponent in fixed.weight_exponents.items():
        weights, reach = np.abs(learner.weights[name]), 2.0 ** (exponent + 7)
        assert np.maximum(weights - reach, 0).sum() <= 0.02 * weights.sum()
        wider = exponent > usual.weight_exponents[name]
        assert not wider or np.maximum(weights - reach / 2, 0).sum() > 0.02 * weights.sum()
    whole = tpl.measured_weights(network, COUNTED, samples, cut=0.0)
    assert 2.0 ** (whole.weight_exponents["readout"] + 6) < grown.max() <= 2.0 ** (whole.weight_exponents["readout"] + 7)


def test_weights_that_are_given_stand_still_or_grow_little_stay(samples):
    network, given = recurrent(), tpl.FixedPoint(weight_bits=6, weight_exponents={"readout": -8})
    assert tpl.measured_weights(network, COUNTED, samples, given).weight_exponents["readout"] == -8
    still = tpl.measured_weights(network, tpl.TP(0.0, 1.0, readout=COUNTED.readout), samples)
    assert set(still.weight_exponents) == {"readout"}
    finer, given = (tpl.measured_weights(network, RULE, samples, fixed, finer=True) for fixed in (None, given))
    assert given.weight_exponents["readout"] == -8
    learner, usual, count = tpl.Learner(network, RULE), tpl.FixedPoint().resolved(network, RULE).weight_exponents, 0
    learner.fit(samples, 1)
    for name, exponent in finer.weight_exponents.items():
        weights, reach = np.abs(learner.weights[name]), 2.0 ** (exponent + 7)
        assert np.maximum(weights - reach, 0).sum() <= 0.02 * weights.sum() < np.maximum(weights - reach / 2, 0).sum()
        count += exponent < usual[name]
    assert count >= 2
    little, usual = tpl.measured_weights(network, tpl.TP(1e-6, 1e-6), samples), tpl.FixedPoint().resolved(network, RULE)
    assert little.weight_exponents.items() <= usual.weight_exponents.items()


def test_what_has_a_bound_is_not_measured(samples):
    assert tpl.measured_formats(recurrent(), tpl.TESS(basis="walsh"), samples) == tpl.FixedPoint()
    assert tpl.measured_formats(recurrent(), tpl.TP(0.0, 1e-3), samples) == tpl.FixedPoint()


def test_fine_tuning_measures(samples):
    """Of networks that feed back weights, too."""
    done = tpl.finetune(recurrent(), samples, samples, rule=RULE, epochs=1)
    fixed = tpl.measured_formats(recurrent(), RULE, samples)
    assert done.learner.fixed.third_factor_range == fixed.third_factor_range
    measured = tpl.measured_weights(recurrent(), RULE, samples, fixed, finer=True).weight_exponents
    assert measured.items() <= done.learner.fixed.weight_exponents.items()
    forward = tpl.Network.dense((20, 12, 4), seed=3)
    done = tpl.finetune(forward, samples, samples, rule=RULE, epochs=1)
    assert done.learner.fixed == tpl.measured_formats(forward, RULE, samples).resolved(forward, RULE)
    given = tpl.finetune(recurrent(), samples, samples, rule=RULE, epochs=1, precision=tpl.FixedPoint(third_factor_range=4.0))
    assert given.learner.fixed.third_factor_range == 4.0


def test_wrong_ranges(samples):
    with pytest.raises(InvalidValueError, match="measured_formats: samples is empty"):
        tpl.measured_formats(recurrent(), RULE, [])
    with pytest.raises(InvalidValueError, match="measured_weights: samples is empty"):
        tpl.measured_weights(recurrent(), RULE, [])
    with pytest.raises(InvalidValueError, match=r"measured_weights: cut is -1, but must be a number in \[0, 1\); 0.02 is usual"):
        tpl.measured_weights(recurrent(), RULE, samples, cut=-1)
    with pytest.raises(InvalidValueError, match=r"cut is 1, but must be a number in \[0, 1\)"):
        tpl.measured_formats(recurrent(), RULE, samples, cut=1)
    with pytest.raises(InvalidValueError, match="third_factor_range"):
        tpl.FixedPoint(third_factor_range={"hidden0": 0.0})
    with pytest.raises(InvalidValueError, match=r"third_factor_range is \['hidden7'\]"):
        tpl.Learner(recurrent(), RULE, tpl.FixedPoint(third_factor_range={"hidden7": 2.0}))
