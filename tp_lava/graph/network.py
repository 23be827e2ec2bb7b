"""What a network is: populations of neurons, connections between them and float weights in physical units, checked once, never changed.

Weights are (n_out, n_in) arrays by name: hidden0, hidden1, ... (into each hidden population), recurrent0, ... (within it), bias0, ...
(n,), readout and readout_bias (classes,). Biases are optional. A convolution's weights are its kernel, (channels, channels below /
groups, height, width). A population may have further connections of any name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from math import prod
from types import MappingProxyType
from typing import Protocol

import numpy as np

from tp_lava.checks import is_number, is_whole
from tp_lava.dynamics.neuron import LIF
from tp_lava.dynamics.parameters import Parameter
from tp_lava.errors import InvalidValueError, invalid
from tp_lava.graph import names
from tp_lava.graph.blank import chain, draw_weights
from tp_lava.graph.checking import check_graph, checked_weights
from tp_lava.graph.delays import delays_of
from tp_lava.graph.elements import Connection as Connection
from tp_lava.graph.elements import Layer as Layer
from tp_lava.graph.elements import Population as Population
from tp_lava.graph.sequential import LayerSpec, sequential, unshared
from tp_lava.graph.sizes import check_classes, check_size
from tp_lava.numbers import Format, seed_key
from tp_lava.provenance import Provenance


class HoldsNetwork(Protocol):
    """Something trained elsewhere, which can give a network back."""

    def network(self) -> Network:
        """The network as it is now."""


@dataclass(frozen=True, eq=False)
class Network:
    """A spiking network with an integrating readout. Make one with Network.dense, Network.sequential or Network.of_layers.

    input_shape: (n,) or (channels, height, width); populations: in the order in which a step computes them; connections: from
    "input" or a population to one computed after it or, recurrent, to itself or one computed before; one, "readout", from a
    population to the classes. weights: name -> read-only float32 array; readout_decay: of the scores per step, [0, 1], 1 where they
    integrate; provenance: of a converted one; seed, drawn: what its weights were drawn from, and how many numbers that took (rules
    draw their own parameters from there on); rule_parameters: of rules that have learned with it, by name; a rule takes
    its own over instead of drawing them; input_format: of the values of graded input, to which fixed-point forms round them; None:
    the input spikes; class_names: a text for each class, () where they have only numbers. Raises InvalidValueError.
    """

    input_shape: tuple[int, ...]
    populations: tuple[Population, ...]
    connections: tuple[Connection, ...]
    n_classes: int
    weights: Mapping[str, np.ndarray]
    readout_decay: float = 1.0
    provenance: Provenance | None = None
    seed: int = 0
    drawn: int = 0
    rule_parameters: Mapping[str, np.ndarray] = field(default_factory=dict)
    input_format: Format | None = None
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for attr in ("input_shape", "populations", "connections", "class_names"):
            object.__setattr__(self, attr, tuple(getattr(self, attr)))
        for size in self.input_shape or (0,):
            check_size("Network", size)
        check_classes(self.n_classes)
        if not is_number(self.readout_decay, 0) or self.readout_decay > 1:
            raise invalid("Network", "readout_decay", repr(self.readout_decay), "a number in [0, 1]", "1 integrates")
        if self.class_names and (len(self.class_names) != self.n_classes or not all(isinstance(name, str) for name in self.class_names)):
            limit = f"a text for each of {self.n_classes} classes, or left out"
            raise invalid("Network", "class_names", f"{self.class_names!r:.80}", limit, "give them in the order of the labels")
        check_graph(self.n_inputs, self.populations, self.connections, self.n_classes)
        shapes = self.shapes
        checked = {name: checked_weights(name, array, shapes) for name, array in self.weights.items()}
        missing = [name for name in shapes if name not in checked and not self.is_bias(name)]
        if missing:
            raise invalid("Network", "weights", f"without {', '.join(missing)}", f"given for {', '.join(shapes)}", "add them")
        object.__setattr__(self, "weights", MappingProxyType(checked))
        object.__setattr__(self, "rule_parameters", MappingProxyType(dict(self.rule_parameters)))

    def class_name(self, label: int) -> str:
        """The name of a class, or its number where classes have no names."""
        return self.class_names[label] if self.class_names else str(label)

    # Making one -------------------------------------------------------------------------------
    @classmethod
    def of_layers(
        cls,
        n_inputs: int,
        layers: Sequence[Layer],
        n_classes: int,
        weights: Mapping[str, np.ndarray],
        readout_decay: float = 1.0,
        provenance: Provenance | None = None,
        **origin,
    ) -> Network:
        """A chain of layers, each fed by the one below. origin: seed, drawn, rule_parameters, input_format. Raises InvalidValueError."""
        check_size("Network", n_inputs)
        if not layers or not all(isinstance(layer, Layer) for layer in layers):
            raise invalid("Network", "layers", repr(layers)[:60], "at least one Layer", "make one with Network.dense(...)")
        populations, connections = chain(int(n_inputs), layers, n_classes)
        first = layers[0].connection
        shape = first.shape if first and prod(first.shape) == n_inputs else (int(n_inputs),)
        return cls(shape, populations, connections, n_classes, weights, readout_decay, provenance, **origin)

    @classmethod
    def dense(
        cls,
        sizes: Sequence[int],
        neuron: LIF | Sequence[LIF] | None = None,
        trace_decay: float | np.ndarray | Sequence[float | Sequence[float]] = 0.98,
        recurrent: bool | Sequence[bool] = False,
        seed: int = 0,
        delays: object = None,
    ) -> Network:
        """A blank network of all-to-all layers.

        sizes: (inputs, hidden..., classes), at least one hidden layer; neuron, trace_decay, recurrent: for all hidden
        layers, or one each; a trace decay for each neuron of a layer is an array, or a sequence within that of the layers;
        delays: of what reaches each hidden layer from below, for all or a list of one each, in steps, see Delays.of: a whole number,
        one a unit, or (copies, 1) for copies of each unit; or SynapticDelays. Weights are uniform in +-1/sqrt(n_in), n_in with all
        copies, drawn from seed. Raises InvalidValueError.
        """
        sizes = tuple(sizes)
        if len(sizes) < 3:
            raise invalid("Network", "sizes", sizes, "(inputs, at least one hidden layer, classes)", "for example (512, 200, 10)")
        for size in sizes:
            check_size("Network", size)
        n_inputs, *hidden, n_classes = (int(size) for size in sizes)
        check_classes(n_classes)
        columns = (
            _per_layer("neuron", LIF() if neuron is None else neuron, len(hidden)),
            _per_layer("trace_decay", trace_decay, len(hidden)),
            _per_layer("recurrent", recurrent, len(hidden)),
        )
        layers = tuple(Layer(size, *values) for size, *values in zip(hidden, *columns, strict=True))
        given = zip(layers, _per_layer("delays", delays, len(hidden)), sizes, strict=False)
        layers = tuple(layer if steps is None else replace(layer, delays=delays_of(steps, below)) for layer, steps, below in given)
        seed_key(seed)
        _, connections = chain(n_inputs, layers, n_classes)
        weights, drawn = draw_weights(connections, seed, reserved=hidden[0] * n_classes)
        return cls.of_layers(n_inputs, layers, n_classes, weights, seed=int(seed), drawn=drawn)

    @classmethod
    def temporal(
        cls,
        sizes: Sequence[int],
        neuron: LIF | Sequence[LIF] | None = None,
        trace_decay: float | np.ndarray | Sequence[float | Sequence[float]] = 0.9,
        span: int = 44,
        copies: int = 12,
        recurrent: bool | Sequence[bool] = False,
        seed: int = 0,
    ) -> Network:
        """A blank network for sounds and other recordings whose order in time counts: its first layer sees what was `span` steps ago.

        Each input reaches the first layer `copies` times, with weights of their own, at delays spaced evenly from 0 to span
        steps (0 to 63, Loihi 2's longest). neuron: LIF(0.9) unless given. The rest is dense()'s. Steps of some 20 ms suit words:
        44 steps are the 0.9 s of one. See docs/temporal.md for what it brings. Raises InvalidValueError.
        """
        if not is_whole(copies, 1) or not is_whole(span, copies - 1):
            found, remedy = f"{copies!r} over {span!r} steps", "use for example span=44, copies=12: four steps apart"
            raise invalid("Network", "copies", found, "a positive number, at delays that differ, 0 to span", remedy)
        steps = np.rint(np.linspace(0, span, copies)).astype(int)[:, None]
        hidden = [steps, *[None] * (len(tuple(sizes)) - 3)]
        return cls.dense(sizes, LIF(0.9) if neuron is None else neuron, trace_decay, recurrent, seed, hidden)

    @classmethod
    def sequential(
        cls,
        input_shape: Sequence[int],
        layers: Sequence[LayerSpec],
        n_classes: int,
        neuron: LIF | None = None,
        trace_decay: Parameter = 0.98,
        seed: int = 0,
        input_format: Format | None = None,
    ) -> Network:
        """A blank network of layers, one after the other: Conv2d, LocalConv2d, Dense, poolings, Flatten (see tp_lava.graph.sequential).

        input_shape: (channels, height, width), or (n,); neuron, trace_decay: of the layers that do not give their own. Weights are
        uniform in +-gain / sqrt(fan-in), drawn from seed. Raises InvalidValueError.
        """
        made = sequential(tuple(input_shape), layers, n_classes, neuron or LIF(), trace_decay, seed)
        graph = made.populations, made.connections
        return cls(tuple(input_shape), *graph, n_classes, made.weights, seed=int(seed), drawn=made.drawn, input_format=input_format)

    def unshare(self, *connections: str) -> Network:
        """The same network where each position of these convolutions, of all if none is named, has weights of its own.

        It does the same until it learns; then each synapse learns by what it sees, as Loihi's learning engine demands.
        """
        made, weights = unshared(self.connections, self.weights, connections)
        return replace(self, connections=made, weights=weights)

    def folded(self) -> Network:
        """The same network with plain weights: those that standardised connections deliver. It does the same, and learns plain weights."""
        standardised = {c.name: c.standardisation for c in self.connections if c.standardisation}
        if not standardised:
            return self
        weights = {name: by(self.weights[name]) for name, by in standardised.items()}
        connections = tuple(replace(c, standardisation=None) for c in self.connections)
        return replace(self, connections=connections, weights={**self.weights, **weights})

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

    # Its graph --------------------------------------------------------------------------------
    @property
    def n_inputs(self) -> int:
        """Units of the input."""
        return prod(self.input_shape)

    @property
    def sizes(self) -> tuple[int, ...]:
        """(inputs, hidden..., classes)."""
        return (self.n_inputs, *(population.size for population in self.populations), self.n_classes)

    @property
    def readout(self) -> Connection:
        """The connection to the classes."""
        return next(c for c in self.connections if c.post == names.READOUT)

    def population(self, name: str) -> Population:
        """The population of that name."""
        return next(p for p in self.populations if p.name == name)

    def connection(self, name: str) -> Connection:
        """The connection of that name."""
        return next(c for c in self.connections if c.name == name)

    def into(self, population: Population) -> tuple[Connection, ...]:
        """The connections that reach a population: forward ones first, then recurrent ones."""
        reaching = [c for c in self.connections if c.post == population.name]
        return tuple(sorted(reaching, key=lambda c: c.recurrent))

    def size_of(self, name: str) -> int:
        """Units of the input or the readout, or those of a population that others see."""
        if name == names.INPUT:
            return self.n_inputs
        return self.n_classes if name == names.READOUT else self.population(name).output_size

    def is_graded(self, name: str) -> bool:
        """Whether what the input or a population sends has values."""
        return self.input_format is not None if name == names.INPUT else self.population(name).is_graded

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every array the network may have, in order; biases are optional."""
        shapes: dict[str, tuple[int, ...]] = {}
        for population in self.populations:
            shapes |= {c.name: c.kind.weight_shape for c in self.into(population)}
            shapes[population.bias] = (population.size,)
        return shapes | {self.readout.name: self.readout.kind.weight_shape, names.READOUT_BIAS: (self.n_classes,)}

    def is_bias(self, name: str) -> bool:
        """Whether the weights of that name are biases: one number a neuron, optional."""
        return name == names.READOUT_BIAS or any(name == population.bias for population in self.populations)

    def has_bias(self, population: Population) -> bool:
        """Whether a population has biases."""
        return population.bias in self.weights

    # As a chain of layers ---------------------------------------------------------------------
    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers of a chain: one connection from the layer below into each, at most one recurrent, the readout from the last.

        Raises InvalidValueError for any other graph.
        """
        return tuple(self._layer(number, population) for number, population in enumerate(self.populations))

    def _layer(self, number: int, population: Population) -> Layer:
        below = self.populations[number - 1].name if number else names.INPUT
        forward = [c for c in self.into(population) if not c.recurrent]
        recurrent = [c for c in self.into(population) if c.recurrent]
        plain = [c.pre for c in forward] == [below] and [c.pre for c in recurrent] in ([], [population.name])
        if not plain or (population is self.populations[-1] and self.readout.pre != population.name):
            found = f"reached from {', '.join(c.pre for c in self.into(population))}"
            remedy = "run it in the engine, in one Lava Process or in C, which take any graph"
            raise invalid(f"Network: {population.name}", "connections", found, f"reached from {below} alone, in a chain of layers", remedy)
        connection = forward[0].kind.by_place
        own = population.size, population.neuron, population.trace_decay
        return Layer(*own, bool(recurrent), connection, population.pooling, forward[0].delays)

    @property
    def is_chain(self) -> bool:
        """Whether it is a chain of layers."""
        try:
            return bool(self.layers)
        except InvalidValueError:
            return False

    def __reduce__(self) -> tuple:
        """Pickled and deep-copied as what it is made of; made anew, it is checked again."""
        values = (getattr(self, one.name) for one in fields(self))
        return Network, tuple(dict(value) if isinstance(value, Mapping) else value for value in values)

    def __repr__(self) -> str:
        recurrent = " recurrent" if any(c.recurrent for c in self.connections) else ""
        return f"Network({'-'.join(map(str, self.sizes))}{recurrent})"


def _per_layer(name: str, value: object, count: int) -> list:
    if not isinstance(value, list | tuple):
        return [value] * count
    if len(value) != count:
        raise invalid("Network", name, f"{len(value)} values", f"one per hidden layer, {count}", "give one for all or one for each")
    return list(value)
