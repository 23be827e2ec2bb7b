"""Networks of convolutions in torch equal an oracle of plain autograd: random shapes, strides, groups, poolings, weights shared or not."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import lively

import tp_lava as tpl
from tp_lava.graph.connections import AllToAll
from tp_lava.graph.network import Connection
from tp_lava.graph.pooling import Pool2d

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # the tensors are small, and tests run side by side

import conv_oracle  # noqa: E402

from tp_lava import torch as tt  # noqa: E402
from tp_lava.torch.pooling import Pooling  # noqa: E402

CLASSES = 3
PUBLISHED = tpl.Readout()
POOLS = (
    tpl.MaxPool2d(2),
    tpl.MaxPool2d(3, 1, 1),
    tpl.MaxPool2d((2, 1), 1, (2, 0)),
    tpl.SumPool2d(2, 1),
    tpl.AvgPool2d((2, 3), (1, 2), 1),
    tpl.AvgPool2d(2, 2, 2),
    tpl.AdaptiveAvgPool2d(2),
    tpl.AdaptiveAvgPool2d((3, 2)),
)


def convolution(rng, channels):
    """Of random options; channels: below, even."""
    kind = rng.choice([tpl.Conv2d, tpl.Conv2d, tpl.LocalConv2d])
    kernel, stride, dilation = (tuple(int(n) for n in rng.integers(1, most + 1, 2)) for most in (3, 2, 2))
    options = {"padding": tuple(d * k // 2 + 1 for d, k in zip(dilation, kernel, strict=True)), "groups": int(rng.choice([1, 2]))}
    return kind(int(rng.choice([2, 4])), kernel, stride, dilation=dilation, **options, standardised=bool(rng.integers(2)))


def network_of(seed, neuron=tpl.LIF(0.8, 0.4)):  # noqa: B008 (frozen)
    """A random chain: pooled input, convolutions with poolings, and mostly a dense layer."""
    rng = np.random.default_rng(seed)
    shape = 2, int(rng.integers(7, 10)), int(rng.integers(7, 10))
    layers, channels = [tpl.SumPool2d(2, 1)] if rng.integers(2) else [], 2
    for _ in range(int(rng.integers(1, 4))):
        layers.append(convolution(rng, channels))
        channels = layers[-1].channels
        layers += [POOLS[rng.integers(len(POOLS))] for _ in range(rng.integers(3))]
    if rng.integers(3):
        layers.append(tpl.Dense(6, recurrent=bool(rng.integers(2)), standardised=bool(rng.integers(2))))
    try:
        network = tpl.Network.sequential(shape, layers, CLASSES, neuron, 0.7, seed)
    except tpl.InvalidValueError:  # what does not fit
        return network_of(seed + 1000, neuron)
    if rng.integers(2):
        network = replace(network, connections=tuple(standardised(c) for c in network.connections))
    network = lively(network, 2.5)
    biases = {network.populations[-1].bias: 0.2, "readout_bias": 0.1} if rng.integers(2) else {}
    network = network.with_weights({name: rng.normal(0, size, network.shapes[name]) for name, size in biases.items()})
    return network if is_lively(network, seed) else network_of(seed + 1000, neuron)


def is_lively(network, seed):
    """Whether every layer spikes, and not always."""
    spikes = module_of(network).hidden_spikes(tt.dense([events for events, _ in samples_of(network, seed)]))
    return all(0.03 < float(fired.detach().mean()) < 0.9 for fired in spikes)


def standardised(connection):
    """The readout's too."""
    return replace(connection, standardisation=tpl.Standardisation(1.5, 1e-3)) if connection.name == "readout" else connection


def samples_of(network, seed, count=5, steps=6, rate=0.3):
    rng = np.random.default_rng(seed)
    labels = [0, 1, *rng.integers(CLASSES, size=count - 2).tolist()]
    return [(tpl.Events.from_dense(rng.random((steps, network.n_inputs)) < rate), label) for label in labels]


def learned(trainer, samples):
    labels = [label for _, label in samples]
    return trainer.learn_batch(tt.dense([events for events, _ in samples], dtype=torch.float64), labels).detach().numpy()


def arrays(module):
    return {name: array.detach().numpy() for name, array in {**module.weights, **module.rule_parameters}.items()}


def module_of(network, **options):
    return tt.SpikingNetwork(network, dtype=torch.float64, **options)


def assert_equal(module, expected, atol=1e-9):
    for name, array in arrays(module).items():
        np.testing.assert_allclose(array, expected[name], atol=atol, err_msg=name)


def assert_moved(module, network):
    """Something below the readout has learned."""
    moved = {name for name, array in network.weights.items() if np.abs(arrays(module)[name] - array).max() > 1e-7}
    assert "hidden0" in moved
    assert "readout" in moved


SEEDS = range(24)


