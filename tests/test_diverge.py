"""diverge: forms that are the same agree, and a planted difference is found at its step, layer and neuron, with its cause."""

import math
from dataclasses import replace

import numpy as np
import pytest
from conftest import lively, random_events
from test_connections import spatial_network
from test_graph import graph
from test_quantise import pooled_network

import tp_lava as tpl
from tp_lava import InvalidValueError, diverge
from tp_lava.divergence.forms import form_of, rounded, rounded_decays
from tp_lava.divergence.replay import incoming
from tp_lava.graph.connections import Convolution
from tp_lava.numbers import Format


@pytest.fixture(scope="module")
def network():
    neuron = tpl.LIF(0.9, 1.0, current_decay=0.5)
    network = lively(tpl.Network.dense((12, 10, 8, 4), neuron, 0.9, (True, False), seed=1), 2.5)
    rng = np.random.default_rng(2)
    return network.with_weights({name: rng.normal(0, 0.05, network.shapes[name]) for name in ("bias0", "readout_bias")})


@pytest.fixture(scope="module")
def recordings():
    rng = np.random.default_rng(3)
    return [random_events(rng, 12, 20, 0.2) for _ in range(4)]


@pytest.fixture(scope="module")
def quantised(network, recordings):
    return tpl.quantise(network, recordings)


def changed(network, number, **options):
    """The network with another neuron in one layer."""
    populations = list(network.populations)
    populations[number] = replace(populations[number], neuron=replace(populations[number].neuron, **options))
    return replace(network, populations=tuple(populations))


def first_step(a, b, recordings, what, number):
    """(sample, step, neuron) of the first difference of what two learners record in one layer."""
    for index, events in enumerate(recordings):
        told = [getattr(learner.infer(events, record=True), what)[number] for learner in (a, b)]
        differ = np.argwhere(~np.isclose(told[0], told[1], atol=1e-3))
        if len(differ):
            return index, *map(int, differ[0])
    raise AssertionError("no difference")


def test_equal_forms_agree(network, recordings, quantised):
    assert diverge(network, tpl.Learner(network), recordings) is None
    assert diverge(quantised, quantised, [(events, 1) for events in recordings], tolerance=0) is None
    assert (
        diverge(quantised.network, quantised, recordings) is None or "rounding" in diverge(quantised.network, quantised, recordings).cause
    )


def test_torch_agrees_with_the_engine(network, recordings):
    pytest.importorskip("torch")
    from tp_lava import torch as tt

    assert diverge(tt.SpikingNetwork(network), network, recordings) is None
    weights = network.weights["hidden0"].copy()
    weights[2, 3] += 0.2
    found = diverge(network, tt.SpikingNetwork(network.with_weights({"hidden0": weights})), recordings)
    assert (found.layer, found.neuron, found.forms) == ("hidden0", 2, ("engine (float)", "PyTorch"))


@pytest.mark.parametrize("layers", [False, True], ids=["fused", "layers"])
@pytest.mark.parametrize("tag", ["fixed_pt", "floating_pt"])
def test_lava_agrees_with_the_engine(tag, layers, network, recordings, quantised):
    form = quantised if tag == "fixed_pt" else network
    tolerance = 0 if tag == "fixed_pt" else None
    in_lava = tpl.InLava(form, tag, layers)
    assert diverge(form, in_lava, recordings[:2], tolerance=tolerance) is None
    if not layers:
        other = changed(form if tag == "floating_pt" else form.network, 1, threshold=1.25)
        engine = other if tag == "floating_pt" else tpl.Learner(other, None, quantised.fixed)
        found = diverge(in_lava, engine, recordings[:2])
        assert found.cause == "different thresholds: 1 and 1.25"
        assert found.forms[0] == f"Lava ({tag})"


PLANTED = {
    "threshold": ({"threshold": 1.1}, "different thresholds: 1 and 1.1"),
    "decay": ({"decay": 0.85}, "different decays: 0.9 and 0.85"),
    "current decay": ({"current_decay": 0.4}, "different current decays: 0.5 and 0.4"),
    "reset": ({"reset": "zero"}, 'different reset: "subtract" and "zero"'),
    "amount": ({"reset_by": 0.8}, "different amount subtracted by a spike: 1 and 0.8"),
}


