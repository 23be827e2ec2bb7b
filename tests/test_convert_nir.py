"""NIR: networks of snnTorch, norse and sinabs spike as they do there, graphs survive the way back, bad ones are refused."""

import itertools
import random

import numpy as np
import pytest
from stage_oracle import run_stages

import tp_lava as tpl
from tp_lava.convert.nir import EXPORTERS, graph_of, read_nir
from tp_lava.convert.stages import Convolution, Dense, Integrating, Pooling, Source, Spiking
from tp_lava.errors import ArchiveError, FormatUnavailableError, InvalidValueError, TpLavaError

nir = pytest.importorskip("nir")
h5py = pytest.importorskip("h5py")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")

STEPS = 200


def assert_spikes_agree(ours, theirs, least=0.04, most=0.9):
    """>= 99.9 % of the spikes the same; the libraries count in 32 bits, the oracle in 64."""
    assert len(ours) == len(theirs)
    assert [a.shape for a in ours] == [b.shape for b in theirs]
    assert min((a == b).mean() for a, b in zip(ours, theirs, strict=True)) >= 0.999
    rates = [float(b.mean()) for b in theirs]
    assert least < min(rates) <= max(rates) < most, rates


def through_file(graph, tmp_path):
    """The graph's file, or None where nir.write cannot: it takes neither None (types not inferred) nor arrays without dimensions."""
    try:
        nir.write(tmp_path / "graph.nir", graph)
    except TypeError:
        return None
    return tmp_path / "graph.nir"


def check(graph, options, spikes, theirs, tmp_path, writable=False):
    source = read_nir(graph, **options)
    assert_spikes_agree(run_stages(source, spikes)[0], theirs)
    path = through_file(graph, tmp_path)
    assert path is not None or not writable
    if path is not None:
        assert_same(read_nir(path, **options), source)
    again = graph_of(source, 1e-3)
    assert_same(read_nir(again), source)
    nir.write(tmp_path / "again.nir", again)
    assert_same(read_nir(tmp_path / "again.nir"), source)
    return source


def assert_same(a, b):
    assert a.input_shape == b.input_shape
    assert [type(s) for s in a.stages] == [type(s) for s in b.stages]
    for one, other in zip(a.stages, b.stages, strict=True):
        for name in vars(one):
            found, expected = getattr(one, name), getattr(other, name)
            if isinstance(expected, np.ndarray):
                assert isinstance(found, np.ndarray), (one.path, name)
                assert found.dtype == expected.dtype
                np.testing.assert_array_equal(found, expected, err_msg=f"{one.path}.{name}")
            else:
                assert found == expected, (one.path, name)
                assert isinstance(found, np.ndarray) == isinstance(expected, np.ndarray)


# snnTorch


def snn_network(kind, reset, delay, bias=True):
    from nir_libraries import rescaled, torch

    snn = pytest.importorskip("snntorch")
    common = {"init_hidden": True, "reset_mechanism": reset, "reset_delay": delay}
    beta = torch.linspace(0.7, 0.95, 12)
    threshold = torch.linspace(0.8, 1.2, 12)
    neurons = {
        "leaky": lambda: snn.Leaky(beta, threshold=threshold, **common),
        "synaptic": lambda: snn.Synaptic(torch.linspace(0.2, 0.6, 12), beta, threshold=threshold, **common),
        "rleaky": lambda: snn.RLeaky(0.8, linear_features=12, **common),
        "rsynaptic": lambda: snn.RSynaptic(0.4, 0.8, linear_features=12, **common),
        "one-to-one": lambda: snn.RLeaky(0.8, V=torch.linspace(-0.8, 0.8, 12), all_to_all=False, **common),
    }
    out = snn.Leaky(torch.full((4,), 0.9), threshold=torch.ones(4), **common)
    net = torch.nn.Sequential(torch.nn.Linear(10, 12, bias=bias), neurons[kind](), torch.nn.Linear(12, 4), out)
    return rescaled(net, (0.8, 0.8, 2.5) if kind in ("rleaky", "rsynaptic") else (0.8, 2.5), 5)


@pytest.mark.parametrize("kind", ["leaky", "synaptic", "rleaky", "rsynaptic", "one-to-one"])
def test_snntorch_by_its_defaults(kind, tmp_path):
    from nir_libraries import quiet, run_steps, spikes_of, torch

    net = snn_network(kind, "subtract", True, bias=kind != "rsynaptic")
    export = pytest.importorskip("snntorch.export_nir").export_to_nir
    graph = quiet(export, net, torch.ones(1, 10), ignore_dims=[0])
    spikes = spikes_of((10,), STEPS, 1)
    source = check(graph, EXPORTERS["snntorch"], spikes, run_steps(net, spikes, [net[1], net[3]]), tmp_path, writable=True)
    assert (source.stages[1].feedback is not None) == (kind not in ("leaky", "synaptic"))


@pytest.mark.parametrize(("kind", "delay"), [("leaky", True), ("leaky", False), ("synaptic", False), ("rleaky", False)])
def test_snntorch_with_reset_to_zero(kind, delay, tmp_path):
    from nir_libraries import quiet, run_steps, spikes_of, torch

    net = snn_network(kind, "zero", delay)
    graph = quiet(pytest.importorskip("snntorch.export_nir").export_to_nir, net, torch.ones(1, 10), ignore_dims=[0])
    spikes = spikes_of((10,), STEPS, 2)
    options = {**EXPORTERS["snntorch"], "reset": "zero", "reset_delay": delay}
    check(graph, options, spikes, run_steps(net, spikes, [net[1], net[3]]), tmp_path, writable=True)


def test_snntorch_with_reset_at_once(tmp_path):
    """Exact while no potential passes twice the threshold: beyond, snnTorch itself forgets to subtract."""
    from nir_libraries import quiet, rescaled, run_steps, spikes_of, torch

    net = rescaled(snn_network("leaky", "subtract", False), 0.4, 5)
    graph = quiet(pytest.importorskip("snntorch.export_nir").export_to_nir, net, torch.ones(1, 10), ignore_dims=[0])
    spikes = spikes_of((10,), STEPS, 3)
    theirs = run_steps(net, spikes, [net[1]])
    source = read_nir(graph, dt=1e-4, reset="subtract")
    assert_spikes_agree(run_stages(source, spikes)[0][:1], theirs, 0.02)


