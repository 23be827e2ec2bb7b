"""Layers as users write them, and the networks that they make: one layer after the other.

    Network.sequential((2, 34, 34), [Conv2d(16, 5, padding=2), MaxPool2d(2), Dense(100)], n_classes=10)

Conv2d, LocalConv2d and Dense end in a population of neurons each; poolings belong to the population before them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from math import prod
from typing import ClassVar

import numpy as np

from tp_lava.checks import is_whole
from tp_lava.dynamics.neuron import LIF
from tp_lava.dynamics.parameters import Parameter
from tp_lava.errors import invalid
from tp_lava.graph import names
from tp_lava.graph.blank import draw_weights
from tp_lava.graph.connections import AllToAll, Convolution
from tp_lava.graph.delays import delays_of
from tp_lava.graph.elements import Connection, Population
from tp_lava.graph.pooling import Mode, Pair, Pool2d
from tp_lava.graph.standardisation import Standardisation
from tp_lava.numbers import seed_key

_One = int | tuple[int, int]


@dataclass(frozen=True)
class Neurons:
    """What a layer says of its population: neuron, trace_decay: None takes the network's; recurrent: fed back one step later;
    gain: blank weights are uniform in +-gain / sqrt(fan-in); standardised: of the weights into it, True takes the published one;
    delays: of what comes from below, in steps, see Delays.of, of dense layers SynapticDelays too; copies are so many times the channels.
    """

    _: KW_ONLY
    neuron: LIF | None = None
    trace_decay: Parameter | None = None
    recurrent: bool = False
    gain: float = 1.0
    standardised: Standardisation | bool = False
    delays: object = field(default=None, compare=False)


@dataclass(frozen=True)
class Dense(Neurons):
    """A layer of `size` neurons, reached from all units below."""

    size: int

    def kind(self, shape: tuple[int, ...]) -> AllToAll:
        """Its connection from a population of this shape."""
        return AllToAll(prod(shape), self.size)


@dataclass(frozen=True)
class Conv2d(Neurons):
    """A convolution into `channels` maps of neurons. kernel, stride, padding, dilation: one integer, or (y, x)."""

    channels: int
    kernel: _One
    stride: _One = 1
    padding: _One = 0
    dilation: _One = 1
    groups: int = 1

    def kind(self, shape: tuple[int, ...]) -> Convolution:
        """Its connection from a population of this shape."""
        pairs = (_pair(getattr(self, name)) for name in ("kernel", "stride", "padding", "dilation"))
        kernel, stride, padding, dilation = pairs
        return Convolution(_image(shape, type(self).__name__), self.channels, kernel, stride, padding, dilation, self.groups)


@dataclass(frozen=True)
class LocalConv2d(Conv2d):
    """The same with weights of its own at each position."""

    def kind(self, shape: tuple[int, ...]) -> Convolution:
        """See Conv2d."""
        return replace(super().kind(shape), shared=False)


@dataclass(frozen=True)
class SumPool2d:
    """Sums of the spikes of the layer before, in windows. kernel, stride (default: the kernel), padding: one integer, or (y, x)."""

    kernel: _One
    stride: _One | None = None
    padding: _One = 0

    mode: ClassVar[Mode] = "sum"

    def pool(self) -> Pool2d:
        """As a population has it."""
        stride = self.kernel if self.stride is None else self.stride
        return Pool2d(_pair(self.kernel), _pair(stride), _pair(self.padding), self.mode)


@dataclass(frozen=True)
class AvgPool2d(SumPool2d):
    """Averages instead, what is beyond the edges counted as zeros."""

    mode: ClassVar[Mode] = "average"


@dataclass(frozen=True)
class MaxPool2d(SumPool2d):
    """Whether any neuron of a window spikes: the maximum of binary spikes."""

    mode: ClassVar[Mode] = "max"


@dataclass(frozen=True)
class AdaptiveAvgPool2d:
    """Averages of the spikes of the layer before, in as many windows as asked for. size: one integer, or (y, x)."""

    size: _One

    def pool(self) -> Pool2d:
        """As a population has it."""
        return Pool2d(mode="average", size=_pair(self.size))


@dataclass(frozen=True)
class Flatten:
    """Nothing: a Dense layer takes units of any shape. For those who like to write it."""


LayerSpec = Dense | Conv2d | SumPool2d | AdaptiveAvgPool2d | Flatten


@dataclass(frozen=True)
class Parts:
    """What a network is made of."""

    populations: tuple[Population, ...]
    connections: tuple[Connection, ...]
    weights: dict[str, np.ndarray]
    drawn: int


def sequential(
    input_shape: tuple[int, ...], layers: Sequence[LayerSpec], n_classes: int, neuron: LIF, trace_decay: Parameter, seed: int
) -> Parts:
    """The parts of Network.sequential, blank weights drawn from seed."""
    chain = _Chain(tuple(input_shape), neuron, trace_decay)
    for place, layer in enumerate(layers):
        chain.add(place, layer)
    if not chain.populations:
        raise invalid("Network.sequential", "layers", repr(list(layers))[:60], "at least one layer of neurons", "add tpl.Dense(100)")
    seed_key(seed)
    connections = chain.connected_to(n_classes)
    weights, drawn = draw_weights(connections, seed, chain.populations[0].size * n_classes, chain.gains)
    return Parts(tuple(chain.populations), tuple(connections), weights, drawn)


class _Chain:
    """Populations, each on the one before, as the layers come."""

    def __init__(self, input_shape: tuple[int, ...], neuron: LIF, trace_decay: Parameter) -> None:
        self.neuron, self.trace_decay = neuron, trace_decay  # of layers that do not give their own
        self.populations: list[Population] = []
        self.connections: list[Connection] = []
        self.gains: dict[str, float] = {}
        self.recurrent: list[int] = []
        self.below, self.shape = names.INPUT, input_shape  # the last population, and what it sends
        self.input_pooling: tuple[Pool2d, ...] = ()

    def add(self, place: int, layer: LayerSpec) -> None:
        """The next layer, the one at this place of the list."""
        if isinstance(layer, Neurons):
            self._neurons(layer)
        elif isinstance(layer, SumPool2d | AdaptiveAvgPool2d):
            self._pool(layer.pool())
        elif not isinstance(layer, Flatten):
            limit = "Conv2d, LocalConv2d, Dense, MaxPool2d, SumPool2d, AvgPool2d, AdaptiveAvgPool2d or Flatten"
            raise invalid("Network.sequential", f"layers[{place}]", repr(layer)[:60], limit, "use tpl.Conv2d(16, 3), for example")

    def _pool(self, pool: Pool2d) -> None:
        if not self.populations:
            self.input_pooling = (*self.input_pooling, pool)
            return
        last = self.populations[-1]
        self.populations[-1] = replace(last, pooling=(*last.pooling, pool))
        self.shape = self.populations[-1].output_shape

    def _neurons(self, layer: Dense | Conv2d) -> None:
        number = len(self.populations)
        name = names.hidden(number)
        delays = None if layer.delays is None else delays_of(layer.delays, prod(self.shape))
        copies = delays.n_seen // delays.n_units if delays else 1
        kind = self._with_input_pooling(layer.kind((self.shape[0] * copies, *self.shape[1:])))
        trace_decay = self.trace_decay if layer.trace_decay is None else layer.trace_decay
        population = Population(name, kind.output_shape, layer.neuron or self.neuron, trace_decay, names.bias(number))
        standardisation = Standardisation() if layer.standardised is True else layer.standardised or None
        self.populations.append(population)
        self.connections.append(Connection(name, self.below, name, kind, standardisation=standardisation, delays=delays))
        self.gains[name] = layer.gain
        if layer.recurrent:
            self.recurrent.append(number)
        self.below, self.shape = name, population.output_shape

    def _with_input_pooling(self, kind: AllToAll | Convolution) -> AllToAll | Convolution:
        """Poolings of the input belong to the convolution that takes it."""
        pooling, self.input_pooling = self.input_pooling, ()
        if isinstance(kind, Convolution):
            return replace(kind, pooling=pooling)
        if pooling:
            raise invalid("Network.sequential", "layers[0]", "a pooling of the input", "followed by a convolution", "pool the recordings")
        return kind

    def connected_to(self, n_classes: int) -> list[Connection]:
        """All connections: each recurrent one after that from below, since it may see poolings that came later; the readout last."""
        connections = list(self.connections)
        for number in reversed(self.recurrent):
            population = self.populations[number]
            feedback = AllToAll(population.output_size, population.size)
            back = Connection(names.recurrent(number), population.name, population.name, feedback, recurrent=True)
            connections.insert(number + 1, back)
        return [*connections, Connection(names.READOUT, self.below, names.READOUT, AllToAll(prod(self.shape), n_classes))]


def unshared(
    connections: Sequence[Connection], weights: Mapping[str, np.ndarray], names_: Sequence[str]
) -> tuple[tuple[Connection, ...], dict[str, np.ndarray]]:
    """Connections and weights of Network.unshare."""
    shared = {c.name: c.kind for c in connections if isinstance(c.kind, Convolution) and c.kind.shared}
    chosen = names_ or tuple(shared)
    if unknown := [name for name in chosen if name not in shared]:
        limit = f"among the shared convolutions, {', '.join(shared) or 'of which there are none'}"
        raise invalid("Network.unshare", "connections", ", ".join(unknown), limit, "name a convolution that shares its weights")
    kinds = {name: replace(shared[name], shared=False) for name in chosen}
    kernels = {name: np.broadcast_to(weights[name][:, None, None], kind.weight_shape).copy() for name, kind in kinds.items()}
    return tuple(replace(c, kind=kinds.get(c.name, c.kind)) for c in connections), {**weights, **kernels}


def _pair(value: _One) -> Pair:
    if is_whole(value, 0, 2**31):
        return int(value), int(value)  # type: ignore[arg-type]
    return tuple(value)  # type: ignore[arg-type,return-value]


def _image(shape: tuple[int, ...], layer: str) -> tuple[int, int, int]:
    if len(shape) != 3:
        remedy = "put it before the Dense layers, or give input_shape=(channels, height, width)"
        raise invalid("Network.sequential", layer, f"after units of shape {shape}", "after (channels, height, width)", remedy)
    return shape
