"""What a Learner promises: determinism, the same from any side, nothing lost, memory that does not grow."""

import tracemalloc

import numpy as np
import pytest
from conftest import lively, random_events, random_samples

import tp_lava as tpl
from tp_lava.alignment import CACHE_LINE
from tp_lava.engine import COUNTERS

SIZES = (10, 8, 6, 4)
RULE = tpl.TP(0.02, 0.02, 3)
PRECISIONS = ["float", "fixed"]


@pytest.fixture
def network():
    return lively(tpl.Network.dense(SIZES, recurrent=True, seed=2), 2.5)


@pytest.fixture
def samples(rng):
    return random_samples(rng, 6, SIZES[0], SIZES[-1], rate=0.3)


def same(a, b):
    return all(np.array_equal(a.weights[name], b.weights[name]) for name in a.weights)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_same_seed_same_weights(precision, network, samples):
    learners = [tpl.Learner(network, RULE, precision, seed=7) for _ in range(2)]
    for learner in learners:
        learner.fit(samples, epochs=2)
    assert same(*learners)
    assert not same(learners[0], tpl.Learner(network, RULE, precision, seed=7))


def test_another_seed_draws_other_labels_and_other_roundings(network, samples):
    a, b = (tpl.Learner(network, RULE, "fixed", seed=seed) for seed in (1, 2))
    for learner in (a, b):
        for events, label in samples:
            learner.learn(events, label)
    assert not same(a, b)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_whole_sample_stepwise_and_in_pieces_are_the_same(precision, network, samples):
    whole, stepwise, pieces = (tpl.Learner(network, RULE, precision, seed=3) for _ in range(3))
    for events, label in samples:
        outcome = whole.learn(events, label)
        stepwise.begin(label)
        for step in range(events.n_steps):
            stepwise.step(events.units[events.offsets[step] : events.offsets[step + 1]])
        pieces.begin(label)
        cut = events.times < 5
        pieces.advance(tpl.Events(events.times[cut], events.units[cut], 5, events.n_units))
        pieces.advance(tpl.Events(events.times[~cut] - 5, events.units[~cut], events.n_steps - 5, events.n_units))
        for other in (stepwise, pieces):
            np.testing.assert_array_equal(other.outcome().scores, outcome.scores)
    assert same(whole, stepwise)
    assert same(whole, pieces)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_inference_changes_nothing_and_records_everything(precision, network, samples):
    learner = tpl.Learner(network, RULE, precision)
    before = {name: array.copy() for name, array in learner.weights.items()}
    events = samples[0].events if hasattr(samples[0], "events") else samples[0][0]
    plain, recorded = learner.infer(events), learner.infer(events, record=True)
    np.testing.assert_array_equal(plain.scores, recorded.scores)
    assert plain.spikes is None
    for layer, size in enumerate(SIZES[1:-1]):
        assert recorded.spikes[layer].shape == recorded.membranes[layer].shape == recorded.traces[layer].shape == (events.n_steps, size)
        np.testing.assert_array_equal(recorded.spikes[layer].sum(axis=0), recorded.spike_counts[layer])
        np.testing.assert_array_equal(plain.spike_counts[layer], recorded.spike_counts[layer])
    assert recorded.scores.shape == (SIZES[-1],)
    assert recorded.prediction == recorded.scores.argmax()
    assert all(np.array_equal(before[name], learner.weights[name]) for name in before)
    alone = tpl.Learner(network, precision=precision).infer(events)
    np.testing.assert_array_equal(alone.scores, plain.scores)


def test_recorded_traces_and_membranes_follow_their_equations(network, samples):
    recorded = tpl.Learner(network).infer(samples[1][0], record=True)
    layer = network.layers[0]
    trace, voltage = np.zeros(SIZES[1]), np.zeros(SIZES[1])
    dense, spikes = samples[1][0].to_dense(), np.zeros(SIZES[1])
    for step in range(len(dense)):
        pre = layer.neuron.decay * voltage + network.weights["hidden0"] @ dense[step] + network.weights["recurrent0"] @ spikes
        spikes = pre >= layer.neuron.threshold
        voltage, trace = pre - layer.neuron.threshold * spikes, layer.trace_decay * trace + spikes
        np.testing.assert_array_equal(recorded.spikes[0][step], spikes)
        np.testing.assert_allclose(recorded.membranes[0][step], voltage, atol=1e-5)
        np.testing.assert_allclose(recorded.traces[0][step], trace, rtol=1e-5)


def test_outcomes_do_not_change_afterwards(network, samples):
    learner = tpl.Learner(network)
    first = learner.infer(samples[0][0])
    kept = first.scores.copy(), first.spike_counts[0].copy()
    learner.infer(samples[1][0])
    np.testing.assert_array_equal(first.scores, kept[0])
    np.testing.assert_array_equal(first.spike_counts[0], kept[1])


def test_weights_are_physical_and_mantissas_explain_them(network, samples):
    learner = tpl.Learner(network, RULE, "fixed")
    learner.fit(samples)
    for name, weights in learner.weights.items():
        mantissas = learner.mantissas[name]
        assert (weights.dtype, mantissas.dtype) == (np.float32, np.int8)
        assert weights.shape == mantissas.shape == network.shapes.get(name, (8, 4))
        np.testing.assert_array_equal(weights, mantissas * 2.0 ** learner.exponents[name])
    assert set(learner.weights) == {"hidden0", "recurrent0", "hidden1", "recurrent1", "target", "readout"}
    with pytest.raises(KeyError, match="'hidden9'; there are hidden0"):
        learner.weights["hidden9"]
    with pytest.raises(tpl.InvalidValueError, match='mantissas is of a float learner.*use precision="fixed"'):
        _ = tpl.Learner(network).mantissas


