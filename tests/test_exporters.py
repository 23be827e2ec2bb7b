"""NIR does not hold the step, the reset, the comparison: what its exporters leave tells who wrote a file, and is not guessed at."""

import numpy as np
import pytest

import tp_lava as tpl
from tp_lava.convert.nir import EXPORTERS

torch = pytest.importorskip("torch")
nir = pytest.importorskip("nir")
from nir_libraries import quiet, rescaled, run_steps, spikes_of  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
nn = torch.nn
STEPS = 100


def same_spikes(network, net, neurons, shape=(10,), seed=1):
    spikes = spikes_of(shape, STEPS, seed)
    theirs = run_steps(net, spikes, neurons)
    outcome = tpl.Learner(network).infer(tpl.Events.from_dense(spikes.reshape(STEPS, -1)), record=True)
    for ours, expected in zip(outcome.spikes, theirs, strict=True):
        assert 0.02 < expected.mean() < 0.98
        np.testing.assert_array_equal(ours, expected != 0)


@pytest.fixture
def of_snntorch(tmp_path):
    """A network of snnTorch and its .nir file."""
    snn = pytest.importorskip("snntorch")
    export = pytest.importorskip("snntorch.export_nir").export_to_nir
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(10, 12), snn.Leaky(torch.full((12,), 0.95), threshold=torch.ones(12), init_hidden=True),
        nn.Linear(12, 4), snn.Leaky(torch.full((4,), 0.9), threshold=torch.ones(4), init_hidden=True),
    )  # fmt: skip
    rescaled(net, (0.8, 2.5), 5)
    nir.write(tmp_path / "trained.nir", quiet(export, net, torch.ones(1, 10), ignore_dims=[0]))
    return net, tmp_path / "trained.nir"


def test_a_step_that_snntorch_does_not_have_is_refused(of_snntorch):
    _, path = of_snntorch
    with pytest.raises(tpl.InvalidValueError, match='dt is 0.001, but must be 0.0001.*say exporter="snntorch"'):
        tpl.convert(path, dt=1e-3)


def test_a_reset_that_the_file_does_not_hold_is_not_guessed(of_snntorch):
    _, path = of_snntorch
    with pytest.raises(tpl.InvalidValueError, match='reset is None, but must be said.*say exporter="snntorch"'):
        tpl.convert(path, dt=1e-4)
    assert tpl.convert(path, dt=1e-4, reset="zero").layers[0].neuron.reset == "zero"


def test_the_exporter_by_name(of_snntorch):
    net, path = of_snntorch
    network = tpl.convert(path, exporter="snntorch")
    same_spikes(network, net, [net[1], net[3]])
    assert network.layers == tpl.convert(path, **EXPORTERS["snntorch"]).layers
    assert "reset_mechanism: added (not in the file; taken for by subtraction" in str(network.provenance)
    assert network.provenance.verification == "not verified: there is no PyTorch module to run beside it"
    assert tpl.convert(path, exporter="snntorch", reset="zero", reset_delay=False).layers[0].neuron.reset_by is None


def test_an_exporter_that_is_not_known(of_snntorch):
    with pytest.raises(tpl.InvalidValueError, match="exporter is 'brian', but must be one of snntorch, norse, sinabs, spikingjelly"):
        tpl.convert(of_snntorch[1], exporter="brian")


def test_our_own_files_need_no_exporter(of_snntorch, tmp_path):
    network = tpl.convert(of_snntorch[1], exporter="snntorch")
    nir.write(tmp_path / "own.nir", tpl.to_nir(network, 1e-3))
    assert tpl.convert(tmp_path / "own.nir").layers == network.layers


def test_a_rate_taken_for_a_gain_is_refused():
    """An IF whose r is 1 / dt, as SpikingJelly writes it, would fire at every spike."""
    nodes = [nir.Linear(np.ones((3, 4), np.float32)), nir.IF(r=np.full(3, 1e4), v_threshold=np.ones(3), v_reset=np.zeros(3))]
    graph = nir.NIRGraph.from_list(*nodes)
    with pytest.raises(tpl.InvalidValueError, match="r is 10000, but must be at most 1000 thresholds.*spikingjelly"):
        tpl.convert(graph)
    with pytest.raises(tpl.InvalidValueError, match="r is 10000 a second, but must be known in steps"):
        tpl.convert(graph, integrator_input="current")
    network = tpl.convert(graph, dt=1e-4, integrator_input="current")
    np.testing.assert_array_equal(network.weights["hidden0"], np.ones((3, 4), np.float32))
    assert tpl.convert(graph, exporter="spikingjelly").layers[0].neuron.comparison == ">="