def test_snntorch_delayed_zero_is_refused_where_input_is_lost():
    from nir_libraries import quiet, torch

    for kind in ("synaptic", "rleaky"):
        net = snn_network(kind, "zero", True)
        graph = quiet(pytest.importorskip("snntorch.export_nir").export_to_nir, net, torch.ones(1, 10), ignore_dims=[0])
        with pytest.raises(InvalidValueError, match="lose a step's input"):
            read_nir(graph, dt=1e-4, reset="zero", reset_delay=True)


# norse


def test_norse(tmp_path):
    norse = pytest.importorskip("norse.torch")
    from nir_libraries import quiet, rescaled, run_steps, spikes_of, torch

    fast = norse.LIFBoxParameters(tau_mem_inv=torch.tensor(200.0), v_th=torch.tensor(0.3))
    synaptic = norse.LIFParameters(v_th=torch.tensor(0.5))
    net = norse.SequentialState(
        torch.nn.Linear(10, 12), norse.LIFBoxCell(fast), torch.nn.Linear(12, 12), norse.LIFCell(synaptic),
        torch.nn.Linear(12, 9, bias=False), norse.IAFCell(),
    )  # fmt: skip
    rescaled(net, (3.0, 3.0, 1.5), 3)
    graph = quiet(norse.to_nir, net, torch.ones(1, 10))
    spikes = spikes_of((10,), STEPS, 4)
    theirs = run_steps(net, spikes, [net[1], net[3], net[5]])
    source = check(graph, EXPORTERS["norse"], spikes, theirs, tmp_path)
    assert source.input_shape == (10,)  # without the batch, which norse leaves in
    assert [s.decay for s in source.stages[1::2]] == pytest.approx([0.8, 0.9, 1.0])
    assert source.stages[3].current_decay == pytest.approx(0.8)


def test_twenty_random_networks_of_norse():
    """As test_library_modules has them by their modules, here through NIR."""
    norse = pytest.importorskip("norse.torch")
    from nir_libraries import quiet, rescaled, run_steps, spikes_of, torch
    from test_library_modules import norse_neuron

    spiking = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        n, hidden = int(rng.integers(5, 10)), int(rng.integers(5, 12))
        maps = torch.nn.Linear(n, hidden), torch.nn.Linear(hidden, hidden, bias=False), torch.nn.Linear(hidden, 3)
        net = norse.SequentialState(maps[0], norse_neuron(rng), maps[1], norse_neuron(rng), maps[2])
        rescaled(net, 3.0, seed)
        graph = quiet(norse.to_nir, net, torch.ones(1, n))
        spikes = spikes_of((n,), 40, seed)
        theirs = run_steps(net, spikes, [net[1], net[3]])
        for ours, expected in zip(run_stages(read_nir(graph, exporter="norse"), spikes)[0], theirs, strict=True):
            np.testing.assert_array_equal(ours, expected != 0, f"seed {seed}")
        spiking += sum(0.02 < (each != 0).mean() < 0.98 for each in theirs)
    assert spiking > 35


# sinabs


def test_sinabs_convolution(tmp_path):
    sl = pytest.importorskip("sinabs.layers")
    from nir_libraries import quiet, rescaled, torch

    single = pytest.importorskip("sinabs.activation").SingleSpike
    neuron = {"batch_size": 1, "spike_fn": single}
    net = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, (3, 2), stride=(1, 2), padding=(1, 0), dilation=(1, 1)),
        sl.LIFSqueeze(tau_mem=5.0, norm_input=True, spike_threshold=torch.tensor(0.3), **neuron),
        sl.SumPool2d(2), torch.nn.Conv2d(4, 6, 3, padding=2, dilation=2, groups=2, bias=False),
        sl.LIFSqueeze(tau_mem=torch.tensor(8.0), norm_input=True, spike_threshold=torch.tensor(0.3), **neuron),
        torch.nn.Flatten(), torch.nn.Linear(6 * 4 * 2, 5), sl.IAFSqueeze(**neuron),
    )  # fmt: skip
    rescaled(net, (2.5, 4.0, 8.0), 7)
    spikes = (np.random.default_rng(5).random((80, 2, 8, 8)) < 0.4).astype(np.float32)
    graph = quiet(pytest.importorskip("sinabs.nir").to_nir, net, torch.from_numpy(spikes))
    theirs = sinabs_spikes(net, spikes, [1, 4, 7])
    source = check(graph, EXPORTERS["sinabs"], spikes, theirs, tmp_path)
    assert source.stages[3].groups == 2
    assert source.stages[0].stride == (1, 2)


def sinabs_spikes(net, spikes, places):
    from nir_libraries import torch

    for layer in net:
        if hasattr(layer, "reset_states"):
            layer.reset_states()
    x, found = torch.from_numpy(spikes), []
    with torch.no_grad():
        for place, layer in enumerate(net):
            x = layer(x)
            if place in places:
                found.append(x.numpy().reshape(len(spikes), -1))
    return found


def test_sinabs_without_norm_and_with_readout(tmp_path):
    sl = pytest.importorskip("sinabs.layers")
    from nir_libraries import quiet, rescaled, spikes_of, torch

    single = pytest.importorskip("sinabs.activation").SingleSpike
    lif = sl.LIFSqueeze(
        tau_mem=torch.linspace(3, 20, 12), norm_input=False, spike_fn=single, batch_size=1, spike_threshold=torch.full((12,), 1.5)
    )
    leak = sl.ExpLeakSqueeze(tau_mem=torch.full((3,), 10.0), batch_size=1)
    net = rescaled(torch.nn.Sequential(torch.nn.Linear(10, 12), lif, torch.nn.Linear(12, 3), leak), 1.0, 2)
    spikes = spikes_of((10,), STEPS, 8)
    graph = quiet(pytest.importorskip("sinabs.nir").to_nir, net, torch.from_numpy(spikes))
    theirs, potentials = sinabs_spikes(net, spikes, [1, 3])
    source = check(graph, {**EXPORTERS["sinabs"], "membrane_input": "jump"}, spikes, [theirs], tmp_path)
    np.testing.assert_allclose(run_stages(source, spikes)[1], potentials, atol=1e-4)


# Graphs of our own


