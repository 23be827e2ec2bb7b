"""Witness for TP and TESS in chains of convolutions: plain PyTorch, float64, derivatives by autograd, positions of local weights in loops.

It shares nothing with tp_lava.torch and has no closed forms. A step of a layer, of rows (samples, or samples and target rows):

    V = gain (W - mean) / sqrt(sum (W - mean)^2 + epsilon)          where the connection is standardised, else W
    a = decay v + conv(x; V) + bias,   s = [a >= theta],   v = a - theta s,   o = pool(s),   e = trace_decay e + o

    TP:    z[b,k] = sum e[b] g[k] / P,  y[b] = softmax(-D[own b]),  D: distances of target traces below, whole ones where P = 1
           loss = -P mean_b sum_k y log softmax(z),   dW = -rate dloss/dW
    TESS:  m = temperature dCE(B avg(o or e) / temperature, label)/ds
           dW = -rate (causal d<conv(q; V), m psi>/dW + acausal d<conv(x; V), m h>/dW)

learn_tp(network, rule, samples, rows, batch) and learn_tess(network, rule, samples, batch) give the weights after learning. samples:
(recording, label), a recording being tpl.Events or an array (T, n_inputs) of values.
"""

import math

import numpy as np
import torch
from torch import autograd
from torch.nn import functional as F  # noqa: N812

from tp_lava.dynamics.basis import basis
from tp_lava.graph.connections import Convolution

PROFILES = {
    "ArcTan": lambda s, d: 1 / (1 + (math.pi * s.scale * d) ** 2),
    "Triangle": lambda s, d: s.height * torch.clamp(1 - d / s.width, min=0),
    "FastSigmoid": lambda s, d: 1 / (1 + s.slope * d) ** 2,
}


def profile(surrogate, excess):
    return PROFILES[type(surrogate).__name__](surrogate, excess.abs())


class Spike(autograd.Function):
    """The step function with a surrogate for its derivative."""

    @staticmethod
    def forward(ctx, excess, surrogate, strict):
        ctx.save_for_backward(excess)
        ctx.surrogate = surrogate
        return (excess > 0 if strict else excess >= 0).double()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * profile(ctx.surrogate, ctx.saved_tensors[0]), None, None


# Forward -----------------------------------------------------------------------------------------


def standardised(how, weights):
    """Over all weights that reach one unit, or one channel where positions share them."""
    if how is None:
        return weights
    flat = weights if weights.ndim == 2 else weights.flatten(-3)
    centred = flat - flat.mean(dim=-1, keepdim=True)
    return (how.gain * centred / torch.sqrt((centred**2).sum(dim=-1, keepdim=True) + how.epsilon)).reshape(weights.shape)


def padded(x, padding, value=0.0):
    return F.pad(x, (padding[1], padding[1], padding[0], padding[0]), value=value)


def pool(poolings, x):
    """x: (rows, c, h, w). Nothing lies beyond the edges; a maximum goes back to the first unit that has it."""
    for p in poolings:
        if p.size is not None and p.mode != "max":
            average, share = F.adaptive_avg_pool2d(x, p.size), torch.tensor(units(p, x.shape[2:]))
            x = average if p.mode == "average" else average * share
        elif p.size is not None:
            x = F.adaptive_max_pool2d(x, p.size)
        elif p.mode == "max":
            x = F.max_pool2d(padded(x, p.padding, -1.0), p.kernel, p.stride).clamp(min=0)
        else:
            x = F.avg_pool2d(padded(x, p.padding), p.kernel, p.stride, divisor_override=1 if p.mode == "sum" else None)
    return x


