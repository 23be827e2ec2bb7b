"""quantise: what it gives is exactly what will be held, its report is right, and it says what it costs."""

import json
import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
from conftest import lively, random_events
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from test_connections import spatial_network
from test_graph import graph

import tp_lava as tpl
from tp_lava import InvalidValueError, QuantisationWarning, plots
from tp_lava.backends.layerwise import Batch, simulate
from tp_lava.circuit.formats import REAL, plan
from tp_lava.numbers import Format
from tp_lava.quantisation import HeldDecay
from tp_lava.quantisation.search import head_room, signal_to_noise, spike_agreement

SEEDS = st.integers(0, 2**32 - 1)


def random_network(rng):
    """Dense or convolutional, sometimes recurrent, with biases, of any neuron."""
    neuron = tpl.LIF(
        float(rng.choice([0.8, 0.95, 1.0])),
        float(rng.choice([0.7, 1.0, 1.6])),
        str(rng.choice([">", ">="])),
        current_decay=float(rng.choice([0.0, 0.5])),
        reset_by=None if rng.random() < 0.5 else 0.9,
        bias_to=str(rng.choice(["membrane", "current"])),
    )
    if rng.random() < 0.4:
        return spatial_network(rng, neuron, readout_decay=float(rng.choice([1.0, 0.9])))
    network = lively(tpl.Network.dense((12, 10, 8, 3), neuron, 0.9, [bool(rng.integers(2)), bool(rng.integers(2))], int(rng.integers(99))))
    biases = {name: rng.normal(0, 0.1, network.shapes[name]) for name in ("bias0", "readout_bias") if rng.random() < 0.5}
    return replace(network.with_weights(biases), readout_decay=float(rng.choice([1.0, 0.9])))


def recordings(rng, network, count=4):
    return [random_events(rng, network.n_inputs, int(rng.integers(6, 14)), 0.3) for _ in range(count)]


@settings(max_examples=20)
@given(SEEDS)
def test_weights_are_exactly_what_is_held(seed):
    rng = np.random.default_rng(seed)
    network, bits = random_network(rng), int(rng.integers(2, 9))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", QuantisationWarning)
        q = tpl.quantise(network, recordings(rng, network), weight_bits=bits, calibration=3, seed=seed)
    learner = tpl.Learner(q.network, None, q.fixed)
    assert set(q.network.weights) == set(network.weights)
    for name, weights in q.network.weights.items():
        np.testing.assert_array_equal(learner.weights[name], weights, name)
    for connection in q.report.connections:
        mantissas = np.ldexp(q.network.weights[connection.name].astype(float), -connection.exponent)
        assert np.array_equal(mantissas, np.rint(mantissas))
        assert np.abs(mantissas).max() <= 2 ** (bits - 1) - 1
        assert (connection.bits, q.fixed.weight_exponents[connection.name]) == (bits, connection.exponent)
    plan(q.network, tpl.TP(0.0, 1e-3, 2), q.fixed)


def pooled_network(neuron=None, **options):
    """Averages that feed back, weights of each position, a maximum."""
    layers = [
        tpl.Conv2d(3, 3, padding=1, gain=3, recurrent=True),
        tpl.AvgPool2d((3, 2)),
        tpl.LocalConv2d(4, 2, gain=6),
        tpl.MaxPool2d((1, 2)),
    ]
    return tpl.Network.sequential((1, 6, 6), layers, 3, neuron, seed=2, **options)


def graded(rng, events):
    return tpl.Events(events.times, events.units, events.n_steps, events.n_units, rng.integers(-8, 8, len(events)) / 8)


