"""Learning in the units of a network: thresholds of 1, 80 and 0.01 learn alike; integers of a file stay; an end in spikes learns."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from conftest import random_samples
from typer.testing import CliRunner

import tp_lava as tpl
from tp_lava import InvalidValueError
from tp_lava.circuit.formats import FixedPoint
from tp_lava.cli import app
from tp_lava.dynamics.surrogate import stretched
from tp_lava.graph.names import READOUT
from tp_lava.preparation import FineTuningWarning, choose_end, logit_size, prepare, with_room
from tp_lava.provenance import Provenance
from tp_lava.spiking_ends import ends_in_spikes, last_map_as_readout
from tp_lava.units import Units

N, H, C, T = 20, 16, 4, 25
RULE = tpl.TP(5e-3, 2e-3, contrast="all")


@pytest.fixture
def samples():
    return random_samples(np.random.default_rng(3), 12, N, C, T, 0.3)


def at(threshold, **options):
    """The same network, with potentials measured in another unit."""
    blank = tpl.Network.dense((N, H, C), tpl.LIF(0.9, **options), 0.9, recurrent=True, seed=1)
    blank = blank.with_weights({name: 1.5 * array for name, array in blank.weights.items() if name != READOUT})
    populations = [replace(p, neuron=replace(p.neuron, threshold=threshold)) for p in blank.populations]
    scaled = {name: np.float32(threshold) * array for name, array in blank.weights.items() if name != READOUT}
    return replace(blank, populations=tuple(populations), weights={**blank.weights, **scaled})


def tuned(network, samples, **options):
    return tpl.finetune(network, samples, samples, rule=RULE, epochs=2, **options)


@pytest.mark.parametrize("threshold", [80.0, 0.01])
def test_a_network_learns_alike_whatever_its_threshold(samples, threshold):
    one, other = tuned(at(1.0), samples, precision="float"), tuned(at(threshold), samples, precision="float")
    for events, _ in samples:
        for a, b in zip(one.learner.infer(events).spike_counts, other.learner.infer(events).spike_counts, strict=True):
            np.testing.assert_array_equal(a, b)
    started = at(1.0).weights
    for name, learned in one.network.weights.items():
        scale = 1.0 if name == READOUT else threshold
        assert np.abs(learned - started[name]).max() > 1e-3
        np.testing.assert_allclose(other.network.weights[name], scale * learned, rtol=1e-3, atol=1e-5 * scale)
    assert other.network.populations[0].neuron.threshold == pytest.approx(threshold)
    assert other.said
    assert not one.said


@pytest.mark.parametrize("threshold", [64.0, 2.0**-7])
def test_in_fixed_point_it_learns_the_same_integers(samples, threshold):
    one, other = tuned(at(1.0), samples), tuned(at(threshold), samples)
    for name, mantissas in one.learner.mantissas.items():
        np.testing.assert_array_equal(mantissas, other.learner.mantissas[name])
    for name, array in other.network.weights.items():
        np.testing.assert_array_equal(array, (1.0 if name == READOUT else threshold) * one.network.weights[name])


def held(threshold):
    """A network whose source holds whole numbers of weights, as SLAYER's files do."""
    network = at(threshold)
    whole = {name: np.rint(array) for name, array in network.weights.items() if name != READOUT}
    fixed = FixedPoint(weight_exponents=dict.fromkeys(whole, 0), membrane_frac=6)
    return replace(network.with_weights(whole), provenance=Provenance("test", fixed=fixed))


def test_integers_of_a_file_stay_integers(samples):
    network = held(80.0)
    given, made = tpl.Learner(network, precision="fixed"), prepare(network, RULE, "fixed", samples)
    learner = tpl.Learner(made.network, made.rule, made.precision)
    assert made.units.factors["hidden0"] == 2.0**-6
    assert made.units.residuals["hidden0"] == 1.25
    for name in ("hidden0", "recurrent0"):
        steps = 2.0 ** (given.exponents[name] - (learner.exponents[name] + 6))
        assert steps >= 1
        np.testing.assert_array_equal(learner.mantissas[name], given.mantissas[name] * steps)
    for events, _ in samples:
        np.testing.assert_array_equal(given.infer(events).spike_counts[0], learner.infer(events).spike_counts[0])
    assert made.rule.rates(made.network) == {"hidden0": RULE.rate * 1.25}
    assert made.network.populations[0].neuron.surrogate == tpl.ArcTan(1 / 1.25)


