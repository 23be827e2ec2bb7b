"""Networks of PyTorch and snnTorch, as modules and as state dicts: they spike as the library runs them, or are refused."""

import io
import json
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file
from stage_oracle import run_stages

import tp_lava as tpl

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # the tensors are small, and tests run side by side

from torch import nn  # noqa: E402
from torch.nn.utils import prune  # noqa: E402

from tp_lava.convert.layers import Standardised  # noqa: E402
from tp_lava.convert.maps import convolution_matrix  # noqa: E402
from tp_lava.convert.stages import Convolution, Dense, Integrating, Pooling, Spiking  # noqa: E402
from tp_lava.convert.state_dicts import read_state_dict  # noqa: E402
from tp_lava.convert.torch_modules import read_module  # noqa: E402

try:
    import snntorch as snn
except ImportError:
    snn = None
needs_snntorch = pytest.mark.skipif(snn is None, reason="snntorch is not installed")
LIF = tpl.LIF(0.8, 0.7)
STEPS = 50


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(5)


def lively_module(module, gain=2.5):
    """Larger weights, so that every layer spikes."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "weight" in name and parameter.ndim > 1 and "recurrent" not in name:
                parameter *= gain
    return module


def trained_statistics(module, shape):
    """Batch normalisation that has seen data, and gains that are not 1."""
    module.train()
    for _ in range(10):
        module((torch.rand(16, *shape) < 0.4).float())
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 2.0)
                layer.bias.uniform_(-0.2, 0.7)
    return module.eval()


def random_frames(shape, rate=0.4, seed=1):
    return (np.random.default_rng(seed).random((STEPS, *shape)) < rate).astype(np.float32)


def library_run(leaves, frames):
    """-> (spikes of each layer of snnTorch's neurons (T, n), the last layer's membrane or output (T, n))."""
    spikes, last = {}, []
    with torch.no_grad():
        for frame in frames:
            x = torch.tensor(frame)[None]
            for number, leaf in enumerate(leaves):
                x = leaf(x)
                if isinstance(x, tuple):
                    x, potential = x[0], x[-1]
                    spikes.setdefault(number, []).append(x.numpy().ravel() != 0)
                    result = potential
                else:
                    result = x
                    if hasattr(leaf, "mem"):
                        spikes.setdefault(number, []).append(x.numpy().ravel() != 0)
                        result = leaf.mem
            last.append(result.numpy().ravel())
    return [np.array(s) for s in spikes.values()], np.array(last)


def assert_same_spikes(found, expected):
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert 0.02 < theirs.mean() < 0.95, theirs.mean()
        assert (ours == theirs).mean() >= 0.999


def assert_all_said(source, module):
    said = {f"{record.path}.{record.parameter}" for record in source.records}
    assert set(module.state_dict()) <= said
    assert all(str(record) for record in source.records)


def compare(module, shape=(12,), rate=0.4, **options):
    """A Sequential of snnTorch layers, run by both."""
    source, frames = read_module(module, shape, **options), random_frames(shape, rate)
    spikes, last = library_run(list(module), frames)
    populations, potential = run_stages(source, frames)
    if isinstance(source.stages[-1], Integrating):
        np.testing.assert_allclose(potential[-1], last[-1], atol=1e-3)
        spikes = spikes[:-1]
    assert_same_spikes(populations, spikes)
    assert_all_said(source, module)
    return source


def network(neuron, last=None, n=12, hidden=20):
    head = last or snn.Leaky(0.9)
    return lively_module(nn.Sequential(nn.Linear(n, hidden), neuron, nn.Linear(hidden, 6), head))


# snnTorch's neurons -----------------------------------------------------------------------------

DELAYED = [("subtract", True), ("zero", True), ("zero", False)]


@needs_snntorch
@pytest.mark.parametrize(("reset", "delay"), DELAYED)
@pytest.mark.parametrize("beta", [0.0, 0.3, 0.9, 1.0, 1.7, -0.2, "some zero"])
def test_leaky(reset, delay, beta):
    numbers = torch.rand(20) * (torch.rand(20) > 0.3) if beta == "some zero" else beta
    neuron = snn.Leaky(numbers, threshold=0.8, reset_mechanism=reset, reset_delay=delay)
    source = compare(network(neuron))
    stage = source.stages[1]
    assert (stage.comparison, stage.reset) == (">", reset)
    if reset == "subtract" and beta == 0.3:
        assert stage.reset_by == pytest.approx(0.8 / 0.3)


@needs_snntorch
@pytest.mark.parametrize(("reset", "delay"), DELAYED)
@pytest.mark.parametrize("recurrence", ["linear", "one", "each"])
def test_rleaky(reset, delay, recurrence):
    options = {"linear_features": 20} if recurrence == "linear" else {"all_to_all": False}
    if recurrence == "each":
        options |= {"V": torch.randn(20) / 2, "learn_recurrent": False}
    neuron = snn.RLeaky(0.7, reset_mechanism=reset, reset_delay=delay, **options)
    if recurrence == "one":
        with torch.no_grad():
            neuron.V.mul_(-0.5)
    module = network(neuron)
    if (reset, delay) == ("zero", True):
        with pytest.raises(tpl.InvalidValueError, match="convert: 1: reset_mechanism is 'zero', but must be .*loses its input.*train on"):
            read_module(module, (12,))
    else:
        assert compare(module).stages[1].feedback.shape == (20, 20)


@needs_snntorch
@pytest.mark.parametrize(("reset", "delay"), [("subtract", True), ("zero", False)])
@pytest.mark.parametrize("alpha", [0.6, "array"])
def test_synaptic(reset, delay, alpha):
    alpha = torch.rand(20) if alpha == "array" else alpha
    neuron = snn.Synaptic(alpha, 0.6, threshold=torch.rand(20) + 0.5, learn_beta=True, reset_mechanism=reset, reset_delay=delay)
    assert np.all(compare(network(neuron)).stages[1].current_decay == np.asarray(alpha, np.float32))


@needs_snntorch
@pytest.mark.parametrize("recurrence", ["linear", "one"])
def test_rsynaptic_filters_its_recurrent_bias(recurrence):
    options = {"linear_features": 20} if recurrence == "linear" else {"all_to_all": False, "V": -0.3}
    source = compare(network(snn.RSynaptic(0.5, 0.6, **options)))
    if recurrence == "linear":
        records = {(f.path, f.parameter): f for f in source.records}
        assert str(records["1", "recurrent.bias"]) == "1.recurrent.bias: folded (into the bias of 0)"
        assert records["0", "bias"].what == "rescaled"


@needs_snntorch
def test_graded_spikes_are_folded_into_the_next_map():
    for factor in (2.5, torch.rand(20) + 0.5):
        module = network(snn.Leaky(0.8, graded_spikes_factor=factor))
        assert compare(module).stages[2].weight.dtype == np.float64
    recurrent = snn.RLeaky(0.8, linear_features=20)
    recurrent.graded_spikes_factor = torch.tensor(1.7)
    compare(network(recurrent))
    image = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        snn.Leaky(0.8, graded_spikes_factor=torch.rand(4, 1, 1) + 1),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 4, 2, groups=2),
        snn.Leaky(0.8, graded_spikes_factor=torch.rand(1, 4, 1, 1)),
        nn.Flatten(),
        nn.Linear(16, 5),
        snn.Leaky(0.9, graded_spikes_factor=3.0),
    )
    compare(lively_module(image, 3), (1, 8, 8))


@needs_snntorch
def test_parameters_broadcast_as_in_pytorch():
    """One number a column, where there are as many columns as channels; the stages would take three for channels."""
    module = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), snn.Leaky(torch.rand(3), threshold=torch.rand(3, 1, 1) + 0.3))
    source = compare(lively_module(module), (2, 3, 3))
    assert (source.stages[1].decay.size, source.stages[1].threshold.size) == (27, 3)


@needs_snntorch
def test_a_convolutional_recurrence_becomes_a_matrix():
    neuron = snn.RLeaky(0.7, conv2d_channels=3, kernel_size=(3, 1))
    module = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), neuron, nn.Flatten(), nn.Linear(75, 4), snn.Leaky(0.9))
    assert compare(lively_module(module, 5), (2, 5, 5)).stages[1].feedback.shape == (75, 75)


@needs_snntorch
def test_without_reset_the_last_potential_is_the_readout():
    source = compare(network(snn.Leaky(0.8), snn.Leaky(0.95, reset_mechanism="none", learn_beta=True)))
    assert source.stages[-1].decay == pytest.approx(0.95)
    assert any("potential after the last step" in record.detail for record in source.records)
    source = compare(network(snn.Leaky(0.8), snn.Synaptic(0.0, 0.9, reset_mechanism="none")))
    assert isinstance(source.stages[-1], Integrating)


@needs_snntorch
def test_subtraction_without_delay_is_the_same_below_two_thresholds():
    module = nn.Sequential(nn.Linear(12, 20), snn.Leaky(0.8, reset_delay=False))
    with torch.no_grad():
        module[0].weight.uniform_(-0.15, 0.25)  # one drive never passes two thresholds
    with pytest.raises(tpl.InvalidValueError, match="reset_delay is False, but must be True .*inexact=True"):
        read_module(module, (12,))
    assert compare(module, inexact=True).stages[1].reset_by is None


@needs_snntorch
def test_states_and_gradients_of_a_run_do_not_matter():
    module = network(snn.Leaky(0.8, init_hidden=True, reset_mechanism="zero"), snn.Leaky(0.9, init_hidden=True, output=True))
    before = [stage.path for stage in read_module(module, (12,)).stages]
    module(torch.rand(1, 12))
    mem = module[1].mem.clone()
    assert [stage.path for stage in read_module(module, (12,)).stages] == before
    assert torch.equal(module[1].mem, mem)


@needs_snntorch
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: snn.Leaky(0.9, inhibition=True), "1: inhibition is True, but must be False; inhibit by recurrent"),
        (lambda: snn.Leaky(0.9, state_quant=torch.round), "1: state_quant is given, but must be False; train without it"),
        (lambda: snn.Leaky(0.9, spike_grad=torch.sigmoid), "1: spike_grad is another function, but must be 1 above"),
        (lambda: snn.Leaky(0.9, spike_grad=snn.surrogate.LSO()), "1: spike_grad is another function"),
        (lambda: snn.Leaky(0.9, spike_grad=lambda x: (x + torch.randn_like(x) > 0).float()), "1: spike_grad is another function"),
        (lambda: snn.Leaky(0.9, threshold=-1.0), "1: threshold is -1, but must be above 0"),
        (lambda: snn.Leaky(float("nan")), "1: beta is nan, but must be finite"),
        (lambda: snn.Leaky(torch.rand(7)), r"1: beta is of shape \(7,\), but must be broadcast over \(20,\)"),
        (lambda: snn.Leaky(0.9, reset_mechanism="none"), "1: place is before 2, but must be last"),
        (lambda: snn.RLeaky(0.9, linear_features=20, reset_mechanism="none"), "1: reset_mechanism is 'none', but must be"),
        (lambda: snn.Synaptic(0.5, 0.9, reset_mechanism="none"), "1: alpha is 0.5, but must be 0 in a layer without reset"),
        (lambda: snn.Synaptic(0.5, 0.9, reset_mechanism="zero"), "1: reset_mechanism is 'zero', .*reset_delay=False"),
        (lambda: snn.Synaptic(0.5, 0.0), "1: beta is 0, but must be above 0 where alpha is not 0"),
        (lambda: snn.RSynaptic(0.5, 0.9, linear_features=20, reset_delay=False), "1: reset_delay is False, but must be True in an RSy"),
        (lambda: snn.RLeaky(0.9, linear_features=19), r"1: recurrent.weight is of shape \(19, 19\), but must be \(20, 20\)"),
        (lambda: snn.Lapicque(0.9, reset_mechanism="zero"), r"1: reset_mechanism is 'zero', but must be 'subtract' in a Lapicque"),
        (lambda: snn.Alpha(0.9, 0.8), "1: type is Alpha"),
        (lambda: changed_reset(snn.Leaky(0.9)), "1: reset_mechanism is set or loaded after the layer was made, but must be 'subtract'"),
        (lambda: type("Mine", (snn.Leaky,), {})(0.9), "1: type is Mine, made from Leaky, but must be Leaky itself"),
    ],
)
@pytest.mark.filterwarnings("ignore:Inhibition is an unstable:UserWarning")
def test_neurons_without_equal_are_refused(make, message):
    with pytest.raises(tpl.InvalidValueError, match=f"convert: {message}"):
        read_module(network(make()), (12,))


def changed_reset(neuron):
    neuron.reset_mechanism = "zero"
    return neuron


@needs_snntorch
def test_a_leaky_of_old_that_loses_its_input_is_refused():
    class Leaky(snn.Leaky):
        def _base_zero(self, input_):
            return (1 - self.reset) * self._base_state_function(input_)

    Leaky.__module__ = "snntorch._neurons.leaky"
    with pytest.raises(tpl.InvalidValueError, match="1: reset_mechanism is 'zero', but must be that of snnTorch 0.8"):
        read_module(network(Leaky(0.9, reset_mechanism="zero")), (12,))


@needs_snntorch
def test_one_layer_in_two_places_is_refused():
    neuron = snn.Leaky(0.9)
    with pytest.raises(tpl.InvalidValueError, match="convert: 3: state is that of 1, but must be its own"):
        read_module(nn.Sequential(nn.Linear(4, 4), neuron, nn.Linear(4, 4), neuron), 4)


@needs_snntorch
def test_the_sign_and_place_of_graded_spikes():
    with pytest.raises(tpl.InvalidValueError, match="3: graded_spikes_factor is not one number > 0, but must be 1 at the end"):
        read_module(network(snn.Leaky(0.9), snn.Leaky(0.9, graded_spikes_factor=-1.0)), (12,))
    twice = nn.Sequential(nn.Linear(12, 12), snn.Leaky(0.5, graded_spikes_factor=torch.rand(12) + 0.5), snn.Leaky(0.5))
    source = compare(lively_module(twice))
    assert source.stages[2].gain.shape == (12,)
    assert "1.graded_spikes_factor: folded (into the gain of 2)" in map(str, source.records)


def random_neuron(rng, shape):
    """One of snnTorch's for a population, of those that can be carried."""
    n, flat = int(np.prod(shape)), len(shape) == 1

    def number(low, high):
        each = torch.tensor(rng.uniform(low, high, shape), dtype=torch.float32)
        return each if rng.random() < 0.4 else float(each.ravel()[0])

    kind = str(rng.choice(["Leaky", "RLeaky", "Synaptic", "RSynaptic"]))
    reset, delay = ("zero", False) if rng.random() < 0.4 and kind != "RSynaptic" else ("subtract", True)
    options = {"threshold": number(0.6, 1.5), "reset_mechanism": reset, "reset_delay": delay, "init_hidden": True}
    if kind.startswith("R"):
        if rng.random() < 0.5:
            options |= {"linear_features": n} if flat else {"conv2d_channels": shape[0], "kernel_size": 3}
        else:
            options |= {"all_to_all": False, "V": number(-0.6, 0.4)}
    if kind == "Leaky":
        options["graded_spikes_factor"] = float(rng.choice([1.0, 1.5]))
    decays = [number(0.2, 0.7), number(0.1, 0.95)] if kind.endswith("Synaptic") else [number(0.1, 0.95)]
    return getattr(snn, kind)(*decays, **options)


