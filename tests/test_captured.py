"""What forward does beside its layers is taken in: every spike is that of the module, or an error names the line."""

import numpy as np
import pytest

import tp_lava as tpl
from tp_lava.errors import ConversionError

torch = pytest.importorskip("torch")
torch.set_num_threads(1)
nn, F = torch.nn, torch.nn.functional
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
LIF = tpl.LIF(0.9, 0.7)
SAME = "no spike differs in 60 steps"


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(3)


class Net(nn.Module):
    """Layers by name, and a forward that a test gives."""

    def __init__(self, forward, **layers):
        super().__init__()
        layers = layers or {"first": nn.Linear(8, 8), "second": nn.Linear(8, 8), "last": nn.Linear(8, 8)}
        for name, layer in layers.items():
            setattr(self, name, layer)
            if isinstance(layer, nn.Linear | nn.Conv2d):
                layer.weight.data *= 3
        self.body = forward

    def forward(self, x):
        return self.body(self, x)


NEURONS = {"first": LIF, "second": LIF}
DENSE = {
    "skip": lambda net, x: net.last(net.second(a := net.first(x)) + a),
    "skip of the input": lambda net, x: net.last(net.second(net.first(x)) + x),
    "skip into neurons": lambda net, x: net.last(net.second(net.first(x) + x)),
    "difference": lambda net, x: net.last(net.second(a := net.first(x)) - 0.3 * a),
    "difference from the input": lambda net, x: net.last(1.0 * x - net.second(net.first(x))),
    "same twice": lambda net, x: net.last(net.second((a := net.first(x)) + a)),
    "factor": lambda net, x: net.last(0.5 * net.second(net.first(x)) / 0.8),
    "factor for each unit": lambda net, x: net.last(torch.linspace(-1, 1, 8) * net.second(net.first(x))),
    "another order": lambda net, x: net.last(net.first(net.second(x))),
    "turned": lambda net, x: net.last(net.second(net.first(x)).flip(1).roll(3, 1)),
    "negative": lambda net, x: -net.last(net.second(net.first(x))),
    "relu of spikes": lambda net, x: net.last(F.relu(net.second(net.first(x)) + x)),
    "dropout": lambda net, x: net.last(F.dropout(net.second(net.first(x)), 0.5, net.training)),
    "of two outputs": lambda net, x: net.last(net.second(a := net.first(x))) + net.last(a),
    "a map twice": lambda net, x: net.last(x) + net.last(net.second(net.first(x))),
    "bias in forward": lambda net, x: net.last(net.second(net.first(x))) + 0.25,
}


@pytest.mark.parametrize("name", DENSE)
def test_dense(name):
    network = tpl.convert(Net(DENSE[name]), input_shape=8, neurons=NEURONS)
    assert SAME in network.provenance.verification


def test_the_output_is_that_of_forward(rng):
    """Scores are the sums of what forward gives."""
    net = Net(lambda net, x: 0.5 * net.last(net.second(a := net.first(x))) - net.last(a) + 0.1)
    network = tpl.convert(net, input_shape=8, neurons=NEURONS)
    spikes = (rng.random((30, 8)) < 0.4).astype(np.float32)
    expected, states = np.zeros(8), [np.zeros(8), np.zeros(8)]
    first, second, last = (
        (layer.weight.detach().numpy().astype(np.float64), layer.bias.detach().numpy().astype(np.float64))
        for layer in (net.first, net.second, net.last)
    )

    def step(number, drive):
        pre = 0.9 * states[number] + drive
        made = (pre >= 0.7).astype(np.float64)
        states[number] = pre - 0.7 * made
        return made

    for frame in spikes:
        a = step(0, first[0] @ frame + first[1])
        b = step(1, second[0] @ a + second[1])
        expected += 0.5 * (last[0] @ b + last[1]) - (last[0] @ a + last[1]) + 0.1
    np.testing.assert_allclose(tpl.Learner(network).infer(tpl.Events.from_dense(spikes)).scores, expected, atol=1e-3)


def concatenated(net, x):
    return net.last(torch.cat([net.second(net.first(x)), x], dim=1))


def test_concatenation():
    net = Net(concatenated, first=nn.Linear(8, 5), second=nn.Linear(5, 6), last=nn.Linear(14, 4))
    network = tpl.convert(net, input_shape=8, neurons=NEURONS)
    assert SAME in network.provenance.verification
    assert [(c.name, c.pre, c.post) for c in network.connections][2:] == [
        ("relay_from_hidden1", "hidden1", "relay"),
        ("relay_from_input", "input", "relay"),
        ("readout", "relay", "readout"),
    ]


def bottleneck(net, x):
    a = net.stem(x)
    b = net.conv(a) + F.avg_pool2d(x, 2)[:, :1]
    return net.head(F.max_pool2d(net.act(b), 2).flatten(1))


