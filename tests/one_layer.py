"""The gradient that one hidden layer's rules promise, by autograd."""

import torch
from conv_oracle import Spike


def gradient_by_autograd(network, events, label, through_reset=True):
    """Of sum_t CE(softmax(W s[t]), label) by the hidden weights, through time, membranes and adaptive thresholds."""
    neuron = network.populations[0].neuron
    hidden = torch.tensor(network.weights["hidden0"], dtype=torch.float64, requires_grad=True)
    readout = torch.tensor(network.weights["readout"], dtype=torch.float64)
    v = a = s = torch.zeros(len(hidden), dtype=torch.float64)
    loss = 0.0
    for x in torch.tensor(events.to_dense().astype(float)):
        a = neuron.adaptation_decay * a + s
        u = neuron.decay * v + hidden @ x
        s = Spike.apply(u - neuron.threshold - neuron.adaptation * a, neuron.surrogate, False)
        resets = s if through_reset else s.detach()
        v = u - neuron.threshold * resets if neuron.reset == "subtract" else u * (1 - resets)
        loss = loss - torch.log_softmax(readout @ s, 0)[label]
    loss.backward()
    return hidden.grad.numpy()