def lif(n, **changes):
    shape = (n,) if isinstance(n, int) else n
    numbers = {"tau": 0.01, "r": 5.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0} | changes
    return nir.LIF(**{name: np.full(shape, value) for name, value in numbers.items()})


def li(n):
    return nir.LI(tau=np.full(n, 0.02), r=np.full(n, 2.0), v_leak=np.full(n, 0.1))


def graph(*nodes, shape=(4,), metadata=None):
    names = ["input", *(f"n{i}" for i in range(len(nodes))), "output"]
    parts = [nir.Input(np.array(shape)), *nodes, nir.Output(np.array([1]))]
    edges = list(itertools.pairwise(names))
    return nir.NIRGraph(dict(zip(names, parts, strict=True)), edges, metadata=metadata or {}, type_check=False)


def matrix(n_out, n_in, seed=0):
    return np.random.default_rng(seed).normal(0, 1, (n_out, n_in))


def recurrent_graph(neuron, weight, bias=None, nested=True):
    n = len(weight)
    back = nir.Linear(weight) if bias is None else nir.Affine(weight, bias)
    if not nested:
        whole = graph(nir.Linear(matrix(n, 4)), neuron)
        whole.nodes["back"] = back
        whole.edges += [("n1", "back"), ("back", "n1")]
        return whole
    nodes = {"input": nir.Input(np.array([n])), "lif": neuron, "w_rec": back, "output": nir.Output(np.array([n]))}
    edges = [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")]
    return graph(nir.Linear(matrix(n, 4)), nir.NIRGraph(nodes, edges, type_check=False))


def test_discretisations():
    spiking = read_nir(graph(lif(4, v_leak=0.5)), dt=0.002).stages[0]
    assert (spiking.decay, spiking.gain, spiking.offset) == pytest.approx((0.8, 1.0, 0.1))
    assert (spiking.reset, spiking.comparison, spiking.reset_by) == ("zero", ">", None)
    spiking = read_nir(graph(lif(4, v_leak=0.5)), dt=0.002, decay="exponential", comparison=">=", reset="subtract").stages[0]
    decay = np.exp(-0.2)
    np.testing.assert_allclose(spiking.decay, np.full(4, decay))
    np.testing.assert_allclose(spiking.gain, 5 * (1 - decay))
    np.testing.assert_allclose(spiking.offset, 0.5 * (1 - decay))
    assert (spiking.reset, spiking.comparison) == ("subtract", ">=")
    assert read_nir(graph(lif(4)), dt=0.002, membrane_input="jump").stages[0].gain[0] == 5
    delayed = read_nir(graph(lif(4)), dt=0.002, reset="subtract", reset_delay=True).stages[0]
    np.testing.assert_allclose(delayed.reset_by, 1 / 0.8)


def test_synaptic_current_and_delayed_reset_by_hand():
    """The equations of NIR, forward Euler with the new current, written out."""
    node = nir.CubaLIF(*(np.full(1, v) for v in (0.004, 0.01, 2.0, 0.05, 1.0, 0.0, 1.0)))
    source = read_nir(graph(nir.Linear(np.ones((1, 4))), node), dt=0.001)
    spikes = np.random.default_rng(0).integers(0, 2, (50, 4))
    current, v, expected = 0.0, 0.0, []
    for x in spikes:
        current += 0.001 / 0.004 * (-current + 1.0 * x.sum())
        v += 0.001 / 0.01 * (0.05 - v + 2.0 * current)
        expected.append(float(v > 1))
        v = 0.0 if v > 1 else v
    np.testing.assert_array_equal(run_stages(source, spikes)[0][0].ravel(), expected)
    assert 0.05 < np.mean(expected) < 0.9


def test_nonzero_reset_potential_shifts_potentials():
    source = read_nir(graph(lif(4, v_reset=0.3, v_leak=0.5)), dt=0.002)
    spikes = np.random.default_rng(1).integers(0, 2, (60, 4)) * 0.9
    v, expected = np.full(4, 0.3), []
    for x in spikes:
        v = v + 0.2 * (0.5 - v + 5 * x)
        expected.append((v > 1) * 1.0)
        v = np.where(v > 1, 0.3, v)
    np.testing.assert_array_equal(run_stages(source, spikes)[0][0], expected)
    assert 0.05 < np.mean(expected) < 0.9
    assert any(record.parameter == "v_reset" and "shifted" in record.detail for record in source.records)


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("cuba", [True, False])
def test_recurrence_by_hand(nested, cuba):
    """Gain applies to recurrent input too; its bias is filtered by a synaptic current."""
    n, weight, bias = 5, matrix(5, 5, 1) * 0.5, np.linspace(-0.5, 1.0, 5)
    columns = (0.004, 0.01, 4.0, 0.0, 1.0, 0.0, 1.5)
    neuron = nir.CubaLIF(*(np.full(n, v) for v in columns)) if cuba else lif(n)
    source = read_nir(recurrent_graph(neuron, weight, bias, nested), dt=0.002)
    spikes = np.random.default_rng(2).integers(0, 2, (80, 4))
    current, v, s, expected = np.zeros(n), np.zeros(n), np.zeros(n), []
    for x in spikes:
        arriving = matrix(n, 4) @ x + weight @ s + bias
        current = current + 0.5 * (-current + 1.5 * arriving)
        v = v + 0.2 * (-v + (4 * current if cuba else 5 * arriving))
        s = (v > 1) * 1.0
        v = np.where(v > 1, 0, v)
        expected.append(s)
    np.testing.assert_array_equal(run_stages(source, spikes)[0][0], expected)
    assert 0.05 < np.mean(expected) < 0.9


def test_step_from_metadata():
    assert read_nir(graph(lif(4), metadata={"dt": 0.002})).stages[0].decay[0] == 0.8
    node = lif(4)
    node.metadata = {"dt": np.array(0.002)}
    assert read_nir(graph(node)).stages[0].decay[0] == 0.8
    assert read_nir(graph(node, metadata={"dt": 0.002}), dt=0.001).stages[0].decay[0] == 0.9
    with pytest.raises(InvalidValueError, match="same everywhere"):
        read_nir(graph(node, metadata={"dt": 0.001}))


@pytest.mark.parametrize(("options", "message"), [({"adaptation": 0.2}, "adaptation is 0.2"), ({"refractory": 2}, "refractory is 2")])
def test_what_nir_has_not_is_refused(options, message):
    source = Source("test", (4,), [Dense("fc", np.ones((3, 4))), Spiking("lif", 0.9, 1.0, **options)])
    with pytest.raises(InvalidValueError, match=f"convert: lif: {message}, but must be 0, for NIR's neurons have none"):
        graph_of(source, 1e-3)


def test_neurons_without_time_constants_need_no_step():
    source = read_nir(graph(nir.IF(np.full(4, 2.0), np.full(4, 3.0)), nir.Linear(matrix(2, 4)), nir.I(np.full(2, 1.5))))
    assert (source.stages[0].decay, source.stages[2].decay) == (1.0, 1.0)
    np.testing.assert_array_equal(source.stages[0].gain, np.full(4, 2.0))
    np.testing.assert_array_equal(source.stages[2].gain, np.full(2, 1.5))


@pytest.mark.parametrize("k", [(3, 3), (2, 3), (4, 2), (1, 1)])
def test_padding_by_name(k):
    torch = pytest.importorskip("torch")
    kernel = np.random.default_rng(3).normal(size=(2, 3, *k))
    for padding in ("same", "valid"):
        source = read_nir(graph(nir.Conv2d(None, kernel, (1, 1), padding, (1, 1), 1, np.zeros(2)), shape=(3, 6, 7)))
        potential = run_stages(Source("", (3, 6, 7), [*source.stages, Integrating("m", 0.0)]), np.ones((1, 3, 6, 7)))[1]
        expected = torch.nn.functional.conv2d(torch.ones(1, 3, 6, 7, dtype=float), torch.from_numpy(kernel), padding=padding)
        np.testing.assert_allclose(potential.ravel(), expected.numpy().ravel(), atol=1e-12)


@pytest.mark.parametrize("kind", [nir.SumPool2d, nir.AvgPool2d])
def test_pooling_with_all_options(kind):
    torch = pytest.importorskip("torch")
    image = np.random.default_rng(3).random((1, 3, 7, 6))
    source = read_nir(graph(kind(np.array([3, 2]), np.array([2, 1]), np.array([1, 0])), shape=(3, 7, 6)))
    potential = run_stages(Source("", (3, 7, 6), [*source.stages, Integrating("m", 0.0)]), image)[1]
    expected = torch.nn.functional.avg_pool2d(torch.from_numpy(image), (3, 2), (2, 1), (1, 0)) * (6 if kind is nir.SumPool2d else 1)
    np.testing.assert_allclose(potential.ravel(), expected.numpy().ravel(), atol=1e-12)


def test_scales_go_into_what_follows():
    """Scale before a map, a convolution, through pooling, before a neuron, and at the end: the same as written out."""
    rng = np.random.default_rng(4)
    by_channel = np.broadcast_to(np.array([0.5, 2.0, 1.5])[:, None, None], (3, 6, 6)).copy()
    kernel, factors, last = rng.normal(size=(6, 1, 3, 3)), rng.uniform(0.5, 2, (6, 2, 2)), rng.uniform(0.5, 2, 5)
    nodes = [
        nir.Scale(by_channel), nir.Conv2d(None, kernel, 1, 0, 1, 3, np.zeros(6)), nir.Scale(np.full((6, 4, 4), 3.0)),
        nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])), nir.Scale(factors), nir.Flatten(np.array([6, 2, 2]), 0, -1),
        nir.Affine(matrix(5, 24), np.ones(5)), nir.Scale(last),
    ]  # fmt: skip
    source = read_nir(graph(*nodes, shape=(3, 6, 6)))
    assert [type(s) for s in source.stages] == [Convolution, Pooling, Dense]
    image = rng.random((1, 3, 6, 6))
    plain = [Convolution("", kernel, None, groups=3), Pooling("", (2, 2), (2, 2)), Integrating("", 0.0)]
    pooled = run_stages(Source("", (3, 6, 6), plain), image * by_channel)[1].ravel() * 3.0 * factors.ravel()
    expected = (matrix(5, 24) @ pooled + 1) * last
    found = run_stages(Source("", (3, 6, 6), [*source.stages, Integrating("m", 0.0)]), image)[1].ravel()
    np.testing.assert_allclose(found, expected)
    scaled = read_nir(graph(nir.Scale(np.arange(1.0, 5.0)), lif(4)), dt=0.002).stages[0]
    np.testing.assert_allclose(scaled.gain, [1, 2, 3, 4])
    assert {f.what for f in source.records if f.parameter == "scale"} == {"folded"}


