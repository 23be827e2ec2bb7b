"""The oracle of convolutions equals the oracles of dense layers, the engine, and pooling and convolution written out."""

import numpy as np
import pytest
from conftest import lively, random_events
from oracle import OracleTP
from tess_oracle import OracleTESS

import tp_lava as tpl
from tp_lava.graph.connections import Convolution
from tp_lava.graph.network import Connection
from tp_lava.graph.pooling import Pool2d

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

import conv_oracle  # noqa: E402


def network_of(neuron=None, gain=2.5):
    return lively(tpl.Network.dense((8, 9, 7, 4), neuron or tpl.LIF(0.9, 0.7), 0.8, [True, False], seed=11), gain)


def assert_equal(found, expected, atol=1e-9):
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, atol=atol, err_msg=name)


@pytest.mark.parametrize("train_target", [False, True])
def test_tp_of_dense_layers(train_target, rng):
    network = network_of()
    rule = tpl.TP(0.02, 0.01, 3, train_target=train_target, readout=tpl.Readout())
    samples = [(random_events(rng, 8, 12, 0.3), label) for label in (2, 0, 2)]
    rows = [[2, 1, 3], [0, 2, 1], [2, 3, 0]]
    oracle, batched, learner = *(OracleTP(network, 0.02, 0.01, train_target) for _ in range(2)), tpl.Learner(network, rule)
    for (events, label), own in zip(samples, rows, strict=True):
        oracle.learn(events.to_dense()[None], [label], own, np.array([0]))
        learner.learn(events, label, contrast_labels=own)
    found = conv_oracle.learn_tp(network, rule, samples, rows)
    assert_equal(found, oracle.weights)
    assert_equal(found, learner.weights, 1e-5)
    labels = np.array([label for _, label in samples])
    batched.learn(np.stack([events.to_dense() for events, _ in samples]), labels, labels, np.arange(3))
    assert_equal(conv_oracle.learn_tp(network, rule, samples, batch=True), batched.weights)


@pytest.mark.filterwarnings("ignore:.*no learning signal")
@pytest.mark.parametrize(
    "rule",
    [tpl.TESS(0.5, 0.05), tpl.TESS(0.5, 0.1, 0.8, 0.6, 0.5, -2.0, "walsh", 4, "step", 0.1, "trace", tpl.Readout(0.5, features="count"))],
    ids=["published", "other"],
)
def test_tess_of_dense_layers(rule, rng):
    network = network_of(tpl.TESS.neuron(), 3.0)
    network = network.with_weights({name: rng.normal(0, 0.1, network.shapes[name]) for name in ("bias0", "readout_bias")})
    samples = [(random_events(rng, 8, 12, 0.3), label) for label in (2, 0, 2)]
    oracle, learner = OracleTESS(network, rule), tpl.Learner(network, rule)
    for events, label in samples:
        oracle.learn(events.to_dense()[None], [label])
        learner.learn(events, label)
    found = conv_oracle.learn_tess(network, rule, samples)
    assert_equal(found, oracle.weights)
    assert_equal(found, learner.weights, 1e-5)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(
    "kind",
    [
        Convolution((2, 5, 4), 4, (3, 2), (2, 1), (1, 0), (1, 2), 2),
        Convolution((1, 6, 6), 2, (2, 2), pooling=(Pool2d((2, 2), (2, 2)), Pool2d((2, 1), (1, 1), (1, 0)))),
    ],
    ids=["groups", "pooled"],
)
def test_delivery(kind, shared, rng):
    kind = Convolution(**{**vars(kind), "shared": shared})
    weights, x = rng.normal(size=kind.weight_shape), rng.normal(size=(3, kind.n_inputs))
    given = conv_oracle.deliver(Connection("c", "input", "p", kind), torch.tensor(weights), torch.tensor(x))
    np.testing.assert_allclose(given, x @ kind.matrix(weights).T, atol=1e-12)


@pytest.mark.parametrize("mode", ["sum", "average", "max"])
@pytest.mark.parametrize(
    "options",
    [{"kernel": (2, 3), "stride": (2, 2), "padding": (1, 1)}, {"kernel": (3, 3), "stride": (1, 2)}, {"size": (2, 3)}],
    ids=["padded", "overlapping", "adaptive"],
)
def test_pooling(mode, options, rng):
    """Forward, and back: to the first maximum of a window, which of a silent one is its first unit."""
    p, shape = Pool2d(mode=mode, **options), (2, 5, 4)
    spikes, signal = (rng.random((1, *shape)) < 0.3).astype(float), rng.normal(size=(1, *p.shape(shape)))
    x = torch.tensor(spikes, requires_grad=True)
    given, w = conv_oracle.pool((p,), x), p.windows(shape)
    (back,) = torch.autograd.grad((given * torch.tensor(signal)).sum(), x)
    expected, expected_back = np.zeros(given.shape), np.zeros(x.shape)
    for c, y, z in np.ndindex(*given.shape[1:]):
        window = np.s_[0, c, w.first_y[y] : w.end_y[y], w.first_x[z] : w.end_x[z]]
        if mode == "max":
            expected[0, c, y, z] = spikes[window].max()
            place = np.unravel_index(spikes[window].argmax(), spikes[window].shape)
            expected_back[window][place] += signal[0, c, y, z]
        else:
            expected[0, c, y, z] = spikes[window].sum() * w.share[y, z]
            expected_back[window] += signal[0, c, y, z] * w.share[y, z]
    np.testing.assert_allclose(given.detach(), expected, atol=1e-12)
    np.testing.assert_allclose(back, expected_back, atol=1e-12)


def test_every_part_at_once(rng):
    """Weights shared or not, all poolings, standardisation and graded input: every array changes."""
    layers = [
        tpl.SumPool2d(2),
        tpl.Conv2d(4, 3, padding=1, groups=2, standardised=True),
        tpl.MaxPool2d(2),
        tpl.LocalConv2d(4, 2),
        tpl.AvgPool2d(2, 1),
        tpl.Dense(6, recurrent=True),
    ]
    network = lively(tpl.Network.sequential((2, 12, 12), layers, 3, tpl.LIF(0.8, 0.5), 0.7, seed=3, input_format=tpl.Format(8, 4)), 3.0)
    samples = [(rng.normal(0.5, 1, (5, 288)), label) for label in (0, 2, 1)]
    for learned in (
        conv_oracle.learn_tp(network, tpl.TP(0.1, 0.1), samples),
        conv_oracle.learn_tp(network, tpl.TP(0.1, 0.1), samples, batch=True),
        conv_oracle.learn_tess(network, tpl.TESS(0.5, 0.1, grid=1), samples),
    ):
        for name, array in network.weights.items():
            assert np.isfinite(learned[name]).all(), name
            assert np.abs(learned[name] - array).max() > 1e-6, name