NETWORKS = {
    "recurrent": lambda rng, neuron: lively(tpl.Network.dense((12, 10, 3), neuron, 0.9, True)),
    "convolution": lambda rng, neuron: spatial_network(rng, neuron, readout_decay=0.9),
    "pooled": lambda rng, neuron: pooled_network(neuron, input_format=Format(5, 3)),
    "graph": lambda rng, neuron: graph(recurrent=[("again", "top", "top")], neuron=neuron),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_layers_alone_equal_the_learner(kind):
    rng = np.random.default_rng(5)
    neuron = tpl.LIF(0.9, 0.8, current_decay=0.4, bias_to="current")
    network = NETWORKS[kind](rng, neuron)
    network = network.with_weights(
        {name: rng.normal(0, 0.1, network.shapes[name]) for name in (network.populations[0].bias, "readout_bias")}
    )
    events = recordings(rng, network)
    events = [graded(rng, sample) for sample in events] if network.input_format else events
    q = tpl.quantise(network, events)
    for learner, formats in ((tpl.Learner(q.network, None, q.fixed), plan(q.network, None, q.fixed)), (tpl.Learner(network), REAL)):
        found = simulate(q.network if formats else network, formats, Batch.of(events))
        for row, sample in enumerate(events):
            told = learner.infer(sample, record=True)
            for run, spikes in zip(found.layers, told.spikes, strict=True):
                np.testing.assert_array_equal(run.spikes[: sample.n_steps, row], spikes)
                assert not run.spikes[sample.n_steps :, row].any()
            np.testing.assert_allclose(found.scores[row], told.scores, rtol=0 if formats else 1e-5, atol=0 if formats else 1e-5)


def test_networks_that_pool_are_searched(rng):
    network = pooled_network()
    events = recordings(rng, network)
    q = tpl.quantise(network, events, rule=tpl.TESS(0.1, basis="walsh"))
    assert [layer.neurons for layer in q.report.layers] == [108, 8]
    assert all(layer.agreement > 0.4 for layer in q.report.layers)  # what feeds back parts them
    assert q.report.connections[2].name == "hidden1"
    assert q.report.ranges.learning


def test_graphs_are_searched_and_feedback_is_refused(rng):
    network = graph(recurrent=[("again", "top", "top")])
    q = tpl.quantise(network, recordings(rng, network), rule=tpl.TP(contrast=2))
    assert [layer.name for layer in q.report.layers] == ["left", "right", "top"]
    assert all(layer.agreement > 0.8 for layer in q.report.layers[:2])
    assert set(q.fixed.weight_exponents) >= {"left", "right", "top", "right_to_top", "skip", "again", "readout"}
    assert {row.split()[1] for row in str(q.report).splitlines() if "s24" in row} == {"left", "right", "top"}
    with pytest.raises(InvalidValueError, match="Layer by layer: down is fed back from top, but must be from a layer computed before"):
        tpl.quantise(graph(), recordings(rng, graph()))


def test_the_report_is_right_by_hand():
    """One neuron a class; input 0 drives neuron 0 alone, with 1 a step."""
    weights = {"hidden0": [[1.0, 0.0], [0.1, 0.26]], "readout": np.eye(2)}
    network = tpl.Network.of_layers(2, (tpl.Layer(2, tpl.LIF(0.5, 1.0)),), 2, weights)
    events = tpl.Events([0, 1, 2, 3], [0, 0, 0, 0], 4, 2)
    q = tpl.quantise(network, [(events, 0), (events, 1), events], weight_bits=4, room_to_learn=1)
    (hidden, readout), (layer,) = q.report.connections, q.report.layers
    assert (hidden.bits, hidden.exponent, hidden.clipped, hidden.largest) == (4, -2, 0.0, 1.0)
    np.testing.assert_array_equal(q.network.weights["hidden0"], np.float32([[1.0, 0.0], [0.0, 0.25]]))
    assert hidden.noise_db == pytest.approx(10 * math.log10((1 + 0.1**2 + 0.26**2) / (0.1**2 + 0.01**2)), rel=1e-5)
    assert readout.noise_db == math.inf
    # Neuron 0 spikes at every step: pre = 0.5 * 0 + 1; neuron 1 gathers 0.1 * (1 + 1/2 + ...) in float, nothing in fixed point.
    assert (layer.spikes, layer.dead, layer.saturated) == ((12, 12), (1, 1), (1, 1))
    assert (layer.agreement, layer.equal) == (1.0, 1.0)
    assert (layer.membrane_bits, layer.membrane_frac, layer.threshold_mantissa, layer.threshold_bits) == (24, 14, 2**14, 15)
    assert layer.head_room == pytest.approx(math.log2((2**23 - 1) / 2**14))
    assert layer.decays["decay"] == HeldDecay(0.5, 2048, 0.0)
    assert layer.decays["trace_decay"].mantissa == 4014
    assert layer.decays["trace_decay"].tau_error == pytest.approx(math.log(0.98) / math.log(4014 / 4096) - 1)
    assert (q.report.samples, q.report.labelled, q.report.accuracy, q.report.agreement) == (3, 2, (0.5, 0.5), 1.0)
    assert HeldDecay.of(1.0, "x") == HeldDecay(1.0, 4096, None)
    assert HeldDecay.of(1e-5, "x") == HeldDecay(1e-5, 0, -1.0)


def test_measures():
    a, b = np.array([True, True, False, False]), np.array([True, False, True, False])
    assert spike_agreement(a, b) == pytest.approx(1 / 3)
    assert spike_agreement(a & False, a & False) == 1.0
    assert signal_to_noise(np.array([3.0, 0.4]), Format(3, 0)) == pytest.approx(10 * math.log10(9.16 / 0.16))
    assert head_room(0.0, Format(24, 14)) == math.inf


def test_the_report_is_shown(rng):
    network = lively(tpl.Network.dense((12, 10, 8, 3), seed=2))
    report = tpl.quantise(network, [(events, 1) for events in recordings(rng, network)]).report
    text, plain = str(report), report.to_dict()
    for word in ("hidden0", "hidden1", "readout", "2^", "s24.", "4014/4096", "4 samples", "accuracy"):
        assert word in text
    assert report.table().row_count == 3
    assert json.loads(json.dumps(plain, allow_nan=False)) == json.loads(json.dumps(plain))
    assert plain["layers"][0]["spikes"] == list(report.layers[0].spikes)
    axes = plots.quantisation(Figure().subplots(), report)
    assert [patch.get_width() for patch in axes.patches[:2]] == [layer.agreement for layer in report.layers]


def test_outliers_are_clipped_where_that_agrees_better(rng):
    """One weight that no sample uses needs all the range that the others share."""
    network = lively(tpl.Network.dense((21, 16, 3), tpl.LIF(0.9), seed=1))
    weights = network.weights["hidden0"].copy()
    weights[:, 20] = 0.0
    weights[0, 20] = 8 * np.abs(weights).max()
    outlier = network.with_weights({"hidden0": weights})
    events = [tpl.Events.from_dense((rng.random((15, 21)) < 0.25) & (np.arange(21) < 20)) for _ in range(6)]
    clipped = tpl.quantise(outlier, events, weight_bits=4)
    held = tpl.quantise(outlier, events, weight_bits=4, room_to_learn=1)
    assert clipped.report.connections[0].clipped == pytest.approx(1 / weights.size)
    assert held.report.connections[0].clipped == 0
    assert clipped.fixed.weight_exponents["hidden0"] <= held.fixed.weight_exponents["hidden0"] - 2
    assert clipped.report.layers[0].agreement > held.report.layers[0].agreement + 0.1


def test_room_to_learn(rng):
    network = lively(tpl.Network.dense((12, 10, 8, 3), recurrent=(False, True), seed=2))
    events, rule = recordings(rng, network), tpl.TP((0.0, 1e-3), 1e-3, 2)
    largest = {name: float(np.abs(weights).max()) for name, weights in network.weights.items()}

    def reach(name, **options):
        fixed = tpl.quantise(network, events, **options).fixed
        return Format(fixed.bits(name), -fixed.weight_exponents[name]).largest / largest[name]

    for name in ("hidden1", "recurrent1", "readout"):
        assert reach(name, rule=rule) >= 2
        assert reach(name, rule=rule, room_to_learn=5.0) >= 5
        assert reach(name, room_to_learn=3.0) >= 3
    assert reach("hidden0", rule=rule, room_to_learn=100.0) < 8  # does not learn
    q = tpl.quantise(network, events, rule=rule)
    assert tpl.Learner(q.network, rule, q.fixed).exponents["hidden1"] == q.fixed.weight_exponents["hidden1"]


@pytest.mark.parametrize("bits", [4, 6])
def test_room_of_trained_weights_is_not_that_of_blank_ones(rng, bits):
    """A Learner keeps a weight of 1 for a blank readout; a trained one of small weights would be rounded away in it."""
    network = lively(tpl.Network.dense((12, 10, 3), seed=2))
    small = network.with_weights({"readout": np.float32(0.05) * network.weights["readout"]})
    events, rule, largest = recordings(rng, network), tpl.TP(contrast=2), float(np.abs(small.weights["readout"]).max())
    trained = tpl.quantise(small, events, rule=rule, weight_bits=bits).fixed.weight_exponents["readout"]
    assert trained == math.ceil(math.log2(2 * largest / (2 ** (bits - 1) - 1)))
    blank = network.with_weights({"readout": np.zeros_like(network.weights["readout"])})
    wanted = tpl.Learner(blank, rule, tpl.FixedPoint(weight_bits=bits)).exponents["readout"]
    assert tpl.quantise(blank, events, rule=rule, weight_bits=bits).fixed.weight_exponents["readout"] == wanted > trained


def test_bits_are_searched_for(rng):
    network = lively(tpl.Network.dense((12, 10, 8, 3), seed=2))
    events = recordings(rng, network, 8)
    bits = {accept: tpl.quantise(network, events, weight_bits="search", accept=accept).fixed.weight_bits for accept in (1.0, 0.9, 0.01)}
    assert sum(bits[1.0].values()) >= sum(bits[0.9].values()) > sum(bits[0.01].values())
    assert {bits[0.01][name] for name in ("hidden0", "hidden1")} == {2}
    by_name = tpl.quantise(network, events, weight_bits={"hidden1": 3}).fixed
    assert (by_name.bits("hidden0"), by_name.bits("hidden1")) == (8, 3)


def test_digits_in_eight_bits_and_in_two():
    train, test = tpl.data.digits()
    learner = tpl.Learner(tpl.Network.dense((512, 60, 10), seed=0), tpl.TP(7e-4, contrast=4))
    learner.fit(train[:400], 2)
    network, samples = learner.network, test[:80]
    eight, two = (tpl.quantise(network, samples, weight_bits=bits) for bits in (8, 2))
    before, after = eight.report.accuracy
    assert before == learner.evaluate(samples)
    assert before > 0.6
    assert after >= before - 0.05
    assert after == tpl.Learner(eight.network, None, eight.fixed).evaluate(samples)
    assert eight.report.layers[0].agreement > 0.8
    assert two.report.layers[0].agreement < 0.5
    assert two.report.accuracy[1] == tpl.Learner(two.network, None, two.fixed).evaluate(samples)
    assert two.report.accuracy[1] < before


def test_a_silent_layer_is_told():
    """A weight of 0.3 is lost beside one of 1000 that must be held; the layer above never spikes on its own."""
    weights = {"hidden0": [[0.3, 0.0], [0.0, 1000.0]], "readout": np.eye(2)}
    network = tpl.Network.of_layers(2, (tpl.Layer(2, tpl.LIF(0.9, 1.0)),), 2, weights)
    events = tpl.Events(np.arange(20), np.zeros(20, int), 20, 2)
    with pytest.warns(QuantisationWarning, match=r"hidden0 spikes \d+ times in float and never in fixed point; give it more weight_bits"):
        q = tpl.quantise(network, [events], weight_bits=4, room_to_learn=1)
    assert q.report.layers[0].dead == (1, 2)
    with pytest.warns(QuantisationWarning, match="hidden0 never spikes in float"):
        tpl.quantise(network, [tpl.Events([], [], 5, 2)])
    assert tpl.quantise(network, [events], weight_bits=4).report.layers[0].spikes[1] > 0  # the outlier is clipped instead


def test_head_room_is_made():
    """Strong inhibition that the planned binary point would cut."""
    weights = {"hidden0": [[-40.0, 2.0], [1.0, 1.0]], "readout": np.eye(2)}
    network = tpl.Network.of_layers(2, (tpl.Layer(2, tpl.LIF(0.999, 1.0)),), 2, weights)
    events = tpl.Events.from_dense(np.tile([1, 1], (60, 1)))
    q = tpl.quantise(network, [events])
    assert q.fixed.membrane_frac["hidden0"] == 10
    assert 1 <= q.report.layers[0].head_room < 2
    fine = tpl.Network.of_layers(2, (tpl.Layer(2, tpl.LIF(0.999, 2.0**-10)),), 2, weights)  # whose threshold needs 10 bits
    with pytest.warns(QuantisationWarning, match="hidden0 has membranes that saturate; use fewer weight_bits"):
        longer = tpl.quantise(fine, [tpl.Events.from_dense(np.tile([1, 1], (260, 1)))])
    assert longer.report.layers[0].head_room < 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": 3}, "quantise: network is 3, but must be a Network"),
        ({"samples": []}, "quantise: samples is empty, but must be at least one sample"),
        ({"samples": [3]}, "quantise: samples is of int, but must be Events or"),
        ({"samples": [tpl.Events([], [], 5, 7)]}, "sample: events is of 7 units"),
        ({"samples": [(tpl.Events([], [], 5, 4), 9)]}, r"sample: label is 9, but must be an integer in \[0, 3\)"),
        ({"weight_bits": 9}, "quantise: weight_bits is 9, but must be an integer in 2..8"),
        ({"weight_bits": {"hidden0": 1}}, "FixedPoint: weight_bits is .* but must be an integer in 2..8"),
        ({"weight_bits": {"hidden7": 4}}, r"FixedPoint: weight_bits is \['hidden7'\], but must be for names among"),
        ({"rule": "tp"}, "quantise: rule is 'tp', but must be a rule or None"),
        ({"room_to_learn": 0.5}, "quantise: room_to_learn is 0.5, but must be a number of at least 1"),
        ({"accept": 0}, r"quantise: accept is 0, but must be a number in \(0, 1\]"),
        ({"calibration": 0}, "quantise: calibration is 0, but must be a positive integer"),
        ({"seed": -1}, "seed: value is -1"),
    ],
)
def test_what_cannot_be_quantised(options, message):
    given = {"network": tpl.Network.dense((4, 5, 3)), "samples": [tpl.Events([0], [0], 5, 4)], **options}
    with pytest.raises(InvalidValueError, match=message):
        tpl.quantise(given.pop("network"), given.pop("samples"), **given)