def test_what_was_quantised_keeps_its_formats(samples):
    q = tpl.quantise(at(80.0), samples, rule=RULE)
    made = prepare(q.network, RULE, q.fixed, samples)
    before, after = tpl.Learner(q.network, RULE, q.fixed), tpl.Learner(made.network, made.rule, made.precision)
    for name in q.network.weights:
        np.testing.assert_array_equal(before.mantissas[name], after.mantissas[name])
    for events, _ in samples:
        np.testing.assert_array_equal(before.infer(events).spike_counts[0], after.infer(events).spike_counts[0])


def test_finer_steps_only_where_weights_can_double():
    network = held(80.0)
    fine = with_room(FixedPoint(weight_exponents={"hidden0": 1, "recurrent0": 1}, membrane_frac=6), network, RULE)
    for name, exponent in fine.weight_exponents.items():
        assert 2 * np.abs(network.weights[name]).max() <= 127.5 * 2.0**exponent or exponent == 1
    frozen = with_room(FixedPoint(weight_exponents={"hidden0": 1}, membrane_frac=6), network, tpl.TP(0.0, 1e-3))
    assert frozen.weight_exponents == {"hidden0": 1}


@pytest.mark.parametrize("seed", range(6))
def test_units_change_no_spike(seed):
    rng = np.random.default_rng(seed)
    options = {"reset": "zero"} if seed % 2 else {"reset_by": rng.uniform(20, 90)}
    neuron = tpl.LIF(0.9, rng.uniform(30, 90), adaptation=rng.uniform(0, 9), current_decay=0.3 * (seed % 3), **options)
    network = tpl.Network.dense((N, H, 9, C), neuron, recurrent=[True, False], seed=seed)
    network = network.with_weights({n: 60 * w for n, w in network.weights.items()} | {"bias1": rng.normal(0, 3, 9)})
    for units in (Units.of(network), Units.of(network, powers=True, readout=0.25)):
        made = units.apply(network)
        for events, _ in random_samples(rng, 3, N, C, T, 0.3):
            before, after = tpl.Learner(network).infer(events), tpl.Learner(made).infer(events)
            for a, b in zip(before.spike_counts, after.spike_counts, strict=True):
                np.testing.assert_array_equal(a, b)
            np.testing.assert_allclose(after.scores, before.scores * units.factors[READOUT], rtol=1e-4, atol=1e-3)
        back = units.inverse().apply(made)
        for name, array in network.weights.items():
            np.testing.assert_allclose(back.weights[name], array, rtol=1e-6)
        assert back.populations[0].neuron.threshold == pytest.approx(neuron.threshold)


def test_standardised_weights_are_scaled_by_their_gain():
    network = tpl.Network.dense((N, H, C), tpl.LIF(0.9, threshold=8.0), seed=2)
    first, *others = network.connections
    network = replace(network, connections=(replace(first, standardisation=tpl.Standardisation(9.0)), *others))
    made = Units.of(network, powers=True).apply(network)
    np.testing.assert_array_equal(made.weights["hidden0"], network.weights["hidden0"])
    np.testing.assert_allclose(made.folded().weights["hidden0"], network.folded().weights["hidden0"] / 8, rtol=1e-6)


def test_surrogates_are_as_wide_as_the_threshold():
    d = np.linspace(0, 5, 50)
    for surrogate in (tpl.ArcTan(2.0), tpl.Triangle(0.4, 1.5), tpl.FastSigmoid(10.0)):
        np.testing.assert_allclose(stretched(surrogate, 3.0).profile(3.0 * d), surrogate.profile(d), atol=1e-12)
        assert stretched(surrogate, 1.0) is surrogate


def test_wrong_units():
    with pytest.raises(InvalidValueError, match=r"Units: hidden0 is 0\.0, but must be a finite number > 0"):
        Units({"hidden0": 0.0}, {})
    network = at(3.0)
    with pytest.raises(InvalidValueError, match="must be a power of two"):
        Units.of(network).fixed(FixedPoint(weight_exponents={"hidden0": -3}), network)