def test_every_parameter_has_a_record():
    nodes = [nir.Affine(matrix(3, 4), np.ones(3)), lif(3), nir.Delay(np.zeros(3)), nir.Linear(matrix(2, 3)), li(2)]
    source = read_nir(graph(*nodes), dt=0.001)
    noted = {(record.path, record.parameter) for record in source.records}
    expected = {
        "n0": ("weight", "bias"),
        "n1": ("tau", "r", "v_leak", "v_threshold", "v_reset"),
        "n2": ("delay",),
        "n4": ("tau", "r", "v_leak"),
    }
    assert {(path, name) for path, names in expected.items() for name in names} <= noted
    assert {("n1", "reset"), ("n1", "comparison"), ("input", "shape")} <= noted


# Back and forth


def random_stages(seed):
    """A chain of everything that stages can say and NIR can hold."""
    rng = np.random.default_rng(seed)
    stages, shape = [], (int(rng.integers(1, 6)),)
    if rng.random() < 0.5:
        shape = (int(rng.integers(1, 4)), int(rng.integers(6, 9)), int(rng.integers(6, 9)))
        input_shape = shape
        groups = shape[0] if rng.random() < 0.3 else 1
        kernel = rng.normal(size=(2 * groups, shape[0] // groups, 3, int(rng.integers(1, 4)))).astype(rng.choice([np.float32, np.float64]))
        bias = rng.normal(size=2 * groups) if rng.random() < 0.5 else None
        conv = Convolution(f"conv{seed}", kernel, bias, (1, 2), (1, 2), (1, 1), groups)
        shape = run_shape(shape, kernel.shape, conv)
        stages += [conv, random_spiking(rng, shape, "a/b", feedback=False)]
        pool = Pooling("pool", (2, 2), (1, 1), (1, 0), float(rng.choice([1.0, 0.25, 0.3])))
        shape = run_shape(shape, (shape[0], 0, 2, 2), pool)
        stages.append(pool)
        shape = (int(np.prod(shape)),)
    else:
        input_shape = shape
    for number in range(int(rng.integers(1, 3))):
        n = int(rng.integers(1, 6))
        bias = rng.normal(size=n).astype(np.float32) if rng.random() < 0.5 else None
        stages.append(Dense(f"fc.{number}", rng.normal(size=(n, shape[0])).astype(np.float32), bias))
        stages.append(random_spiking(rng, (n,), "" if number else "lif", feedback=rng.random() < 0.6))
        shape = (n,)
    stages.append(Dense("out", rng.normal(size=(3, shape[0]))))
    if rng.random() < 0.7:
        flat = rng.random() < 0.5
        stages.append(Integrating("readout", *((1.0, rng.normal(size=3), 0.0) if flat else (rng.uniform(0, 1, 3), 0.7, -0.1))))
    return Source("nir", input_shape, stages)


def run_shape(shape, kernel, stage):
    out = [(n + 2 * p - (k - 1) - 1) // s + 1 for n, k, s, p in zip(shape[1:], kernel[2:], stage.stride, stage.padding, strict=True)]
    return (kernel[0], *out)


def random_spiking(rng, shape, path, feedback):
    n = int(np.prod(shape))

    def parameter(low, high):
        sizes = [None, n, *(shape[:1] if len(shape) == 3 and shape[0] > 1 else ())]
        size = sizes[rng.integers(len(sizes))]
        return float(rng.uniform(low, high)) if size is None else rng.uniform(low, high, size)

    leaky = rng.random() < 0.8
    current = parameter(0.01, 0.9) if leaky and rng.random() < 0.5 else 0.0
    subtract = rng.random() < 0.5
    return Spiking(
        path,
        parameter(0.0, 0.999) if leaky else 1.0,
        parameter(0.5, 1.5),
        current,
        "subtract" if subtract else "zero",
        parameter(0.5, 1.5) if subtract and rng.random() < 0.5 else None,
        ">=" if rng.random() < 0.5 else ">",
        parameter(0.1, 3.0) if rng.random() < 0.7 else 1.0,
        parameter(-0.1, 0.1) if leaky and rng.random() < 0.5 else 0.0,
        rng.normal(size=(n, n)).astype(np.float32) if feedback else None,
        float(rng.uniform(0, 1)) if rng.random() < 0.3 else None,
    )


@pytest.mark.parametrize("seed", range(30))
def test_stages_survive_nir(seed, tmp_path):
    source = random_stages(seed)
    written = graph_of(source, 10.0 ** -(seed % 5))
    assert_same(read_nir(written), source)
    nir.write(tmp_path / "g.nir", written)
    assert_same(read_nir(tmp_path / "g.nir"), source)
    theirs = nir.read(tmp_path / "g.nir", type_check=False)
    assert_same(read_nir(theirs), source)
    spikes = np.random.default_rng(seed).integers(0, 2, (5, *source.input_shape))
    for a, b in zip(run_stages(source, spikes)[0], run_stages(read_nir(theirs), spikes)[0], strict=True):
        np.testing.assert_array_equal(a, b)


def test_metadata_yields_to_a_changed_node():
    source = Source("nir", (2,), [Spiking("lif", 0.9, 1.0, gain=0.5)])
    written = graph_of(source, 1e-3)
    written.nodes["lif"].v_threshold = np.full(2, 1.25)
    again = read_nir(written).stages[0]
    assert again.decay == 0.9
    np.testing.assert_array_equal(again.threshold, [1.25, 1.25])


def test_nir_checks_the_types_of_what_we_write(tmp_path):
    """Also of square convolutions; its inference of others is wrong."""
    conv = Convolution("conv", np.ones((2, 1, 3, 3)), None, (1, 1), (1, 1))
    stages = [conv, Spiking("a", 0.9, 1.0), Pooling("p", (2, 2), (2, 2)), Dense("fc", np.ones((3, 18))), Spiking("b", 0.5, 1.0, 0.2)]
    stages[-1] = Spiking("b", 0.5, 1.0, 0.2, feedback=np.eye(3))
    written = graph_of(Source("nir", (1, 6, 6), [*stages, Dense("out", np.ones((2, 3))), Integrating("m", 0.9)]), 1e-3)
    assert written.check_types()
    nir.write(tmp_path / "g.nir", written)
    assert isinstance(nir.read(tmp_path / "g.nir"), nir.NIRGraph)


# Refusals


def changed(node, **changes):
    for name, value in changes.items():
        setattr(node, name, value)
    return node


def branching():
    whole = graph(lif(4), nir.Linear(matrix(4, 4)), lif(4))
    whole.edges.append(("n0", "output"))
    return whole


def aside():
    whole = graph(lif(4))
    whole.nodes["lost"] = lif(4)
    return whole


def cycle_aside():
    whole = aside()
    whole.nodes["found"] = nir.Linear(matrix(4, 4))
    whole.nodes["lost"] = nir.Linear(matrix(4, 4))
    whole.edges += [("lost", "found"), ("found", "lost")]
    return whole


def cycle():
    whole = graph(nir.Linear(matrix(4, 4)), lif(4), nir.Linear(matrix(4, 4)), lif(4))
    whole.edges.append(("n3", "n0"))
    return whole


def two_inputs():
    whole = graph(lif(4))
    whole.nodes["second"] = nir.Input(np.array([4]))
    whole.edges.append(("second", "n0"))
    return whole


def without(name):
    whole = graph(lif(4))
    del whole.nodes[name]
    whole.edges = [edge for edge in whole.edges if name not in edge]
    return whole


def edges(*pairs):
    whole = graph(lif(4))
    whole.edges += list(pairs)
    return whole


def containing_itself():
    whole = graph(lif(4))
    whole.nodes["self"], whole.nodes["again"] = whole, whole
    return whole


def joined():
    whole = graph(nir.Linear(matrix(4, 4)), lif(4))
    whole.nodes["skip"] = nir.Linear(matrix(4, 4))
    whole.edges += [("input", "skip"), ("skip", "n1")]
    return whole


def two_recurrences():
    whole = recurrent_graph(lif(4), matrix(4, 4), nested=False)
    whole.nodes["more"] = nir.Linear(matrix(4, 4))
    whole.edges += [("n1", "more"), ("more", "n1")]
    return whole


def cuba(n, **changes):
    numbers = {"tau_syn": 0.005, "tau_mem": 0.01, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0} | changes
    return nir.CubaLIF(**{name: np.full(n, v) for name, v in numbers.items()})


IMAGE = (2, 5, 5)
KERNEL = np.ones((2, 2, 3, 3))


def conv(**changes):
    return nir.Conv2d(
        **({"input_shape": None, "weight": KERNEL, "stride": 1, "padding": 0, "dilation": 1, "groups": 1, "bias": np.zeros(2)} | changes)
    )


REFUSED = {
    "aside": (aside, "lost: predecessors is none, but must be at least one node"),
    "cycle aside": (cycle_aside, "'lost', 'found' in a circle"),
    "cycle": (cycle, r"'n0', 'n1', 'n2', 'n3' and 1 more in a circle or behind one, but must be without circles"),
    "two inputs": (two_inputs, r"2 Input nodes \['input', 'second'\]"),
    "no output": (lambda: without("output"), "0 Output nodes"),
    "cut": (lambda: without("n0"), "successors is none"),
    "unknown": (lambda: edges(("n0", "n7")), "from 'n0' to 'n7', but must be between nodes, which 'n7' is not"),
    "duplicate": (lambda: edges(("input", "n0")), "'input' to 'n0' more than once"),
    "no pairs": (lambda: edges("abc"), "pairs of names"),
    "self-loop": (lambda: edges(("n0", "n0")), "'n0', 'output' in a circle"),
    "endless": (containing_itself, "nodes is"),
    "two recurrences": (two_recurrences, "n1: recurrence is 'back' and 'more'"),
    "recurrence's size": (lambda: recurrent_graph(lif(4), matrix(4, 5), nested=False), r"back: weight is of shape \(4, 5\)"),
    "filtered bias": (lambda: graph(*recurrent_bias_first()), "w_rec: bias is not zero, but must be zero where no map of"),
    "no layers": (graph, "without a map or neurons"),
    "threshold": (lambda: graph(nir.Threshold(np.ones(4))), "n0: node is a Threshold.*export an LIF"),
    "conv1d": (lambda: graph(nir.Conv1d(None, np.ones((1, 1, 3)), 1, 0, 1, 1, np.zeros(1))), "n0: node is a Conv1d"),
    "none": (lambda: graph(None), "n0: node is a NoneType"),
    "delay": (lambda: graph(nir.Delay(np.full(4, 0.1))), "n0: delay is 100, but must be whole steps, 0 to 63"),
    "LI inside": (lambda: graph(li(4), nir.Linear(matrix(2, 4))), "n0: place is before n1, but must be last"),
    "CubaLI": (lambda: graph(nir.CubaLI(*(np.full(4, v) for v in (0.01, 0.01, 1.0, 0.0)))), "n0: tau_syn is a synaptic current"),
    "tau 0": (lambda: graph(lif(4, tau=0.0)), "n0: tau is 0, but must be > 0"),
    "tau below dt": (lambda: graph(lif(4, tau=1e-4)), "n0: tau is 0.0001 with dt 0.001"),
    "tau_syn below dt": (lambda: graph(cuba(4, tau_syn=1e-4)), "n0: tau_syn is 0.0001 with dt 0.001"),
    "tau infinite": (lambda: graph(lif(4, tau=np.inf)), "n0: tau is inf, but must be finite"),
    "threshold below reset": (lambda: graph(lif(4, v_reset=1.5)), "n0: v_threshold is 1, but must be above v_reset"),
    "parameter's shape": (lambda: graph(lif(3)), r"n0: r is of shape \(3,\)"),
    "parameter's type": (lambda: graph(changed(lif(4), r="strong")), "n0: r is of type str"),
    "weight's shape": (lambda: graph(nir.Linear(np.ones((2, 3)))), r"n0: weight is of shape \(2, 3\), but must be \(n_out, 4\), as"),
    "weight's dimensions": (lambda: graph(nir.Linear(np.ones((2, 3, 4)))), "n0: weight is of shape"),
    "unflattened": (lambda: graph(nir.Linear(np.ones((2, 50))), shape=IMAGE), "add a Flatten"),
    "bias": (lambda: graph(nir.Affine(np.ones((2, 4)), np.ones(3))), r"n0: bias is of shape \(3,\)"),
    "nan": (lambda: graph(nir.Linear(np.full((2, 4), np.nan))), "n0: weight is nan, but must be finite"),
    "flat image": (lambda: graph(conv()), r"n0: input is of shape \(4,\)"),
    "groups": (lambda: graph(conv(groups=3), shape=IMAGE), "n0: groups is 3, but must be a divisor of the 2 channels"),
    "stride": (lambda: graph(conv(stride=(0, 1)), shape=IMAGE), r"n0: stride is \(0, 1\)"),
    "same": (lambda: graph(conv(padding="same", stride=(2, 2)), shape=IMAGE), "n0: padding is 'same', but must be without stride"),
    "same dilated": (lambda: graph(conv(padding="same", weight=np.ones((2, 2, 2, 2)), dilation=(3, 3)), shape=IMAGE), "of an odd kernel"),
    "large window": (lambda: graph(conv(dilation=(4, 4)), shape=IMAGE), r"n0: kernel is too large for an input of \(2, 5, 5\)"),
    "pool stride": (lambda: graph(nir.SumPool2d(np.array([2, 2]), np.array([0, 0]), np.array([0, 0])), shape=IMAGE), "n0: stride"),
    "partial flatten": (lambda: graph(nir.Flatten({"input": np.array(IMAGE)}, 1, -1), shape=IMAGE), "n0: start_dim is dimensions 1 to -1"),
    "scale": (lambda: graph(nir.Scale(np.arange(50.0).reshape(IMAGE)), conv(), shape=IMAGE), "n0: scale is different within a channel"),
    "last scale": (lambda: graph(lif(4), nir.Scale(np.ones(4))), "n1: node is a Scale at the end"),
    "batch": (lambda: graph(lif(4), shape=(7, 4)), r"input: shape is \(7, 4\)"),
    "no shape": (lambda: graph(lif(4), shape=()), "input: shape"),
    "huge": (lambda: graph(lif(1), shape=(2**40 - 1,)), "at most"),
}  # fmt: skip


def recurrent_bias_first():
    inner = recurrent_graph(cuba(4), matrix(4, 4), np.ones(4)).nodes["n1"]
    return (inner,)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_carried_over_is_refused(name):
    build, message = REFUSED[name]
    with pytest.raises(InvalidValueError, match=message) as caught:
        read_nir(build(), dt=0.001)
    assert str(caught.value).startswith("convert: ")
    assert ", but must be " in str(caught.value)


def inner_sum():
    """A subgraph whose Input gets two things and gives them to two nodes."""
    inner = nir.NIRGraph(
        {"input": nir.Input(np.array([4])), "a": lif(4), "b": lif(4, r=0.5), "output": nir.Output(np.array([4]))},
        [("input", "a"), ("input", "b"), ("a", "output"), ("b", "output")],
        type_check=False,
    )
    whole = graph(nir.Linear(3 * matrix(4, 4)), inner, nir.Linear(matrix(3, 4)))
    whole.edges.append(("input", "n1"))
    return whole


@pytest.mark.parametrize("build", [branching, joined, inner_sum])
def test_what_several_nodes_give_to_one_is_added(build, tmp_path):
    """Branches, joins and skips: spikes by the stages in NumPy, and again after a file of our own."""
    source, spikes = read_nir(build(), dt=0.001), (np.random.default_rng(3).random((60, 4)) < 0.5).astype(np.float32)
    assert source.below
    expected, _ = run_stages(source, spikes)
    network = tpl.convert(source)
    nir.write(tmp_path / "graph.nir", tpl.to_nir(network, 1e-3))
    for each in (network, tpl.convert(tmp_path / "graph.nir")):
        found = tpl.Learner(each).infer(tpl.Events.from_dense(spikes), record=True).spikes
        for ours, theirs in zip(found, expected, strict=False):
            np.testing.assert_array_equal(ours, theirs != 0)
            assert 0.02 < theirs.mean() < 0.98


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"convert: n0: tau is 0.01 in seconds, but must be known in steps; give dt="),
        ({"dt": 0}, "read_nir: dt is 0"),
        ({"dt": True}, "read_nir: dt is True"),
        ({"dt": 1e-3, "decay": "exact"}, "read_nir: decay is 'exact', but must be one of 'euler', 'exponential'"),
        ({"dt": 1e-3, "reset": "none"}, "read_nir: reset is 'none'"),
        ({"dt": 1e-3, "comparison": "<"}, "read_nir: comparison"),
        ({"dt": 1e-3, "membrane_input": 1}, "read_nir: membrane_input"),
        ({"dt": 0.01, "reset": "subtract", "reset_delay": True}, "n0: decay is 0, but must be above 0"),
    ],
)
def test_options(options, message):
    with pytest.raises(InvalidValueError, match=message):
        read_nir(graph(lif(4)), **options)


