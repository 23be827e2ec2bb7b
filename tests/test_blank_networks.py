"""Networks that suit their data: rates after scaling, delay lines where time tells classes apart, and only there."""

import numpy as np
import pytest

import tp_lava as tpl
from tp_lava.blank_networks import FITS, RATE, suitable_span
from tp_lava.data.timing import time_in_data


def busy(rng, rate, n_units=30, n_steps=40, count=25):
    """Samples of so many spikes a unit and step; labels 0 to 2."""
    return [tpl.Sample(tpl.Events.from_dense(rng.random((n_steps, n_units)) < rate), i % 3) for i in range(count)]


def ordered(rng, n_units=10, n_steps=40, count=120):
    """Two classes of the same counts: units spike upwards or downwards."""
    samples = []
    for number in range(count):
        label, units = number % 2, np.arange(n_units)
        times = np.clip(units * 4 + rng.integers(0, 4, n_units), 0, n_steps - 1)
        samples.append(tpl.Sample(tpl.Events(times, units[::-1] if label else units, n_steps, n_units), label))
    return samples


def rates(network, samples):
    learner = tpl.Learner(network)
    return np.mean([[c.mean() / e.n_steps for c in learner.infer(e).spike_counts] for e, _ in samples], axis=0)


@pytest.mark.parametrize("rate", [0.004, 0.05, 0.6])
@pytest.mark.parametrize("recurrent", [False, True])
def test_every_layer_spikes_at_the_rate_that_is_asked_for(rate, recurrent):
    samples = busy(np.random.default_rng(0), rate)
    network = tpl.Network.dense((30, 60, 50, 3), tpl.LIF(0.9), 0.9, recurrent=recurrent)
    scaled = tpl.scaled_to_data(network, samples[:20])
    assert ((FITS[0] * RATE <= rates(scaled, samples[:20])) & (rates(scaled, samples[:20]) <= FITS[1] * RATE)).all()
    gains = scaled.weights["hidden1"] / network.weights["hidden1"]
    assert np.ptp(gains) < 1e-6
    assert np.array_equal(scaled.weights["readout"], network.weights["readout"])


def test_layers_that_fit_stay_as_they_are():
    samples = busy(np.random.default_rng(0), 0.05)
    once = tpl.scaled_to_data(tpl.Network.dense((30, 60, 3), tpl.LIF(0.9)), samples)
    again = tpl.scaled_to_data(once, samples)
    assert np.array_equal(once.weights["hidden0"], again.weights["hidden0"])


def test_a_network_that_no_gain_makes_spike_stays():
    samples = [tpl.Sample(tpl.Events([], [], 5, 4), 0)] * 3
    network = tpl.Network.dense((4, 6, 3))
    assert np.array_equal(tpl.scaled_to_data(network, samples).weights["hidden0"], network.weights["hidden0"])


def test_time_matters_where_only_the_order_tells_the_classes():
    told = time_in_data(ordered(np.random.default_rng(1)))
    assert told.matters
    assert told.parts > 0.9
    assert told.counts < 0.8


def test_time_does_not_matter_where_units_tell_the_classes():
    rng = np.random.default_rng(2)
    samples = [tpl.Sample(tpl.Events(rng.integers(0, 40, 30), rng.integers(0, 5, 30) + 5 * (i % 2), 40, 10), i % 2) for i in range(120)]
    assert not time_in_data(samples).matters
    assert suitable_span(samples) == 0


def test_delay_lines_come_with_data_that_need_them():
    samples = ordered(np.random.default_rng(1))
    network = tpl.network_for(samples, (20,))
    assert network.sizes == (10, 20, 2)
    assert network.connection("hidden0").delays.longest == 36
    assert network.connection("hidden0").delays.copies == 12
    assert tpl.network_for(samples, (20,), span=0).connection("hidden0").delays is None
    assert tpl.network_for(samples, (20,), span=2).connection("hidden0").delays.steps[::10] == (0, 1, 2)


def test_a_network_with_delay_lines_learns_the_order():
    samples = ordered(np.random.default_rng(1))
    learner = tpl.Learner(tpl.network_for(samples, (40,)), tpl.TP(3e-3, 1e-2, contrast=2))
    learner.fit(samples[:80], 6)
    assert learner.evaluate(samples[80:]) > 0.9


def test_too_few_samples_get_a_network_without_delays():
    assert tpl.network_for(ordered(np.random.default_rng(1))[:60], (5,)).connection("hidden0").delays is None


@pytest.mark.parametrize("rate", [0, 1, -0.1, float("nan"), "much"])
def test_refuses_rates(rate):
    with pytest.raises(tpl.InvalidValueError, match="scaled_to_data.*rate"):
        tpl.scaled_to_data(tpl.Network.dense((4, 6, 3)), [tpl.Sample(tpl.Events([], [], 5, 4), 0)], rate)


def test_refuses_no_samples():
    for refused in (lambda: tpl.scaled_to_data(tpl.Network.dense((4, 6, 3)), []), lambda: tpl.network_for([])):
        with pytest.raises(tpl.InvalidValueError, match="samples is empty"):
            refused()
    with pytest.raises(tpl.InvalidValueError, match=r"time_in_data: samples is 3.*at least 100"):
        time_in_data([tpl.Sample(tpl.Events([], [], 5, 4), 0)] * 3)