def branches(net, x):
    a = net.stem(x)
    both = torch.cat([a, 0.5 * F.conv2d(a, net.wide.weight[:, :3], padding=1)], 1)
    return net.head(F.adaptive_avg_pool2d(net.act(net.wide(both)), 2).reshape(len(x), -1))


def residual(net, x):
    a = F.max_pool2d(net.stem(x), 2)
    a = net.act(net.norm(net.conv(a)) + a)
    return net.head(a.mean((2, 3)))


def layers_of_images(forward):
    stem = nn.Conv2d(2, 3, 3, padding=1)
    norm = nn.BatchNorm2d(3)
    norm.running_var += 0.3
    if forward is bottleneck:
        return {"stem": stem, "conv": nn.Conv2d(3, 1, 2, stride=2), "act": nn.Identity(), "head": nn.Linear(4, 3)}
    if forward is branches:
        return {"stem": stem, "wide": nn.Conv2d(5, 2, 3), "act": nn.Identity(), "head": nn.Linear(8, 3)}
    return {"stem": stem, "conv": nn.Conv2d(3, 3, 3, padding=1), "norm": norm, "act": nn.Identity(), "head": nn.Linear(3, 4)}


@pytest.mark.parametrize("forward", [bottleneck, branches, residual])
def test_images(forward):
    net = Net(forward, **layers_of_images(forward)).eval()
    network = tpl.convert(net, input_shape=(2, 8, 8), neurons={"stem": LIF, "act": LIF})
    assert SAME in network.provenance.verification
    assert not any(connection.name.startswith("relay") for connection in network.connections)


def test_a_pooling_on_every_way_belongs_to_the_population():
    network = tpl.convert(Net(residual, **layers_of_images(residual)).eval(), input_shape=(2, 8, 8), neurons={"stem": LIF, "act": LIF})
    assert [pool.mode for pool in network.populations[0].pooling] == ["max"]
    assert [(c.name, c.pre, c.post) for c in network.connections][1:3] == [
        ("hidden1", "hidden0", "hidden1"),
        ("hidden1_from_hidden0", "hidden0", "hidden1"),
    ]


def test_a_list_of_layers_in_the_order_of_forward():
    class Listed(nn.Module):
        def __init__(self):
            super().__init__()
            self.maps = nn.ModuleList([nn.Linear(8, 8) for _ in range(3)])
            self.gain = nn.Parameter(torch.tensor(3.0))

        def forward(self, x):
            for layer in self.maps:
                x = self.gain * layer(x)
            return x

    network = tpl.convert(Listed(), input_shape=8, neurons=tpl.LIF(0.9, 0.1))
    assert network.sizes == (8, 8, 8, 8)


def test_neurons_stand_right_behind_their_maps():
    """A factor behind a declared population is one of its spikes."""
    net = Net(lambda net, x: net.last(3.0 * net.first(x)), first=nn.Linear(8, 8), last=nn.Linear(8, 4))
    network = tpl.convert(net, input_shape=8, neurons={"first": LIF})
    np.testing.assert_allclose(network.weights["readout"], 3 * net.last.weight.detach().numpy(), rtol=1e-6)


