"""From stages to networks: what the engine does with them is what the oracle says they mean."""

import dataclasses

import numpy as np
import pytest
from conftest import random_events
from hypothesis import given, settings
from hypothesis import strategies as st
from stage_oracle import run_stages

import tp_lava as tpl
from tp_lava import InvalidValueError
from tp_lava.convert.assemble import assemble
from tp_lava.convert.stages import Convolution, Dense, Integrating, Pooling, Source, Spiking, stage_of

SEEDS = st.integers(0, 2**32 - 1)


def normal(rng, *shape):
    return rng.normal(0.4, 0.8, shape) / np.sqrt(shape[-1]) * 3


def random_neurons(rng, size, path, channels=None):
    units = channels or size
    reset = str(rng.choice(["subtract", "zero"]))
    return Spiking(
        path,
        decay=np.full(units, rng.choice([0.0, 0.8, 1.0])),
        threshold=rng.uniform(0.5, 2.0, units) if rng.random() < 0.5 else 1.0,
        current_decay=float(rng.choice([0.0, 0.6])),
        reset=reset,
        comparison=str(rng.choice([">", ">="])),
        gain=rng.uniform(0.5, 1.5, units),
        offset=0.0 if rng.random() < 0.5 else 0.05,
        feedback=normal(rng, size, size) * 0.3 if rng.random() < 0.4 else None,
    )


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
            stages.append(Pooling("late", (2, 1), (1, 1)))
            shape = (4, shape[1] - 1, shape[2])
        stages.append(random_neurons(rng, int(np.prod(shape)), "lif1", channels=4))
    size = int(np.prod(shape))
    stages += [Dense("fc", normal(rng, 9, size)), random_neurons(rng, 9, "lif2")]
    if rng.random() < 0.6:
        bias = rng.normal(0, 0.1, 3)
        stages += [Dense("out", normal(rng, 3, 9), bias), Integrating("li", float(rng.choice([1.0, 0.9])), 0.5, 0.1)]
    return Source("test", (2, 7, 8), stages)


@settings(max_examples=10)
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
        ([FC, Spiking("lif", np.array([0.1, 0.2, 0.3]), 1.0)], "convert: lif: decay is 0.1 to 0.3 within the layer"),
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
    units = Spiking("lif", 0.9, np.arange(1, 10).astype(float))
    with pytest.raises(InvalidValueError, match="convert: lif: threshold or gain is another number for each neuron"):
        assemble(Source("test", (1, 3, 3), [Convolution("c", np.ones((1, 1, 1, 1))), units]))


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
    class Refractory(tpl.LIF):
        refractory: int = 0

    assert stage_of("lif", Refractory(0.9)).decay == 0.9
    with pytest.raises(InvalidValueError, match="convert: lif: neuron.refractory is 3, but must be left at 0"):
        stage_of("lif", Refractory(0.9, refractory=3))
