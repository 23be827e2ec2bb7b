"""A converted network runs beside its module: what forward does beside its layers is found, and named."""

import numpy as np
import pytest

import tp_lava as tpl
from tp_lava.errors import ConversionError

torch = pytest.importorskip("torch")
torch.set_num_threads(1)
nn, F = torch.nn, torch.nn.functional
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
LIF = tpl.LIF(0.9, 0.7)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(3)


class Net(nn.Module):
    """Two maps of the same size, and a forward that a test gives."""

    def __init__(self, forward, n=8, out=8, **others):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(n, 8), nn.Linear(8, 8), nn.Linear(8, out)
        for name, layer in others.items():
            setattr(self, name, layer)
        for layer in (self.first, self.second, self.last):
            layer.weight.data *= 3
        self.body = forward

    def forward(self, x):
        return self.body(self, x)


NEURONS = {"first": LIF, "second": LIF}
ORDER = ["first", "second", "last"]  # said, so that forward is not read: verification finds what it does otherwise


def chain(net, x):
    return net.last(net.second(net.first(x)))


def skip(net, x):
    a = net.first(x)
    return net.last(net.second(a) + a)


def skip_of_the_input(net, x):
    return net.last(net.second(net.first(x)) + x)


def factor(net, x):
    return net.last(0.5 * net.second(net.first(x)))


def activation(net, x):
    return net.last(torch.sigmoid(net.second(net.first(x))))


def another_order(net, x):
    return net.last(net.first(net.second(x)))


def left_over(net, x):
    return net.last(net.first(x))


def twice(net, x):
    return net.last(net.second(net.second(net.first(x))))


def gate(net, x):
    a = net.first(x)
    return net.last(net.second(a) * a)


def shifted(net, x):
    return net.last(net.second(net.first(x)) + 0.25)


def turned(net, x):
    return net.last(net.second(net.first(x)).flip(1))


def negative(net, x):
    return -net.last(net.second(net.first(x)))


@pytest.mark.parametrize(
    ("forward", "layer", "cause"),
    [
        (skip, "last", r"a skip connection adds what first gives: forward calls \w+ \(test_verification.py:\d+\)"),
        (skip_of_the_input, "last", "a skip connection adds what the input gives"),
        (factor, "last", r"a factor of 0.5: forward calls \w+ \(test_verification.py:\d+\)"),
        (activation, "last", r"an operation that is no module: forward calls sigmoid \(test_verification.py:\d+\)"),
        (another_order, "first", "forward gives it what second makes, not what the input makes"),
        (left_over, "second", "a layer that is left over"),
        (twice, "second", "it is used in more than one place"),
        (gate, "last", "it is multiplied by what first gives"),
        (shifted, "last", "a constant of 0.25 is added"),
        (turned, "last", "units in another order"),
        (negative, "last", r"forward goes on with neg \(test_verification.py:\d+\)"),
    ],
)
def test_what_forward_does_beside_its_layers(forward, layer, cause):
    with pytest.raises(ConversionError, match=cause) as caught:
        tpl.convert(Net(forward), input_shape=8, neurons=NEURONS, order=ORDER)
    assert caught.value.layer == layer
    assert isinstance(caught.value, tpl.InvalidValueError)
    assert "verify=False" in str(caught.value)
    network = tpl.convert(Net(forward), input_shape=8, neurons=NEURONS, order=ORDER, verify=False)
    assert network.provenance.verification == ""


def test_the_step_and_the_neuron_are_the_first_that_differ():
    samples = np.zeros((2, 6, 8), np.float32)
    samples[0, 2, 5], samples[1, :, :] = 1, 1

    def doubled(net, x):
        return net.last(net.second(net.first(x * 2)))

    given = [tpl.Events.from_dense(each) for each in samples]
    with pytest.raises(ConversionError, match="2 arrives, where the input gives 1. Likely cause: a factor of 2") as caught:
        tpl.convert(Net(doubled), input_shape=8, neurons=NEURONS, order=ORDER, samples=given)
    assert (caught.value.layer, caught.value.step, caught.value.neuron) == ("first", 2, 5)


def test_a_chain_is_verified():
    network = tpl.convert(Net(chain), input_shape=8, neurons=NEURONS)
    assert network.provenance.verification == "verified beside the module on 3 random samples: no spike differs in 60 steps"
    assert str(network.provenance).endswith("60 steps")