def test_subtraction_and_a_reset_potential_contradict_each_other():
    with pytest.raises(InvalidValueError, match="n0: v_reset is 0.5"):
        read_nir(graph(lif(4, v_reset=0.5)), dt=1e-3, reset="subtract")


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (Spiking("a", 1.0, 1.0, offset=0.1), "convert: a: offset is 0.1"),
        (Spiking("a", 1.0, 1.0, 0.5), "convert: a: decay is 1, but"),
        (Spiking("a", 0.5, 1.0, np.array([0.5, 1.0])), "convert: a: current_decay"),
        (Integrating("a", 1.5), "convert: a: decay is 1.5"),
        (Pooling("a", (2, 2), (2, 2)), "convert: a: input"),
    ],
)
def test_what_nir_cannot_hold_is_refused(stage, message):
    with pytest.raises(InvalidValueError, match=message):
        graph_of(Source("x", (2,), [stage]), 1e-3)
    with pytest.raises(InvalidValueError, match="graph_of: dt"):
        graph_of(Source("x", (2,), [stage]), 0.0)


def test_poolings_that_nir_has_or_has_not():
    image, neurons = (2, 6, 6), Spiking("lif", 0.9, 1.0)
    adaptive = Source("x", image, [neurons, Pooling("p", mode="average", size=(3, 2))])
    node = graph_of(adaptive, 1e-3).nodes["p"]
    assert isinstance(node, nir.AvgPool2d)
    assert (node.kernel_size.tolist(), node.stride.tolist()) == ([2, 3], [2, 3])
    for pooling, message in (
        (
            Pooling("p", (2, 2), (2, 2), mode="max"),
            "convert: p: node is a MaxPool2d, but must be .* as NIR has no maximum; train with average",
        ),
        (Pooling("p", mode="average", size=(4, 4)), r"convert: p: size is \(4, 4\), but must be a divisor of \(6, 6\), as NIR's windows"),
    ):
        with pytest.raises(InvalidValueError, match=message):
            graph_of(Source("x", image, [neurons, pooling]), 1e-3)