REFUSED = {
    "activation": (lambda net, x: net.last(torch.sigmoid(net.second(net.first(x)))), r"sigmoid \(test_captured.py:\d+\)"),
    "gate": (lambda net, x: net.last(net.second(a := net.first(x)) * a), "it is multiplied by what first gives"),
    "constant of spikes": (lambda net, x: net.last(net.second(net.first(x)) + 0.25), "a constant of 0.25 is added"),
    "left over": (lambda net, x: net.last(net.first(x)), "a layer that is left over"),
    "neurons twice": (lambda net, x: net.last(net.second(net.second(net.first(x)))), "used in more than one place"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_understood_is_an_error(name):
    forward, cause = REFUSED[name]
    with pytest.raises(ConversionError, match=cause):
        tpl.convert(Net(forward), input_shape=8, neurons=NEURONS)


def test_where_the_chain_of_modules_does_not_fit_the_line_is_named():
    def transposed(net, x):
        return net.last(net.first(x).cumsum(1)[:, :6])

    net = Net(transposed, first=nn.Linear(8, 8), last=nn.Linear(6, 4))
    with pytest.raises(ConversionError, match=r"convert: forward: .* it calls cumsum \(test_captured.py:\d+\)"):
        tpl.convert(net, input_shape=8, neurons={"first": LIF})


def test_a_maximum_of_sums_is_refused_with_its_line():
    def maximum(net, x):
        a = net.stem(x)
        return net.head(F.max_pool2d(a + net.act(net.conv(a)), 2).flatten(1))

    layers = {"stem": nn.Conv2d(2, 3, 3, padding=1), "conv": nn.Conv2d(3, 3, 3, padding=1), "act": nn.Identity(), "head": nn.Linear(48, 4)}
    with pytest.raises(tpl.InvalidValueError, match=r"max_pool2d \(test_captured.py:\d+\)"):
        tpl.convert(Net(maximum, **layers), input_shape=(2, 8, 8), neurons={"stem": LIF, "act": LIF})


# Random graphs ------------------------------------------------------------------------------------

snn = pytest.importorskip("snntorch")


class RandomGraph(nn.Module):
    """Populations of snnTorch, each reached from a random choice of those before it, by sums and concatenations."""

    def __init__(self, seed):
        super().__init__()
        self.rng = rng = np.random.default_rng(seed)
        self.plan, sizes = [], [6]
        maps, neurons = [], []
        for _ in range(int(rng.integers(2, 5))):
            chosen = rng.choice(len(sizes), size=int(rng.integers(1, min(3, len(sizes)) + 1)), replace=False).tolist()
            size, joined = int(rng.integers(4, 9)), bool(rng.random() < 0.5)
            first = len(maps)
            if joined:
                maps.append(nn.Linear(sum(sizes[each] for each in chosen), size))
            else:
                maps += [nn.Linear(sizes[each], size) for each in chosen]
            kind = rng.choice(["leaky", "synaptic", "zero"])
            neurons.append(
                snn.Synaptic(0.5, 0.7, init_hidden=True)
                if kind == "synaptic"
                else snn.Leaky(float(rng.uniform(0.4, 0.95)), reset_mechanism="zero" if kind == "zero" else "subtract", init_hidden=True)
            )
            self.plan.append((chosen, joined, first, float(rng.uniform(0.5, 1.5))))
            sizes.append(size)
        self.maps, self.neurons, self.head = nn.ModuleList(maps), nn.ModuleList(neurons), nn.Linear(sum(sizes[1:]), 3)
        for layer in self.maps:
            layer.weight.data *= 3

    def forward(self, x):
        made = [x]
        for (chosen, joined, first, factor), neuron in zip(self.plan, self.neurons, strict=True):
            given = [made[each] for each in chosen]
            if joined:
                drive = self.maps[first](torch.cat(given, -1))
            else:
                drive = sum(self.maps[first + place](each) for place, each in enumerate(given))
            made.append(neuron(factor * drive))
        return self.head(torch.cat(made[1:], 1))


@pytest.mark.parametrize("seed", range(20))
def test_random_graphs(seed):
    torch.manual_seed(seed)
    network = tpl.convert(RandomGraph(seed), input_shape=6)
    assert "no spike differs in" in network.provenance.verification


# Divergence ---------------------------------------------------------------------------------------


def test_diverge_takes_a_module_as_one_side(rng):
    """A skip connection, in the module and here; a weight that differs is named, at its step and neuron."""
    module = RandomGraph(3)
    network = tpl.convert(module, input_shape=6, verify=False)
    events = [tpl.Events.from_dense((rng.random((25, 6)) < 0.4).astype(np.float32)) for _ in range(2)]
    assert tpl.diverge(module, network, events) is None
    assert tpl.diverge(tpl.Learner(network), module, events) is None
    weights = network.weights["hidden1"].copy()
    weights[2] += 1.0
    found = tpl.diverge(module, network.with_weights({"hidden1": weights}), events)
    assert (found.layer, found.neuron) == ("hidden1", 2)
    assert found.forms == ("PyTorch (RandomGraph)", "engine (float)")
    assert found.cause.startswith("different weights: hidden1[2, ")
    fixed = tpl.diverge(module, tpl.Learner(network, precision="fixed"), events)
    assert fixed is None or "round" in fixed.cause or "held as" in fixed.cause


def test_diverge_with_declared_neurons(rng):
    events = [tpl.Events.from_dense((rng.random((25, 8)) < 0.4).astype(np.float32))]
    net = Net(DENSE["skip"])
    network = tpl.convert(net, input_shape=8, neurons=NEURONS)
    assert tpl.diverge(net, network, events, neurons=NEURONS) is None
    with pytest.raises(tpl.InvalidValueError, match="diverge: options is neurons, but must be given for a foreign"):
        tpl.diverge(network, network, events, neurons=NEURONS)
    with pytest.raises(tpl.InvalidValueError, match="form is a foreign module, but must be one beside a form that is none"):
        tpl.diverge(net, net, events)


# Learning -----------------------------------------------------------------------------------------


def test_a_captured_graph_learns_and_its_relay_keeps_its_weights(rng):
    net = Net(concatenated, first=nn.Linear(8, 5), second=nn.Linear(5, 6), last=nn.Linear(14, 4))
    network = tpl.convert(net, input_shape=8, neurons=NEURONS)
    samples = [(tpl.Events.from_dense((rng.random((12, 8)) < 0.4).astype(np.float32)), label % 4) for label in range(6)]
    learned = tpl.finetune(network, samples, samples, epochs=1, rule=tpl.TP(0.05, 0.05, contrast=2), precision="float").network
    moved = {name for name, before in network.weights.items() if not np.allclose(learned.weights[name], before, atol=1e-6)}
    assert {"hidden0", "hidden1", "readout"} <= moved
    assert not any(name.startswith("relay") for name in moved)
    assert tpl.quantise(network, samples).report.agreement > 0.5
