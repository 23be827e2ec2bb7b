"""TP as its authors think of it: a local loss for each layer, differentiated automatically.

Nothing here but the label projection it starts from is shared with the package: dense NumPy, float64, one loss per layer and step,
its gradient by the autograd library. States of the past and spikes of the layer below are constants, because they are plain arrays by
the time the loss of a step is built.
"""

import autograd.numpy as np
from autograd import grad
from autograd.extend import defvjp, primitive

from tp_lava import TP


def make_spike(profile, strict):
    """Step function whose derivative is a surrogate."""

    @primitive
    def spike(excess):
        return (excess > 0 if strict else excess >= 0) * 1.0

    defvjp(spike, lambda _, excess: lambda g: g * profile(np.abs(excess)))
    return spike


class OracleTP:
    """weights: name -> (n_out, n_in) float64; one instance learns sample after sample."""

    def __init__(self, network, rate, readout_rate, train_target=False):
        self.layers, self.n_classes = network.layers, network.n_classes
        start = {**network.weights, **TP().parameters(network)}
        self.weights = {name: np.array(array, dtype=float) for name, array in start.items()}
        self.rate, self.readout_rate, self.train_target = rate, readout_rate, train_target

    def learn(self, dense, labels, streams, own):
        """dense: (B, T, n) spikes; labels: (B,); streams: (K,) labels; own: (B,) index of each sample's own stream."""
        batch, steps, _ = dense.shape
        students = [self._blank(batch, layer.size) for layer in self.layers]
        targets = [self._blank(len(streams), layer.size) for layer in self.layers]
        one_hot, label_trace = np.eye(self.n_classes)[streams], np.zeros((len(streams), self.n_classes))
        score = np.zeros((batch, self.n_classes))
        for t in range(steps):
            label_trace = np.mean(self.layers[0].trace_decay) * label_trace + one_hot
            below, below_target, below_trace = dense[:, t].astype(float), one_hot, label_trace
            for number in range(len(self.layers)):
                args = (number, students[number], targets[number], below, below_target, below_trace, own)
                students[number], targets[number], below_trace = self._layer(*args)
                below, below_target = students[number]["s"], targets[number]["s"]
            score = score + below @ self.weights["readout"].T
            self._readout(score, np.eye(self.n_classes)[labels], students[-1]["e"])
        return score

    @staticmethod
    def _blank(rows, size):
        return {name: np.zeros((rows, size)) for name in "vusear"}

    def _population(self, number, state, current):
        """New state as a function of the arriving current, differentiable in it."""
        neuron, layer = self.layers[number].neuron, self.layers[number]
        decay, threshold, current_decay, rise, fall, steps, trace_decay = (
            np.array(value)
            for value in (
                *(neuron.decay, neuron.threshold, neuron.current_decay, neuron.adaptation, neuron.adaptation_decay, neuron.refractory),
                layer.trace_decay,
            )
        )
        u = current_decay * state["u"] + current
        awake = (state["r"] == 0) * 1.0
        pre = awake * (decay * state["v"] + u) + (1 - awake) * state["v"]
        a = fall * state["a"] + state["s"]
        s = awake * make_spike(neuron.surrogate.profile, neuron.comparison == ">")(pre - threshold - rise * a)
        v = pre - threshold * s if neuron.reset == "subtract" else pre * (1 - s)
        left = np.where(awake > 0, steps * s, state["r"] - 1)
        return {"v": v, "u": u, "s": s, "e": trace_decay * state["e"] + s, "a": a, "r": left}

    def _paths(self, number, parameters, student, target, below, below_target):
        forward, into_target, back = parameters
        current = below @ forward.T
        current_target = below_target @ (into_target if number == 0 else forward).T
        if self.layers[number].recurrent:
            current, current_target = current + student["s"] @ back.T, current_target + target["s"] @ back.T
        return self._population(number, student, current), self._population(number, target, current_target)

    def _layer(self, number, student, target, below, below_target, below_trace, own):
        names = f"hidden{number}", "target", f"recurrent{number}"
        parameters = [self.weights.get(name, np.zeros(1)) for name in names]
        apart = below_trace[own][:, None] - below_trace[None]
        soft = np.exp(-np.sqrt(np.sum(apart**2, axis=-1)))
        soft = soft / soft.sum(axis=1, keepdims=True)

        def loss(parameters):
            a, b = self._paths(number, parameters, student, target, below, below_target)
            z = a["e"] @ b["e"].T
            z = z - np.max(z, axis=1, keepdims=True)
            return -np.mean(np.sum(soft * (z - np.log(np.sum(np.exp(z), axis=1, keepdims=True))), axis=1))

        new_student, new_target = self._paths(number, parameters, student, target, below, below_target)
        gradients = grad(loss)(parameters)
        for name, gradient in zip(names, gradients, strict=True):
            if name in self.weights and (name != "target" or (number == 0 and self.train_target)):
                self.weights[name] = self.weights[name] - self.rate * gradient
        return new_student, new_target, new_target["e"]

    def _readout(self, score, labels, trace):
        p = np.exp(score - score.max(axis=1, keepdims=True))
        error = p / p.sum(axis=1, keepdims=True) - labels
        self.weights["readout"] = self.weights["readout"] - self.readout_rate * error.T @ trace / len(score)
