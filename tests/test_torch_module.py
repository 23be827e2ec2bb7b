"""The module is the network: same spikes and scores as the Learner, and nothing is lost between the two."""

import copy
import subprocess
import sys

import numpy as np
import pytest
from conftest import lively, random_events

import tp_lava as tpl

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # the tensors are small, and tests run side by side

from tp_lava import torch as tt  # noqa: E402
from tp_lava.torch.module import from_free  # noqa: E402

NEURONS = {
    "tp": tpl.LIF(0.9, 0.7),
    "tess": tpl.LIF(0.5, 0.6, ">", surrogate=tpl.Triangle()),
    "lava": tpl.LIF(0.8, 0.6, ">", "zero", 0.3, tpl.FastSigmoid(2.0)),
    "zero": tpl.LIF(0.75, 0.5, ">=", "zero", 0.5),
}


def network_of(hidden=(9, 7), recurrent=True, neuron=NEURONS["tp"], biases=(), seed=3):
    network = lively(tpl.Network.dense((8, *hidden, 4), neuron, 0.8, recurrent, seed), 3.0)
    rng = np.random.default_rng(seed)
    return network.with_weights({name: rng.normal(0, 0.1, network.shapes[name]) for name in biases})


def assert_same(a, b):
    assert (a.n_inputs, a.layers, a.n_classes) == (b.n_inputs, b.layers, b.n_classes)
    assert set(a.weights) == set(b.weights)
    for name, array in a.weights.items():
        np.testing.assert_array_equal(array, b.weights[name], err_msg=name)


@pytest.mark.parametrize(
    ("neurons", "recurrent", "biases"),
    [(["tp", "tess"], [True, False], ("bias1",)), (["lava", "zero"], [False, True], ("bias0",))],
    ids=["tp-tess", "lava-zero"],
)
def test_spikes_and_scores_are_the_learners(neurons, recurrent, biases, rng):
    network = network_of((9, 7), recurrent, [NEURONS[name] for name in neurons], biases)
    samples = [random_events(rng, 8, 25, 0.3) for _ in range(4)]
    module, learner = tt.SpikingNetwork(network), tpl.Learner(network)
    outcomes = [learner.infer(events, record=True) for events in samples]
    layers = module.hidden_spikes(tt.dense(samples))
    for row, outcome in enumerate(outcomes):
        for spikes, expected in zip(layers, outcome.spikes, strict=True):
            np.testing.assert_array_equal(spikes[:, row].detach().numpy(), expected)
    assert all(0.02 < float(spikes.detach().mean()) < 0.9 for spikes in layers)
    np.testing.assert_allclose(module(tt.dense(samples)).detach(), [outcome.scores for outcome in outcomes], atol=1e-5)


def test_readout_bias_counts_at_every_step():
    network = network_of(biases=("readout_bias",))
    spikes = torch.zeros(6, 2, 8)
    np.testing.assert_allclose(tt.SpikingNetwork(network)(spikes).detach(), np.tile(6 * network.weights["readout_bias"], (2, 1)), rtol=1e-6)


def test_scores_of_every_step_end_in_the_scores(rng):
    module = tt.SpikingNetwork(network_of(biases=("bias0", "readout_bias")))
    spikes = tt.dense([random_events(rng, 8, 12, 0.3) for _ in range(3)])
    scores = module.scores(spikes)
    assert scores.shape == (12, 3, 4)
    np.testing.assert_allclose(scores[-1].detach(), module(spikes).detach(), atol=1e-5)
    np.testing.assert_allclose(scores[4].detach(), module(spikes[:5]).detach(), atol=1e-5)


def test_each_sample_is_judged_at_its_own_end(rng):
    """Neurons with a bias or feedback go on in the silence that makes samples equally long."""
    network = network_of(biases=("bias0", "bias1", "readout_bias"))
    samples = [random_events(rng, 8, steps, 0.3) for steps in (5, 12, 9)]
    module = tt.SpikingNetwork(network)
    scores = module(tt.dense(samples), torch.tensor([5, 12, 9])).detach()
    for row, events in enumerate(samples):
        np.testing.assert_allclose(scores[row], module(tt.dense([events]))[0].detach(), atol=1e-5)


