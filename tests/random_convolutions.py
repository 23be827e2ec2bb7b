"""Random small networks of convolutions, and recordings for them."""

import tp_lava as tpl

SHAPE, CLASSES = (2, 8, 7), 4


def _convolution(rng, last=False):
    local = rng.random() < 0.25
    kind = tpl.LocalConv2d if local else tpl.Conv2d
    pairs = {
        "kernel": tuple(int(n) for n in rng.integers(1, 4, 2)),
        "stride": int(rng.integers(1, 3)),
        "padding": tuple(int(n) for n in rng.integers(0, 2, 2)),
        "dilation": int(rng.integers(1, 3)),
    }
    return kind(int(2 * rng.integers(1, 3)), **pairs, groups=int(rng.integers(1, 3)), gain=3.0)


def _pooling(rng):
    kind = (tpl.MaxPool2d, tpl.SumPool2d, tpl.AvgPool2d, tpl.AdaptiveAvgPool2d)[rng.integers(4)]
    if kind is tpl.AdaptiveAvgPool2d:
        return kind(tuple(int(n) for n in rng.integers(1, 3, 2)))
    return kind(tuple(int(n) for n in rng.integers(1, 4, 2)), int(rng.integers(1, 3)), int(rng.integers(0, 2)))


def network(rng, graded=None, standardised=False):
    """One to three layers, convolutions first; draws again until everything fits."""
    while True:
        layers = [tpl.SumPool2d(2)] if rng.random() < 0.2 else []
        for _ in range(rng.integers(1, 4)):
            layers.append(_convolution(rng))
            layers += [_pooling(rng)] if rng.random() < 0.6 else []
        layers += [tpl.Dense(int(rng.integers(3, 9)), gain=3.0, recurrent=bool(rng.random() < 0.3))] if rng.random() < 0.5 else []
        if standardised:
            layers = [
                type(layer)(**{**vars(layer), "standardised": True}) if hasattr(layer, "standardised") and rng.random() < 0.6 else layer
                for layer in layers
            ]
        neuron = tpl.LIF(float(rng.choice([0.8, 1.0])), 0.4, reset=str(rng.choice(["subtract", "zero"])))
        try:
            return tpl.Network.sequential(SHAPE, layers, CLASSES, neuron, 0.75, int(rng.integers(2**31)), graded)
        except tpl.InvalidValueError:
            continue


def recording(rng, network, steps=5, density=0.35):
    """Spikes, or values of graded ones that fixed point has too."""
    spikes = rng.random((steps, network.n_inputs)) < density
    if network.input_format is None:
        return tpl.Events.from_dense(spikes)
    mantissas = rng.integers(network.input_format.low, network.input_format.high + 1, spikes.shape)
    return tpl.Events.from_dense(spikes * network.input_format.real(mantissas), graded=True)


def rule(rng, rate=1.0):
    """TP or TESS, with options."""
    if rng.random() < 0.5:
        return tpl.TP(0.3 * rate, 1e-2, contrast=3, update=str(rng.choice(["step", "sequence"])))
    options = {"basis": "walsh", "grid": int(rng.integers(1, 4)), "temperature": 0.3}
    choices = {"update": ["step", "sequence"], "activity": ["spike", "trace"]}
    return tpl.TESS(3.0 * rate, 1e-2, **options, **{name: str(rng.choice(values)) for name, values in choices.items()})