@needs_snntorch
@pytest.mark.parametrize("seed", range(12))
def test_random_networks(seed):
    rng, layers, shape = np.random.default_rng(seed), [], (2, 8, 8)
    torch.manual_seed(seed)
    if rng.random() < 0.5:
        layers += [nn.Conv2d(2, 4, 3, stride=int(rng.integers(1, 3)), padding=1), nn.BatchNorm2d(4)]
        side = 8 // layers[0].stride[0]
        layers += [random_neuron(rng, (4, side, side)), nn.Dropout(0.3), nn.AvgPool2d(2), nn.Flatten()]
        size = side * side
    else:
        layers, size = [nn.Flatten()], 128
    for width in rng.integers(8, 24, int(rng.integers(1, 4))):
        layers += [
            nn.Linear(size, int(width), bias=bool(rng.random() < 0.5)),
            nn.BatchNorm1d(int(width)),
            random_neuron(rng, (int(width),)),
        ]
        size = int(width)
    module = nn.Sequential(*layers, nn.Linear(size, 5), snn.Leaky(0.9, reset_mechanism="none", init_hidden=True))
    compare(trained_statistics(module, shape), shape)


# PyTorch's layers -------------------------------------------------------------------------------


def linear_response(source, frames):
    """What the stages deliver where there are no neurons: through an integrator that forgets."""
    source.stages.append(Integrating("end", 0.0))
    return run_stages(source, frames)[1]


