"""From stages to networks: what the engine does with them is what the oracle says they mean."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
from conftest import random_events
from hypothesis import given, settings
from hypothesis import strategies as st
from stage_oracle import run_stages

import tp_lava as tpl
from tp_lava import InvalidValueError
from tp_lava.convert.assemble import assemble, stages_of
from tp_lava.convert.stages import Convolution, Dense, Integrating, Pooling, Source, Spiking, stage_of
from tp_lava.graph.pooling import Pool2d

SEEDS = st.integers(0, 2**32 - 1)


def normal(rng, *shape):
    return rng.normal(0.4, 0.8, shape) / np.sqrt(shape[-1]) * 3


def random_neurons(rng, size, path, channels=None):
    units = channels or size
    reset = str(rng.choice(["subtract", "zero"]))
    return Spiking(
        path,
        decay=rng.uniform(0.3, 0.95, units) if rng.random() < 0.4 else np.full(units, rng.choice([0.0, 0.8, 1.0])),
        threshold=rng.uniform(0.5, 2.0, units) if rng.random() < 0.5 else 1.0,
        current_decay=float(rng.choice([0.0, 0.6])),
        reset=reset,
        comparison=str(rng.choice([">", ">="])),
        gain=rng.uniform(0.5, 1.5, units),
        offset=0.0 if rng.random() < 0.5 else 0.05,
        feedback=normal(rng, size, size) * 0.3 if rng.random() < 0.4 else None,
    )


LATE = [Pooling("late", (2, 1), (1, 1)), Pooling("late", mode="average", size=(2, 2))]
AFTER = [
    Pooling("sum", (2, 1), (1, 1), (1, 0), scale=0.3),
    Pooling("average", mode="average", size=(2, 2)),
    Pooling("max", (2, 2), (1, 1), (1, 1), mode="max"),
    Pooling("adaptive max", mode="max", size=(2, 1), scale=0.7),
]


def random_source(rng):
    """Maps of every kind before neurons of every kind."""
    stages, shape = [], (2, 7, 8)
    first = rng.integers(4)
    if first == 1:
        stages.append(Pooling("pool", (2, 2), (2, 2), scale=0.25))
        shape = (2, 3, 4)
    if first:
        stages.append(Convolution("conv", normal(rng, 4, 1, 2, 3), None, (1, 2), (1, 1), groups=2))
        shape = (4, shape[1] + 1, (shape[2] + 2 - 3) // 2 + 1)
        if first == 3:
            stages.append(LATE[rng.integers(len(LATE))])
            shape = stages[-1].checked(shape)[1]
        stages.append(random_neurons(rng, int(np.prod(shape)), "lif1", channels=4))
        is_plain = first != 3 and stages[-1].feedback is None
        if after := rng.integers(5 if is_plain else 3):  # of spikes
            stages.append(AFTER[after - 1])
            shape = stages[-1].checked(shape)[1]
            if is_plain and rng.random() < 0.5:
                stages += [Convolution("conv2", normal(rng, 3, 4, 2, 1)), random_neurons(rng, 3 * (shape[1] - 1) * shape[2], "lif", 3)]
                shape = (3, shape[1] - 1, shape[2])
    size = int(np.prod(shape))
    stages += [Dense("fc", normal(rng, 9, size)), random_neurons(rng, 9, "lif2")]
    if rng.random() < 0.6:
        bias = rng.normal(0, 0.1, 3)
        stages += [Dense("out", normal(rng, 3, 9), bias), Integrating("li", float(rng.choice([1.0, 0.9])), 0.5, 0.1)]
    return Source("test", (2, 7, 8), stages)


@settings(max_examples=20)
@given(SEEDS)
def test_networks_mean_what_their_stages_mean(seed):
    rng = np.random.default_rng(seed)
    source = random_source(rng)
    network = assemble(source, trace_decay=0.9)
    events = random_events(rng, network.n_inputs, 20, 0.2)
    told = tpl.Learner(network).infer(events, record=True)
    spikes, potentials = run_stages(source, events.to_dense())
    assert len(spikes) == len(told.spikes)
    for number, (ours, theirs) in enumerate(zip(told.spikes, spikes, strict=True)):
        differ = ours != theirs
        if differ.any():
            first = int(np.flatnonzero(differ.any(axis=1))[0])
            left, threshold = told.membranes[number][first][differ[first]], network.layers[number].neuron.threshold
            close = np.minimum(abs(left), abs(left - threshold))  # after a reset, or without one
            assert close.max() < 1e-4, "more than rounding at the threshold"
            return
    expected = spikes[-1].sum(axis=0) if potentials is None else potentials[-1]
    np.testing.assert_allclose(told.scores, expected, rtol=2e-4, atol=2e-4)


def test_biases_of_a_filtered_current_are_filtered(rng):
    stages = [Dense("fc", normal(rng, 5, 6), rng.normal(0.3, 0.1, 5)), Spiking("lif", 0.9, 1.0, 0.7)]
    source = Source("test", (6,), stages)
    network = assemble(source)
    assert network.layers[0].neuron.bias_to == "current"
    events = random_events(rng, 6, 30, 0.2)
    told = tpl.Learner(network).infer(events, record=True)
    np.testing.assert_array_equal(told.spikes[0], run_stages(source, events.to_dense())[0][0])
    assert told.spikes[0].mean() > 0.05


def test_changes_are_recorded(rng):
    source = Source("test", (4,), [Dense("fc", normal(rng, 3, 4)), Spiking("lif", 0.9, np.array([1.0, 2.0, 0.5]))])
    network = assemble(source, seed=3)
    told = str(network.provenance)
    assert "lif.threshold: rescaled (0.5 to 2, now 1" in told
    assert "lif.readout: added (the spikes of each output neuron are counted)" in told
    assert "label projection.weight: added" in told
    np.testing.assert_allclose(network.weights["hidden0"], source.stages[0].weight / np.array([[1.0], [2.0], [0.5]]), rtol=1e-6)


LIF = Spiking("lif", 0.9, 1.0)
FC = Dense("fc", np.ones((3, 4)))


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([], "convert: test: neurons is none, but must be at least one layer"),
        ([FC], "convert: fc: neurons is none"),
        ([Dense("fc", np.ones((3, 5))), LIF], r"convert: fc: weight is of shape \(3, 5\), but must be \(n_out, 4\)"),
        ([Dense("fc", np.full((3, 4), np.nan)), LIF], "convert: fc: weight is nan, but must be finite"),
        (
            [Dense("fc", np.ones((3, 4)), np.ones(2)), LIF],
            r"convert: fc: bias is of shape \(2,\), but must be \(3,\)",
        ),
        ([FC, LIF, Integrating("li", np.array([0.1, 0.2, 0.3]))], "convert: li: decay is 0.1 to 0.3 within the layer"),
        ([FC, Spiking("lif", 0.9, 1.0, trace_decay=1.0)], r"convert: lif: trace_decay is 1, but must be None or in \[0, 1\)"),
        ([FC, Spiking("lif", 0.9, 1.0, refractory=0.5)], "LIF: refractory is 0.5"),
        ([FC, Spiking("lif", 0.9, 0.0)], "convert: lif: threshold is 0, but must be above 0"),
        (
            [FC, Spiking("lif", 0.9, np.ones(2))],
            r"convert: lif: threshold is of shape \(2,\), but must be one number, or one for each channel or unit of \(3,\)",
        ),
        ([FC, Spiking("lif", np.nan, 1.0)], "convert: lif: decay is nan, but must be finite"),
        ([FC, Spiking("lif", 0.9, 1.0, feedback=np.ones((2, 2)))], r"convert: lif: feedback is of shape \(2, 2\)"),
        ([FC, Spiking("lif", 1.2, 1.0)], r"convert: lif: decay is 1.2, but must be in \[0, 1\]"),
        ([FC, LIF, Integrating("li"), FC], "convert: li: position is before other stages"),
        ([Convolution("c", np.ones((1, 1, 2, 2))), LIF], r"convert: c: input is of shape \(4,\), but must be \(channels"),
    ],
)
def test_what_cannot_be_carried_over(stages, message):
    with pytest.raises(InvalidValueError, match=message):
        assemble(Source("test", (4,), list(stages)))


def test_impossible_convolutions():
    conv = Convolution("c", np.ones((1, 1, 5, 5)))
    with pytest.raises(InvalidValueError, match=r"convert: c: kernel is too large for an input of \(1, 3, 3\)"):
        assemble(Source("test", (1, 3, 3), [conv, LIF]))
    with pytest.raises(InvalidValueError, match=r"convert: c: weight is of shape \(1, 1, 5, 5\) with groups 1"):
        assemble(Source("test", (2, 9, 9), [conv, LIF]))
    units = Spiking("lif", 0.9, 1.0, gain=np.arange(9).astype(float))
    with pytest.raises(InvalidValueError, match="convert: lif: gain is 0 to 8, another number for each neuron"):
        assemble(Source("test", (1, 3, 3), [Convolution("c", np.ones((1, 1, 1, 1))), units]))


def own_numbers(rng, count, **options):
    """Neurons that differ in every number."""
    return Spiking(
        "lif",
        decay=rng.uniform(0.5, 0.95, count),
        threshold=rng.uniform(0.6, 1.2, count),
        current_decay=rng.uniform(0.1, 0.5, count),
        **options,
    )


@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("count", [4, 4 * 36], ids=["by channel", "by unit"])
def test_maps_whose_neurons_differ(count, reset, rng):
    """Thresholds and gains of a channel go into the kernel, those of a unit into its threshold."""
    options = {"gain": rng.uniform(0.5, 1.5, count), "offset": rng.normal(0, 0.05, 4 * 36)}
    options |= {"adaptation": rng.uniform(0, 0.3, count), "adaptation_decay": rng.uniform(0.5, 0.9, count)}
    options |= {"refractory": rng.integers(0, 3, count), "reset_by": rng.uniform(0.5, 1.0, count) if reset == "subtract" else None}
    stages = [Convolution("conv", normal(rng, 4, 2, 3, 3), padding=(1, 1)), own_numbers(rng, count, reset=reset, **options)]
    source = Source("test", (2, 6, 6), [*stages, Pooling("pool", (2, 2), (2, 2), scale=0.25), Dense("fc", normal(rng, 3, 36))])
    network = assemble(source)
    events = random_events(rng, 72, 40, 0.3)
    told = tpl.Learner(network).infer(events, record=True)
    expected = run_stages(source, events.to_dense())[0][0]
    assert 0.02 < expected.mean() < 0.9
    assert (told.spikes[0] == expected).mean() > 0.999
    neuron = network.layers[0].neuron
    assert (neuron.threshold == 1.0) == (count == 4)
    assert len(neuron.decay) == len(neuron.refractory) == count
    again = assemble(stages_of(network))
    assert again.layers[0].neuron.decay == neuron.decay


def test_thresholds_that_only_the_neurons_can_have(rng):
    """Of units of a convolution with one gain: kept as they are, and so exact."""
    thresholds = rng.uniform(0.6, 1.2, 36)
    source = Source("test", (1, 6, 6), [Convolution("conv", normal(rng, 1, 1, 3, 3), padding=(1, 1)), Spiking("lif", 0.9, thresholds)])
    network = assemble(source)
    assert network.layers[0].neuron.threshold == tuple(thresholds)
    np.testing.assert_array_equal(network.weights["hidden0"], np.float32(source.stages[0].weight))
    assert "lif.threshold: kept (" in str(network.provenance)


def test_traces_follow_each_membrane(rng):
    spiking = replace(own_numbers(rng, 3), decay=np.array([0.9, 1.0, 0.5]))
    assert assemble(Source("test", (4,), [FC, spiking])).layers[0].trace_decay == (0.9, 0.98, 0.5)
    assert assemble(Source("test", (4,), [FC, spiking]), trace_decay=0.7).layers[0].trace_decay == 0.7


def test_declared_neurons_keep_adaptation_and_refractory_time():
    lif = tpl.LIF([0.9, 0.8, 0.7], adaptation=0.2, adaptation_decay=0.9, refractory=2)
    neuron = assemble(Source("test", (4,), [FC, stage_of("lif", lif)])).layers[0].neuron
    assert (neuron.decay, neuron.adaptation, neuron.adaptation_decay, neuron.refractory) == ((0.9, 0.8, 0.7), 0.2, 0.9, 2)


IMAGE = (1, 6, 6)
CONV = Convolution("conv", np.ones((2, 1, 3, 3)))
MAX = Pooling("max", (2, 2), (2, 2), mode="max")
REFUSED_MAX = (
    r"convert: max: max pooling is of the input, of currents, .*, but must be right after .*put it after the neurons and train again"
)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([MAX, CONV, LIF], REFUSED_MAX),
        ([CONV, MAX, LIF], REFUSED_MAX),
        ([CONV, Spiking("lif", 0.9, 1.0, feedback=np.eye(32)), MAX], REFUSED_MAX),
        ([CONV, LIF, Pooling("p", mode="average", size=(5, 4))], r"p: output_size is \(5, 4\), but must be at most \(4, 4\), the image"),
    ],
)
def test_poolings_without_equal_are_refused(stages, message):
    with pytest.raises(InvalidValueError, match=message):
        assemble(Source("test", IMAGE, list(stages)))


def test_poolings_of_spikes_are_those_of_the_population():
    poolings = [MAX, Pooling("average", (2, 1), (1, 1), scale=0.5), Pooling("sum", (1, 2), (1, 1), scale=3.0)]
    network = assemble(Source("test", IMAGE, [CONV, LIF, *poolings, Dense("fc", np.ones((5, 2))), LIF]))
    assert network.populations[0].pooling == (
        Pool2d((2, 2), (2, 2), mode="max"), Pool2d((2, 1), mode="average"), Pool2d((1, 2)),
    )  # fmt: skip
    np.testing.assert_array_equal(network.weights["hidden1"], np.full((5, 2), 3.0))
    kept = Pooling("average", (2, 2), (2, 2), scale=0.25)
    recurrent = [CONV, Spiking("lif", 0.9, 1.0, feedback=np.eye(32)), kept, Dense("fc", np.ones((5, 8))), LIF]
    assert not assemble(Source("test", IMAGE, recurrent)).populations[0].pooling, "its own spikes come back as they are"


@pytest.mark.parametrize("scale", [0.25, 1.0, 64.0])
def test_pooled_populations_keep_the_bits_of_poolings_in_the_connection(rng, scale):
    """In fixed point, where the window's factor is a power of two."""
    maps = [Pooling("pool", (2, 2), (2, 2), scale=scale), Convolution("c2", rng.normal(0, 0.5, (3, 2, 2, 2)) / scale)]
    network = assemble(Source("test", IMAGE, [Convolution("c1", rng.normal(0, 0.4, (2, 1, 3, 3))), LIF, *maps, Spiking("lif2", 0.8, 1.0)]))
    first, second = network.layers
    assert first.pooling
    folded = replace(second.connection, shape=(2, 4, 4), pooling=(Pool2d((2, 2), (2, 2)),))
    weights = network.weights | {"hidden1": network.weights["hidden1"] * (0.25 if scale == 0.25 else 1)}
    layers = (replace(first, pooling=()), replace(second, connection=folded))
    before = tpl.Network.of_layers(36, layers, network.n_classes, weights)
    events = random_events(rng, 36, 60, 0.3)
    ours, theirs = (tpl.Learner(net, precision="fixed").infer(events, record=True) for net in (network, before))
    for one, other in zip(ours.spikes, theirs.spikes, strict=True):
        assert 0.02 < one.mean() < 0.95
        np.testing.assert_array_equal(one, other)