@pytest.mark.parametrize("case", PLANTED)
def test_a_planted_constant_is_found(case, network, recordings):
    options, cause = PLANTED[case]
    one, other = tpl.Learner(network), tpl.Learner(changed(network, 1, **options))
    found = diverge(one, other, recordings)
    assert (found.layer, found.cause) == ("hidden1", cause)
    assert (found.sample, found.step, found.neuron) == first_step(one, other, recordings, "membranes", 1)
    assert cause in str(found)


def test_a_planted_weight_is_found(network, recordings):
    for name, layer in (("hidden1", "hidden1"), ("recurrent0", "hidden0"), ("bias0", "hidden0"), ("readout", "readout")):
        weights = network.weights[name].copy()
        where = (3, 4) if weights.ndim == 2 else (3,)
        weights[where] += 0.1
        one, other = tpl.Learner(network), tpl.Learner(network.with_weights({name: weights}))
        found = diverge(one, other, recordings)
        assert (found.layer, found.neuron) == (layer, 3)
        assert f"different weights: {name}[{', '.join(map(str, where))}] is" in found.cause
        if layer == "readout":
            assert (found.quantity, found.step) == ("score", 19)
            assert "class 3: its score is" in str(found)
        else:
            assert (found.sample, found.step, 3) == first_step(one, other, recordings, "membranes", int(layer[-1]))
            assert found.quantity == "membrane"
            assert found.values[0] != found.values[1]


def test_a_planted_weight_is_found_in_fixed_point(quantised, recordings):
    weights = quantised.network.weights["hidden0"].copy()
    weights[5, 6] += 2.0 ** quantised.fixed.weight_exponents["hidden0"] * (-1 if weights[5, 6] > 0 else 1)
    found = diverge(
        quantised, tpl.Learner(quantised.network.with_weights({"hidden0": weights}), None, quantised.fixed), recordings, tolerance=0
    )
    assert (found.layer, found.neuron) == ("hidden0", 5)
    first = next(index for index, events in enumerate(recordings) if 6 in events.units)
    assert (found.sample, found.step) == (first, int(recordings[first].times[recordings[first].units == 6][0]))


def test_a_value_changed_in_memory_is_found(network, recordings):
    """What is compared is what is held, not what was asked for."""
    learner = tpl.Learner(network)
    learner.memory["hidden1_decay"][...] = 0.7
    assert diverge(network, learner, recordings).cause == "different decays: 0.9 and 0.7"


def two_neurons(hidden, neuron):
    """Two inputs, two neurons, no surprises."""
    weights = {"hidden0": hidden, "readout": np.eye(2)}
    return tpl.Network.of_layers(2, (tpl.Layer(2, neuron),), 2, weights)


def test_a_membrane_that_meets_the_threshold():
    network, events = two_neurons(np.full((2, 2), 1.0), tpl.LIF(0.5, 1.0)), tpl.Events([1], [0], 3, 2)
    strict = diverge(network, changed(network, 0, comparison=">"), [events])
    assert strict.cause == 'different comparison: ">=" and ">", and the membrane meets the threshold'
    assert (strict.step, strict.neuron, strict.quantity, strict.values) == (1, 0, "spike", (1.0, 0.0))
    assert strict.membranes == strict.threshold[:1] * 2 == (1.0, 1.0)
    # Less by what float32 sums in another order may differ by.
    below = network.with_weights({"hidden0": np.full((2, 2), np.nextafter(np.float32(1), np.float32(0)))})
    found = diverge(network, below, [events])
    assert (found.step, found.quantity) == (1, "spike")
    assert found.cause == "float rounding at the threshold: |membrane - threshold| is 6e-08"


