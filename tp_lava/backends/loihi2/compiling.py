"""From a fixed-point neuron program to its listing: what can be one, and on how many registers."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tp_lava.backends.loihi2.allocation import allocate
from tp_lava.backends.loihi2.listing import REGISTERS, Listing
from tp_lava.backends.loihi2.lowering import lower
from tp_lava.checks import is_whole
from tp_lava.dynamics.program import REDUCTIONS, Program
from tp_lava.errors import invalid

_NO_SIZES: Mapping[str, int] = {}
_LEAST_REGISTERS = 6  # what the largest group of instructions needs, and one more


def compile_program(
    program: Program,
    *,
    registers: int = REGISTERS,
    sizes: Mapping[str, int] = _NO_SIZES,
    accumulators: Collection[str] = (),
    branch_free: bool = False,
) -> Listing:
    """A fixed-point program as a listing of public Loihi 2 instructions, one run for each neuron and step.

    registers: at least 6, what does not fit is spilled to neuron memory; sizes: length of every axis over which the program sums, which
    each neuron goes through by itself (a third factor its coefficients); accumulators: inputs that arrive in dendrite accumulators,
    cleared as they are read; branch_free: selects in place of skips and jumps, so that every neuron takes the same time.
    Raises InvalidValueError for what is no neuron program, NumberRangeError for a product that no order of instructions fits.
    """
    unrolled = _check(program, registers, sizes, accumulators)
    groups = lower(program, unrolled, accumulators, branch_free=branch_free)
    lines = allocate(program.name, groups, registers, {name for name, _ in program.writes})
    return Listing(program.name, program.axes, tuple(unrolled.items()), program.ports, lines, registers)


def gathers(program: Program) -> bool:
    """Whether a program sums over neurons, so that no neuron can run it by itself."""
    return any(i["axis"] == program.axes[-1] for i in program.instructions if i.op in REDUCTIONS)


def summed_axes(program: Program) -> tuple[str, ...]:
    """Axes over which a program sums, outermost first."""
    summed = {i["axis"] for i in program.instructions if i.op in REDUCTIONS}
    return tuple(axis for axis in program.axes if axis in summed)


def _check(program: Program, registers: int, sizes: Mapping[str, int], accumulators: Collection[str]) -> dict[str, int]:
    """Refuse what cannot be compiled. -> size of each unrolled axis."""
    name = program.name
    if not program.fixed:
        raise invalid(name, "number system", "real", "fixed point", 'make its network a Learner with precision="fixed"')
    if not program.axes:
        raise invalid(name, "axes", "none", "at least one, the neurons", "run it on an embedded processor (backends/c)")
    if gathers(program):
        limit = "over numbers that one neuron holds"
        remedy = "no neuron reads another's memory: run it on an embedded processor (backends/c)"
        raise invalid(name, "reduction", f"over {program.axes[-1]}, the neurons", limit, remedy)
    if not is_whole(registers, _LEAST_REGISTERS):
        raise invalid(name, "registers", repr(registers), f"an integer of at least {_LEAST_REGISTERS}", f"use for example {REGISTERS}")
    axes = summed_axes(program)
    for axis in axes:
        if not is_whole(sizes.get(axis), 1):
            remedy = f'each neuron goes through it by itself: give for example sizes={{"{axis}": 10}}'
            raise invalid(name, f"size of {axis}", repr(sizes.get(axis)), "an integer of at least 1", remedy)
    _check_ports(program, axes, accumulators)
    return {axis: int(sizes[axis]) for axis in axes}


def _check_ports(program: Program, unrolled: tuple[str, ...], accumulators: Collection[str]) -> None:
    neurons = [axis for axis in program.axes if axis not in unrolled]
    for port in accumulators:
        if not program.has(port) or program.port(port).role != "input" or not {*neurons} <= {*program.port(port).axes}:
            inputs = [p.name for p in program.ports if p.role == "input" and {*neurons} <= {*p.axes}]
            remedy = "leave out what does not arrive over synapses"
            raise invalid(program.name, "accumulators", repr(port), f"among {', '.join(inputs) or 'nothing'}", remedy)
    for name, _ in program.writes:
        missing = [axis for axis in neurons if axis not in program.port(name).axes]
        if missing:
            limit, remedy = (
                f"one word for each {' and '.join(neurons)}",
                "neurons that share a word would each change it: run it in backends/c",
            )
            raise invalid(program.name, name, f"written, and shared along {', '.join(missing)}", limit, remedy)