def test_stages_of_a_network_are_the_network(rng):
    """Poolings of populations, standardised weights; what stages cannot say is refused."""
    layers = [tpl.Conv2d(3, 3, standardised=True), tpl.MaxPool2d(2), tpl.Conv2d(4, 2), tpl.AvgPool2d((2, 1), 1), tpl.AdaptiveAvgPool2d(1)]
    network = tpl.Network.sequential((2, 9, 9), [*layers, tpl.Dense(7)], 3, trace_decay=0.9)
    again = assemble(stages_of(network))
    assert again.populations == network.populations
    for name, weights in network.folded().weights.items():
        np.testing.assert_array_equal(again.weights[name], weights, name)
    back = tpl.Network.sequential((1, 6, 6), [tpl.Conv2d(2, 3, recurrent=True), tpl.MaxPool2d(2)], 3)
    with pytest.raises(InvalidValueError, match="convert: recurrent0: feedback is of pooled spikes, but must be of the spikes themselves"):
        stages_of(back)


def test_maxima_of_neurons_behind_a_pooled_convolution(rng):
    conv = Convolution("conv", rng.normal(0.05, 0.4, (2, 1, 3, 3)))
    stages = [conv, Pooling("average", (2, 2), (1, 1)), Spiking("lif", 0.9, 0.5), MAX, Dense("fc", normal(rng, 3, 2)), LIF]
    source, events = Source("test", IMAGE, stages), random_events(rng, 36, 30, 0.4)
    network = assemble(source)
    assert network.populations[0].shape == (2, 3, 3)
    expected = run_stages(source, events.to_dense())[0]
    for precision in ("float", "fixed"):
        ours = tpl.Learner(network, precision=precision).infer(events, record=True).spikes
        assert 0.02 < ours[0].mean() < 0.95
        if precision == "float":
            for one, other in zip(ours, expected, strict=True):
                np.testing.assert_array_equal(one, other)


