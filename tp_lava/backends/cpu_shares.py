"""Which operations of a circuit several threads share: those that are large, and whose units do not need one another.

What is not shared is carried out by one thread: sums over a population's units (errors of credits, the readout), lists of what spikes,
delays, poolings, convolutions of small kernels, with strides or groups or weights of their own, and synapses with delays.
"""

from __future__ import annotations

from math import prod

from tp_lava.backends import cpu_maps
from tp_lava.backends.cpu_programs import shareable
from tp_lava.circuit import Accumulate, AccumulateProducts, Circuit, Operation, RunProgram, UpdateWeights
from tp_lava.graph.connections import Convolution

LEAST_WORK = 2**14  # elements that an operation changes or adds in a step, below which to share it costs more than it gains
_ROWS, _PRODUCTS = 64, 64  # of so many rows of a matrix one has an event; so of the products of a convolution


def is_shared(circuit: Circuit, o: Operation) -> bool:
    """Whether threads share an operation."""
    return _work_of(circuit, o) >= LEAST_WORK


def shared_axis(circuit: Circuit, o: RunProgram) -> str:
    """The axis by which the work of a program is divided: its longest."""
    sizes = _sizes(circuit, o)
    return max(shareable(o.program), key=lambda axis: sizes[axis])


def _work_of(circuit: Circuit, o: Operation) -> int:
    """Elements that it changes or adds in a step, as a rule; 0 for one that cannot be divided."""
    if isinstance(o, RunProgram):
        return prod(_sizes(circuit, o).values()) if shareable(o.program) else 0
    if isinstance(o, Accumulate) and not o.offsets:
        if o.kind is None:
            return prod(circuit.shape(o.weights)) // _ROWS
        return _of_maps(o.kind) if cpu_maps.delivers_in_parts(o.kind, bool(o.values), circuit.buffers[o.weights].dtype) else 0
    if isinstance(o, AccumulateProducts):
        return _of_maps(o.kind) if cpu_maps.takes(o.kind) else 0
    if isinstance(o, UpdateWeights) and o.kind is None and not o.offsets and shareable(o.program):
        return prod(circuit.shape(o.weights)) // _ROWS
    return 0


def _of_maps(kind: Convolution) -> int:
    _, height, width = kind.output_shape
    return prod(kind.kernel) * kind.pooled_shape[0] * kind.channels * height * width // _PRODUCTS


def _sizes(circuit: Circuit, o: RunProgram) -> dict[str, int]:
    """Axis of a program -> its length."""
    shapes = ((port, o.seen_shape(port.name, circuit.shape(dict(o.bindings)[port.name]))) for port in o.program.ports)
    return {axis: size for port, shape in shapes for axis, size in zip(port.axes, shape, strict=False)}