def test_quantised_weights_are_the_nearest(network):
    learner = tpl.Learner(network, precision="fixed")
    for name, weights in learner.weights.items():
        assert np.abs(weights - network.weights[name]).max() <= 2.0 ** learner.exponents[name] / 2


def test_learning_can_be_switched_off_and_on(network, samples):
    learner = tpl.Learner(network, RULE)
    learner.learning = False
    learner.fit(samples)
    np.testing.assert_array_equal(learner.weights["hidden0"], network.weights["hidden0"])
    learner.learning = True
    learner.fit(samples)
    assert not np.array_equal(learner.weights["hidden0"], network.weights["hidden0"])


def test_another_rule_goes_on_with_the_same_weights(network, samples):
    learner = tpl.Learner(network, RULE, "fixed")
    learner.fit(samples)
    before = learner.weights["hidden0"].copy()
    learner.rule = tpl.TP(0.0, 0.0, 3)
    np.testing.assert_array_equal(learner.weights["hidden0"], before)
    learner.fit(samples)
    np.testing.assert_array_equal(learner.weights["hidden0"], before)
    with pytest.raises(tpl.InvalidValueError, match="contrast is 9"):
        learner.rule = tpl.TP(contrast=9)
    assert learner.rule == tpl.TP(0.0, 0.0, 3)


def test_network_of_a_learner_can_start_another(network, samples):
    learner = tpl.Learner(network, RULE)
    learner.fit(samples)
    np.testing.assert_array_equal(tpl.Learner(learner.network).infer(samples[0][0]).scores, learner.infer(samples[0][0]).scores)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_batches_share_weights_with_single_samples(precision, network, samples):
    learner = tpl.Learner(network, tpl.TP(0.2, 0.2, 3), precision)
    outcomes = learner.learn_batch([events for events, _ in samples[:3]], [label for _, label in samples[:3]])
    assert len(outcomes) == 3
    assert outcomes[0].scores.shape == (SIZES[-1],)
    after = learner.weights["hidden0"].copy()
    assert not np.array_equal(after, network.weights["hidden0"])
    learner.learn(*samples[0])
    assert not np.array_equal(after, learner.weights["hidden0"])
    assert learner.samples_seen == 4


def test_batches_of_unequal_length_end_in_silence(network, rng):
    short, long = random_events(rng, SIZES[0], 8, 0.3), random_events(rng, SIZES[0], 14, 0.3)
    padded = tpl.Events(short.times, short.units, 14, SIZES[0])
    a, b = tpl.Learner(network, RULE), tpl.Learner(network, RULE)
    a.learn_batch([short, long], [0, 1])
    b.learn_batch([padded, long], [0, 1])
    assert same(a, b)


def test_fit_reports_and_evaluate_counts(network, samples):
    learner = tpl.Learner(network, RULE)
    assert len(learner.fit(samples, epochs=3)) == 3
    assert learner.epochs_done == 3
    right = sum(learner.infer(events).prediction == label for events, label in samples)
    assert learner.evaluate(samples) == right / len(samples)


def test_progress_bars_leave_results_alone(network, samples, capsys):
    a, b = tpl.Learner(network, RULE), tpl.Learner(network, RULE)
    a.fit(samples, progress=True)
    b.fit(samples)
    assert same(a, b)
    assert capsys.readouterr().out == ""


def test_events_may_be_read_lazily(network, samples):
    class Lazy:
        def __init__(self):
            self.read = []

        def __len__(self):
            return len(samples)

        def __getitem__(self, index):
            self.read.append(index)
            return samples[index]

    lazy, learner = Lazy(), tpl.Learner(network, RULE)
    learner.fit(lazy)
    assert sorted(lazy.read) == list(range(len(samples)))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_sample_ten_times_as_long_takes_the_same_memory(precision, rng):
    network = tpl.Network.dense((200, 100, 10))
    learner = tpl.Learner(network, tpl.TP(), precision)
    peaks = []
    for steps in (100, 1000):
        events = random_events(rng, 200, steps, 0.01)
        learner.learn(events, 3)
        tracemalloc.start()
        learner.learn(events, 3)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 20_000  # one more row of hidden states alone would be 360 000


def test_silent_and_empty_samples(network):
    learner = tpl.Learner(network, RULE, "fixed")
    outcome = learner.learn(tpl.Events([], [], 5, SIZES[0]), 1)
    assert outcome.spike_counts[0].sum() == 0
    np.testing.assert_array_equal(outcome.scores, 0)


@pytest.mark.parametrize("precision", ["float", "fixed"])
def test_every_array_begins_where_a_cache_line_does(precision):
    learner = tpl.Learner(tpl.Network.dense((37, 19, 5)), tpl.TP(contrast=2), precision)
    learner.rule = tpl.TESS(basis="walsh")
    for name, array in learner.memory.items():
        if name not in COUNTERS:
            assert array.__array_interface__["data"][0] % CACHE_LINE == 0, name