def test_other_things_than_graphs(monkeypatch, tmp_path):
    with pytest.raises(InvalidValueError, match="a nir.NIRGraph or a path"):
        read_nir(lif(4), dt=1e-3)
    with pytest.raises(FileNotFoundError):
        read_nir(tmp_path / "none.nir")
    monkeypatch.setitem(__import__("sys").modules, "nir", None)
    with pytest.raises(FormatUnavailableError, match="pip install nir"):
        read_nir(tmp_path / "none.nir")


# Files of unknown origin


def hostile_files(count, folder, seed=0):
    """Damaged .nir files: cut, flipped, with links, false types, false shapes, and without what they need. -> name, path"""
    rng = random.Random(seed)
    originals = []
    for number in range(6):
        path = folder / f"original{number}.nir"
        nir.write(path, graph_of(random_stages(number), 1e-3))
        originals.append(path.read_bytes())
    damages = [truncated, flipped, flipped, relinked, retyped, reshaped, removed, misdirected, renamed, nested]
    for number in range(count):
        path, damage = folder / "hostile.nir", damages[number % len(damages)]
        path.write_bytes(rng.choice(originals))
        damage(path, rng)
        yield f"{number} {damage.__name__}", path


def truncated(path, rng):
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


def flipped(path, rng):
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 3, 10, 100])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(content))