def assert_same_map(module, shape, **options):
    frames = np.random.default_rng(2).random((3, *shape)).astype(np.float32)
    source = read_module(module, shape, **options)
    assert_all_said(source, module)
    with torch.no_grad():
        expected = module.eval()(torch.tensor(frames)).reshape(3, -1)
    np.testing.assert_allclose(linear_response(source, frames), expected, rtol=1e-4, atol=1e-5)
    return source


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Conv2d(4, 6, 3, stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2),
        lambda: nn.Conv2d(4, 6, (3, 4), padding="same"),
        lambda: nn.Conv2d(4, 6, (2, 2), padding="same", bias=False),
        lambda: nn.Conv2d(4, 6, 3, padding="same", dilation=2),
        lambda: nn.Conv2d(4, 6, 3, padding="valid"),
        lambda: nn.Conv2d(4, 6, 3).double().float(),
        lambda: nn.AvgPool2d(2),
        lambda: nn.AvgPool2d((3, 2), stride=2, padding=1),
        lambda: nn.AvgPool2d(2, divisor_override=3),
        lambda: nn.AvgPool2d(3, 1, ceil_mode=True),
        lambda: nn.AdaptiveAvgPool2d((2, None)),
        lambda: nn.AdaptiveAvgPool2d((3, 5)),
        lambda: nn.AdaptiveMaxPool2d((3, 8)),
        lambda: nn.MaxPool2d((3, 2), stride=(2, 1), padding=1),
        lambda: nn.LPPool2d(1, 2),
        lambda: nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(256, 7), nn.Identity()),
        lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 3, 3)),
        lambda: nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 3, 3)),
        lambda: prune.random_unstructured(nn.Conv2d(4, 3, 3), "weight", 0.4),
        lambda: nn.utils.spectral_norm(nn.Conv2d(4, 3, 3)),
    ],
)
def test_maps(make):
    assert_same_map(nn.Sequential(make()), (4, 8, 8))


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
def test_the_older_weight_norm_is_read_as_it_will_be_used():
    module = nn.Sequential(nn.utils.weight_norm(nn.Linear(5, 3)))
    with torch.no_grad():
        module[0].weight_g.mul_(3)  # module[0].weight is the old one until the next run
    assert_same_map(module, (5,))


def test_batch_normalisation_is_folded_into_the_map_before():
    module = nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 8),
        nn.BatchNorm1d(8, affine=True, eps=1e-2),
    )
    source = assert_same_map(trained_statistics(module, (2, 8, 8)), (2, 8, 8))
    said = [str(record) for record in source.records]
    assert "0.bias: added (by 1)" in said
    assert "0.weight: rescaled (by 1)" in said
    assert "5.running_var: folded (into 4)" in said
    assert [type(stage) for stage in source.stages[:3]] == [Convolution, Pooling, Dense]


