"""Networks of other libraries, converted, in our engine: they spike as they do at home."""

import numpy as np
import pytest

import tp_lava as tpl
from tp_lava.convert.nir import EXPORTERS

torch = pytest.importorskip("torch")
snn = pytest.importorskip("snntorch")
from nir_libraries import quiet, rescaled, run_steps, spikes_of  # noqa: E402
from test_convert_nir import sinabs_spikes  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
nn = torch.nn
STEPS = 300


def in_engine(network, spikes):
    events = tpl.Events.from_dense(spikes.reshape(len(spikes), -1))
    return tpl.Learner(network).infer(events, record=True)


def assert_same(network, spikes, theirs):
    """>= 99.9 % of the spikes; any difference begins where a potential meets its threshold to float rounding."""
    outcome = in_engine(network, spikes)
    assert len(outcome.spikes) == len(theirs)
    for ours, expected in zip(outcome.spikes, theirs, strict=True):
        assert 0.02 < expected.mean() < 0.95
        assert (ours == (expected != 0)).mean() >= 0.999
    return outcome


def leaky(**options):
    return snn.Leaky(0.9, init_hidden=True, **options)


SNNTORCH = {
    "leaky": lambda: (leaky(), 0.8),
    "leaky, zero": lambda: (leaky(reset_mechanism="zero"), 0.8),
    "leaky, a threshold each": lambda: (leaky(threshold=torch.linspace(0.7, 1.3, 12)), 0.8),
    "synaptic": lambda: (snn.Synaptic(0.5, 0.8, init_hidden=True), 0.5),
    "leaky, beta and threshold each": lambda: (
        snn.Leaky(torch.linspace(0.3, 0.97, 12), torch.linspace(0.7, 1.3, 12), init_hidden=True, learn_beta=True, learn_threshold=True),
        0.8,
    ),
    "synaptic, alpha and beta each": lambda: (
        snn.Synaptic(torch.linspace(0.2, 0.7, 12), torch.linspace(0.9, 0.5, 12), init_hidden=True),
        0.5,
    ),
    "rleaky, a beta each": lambda: (snn.RLeaky(torch.linspace(0.5, 0.9, 12), linear_features=12, init_hidden=True), 0.8),
    "rleaky": lambda: (snn.RLeaky(0.8, linear_features=12, init_hidden=True), 0.8),
    "rsynaptic": lambda: (snn.RSynaptic(0.4, 0.8, linear_features=12, init_hidden=True), 0.5),
}


@pytest.mark.parametrize("name", SNNTORCH)
def test_snntorch(name):
    neuron, factor = SNNTORCH[name]()
    net = nn.Sequential(nn.Linear(10, 12), neuron, nn.Linear(12, 4), leaky())
    factors = (factor, 0.5, 2.5) if name.startswith("r") else (factor, 2.5)
    rescaled(net, factors, 5)
    spikes = spikes_of((10,), STEPS, 1)
    network = tpl.convert(net, input_shape=(10,))
    outcome = assert_same(network, spikes, run_steps(net, spikes, [net[1], net[3]]))
    np.testing.assert_array_equal(outcome.scores, outcome.spikes[1].sum(axis=0))


def test_snntorch_convolution_in_fixed_point_too():
    first = [nn.Conv2d(2, 4, 3, padding=1), nn.AvgPool2d(2), leaky()]
    net = nn.Sequential(*first, nn.Conv2d(4, 6, 3), leaky(threshold=0.5), nn.Flatten(), nn.Linear(24, 5), leaky())
    rescaled(net, (3.0, 1.5, 1.5), 2)
    spikes = spikes_of((2, 8, 8), STEPS, 2)
    network = tpl.convert(net, input_shape=(2, 8, 8))
    assert network.layers[1].connection is not None
    assert_same(network, spikes, run_steps(net, spikes, [net[2], net[4], net[7]]))
    fixed = tpl.Learner(network, precision="fixed").infer(tpl.Events.from_dense(spikes.reshape(STEPS, -1)), record=True)
    float_ = in_engine(network, spikes)
    assert (fixed.spikes[0] == float_.spikes[0]).mean() > 0.97


