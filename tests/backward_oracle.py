"""Witness for errors that go back through the layers of one step: plain PyTorch, float64, by autograd, on chains of every kind of layer.

loss[t] = mean_b CE(softmax(p[t]), label),   p[t] = decay p[t-1] + readout(o[t]),  all of earlier steps a constant
SLTT:    dW = -rate dloss/dW
others:  dW = -rate sum over terms of factor d<deliver(B; V), dloss/ds * A>/dW           A: psi or h;  B: spikes or their trace
"""

from conv_oracle import Layer, Run, deliver, profile
from torch import autograd
from torch.nn import functional as F  # noqa: N812


class BackwardRun(Run):
    """directly: take the gradient of the loss by the weights, instead of products with dloss/ds."""

    directly = False

    def begin(self, labels):
        network = self.network
        self.labels, self.potential = labels, 0.0
        self.layers = [Layer(network, number, len(labels)) for number in range(len(network.populations))]
        self.pre, self.post = {}, [0.0] * len(self.layers)

    def step(self, x, learns):
        known, leaves = [], {}
        for layer in self.layers:
            own = self.leaves(*(c.name for c in layer.connections), layer.population.bias)
            state, excess, s = layer.step(layer.drive(own, x), own.get(layer.population.bias))
            known.append((x.detach(), layer.o, state, excess.detach(), s))
            leaves, x = leaves | own, state["o"]
        potential = self.rule.readout.decay * self.potential + deliver(self.network.readout, self.weights["readout"], x)
        potential = potential + self.weights.get("readout_bias", 0.0)
        loss, self.potential = F.cross_entropy(potential, self.labels), potential.detach()
        gradients = dict(zip(leaves, autograd.grad(loss, list(leaves.values()), retain_graph=True), strict=True))
        deltas = autograd.grad(loss, [s for *_, s in known])
        for number, (layer, (*arrived, state, excess, _), delta) in enumerate(zip(self.layers, known, deltas, strict=True)):
            found = self.products(number, layer, arrived, profile(layer.population.neuron.surrogate, excess), delta)
            gradients |= {} if self.directly else found
            layer.keep(state)
        return x.detach(), self.layers[-1].e, gradients if learns else {}

    def products(self, number, layer, arrived, psi, delta):
        rule, h, found = self.rule, self.post[number], {layer.population.bias: (delta * psi).sum(dim=0)}
        posts = {"surrogate": psi, "post_trace": h}
        for connection in layer.connections:
            name, now = connection.name, arrived[connection.recurrent]
            self.pre[name] = rule.pre_decay * self.pre.get(name, 0.0) + now
            (raw,) = self.leaves(name).values()
            pres, total = {"spike": now, "trace": self.pre[name]}, 0.0
            for term in rule.terms:
                if term.pre != "one":
                    total = total + term.factor * (deliver(connection, raw, pres[term.pre]) * delta * posts[term.post]).sum()
            (found[name],) = autograd.grad(total, raw)
        self.post[number] = rule.post_decay * h + psi
        return found


def learn_backward(network, rule, samples, directly=False):
    """All samples as one batch. -> name -> float64 array."""
    run = BackwardRun(network, rule)
    run.directly = directly
    run.present(samples)
    return run.arrays()