@pytest.mark.parametrize("seed", SEEDS)
def test_tp(seed):
    """Both ways to the gradient."""
    network = network_of(seed)
    update, train_target = ("step", "sequence")[seed % 2], seed % 3 == 0
    rule = tpl.TP(0.1, 0.1, train_target=train_target, update=update, readout=PUBLISHED)
    samples = samples_of(network, seed)
    expected = conv_oracle.learn_tp(network, rule, samples, batch=True)
    for gradient in ("closed", "autograd"):
        module = module_of(network)
        learned(tt.TPTrainer(module, rule, gradient=gradient), samples)
        assert_equal(module, expected)
        assert_moved(module, network)


@pytest.mark.filterwarnings("ignore:.*no learning signal")
@pytest.mark.parametrize("seed", SEEDS)
def test_tess(seed):
    neuron = tpl.TESS.neuron() if seed % 2 else tpl.LIF(0.7, 0.4, ">=", "zero", 0.3, tpl.FastSigmoid(2.0))
    network = network_of(seed, neuron)
    options = {"basis": ("walsh", "square")[seed % 2], "update": ("sequence", "step")[seed // 2 % 2], "grid": seed % 3 + 1}
    rule = tpl.TESS(0.5, 0.1, activity=("spike", "trace")[seed // 4 % 2], temperature=0.3, acausal=-0.5, **options)
    samples, module = samples_of(network, seed), module_of(network)
    learned(tt.TESSTrainer(module, rule), samples)
    assert_equal(module, conv_oracle.learn_tess(network, rule, samples, batch=True))
    assert_moved(module, network)


@pytest.mark.parametrize("seed", SEEDS)
def test_bptt(seed):
    network = network_of(seed)
    samples, module = samples_of(network, seed), module_of(network)
    learned(tt.BPTTTrainer(module, 0.5), samples)
    assert_equal(module, conv_oracle.learn_bptt(network, samples, 0.5))


@pytest.mark.parametrize("seed", range(6))
def test_the_same_spikes_step_by_step_and_layer_by_layer(seed):
    network = network_of(seed)
    module, spikes = module_of(network), tt.dense([events for events, _ in samples_of(network, seed)], dtype=torch.float64)
    membranes, hidden = module.membranes(spikes), module.hidden_spikes(spikes)
    for population, fired, membrane in zip(network.populations, hidden, membranes, strict=True):
        assert fired.shape == membrane.shape == (6, 5, population.size)
    last, weights = network.populations[-1], conv_oracle.standardised(network.readout.standardisation, module.weights["readout"])
    outputs = conv_oracle.pool(last.pooling, hidden[-1].reshape(-1, *last.shape)).reshape(6, 5, -1)
    expected = outputs.sum(dim=0) @ weights.T + 6 * module.weights.get("readout_bias", 0.0)
    assert float(outputs.detach().mean()) > 0.01
    np.testing.assert_allclose(module(spikes).detach(), expected.detach(), atol=1e-9)
    np.testing.assert_allclose(module.scores(spikes)[-1].detach(), expected.detach(), atol=1e-9)


def test_recurrent_connections_get_what_is_pooled():
    network = tpl.Network.sequential((2, 6, 6), [tpl.Conv2d(2, 3, padding=1), tpl.Dense(5)], CLASSES, tpl.LIF(0.8, 0.4), 0.7, 4)
    first, *others = network.populations
    first = replace(first, pooling=(Pool2d((2, 2), (2, 2), mode="max"),))
    connections = [replace(c, kind=AllToAll(18, 5)) if c.name == "hidden1" else c for c in network.connections]
    connections.append(Connection("recurrent0", "hidden0", "hidden0", AllToAll(18, 72), recurrent=True))
    rng = np.random.default_rng(5)
    weights = {**network.weights, "hidden1": rng.normal(0, 0.5, (5, 18)), "recurrent0": rng.normal(0, 0.2, (72, 18))}
    network = lively(replace(network, populations=(first, *others), connections=tuple(connections), weights=weights), 2.0)
    rule, samples = tpl.TP(0.1, 0.1, readout=PUBLISHED), samples_of(network, 3)
    expected = conv_oracle.learn_tp(network, rule, samples, batch=True)
    for gradient in ("closed", "autograd"):
        module = module_of(network)
        learned(tt.TPTrainer(module, rule, gradient=gradient), samples)
        assert_equal(module, expected)
    module, tess = module_of(network), tpl.TESS(0.5, 0.1, basis="walsh")
    learned(tt.TESSTrainer(module, tess), samples)
    assert_equal(module, conv_oracle.learn_tess(network, tess, samples, batch=True))


@pytest.mark.parametrize("mode", ["sum", "average", "max"])
@pytest.mark.parametrize("size", [(2, 3), (4, 4)])
def test_adaptive_pooling(mode, size, rng):
    pooling, spikes = Pool2d(mode=mode, size=size), torch.tensor((rng.random((3, 2, 5, 4)) < 0.4).astype(float))
    given, back = Pooling((pooling,), (2, 5, 4)).taped(spikes.flatten(1))
    leaf, signal = spikes.clone().requires_grad_(), torch.tensor(rng.normal(size=given.shape))
    expected = conv_oracle.pool((pooling,), leaf).flatten(1)
    np.testing.assert_allclose(given, expected.detach(), atol=1e-12)
    (expected_back,) = torch.autograd.grad((expected * signal).sum(), leaf)
    np.testing.assert_allclose(back(signal), expected_back.flatten(1), atol=1e-12)


# As part of the package --------------------------------------------------------------------------


def pictures_network(**options):
    """Of graded pictures, with every kind of layer."""
    layers = [tpl.Conv2d(4, 3, padding=1, standardised=True), tpl.MaxPool2d(2), tpl.LocalConv2d(4, 2), tpl.AvgPool2d(2), tpl.Dense(12)]
    options = {"neuron": tpl.LIF(0.7, 0.5), "trace_decay": 0.7, "seed": 2, "input_format": tpl.Format(8, 4)} | options
    return lively(tpl.Network.sequential((1, 8, 8), layers, CLASSES, **options), 2.0)


def pictures(count, seed=0, steps=5):
    """Each class is bright in a third of its own, in noise."""
    rng = np.random.default_rng(seed)
    samples = []
    for label in np.arange(count) % CLASSES:
        picture = rng.normal(0, 0.3, (8, 8))
        picture[:, label * 3 : label * 3 + 2] += 2.0
        samples.append((tpl.Events.constant(np.clip(picture, -4, 4), steps), int(label)))
    return samples


TRAINERS = {
    "tp": lambda module: tt.TPTrainer(module, tpl.TP(1e-2, 1e-2), tpl.Adam()),
    "tess": lambda module: tt.TESSTrainer(module, tpl.TESS(1e-2, 1e-2, basis="walsh", temperature=0.1, readout=PUBLISHED), tpl.Adam()),
    "bptt": lambda module: tt.BPTTTrainer(module, 1e-2, tpl.Adam()),
}


@pytest.mark.parametrize("name", TRAINERS)
def test_pictures_are_learned(name):
    module, train, test = tt.SpikingNetwork(pictures_network()), pictures(120), pictures(30, seed=1)
    assert tt.evaluate(module, test) < 0.8
    assert tt.fit(TRAINERS[name](module), train, 8, 10, test=test)[-1] > 0.85


def test_the_network_comes_back_trained():
    network = pictures_network()
    module = tt.SpikingNetwork(network)
    tt.fit(TRAINERS["tess"](module), pictures(12), 1, 6)
    trained = module.network()
    assert (trained.populations, trained.connections, trained.input_format) == (
        network.populations,
        network.connections,
        network.input_format,
    )
    for name, array in module.weights.items():
        np.testing.assert_array_equal(trained.weights[name], array.detach().numpy())
        assert np.abs(trained.weights[name] - network.weights[name]).max() > 0
    learner, (events, _) = tpl.Learner(trained), pictures(1)[0]
    np.testing.assert_allclose(module(tt.dense([events]))[0].detach(), learner.infer(events).scores, atol=1e-4)
    module.load_network(network)
    np.testing.assert_array_equal(module.weights["hidden0"].detach(), network.weights["hidden0"])


@pytest.mark.parametrize(
    ("rule", "trainer"),
    [
        (tpl.TP(0.05, 0.02, 3, train_target=True), tt.TPTrainer),
        (tpl.TESS(0.3, 0.05, basis="walsh", grid=2, temperature=0.3), tt.TESSTrainer),
    ],
    ids=["tp", "tess"],
)
def test_learner(rule, trainer):
    """A batch learned by the engine."""
    network, samples = pictures_network(), pictures(5)
    events, labels = [tpl.Events.from_dense(abs(events.to_dense()), graded=True) for events, _ in samples], [label for _, label in samples]
    learner, taught = tpl.Learner(network, rule), trainer(tt.SpikingNetwork(network), rule)
    expected = [outcome.scores for outcome in learner.learn_batch(events, labels)]
    np.testing.assert_allclose(taught.learn_batch(tt.dense(events), labels), expected, atol=1e-4)
    for name, array in arrays(taught.module).items():
        np.testing.assert_allclose(array, learner.weights[name], atol=1e-4, err_msg=name)


def test_graded_recordings_need_graded_input():
    module = tt.SpikingNetwork(pictures_network(input_format=None))
    with pytest.raises(tpl.InvalidValueError, match="sample: events is graded, but must be plain spikes"):
        tt.evaluate(module, pictures(3))
