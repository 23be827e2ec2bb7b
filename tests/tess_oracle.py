"""TESS as a loss of each layer and step, differentiated automatically; and every readout, written out by hand.

Nothing here is shared with the package: dense NumPy, float64. There are no traces: a sample's whole history is kept. In
the loss of a step, a change of the weights reaches the spikes of this step through every input so far, faded by its age
(that is the causal term), and the spikes of every step before through the input of this one, faded likewise (the acausal
term); what the layer says is then judged, through its basis, by cross entropy.
"""

import math

import autograd.numpy as np
from autograd import grad
from oracle import make_spike


def square_waves(classes, size):
    """Signs of the published waves, number by number."""
    signs = np.zeros((classes, size))
    for c, frequency in enumerate(np.linspace(50, 512, classes)):
        for k in range(size):
            signs[c, k] = np.sign(math.sin(np.float32(frequency) * np.float32(k)))
    return signs


def walsh_waves(classes, size):
    """Rows 1, 2, ... of a Hadamard matrix, every second one negated; columns of one sign are left out, the rest repeats."""
    hadamard = np.ones((1, 1))
    while len(hadamard) <= classes:
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
    rows = hadamard[1 : classes + 1] * np.where(np.arange(1, classes + 1) % 2, -1, 1)[:, None]
    mixed = [column for column in rows.T if len(set(column)) == 2]
    return np.array([mixed[k % len(mixed)] for k in range(size)]).T


WAVES = {"square": square_waves, "walsh": walsh_waves}
PROFILES = {
    "ArcTan": lambda s, d: 1 / (1 + (math.pi * s.scale * d) ** 2),
    "Triangle": lambda s, d: s.height * np.maximum(0, 1 - d / s.width),
    "FastSigmoid": lambda s, d: 1 / (1 + s.slope * d) ** 2,
}


def profile_of(surrogate):
    return lambda distance: PROFILES[type(surrogate).__name__](surrogate, distance)


def softmax(x):
    p = np.exp(x - np.max(x, axis=1, keepdims=True))
    return p / np.sum(p, axis=1, keepdims=True)


class HandReadout:
    """The readout of one presentation: scores, and the change it asks for at rate 1. options: as tpl.Readout names them."""

    def __init__(self, options, rows, classes, size):
        self.options, self.score, self.potential = options, np.zeros((rows, classes)), np.zeros((rows, classes))
        self.count, self.elapsed = np.zeros((rows, size)), 0

    def step(self, weights, bias, spikes, trace, one_hot):
        """spikes, trace: (B, n) of the last layer. -> gradients of weights and bias, means over the batch."""
        arriving = spikes @ weights.T + bias
        self.score = self.score + arriving
        self.potential = self.options.decay * self.potential + arriving
        self.count, self.elapsed = self.count + spikes, self.elapsed + 1
        logits = self.potential / self.options.temperature / (self.elapsed if self.options.normalised else 1)
        error = (softmax(logits) - one_hot) / len(spikes)
        features = {"spike": spikes, "count": self.count, "trace": trace}[self.options.features]
        return error.T @ features, error.sum(axis=0)

    def learns(self, left):
        """left: steps still to come."""
        return self.options.learn_last is None or left < self.options.learn_last