@pytest.mark.parametrize("by", ["channel", "unit"])
def test_snntorch_maps_with_a_beta_each(by):
    """Learned betas and thresholds, broadcast over maps as PyTorch does; learned on, in fixed point too."""
    shape = (4, 1, 1) if by == "channel" else (4, 8, 8)
    torch.manual_seed(0)
    neuron = snn.Leaky(
        0.5 + 0.45 * torch.rand(shape), 0.6 + 0.6 * torch.rand(shape), init_hidden=True, learn_beta=True, learn_threshold=True
    )
    net = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), neuron, nn.Flatten(), nn.Linear(256, 5), leaky())
    rescaled(net, (3.0, 1.5), 2)
    spikes = spikes_of((2, 8, 8), STEPS, 2)
    network = tpl.convert(net, input_shape=(2, 8, 8))
    assert_same(network, spikes, run_steps(net, spikes, [net[1], net[4]]))
    assert len(network.layers[0].neuron.decay) == neuron.beta.numel()
    learner = tpl.Learner(network, tpl.TP(1e-3, 1e-3, contrast=2), "fixed")
    before = dict(learner.mantissas)
    learner.learn(tpl.Events.from_dense(spikes[:30].reshape(30, -1)), 1)
    assert any((before[name] != mantissas).any() for name, mantissas in learner.mantissas.items())


class Adaptive(nn.Module):
    """An adaptive threshold as Norse's LSNN has it: b falls, is compared, and then rises with the spike, which resets v."""

    def __init__(self, size):
        super().__init__()
        self.v, self.b, self.decay, self.fall, self.rise = torch.zeros(size), torch.zeros(size), torch.linspace(0.7, 0.95, size), 0.9, 0.3

    def forward(self, drive):
        v, b = self.decay * self.v + drive, self.fall * self.b
        spikes = (v > 0.8 + b).float()
        self.v, self.b = v * (1 - spikes), b + self.rise * spikes
        return spikes


def test_a_declared_adaptive_neuron():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(10, 12), Adaptive(12), nn.Linear(12, 4))
    rescaled(net, (2.0, 1.0), 5)
    neuron = tpl.LIF(np.linspace(0.7, 0.95, 12), 0.8, ">", "zero", adaptation=0.9 * 0.3, adaptation_decay=0.9)
    network = tpl.convert(net, input_shape=(10,), neurons={"1": neuron})
    spikes = spikes_of((10,), STEPS, 1)
    with torch.no_grad():
        theirs = np.array([net[1](net[0](torch.as_tensor(frame))).numpy() for frame in spikes])
    assert_same(network, spikes, [theirs])
    assert np.isclose(network.layers[0].neuron.adaptation, 0.27)


def test_a_network_of_pytorch_learns_on():
    """Batch normalisation folded, neurons declared; the readout's bias and all."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(10, 12), nn.BatchNorm1d(12), nn.Linear(12, 3))
    net.train()
    for _ in range(5):
        net(torch.rand(64, 10))
    network = tpl.convert(net.eval(), input_shape=(10,), neurons=tpl.LIF(0.9))
    assert "readout_bias" in network.weights
    learner = tpl.Learner(network, tpl.TP(1e-2, 1e-2, contrast=2), "fixed")
    before = dict(learner.mantissas)
    learner.learn(tpl.Events.from_dense(spikes_of((10,), 30, 1)), 1)
    assert any((before[name] != mantissas).any() for name, mantissas in learner.mantissas.items())


def test_nir_of_snntorch():
    pytest.importorskip("nir")
    net = nn.Sequential(
        nn.Linear(10, 12), snn.Leaky(torch.full((12,), 0.9), threshold=torch.ones(12), init_hidden=True),
        nn.Linear(12, 4), snn.Leaky(torch.full((4,), 0.8), threshold=torch.ones(4), init_hidden=True),
    )  # fmt: skip
    rescaled(net, (0.8, 2.5), 5)
    graph = quiet(pytest.importorskip("snntorch.export_nir").export_to_nir, net, torch.ones(1, 10), ignore_dims=[0])
    spikes = spikes_of((10,), STEPS, 1)
    assert_same(tpl.convert(graph, **EXPORTERS["snntorch"]), spikes, run_steps(net, spikes, [net[1], net[3]]))


def norse_cells(taus, thresholds, drives, dt=1e-3):
    """Norse's LIFBox by its own equations: v += dt / tau (i - v), a spike where v > v_th, and v = 0 then. drives: (T, n)."""
    v, spikes = np.zeros_like(taus), []
    for drive in drives:
        v = v + dt / taus * (drive - v)
        spikes.append(v > thresholds)
        v = np.where(spikes[-1], 0.0, v)
    return np.array(spikes)