def test_scores_get_a_size_that_teaches(samples):
    network = at(1.0)
    large = network.with_weights({READOUT: 500 * network.weights[READOUT]})
    made = prepare(large, RULE, "float", samples)
    assert 1 < logit_size(made.network, RULE.readout, samples) < 4
    assert made.units.factors[READOUT] < 1
    learner, given = tpl.Learner(made.network), tpl.Learner(large)
    assert [learner.infer(e).prediction for e, _ in samples] == [given.infer(e).prediction for e, _ in samples]


# Ends in spikes -----------------------------------------------------------------------------------
def spiking(threshold=1.0, hidden=H):
    network = tpl.Network.dense((N, hidden, C, C), tpl.LIF(0.9, threshold=threshold), 0.9, seed=1)
    rng = np.random.default_rng(0)
    weights = {"hidden0": rng.normal(0.1, 0.4, (hidden, N)), "hidden1": rng.normal(0.05, 0.3, (C, hidden)), "bias1": np.full(C, 0.01)}
    weights = {name: threshold * array for name, array in weights.items()}
    return network.with_weights(weights | {READOUT: np.eye(C)})


def test_the_last_map_is_a_readout_of_the_same_drive(samples):
    network = spiking(80.0)
    assert ends_in_spikes(network)
    made = last_map_as_readout(network)
    assert len(made.populations) == 1
    for events, _ in samples:
        whole, mapped = tpl.Learner(network).infer(events, record=True), tpl.Learner(made).infer(events)
        drive = network.weights["hidden1"] @ whole.spikes[0].sum(axis=0) + T * network.weights["bias1"]
        np.testing.assert_allclose(mapped.scores, drive, rtol=1e-4)


def test_finetune_chooses_says_and_measures(samples):
    network = spiking()
    with warnings.catch_warnings():
        warnings.simplefilter("error", FineTuningWarning)
        done = tuned(network, samples, precision="float", ends="readout")
    assert done.said[0].startswith("hidden1: its map is the readout, and learns; ")
    assert done.before == tpl.Learner(network).evaluate(samples)
    assert len(done.network.populations) == 1
    kept = tuned(network, samples, precision="float", ends="spikes")
    assert len(kept.network.populations) == 2
    labelled = [(events, tpl.Learner(network).infer(events).prediction) for events, _ in samples]
    end = choose_end(network, "float", samples, labelled)
    assert "old samples 1.000 by spikes" in end.said[0]


def test_wishes_for_the_last_neurons_are_for_the_readout(samples):
    done = tuned(spiking(), samples, precision="float", ends="readout", freeze=["hidden1"])
    np.testing.assert_array_equal(done.network.weights[READOUT], spiking().weights["hidden1"])
    done = tpl.finetune(
        spiking(), samples, samples, rule=tpl.TP((1e-3, 1e-3)), epochs=1, precision="float", ends="readout", freeze="hidden0"
    )
    np.testing.assert_array_equal(done.network.weights["hidden0"], spiking().weights["hidden0"])


def test_it_warns_where_it_can_do_neither(samples):
    network = tpl.Network.dense((N, C, C), tpl.LIF(0.9), 0.9, seed=1).with_weights({READOUT: np.eye(C)})
    with pytest.warns(FineTuningWarning, match="hidden0: the network ends in spikes, and no single all-to-all map"):
        tuned(network, samples, precision="float")
    with pytest.raises(InvalidValueError, match="finetune: ends is 'both'"):
        tuned(network, samples, ends="both")


def test_what_counts_is_an_end_in_spikes():
    network = spiking()
    assert ends_in_spikes(network.with_weights({READOUT: 0.5 * np.eye(C)}))
    for other in (np.ones((C, C)), -np.eye(C), np.eye(C) + np.eye(C)[::-1] * 2):
        assert not ends_in_spikes(network.with_weights({READOUT: other}))


def test_the_command_says_what_was_done(tmp_path):
    network = tpl.Network.dense((512, 20, 10), tpl.LIF(0.98), seed=1)
    made = Units({"hidden0": 80.0}, {}).apply(network)
    tpl.save_network(made, tmp_path / "at80.tplava")
    arguments = ["finetune", str(tmp_path / "at80.tplava"), "--data", "digits", "--shots", "1", "--epochs", "1", "--sensor", "mirrored"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "hidden0: potentials and weights are multiplied by 0.0125" in done.output
