"""Twenty random networks of each library, read from their modules and run beside them: every spike is the library's."""

import numpy as np
import pytest

import tp_lava as tpl

torch = pytest.importorskip("torch")
torch.set_num_threads(1)
nn = torch.nn
from stage_oracle import run_stages  # noqa: E402

from tp_lava.convert.torch_modules import read_module  # noqa: E402
from tp_lava.convert.verification.recording import record  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
STEPS = 40


def sinabs_neuron(rng):
    layers, act = pytest.importorskip("sinabs.layers"), pytest.importorskip("sinabs.activation")
    reset = act.MembraneReset() if rng.random() < 0.4 else act.MembraneSubtract(*([0.6] if rng.random() < 0.3 else []))
    options = {"spike_threshold": float(rng.uniform(0.3, 1.2)), "spike_fn": act.SingleSpike, "reset_fn": reset}
    if rng.random() < 0.4:
        return layers.IAF(**options)
    tau_syn = float(rng.uniform(1, 4)) if rng.random() < 0.4 else None
    return layers.LIF(float(rng.uniform(2, 20)), tau_syn, norm_input=bool(rng.random() < 0.5), **options)


def spikingjelly_neuron(rng):
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    options = {"v_threshold": float(rng.uniform(0.3, 1.2)), "v_reset": [None, 0.0, -0.3][rng.integers(3)]}
    if rng.random() < 0.3:
        return neuron.IFNode(**options)
    kind = [neuron.LIFNode, neuron.ParametricLIFNode][rng.integers(2)]
    return kind(float(rng.uniform(1.3, 10)), bool(rng.random() < 0.5), **options)


def norse_neuron(rng):
    norse = pytest.importorskip("norse.torch")
    rate, threshold = torch.tensor(float(rng.uniform(50, 800))), torch.tensor(float(rng.uniform(0.1, 0.6)))
    kind = rng.integers(3)
    if kind == 0:
        return norse.IAFCell(norse.IAFParameters(v_th=threshold))
    if kind == 1:
        return norse.LIFBoxCell(norse.LIFBoxParameters(tau_mem_inv=rate, v_th=threshold))
    return norse.LIFCell(norse.LIFParameters(tau_mem_inv=rate, tau_syn_inv=torch.tensor(300.0), v_th=threshold))


def snntorch_neuron(rng):
    snn = pytest.importorskip("snntorch")
    beta, threshold = float(rng.uniform(0.3, 0.98)), float(rng.uniform(0.4, 1.2))
    if rng.random() < 0.4:
        return snn.Synaptic(float(rng.uniform(0.2, 0.8)), beta, threshold=threshold, init_hidden=True)
    return snn.Leaky(beta, threshold=threshold, reset_mechanism=["subtract", "zero"][rng.integers(2)], init_hidden=True)


def lapicque(rng):
    snn = pytest.importorskip("snntorch")
    return snn.Lapicque(R=float(rng.uniform(1, 5)), C=float(rng.uniform(1, 4)), threshold=float(rng.uniform(0.4, 1.2)), init_hidden=True)


LIBRARIES = {
    "sinabs": sinabs_neuron,
    "spikingjelly": spikingjelly_neuron,
    "norse": norse_neuron,
    "snntorch": snntorch_neuron,
    "lapicque": lapicque,
}