def test_a_factor_is_taken_in():
    network = tpl.convert(Net(factor), input_shape=8, neurons=NEURONS, factors={"last": 0.5})
    assert "no spike differs" in network.provenance.verification
    plain = tpl.convert(Net(factor), input_shape=8, neurons=NEURONS, verify=False)
    for name, weights in plain.weights.items():
        assert weights.shape == network.weights[name].shape
    with pytest.raises(ConversionError, match=r"a factor of 2: .*pass factors=\{'last': 0.5\}"):
        tpl.convert(Net(factor), input_shape=8, neurons=NEURONS, factors={"last": 0.25})
    with pytest.raises(tpl.InvalidValueError, match="factors is 'lost', but must be a layer among"):
        tpl.convert(Net(factor), input_shape=8, neurons=NEURONS, factors={"lost": 0.25})
    with pytest.raises(tpl.InvalidValueError, match="factor is"):
        tpl.convert(Net(factor), input_shape=8, neurons=NEURONS, factors={"last": float("nan")})

    net = nn.Sequential(nn.Linear(8, 8), Foreign(), nn.Linear(8, 4))
    net[0].weight.data *= 8
    scaled = Scaled(*net)
    neuron = {"1": tpl.LIF(0.8, 1.0, ">", "zero")}
    with pytest.raises(ConversionError, match=r"pass factors=\{'1': 0.5\}"):
        tpl.convert(scaled, input_shape=8, neurons=neuron, order=["0", "1", "2"])
    assert "no spike differs" in tpl.convert(scaled, input_shape=8, neurons=neuron, factors={"1": 0.5}).provenance.verification


class Scaled(nn.Sequential):
    """Half of what the first layer gives arrives at the neurons."""

    def forward(self, x):
        return self[2](self[1](self[0](x) * 0.5))


class Pooled(nn.Module):
    """A functional pooling after which shapes fit, for an adaptive one follows."""

    def __init__(self):
        super().__init__()
        self.conv, self.pool, self.head = nn.Conv2d(1, 2, 3, padding=1), nn.AdaptiveAvgPool2d(2), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.pool(F.max_pool2d(self.conv(x), 2)).flatten(1))


def test_functional_pooling():
    with pytest.raises(
        ConversionError, match=r"pooling or a selection that is no module: forward calls .*max_pool2d \(test_verif"
    ) as caught:
        tpl.convert(Pooled(), input_shape=(1, 8, 8), neurons=tpl.LIF(0.9, 0.2), order=["conv", "pool", "head"])
    assert caught.value.layer == "pool"


# Ways in which modules take time ------------------------------------------------------------------

snn = pytest.importorskip("snntorch")


class Spiking(nn.Module):
    """snnTorch's neurons with a loop over time in forward."""

    def __init__(self, loop, factor=1.0):
        super().__init__()
        self.first, self.lif, self.last, self.out = nn.Linear(10, 12), snn.Leaky(0.9), nn.Linear(12, 4), snn.Leaky(0.8)
        self.first.weight.data *= 3
        self.last.weight.data *= 3
        self.loop, self.factor = loop, factor

    def step(self, x, states):
        spikes, states[0] = self.lif(self.first(x), states[0])
        out, states[1] = self.out(self.factor * self.last(spikes), states[1])
        return out

    def forward(self, x):
        states = [self.lif.init_leaky(), self.out.init_leaky()]
        return self.loop(self, x, states)


def time_first(net, x, states):
    return torch.stack([net.step(frame, states) for frame in x])


def time_second(net, x, states):
    return torch.stack([net.step(x[:, t], states) for t in range(x.shape[1])], dim=1)


def picture(net, x, states):
    return sum(net.step(x, states) for _ in range(25))


def picture_with_the_map_before_the_loop(net, x, states):
    current, outs = net.first(x), []
    for _ in range(25):
        spikes, states[0] = net.lif(current, states[0])
        out, states[1] = net.out(net.factor * net.last(spikes), states[1])
        outs.append(out)
    return torch.stack(outs), states[1]


def map_of_all_steps(net, x, states):
    currents, outs = net.first(x), []
    for current in currents:
        spikes, states[0] = net.lif(current, states[0])
        out, states[1] = net.out(net.factor * net.last(spikes), states[1])
        outs.append(out)
    return torch.stack(outs)


LOOPS = [time_first, time_second, picture, picture_with_the_map_before_the_loop, map_of_all_steps]


@pytest.mark.parametrize("loop", LOOPS)
def test_every_loop_over_time_is_run(loop):
    assert "no spike differs" in tpl.convert(Spiking(loop), input_shape=10).provenance.verification
    with pytest.raises(ConversionError, match="a factor of 0.5") as caught:
        tpl.convert(Spiking(loop, 0.5), input_shape=10, order=["first", "lif", "last", "out"])
    assert caught.value.layer == "out"
    assert "no spike differs" in tpl.convert(Spiking(loop, 0.5), input_shape=10).provenance.verification  # where forward is read


