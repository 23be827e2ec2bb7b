"""The rules of the family by hand, in float64 from the formulas of their papers: one function for each rule's error, one for its product.

It knows chains of layers from all to all, recurrent or not, with or without biases, and a readout that learns by traces.
"""

import numpy as np


class Step:
    """What a layer has at one step: x and rec, its input now and its own spikes of before; retention, psi, s, e of its neurons."""

    def __init__(self, x, rec, retention, psi, s, e):
        self.x, self.rec, self.retention, self.psi, self.s, self.e = x, rec, retention, psi, s, e


class FamilyOracle:
    """A network that learns by a rule. weights: float64, as they are now."""

    def __init__(self, network, rule):
        self.network, self.rule = network, rule
        self.weights = {name: np.array(array, float) for name, array in network.weights.items()}
        self.sizes = [population.size for population in network.populations]
        if getattr(rule.credit, "rate", 0.0):  # (n, classes)
            self.weights |= {f"classifier_hidden{n}": self.random(n, rule.credit).T for n in range(len(self.sizes))}

    # Learning ---------------------------------------------------------------------------------
    def learn(self, events, label):
        """One sample. -> the weights after it."""
        rule, y = self.rule, np.eye(self.network.n_classes)[label]
        layers = range(len(self.sizes))
        self.v, self.s, self.e, self.a = ([np.zeros(n) for n in self.sizes] for _ in range(4))
        self.kept = [{} for _ in layers]
        potential, summed = np.zeros(len(y)), {}
        dense = events.to_dense().astype(float)
        for t, spikes in enumerate(dense):
            before, x, steps = [s.copy() for s in self.s], spikes, []
            for layer in layers:
                steps.append(self.neurons(layer, x, before[layer]))
                x = self.s[layer]
            potential = rule.readout.decay * potential + self.weights["readout"] @ x + self.weights.get("readout_bias", 0.0)
            error = softmax(potential) - y
            self.told = {}
            deltas = [self.delta(layer, steps, error, y) for layer in layers]
            changes = {}
            for layer in layers:
                late = rule.learn_last is None or t >= len(dense) - rule.learn_last
                for name, change in self.products(layer, steps[layer], deltas[layer]).items():
                    changes[name] = -rule.rate * change if late else 0.0
            for name, change in self.told.items():
                changes[name] = -rule.credit.rate * change if late else 0.0
            changes["readout"] = -rule.readout_rate * np.outer(error, self.e[-1])
            changes["readout_bias"] = -rule.readout_rate * error
            for name, change in changes.items():
                summed[name] = summed.get(name, 0.0) + change
                if rule.update == "step":
                    self.apply(name, change)
        if rule.update == "sequence":
            for name, change in summed.items():
                self.apply(name, change)
        return self.weights

    def apply(self, name, change):
        if name in self.weights:
            self.weights[name] = self.weights[name] + change

    def neurons(self, layer, x, rec):
        population, w = self.network.populations[layer], self.weights
        neuron, arriving = population.neuron, w[f"hidden{layer}"] @ x + w.get(f"bias{layer}", 0.0)
        if f"recurrent{layer}" in w:
            arriving = arriving + w[f"recurrent{layer}"] @ rec
        u = neuron.decay * self.v[layer] + arriving
        self.a[layer] = np.multiply(neuron.adaptation_decay, self.a[layer]) + self.s[layer]
        threshold = neuron.threshold + np.multiply(neuron.adaptation, self.a[layer])
        self.s[layer] = (u >= threshold) * 1.0
        self.v[layer] = u - neuron.threshold * self.s[layer]
        self.e[layer] = population.trace_decay * self.e[layer] + self.s[layer]
        psi = neuron.surrogate.profile(np.abs(u - threshold))
        return Step(x, rec, neuron.decay * (1.0 - neuron.threshold * psi), psi, self.s[layer], self.e[layer])

    # Errors -----------------------------------------------------------------------------------
    def delta(self, layer, steps, error, y):
        """The learning signal of a layer: of the rule, or of the credit of a rule of parts."""
        credit = self.rule.credit
        return {
            "OutputFeedback": lambda: self.random(layer, credit).T @ error,
            "TargetProjection": lambda: -self.random(layer, credit).T @ y,
            "BackwardError": lambda: self.backward(layer, steps, error),
            "LocalClassifier": lambda: self.classified(layer, credit, steps[layer], y),
        }[type(credit).__name__]()

    def random(self, layer, credit):
        rng, shape = np.random.default_rng((credit.seed, layer)), (self.network.n_classes, self.sizes[layer])
        return rng.choice((-1, 1), shape).astype(float) if credit.matrix == "signs" else np.round(127 * rng.uniform(-1.0, 1.0, shape)) / 128

    def backward(self, layer, steps, error):
        if layer == len(self.sizes) - 1:
            return self.weights["readout"].T @ error
        above = self.backward(layer + 1, steps, error) * steps[layer + 1].psi
        return self.weights[f"hidden{layer + 1}"].T @ above

    def classified(self, layer, credit, step, y):
        name = f"classifier_hidden{layer}"
        g = self.weights.get(name, self.random(layer, credit).T).T / self.sizes[layer]
        a = step.e if credit.activity == "trace" else step.s
        r = g @ a / credit.temperature
        error = softmax(r) - y if credit.loss == "softmax" else np.clip(r - y, -1.0, 1.0)
        if credit.rate:
            self.told[name] = np.outer(a - a.mean(), error)
        return g.T @ error

    # Products ---------------------------------------------------------------------------------
    def products(self, layer, step, delta):
        """Weights -> what their changes are -rate times: each rule's, on the input and on its own spikes of before."""
        name, kept, self.retention = type(self.rule).__name__, self.kept[layer], step.retention
        self.neuron = self.network.populations[layer].neuron
        found = {f"bias{layer}": delta * step.psi}
        for weights, x in ((f"hidden{layer}", step.x), (f"recurrent{layer}", step.rec)):
            found[weights] = getattr(self, name)(kept.setdefault(weights, {}), step.psi, x, delta)
        return found

    def STLLR(self, kept, psi, x, delta):  # noqa: N802 (the rule's name)
        q = kept["q"] = self.rule.pre_decay * kept.get("q", 0.0) + x
        h = kept.get("h", np.zeros(len(psi)))
        kept["h"] = self.rule.post_decay * h + psi
        return delta[:, None] * (self.rule.causal * np.outer(psi, q) + self.rule.acausal * np.outer(h, x))

    def OTTT(self, kept, psi, x, delta):  # noqa: N802
        a = kept["a"] = self.rule.pre_decay * kept.get("a", 0.0) + x
        return np.outer(delta * psi, a)

    def SLTT(self, kept, psi, x, delta):  # noqa: N802
        return np.outer(delta * psi, x)

    def EProp(self, kept, psi, x, delta):  # noqa: N802
        z = kept["z"] = self.rule.pre_decay * kept.get("z", 0.0) + x
        beta, rho = (np.reshape(value, (-1, 1)) for value in (self.neuron.adaptation, self.neuron.adaptation_decay))
        of_threshold = kept.get("of_threshold", 0.0)
        if self.rule.adaptive:  # the second component of the eligibility vector
            kept["of_threshold"] = psi[:, None] * z + (rho - psi[:, None] * beta) * of_threshold
        e = kept["e"] = self.rule.filter * kept.get("e", 0.0) + psi[:, None] * (z - beta * of_threshold)
        return delta[:, None] * e

    def ETLP(self, kept, psi, x, delta):  # noqa: N802
        trace = kept["trace"] = self.rule.pre_decay * kept.get("trace", 0.0) + x
        return np.outer(delta * psi, trace)

    def OSTL(self, kept, psi, x, delta):  # noqa: N802
        """d membrane / d weight, as forward-mode differentiation has it."""
        e = kept.get("decay", np.zeros((len(psi), 1))) * kept.get("e", 0.0) + x[None]
        kept["e"], kept["decay"] = e, self.retention[:, None]
        return (delta * psi)[:, None] * e

    OSTTP = OSTL

    def DECOLLE(self, kept, psi, x, delta):  # noqa: N802
        q = kept["q"] = self.rule.pre_decay * kept.get("q", 0.0) + x
        p = kept["p"] = self.rule.second_decay * kept.get("p", 0.0) + q
        return np.outer(delta * psi, p)


def softmax(z):
    powers = np.exp(z - z.max())
    return powers / powers.sum()