def test_float_against_fixed_point(network, recordings):
    coarse = tpl.quantise(network, recordings, weight_bits=3)
    found = diverge(network, coarse, recordings)
    one, other = tpl.Learner(network), tpl.Learner(coarse.network, None, coarse.fixed)
    number = int(found.layer[-1])
    assert found.quantity == "spike"
    assert (found.sample, found.step, found.neuron) == first_step(one, other, recordings, "spikes", number)
    assert found.cause.startswith("weight rounding: accumulated difference")
    term = float(found.cause.split()[-1])
    assert term == pytest.approx(found.membranes[0] - found.membranes[1], abs=0.02)


def test_a_decay_held_in_twelve_bits(recordings):
    """Weights that are exact and a decay that is not: with time its rounding tells."""
    weights = {"hidden0": np.full((2, 12), 0.0), "readout": np.eye(2)}
    weights["hidden0"][0, 0] = 1 / 64
    network = tpl.Network.of_layers(12, (tpl.Layer(2, tpl.LIF(0.9849, 1.0)),), 2, weights)
    events = tpl.Events(np.arange(400), np.zeros(400, int), 400, 12)
    found = diverge(network, tpl.Learner(network, None, tpl.FixedPoint(membrane_frac=20)), [events])
    assert (found.layer, found.neuron, found.quantity) == ("hidden0", 0, "spike")
    assert found.cause.startswith(f"decay held as {round(0.9849 * 4096)}/4096, not 0.9849: accumulated difference")


def test_a_saturated_membrane():
    network = two_neurons([[-100.0, 1.0], [1.0, 1.0]], tpl.LIF(0.999, 1.0))
    fixed = tpl.FixedPoint(weight_exponents={"hidden0": 0}, membrane_frac=20)
    events = tpl.Events(np.arange(10), np.zeros(10, int), 10, 2)
    found = diverge(network, tpl.Learner(network, None, fixed), [events])
    assert (found.neuron, found.step) == (0, 0)
    assert found.cause == "membrane saturated at 24 bits: 100 was reached where 8 is the most"


def test_convolutions(rng):
    network = spatial_network(rng, readout_decay=0.9)
    events = [random_events(rng, network.n_inputs, 10, 0.3) for _ in range(2)]
    q = tpl.quantise(network, events)
    assert diverge(q, tpl.InLava(q), events, tolerance=0) is None
    kernel = network.weights["hidden0"].copy()
    kernel[0, 0, 0, 0] += 0.5
    one, other = tpl.Learner(network), tpl.Learner(network.with_weights({"hidden0": kernel}))
    found = diverge(one, other, events)
    assert found.layer == "hidden0"
    assert (found.sample, found.step) == first_step(one, other, events, "membranes", 0)[:2]
    assert "different weights: hidden0 from unit" in found.cause
    decayed = replace(network, readout_decay=0.5)
    assert diverge(network, decayed, events).cause == "different readout decays: 0.9 and 0.5"


def test_networks_that_pool(rng):
    """What others get of a layer, not its spikes, meets the weights above it."""
    network = pooled_network()
    events = [random_events(rng, network.n_inputs, 10, 0.3) for _ in range(3)]
    assert diverge(network, tpl.Learner(network), events) is None
    for name, index in (("hidden0", (1, 0, 1, 1)), ("recurrent0", (40, 3)), ("hidden1", (2, 0, 1, 1, 0, 1))):
        weights = network.weights[name].copy()
        weights[index] += 2.0
        found = diverge(network, network.with_weights({name: weights}), events)
        assert found.cause.startswith(f"different weights: {name}")
        a, b = map(float, found.cause.split(" is ")[1].split(" and "))
        assert (a, b) == pytest.approx((network.weights[name][index], weights[index]), rel=1e-4)
    q = tpl.quantise(network, events)
    found = diverge(network, q, events)
    assert found is None or "round" in found.cause or "held as" in found.cause


