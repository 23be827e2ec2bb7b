"""What a network is: layers of neurons and float weights in physical units, checked once, never changed.

Weights are (n_out, n_in) arrays by name: hidden0, hidden1, ... (into each hidden layer), recurrent0, ...
(within it), bias0, ... (n,), target (label -> first hidden layer, for TP), readout and readout_bias (classes,).
Biases are optional. A convolution's weights are its kernel, (channels, channels below / groups, height, width).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol

import numpy as np

from tp_lava.checks import is_number, is_whole
from tp_lava.connections import Spatial
from tp_lava.dynamics.neuron import LIF, check_decay
from tp_lava.errors import invalid
from tp_lava.numbers import seed_key
from tp_lava.provenance import Provenance


@dataclass(frozen=True)
class Layer:
    """One hidden layer. size: neurons; trace_decay: spike-trace factor per step, [0, 1); recurrent: fed back one step later.

    connection: from the layer below, None where it is all-to-all.
    """

    size: int
    neuron: LIF
    trace_decay: float = 0.98
    recurrent: bool = False
    connection: Spatial | None = None

    def __post_init__(self) -> None:
        _check_size("Layer", self.size)
        check_decay("Layer", "trace_decay", self.trace_decay)
        if self.connection and self.connection.size != self.size:
            limit = f"that of its connection, {self.connection.size}"
            raise invalid("Layer", "size", self.size, limit, f"a {self.connection.output_shape} population has so many")


class HoldsNetwork(Protocol):
    """Something trained elsewhere, which can give a network back."""

    def network(self) -> Network:
        """The network as it is now."""


@dataclass(frozen=True, eq=False)
class Network:
    """A feed-forward or recurrent spiking network with an integrating readout. Make one with Network.dense.

    n_inputs, layers, n_classes: its shape; weights: name -> read-only float32 array (n_out, n_in); readout_decay: of the
    scores per step, [0, 1], 1 where they integrate; provenance: of a converted one.
    """

    n_inputs: int
    layers: tuple[Layer, ...]
    n_classes: int
    weights: Mapping[str, np.ndarray]
    readout_decay: float = 1.0
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        _check_size("Network", self.n_inputs)
        _check_size("Network", self.n_classes, least=2)
        if not self.layers or not all(isinstance(layer, Layer) for layer in self.layers):
            raise invalid("Network", "layers", repr(self.layers)[:60], "at least one Layer", "make one with Network.dense(...)")
        if not is_number(self.readout_decay, 0) or self.readout_decay > 1:
            raise invalid("Network", "readout_decay", repr(self.readout_decay), "a number in [0, 1]", "1 integrates")
        for number, (layer, below) in enumerate(zip(self.layers, self.sizes[:-2], strict=True)):
            if layer.connection and layer.connection.n_inputs != below:
                found = f"from {layer.connection.shape}, {layer.connection.n_inputs} units"
                raise invalid(f"hidden{number}", "connection", found, f"from the {below} units below", "check its shape")
        shapes = self.shapes
        checked = {name: _checked(name, array, shapes) for name, array in self.weights.items()}
        missing = [name for name in shapes if name not in checked and not is_bias(name)]
        if missing:
            raise invalid("Network", "weights", f"without {', '.join(missing)}", f"given for {', '.join(shapes)}", "add them")
        object.__setattr__(self, "weights", MappingProxyType(checked))

    @classmethod
    def dense(
        cls,
        sizes: Sequence[int],
        neuron: LIF | Sequence[LIF] | None = None,
        trace_decay: float | Sequence[float] = 0.98,
        recurrent: bool | Sequence[bool] = False,
        seed: int = 0,
    ) -> Network:
        """A blank network of all-to-all layers.

        sizes: (inputs, hidden..., classes), at least one hidden layer; neuron, trace_decay, recurrent: for all hidden
        layers, or one each. Weights are uniform in +-1/sqrt(n_in), drawn from seed. Raises InvalidValueError.
        """
        sizes = tuple(sizes)
        if len(sizes) < 3:
            raise invalid("Network", "sizes", sizes, "(inputs, at least one hidden layer, classes)", "for example (512, 200, 10)")
        for size in sizes:
            _check_size("Network", size)
        hidden = sizes[1:-1]
        columns = (
            _per_layer("neuron", LIF() if neuron is None else neuron, len(hidden)),
            _per_layer("trace_decay", trace_decay, len(hidden)),
            _per_layer("recurrent", recurrent, len(hidden)),
        )
        layers = tuple(Layer(int(size), *values) for size, *values in zip(hidden, *columns, strict=True))
        shapes = _shapes(int(sizes[0]), layers, int(sizes[-1]))
        seed_key(seed)
        rng = np.random.default_rng(seed)
        weights = {}
        for name, shape in shapes.items():
            if not is_bias(name):
                bound = 1.0 / np.sqrt(shape[1])
                weights[name] = rng.uniform(-bound, bound, shape).astype(np.float32)
        return cls(int(sizes[0]), layers, int(sizes[-1]), weights)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every array the network may have, in order; biases are optional."""
        return _shapes(self.n_inputs, self.layers, self.n_classes)

    @property
    def sizes(self) -> tuple[int, ...]:
        """(inputs, hidden..., classes)."""
        return (self.n_inputs, *(layer.size for layer in self.layers), self.n_classes)

    def with_weights(self, weights: Mapping[str, np.ndarray] | HoldsNetwork) -> Network:
        """A new network with these arrays replaced, or with all that such a thing as a tp_lava.torch module has trained.

        Raises InvalidValueError for an unknown name, a wrong shape, NaN or infinity, or a module of another shape.
        """
        if isinstance(weights, Mapping):
            return replace(self, weights={**self.weights, **weights})
        held = weights.network()
        if held.shapes != self.shapes:
            raise invalid("Network", "weights", f"of {held!r}", f"of {self!r}", "use the network that the module was made from")
        return held

    def __repr__(self) -> str:
        recurrent = " recurrent" if any(layer.recurrent for layer in self.layers) else ""
        return f"Network({'-'.join(map(str, self.sizes))}{recurrent})"


