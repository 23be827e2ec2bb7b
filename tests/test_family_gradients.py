"""SLTT is the gradient of each step, OTTT that of the loss through the membranes of its neurons, on layers and on maps: by autograd."""

import numpy as np
import pytest
from conftest import lively, random_events

import tp_lava as tpl

torch = pytest.importorskip("torch")
from conv_oracle import Spike  # noqa: E402

torch.set_num_threads(1)

READOUT = tpl.Readout(decay=0.9, features="spike")


def dense_of(seed):
    return lively(tpl.Network.dense((11, 9, 7, 4), tpl.LIF(0.8, 0.9), 0.7, seed=seed), 2.5)


def maps_of(seed):
    layers = (tpl.Conv2d(3, 3, padding=1), tpl.AvgPool2d(2), tpl.Dense(5))
    return lively(tpl.Network.sequential((1, 6, 6), layers, 4, tpl.LIF(0.8, 0.5), 0.7, seed), 2.5)


def arriving(name, weights, x):
    if weights[name].ndim == 4:
        return torch.nn.functional.conv2d(x.reshape(1, 1, 6, 6), weights[name], padding=1)[0]
    return weights[name] @ x.reshape(-1)


def gradients(network, events, label, through_time):
    """The gradient of the sum of the losses of all steps. through_time: membranes keep their history, but errors do not go back in
    time through the layers above: the trace of what came in is all that earlier steps leave.
    """
    weights = {name: torch.tensor(np.array(array, float), requires_grad=True) for name, array in network.weights.items()}
    total = dict.fromkeys(weights, 0.0)
    v, traced, p = {}, {}, torch.zeros(network.n_classes, dtype=torch.float64)
    for spikes in events.to_dense().astype(float):
        x = torch.tensor(spikes)
        for population in network.populations:
            name, neuron = population.name, population.neuron
            came = arriving(name, weights, x)
            if through_time:  # what the membrane has of W x of before, weights alone kept in the graph
                kept = traced[name] = neuron.decay * traced.get(name, 0.0) + x.detach()
                came = came + arriving(name, weights, kept - x.detach()) - arriving(name, weights, kept - x.detach()).detach()
            u = neuron.decay * v.get(name, 0.0) + came
            x = Spike.apply(u - neuron.threshold, neuron.surrogate, False)
            v[name] = (u - neuron.threshold * x).detach()
            if population.pooling:
                x = torch.nn.functional.avg_pool2d(x[None], 2)[0]
        p = READOUT.decay * p.detach() + weights["readout"] @ x.reshape(-1)
        loss = -torch.log_softmax(p, 0)[label]
        found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
        for name, grad in zip(weights, found, strict=True):
            total[name] = total[name] + (grad.numpy() if grad is not None else 0.0)
    return total


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("make", [dense_of, maps_of], ids=["dense", "maps"])
@pytest.mark.parametrize("through_time", [False, True], ids=["SLTT", "OTTT"])
def test_it_is_the_gradient(make, through_time, seed):
    network = make(seed)
    options = {"rate": 0.05, "readout_rate": 0.05, "update": "sequence", "readout": READOUT}
    rule = tpl.OTTT(pre_decay=0.8, **options) if through_time else tpl.SLTT(**options)
    events, label = random_events(np.random.default_rng(seed), network.n_inputs, 8, 0.3), seed
    learner = tpl.Learner(network, rule)
    learner.learn(events, label)
    for name, gradient in gradients(network, events, label, through_time).items():
        np.testing.assert_allclose(learner.weights[name] - network.weights[name], -0.05 * gradient, atol=1e-5, err_msg=name)
        assert np.abs(gradient).max() > 1e-3, name
