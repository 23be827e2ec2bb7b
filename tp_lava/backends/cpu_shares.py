"""Which operations of a circuit several threads share: those that are large, and whose units do not need one another.

What is not shared is carried out by one thread: sums over a population's units (errors of credits, the readout), lists of what spikes,
delays, poolings, convolutions of small kernels, with strides or groups or weights of their own, and synapses with delays.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from tp_lava.backends import cpu_maps
from tp_lava.backends.cpu_programs import shareable
from tp_lava.backends.cpu_text import LANES
from tp_lava.circuit import Accumulate, AccumulateProducts, Circuit, Operation, RunProgram, UpdateWeights
from tp_lava.circuit.operations import events_of
from tp_lava.graph.connections import Convolution

LEAST_BYTES = 2**17  # that an operation reads here and there in a step, below which to share it costs more than it gains
_SIDE_BY_SIDE = 4  # times as many are read in the same time in the order in which they lie
_ROWS = 16  # of a matrix one is read in a step, or of the products of a convolution one is made, in networks that are worth threads


@dataclass(frozen=True)
class Share:
    """How an operation is shared. axis: of a program, whose elements are divided; count, least: only while this buffer, which counts
    events, has so many in all rows; always, if "".
    """

    axis: str = ""
    count: str = ""
    least: int = 0


def share_of(circuit: Circuit, o: Operation) -> Share | None:
    """How threads share an operation; None for one that they do not."""
    if isinstance(o, RunProgram):
        return _of_program(circuit, o)
    if isinstance(o, Accumulate) and _delivers(circuit, o):
        return _of_events(circuit, o.weights, o)
    if isinstance(o, AccumulateProducts) and _has_parts(o.kind):
        return _of_events(circuit, o.change, o)
    if isinstance(o, UpdateWeights) and o.kind is None and not o.offsets and shareable(o.program):
        return _of_events(circuit, o.weights, o)
    return None


def _delivers(circuit: Circuit, o: Accumulate) -> bool:
    """Whether the neurons of a delivery can be divided."""
    if o.kind is None:
        return not o.offsets
    return _has_parts(o.kind) and cpu_maps.delivers_in_parts(o.kind, bool(o.values), circuit.buffers[o.weights].dtype)


def _has_parts(kind: Convolution) -> bool:
    """Whether the source for a convolution has parts."""
    return cpu_maps.takes(kind) and kind.stride == (1, 1)


def _of_program(circuit: Circuit, o: RunProgram) -> Share | None:
    shapes = {port.name: o.seen_shape(port.name, circuit.shape(dict(o.bindings)[port.name])) for port in o.program.ports}
    sizes = {axis: size for port in o.program.ports for axis, size in zip(port.axes, shapes[port.name], strict=False)}
    axis = max((axis for axis in shareable(o.program) if sizes[axis] > LANES), key=lambda axis: sizes[axis], default="")
    moved = sum(prod(shapes[name]) * _bytes_of(circuit, buffer) for name, buffer in o.bindings)
    return Share(axis) if axis and moved >= _SIDE_BY_SIDE * LEAST_BYTES else None


def _of_events(circuit: Circuit, weights: str, o: Accumulate | AccumulateProducts | UpdateWeights) -> Share | None:
    """Of an operation that goes through the weights of what spikes, or has a trace."""
    held, shape = _bytes_of(circuit, weights), circuit.shape(weights)
    if o.kind is None:
        all_, of_event = prod(shape) * held, shape[-1] * held
    else:
        of_event = prod(o.kind.kernel) * o.kind.channels * held
        all_ = of_event * prod(o.kind.pooled_shape)
    if all_ < _ROWS * LEAST_BYTES:
        return None
    return Share("", events_of(o.events)[1], -(-LEAST_BYTES // of_event)) if o.events else Share()


def _bytes_of(circuit: Circuit, name: str) -> int:
    """Of one of a buffer's numbers."""
    return np.dtype(circuit.buffers[name].dtype).itemsize
