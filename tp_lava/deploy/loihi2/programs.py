"""How much a program asks of who carries it out: the one place where the mapping looks into programs."""

from __future__ import annotations

from collections.abc import Mapping

from tp_lava.circuit import Circuit, Deliver, Run
from tp_lava.dynamics.program import Program
from tp_lava.backends.loihi2.compiling import compile_program, summed_axes
from tp_lava.backends.loihi2.listing import Counts


def instructions(program: Program, sizes: Mapping[str, int]) -> int:
    """Instructions that carry out a program once: each as often as the largest of its operands has elements.

    sizes: axis -> length; an axis that is not given counts once.
    """
    axes = {value.index: value.axes for value in program.values}
    total = 0
    for i in program.instructions:
        widest = dict.fromkeys(axis for index in (*i.arguments, i.result) for axis in axes[index])
        count = 1
        for axis in widest:
            count *= sizes.get(axis, 1)
        total += count
    return total


def listed(run: Run, circuit: Circuit) -> Counts:
    """What a neuron program costs as a listing of Loihi 2's public instructions, for one compartment and step."""
    arriving = {o.into for o in circuit.step if isinstance(o, Deliver)}
    accumulators = [port for port, buffer in run.bindings if buffer in arriving]
    sizes = sizes_of(run, circuit)
    summed = {axis: sizes[axis] for axis in summed_axes(run.program)}
    return compile_program(run.program, sizes=summed, accumulators=accumulators).counts


def sizes_of(run: Run, circuit: Circuit, streams: int | None = None) -> dict[str, int]:
    """Length of every axis of a program in its circuit. streams: target streams in use, all if not given."""
    sizes = circuit.sizes if streams is None else {**circuit.sizes, "k": streams}
    found: dict[str, int] = {}
    for port, buffer in run.bindings:
        axes = circuit.buffers[buffer].axes
        lengths = [1 if number == 0 and port in run.first else sizes[axis] for number, axis in enumerate(axes)]
        for axis, length in zip(run.program.port(port).axes, lengths, strict=False):
            found[axis] = max(found.get(axis, 1), length)
    return found