NODES = {
    "if": lambda neuron: neuron.IFNode(v_threshold=0.7),
    "lif": lambda neuron: neuron.LIFNode(tau=4.0, v_threshold=0.4, decay_input=True),
    "lif, not decayed": lambda neuron: neuron.LIFNode(tau=4.0, decay_input=False, v_threshold=0.9),
    "plif": lambda neuron: neuron.ParametricLIFNode(init_tau=3.0, v_threshold=0.4),
}


@pytest.mark.parametrize("kind", NODES)
def test_spikingjelly(kind):
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    export = pytest.importorskip("spikingjelly.activation_based.nir_exchange").export_to_nir
    functional = pytest.importorskip("spikingjelly.activation_based.functional")
    net = nn.Sequential(nn.Linear(10, 12), NODES[kind](neuron), nn.Linear(12, 4), neuron.IFNode(v_threshold=1.5)).eval()
    rescaled(net, (1.5, 2.0), 2)
    graph = quiet(export, net, torch.ones(1, 10))
    functional.reset_net(net)
    same_spikes(tpl.convert(graph, exporter="spikingjelly"), net, [net[1], net[3]])


def test_what_exporters_leave_out_is_said():
    nodes = [nir.Linear(np.ones((3, 4), np.float32)), nir.IF(r=np.ones(3), v_threshold=np.ones(3), v_reset=np.zeros(3))]
    said = str(tpl.convert(nir.NIRGraph.from_list(*nodes), exporter="sinabs").provenance)
    for lost in ("spike_fn: added (not in the file; taken for SingleSpike: MultiSpike", "min_v_mem", "tau_syn"):
        assert lost in said
    assert "v_reset: added" in str(tpl.convert(nir.NIRGraph.from_list(*nodes), exporter="norse").provenance)


# The module beside its file -----------------------------------------------------------------------


def test_a_file_of_snntorch_beside_its_module(of_snntorch):
    net, path = of_snntorch
    assert "no spike differs in 60 steps" in tpl.convert(path, exporter="snntorch", module=net).provenance.verification
    with pytest.raises(tpl.ConversionError, match="that the file does not hold: see EXPORTERS") as caught:
        tpl.convert(path, dt=1e-4, reset="zero", module=net)
    assert caught.value.layer == "1"
    assert tpl.convert(path, dt=1e-4, reset="zero", module=net, verify=False).provenance.verification == ""


def test_modules_that_do_not_fit(of_snntorch):
    _, path = of_snntorch
    with pytest.raises(tpl.InvalidValueError, match="module is 3, but must be the PyTorch module"):
        tpl.convert(path, exporter="snntorch", module=3)
    with pytest.raises(tpl.InvalidValueError, match="a Linear without, but must be a module with neurons of snntorch"):
        tpl.convert(path, exporter="snntorch", module=nn.Linear(10, 4))
    with pytest.raises(tpl.InvalidValueError, match="samples is given, but must be None"):
        tpl.convert(path, exporter="snntorch", samples=[])
    snn = pytest.importorskip("snntorch")
    other = nn.Sequential(nn.Linear(10, 4), snn.Leaky(0.9, init_hidden=True))
    said = tpl.convert(path, exporter="snntorch", module=other).provenance.verification
    assert said == "not verified: the module has 1 layers of neurons, and the network 2"


@pytest.mark.parametrize("multiple", [False, True])
def test_a_graph_of_sinabs_beside_its_module(multiple):
    sl = pytest.importorskip("sinabs.layers")
    activation = pytest.importorskip("sinabs.activation")
    spike = {"batch_size": 1} if multiple else {"batch_size": 1, "spike_fn": activation.SingleSpike}
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3), sl.LIFSqueeze(tau_mem=5.0, norm_input=True, spike_threshold=torch.tensor(0.3), **spike),
        sl.SumPool2d(2), nn.Flatten(), nn.Linear(36, 5), sl.IAFSqueeze(**spike),
    )  # fmt: skip
    rescaled(net, (2.5, 1.0), 7)
    graph = quiet(pytest.importorskip("sinabs.nir").to_nir, net, torch.rand(100, 2, 8, 8))
    if not multiple:
        assert "no spike differs" in tpl.convert(graph, exporter="sinabs", module=net).provenance.verification
        return
    with pytest.raises(tpl.ConversionError, match="several spikes in one step, as sinabs' MultiSpike makes"):
        tpl.convert(graph, exporter="sinabs", module=net)