class OracleTESS:
    """weights: name -> (n_out, n_in) float64; one instance learns sample after sample, or batch after batch."""

    def __init__(self, network, rule):
        self.layers, self.n_classes, self.rule = network.layers, network.n_classes, rule
        self.weights = {name: np.array(array, dtype=float) for name, array in network.weights.items()}
        self.rates = rule.rate if isinstance(rule.rate, tuple) else (rule.rate,) * len(self.layers)
        self.bases = [WAVES[rule.basis](self.n_classes, layer.size) / layer.size for layer in self.layers]
        self.spikes = [make_spike(profile_of(layer.neuron.surrogate), layer.neuron.comparison == ">") for layer in self.layers]

    def learn(self, dense, labels):
        """dense: (B, T, n) spikes; labels: (B,). -> scores (B, classes)."""
        batch, steps, _ = dense.shape
        one_hot, self.sums = np.eye(self.n_classes)[labels], {}
        self.past = [
            {**{name: np.zeros((batch, layer.size)) for name in "vuse"}, "inputs": [], "feedback": [], "excess": []}
            for layer in self.layers
        ]
        readout = HandReadout(self.rule.readout, batch, self.n_classes, self.layers[-1].size)
        for left in reversed(range(steps)):
            below = dense[:, steps - 1 - left].astype(float)
            for number in range(len(self.layers)):
                self._forward(number, below)
                if self.rule.learn_last is None or left < self.rule.learn_last:
                    self._judge(number, one_hot)
                below = self.past[number]["s"]
            weights, bias = self.weights["readout"], self.weights.get("readout_bias", 0.0)
            gradients = readout.step(weights, bias, below, self.past[-1]["e"], one_hot)
            if readout.learns(left):
                self._ask(dict(zip(("readout", "readout_bias"), gradients, strict=True)))
            if self.rule.update == "step" or not left:
                self.change(self.sums)
                self.sums = {}
        return readout.score

    def change(self, gradients):
        """What becomes of the gradients of a step or a sample."""
        for name, gradient in gradients.items():
            rate = self.rule.readout_rate if name.startswith("readout") else self.rates[int(name[-1])]
            self.weights[name] = self.weights[name] - rate * gradient

    def _ask(self, gradients):
        for name, gradient in gradients.items():
            if name in self.weights:
                self.sums[name] = self.sums.get(name, 0.0) + gradient

    def _forward(self, number, below):
        past, layer, neuron = self.past[number], self.layers[number], self.layers[number].neuron
        past["inputs"].append(below)
        past["feedback"].append(past["s"])
        current = below @ self.weights[f"hidden{number}"].T
        if layer.recurrent:
            current = current + past["s"] @ self.weights[f"recurrent{number}"].T
        past["u"] = neuron.current_decay * past["u"] + current
        pre = neuron.decay * past["v"] + past["u"] + self.weights.get(f"bias{number}", 0.0)
        past["excess"].append(pre - neuron.threshold)
        past["s"] = np.array(self.spikes[number](pre - neuron.threshold))
        past["v"] = pre - neuron.threshold * past["s"] if neuron.reset == "subtract" else pre * (1 - past["s"])
        past["e"] = layer.trace_decay * past["e"] + past["s"]

    def _judge(self, number, one_hot):
        rule, past, spike = self.rule, self.past[number], self.spikes[number]
        now = len(past["excess"]) - 1

        def reached(changes, t):
            """What changed weights would have added to the input of step t."""
            feedback = past["feedback"][t] @ changes[1].T if self.layers[number].recurrent else 0.0
            return past["inputs"][t] @ changes[0].T + feedback

        def loss(changes):
            arriving = 0.0
            for t in range(now + 1):
                arriving = arriving + rule.pre_decay ** (now - t) * reached(changes, t)
            more = rule.causal * (spike(past["excess"][now] + arriving) - past["s"])
            more = more + spike(past["excess"][now] + changes[2]) - past["s"]
            for t in range(now):
                before = spike(past["excess"][t] + reached(changes, now)) - spike(past["excess"][t])
                more = more + rule.acausal * rule.post_decay ** (now - 1 - t) * before
            said = past["e" if rule.activity == "trace" else "s"] + more
            p = softmax(said @ self.bases[number].T / rule.temperature)
            return -rule.temperature * np.mean(np.log(np.sum(p * one_hot, axis=1)))

        names = f"hidden{number}", f"recurrent{number}", f"bias{number}"
        gradients = grad(loss)([np.zeros_like(self.weights.get(name, np.zeros(1))) for name in names])
        self._ask(dict(zip(names, gradients, strict=True)))