def objects(file, kind):
    found = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, kind) else None)
    return sorted(found)


def relinked(path, rng):
    with h5py.File(path, "r+") as file:
        name, target = rng.choice(objects(file, h5py.Group)), rng.choice(["self", "soft", "external"])
        group = file[name]
        if target == "self":
            group["again"] = file["node"]
        else:
            group["again"] = h5py.SoftLink("/node") if target == "soft" else h5py.ExternalLink("/etc/passwd", "/")


def replaced(file, name, **kwargs):
    del file[name]
    file.create_dataset(name, **kwargs)


def retyped(path, rng):
    with h5py.File(path, "r+") as file:
        name = rng.choice(objects(file, h5py.Dataset))
        wrong = [
            {"data": "text"},
            {"data": np.array([1 + 2j])},
            {"data": np.array([], "f4")},
            {"data": [b"a", b"b", b"c"]},
            {"dtype": "O", "shape": (2,)},
        ]
        kwargs = rng.choice(wrong)
        replaced(file, name, **({"data": h5py.Empty("f4")} if "dtype" in kwargs else kwargs))


def reshaped(path, rng):
    shapes = [(2**40,), (2**20, 2**20), (0,), (3, 1, 1, 1, 1), (50_000, 1), (1, 50_000), (1,)]
    with h5py.File(path, "r+") as file:
        names = [name for name in objects(file, h5py.Dataset) if file[name].dtype.kind == "f"]
        replaced(file, rng.choice(names), shape=rng.choice(shapes), dtype="f4", chunks=True, fillvalue=1.0)