def chained(init_hidden):
    return nn.Sequential(
        nn.Linear(10, 12), snn.Leaky(0.9, init_hidden=init_hidden), nn.Linear(12, 4), snn.Leaky(0.8, init_hidden=init_hidden, output=True)
    )


@pytest.mark.parametrize("init_hidden", [True, False])
def test_a_sequential_of_neurons_with_states(init_hidden):
    net = chained(init_hidden=init_hidden)
    for layer in (net[0], net[2]):
        layer.weight.data *= 3
    assert "no spike differs" in tpl.convert(net, input_shape=10).provenance.verification
    net(torch.rand(1, 10)) if init_hidden else None  # states that are left over do not matter
    assert "no spike differs" in tpl.convert(net, input_shape=10).provenance.verification


def test_the_module_is_left_as_it_was():
    net = chained(init_hidden=True).train()
    net(torch.rand(1, 10))
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    mem = net[1].mem.clone()
    tpl.convert(net, input_shape=10)
    assert net.training
    assert torch.equal(net[1].mem, mem)
    assert not any(layer._forward_hooks for layer in net.modules())
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_random_numbers_of_forward_are_not_the_callers():
    """A forward that draws its input is no chain; what is drawn afterwards is what it would have been."""

    def drawn(net, x):
        return chain(net, torch.bernoulli(0.5 * x))

    net = Net(drawn)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with pytest.raises(ConversionError, match="forward calls .*bernoulli"):
        tpl.convert(net, input_shape=8, neurons=NEURONS)
    assert torch.equal(torch.rand(3), expected)


def test_what_cannot_be_run_is_said():
    class Explicit(Spiking):
        def forward(self, x, states):
            return self.step(x, states)

    said = tpl.convert(Explicit(None), input_shape=10).provenance.verification
    assert said.startswith("not verified: the module cannot be run beside it, for forward raises TypeError (")
    assert tpl.convert(Explicit(None), input_shape=10, verify=False).provenance.verification == ""


def test_silent_layers_are_said():
    net = chained(init_hidden=True)
    net[2].weight.data *= 0
    net[2].bias.data *= 0
    said = tpl.convert(net, input_shape=10).provenance.verification
    assert said.endswith("without a spike: 3 (give samples=... on which it spikes); forward was run with random spikes in their place")


def test_what_forward_does_behind_a_silent_layer_is_found():
    net = Net(factor)
    for layer in (net.first, net.second):
        layer.weight.data *= 0
        layer.bias.data *= 0
    with pytest.raises(ConversionError, match="a factor of 0.5"):
        tpl.convert(net, input_shape=8, neurons=NEURONS, order=ORDER)
    quiet = Spiking(time_first, 0.5)
    quiet.first.weight.data *= 0
    quiet.last.bias.data *= 0
    with pytest.raises(ConversionError, match="a factor of 0.5"):
        tpl.convert(quiet, input_shape=10, order=["first", "lif", "last", "out"])


class Foreign(nn.Module):
    """Neurons of one's own: v = 0.8 v + x, a spike where v > 1, which then is 0."""

    def __init__(self, graded=False):
        super().__init__()
        self.v, self.graded = torch.zeros(8), graded

    def forward(self, x):
        v = 0.8 * self.v + x
        spikes = (v > 1).float()
        self.v = v * (1 - spikes)
        return v if self.graded else spikes


def foreign(graded=False):
    net = nn.Sequential(nn.Linear(8, 8), Foreign(graded), nn.Linear(8, 4))
    net[0].weight.data *= 4
    return net


def test_declared_neurons_that_the_module_has_are_compared():
    own = tpl.LIF(0.8, 1.0, ">", "zero")
    assert "no spike differs" in tpl.convert(foreign(), input_shape=8, neurons={"1": own}).provenance.verification
    other = tpl.LIF(0.9, 1.0, ">", "zero")
    with pytest.raises(ConversionError, match="the neurons declared for 1 are not those that it has") as caught:
        tpl.convert(foreign(), input_shape=8, neurons={"1": other})
    assert (caught.value.layer, caught.value.neuron is None, caught.value.step is None) == ("1", False, False)
    # in place of what gives no spikes there is nothing to be compared with
    assert "no spike differs" in tpl.convert(foreign(graded=True), input_shape=8, neurons={"1": other}).provenance.verification


