"""Convolutions, pooling, leaky scores and what a spike subtracts: in the engine, against an oracle and the interpreter."""

import numpy as np
import pytest
from conftest import random_events
from hypothesis import given, settings
from hypothesis import strategies as st
from stage_oracle import run_stages

import tp_lava as tpl
from tp_lava import InvalidValueError
from tp_lava.backends.interpreter import interpret_step
from tp_lava.convert import stages
from tp_lava.graph.connections import Convolution
from tp_lava.graph.network import Layer, Network
from tp_lava.graph.pooling import Pool2d

SEEDS = st.integers(0, 2**32 - 1)


def random_spatial(rng):
    """A random convolution, with up to two poolings before it."""
    groups = int(rng.integers(1, 3))
    shape = (groups * int(rng.integers(1, 3)), int(rng.integers(6, 12)), int(rng.integers(6, 12)))
    pooling = []
    for _ in range(rng.integers(0, 3)):
        kernel = tuple(int(n) for n in rng.integers(1, 3, 2))
        pooling.append(Pool2d(kernel, tuple(int(n) for n in rng.integers(1, 3, 2)), tuple(int(rng.integers(0, k)) for k in kernel)))
    kernel, stride, padding = (tuple(int(n) for n in rng.integers(low, high, 2)) for low, high in ((1, 3), (1, 3), (0, 2)))
    dilation = tuple(int(n) for n in rng.integers(1, 3, 2))
    try:
        spatial = Convolution(shape, groups * int(rng.integers(1, 4)), kernel, stride, padding, dilation, groups, tuple(pooling))
        return spatial, spatial.size
    except InvalidValueError:  # pooled to less than the kernel
        return random_spatial(rng)


def spatial_network(rng, neuron=None, **options):
    spatial, size = random_spatial(rng)
    layers = (Layer(size, neuron or tpl.LIF(0.9), 0.9, connection=spatial), Layer(7, tpl.LIF(0.8), 0.9))
    shapes = {"hidden0": spatial.weight_shape, "hidden1": (7, size), "readout": (3, 7)}
    weights = {name: rng.normal(0.7, 0.7, shape).astype(np.float32) for name, shape in shapes.items()}
    return Network.of_layers(spatial.n_inputs, layers, 3, weights, **options)


def as_stages(network):
    """The same as a chain of stages."""
    chain = []
    for number, layer in enumerate(network.layers):
        spatial, weight = layer.connection, network.weights[f"hidden{number}"]
        if spatial:
            chain += [stages.Pooling("pool", p.kernel, p.stride, p.padding) for p in spatial.pooling]
            chain.append(stages.Convolution("conv", weight, None, spatial.stride, spatial.padding, spatial.dilation, spatial.groups))
        else:
            chain.append(stages.Dense("fc", weight))
        n = layer.neuron
        chain.append(stages.Spiking("lif", n.decay, n.threshold, n.current_decay, n.reset, n.reset_by, n.comparison))
    chain += [stages.Dense("out", network.weights["readout"]), stages.Integrating("li", network.readout_decay)]
    return stages.Source("test", network.layers[0].connection.shape, chain)


@settings(max_examples=12)
@given(SEEDS)
def test_convolutions_pool_and_convolve(seed):
    rng = np.random.default_rng(seed)
    neuron = tpl.LIF(float(rng.choice([0.9, 1.0])), reset_by=float(rng.choice([0.7, 1.3])))
    network = spatial_network(rng, neuron, readout_decay=0.75)
    events = random_events(rng, network.n_inputs, 15, 0.3)
    told = tpl.Learner(network).infer(events, record=True)
    spikes, potentials = run_stages(as_stages(network), events.to_dense())
    for ours, theirs in zip(told.spikes, spikes, strict=True):
        assert (ours != theirs).mean() < 0.002
    if all((ours == theirs).all() for ours, theirs in zip(told.spikes, spikes, strict=True)):
        np.testing.assert_allclose(told.scores, potentials[-1], rtol=1e-4, atol=1e-4)
    assert spikes[0].mean() > 0.01


@settings(max_examples=2)
@given(SEEDS)
def test_fixed_point_equals_the_interpreter(seed):
    rng = np.random.default_rng(seed)
    network = spatial_network(rng, tpl.LIF(1.0, reset_by=0.8), readout_decay=0.9)
    learner = tpl.Learner(network, tpl.TP((0.0, 1e-2), 1e-2, contrast=2), "fixed", seed=3)
    circuit, memory = learner.circuits[1], learner.memory
    events = random_events(rng, network.n_inputs, 6, 0.3)
    learner.begin(1)
    copy = {name: array.copy() for name, array in memory.items()}
    learner.advance(events)
    for step in range(events.n_steps):
        units = events.units[events.offsets[step] : events.offsets[step + 1]]
        copy["input_active"][0, : len(units)] = units
        copy["input_count"][0] = len(units)
        interpret_step(circuit, copy)
    for name in circuit.buffers:
        if not name.endswith("_active"):
            np.testing.assert_array_equal(memory[name], copy[name], name)
    np.testing.assert_array_equal(learner.mantissas["hidden0"].shape, network.weights["hidden0"].shape)