@pytest.mark.parametrize(
    ("standardised", "weight"),
    [
        (("0",), lambda w: (w - w.mean()) / torch.sqrt(w.var(correction=0) + 1e-5)),
        (
            {"0": Standardised(1e-3, 0.5, unbiased=True, eps_in="deviation")},
            lambda w: 0.5 * (w - w.mean()) / (w.std(correction=1) + 1e-3),
        ),
    ],
)
def test_weights_standardised_in_forward(standardised, weight):
    class Conv2d(nn.Conv2d):
        def forward(self, x):
            return self._conv_forward(x, torch.stack([weight(row) for row in self.weight]), self.bias)

    module = nn.Sequential(Conv2d(2, 3, 3))
    with pytest.raises(tpl.InvalidValueError, match=r"0: forward is of Conv2d, but must be that of Conv2d; give standardised=\('0',\)"):
        read_module(module, (2, 6, 6))
    assert_same_map(module, (2, 6, 6), standardised=standardised)


def test_declared_neurons_stand_behind_the_batch_normalisation():
    module = trained_statistics(nn.Sequential(nn.Linear(12, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 4)), (12,))
    one = read_module(module[:2].append(nn.Linear(20, 4)), (12,), LIF)
    each = read_module(module, (12,), {"2": LIF})
    spiking = read_module(module, (12,), {"2": Spiking("", 0.8, 0.7)})
    frames = random_frames((12,))
    with torch.no_grad():
        drives = module[:2](torch.tensor(frames)).numpy()
    v, expected = np.zeros(20), []
    for drive in drives:
        v = 0.8 * v + drive
        expected.append(v >= 0.7)
        v = v - 0.7 * expected[-1]
    for source, path in ((one, "0.neurons"), (each, "2"), (spiking, "2")):
        assert [type(stage) for stage in source.stages] == [Dense, Spiking, Dense]
        assert source.stages[1].path == path
        assert_same_spikes(run_stages(source, frames)[0], [np.array(expected)])


def test_declared_neurons_are_what_was_declared():
    module = nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 4))
    neuron = tpl.LIF(0.8, 0.7, ">", surrogate=tpl.FastSigmoid(5.0), reset_by=0.4)
    assert tpl.convert(module, input_shape=12, neurons={"1": neuron}).layers[0].neuron == neuron
    with pytest.raises(tpl.InvalidValueError, match="2: place is after 1, but must be directly after a linear map"):
        read_module(nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.BatchNorm1d(20), nn.Linear(20, 4)), 12, {"1": neuron})


class Net(nn.Module):
    """Made in another order than used."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(6, 3)
        self.block = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 6)])
        self.loss = nn.CrossEntropyLoss()


def test_order():
    order = ["block.0", "block.1", "out"]
    source = read_module(Net(), 8, LIF, order=order)
    assert [stage.path for stage in source.stages] == ["block.0", "block.0.neurons", "block.1", "block.1.neurons", "out"]
    with pytest.raises(tpl.InvalidValueError, match="block: type is ModuleList, .*pass order="):
        read_module(Net(), 6)
    with pytest.raises(tpl.InvalidValueError, match="model: order is 'blocks', but must be among out, block, block.0"):
        read_module(Net(), 8, order=["blocks"])
    with pytest.raises(tpl.InvalidValueError, match="out: order is without it, but must be with every layer"):
        read_module(Net(), 8, order=["block.0"])


@needs_snntorch
@pytest.mark.parametrize(
    "pooling", [nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1), nn.AdaptiveMaxPool2d(3), nn.AdaptiveAvgPool2d((3, 2)), nn.AvgPool2d(2)]
)
def test_poolings_of_spikes(pooling):
    """In snnTorch, in our stages, and in our engine."""

    def made(factor):
        neuron = snn.Leaky(0.8, graded_spikes_factor=factor)
        size = pooling(torch.zeros(1, 4, 8, 8)).numel()
        return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), neuron, pooling, nn.Flatten(), nn.Linear(size, 6), snn.Leaky(0.9))

    module = lively_module(made(1.5))
    source = compare(module, (2, 8, 8))
    network = tpl.convert(module, input_shape=(2, 8, 8))
    assert len(network.populations[0].pooling) == 1
    frames = random_frames((2, 8, 8), 0.4)
    told = tpl.Learner(network).infer(tpl.Events.from_dense(frames.reshape(len(frames), -1)), record=True)
    for ours, theirs in zip(told.spikes, run_stages(source, frames)[0], strict=True):
        assert (ours == theirs).mean() >= 0.999
    if isinstance(pooling, nn.MaxPool2d):
        message = "1: graded_spikes_factor is negative, but must be at least 0 before the maximum 2; train with positive ones"
        with pytest.raises(tpl.InvalidValueError, match=message):
            read_module(made(-1.0), (2, 8, 8))


@needs_snntorch
def test_max_pooling_of_currents_is_refused():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), snn.Leaky(0.9))
    with pytest.raises(tpl.InvalidValueError, match="convert: 1: max pooling is of the input, of currents, .*put it after the neurons"):
        tpl.convert(module, input_shape=(1, 6, 6))


@needs_snntorch
def test_pictures_as_a_constant_current():
    """snnTorch's usual way: the same picture in every step."""
    module = lively_module(
        nn.Sequential(nn.Conv2d(1, 4, 3), snn.Leaky(0.9), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 6), snn.Leaky(0.9))
    )
    picture = np.round(np.random.default_rng(3).random((1, 8, 8)) * 255) / 256
    spikes, _ = library_run(list(module), np.repeat(picture[None], 40, axis=0).astype(np.float32))
    network = tpl.convert(module, input_shape=(1, 8, 8), input_format=tpl.Format(8, 8, signed=False))
    told = tpl.Learner(network).infer(tpl.Events.constant(picture, 40), record=True)
    assert_same_spikes(told.spikes, spikes)
    fixed = tpl.Learner(network, precision="fixed").infer(tpl.Events.constant(picture, 40), record=True)
    for ours, theirs in zip(fixed.spikes, told.spikes, strict=True):  # the same rates; single spikes move where weights are rounded
        np.testing.assert_allclose(ours.sum(axis=0), theirs.sum(axis=0), atol=2)


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.scale = nn.Sequential(nn.Linear(4, 4)), nn.Parameter(torch.ones(1))