def units(p, shape):
    """Units of each adaptive window, (height, width)."""
    counts = [[-(-(i + 1) * n // size) - i * n // size for i in range(size)] for n, size in zip(shape, p.size, strict=True)]
    return np.outer(*counts).astype(float)


def local(kind, weights, x):
    """Weights of their own at each position. x: (rows, c, h, w); weights: (channels, oh, ow, c / groups, ky, kx)."""
    x, (channels, height, width), per_group = padded(x, kind.padding), kind.output_shape, kind.kernel_shape[0]
    ky, kx = (torch.arange(k) * d for k, d in zip(kind.kernel, kind.dilation, strict=True))
    out = []
    for o in range(channels):
        first = o // (channels // kind.groups) * per_group
        for y in range(height):
            for z in range(width):
                seen = x[:, first : first + per_group, (y * kind.stride[0] + ky)[:, None], z * kind.stride[1] + kx]
                out.append((seen * weights[o, y, z]).sum(dim=(1, 2, 3)))
    return torch.stack(out, dim=1)


def deliver(connection, raw, x):
    """What a connection brings to each neuron. x: (rows, units below) -> (rows, neurons)."""
    kind, weights = connection.kind, standardised(connection.standardisation, raw)
    if not isinstance(kind, Convolution):
        return x @ weights.T
    x = pool(kind.pooling, x.reshape(-1, *kind.shape))
    if not kind.shared:
        return local(kind, weights, x)
    return F.conv2d(x, weights, None, kind.stride, kind.padding, kind.dilation, kind.groups).flatten(1)


class Layer:
    """Population `number` of a chain: its connections, and the state of some rows."""

    def __init__(self, network, number, rows):
        self.population = p = network.populations[number]
        self.forward = next(c for c in network.into(p) if not c.recurrent)
        self.back = next((c for c in network.into(p) if c.recurrent), None)
        self.connections = [c for c in (self.forward, self.back) if c]
        self.v, self.current = torch.zeros(2, rows, p.size, dtype=torch.float64)
        self.o = self.e = torch.zeros(rows, p.output_size, dtype=torch.float64)

    @property
    def image(self):
        """(channels, height, width) of its output; a dense layer has one position."""
        shape = self.population.output_shape
        return shape if len(shape) == 3 else (shape[0], 1, 1)

    def pooled(self, s):
        p = self.population
        return pool(p.pooling, s.reshape(-1, *p.shape)).flatten(1) if p.pooling else s

    def drive(self, weights, x):
        """x: spikes below; its own of the step before come by the recurrent connection."""
        drive = deliver(self.forward, weights[self.forward.name], x)
        return drive if self.back is None else drive + deliver(self.back, weights[self.back.name], self.o)

    def step(self, drive, bias=None):
        """The layer after this step; nothing here is changed. -> (state, excess, spikes)."""
        neuron, bias = self.population.neuron, 0.0 if bias is None else bias
        current = neuron.current_decay * self.current + drive + (bias if neuron.bias_to == "current" else 0.0)
        a = neuron.decay * self.v + current + (bias if neuron.bias_to != "current" else 0.0)
        excess = a - neuron.threshold
        s = Spike.apply(excess, neuron.surrogate, neuron.comparison == ">")
        less = neuron.threshold if neuron.reset_by is None else neuron.reset_by
        v = a - s * less if neuron.reset == "subtract" else a * (1 - s)
        o = self.pooled(s)
        return {"v": v, "current": current, "o": o, "e": self.population.trace_decay * self.e + o}, excess, s

    def keep(self, state):
        for name, value in state.items():
            setattr(self, name, value.detach())


class Readout:
    """The readout of rows (samples) by its delta rule, and its gradients."""

    def __init__(self, options, labels, classes):
        self.options, self.one_hot, self.elapsed = options, F.one_hot(labels, classes).double(), 0
        self.potential = torch.zeros(len(labels), classes, dtype=torch.float64)
        self.count = 0.0

    def gradients(self, weights, connection, o, e, learns):
        """o, e: output and trace of the last layer."""
        options, raw = self.options, weights["readout"].detach().requires_grad_()
        self.elapsed, self.count = self.elapsed + 1, self.count + o
        self.potential = options.decay * self.potential + deliver(connection, raw.detach(), o) + weights.get("readout_bias", 0.0)
        if not learns:
            return {}
        scale = options.temperature * (self.elapsed if options.normalised else 1)
        error = (torch.softmax(self.potential / scale, dim=1) - self.one_hot) / len(o)
        features = {"spike": o, "count": self.count, "trace": e}[options.features]
        (found,) = autograd.grad((deliver(connection, raw, features) * error).sum(), raw)
        return {"readout": found, "readout_bias": error.sum(dim=0)}


# Learning ----------------------------------------------------------------------------------------


class Run:
    """What both rules share: weights, recordings side by side, and when changes are applied."""

    def __init__(self, network, rule):
        own = rule.parameters(network)
        self.network, self.rule = network, rule
        self.weights = {name: torch.tensor(np.array(array), dtype=torch.float64) for name, array in {**network.weights, **own}.items()}
        self.rates = {"readout": rule.readout_rate, "readout_bias": rule.readout_rate}
        for population, rate in zip(network.populations, rule.with_most_rows(network.n_classes).rates(network).values(), strict=True):
            self.rates |= dict.fromkeys([*(c.name for c in network.into(population)), population.bias], rate)
        self.rates |= dict.fromkeys(own, next(iter(rule.with_most_rows(network.n_classes).rates(network).values())))

    def present(self, samples, *options):
        """One presentation of samples side by side; shorter ones end in silence."""
        arrays = [np.asarray(r.to_dense() if hasattr(r, "to_dense") else r, float) for r, _ in samples]
        steps = max(map(len, arrays))
        dense = torch.tensor(np.stack([np.pad(a, ((0, steps - len(a)), (0, 0))) for a in arrays]))
        labels, sums = torch.tensor([label for _, label in samples]), {}
        self.begin(labels, *options)
        readout = Readout(self.rule.readout, labels, self.network.n_classes)
        for t in range(steps):
            o, e, gradients = self.step(dense[:, t], self._within(getattr(self.rule, "learn_last", None), t, steps))
            learns = self._within(readout.options.learn_last, t, steps)
            gradients |= readout.gradients(self.weights, self.network.readout, o, e, learns)
            for name, gradient in gradients.items():
                sums[name] = sums.get(name, 0.0) + gradient
            if self.rule.update == "step" or t == steps - 1:
                for name, total in sums.items():
                    if name in self.weights:
                        self.weights[name] = self.weights[name] - self.rates[name] * total
                sums = {}

    @staticmethod
    def _within(count, t, steps):
        return count is None or t >= steps - count

    def leaves(self, *names):
        return {name: self.weights[name].clone().requires_grad_() for name in names if name in self.weights}

    def arrays(self):
        return {name: array.numpy().copy() for name, array in self.weights.items()}


class TPRun(Run):
    def begin(self, labels, rows, own):
        """rows: (K,) labels of the target rows; own: (B,) which one is each sample's."""
        n = len(self.network.populations)
        self.own, self.one_hot = own, F.one_hot(rows, self.network.n_classes).double()
        self.students = [Layer(self.network, number, len(labels)) for number in range(n)]
        self.targets = [Layer(self.network, number, len(rows)) for number in range(n)]
        self.label_trace = torch.zeros_like(self.one_hot)

    def step(self, x, learns):
        self.label_trace = self.students[0].population.trace_decay * self.label_trace + self.one_hot
        gradients, target_x, apart = {}, None, torch.cdist(self.label_trace, self.label_trace, compute_mode="donot_use_mm_for_euclid_dist")
        for student, target in zip(self.students, self.targets, strict=True):
            found = self.layer(student, target, x, target_x, torch.softmax(-apart[self.own], dim=1))
            gradients |= found if learns else {}
            x, target_x = student.o, target.o
            following = self.students[self.students.index(student) + 1 :]
            apart = self.distances(target, flat=bool(following) and math.prod(following[0].image[1:]) == 1)
        return x, self.students[-1].e, gradients

    @staticmethod
    def distances(target, flat):
        """Mean over positions of the distance over channels, (K, K). flat: as a layer of one position sees it."""
        g = target.e.reshape(len(target.e), -1 if flat else target.image[0], 1 if flat else math.prod(target.image[1:]))
        return ((g[:, None] - g[None]) ** 2).sum(dim=2).sqrt().mean(dim=2)

    def layer(self, student, target, x, target_x, soft):
        """One step of a layer of both paths. target_x: spikes below; None: the labels. -> gradients of its loss."""
        names = [c.name for c in student.connections]
        if target_x is None and self.rule.train_target:
            names.append("target")
        leaves, bias = self.leaves(*names), self.weights.get(student.population.bias)
        state, _, _ = student.step(student.drive(leaves, x), bias)
        if target_x is None:
            drive = self.one_hot @ {**self.weights, **leaves}["target"].T
            drive = drive if target.back is None else drive + deliver(target.back, leaves[target.back.name], target.o)
        else:
            drive = target.drive(leaves, target_x)
        target_state, _, _ = target.step(drive, bias)
        positions = math.prod(student.image[1:])
        z = state["e"] @ target_state["e"].T / positions
        loss = -positions * (soft * torch.log_softmax(z, dim=1)).sum() / len(x)
        found = autograd.grad(loss, list(leaves.values()))
        student.keep(state)
        target.keep(target_state)
        return dict(zip(leaves, found, strict=True))


class TESSRun(Run):
    def begin(self, labels):
        network, rule = self.network, self.rule
        self.one_hot = F.one_hot(labels, network.n_classes).double()
        self.layers = [Layer(network, number, len(labels)) for number in range(len(network.populations))]
        self.pre = {c.name: 0.0 for c in network.connections}
        self.post = [0.0] * len(self.layers)
        self.grids = [tuple(min(rule.grid, n) for n in layer.image[1:]) for layer in self.layers]
        sizes = [layer.image[0] * math.prod(grid) for layer, grid in zip(self.layers, self.grids, strict=True)]
        self.bases = [torch.tensor(basis(rule.basis, network.n_classes, n), dtype=torch.float64) / n for n in sizes]

    def step(self, x, learns):
        gradients = {}
        for number in range(len(self.layers)):
            found = self.layer(number, x)
            gradients |= found if learns else {}
            x = self.layers[number].o
        return x, self.layers[-1].e, gradients

    def layer(self, number, x):
        rule, layer, before = self.rule, self.layers[number], self.layers[number].o
        bias = layer.population.bias
        state, excess, s = layer.step(layer.drive(self.weights, x), self.weights.get(bias))
        psi, h, m = profile(layer.population.neuron.surrogate, excess), self.post[number], self.signal(number, s)
        gradients = {bias: (m * psi).sum(dim=0)}
        for connection in layer.connections:
            name, now = connection.name, before if connection.recurrent else x
            self.pre[name] = rule.pre_decay * self.pre[name] + now
            (raw,) = self.leaves(name).values()
            learned = rule.causal * (deliver(connection, raw, self.pre[name]) * m * psi).sum()
            learned = learned + rule.acausal * (deliver(connection, raw, now) * m * h).sum()
            (gradients[name],) = autograd.grad(learned, raw)
        self.post[number] = rule.post_decay * h + psi
        layer.keep(state)
        return gradients

    def signal(self, number, s):
        """m of each neuron: the error through the basis, the average over places and the pooling."""
        layer, rule, s = self.layers[number], self.rule, s.clone().requires_grad_()
        o = layer.pooled(s)
        seen = layer.population.trace_decay * layer.e + o if rule.activity == "trace" else o
        z = F.adaptive_avg_pool2d(seen.reshape(-1, *layer.image), self.grids[number]).flatten(1)
        logits = z @ self.bases[number].T / rule.temperature
        loss = -(self.one_hot * torch.log_softmax(logits, dim=1)).sum() * rule.temperature / len(s)
        return autograd.grad(loss, s)[0]


def learn_tp(network, rule, samples, rows=None, batch=False):
    """rows: for each sample the labels of its target rows, its own first (None: of all classes); with batch=True all samples are one
    batch, contrasted with each other, and rows plays no part. -> name -> float64 array, the label projection "target" among them.
    """
    run = TPRun(network, rule)
    if batch:
        run.present(samples, torch.tensor([label for _, label in samples]), torch.arange(len(samples)))
        return run.arrays()
    for number, (recording, label) in enumerate(samples):
        own = rows[number] if rows is not None else [label, *(k for k in range(network.n_classes) if k != label)]
        run.present([(recording, label)], torch.tensor(list(own)), torch.tensor([list(own).index(label)]))
    return run.arrays()


def learn_tess(network, rule, samples, batch=False):
    """One sample after the other, or with batch=True the mean of all. -> name -> float64 array."""
    run = TESSRun(network, rule)
    for together in [samples] if batch else [[sample] for sample in samples]:
        run.present(together)
    return run.arrays()


def learn_bptt(network, samples, rate):
    """One step of plain gradient descent on the mean cross entropy of the scores at the end, through all steps and layers."""
    weights = {name: torch.tensor(np.array(array), dtype=torch.float64, requires_grad=True) for name, array in network.weights.items()}
    dense = torch.tensor(np.stack([np.asarray(r.to_dense() if hasattr(r, "to_dense") else r, float) for r, _ in samples]))
    layers, scores = [Layer(network, number, len(samples)) for number in range(len(network.populations))], 0.0
    for t in range(dense.shape[1]):
        x = dense[:, t]
        for layer in layers:
            state, _, _ = layer.step(layer.drive(weights, x), weights.get(layer.population.bias))
            vars(layer).update(state)
            x = layer.o
        scores = scores + deliver(network.readout, weights["readout"], x) + weights.get("readout_bias", 0.0)
    loss = F.cross_entropy(scores, torch.tensor([label for _, label in samples]))
    found = autograd.grad(loss, list(weights.values()))
    return {name: (array - rate * g).detach().numpy() for (name, array), g in zip(weights.items(), found, strict=True)}