def test_a_convolution_is_saved_and_runs_in_lava(rng, tmp_path):
    network = spatial_network(rng, readout_decay=0.5)
    rule = tpl.TP((0.0, 1e-2), 1e-2, contrast=2)
    samples = [tpl.Sample(random_events(rng, network.n_inputs, 6, 0.3), k % 3) for k in range(4)]
    learner = tpl.Learner(network, rule, "fixed")
    learner.fit(samples, shuffle=False)
    learner.save(tmp_path / "conv.safetensors")
    again = tpl.Learner.load(tmp_path / "conv.safetensors")
    assert again.network.layers == network.layers
    assert again.network.readout_decay == 0.5
    run = tpl.lava.run(network, rule, samples, tag="fixed_pt")
    for name, weights in learner.mantissas.items():
        np.testing.assert_array_equal(again.mantissas[name], weights)
        np.testing.assert_array_equal(run.learner.mantissas[name], weights)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Convolution((1, 4), 1, (2, 2)), r"Conv2d: shape is \(1, 4\), but must be \(channels, height, width\)"),
        (lambda: Convolution((1, 4, 4), 1, (5, 1)), r"Conv2d: kernel is \(5, 1\) over \(4, 4\)"),
        (lambda: Convolution((1, 4, 4), 1, (2, 2), (0, 1)), r"Conv2d: stride is \(0, 1\), but must be a pair"),
        (lambda: Convolution((3, 4, 4), 2, (2, 2), groups=2), "Conv2d: groups is 2 for 3 and 2 channels"),
        (lambda: Convolution((1, 4, 4), 0, (2, 2)), "Conv2d: channels is 0"),
        (lambda: Convolution((512, 512, 512), 512, (3, 3)).synapses(), "Conv2d: synapses is"),
        (lambda: Pool2d((2, 2), (2, 2), (-1, 0)), r"Pool2d: padding is \(-1, 0\)"),
        (
            lambda: Layer(5, tpl.LIF(), connection=Convolution((1, 4, 4), 1, (2, 2))),
            "Layer: size is 5, but must be that of its connection, 9",
        ),
        (lambda: tpl.LIF(reset_by=0.0), 'LIF: reset_by is 0.0, but must be a number > 0 with reset "subtract"'),
        (lambda: tpl.LIF(reset="zero", reset_by=1.0), 'LIF: reset_by is 1.0 with reset "zero"'),
        (lambda: tpl.FixedPoint({"hidden0": 9}), "FixedPoint: weight_bits is .* but must be an integer in 2..8"),
    ],
)
def test_impossible_connections(make, message):
    with pytest.raises(InvalidValueError, match=message):
        make()


def test_networks_of_convolutions_are_checked(rng):
    network = spatial_network(rng)
    wrong = Layer(network.layers[0].size, tpl.LIF(), connection=network.layers[0].connection)
    with pytest.raises(InvalidValueError, match="hidden0: connection is from"):
        Network.of_layers(network.n_inputs + 1, (wrong,), 3, network.weights)
    with pytest.raises(InvalidValueError, match=r"Network: layers is \(\), but must be at least one Layer"):
        Network.of_layers(network.n_inputs, (), 3, network.weights)
    with pytest.raises(InvalidValueError, match="Network: readout_decay is 1.5"):
        Network.of_layers(network.n_inputs, network.layers, 3, network.weights, 1.5)


def test_a_pooled_convolution_is_loaded_and_runs(tmp_path, rng):
    convolution = Convolution((1, 6, 6), 2, (3, 3), pooling=(Pool2d((2, 2), (2, 2)),))
    weights = {"hidden0": np.full(convolution.weight_shape, 0.5), "readout": np.ones((3, convolution.size))}
    network = Network.of_layers(36, (Layer(convolution.size, tpl.LIF(0.9), connection=convolution),), 3, weights)
    tpl.save_network(network, tmp_path / "pooled.tplava")
    events = tpl.Events.from_dense(rng.random((8, 36)) < 0.4)
    scores = [tpl.Learner(n).infer(events).scores for n in (network, tpl.load_network(tmp_path / "pooled.tplava"))]
    np.testing.assert_array_equal(*scores)