@pytest.mark.parametrize(
    ("make", "shape", "options", "message"),
    [
        (lambda: nn.MaxPool2d(2, dilation=2), (2, 4, 4), {}, "0: dilation is 2, but must be 1; train without dilation"),
        (lambda: nn.MaxPool2d(2, return_indices=True), (2, 4, 4), {}, "0: return_indices is True, but must be False; leave the indices"),
        (lambda: nn.MaxPool2d(2, ceil_mode=True), (2, 5, 5), {}, "0: ceil_mode is True, but must be False where"),
        (lambda: nn.LPPool2d(2, 2), (2, 4, 4), {}, "0: norm_type is 2, but must be 1|0: norm_type is 2.0, but must be 1"),
        (lambda: nn.AdaptiveAvgPool2d(5), (2, 4, 4), {}, r"0: output_size is \(5, 5\), but must be at most \(4, 4\), the image"),
        (lambda: nn.AvgPool2d(2, padding=1, count_include_pad=False), (2, 4, 4), {}, "0: count_include_pad is False"),
        (lambda: nn.AvgPool2d(2, ceil_mode=True), (2, 5, 5), {}, "0: ceil_mode is True, but must be False where"),
        (lambda: nn.AvgPool2d(9), (2, 5, 5), {}, r"0: kernel is too large for an input of \(2, 5, 5\)"),
        (lambda: nn.ReLU(), 4, {}, "0: type is ReLU, but must be no activation but spikes; .*neurons=.path"),
        (lambda: nn.Softmax(1), 4, {}, "0: type is Softmax, but must be no activation"),
        (lambda: nn.LayerNorm(4), 4, {}, "0: type is LayerNorm, .*BatchNorm"),
        (lambda: nn.Bilinear(4, 4, 4), 4, {}, "0: type is Bilinear, but must be a layer that is known here; leave it out by order"),
        (lambda: nn.Conv2d(2, 2, 3, padding_mode="circular", padding=1), (2, 4, 4), {}, "0: padding_mode is 'circular', but"),
        (lambda: nn.Conv2d(2, 2, 4, dilation=3, padding="same"), (2, 9, 9), {}, "0: padding is 'same', but must be without stride"),
        (lambda: nn.Conv2d(3, 2, 3), (2, 4, 4), {}, r"0: weight is of shape \(2, 3, 3, 3\) with groups 1, but must be for the 2 ch"),
        (lambda: nn.Conv2d(3, 2, 3), 48, {}, r"0: input is of shape \(48,\), but must be \(channels, height, width\)"),
        (lambda: nn.Linear(3, 2), 4, {}, r"0: weight is of shape \(2, 3\), but must be \(n_out, 4\), as \(4,\) arrives; check input_shape"),
        (lambda: nn.BatchNorm1d(4), 4, {}, "0: place is after the input, but must be directly after a linear map"),
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, track_running_stats=False)), 4, {}, "0.1: track_running_stats is False"),
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(5)), 4, {}, r"0.1: running_mean is of shape \(5,\), but must be \(4,\)"),
        (lambda: nn.Flatten(0), (2, 4, 4), {}, r"0: start_dim, end_dim is \(0, -1\), but must be \(1, -1\)"),
        (lambda: nn.Linear(4, 4, device="meta"), 4, {}, "0: weight is no plain tensor"),
        (lambda: nn.LazyLinear(4), 4, {}, "0: weight is no plain tensor|0: forward"),
        (lambda: Wrapped(), 4, {}, "0: scale is a parameter of the container, but must be in a layer"),
        (lambda: nn.Linear(4, 4), (0, 4), {}, r"model: input_shape is \(0, 4\), but must be \(n,\) or"),
        (lambda: nn.Linear(4, 4), 2**40, {}, "model: input_shape is 1099511627776"),
        (lambda: nn.Linear(4, 4), 4, {"neurons": {"fc": LIF}}, "model: neurons is 'fc', but must be a layer among 0"),
        (lambda: nn.Linear(4, 4), 4, {"neurons": {"0": 0.9}}, "0.neurons: neurons is 0.9, but must be a LIF or a Spiking"),
        (lambda: nn.Linear(4, 4), 4, {"neurons": 0.9}, "model: neurons is 0.9, but must be a LIF, or a dict"),
        (lambda: nn.Linear(4, 4), 4, {"neurons": {"0": Spiking("", 1.5, 1.0)}}, r"0.neurons: decay is 1.5, but must be in \[0, 1\]"),
        (lambda: nn.Linear(4, 4), 4, {"standardised": {"0": 1e-5}}, "0: standardised is 1e-05, but must be a Standardised"),
        (lambda: nn.Linear(4, 4), 4, {"standardised": "fc"}, "model: standardised is 'fc', but must be a layer among 0"),
        (lambda: nn.Identity(), 4, {}, "model: layers is without a map or neurons"),
        (lambda: hooked(nn.Linear(4, 4)), 4, {}, "0: forward_pre_hook is <lambda>, but must be none"),
        (lambda: diverged(nn.Linear(4, 4)), 4, {}, "0: bias is nan, but must be finite; look for a diverged training"),
    ],
)
def test_layers_without_equal_are_refused(make, shape, options, message):
    with pytest.raises(tpl.InvalidValueError, match=f"convert: ({message})"):
        read_module(nn.Sequential(make()), shape, **options)


def hooked(layer):
    layer.register_forward_pre_hook(lambda module, inputs: None)
    return layer


def diverged(layer):
    layer.bias.data[1] = torch.nan
    return layer


def test_no_module():
    with pytest.raises(tpl.InvalidValueError, match="model: module is 7, but must be a torch.nn.Module; for a state dict"):
        read_module(7, 4)


@needs_snntorch
def test_one_lif_for_all_and_neurons_of_their_own():
    with pytest.raises(tpl.InvalidValueError, match="1: neurons is one LIF for all layers"):
        read_module(network(snn.Leaky(0.9)), 12, LIF)
    source = read_module(network(snn.Lapicque(0.9)), 12, {"1": LIF})
    assert (source.stages[1].path, source.stages[1].decay) == ("1", 0.8)


def test_a_convolution_as_a_matrix(rng):
    stage = Convolution("", rng.normal(size=(4, 2, 3, 2)), None, (2, 1), (1, 2), (1, 2), 2)
    image = rng.random((4, 6, 5))
    with torch.no_grad():
        expected = nn.functional.conv2d(torch.tensor(image)[None], torch.tensor(stage.weight), None, (2, 1), (1, 2), (1, 2), 2)
    np.testing.assert_allclose(convolution_matrix(stage, image.shape) @ image.ravel(), expected.ravel(), atol=1e-12)