def test_layers_of_sinabs_with_a_batch_beside_their_module():
    sl = pytest.importorskip("sinabs.layers")
    single = pytest.importorskip("sinabs.activation").SingleSpike
    lif = {"tau_mem": torch.full((12,), 8.0), "norm_input": False, "spike_fn": single, "spike_threshold": torch.ones(12)}
    net = nn.Sequential(nn.Linear(10, 12), sl.LIF(**lif), nn.Linear(12, 4), sl.IAF(spike_fn=single))
    rescaled(net, (0.6, 1.0), 7)
    flat = nn.Sequential(net[0], sl.LIFSqueeze(batch_size=1, **lif), net[2], sl.IAFSqueeze(batch_size=1, spike_fn=single))
    graph = quiet(pytest.importorskip("sinabs.nir").to_nir, flat, torch.rand(100, 10))
    network = tpl.convert(graph, exporter="sinabs", membrane_input="jump", module=net)
    assert "no spike differs" in network.provenance.verification


@pytest.mark.parametrize("mode", ["s", "m"])
def test_spikingjelly_beside_its_module(mode):
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    export = pytest.importorskip("spikingjelly.activation_based.nir_exchange").export_to_nir
    net = nn.Sequential(nn.Linear(10, 12), neuron.IFNode(v_threshold=0.7), nn.Linear(12, 4), neuron.LIFNode(v_threshold=0.5)).eval()
    rescaled(net, (1.5, 2.0), 2)
    graph = quiet(export, net, torch.ones(1, 10))
    for layer in (net[1], net[3]):
        layer.step_mode = mode
    network = tpl.convert(graph, exporter="spikingjelly", module=net)
    assert "no spike differs" in network.provenance.verification


# Twenty random networks of each library, beside their modules ---------------------------------------


def of_random_snntorch(rng):
    snn = pytest.importorskip("snntorch")
    export = pytest.importorskip("snntorch.export_nir").export_to_nir

    def neuron(size):
        beta, threshold = torch.tensor(rng.uniform(0.2, 0.98, size)), torch.tensor(rng.uniform(0.5, 1.5, size))
        return snn.Leaky(beta.float(), threshold=threshold.float(), init_hidden=True)

    net = nn.Sequential(nn.Linear(10, 12), neuron(12), nn.Linear(12, 6), neuron(6))
    return net, lambda: quiet(export, net, torch.ones(1, 10), ignore_dims=[0])


def of_random_sinabs(rng):
    sl = pytest.importorskip("sinabs.layers")
    spike = {"batch_size": 1, "spike_fn": pytest.importorskip("sinabs.activation").SingleSpike}
    tau, threshold = torch.tensor(rng.uniform(2, 30, 12)).float(), torch.tensor(rng.uniform(0.1, 0.4, 12)).float()
    lif = sl.LIFSqueeze(tau_mem=tau, norm_input=True, spike_threshold=threshold, **spike)
    net = nn.Sequential(nn.Linear(10, 12), lif, nn.Linear(12, 6), sl.IAFSqueeze(**spike))
    return net, lambda: quiet(pytest.importorskip("sinabs.nir").to_nir, net, torch.rand(50, 10))


def of_random_spikingjelly(rng):
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    export = pytest.importorskip("spikingjelly.activation_based.nir_exchange").export_to_nir
    kinds = [
        neuron.IFNode(v_threshold=float(rng.uniform(0.5, 1.5))),
        neuron.LIFNode(tau=float(rng.uniform(1.5, 20)), v_threshold=float(rng.uniform(0.1, 0.5)), decay_input=bool(rng.integers(2))),
        neuron.ParametricLIFNode(init_tau=float(rng.uniform(1.5, 10)), v_threshold=float(rng.uniform(0.1, 0.5))),
    ]
    net = nn.Sequential(nn.Linear(10, 12), kinds[rng.integers(3)], nn.Linear(12, 6), kinds[rng.integers(2)]).eval()
    return net, lambda: quiet(export, net, torch.ones(1, 10))


LIBRARIES = {"snntorch": of_random_snntorch, "sinabs": of_random_sinabs, "spikingjelly": of_random_spikingjelly}


@pytest.mark.parametrize("library", LIBRARIES)
def test_twenty_random_networks(library):
    verified = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        net, export = LIBRARIES[library](rng)
        if net[1] is net[3]:
            continue
        rescaled(net, (float(rng.uniform(1, 3)), float(rng.uniform(1, 3))), seed)
        said = tpl.convert(export(), exporter=library, module=net).provenance.verification
        assert said.startswith("verified beside the module on 3 random samples: no spike differs in"), said
        verified += "in 60 steps" in said
    assert verified >= 8