@pytest.mark.parametrize("maps", [False, True], ids=["dense", "maps"])
def test_nir_with_a_time_constant_each(maps):
    """As Norse writes its cells: arrays of tau and v_threshold, one a neuron."""
    nir, rng = pytest.importorskip("nir"), np.random.default_rng(3)
    shape = (3, 6, 6) if maps else (12,)
    taus, thresholds = rng.uniform(3e-3, 4e-2, shape), rng.uniform(0.2, 0.5, shape)
    weight = rng.normal(0.3, 1.0, (3, 2, 3, 3) if maps else (12, 10)).astype(np.float32)
    below = (2, 6, 6) if maps else (10,)
    first = nir.Conv2d((6, 6), weight, 1, 1, 1, 1, np.zeros(3)) if maps else nir.Linear(weight)
    zeros, ones = np.zeros(shape), np.ones(shape)
    neurons = nir.LIF(tau=taus * 1e-3, r=ones, v_leak=zeros, v_threshold=thresholds, v_reset=zeros)
    nodes = {"input": nir.Input(np.array(below)), "map": first, "lif": neurons, "output": nir.Output(np.array(shape))}
    graph = nir.NIRGraph(nodes, [("input", "map"), ("map", "lif"), ("lif", "output")], type_check=False)
    spikes = spikes_of(below, STEPS, 4)
    with torch.no_grad():
        frames, kernel = torch.as_tensor(spikes).double(), torch.as_tensor(weight).double()
        drives = nn.functional.conv2d(frames, kernel, padding=1) if maps else frames @ kernel.T
    expected = norse_cells(taus.ravel(), thresholds.ravel(), drives.reshape(STEPS, -1).numpy())
    network = tpl.convert(graph, **EXPORTERS["norse"])
    assert_same(network, spikes, [expected])
    assert len(network.layers[0].neuron.decay) == taus.size


def test_nir_of_norse():
    norse = pytest.importorskip("norse.torch")
    fast = norse.LIFBoxParameters(tau_mem_inv=torch.tensor(200.0), v_th=torch.tensor(0.3))
    net = norse.SequentialState(nn.Linear(10, 12), norse.LIFBoxCell(fast), nn.Linear(12, 9, bias=False), norse.IAFCell())
    rescaled(net, (3.0, 1.5), 3)
    graph = quiet(norse.to_nir, net, torch.ones(1, 10))
    spikes = spikes_of((10,), STEPS, 4)
    assert_same(tpl.convert(graph, **EXPORTERS["norse"]), spikes, run_steps(net, spikes, [net[1], net[3]]))


def test_nir_of_sinabs():
    sl = pytest.importorskip("sinabs.layers")
    single = pytest.importorskip("sinabs.activation").SingleSpike
    neuron = {"batch_size": 1, "spike_fn": single}
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3), sl.LIFSqueeze(tau_mem=5.0, norm_input=True, spike_threshold=torch.tensor(0.3), **neuron),
        sl.SumPool2d(2), nn.Flatten(), nn.Linear(36, 5), sl.IAFSqueeze(**neuron),
    )  # fmt: skip
    rescaled(net, (2.5, 1.0), 7)
    spikes = (np.random.default_rng(5).random((100, 2, 8, 8)) < 0.4).astype(np.float32)
    graph = quiet(pytest.importorskip("sinabs.nir").to_nir, net, torch.from_numpy(spikes))
    assert_same(tpl.convert(graph, **EXPORTERS["sinabs"]), spikes, sinabs_spikes(net, spikes, [1, 5]))


def test_networks_go_to_nir_and_come_back(tmp_path):
    nir = pytest.importorskip("nir")
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), leaky(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(64, 12), snn.Synaptic(0.5, 0.8, init_hidden=True)
    )
    network = tpl.convert(rescaled(net, (3.0, 1.5), 2), input_shape=(2, 8, 8), trace_decay=0.7)
    nir.write(tmp_path / "net.nir", tpl.to_nir(network, 1e-3))
    again = tpl.convert(tmp_path / "net.nir")
    assert [pool.mode for pool in network.layers[0].pooling] == ["average"]
    assert again.layers == network.layers
    for name, weights in network.weights.items():
        np.testing.assert_array_equal(again.weights[name], weights, name)
    assert again.readout_decay == network.readout_decay


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (3, {}, "convert: source is 3, but must be a torch module, a state dict, a NIR graph"),
        ("net.onnx", {}, "convert: source is net.onnx, but must be a file ending in .nir"),
        (nn.Linear(2, 2), {"format": "keras"}, "convert: format is 'keras', but must be one of nir, slayer, torch, state dict"),
        (
            nn.Linear(2, 2),
            {"shape": (2,)},
            "convert: option is shape, but must be among format, trace_decay, seed, input_format, verify, samples, module, input_shape",
        ),
    ],
)
def test_what_cannot_be_converted(source, options, message):
    with pytest.raises(tpl.InvalidValueError, match=message):
        tpl.convert(source, **options)