@pytest.mark.parametrize("surrogate", [tpl.ArcTan(2.0), tpl.Triangle(0.3, 0.7), tpl.FastSigmoid(5.0)], ids=lambda s: type(s).__name__)
def test_surrogates_are_their_one_definition(surrogate):
    from tp_lava.torch.neuron import pseudo_derivative

    excess = torch.linspace(-2, 2, 41, dtype=torch.float64)
    psi = pseudo_derivative(surrogate, excess)
    np.testing.assert_allclose(psi, surrogate.profile(np.abs(excess.numpy())), rtol=1e-14)
    assert psi.dtype == excess.dtype


# From module to network and back -----------------------------------------------------------------


@pytest.mark.parametrize("train", [(), ("decay", "threshold")], ids=["weights", "all"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_round_trip_loses_nothing(dtype, train):
    network = network_of(neuron=NEURONS["lava"], biases=("bias1", "readout_bias"))
    module = tt.SpikingNetwork(network, train, dtype=dtype)
    assert_same(module.network(), network)
    other = network_of(neuron=NEURONS["zero"], biases=("bias1", "readout_bias"), seed=4)
    before = dict(module.named_parameters())
    module.load_network(other)
    assert_same(module.network(), other)
    assert all(parameter is before[name] for name, parameter in module.named_parameters())
    assert_same(network.with_weights(module), other)


def test_parameters_are_the_networks_arrays():
    network = network_of(biases=("bias0", "readout_bias"))
    module = tt.SpikingNetwork(network, "decay")
    shapes = {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}
    assert shapes == {name: network.shapes[name] for name in network.weights} | {"decay0": (), "decay1": ()}


def test_the_networks_arrays_stay_as_they_are():
    network = network_of()
    start = {name: array.copy() for name, array in network.weights.items()}
    module = tt.SpikingNetwork(network)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 1
    for name, array in network.weights.items():
        np.testing.assert_array_equal(array, start[name])


def test_a_module_can_be_copied_and_its_state_loaded():
    module = tt.SpikingNetwork(network_of(), ("threshold",))
    twin = copy.deepcopy(module)
    assert_same(twin.network(), module.network())
    blank = tt.SpikingNetwork(network_of(seed=9), ("threshold",))
    blank.load_state_dict(module.state_dict())
    assert_same(blank.network(), module.network())


def test_trained_constants_are_carried(rng):
    module = tt.SpikingNetwork(network_of(), ("decay", "threshold"), dtype=torch.float64)
    with torch.no_grad():
        module.get_parameter("decay0").fill_(-1.0)
        module.get_parameter("threshold1").fill_(0.9)
    network = module.network()
    assert network.layers[0].neuron.decay == pytest.approx(1 / (1 + np.e), rel=1e-12)
    assert network.layers[1].neuron.threshold == 0.9
    assert (network.layers[1].neuron.decay, network.layers[0].neuron.threshold) == (0.9, 0.7)
    spikes = tt.dense([random_events(rng, 8, 20, 0.3)], dtype=torch.float64)
    again = tt.SpikingNetwork(network, dtype=torch.float64)
    np.testing.assert_allclose(again(spikes).detach(), module(spikes).detach(), atol=1e-12)


def test_a_decay_stays_below_one_and_a_threshold_above_its_floor():
    module = tt.SpikingNetwork(network_of(), ("decay", "threshold"), least_threshold=0.5)
    with torch.no_grad():
        module.get_parameter("decay0").fill_(100.0)
        module.get_parameter("threshold0").fill_(-3.0)
    neuron = module.network().layers[0].neuron
    assert 0.999 < neuron.decay < 1
    assert neuron.threshold == 0.5


@pytest.mark.parametrize(("x", "push", "expected"), [(0.7, 2.0, 2.0), (0.3, 2.0, 0.0), (0.3, -2.0, -2.0)])
def test_a_threshold_at_its_floor_can_rise_again(x, push, expected):
    free = torch.tensor(x, requires_grad=True)
    (from_free("threshold", free, 0.5) * push).backward()
    assert free.grad == expected


# What cannot be used -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": ("leak",)}, "SpikingNetwork: train is 'leak', but must be among decay, threshold"),
        ({"dtype": torch.float16}, "SpikingNetwork: dtype is torch.float16, but must be torch.float32 or torch.float64"),
        ({"least_threshold": 0}, "SpikingNetwork: least_threshold is 0, but must be a number > 0"),
        ({"train": "threshold", "least_threshold": 0.8}, "SpikingNetwork: threshold is 0.7, but must be at least least_threshold, 0.8"),
    ],
)
def test_options(options, message):
    with pytest.raises(tpl.InvalidValueError, match=message):
        tt.SpikingNetwork(network_of(), **options)


