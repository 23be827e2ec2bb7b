"""What a network is made of: populations of neurons, connections between them, and layers, which are both."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import prod

from tp_lava.dynamics.neuron import LIF
from tp_lava.dynamics.parameters import Parameter, as_parameter, check_count, check_decay, highest
from tp_lava.errors import invalid
from tp_lava.graph.connections import ConnectionKind, Convolution
from tp_lava.graph.delays import AnyDelays
from tp_lava.graph.pooling import Pool2d, pooled
from tp_lava.graph.sizes import check_size
from tp_lava.graph.standardisation import Standardisation


@dataclass(frozen=True)
class Population:
    """Neurons of one kind. shape: (n,) or (channels, height, width); trace_decay: spike-trace factor per step, [0, 1).

    trace_decay: one number, or one a unit that others see; its neuron's parameters: one number, or one a neuron; of maps also one a
    channel. bias: name of its biases among the weights, by default <name>_bias; pooling: of its spikes, in order: others get what is
    pooled, and its spike traces are traces of that.
    """

    name: str
    shape: tuple[int, ...]
    neuron: LIF
    trace_decay: Parameter = 0.98
    bias: str = ""
    pooling: tuple[Pool2d, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "bias", self.bias or f"{self.name}_bias")
        if not self.shape or min(self.shape) < 1:
            raise invalid(f"Population {self.name!r}", "shape", self.shape, "positive integers", "give the number of units")
        object.__setattr__(self, "trace_decay", as_parameter(self.trace_decay))
        check_decay(f"Population {self.name!r}", "trace_decay", self.trace_decay)
        object.__setattr__(self, "pooling", tuple(self.pooling))
        if self.pooling and len(self.shape) != 3:
            remedy = "give the population a shape of (channels, height, width)"
            raise invalid(f"Population {self.name!r}", "pooling", f"of a shape {self.shape}", "of (channels, height, width)", remedy)
        for option in fields(self.neuron):
            check_count(f"Population {self.name!r}", f"neuron.{option.name}", getattr(self.neuron, option.name), self.shape)
        check_count(f"Population {self.name!r}", "trace_decay", self.trace_decay, self.output_shape)  # and refuses windows that do not fit

    @property
    def size(self) -> int:
        """Neurons."""
        return prod(self.shape)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Of what others get: of its spikes, pooled where it pools."""
        return pooled(self.pooling, self.shape) if len(self.shape) == 3 else self.shape

    @property
    def output_size(self) -> int:
        """Units that others see."""
        return prod(self.output_shape)

    @property
    def largest_trace(self) -> float:
        """Of a unit that spikes at every step."""
        return 1.0 / (1.0 - highest(self.trace_decay))

    @property
    def positions(self) -> int:
        """Places of its output that share channels: height times width, or 1."""
        return prod(self.output_shape[1:])

    @property
    def is_graded(self) -> bool:
        """Whether what others get has values: sums and averages of spikes."""
        return any(pool.mode != "max" for pool in self.pooling)


@dataclass(frozen=True)
class Connection:
    """How spikes of `pre` reach `post`. name: of its weights; kind: AllToAll or Convolution; recurrent: one step later.

    standardisation: of its weights before they are delivered, None: they are delivered as they are; delays: of the units of `pre`,
    whose copies are then what `kind` is from, and for recurrent connections come on top of the one step; None: no delays.
    """

    name: str
    pre: str
    post: str
    kind: ConnectionKind
    recurrent: bool = False
    standardisation: Standardisation | None = None
    delays: AnyDelays | None = None


@dataclass(frozen=True)
class Layer:
    """One hidden layer of a chain. size: neurons; trace_decay: spike-trace factor per step, [0, 1); recurrent: fed back one step later.

    connection: from the layer below, None where it is all-to-all; pooling: of its spikes; delays: of what comes from the layer below.
    """

    size: int
    neuron: LIF
    trace_decay: Parameter = 0.98
    recurrent: bool = False
    connection: Convolution | None = None
    pooling: tuple[Pool2d, ...] = ()
    delays: AnyDelays | None = None

    def __post_init__(self) -> None:
        check_size("Layer", self.size)
        object.__setattr__(self, "trace_decay", as_parameter(self.trace_decay))
        check_decay("Layer", "trace_decay", self.trace_decay)
        object.__setattr__(self, "pooling", tuple(self.pooling))
        if self.connection and self.connection.size != self.size:
            limit = f"that of its connection, {self.connection.size}"
            raise invalid("Layer", "size", self.size, limit, f"a {self.connection.output_shape} population has so many")
