"""Backpropagation through time: gradients equal those of a loop written apart, with smooth functions instead of a backward rule."""

import math

import numpy as np
import pytest
from conftest import lively, random_events

import tp_lava as tpl

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # the tensors are small, and tests run side by side

from tp_lava import torch as tt  # noqa: E402

# Functions whose derivatives are the surrogates'.
SMOOTH = {
    "ArcTan": lambda x, s: torch.atan(math.pi * s.scale * x) / (math.pi * s.scale),
    "FastSigmoid": lambda x, s: x / (s.slope * x.abs() + 1),
    "Triangle": lambda x, s: s.height * (x - x * x.abs() / (2 * s.width)).where(x.abs() < s.width, 0.5 * s.width * x.sign()),
}
NEURONS = {
    "arctan": tpl.LIF(0.9, 0.7),
    "triangle": tpl.LIF(0.5, 0.6, ">", "zero", 0.4, tpl.Triangle()),
    "fast-sigmoid": tpl.LIF(0.8, 0.5, surrogate=tpl.FastSigmoid(3.0)),
    "adaptive, refractory": tpl.LIF(0.9, 0.5, adaptation=0.2, adaptation_decay=0.8, refractory=1),
}


def network_of(neuron=NEURONS["arctan"], recurrent=True, biases=("bias0", "readout_bias")):
    network = lively(tpl.Network.dense((6, 7, 5, 3), neuron, 0.8, recurrent, seed=5), 2.5)
    rng = np.random.default_rng(7)
    return network.with_weights({name: rng.normal(0, 0.1, network.shapes[name]) for name in biases})


def scores_of(network, weights, constants, spikes, detach):
    """Scores of every step of one sample after another; constants: (layer, "decay" or "threshold") -> tensor."""
    rows = []
    for sample in spikes.unbind(1):
        states = [
            {"v": torch.zeros(layer.size).double(), "i": 0.0, "s": torch.zeros(layer.size).double(), "a": 0.0, "r": 0}
            for layer in network.layers
        ]
        score, scores = 0.0, []
        for x in sample:
            for number, (layer, state) in enumerate(zip(network.layers, states, strict=True)):
                neuron, name = layer.neuron, str(number)
                decay, threshold = (constants.get((number, attr), getattr(neuron, attr)) for attr in ("decay", "threshold"))
                state["i"] = neuron.current_decay * state["i"] + weights["hidden" + name] @ x
                if layer.recurrent:
                    state["i"] = state["i"] + weights["recurrent" + name] @ state["s"]
                awake = torch.as_tensor(state["r"]) == 0
                pre = awake * (decay * state["v"] + state["i"] + weights.get("bias" + name, 0.0)) + ~awake * state["v"]
                state["a"] = neuron.adaptation_decay * state["a"] + state["s"]
                raised = threshold + neuron.adaptation * state["a"]
                soft = SMOOTH[type(neuron.surrogate).__name__](pre - raised, neuron.surrogate)
                hard = (pre > raised if neuron.comparison == ">" else pre >= raised).double()
                x = state["s"] = awake * (soft + (hard - soft).detach())
                state["r"] = torch.where(awake, neuron.refractory * hard, torch.as_tensor(state["r"]) - 1)
                gone = x.detach() if detach else x
                state["v"] = pre - threshold * gone if neuron.reset == "subtract" else pre * (1 - gone)
            score = score + weights["readout"] @ x + weights.get("readout_bias", 0.0)
            scores.append(score)
        rows.append(torch.stack(scores))
    return torch.stack(rows, dim=1)


def cross_entropy(scores, labels):
    return -torch.stack([row.log_softmax(-1)[label] for row, label in zip(scores, labels, strict=True)]).mean()