def test_a_decay_that_does_not_fit_is_refused():
    network = tpl.Network.dense((4, 5, 3), tpl.LIF(0.99999))
    with pytest.raises(tpl.NumberRangeError, match=r"hidden0.decay: decay is 0.99999, which rounds to 4096/4096"):
        tpl.quantise(network, [tpl.Events([0], [0], 5, 4)])


def test_a_score_that_long_samples_could_saturate_is_told():
    """A bias that learns may fill its register, and would fill the score's in 127 steps."""
    network = tpl.Network.dense((4, 5, 3), tpl.LIF(0.9, 0.2))
    network = network.with_weights({**network.weights, "readout_bias": np.full(3, 0.1, np.float32)})
    samples = [tpl.Events.from_dense(np.ones((300, 4), bool))]
    with pytest.warns(QuantisationWarning, match="readout: score reaches .* within 300 steps.* at most 127 steps a sample.* worst case"):
        q = tpl.quantise(network, samples, rule=tpl.TP(contrast="all"))
    assert [entry.name for entry in q.report.ranges.problems] == ["score"]
    learner = tpl.Learner(q.network, tpl.TP(contrast="all"), q.fixed)
    learner.memory["readout_bias"][...] = 2**23 - 1
    learner.infer(samples[0])
    assert learner.memory["score"].tolist() == [[learner.circuits[0].buffers["score"].format.high] * 3]


def test_frozen_layers_need_no_room_to_learn():
    """As `finetune` is told, so is `quantise`: a layer that keeps its weights has their full resolution."""
    network = tpl.Network.dense((8, 6, 3), seed=1)
    rng = np.random.default_rng(0)
    samples = [tpl.Events.from_dense((rng.random((12, 8)) < 0.4).astype(np.float32)) for _ in range(3)]
    options = {"rule": tpl.TP(1e-3, 1e-3, contrast=2), "check_ranges": False}
    free, kept = (tpl.quantise(network, samples, **options, freeze=freeze) for freeze in ((), ["hidden0"]))
    assert kept.fixed.weight_exponents["hidden0"] <= free.fixed.weight_exponents["hidden0"]
    with pytest.raises(tpl.InvalidValueError, match="quantise: freeze is .* left out without a rule"):
        tpl.quantise(network, samples, freeze=["hidden0"])