DECLARED = [
    tpl.LIF(0.8, 0.6, ">", "zero"),
    tpl.LIF(0.8, 0.6, current_decay=0.5),
    tpl.LIF(0.8, 0.6, current_decay=0.5, bias_to="current", surrogate=tpl.Triangle()),
    tpl.LIF(0.9, 0.6, reset_by=0.5),
    tpl.LIF(np.linspace(0.5, 0.95, 8), np.linspace(0.5, 0.9, 8)),
    tpl.LIF(0.9, 0.6, adaptation=0.2, adaptation_decay=0.9, refractory=2),
]


@pytest.mark.parametrize("neuron", DECLARED, ids=lambda neuron: f"{neuron.reset}-{neuron.current_decay}-{neuron.bias_to}")
def test_declared_neurons_keep_every_field(neuron):
    net = nn.Sequential(nn.Linear(9, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4)).eval()
    net[0].weight.data *= 4
    net[1].running_mean += 0.2
    net[1].bias.data += 0.3
    network = tpl.convert(net, input_shape=9, neurons={"2": neuron})
    assert "no spike differs" in network.provenance.verification
    found = network.layers[0].neuron
    assert (found.surrogate, found.bias_to, found.reset_by, found.refractory) == (
        neuron.surrogate, neuron.bias_to, neuron.reset_by, neuron.refractory,
    )  # fmt: skip
    learner = tpl.Learner(network)
    assert learner.network.layers[0].neuron.current_decay == neuron.current_decay


def test_another_comparison_is_found_where_potentials_meet_thresholds():
    """Weights of 0.5 and a threshold of 1, which is met exactly; rounding is no difference, another comparison is one."""
    net = nn.Sequential(nn.Linear(8, 8, bias=False), Foreign(), nn.Linear(8, 4))
    net[0].weight.data = 0.5 * torch.eye(8) + 0.5 * torch.eye(8).roll(1, 0)
    strict, lax = (tpl.LIF(0.8, 1.0, comparison, "zero") for comparison in (">", ">="))
    assert "no spike differs in 60 steps" in tpl.convert(net, input_shape=8, neurons={"1": strict}).provenance.verification
    with pytest.raises(ConversionError, match='different comparison: ">=" here, and with ">" no spike differs; say comparison=">"'):
        tpl.convert(net, input_shape=8, neurons={"1": lax})


def test_rounding_is_no_difference():
    """The threshold lies between two sums of the same numbers in another order."""
    net = nn.Sequential(nn.Linear(8, 8, bias=False), Foreign(), nn.Linear(8, 4))
    net[0].weight.data = torch.full((8, 8), 0.25)
    network = tpl.convert(net, input_shape=8, neurons={"1": tpl.LIF(0.8, 1.0 - 2.0**-20, ">=", "zero")})
    assert "no spike differs in" in network.provenance.verification
    assert "steps of 60; the rest come after a potential that met its threshold but for rounding" in network.provenance.verification


@pytest.mark.parametrize("samples", [[], [3], [tpl.Events.from_dense(np.ones((3, 5)))]])
def test_samples_that_do_not_fit(samples):
    with pytest.raises(tpl.InvalidValueError):
        tpl.convert(Net(chain), input_shape=8, neurons=NEURONS, samples=samples)


def test_pictures_are_verified_with_graded_input():
    network = tpl.convert(Spiking(picture), input_shape=10, input_format=tpl.Format(8, 8, signed=False))
    assert "no spike differs" in network.provenance.verification


@pytest.mark.parametrize("seed", range(6))
def test_random_chains_are_verified(seed):
    """Maps, poolings and normalisations of random chains, with a forward of their own."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    channels, size = int(rng.integers(1, 4)), int(rng.integers(6, 10))
    layers = [nn.Conv2d(channels, 3, 3, padding=1), nn.BatchNorm2d(3), snn.Leaky(float(rng.uniform(0.3, 0.95)), init_hidden=True)]
    layers += [rng.choice([nn.AvgPool2d(2), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(2)]), nn.Flatten(), nn.LazyLinear(6)]
    layers += [snn.Synaptic(0.4, 0.7, init_hidden=True), nn.Dropout(), nn.Linear(6, 3)]
    net = nn.Sequential(*layers)
    net(torch.rand(4, channels, size, size))
    net[0].weight.data *= 4
    net[5].weight.data *= 4
    net.eval()
    assert "no spike differs" in tpl.convert(net, input_shape=(channels, size, size)).provenance.verification
