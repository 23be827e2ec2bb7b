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
        tpl.convert(Net(forward), input_shape=8, neurons=NEURONS)
    assert caught.value.layer == layer
    assert isinstance(caught.value, tpl.InvalidValueError)
    assert "verify=False" in str(caught.value)
    network = tpl.convert(Net(forward), input_shape=8, neurons=NEURONS, verify=False)
    assert network.provenance.verification == ""


def test_the_step_and_the_neuron_are_the_first_that_differ():
    samples = np.zeros((2, 6, 8), np.float32)
    samples[0, 2, 5], samples[1, :, :] = 1, 1

    def doubled(net, x):
        return net.last(net.second(net.first(x * 2)))

    with pytest.raises(ConversionError, match="2 arrives, where the input gives 1. Likely cause: a factor of 2") as caught:
        tpl.convert(Net(doubled), input_shape=8, neurons=NEURONS, samples=[tpl.Events.from_dense(each) for each in samples])
    assert (caught.value.layer, caught.value.step, caught.value.neuron) == ("first", 2, 5)


def test_a_chain_is_verified():
    network = tpl.convert(Net(chain), input_shape=8, neurons=NEURONS)
    assert network.provenance.verification == "verified beside the module on 3 random samples: no spike differs in 60 steps"
    assert str(network.provenance).endswith("60 steps")


def test_concatenation():
    net = Net(lambda net, x: net.last(torch.cat([net.second(net.first(x)), x], dim=1)))
    net.last = nn.Linear(16, 4)
    with pytest.raises(tpl.InvalidValueError, match="last"):
        tpl.convert(net, input_shape=8, neurons=NEURONS)


class Pooled(nn.Module):
    """A functional pooling after which shapes fit, for an adaptive one follows."""

    def __init__(self):
        super().__init__()
        self.conv, self.pool, self.head = nn.Conv2d(1, 2, 3, padding=1), nn.AdaptiveAvgPool2d(2), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.pool(F.max_pool2d(self.conv(x), 2)).flatten(1))


def test_functional_pooling():
    with pytest.raises(ConversionError, match=r"pooling or a selection that is no module: forward calls .*max_pool2d \(test_verif") as caught:
        tpl.convert(Pooled(), input_shape=(1, 8, 8), neurons=tpl.LIF(0.9, 0.2))
    assert caught.value.layer == "pool"