def removed(path, rng):
    with h5py.File(path, "r+") as file:
        del file[rng.choice([name for name in objects(file, h5py.Group | h5py.Dataset) if name != "version"])]


def misdirected(path, rng):
    with h5py.File(path, "r+") as file:
        name = rng.choice([name for name in objects(file, h5py.Dataset) if name.endswith("edges")])
        pairs = [[v.decode() for v in pair] for pair in file[name][()]]
        pairs[rng.randrange(len(pairs))][rng.randrange(2)] = rng.choice(["nobody", "", *pairs[0]])
        replaced(file, name, data=pairs if rng.random() < 0.7 else pairs[0][:1], dtype=h5py.string_dtype())


def renamed(path, rng):
    with h5py.File(path, "r+") as file:
        name = rng.choice([name for name in objects(file, h5py.Dataset) if name.endswith("/type")])
        kinds = ["NIRGraph", "LIF", "Conv2d", "Flatten", "Input", "CubaLIF", "__class__", "NIRNode", "Scale", "Delay", "Affine"]
        replaced(file, name, data=rng.choice(kinds), dtype=h5py.string_dtype())


def nested(path, rng):
    """Graphs within graphs, deep or many."""
    with h5py.File(path, "r+") as file:
        group, whole = file["node/nodes"], file["node"]
        for level in range(rng.choice([3, 40])):
            inner = group.create_group(f"inner{level}")
            for name in ("type", "edges"):
                inner[name] = whole[name]  # hard links
            group = inner.create_group("nodes")


@pytest.mark.parametrize("seed", range(2))
def test_hostile_files_are_refused_or_read(seed, tmp_path):
    """Some damages do not matter; nothing but a TpLavaError comes of the others."""
    refused = 0
    for name, path in hostile_files(20, tmp_path, seed):
        try:
            source = read_nir(path)
        except TpLavaError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"{name}: {error!r}") from error
        else:
            assert source.stages, name
    assert refused > 10


def test_named_damages(tmp_path):
    path = tmp_path / "g.nir"

    def damaged_by(change):
        nir.write(path, graph(nir.Linear(matrix(4, 4)), lif(4), metadata={"dt": 1e-3}))
        with h5py.File(path, "r+") as file:
            change(file)
        with pytest.raises(TpLavaError) as caught:
            read_nir(path)
        return caught.value

    def hard_cycle(file):
        file["node/nodes/n0/again"] = file["node"]

    def external(file):
        file["node/nodes/other"] = h5py.ExternalLink("/etc/hosts", "/")

    assert isinstance(damaged_by(hard_cycle), ArchiveError)
    assert "is a link" in str(damaged_by(external))
    assert "no group 'node'" in str(damaged_by(lambda file: file.__delitem__("node")))
    assert "cannot be read as NIR" in str(damaged_by(lambda file: file.__delitem__("node/nodes")))
    assert "edges are not pairs" in str(damaged_by(lambda file: file.__delitem__("node/edges")))
    assert "cannot be read as NIR" in str(damaged_by(lambda file: file.__delitem__("node/nodes/n1/tau")))
    assert "nodes is 1 Input" not in str(damaged_by(lambda file: file.__delitem__("node/nodes/n0")))
    assert "which 'n0' is not" in str(damaged_by(lambda file: file.__delitem__("node/nodes/n0")))

    def kind(file):
        replaced(file, "node/type", data="LIF")

    assert "holds a LIF, not a NIRGraph" in str(damaged_by(kind))

    def broadcast(file):
        for name in ("tau_mem", "tau_syn", "r", "v_leak", "v_threshold", "v_reset", "w_in"):
            item = f"node/nodes/n1/{name}"
            if item in file:
                del file[item]
            file.create_dataset(item, shape=(1, 60_000) if name == "w_in" else (60_000, 1), dtype="f4", fillvalue=1.0)
        del file["node/nodes/n1/tau"]
        replaced(file, "node/nodes/n1/type", data="CubaLIF")

    assert "w_in has shape" in str(damaged_by(broadcast))
    nir.write(path, graph(lif(4)))
    content = bytearray(path.read_bytes())
    place, end = (heap := content.index(b"GCOL")) + 16, int.from_bytes(content[heap + 8 : heap + 16], "little") + heap
    while index := int.from_bytes(content[place : place + 2], "little"):
        place += 16 + -(-int.from_bytes(content[place + 8 : place + 16], "little") // 8) * 8
    assert index == 0
    assert place < end
    content[place + 8 : place + 16] = bytes(8)  # free space of size 0, which the HDF5 library never leaves
    path.write_bytes(bytes(content))
    with pytest.raises(ArchiveError, match="heap whose objects do not fill it"):
        read_nir(path, dt=1e-3)
    path.write_bytes(b"not HDF5")
    with pytest.raises(ArchiveError):
        read_nir(path)
