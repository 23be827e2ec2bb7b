"""Witnesses for tp_lava.torch that share nothing with it: TESS one sample and one step at a time, and other ways to apply a change.

Plain NumPy, float64; equations from the paper (arXiv 2502.01837), index by index.
"""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def square_waves(classes, size):
    frequencies = np.linspace(50, 512, classes).astype(np.float32)
    return np.array([[np.sign(np.sin(w * np.float32(k))) for k in range(size)] for w in frequencies], float)


class OracleTESS:
    """weights: name -> float64 array; learn() adds up the mean change of a batch."""

    def __init__(self, network, rule, basis=square_waves):
        self.network, self.rule, self.basis = network, rule, basis
        self.weights = {name: np.array(array, float) for name, array in network.weights.items()}

    def learn(self, dense, labels):
        """dense: (B, T, n) spikes. Applies the mean over samples: at every step, or at the end. -> scores (B, C)."""
        rows = [_Sample(self, len(dense[0]), label) for label in labels]
        total = {}
        for t in range(dense.shape[1]):
            for row, sample in zip(rows, dense, strict=True):
                for name, change in row.step(t, sample[t].astype(float)).items():
                    total[name] = total.get(name, 0.0) + change / len(rows)
            if self.rule.update == "step" or t == dense.shape[1] - 1:
                for name, change in total.items():
                    self.weights[name] = self.weights[name] - self._rate(name) * change
                total = {}
        return np.array([row.score for row in rows])

    def _rate(self, name):
        return self.rule.readout_rate if name.startswith("readout") else self.rule.rates(self.network)[f"hidden{name[-1]}"]


class _Sample:
    def __init__(self, oracle, steps, label):
        self.o, self.steps = oracle, steps
        self.label = np.eye(oracle.network.n_classes)[label]
        self.layers = [_Layer(oracle, number, layer) for number, layer in enumerate(oracle.network.layers)]
        self.score, self.potential = np.zeros(oracle.network.n_classes), np.zeros(oracle.network.n_classes)
        self.trace = self.count = 0.0

    def step(self, t, x):
        changes, rule = {}, self.o.rule
        for layer in self.layers:
            x = layer.step(x, self.label, rule.learn_last is None or t >= self.steps - rule.learn_last, changes)
        return changes | self._readout(t, x)

    def _readout(self, t, o):
        readout, w = self.o.rule.readout, self.o.weights
        arriving = w["readout"] @ o + w.get("readout_bias", 0.0)
        self.score = self.score + arriving
        self.potential = readout.decay * self.potential + arriving
        self.trace, self.count = self.o.network.layers[-1].trace_decay * self.trace + o, self.count + o
        if readout.learn_last is not None and t < self.steps - readout.learn_last:
            return {}
        p = self.potential / (t + 1) if readout.normalised else self.potential
        error = softmax(p / readout.temperature) - self.label
        changes = {"readout": np.outer(error, {"trace": self.trace, "count": self.count, "spike": o}[readout.features])}
        return changes | ({"readout_bias": error} if "readout_bias" in w else {})


class _Layer:
    def __init__(self, oracle, number, layer):
        self.o, self.number, self.neuron = oracle, number, layer.neuron
        self.basis = oracle.basis(oracle.network.n_classes, layer.size) / layer.size
        self.u = self.i = self.h = self.spikes = np.zeros(layer.size)
        self.q = self.q_own = self.trace = 0.0
        self.trace_decay = layer.trace_decay

    def step(self, x, label, learns, changes):
        rule, neuron, w, number = self.o.rule, self.neuron, self.o.weights, str(self.number)
        self.q, before = rule.pre_decay * self.q + x, self.spikes
        self.i = neuron.current_decay * self.i + w["hidden" + number] @ x
        if "recurrent" + number in w:
            self.q_own = rule.pre_decay * self.q_own + before
            self.i = self.i + w["recurrent" + number] @ before
        pre = neuron.decay * self.u + self.i + w.get("bias" + number, 0.0)
        fires = pre > neuron.threshold if neuron.comparison == ">" else pre >= neuron.threshold
        psi = neuron.surrogate.profile(np.abs(pre - neuron.threshold))
        self.u = np.where(fires, pre - neuron.threshold if neuron.reset == "subtract" else 0.0, pre)
        self.spikes = o = fires.astype(float)
        self.trace = self.trace_decay * self.trace + o
        if learns:
            activity = self.trace if rule.activity == "trace" else o
            m = self.basis.T @ (softmax(self.basis @ activity / rule.temperature) - label)
            for name, trace, now in (("hidden", self.q, x), ("recurrent", self.q_own, before)):
                if name + number in w:
                    changes[name + number] = rule.causal * np.outer(m * psi, trace) + rule.acausal * np.outer(m * self.h, now)
            if "bias" + number in w:
                changes["bias" + number] = m * psi
        self.h = rule.post_decay * self.h + psi
        return o


class Summed(dict):
    """Weights whose changes are kept back until apply()."""

    def __init__(self, weights):
        super().__init__(weights)
        self.changes = {}

    def __setitem__(self, name, value):
        self.changes[name] = self.changes.get(name, 0.0) + value - self[name]

    def apply(self):
        for name, change in self.changes.items():
            super().__setitem__(name, self[name] + change)
        self.changes = {}


class Optimised(dict):
    """Weights whose changes, made at `rate`, go through an optimiser: a function of the gradient, for some of the names."""

    def __init__(self, weights, rate, **optimisers):
        super().__init__(weights)
        self.rate, self.optimisers = rate, optimisers

    def __setitem__(self, name, value):
        if name in self.optimisers:
            value = self[name] - self.rate * self.optimisers[name]((self[name] - value) / self.rate)
        super().__setitem__(name, value)


def adam(beta1, beta2, epsilon):
    k, m, v = 0, 0.0, 0.0

    def step(g):
        nonlocal k, m, v
        k, m, v = k + 1, beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        return m / (1 - beta1**k) / (np.sqrt(v / (1 - beta2**k)) + epsilon)

    return step


def momentum(share):
    v = 0.0

    def step(g):
        nonlocal v
        v = share * v + g
        return v

    return step
