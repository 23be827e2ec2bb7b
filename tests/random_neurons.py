"""Random neurons with every option, and a second formula of what they do, one neuron at a time."""

import tp_lava as tpl

NEURONS = {
    "lava-like": tpl.LIF(0.8, 0.6, ">", "zero", 0.3, tpl.Triangle(1.0, 2.0)),
    "fast-sigmoid": tpl.LIF(0.5, 0.9, surrogate=tpl.FastSigmoid(2.0)),
    "adaptive": tpl.LIF(0.9, 0.5, adaptation=0.3, adaptation_decay=0.8),
    "refractory": tpl.LIF(0.9, 0.5, ">", "zero", 0.3, refractory=2),
}


def own_neurons(rng, size, **options):
    """Neurons that differ in every number."""
    return tpl.LIF(
        decay=rng.uniform(0.5, 0.95, size),
        threshold=rng.uniform(0.4, 0.9, size),
        current_decay=rng.uniform(0.0, 0.5, size),
        adaptation=rng.uniform(0.0, 0.4, size) * (rng.random(size) < 0.7),
        adaptation_decay=rng.uniform(0.5, 0.95, size),
        refractory=rng.integers(0, 4, size),
        **options,
    )


def random_neurons(rng, size):
    """Some options one a neuron, some one for all, some left out."""

    def number(low, high, whole=False):
        value = (rng.integers if whole else rng.uniform)(low, high, size)
        return value if rng.random() < 0.5 else value[0].item()

    options = {
        "decay": lambda: number(0.0, 0.99),
        "current_decay": lambda: number(0.0, 0.9),
        "adaptation": lambda: number(0.0, 1.0),
        "adaptation_decay": lambda: number(0.0, 0.99),
        "refractory": lambda: number(0, 5, whole=True),
        "comparison": lambda: ">",
        "reset": lambda: "zero",
    }
    given = {name: make() for name, make in options.items() if rng.random() < 0.6}
    if "reset" not in given and rng.random() < 0.5:
        given["reset_by"] = number(0.3, 1.5)
    return tpl.LIF(threshold=number(0.4, 1.5), **given)


class OneNeuron:
    """A neuron in Python numbers, float or mantissas. numbers: of this neuron alone, by name; products: how a decay and a rise multiply."""

    def __init__(self, lif, numbers, decayed=lambda x, d: x * d, risen=lambda a, b: a * b, within=lambda v: v, one=1.0):
        self.lif, self.numbers, self.decayed, self.risen, self.within, self.one = lif, numbers, decayed, risen, within, one
        self.u = self.v = self.a = self.silent = 0

    def step(self, arriving):
        """-> (spike, membrane after it, psi's argument or None while it is refractory)."""
        n = self.numbers
        self.u = self.within((self.decayed(self.u, n["current_decay"]) if self.lif.has_current else 0) + arriving)
        threshold = n["threshold"] + self.risen(self.a, n["adaptation"])
        spiked, excess = False, None
        if self.silent:
            self.silent -= 1
        else:
            self.v = self.within((self.decayed(self.v, n["decay"]) if self.lif.leaks else self.v) + self.u)
            excess = self.v - threshold
            spiked = excess > 0 or (self.lif.comparison == ">=" and excess == 0)
        if spiked:
            self.v = self.within(self.v - n["reset_by"]) if self.lif.reset == "subtract" else 0
            self.silent = int(n["refractory"])
        self.a = self.decayed(self.a, n["adaptation_decay"]) + (self.one if spiked else 0)
        return spiked, self.v, excess