def test_graded_input(rng, tmp_path):
    source = Source("test", (1, 5, 5), [CONV, Spiking("lif", 0.9, 3.0), Dense("fc", normal(rng, 4, 18)), LIF])
    network = tpl.convert(source, input_format=tpl.Format(9, 7))
    pictures = np.rint(rng.normal(0, 0.5, (20, 25)) * 128) / 128
    events = tpl.Events.from_dense(pictures, graded=True)
    expected = run_stages(source, pictures)[0]
    for ours, theirs in zip(tpl.Learner(network).infer(events, record=True).spikes, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert expected[0].mean() > 0.05
    tpl.save_network(network, tmp_path / "net.tplava")
    assert tpl.convert(tmp_path / "net.tplava").input_format == tpl.Format(9, 7)
    assert tpl.convert(tmp_path / "net.tplava", input_format=tpl.Format(8, 0)).input_format == tpl.Format(8, 0)
    with pytest.raises(
        InvalidValueError, match=r"convert: input_format is \(9, 7\), but must be a Format, or None; use for example tpl.Format"
    ):
        tpl.convert(source, input_format=(9, 7))


def test_a_single_output_is_the_score_of_class_0(rng):
    weight, bias = normal(rng, 1, 3), np.array([0.5])
    source = Source("test", (4,), [FC, LIF, Dense("angle", weight, bias), Integrating("li")])
    network = assemble(source)
    events = random_events(rng, 4, 20, 0.3)
    scores = tpl.Learner(network).infer(events).scores
    np.testing.assert_allclose(scores, [run_stages(source, events.to_dense())[1][-1, 0], 0.0], rtol=1e-5)
    assert "li.class 1: added (without weights" in str(network.provenance)


def test_networks_are_saved_with_their_provenance(rng, tmp_path):
    network = assemble(random_source(rng))
    tpl.save_network(network, tmp_path / "net.tplava")
    again = tpl.load_network(tmp_path / "net.tplava")
    assert again.provenance == network.provenance
    assert again.layers == network.layers
    for name, weights in network.weights.items():
        np.testing.assert_array_equal(again.weights[name], weights)


def test_a_field_of_the_neuron_that_no_stage_has_is_refused():
    @dataclasses.dataclass(frozen=True)
    class Echoing(tpl.LIF):
        echo: int = 0

    with pytest.raises(InvalidValueError, match="convert: lif: neuron is a Echoing, but must be a LIF"):
        stage_of("lif", Echoing(0.9, echo=3))