def test_incoming_weights_are_those_of_the_matrix(rng):
    network = spatial_network(rng)
    for held in (network, network.unshare("hidden0")):
        form = form_of(held)
        kind = form.layers[0].forward[0].kind
        matrix = kind.matrix(form.weights["hidden0"])
        found = [incoming(form, form.layers[0].forward[0], neuron) for neuron in range(kind.size)]
        np.testing.assert_allclose(found, matrix, rtol=1e-6)


def test_tolerance(network, recordings):
    weights = network.weights["hidden1"].copy()
    weights[3, 4] += 1e-3
    other = network.with_weights({"hidden1": weights})
    assert diverge(network, other, recordings).quantity == "membrane"
    found = diverge(network, other, recordings, tolerance=math.inf)
    assert found is None or found.quantity in ("spike", "prediction")
    assert diverge(network, other, recordings[:1], tolerance=0.0).step <= diverge(network, other, recordings).step


def test_what_rounding_explains():
    coarse, weights = Format(3, 1), np.array([0.6, -0.1, 9.0])
    held = coarse.real(coarse.quantise(weights))
    assert rounded(weights, held, (None, coarse))
    assert not rounded(weights, held + np.array([0, 0.5, 0]), (None, coarse))
    assert not rounded(weights, weights + 1e-6, (None, None))
    assert rounded_decays(0.98, 4014 / 4096, (False, True))
    assert not rounded_decays(0.98, 4010 / 4096, (False, True))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda n, e: diverge(3, n, e), "diverge: form is 3, but must be a Network, Learner, Quantised, SpikingNetwork or InLava; wrap"),
        (lambda n, e: diverge(n, tpl.Network.dense((12, 10, 4)), e), "diverge: forms is .* but must be of the same shape"),
        (lambda n, e: diverge(n, n, []), "diverge: samples is empty, but must be at least one sample"),
        (lambda n, e: diverge(n, n, [3]), "sample: events is of type int, but must be Events"),
        (lambda n, e: diverge(n, n, [tpl.Events([], [], 5, 7)]), "sample: events is of 7 units"),
        (lambda n, e: diverge(n, n, e, tolerance=-1), "diverge: tolerance is -1, but must be a number >= 0, or None"),
        (lambda n, e: diverge(n, n, e, tolerance=math.nan), "diverge: tolerance is nan"),
        (lambda n, e: tpl.InLava(3), "InLava: network is 3, but must be a Network or a Quantised"),
        (lambda n, e: tpl.InLava(n, "float"), 'InLava: tag is \'float\', but must be "fixed_pt" or "floating_pt"'),
        (lambda n, e: tpl.InLava(n, layers="stock"), "InLava: layers is 'stock', but must be True or False"),
    ],
)
def test_what_cannot_be_compared(call, message, network, recordings):
    with pytest.raises(InvalidValueError, match=message):
        call(network, recordings)


def test_other_connections_are_refused():
    def convolution(dilation):
        spatial = Convolution((1, 6, 6), 2, (2, 2), padding=(1, 1), dilation=dilation)
        weights = {"hidden0": np.ones((2, 1, 2, 2)), "readout": np.ones((2, spatial.size))}
        return tpl.Network.of_layers(36, (tpl.Layer(spatial.size, tpl.LIF(), connection=spatial),), 2, weights)

    with pytest.raises(InvalidValueError, match="diverge: hidden0 is connected in two ways"):
        diverge(convolution((1, 2)), convolution((2, 1)), [tpl.Events([], [], 5, 36)])


@pytest.mark.parametrize("layers", [False, True])
def test_graphs_in_lava(layers, rng):
    """Two branches that meet, and an input that skips them, equal step by step, opened into Processes too."""
    network, events = graph(recurrent=()), [random_events(rng, 9, 12, 0.4) for _ in range(2)]
    learner = tpl.Learner(network, precision="fixed")
    assert diverge(learner, tpl.InLava(network, layers=layers), events, tolerance=0) is None
    weights = network.weights["skip"].copy()
    weights[3, 4] += 2.0
    found = diverge(network, network.with_weights({"skip": weights}), events)
    assert (found.layer, found.neuron) == ("top", 3)
    assert found.cause.startswith("different weights: skip[3, 4]")