# State dicts ------------------------------------------------------------------------------------

CHAIN = [
    {"type": "conv2d", "name": "c1", "stride": 2, "padding": "valid"},
    {"type": "batchnorm", "name": "bn1"},
    {"type": "lif", "name": "n1", "decay": 0.8, "threshold": 0.7, "comparison": ">"},
    {"type": "avgpool", "kernel": 2},
    {"type": "flatten"},
    {"type": "dropout"},
    {"type": "linear", "name": "fc1"},
    {"type": "li", "decay": 0.9},
]


class Spatial(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1, self.bn1, self.p1, self.fc1 = nn.Conv2d(2, 4, 3, 2), nn.BatchNorm2d(4), nn.AvgPool2d(2), nn.Linear(16, 5)

    def forward(self, x):
        return self.fc1(self.p1(self.bn1(self.c1(x))).flatten(1))


@pytest.fixture
def spatial():
    return lively_module(trained_statistics(Spatial(), (2, 9, 9)))


def assert_same_stages(a, b):
    assert len(a.stages) == len(b.stages)
    for one, other in zip(a.stages, b.stages, strict=True):
        assert type(one) is type(other)
        for name in vars(one):
            if name not in ("path", "bias_to"):  # a description leaves that open, a LIF says it
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def test_every_source_of_a_state_dict_is_the_same_network(spatial, tmp_path):
    state = spatial.state_dict()
    module = read_module(spatial, (2, 9, 9), {"bn1": tpl.LIF(0.8, 0.7, ">")})
    live = read_state_dict(state, CHAIN, (2, 9, 9))
    assert_same_stages(read_state_dict(state, CHAIN[:-1], (2, 9, 9)), module)
    assert {f"{f.path}.{f.parameter}" for f in live.records} >= set(state)
    torch.save({"state_dict": state, "epoch": 3, "optimiser": torch.optim.Adam(spatial.parameters()).state_dict()}, tmp_path / "net.pt")
    (tmp_path / "net.json").write_text(json.dumps({"input_shape": [2, 9, 9], "layers": CHAIN}))
    assert_same_stages(read_state_dict(tmp_path / "net.pt", tmp_path / "net.json", key="state_dict"), live)
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    assert_same_stages(read_state_dict(arrays, CHAIN, (2, 9, 9)), live)
    save_file(arrays, tmp_path / "a.safetensors", {"layers": json.dumps(CHAIN), "input_shape": "[2, 9, 9]"})
    assert_same_stages(read_state_dict(tmp_path / "a.safetensors"), live)
    frames = random_frames((2, 9, 9))
    spikes, potential = run_stages(live, frames)
    assert 0.02 < spikes[0].mean() < 0.95
    assert potential.shape == (STEPS, 5)


@needs_snntorch
def test_a_state_dict_of_snntorch_is_the_module():
    class Chain(nn.Sequential):
        pass

    neurons = {
        "leaky": (snn.Leaky(torch.rand(20), threshold=1), {}),
        "zero": (snn.Leaky(0.7, reset_mechanism="zero"), {"type": "leaky"}),
        "rleaky": (snn.RLeaky(0.7, linear_features=20, reset_mechanism="zero", reset_delay=False), {"reset_delay": False}),
        "one": (snn.RLeaky(0.6, all_to_all=False, V=-0.2), {"type": "rleaky"}),
        "synaptic": (snn.Synaptic(0.5, 0.6, reset_mechanism="zero", reset_delay=False), {"reset_delay": False}),
        "rsynaptic": (snn.RSynaptic(0.4, 0.7, all_to_all=False, V=torch.rand(20)), {}),
    }
    chain, layers = Chain(), []
    for name, (neuron, keys) in neurons.items():
        chain.add_module(f"fc_{name}", nn.Linear(20, 20))
        chain.add_module(name, neuron)
        layers += [{"type": "linear", "name": f"fc_{name}"}, {"type": name, "name": name, **keys}]
    lively_module(chain, 4)
    source = read_state_dict(chain.state_dict(), layers, 20)
    assert_same_stages(source, compare(chain, (20,)))
    assert {f"{f.path}.{f.parameter}" for f in source.records} >= set(chain.state_dict())


@pytest.mark.parametrize(
    ("described", "module"),
    [
        ({"type": "maxpool", "kernel": 3, "stride": 2, "padding": 1}, nn.MaxPool2d(3, 2, 1)),
        ({"type": "adaptiveavgpool", "output": [3, 2]}, nn.AdaptiveAvgPool2d((3, 2))),
        ({"type": "adaptivemaxpool", "output": 3}, nn.AdaptiveMaxPool2d(3)),
    ],
)
def test_poolings_of_state_dicts(described, module):
    source = read_state_dict({}, [described], (2, 8, 8))
    frames = np.random.default_rng(0).random((3, 2, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(linear_response(source, frames), module(torch.tensor(frames)).reshape(3, -1), rtol=1e-5)


def test_neurons_of_tensors(rng):
    state = {
        "fc.weight": rng.normal(0, 1, (6, 5)).astype(np.float32),
        "n.tau": rng.random(6).astype(np.float32),
        "n.back": rng.normal(0, 0.2, (6, 6)),
    }
    lif = {"type": "lif", "decay": "n.tau", "threshold": [0.5] * 6, "feedback": "n.back", "reset": "zero", "trace_decay": 0.7}
    source = read_state_dict(state, [{"type": "linear", "name": "fc", "standardised": {"eps": 1e-3}}, lif], 5)
    np.testing.assert_array_equal(source.stages[1].decay, state["n.tau"])
    np.testing.assert_array_equal(source.stages[1].feedback, state["n.back"])
    np.testing.assert_allclose(source.stages[0].weight.mean(1), 0, atol=1e-12)
    assert {f"{f.path}.{f.parameter}" for f in source.records} >= set(state)


W = np.ones((3, 4), np.float32)
FC = {"type": "linear", "name": "fc"}


@pytest.mark.parametrize(
    ("state", "layers", "message"),
    [
        ({"fc.weight": W}, [{"type": "lin", "name": "fc"}], r"layers\[0\]: type is 'lin', but must be one of linear, conv2d"),
        ({"fc.weight": W}, [{"type": ["x"]}], r"layers\[0\]: type is \['x'\]"),
        ({"fc.weight": W}, [{**FC, "bias": True}], r"layers\[0\]: key is 'bias', but must be a key of linear: name, standardised"),
        ({"fc.weight": W}, [{"type": "linear"}], r"layers\[0\]: name is missing, but must be given for linear"),
        ({"fc.weight": W}, [7], r"layers\[0\]: layer is 7, but must be a dict"),
        ({"fc.weight": W}, [{"type": "linear", "name": 7}], r"layers\[0\]: name is 7, but must be a text"),
        ({"fc.weight": W}, [], "model: layers is a list of 0, but must be a list of 1"),
        ({"fc.weight": W}, {"a": 1}, "model: layers is dict, but must be a list"),
        ({"fc.weight": W}, None, "model: layers is None, but must be given"),
        (
            {"fc.weight": W},
            [FC, {"type": "linear", "name": "fc2"}],
            "fc2: weight is missing, but must be .*'fc2.weight'; there are fc.weight",
        ),
        ({"fc.weight": W, "x.y": W}, [FC], "model: layers is x.y left over, but must be using every tensor; .*ignore="),
        ({"fc.weight": W.T}, [FC], r"fc: weight is of shape \(4, 3\), but must be \(n_out, 4\)"),
        ({"fc.weight": W, "fc.bias": W}, [FC], r"fc: bias is of shape \(3, 4\), but must be \(3,\)"),
        ({"fc.weight": W.astype(np.int8)}, [FC], "fc: weight is of type int8, but must be floating-point numbers; multiply quantised"),
        ({"fc.weight": W.astype(np.complex64)}, [FC], "fc: weight is of type complex64"),
        ({"fc.weight": W * np.inf}, [FC], "fc: weight is inf, but must be finite"),
        ({"fc.weight": W, "epoch": 3}, [FC], "model: state is int at 'epoch', but must be tensors by name"),
        ({"state": {"fc.weight": W}}, [FC], "model: state is dict at 'state', .*pass key='state'"),
        ({"fc.weight": np.broadcast_to(W[0, 0], (2**20, 2**20))}, [FC], "fc: weight is of shape .* at most 268435456 elements"),
        ({"fc.weight": W}, [FC, {"type": "li", "decay": 2}], r"layers\[1\]: decay is 2, but must be in \[0, 1\]"),
        ({"fc.weight": W}, [FC, {"type": "li", "decay": 1}, {"type": "lif", "decay": 0}], r"layers\[1\]: place is before layers\[2\]"),
        ({"fc.weight": W}, [FC, {"type": "lif", "decay": "fc.tau"}], "fc: tau is missing"),
        ({"fc.weight": W}, [FC, {"type": "lif", "decay": [0.1, 0.2]}], r"layers\[1\]: decay is of shape \(2,\), but must be one number"),
        ({"fc.weight": W}, [FC, {"type": "lif", "decay": None}], r"layers\[1\]: decay is of type NoneType"),
        ({"fc.weight": W}, [FC, {"type": "lif", "decay": 0.5, "reset": "none"}], r"layers\[1\]: reset is 'none', but must be 'subtract'"),
        (
            {"fc.weight": W},
            [FC, {"type": "lif", "decay": 0.5, "feedback": [[1.0]]}],
            r"feedback is of shape \(1, 1\), but must be \(3, 3\)",
        ),
        ({"fc.weight": W}, [FC, {"type": "lif", "decay": 0.5, "trace_decay": 1}], r"layers\[1\]: trace_decay is 1"),
        ({"fc.weight": W}, [{"type": "avgpool", "kernel": 2}], r"layers\[0\]: input is of shape \(4,\)"),
        ({"fc.weight": W}, [{**FC, "standardised": {"e": 1}}], "fc: standardised is {'e': 1}, but must be a dict"),
        ({"fc.weight": W}, [{**FC, "standardised": {"eps": 0}}], "Standardised: eps is 0, but must be above 0"),
        ({"fc.weight": W}, [{"type": "conv2d", "name": "fc", "stride": 0}], r"fc: weight is of shape \(3, 4\), but must be \(c_out"),
        ({"fc.weight": W}, [FC, {"type": "leaky", "name": "l", "reset_delay": 1}], "l: reset_delay is 1, but must be true or false"),
        ({"fc.weight": W}, [FC, {"type": "leaky", "name": "l"}], "l: beta is missing"),
        ({"fc.weight": W, "l.reset_mechanism_val": np.array(7)}, [FC, {"type": "leaky", "name": "l"}], "l: reset_mechanism_val is 7"),
    ],
)
def test_descriptions_that_do_not_fit_are_refused(state, layers, message):
    with pytest.raises(tpl.InvalidValueError, match=message):
        read_state_dict(state, layers, 4)


def test_options_of_state_dicts(tmp_path):
    assert len(read_state_dict({"fc.weight": W, "x": W}, [FC], 4, ignore="x").stages) == 1
    for options, message in (({"ignore": ["y"]}, "ignore is 'y'"), ({"key": "net"}, "key is 'net', .*there are fc.weight")):
        with pytest.raises(tpl.InvalidValueError, match=message):
            read_state_dict({"fc.weight": W}, [FC], 4, **options)
    with pytest.raises(tpl.InvalidValueError, match="input_shape is None, but must be given"):
        read_state_dict({"fc.weight": W}, [FC])
    with pytest.raises(tpl.InvalidValueError, match="state is int, but must be a mapping"):
        read_state_dict(7, [FC], 4)
    with pytest.raises(FileNotFoundError, match="nowhere.pt: no such file"):
        read_state_dict(tmp_path / "nowhere.pt", [FC], 4)
    with pytest.raises(FileNotFoundError, match="nowhere.json: no such file"):
        read_state_dict({"fc.weight": W}, tmp_path / "nowhere.json", 4)


# Hostile files ----------------------------------------------------------------------------------


class Touch:
    """Unpickled by pickle.load, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


class Made:
    """Unpickled, a call."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return (self.call[0], self.call[1:])


def malicious(tmp_path):
    """Files that would run code: a plain pickle, torch.save's zip, and its format before 1.6."""
    touched = tmp_path / "touched"
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"fc.weight": Touch(touched)}))
    torch.save({"fc.weight": Touch(touched)}, tmp_path / "zip.pt")
    torch.save({"fc.weight": Touch(touched)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    return touched, [tmp_path / name for name in ("plain.pt", "zip.pt", "old.pt")]


def test_pickles_are_not_executed(tmp_path):
    touched, paths = malicious(tmp_path)
    for path in paths:
        with pytest.raises(tpl.ArchiveError, match=f"{path.name}: .*; .*"):
            read_state_dict(path, [FC], 4)
    torch.save(nn.Linear(4, 3), tmp_path / "whole.pt")
    with pytest.raises(tpl.ArchiveError, match=r"whole.pt: holds more than tensors \(.*; save module.state_dict\(\) again"):
        read_state_dict(tmp_path / "whole.pt", [FC], 4)
    assert not touched.exists()
    pickle.loads(pickle.dumps(Touch(touched))).close()
    assert touched.exists()  # it would have


def test_files_larger_inside_than_outside_are_refused(tmp_path):
    torch.save({"fc.weight": torch.ones(1).expand(2**14, 2**13)}, tmp_path / "wide.pt")
    with pytest.raises(tpl.ArchiveError, match=r"fc.weight has shape \(16384, 8192\), more than the file holds"):
        read_state_dict(tmp_path / "wide.pt", [FC], 4)
    torch.save({"fc.weight": torch.zeros(2**20)}, tmp_path / "flat.pt")
    with zipfile.ZipFile(tmp_path / "flat.pt") as old, zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.infolist():
            new.writestr(part.filename, old.read(part))
    with pytest.raises(tpl.ArchiveError, match="bomb.pt: is compressed"):
        read_state_dict(tmp_path / "bomb.pt", [FC], 4)
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    with pytest.raises(tpl.ArchiveError, match="tensor.pt: holds a Tensor, not a state dict"):
        read_state_dict(tmp_path / "tensor.pt", [FC], 4)
    for nothing in (bytearray, range):
        hostile = with_pickle(good_files()[".pt"], lambda _, nothing=nothing: pickle.dumps(Made(nothing, 2**33), 2))
        (tmp_path / "made.pt").write_bytes(hostile)
        with pytest.raises(tpl.ArchiveError, match=f"made.pt: holds more than tensors .*builtin.* x?{nothing.__name__}"):
            read_state_dict(tmp_path / "made.pt", [FC], 4)
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(tpl.ArchiveError, match="deep.json: holds no JSON description"):
        read_state_dict({"fc.weight": W}, tmp_path / "deep.json", 4)
    (tmp_path / "long.json").write_text(" " * 2**21)
    with pytest.raises(tpl.ArchiveError, match="long.json: has more than 1048576 bytes"):
        read_state_dict({"fc.weight": W}, tmp_path / "long.json", 4)


def safetensors_of(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def good_files():
    """-> {suffix: bytes} of a small network."""
    state = {"fc.weight": torch.randn(3, 4), "fc.bias": torch.randn(3)}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    from safetensors.torch import save

    return {".pt": buffer.getvalue(), ".safetensors": save(state, {"layers": json.dumps([FC]), "input_shape": "[4]"})}


def with_pickle(data, change):
    """A file of torch.save with another pickle in it, whole otherwise."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for part in old.infolist():
            content = old.read(part)
            new.writestr(part.filename, change(content) if part.filename.endswith("data.pkl") else content)
    return buffer.getvalue()


def damage(data, rng):
    """One random change of a file: cut, bits flipped, bytes overwritten, a piece moved, or a hostile header."""
    way, data = rng.integers(6), bytearray(data)
    at = int(rng.integers(len(data)))
    if way == 0:
        return bytes(data[:at])
    if way == 1:
        for place in rng.integers(0, len(data), int(rng.integers(1, 8))):
            data[place] ^= 1 << int(rng.integers(8))
    elif way == 2:
        data[at : at + 8] = rng.bytes(8)
    elif way == 3:
        data[at:at] = data[: int(rng.integers(1, 64))]
    elif way == 4:
        shape = [int(n) for n in 2 ** rng.integers(0, 62, int(rng.integers(1, 4)))]
        dtype = str(rng.choice(["F32", "I64", "BF16", "F8_E4M3", "BOOL", "X9", "F64", "C64"]))
        header = {"fc.weight": {"dtype": dtype, "shape": shape, "data_offsets": [0, int(rng.choice([48, 2**40]))]}}
        return safetensors_of(header, bytes(48))
    else:
        return safetensors_of(rng.bytes(int(rng.integers(1, 200))), bytes(data[:at])) if rng.random() < 0.5 else bytes(rng.bytes(at))
    return bytes(data)


def fuzz(count, folder, seed=0):
    """Damage files at random; each must be read, or refused by a TpLavaError. -> (read, refused)."""
    rng, files, outcomes = np.random.default_rng(seed), good_files(), [0, 0]
    for number in range(count):
        suffix = str(rng.choice(list(files)))
        path = folder / f"fuzz{number % 4}{suffix}"
        inside = suffix == ".pt" and rng.random() < 0.5
        path.write_bytes(with_pickle(files[suffix], lambda data: damage(data, rng)) if inside else damage(files[suffix], rng))
        layers, shape = ([FC], 4) if suffix == ".pt" or rng.random() < 0.5 else (None, None)
        try:
            read_state_dict(path, layers, shape)
            outcomes[0] += 1
        except tpl.TpLavaError as error:
            outcomes[1] += len(str(error)) < 2000
    return tuple(outcomes)


def test_damaged_files_are_refused_or_read(tmp_path):
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read, refused = fuzz(40, tmp_path)
    assert refused > 20
    assert read + refused == 40
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB


@pytest.mark.parametrize("dtype", ["BF16", "I8", "BOOL", "F8_E4M3"])
def test_types_that_numpy_or_a_weight_has_not(dtype, tmp_path):
    size = 24 if dtype == "BF16" else 12
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors_of({"fc.weight": {"dtype": dtype, "shape": [3, 4], "data_offsets": [0, size]}}, bytes(size)))
    with pytest.raises(tpl.TpLavaError, match=r"x.safetensors: cannot be read|fc: weight is of type"):
        read_state_dict(path, [FC], 4)


def test_half_precision_is_read():
    state = {"fc.weight": torch.randn(3, 4).bfloat16()}
    assert read_state_dict(state, [FC], 4).stages[0].weight.dtype == np.float32


def test_safetensors_need_no_torch(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(good_files()[".safetensors"])
    code = f"""
import sys
sys.modules["torch"] = None
import tp_lava
from tp_lava.convert.state_dicts import read_state_dict
from tp_lava.convert.torch_modules import read_module
print(read_state_dict({str(tmp_path / "a.safetensors")!r}).stages[0].weight.shape)
for read in (lambda: read_module(None, 4), lambda: read_state_dict({str(tmp_path / "b.pt")!r}, [], 4)):
    try:
        read()
    except tp_lava.TpLavaError as error:
        print(error)
"""
    (tmp_path / "b.pt").write_bytes(good_files()[".pt"])
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("(3, 4)")
    assert result.stdout.count('pip install "tp-lava[torch]"') == 2