def test_a_decay_of_zero_is_not_trained():
    with pytest.raises(tpl.InvalidValueError, match="SpikingNetwork: decay is 0.0, but must be above 0 to be trained"):
        tt.SpikingNetwork(network_of(neuron=tpl.LIF(0.0)), "decay")


def test_no_network():
    with pytest.raises(tpl.InvalidValueError, match=r"SpikingNetwork: network is \(8, 4\), but must be a Network"):
        tt.SpikingNetwork((8, 4))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (network_of((9, 6)), r"network is Network\(8-9-6-4 recurrent\), but must be a Network\(8-9-7-4 recurrent\); make a new"),
        (network_of(recurrent=False), r"network is Network\(8-9-7-4\), but must be a Network\(8-9-7-4 recurrent\)"),
        (network_of(biases=("bias1",)), "network is with bias1, but must be of the biases the module has"),
        (7, "network is 7, but must be a Network"),
    ],
)
def test_another_shape_is_refused(other, message):
    module = tt.SpikingNetwork(network_of(seed=8))
    with pytest.raises(tpl.InvalidValueError, match=f"SpikingNetwork: {message}"):
        module.load_network(other)
    assert_same(module.network(), network_of(seed=8))
    if isinstance(other, tpl.Network) and other.shapes != network_of().shapes:
        with pytest.raises(tpl.InvalidValueError, match="use the network that the module was made from"):
            other.with_weights(module)


def test_a_diverged_module_gives_no_network():
    module = tt.SpikingNetwork(network_of())
    with torch.no_grad():
        module.get_parameter("hidden0")[1, 2] = torch.nan
    with pytest.raises(tpl.InvalidValueError, match=r"weights\['hidden0'\] is nan at \(1, 2\), but must be finite; look for a diverged"):
        module.network()


@pytest.mark.parametrize(
    ("spikes", "message"),
    [
        (np.zeros((5, 2, 8)), "spikes is of type ndarray, but must be a tensor"),
        (torch.zeros(5, 8), r"spikes is of shape \(5, 8\), but must be \(steps, samples, 8\)"),
        (torch.zeros(5, 2, 7), r"spikes is of shape \(5, 2, 7\), but must be \(steps, samples, 8\); make it with tp_lava.torch.dense"),
        (torch.zeros(0, 2, 8), r"spikes is of shape \(0, 2, 8\)"),
    ],
)
def test_spikes(spikes, message):
    with pytest.raises(tpl.InvalidValueError, match=f"SpikingNetwork: {message}"):
        tt.SpikingNetwork(network_of())(spikes)


def test_dense_pads_with_silence(rng):
    samples = [random_events(rng, 6, steps, 0.4) for steps in (4, 9, 6)]
    spikes = tt.dense(samples, dtype=torch.float64)
    assert spikes.shape == (9, 3, 6)
    assert spikes.dtype == torch.float64
    for row, events in enumerate(samples):
        np.testing.assert_array_equal(spikes[: events.n_steps, row], events.to_dense())
        assert not spikes[events.n_steps :, row].any()


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([], "dense: events is empty, but must be at least one recording"),
        (
            [(tpl.Events([0], [0], 2, 3), 1)],
            "dense: events is of type tuple, but must be tpl.Events; pass a list of them, without the labels",
        ),
        ([tpl.Events([0], [0], 2, 3), tpl.Events([0], [0], 2, 4)], "dense: events is of 3 and of 4 units, but must be all of the same"),
    ],
)
def test_bad_recordings(events, message):
    with pytest.raises(tpl.InvalidValueError, match=message):
        tt.dense(events)


def test_torch_is_optional():
    """tp_lava never imports it, and tp_lava.torch says what to install."""
    code = """
import sys
import tp_lava
assert "torch" not in sys.modules
sys.modules["torch"] = None
try:
    import tp_lava.torch
except ImportError as error:
    assert isinstance(error, tp_lava.TpLavaError) and type(error).__name__ == "TorchUnavailableError"
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert 'pip install "tp-lava[torch]"' in result.stdout
    assert "without an nvidia gpu" in result.stdout.lower()
    assert "pip install torch --index-url https://download.pytorch.org/whl/cpu" in result.stdout