class Whole(nn.Module):
    """Maps over all steps, and neurons that take all steps, as sinabs has them: (1, T, n)."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Skip(nn.Module):
    """The second population also gets the spikes of the first."""

    def __init__(self, *layers):
        super().__init__()
        self.first, self.one, self.second, self.two, self.last = layers

    def forward(self, x):
        a = self.one(self.first(x))
        a = a[0] if isinstance(a, tuple) else a
        b = self.two(self.second(a) + 0.8 * a)
        return self.last(b[0] if isinstance(b, tuple) else b)


def random_network(library, rng):
    """Dense layers, a skip in every second one; weights so large that neurons spike."""
    n, hidden = int(rng.integers(5, 10)), int(rng.integers(5, 12))
    layers = [nn.Linear(n, hidden), LIBRARIES[library](rng), nn.Linear(hidden, hidden), LIBRARIES[library](rng), nn.Linear(hidden, 3)]
    generator = torch.Generator().manual_seed(int(rng.integers(1000)))
    for layer in layers[::2]:
        layer.weight.data = torch.randn(layer.weight.shape, generator=generator) * 3 / layer.in_features**0.5
    return n, (Skip if rng.random() < 0.5 else Whole)(*layers)


@pytest.mark.parametrize("library", LIBRARIES)
def test_twenty_random_networks(library):
    """The stages in double precision, whose neurons are those of the library, step by step; silent layers are few."""
    spiking = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        n, module = random_network(library, rng)
        source = read_module(module, n)
        frames = (rng.random((STEPS, n)) < 0.4).astype(np.float32)
        recording = record(source.reading, {}, frames)
        ours, _ = run_stages(source, frames)
        theirs = [use.left for layer, use in zip(source.reading.layers, recording.uses, strict=True) if layer.spikes]
        assert len(ours) == len(theirs) == 2
        for each, expected in zip(ours, theirs, strict=True):
            assert (each != (expected != 0)).sum() <= 1, (library, seed)  # a potential that meets its threshold in float32
            spiking += expected.any()
    assert spiking > 30


@pytest.mark.parametrize("library", LIBRARIES)
def test_in_the_engine(library):
    rng = np.random.default_rng(3)
    n, module = random_network(library, rng)
    assert "no spike differs in" in tpl.convert(module, input_shape=n).provenance.verification


def refused():
    act = pytest.importorskip("sinabs.activation")
    layers = pytest.importorskip("sinabs.layers")
    yield layers.LIF(5.0), "spike_fn is MultiSpike, but must be SingleSpike"
    yield layers.LIF(5.0, spike_fn=act.SingleSpike, min_v_mem=-1.0), "min_v_mem is -1.0, but must be None"
    recurrent = layers.LIFRecurrent(5.0, rec_connect=nn.Linear(5, 5), spike_fn=act.SingleSpike)
    yield recurrent, "type is LIFRecurrent, made from LIF, but must be LIF itself; use LIF itself, or declare neurons in its place"
    yield layers.IAF(spike_fn=act.SingleSpike, reset_fn=act.MembraneReset(0.2)), "reset_fn is"


def test_what_sinabs_has_and_we_have_not():
    for neuron, message in refused():
        with pytest.raises(tpl.InvalidValueError, match=message):
            tpl.convert(nn.Sequential(nn.Linear(4, 5), neuron, nn.Linear(5, 2)), input_shape=4)


def test_norse_resets_elsewhere():
    norse = pytest.importorskip("norse.torch")
    cell = norse.LIFBoxCell(norse.LIFBoxParameters(v_reset=torch.tensor(0.1)))
    with pytest.raises(tpl.InvalidValueError, match="v_reset, v_leak is 0.1 where the potential rests at 0"):
        tpl.convert(norse.SequentialState(nn.Linear(4, 5), cell, nn.Linear(5, 2)), input_shape=4)


def test_lines_of_a_conv1d():
    torch.manual_seed(2)
    snn = pytest.importorskip("snntorch")
    net = nn.Sequential(
        nn.Conv1d(2, 4, 3, 2, 1, bias=False), nn.BatchNorm1d(4), snn.Leaky(0.8, init_hidden=True), nn.Flatten(), nn.Linear(16, 3)
    )
    net[0].weight.data *= 5
    network = tpl.convert(net.eval(), input_shape=(2, 8))
    assert "no spike differs in 60 steps" in network.provenance.verification
    assert network.populations[0].shape == (4, 1, 4)


def test_the_input_of_a_first_linear_is_its_own():
    torch.manual_seed(2)
    net = nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 2))
    assert tpl.convert(net, neurons={"1": tpl.LIF(0.9, 0.1)}).sizes == (7, 5, 2)
    with pytest.raises(tpl.InvalidValueError, match="input_shape is None, with a Conv2d first, but must be given"):
        tpl.convert(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), neurons={"1": tpl.LIF()})


# One output ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ends_in_spikes", [False, True])
def test_one_output_in_every_form(ends_in_spikes, rng, tmp_path):
    """A regression: the score of class 0 is what the module gives, summed over the steps; quantised and fixed forms follow it."""
    torch.manual_seed(4)
    snn = pytest.importorskip("snntorch")
    last = [snn.Leaky(0.8, init_hidden=True)] if ends_in_spikes else []
    net = nn.Sequential(nn.Linear(6, 9), snn.Leaky(0.9, init_hidden=True), nn.Linear(9, 1), *last)
    net[0].weight.data *= 4
    net[2].weight.data *= 2
    network = tpl.convert(net)
    assert "no spike differs" in network.provenance.verification
    frames = (rng.random((30, 6)) < 0.4).astype(np.float32)
    events = tpl.Events.from_dense(frames)
    with torch.no_grad():
        net[1].reset_mem()
        expected = sum(float(net(frame[None])[0].sum()) for frame in torch.from_numpy(frames))
    scores = tpl.Learner(network).infer(events).scores
    assert scores[0] == pytest.approx(expected, abs=1e-3)
    q = tpl.quantise(network, [events])
    fixed = tpl.Learner(q.network, precision=q.fixed).infer(events)
    assert fixed.scores[0] == pytest.approx(expected, abs=0.2 * abs(expected) + 1)
    if not ends_in_spikes:
        back = tpl.convert(tpl.to_nir(network, 1e-3))
        assert tpl.Learner(back).infer(events).scores[0] == pytest.approx(expected, abs=1e-3)