def _shapes(n_inputs: int, layers: Sequence[Layer], n_classes: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    below = n_inputs
    for number, layer in enumerate(layers):
        shapes[f"hidden{number}"] = layer.connection.weight_shape if layer.connection else (layer.size, below)
        if layer.recurrent:
            shapes[f"recurrent{number}"] = (layer.size, layer.size)
        shapes[f"bias{number}"] = (layer.size,)
        below = layer.size
    shapes["target"] = (layers[0].size, n_classes)
    shapes["readout"] = (n_classes, below)
    shapes["readout_bias"] = (n_classes,)
    return shapes


def role_of(name: str, network: Network) -> str:
    """The role of these weights' buffer: weight, kernel or bias."""
    if is_bias(name):
        return "bias"
    return "kernel" if len(network.shapes[name]) == 4 else "weight"


def is_bias(name: str) -> bool:
    """Whether the weights of that name are biases: one number a neuron, optional."""
    return "bias" in name


def _check_size(obj: str, value: object, least: int = 1) -> None:
    if not is_whole(value, least):
        raise invalid(obj, "size", repr(value), f"an integer of at least {least}", "give the number of units")


def _per_layer(name: str, value: object, count: int) -> list:
    if not isinstance(value, list | tuple):
        return [value] * count
    if len(value) != count:
        raise invalid("Network", name, f"{len(value)} values", f"one per hidden layer, {count}", "give one for all or one for each")
    return list(value)


def _checked(name: str, array: object, shapes: Mapping[str, tuple[int, ...]]) -> np.ndarray:
    """A read-only float32 copy."""
    if name not in shapes:
        raise invalid("Network", f"weights[{name!r}]", "unknown", f"one of {', '.join(shapes)}", "rename it")
    try:
        weights = np.array(array, np.float32)
    except (TypeError, ValueError):
        raise invalid("Network", f"weights[{name!r}]", repr(array)[:60], "an array of numbers", "pass a NumPy array") from None
    if weights.shape != shapes[name]:
        remedy = "transpose it" if weights.shape == shapes[name][::-1] else "check the layer sizes"
        raise invalid("Network", f"weights[{name!r}]", f"of shape {weights.shape}", f"{shapes[name]}, (n_out, n_in)", remedy)
    if not np.isfinite(weights).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(weights))[0])
        raise invalid("Network", f"weights[{name!r}]", f"{weights[where]} at {where}", "finite", "look for a diverged training run")
    weights.flags.writeable = False
    return weights
