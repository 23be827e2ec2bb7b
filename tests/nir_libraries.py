"""Networks of the libraries that write NIR, run by themselves: the spikes that converted ones must give."""

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")


def quiet(function, *args, **kwargs):
    """A call of a library whose warnings are its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def rescaled(module, factors, seed):
    """Weights of a module's maps drawn anew, so large that neurons spike; factors: of each map, or of all."""
    generator = torch.Generator().manual_seed(seed)
    maps = [layer for layer in module.modules() if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)]
    factors = factors if isinstance(factors, tuple) else (factors,) * len(maps)
    for factor, layer in zip(factors, maps, strict=True):
        fan = layer.weight[0].numel()
        layer.weight.data = torch.randn(layer.weight.shape, generator=generator) * factor / fan**0.5
        if layer.bias is not None:
            layer.bias.data = torch.randn(layer.bias.shape, generator=generator) * 0.1 * factor
    return module


def spikes_of(shape, steps, seed, rate=0.4):
    return (np.random.default_rng(seed).random((steps, *shape)) < rate).astype(np.float32)


def run_steps(module, spikes, neurons):
    """A network step by step, from rest: exporting has run it. -> the spikes of each of the given modules, (T, n)."""
    seen = [[] for _ in neurons]

    def keep(into):
        return lambda _module, _input, out: into.append((out[0] if isinstance(out, tuple) else out).detach().numpy().ravel())

    hooks = [neuron.register_forward_hook(keep(into)) for neuron, into in zip(neurons, seen, strict=True)]
    for layer in module.modules():
        if hasattr(layer, "reset_mem"):
            layer.reset_mem()
    state, holds = None, not type(module).__module__.startswith("norse")  # norse's networks take and return their state
    with torch.no_grad():
        for frame in torch.from_numpy(spikes):
            out = module(frame[None]) if holds else module(frame[None], state)
            state = None if holds else out[1]
    for hook in hooks:
        hook.remove()
    return [np.array(s) for s in seen]