@pytest.mark.parametrize("detach", [False, True], ids=["through-reset", "detached"])
@pytest.mark.parametrize("loss", ["final", "every"])
@pytest.mark.parametrize("neuron", NEURONS)
def test_gradients(neuron, loss, detach, rng):
    """The change of plain descent at rate 1 is the gradient."""
    network = network_of(NEURONS[neuron])
    module = tt.SpikingNetwork(network, ("decay", "threshold"), dtype=torch.float64)
    spikes, labels = torch.tensor(rng.random((10, 4, 6)) < 0.4).double(), [0, 2, 1, 2]
    start = {name: parameter.detach().clone().requires_grad_() for name, parameter in module.named_parameters()}
    constants = {(n, "decay"): 1 / (1 + (-start[f"decay{n}"]).exp()) for n in range(2)} | {
        (n, "threshold"): start[f"threshold{n}"] for n in range(2)
    }
    scores = scores_of(network, start, constants, spikes, detach)
    judged = scores if loss == "every" else scores[-1:]
    torch.stack([cross_entropy(step, labels) for step in judged]).mean().backward()
    found = tt.BPTTTrainer(module, 1.0, tpl.SGD(), loss, detach).learn_batch(spikes, labels)
    np.testing.assert_allclose(found, scores[-1].detach(), atol=1e-12)
    for name, parameter in module.named_parameters():
        expected = 0.0 if start[name].grad is None else start[name].grad
        np.testing.assert_allclose((start[name] - parameter).detach(), expected, atol=1e-9, err_msg=name)
        assert (start[name] - parameter).abs().max() > 1e-6


def test_readout_gradient_by_differences(rng):
    """Scores are smooth in the readout, so that finite differences say what its gradient is."""
    module = tt.SpikingNetwork(network_of(), dtype=torch.float64)
    spikes, labels = torch.tensor(rng.random((8, 3, 6)) < 0.4).double(), torch.tensor([0, 2, 1])
    weights = module.get_parameter("readout")
    start, step = weights.detach().clone(), 1e-6
    differences = torch.zeros_like(start)
    with torch.no_grad():
        for place in np.ndindex(*start.shape):
            for sign in (1, -1):
                weights[place] = start[place] + sign * step
                differences[place] += sign * torch.nn.functional.cross_entropy(module(spikes), labels) / (2 * step)
            weights[place] = start[place]
    tt.BPTTTrainer(module, 1.0).learn_batch(spikes, labels)
    np.testing.assert_allclose((start - weights).detach(), differences, atol=1e-8)


def test_what_is_learned_reaches_tp_lava(rng):
    """Weights, biases, decays and thresholds: a network made from what was trained gives the same scores."""
    network = network_of(recurrent=False)
    module = tt.SpikingNetwork(network, ("decay", "threshold"))
    trainer = tt.BPTTTrainer(module, 0.01, {"hidden0": tpl.Adam(), "readout": tpl.SGD(0.9)})
    samples, labels = [random_events(rng, 6, 10, 0.4) for _ in range(6)], [0, 1, 2, 0, 1, 2]
    for _ in range(5):
        trainer.learn_batch(tt.dense(samples), labels)
    trained = network.with_weights(module)
    for before, after in zip(network.layers, trained.layers, strict=True):
        assert before.neuron.decay != after.neuron.decay
        assert before.neuron.threshold != after.neuron.threshold
    assert all(np.any(trained.weights[name] != array) for name, array in network.weights.items())
    again = tt.SpikingNetwork(trained)
    np.testing.assert_allclose(module(tt.dense(samples)).detach(), again(tt.dense(samples)).detach(), atol=1e-4)


def test_a_rate_of_zero_changes_nothing(rng):
    network = network_of()
    module = tt.SpikingNetwork(network)
    tt.BPTTTrainer(module, 0.0).learn_batch(tt.dense([random_events(rng, 6)]), [1])
    for name, array in module.network().weights.items():
        np.testing.assert_array_equal(array, network.weights[name])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": -1}, "BPTTTrainer: rate is -1, but must be a finite number >= 0"),
        ({"loss": "last"}, 'BPTTTrainer: loss is \'last\', but must be "final" or "every"'),
        ({"optimiser": {"readout": "SGD"}}, "optimiser is 'SGD', but must be SGD"),
    ],
)
def test_arguments(options, message):
    with pytest.raises(tpl.InvalidValueError, match=message):
        tt.BPTTTrainer(tt.SpikingNetwork(network_of()), **options)
