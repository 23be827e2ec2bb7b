"""A circuit on Loihi 2: what becomes a neuron program, what the learning engine does, and what an embedded processor has to.

Neurons: one for each unit of a hidden layer and, under TP, one more (a compartment) for each target stream and unit, all with the
layer's parameters. They run their programs once a step. Third factors read target traces and surrogates of the same unit, so that
a unit's programs share its memory; the short error vector is written into memory shared by the layer. That a unit's
compartments may share memory is an assumption.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, replace

import numpy as np

from tp_lava.checks import is_whole
from tp_lava.circuit import Circuit, Deliver, Learn, Operation, Run
from tp_lava.dynamics.plasticity import SPIKE_TIMES_THIRD, TRACE_TIMES_THIRD
from tp_lava.dynamics.program import Program
from tp_lava.errors import invalid
from tp_lava.backends.interpreter import interpret, interpret_step
from tp_lava.backends.loihi2.compiling import compile_program, gathers, summed_axes
from tp_lava.backends.loihi2.emulator import emulate
from tp_lava.backends.loihi2.listing import REGISTERS, Listing

NEURO_CORE, LEARNING_ENGINE, EMBEDDED = "neuro-core", "learning engine", "embedded processor"


@dataclass(frozen=True)
class Placement:
    """Where an operation of the circuit goes.

    what: name of a program, or of weights; layer: axis of its units; place: NEURO_CORE, LEARNING_ENGINE or EMBEDDED; runs: times it runs
    in a step (neurons and streams, or weights); listing: of a neuron program; note: how, or why.
    """

    what: str
    layer: str
    place: str
    runs: int
    note: str
    listing: Listing | None = None


@dataclass(frozen=True)
class CircuitListings:
    """Every operation's placement, in the order of a step."""

    placements: tuple[Placement, ...]

    @property
    def listings(self) -> Mapping[str, Listing]:
        """Program name -> listing, of all neuron programs."""
        return {p.what: p.listing for p in self.placements if p.listing is not None}

    def layer(self, name: str) -> tuple[Placement, ...]:
        """What belongs to a layer: "hidden0", ..., "class" (label and readout) or "input"."""
        return tuple(p for p in self.placements if p.layer == name)

    def table(self) -> str:
        """Counts of every neuron program and the place of everything else, as a Markdown table."""
        head = ("what", "runs a step", "place", "instructions", "a run", "neuron words", "shared words", "constants", "registers", "spills")
        rows = [head, ("---",) * len(head)]
        for p in self.placements:
            numbers: tuple[str, ...] = ("",) * 7
            if p.listing:
                c = p.listing.counts
                executed = f"{c.best}" if c.best == c.worst else f"{c.best}-{c.worst}"
                shared = sum(c.shared_words.values())
                numbers = (str(c.instructions), executed, *map(str, (c.neuron_words, shared, c.constants, c.registers, c.spills)))
            rows.append((p.what, str(p.runs), p.place, *numbers))
        return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def circuit_listings(
    circuit: Circuit, *, streams: int | None = None, registers: int = REGISTERS, branch_free: bool = False
) -> CircuitListings:
    """Listings of a fixed-point circuit's neuron programs, and the place of everything else.

    streams: target streams in use, where a rule takes fewer than the circuit has; registers, branch_free: as compile_program takes
    them. Raises InvalidValueError for a real circuit or streams that it does not have.
    """
    if not circuit.fixed:
        raise invalid("circuit_listings", "circuit", "real", "in fixed point", 'make the Learner with precision="fixed"')
    rows = circuit.sizes.get("k", 0)
    if streams is not None and not is_whole(streams, min(1, rows), rows + 1):
        limit = f"an integer in {min(1, rows)}..{rows}"
        raise invalid("circuit_listings", "streams", repr(streams), limit, "leave it out for all of them")
    if streams is not None and rows:
        circuit = replace(circuit, sizes={**circuit.sizes, "k": int(streams)})
    placements = []
    for operation in circuit.step:
        match operation:
            case Deliver(weights, events, into):
                note = f"events of {events} over {weights} into dendrite accumulators {into}"
                placements.append(Placement(weights, circuit.buffers[into].axes[-1], NEURO_CORE, _elements(circuit, into), note))
            case Learn():
                placements.append(_learning(circuit, operation))
            case Run():
                placements.append(_run(circuit, operation, registers, branch_free))
    return CircuitListings(tuple(placements))


def emulate_step(circuit: Circuit, memory: MutableMapping[str, np.ndarray], listings: CircuitListings) -> None:
    """One time step as interpret_step does it, with the neuron programs carried out by the emulator. listings: of the same circuit."""
    compiled = listings.listings

    def run(program: Program, arrays: MutableMapping[str, np.ndarray], key: int) -> None:
        if program.name in compiled:
            emulate(compiled[program.name], arrays, key)
        else:
            interpret(program, arrays, key)

    interpret_step(circuit, memory, run)


def learning_string(circuit: Circuit, operation: Learn) -> str:
    """What learns in a fixed-point circuit, as Lava writes learning rules: "dw = ...", or "dd = ..." where changes are summed up."""
    rule = TRACE_TIMES_THIRD if operation.trace else SPIKE_TIMES_THIRD
    weight, third = circuit.buffers[operation.weights].format, circuit.buffers[operation.third].format
    trace = circuit.buffers[operation.trace].format if operation.trace else None
    assert weight is not None
    assert third is not None
    shift = third.frac + (trace.frac if trace else 0) - weight.frac
    change = "dd" if circuit.buffers[operation.weights].role != "weight" else "dw"
    return f"{change} = {rule.loihi_string({'y1': shift})}"


# Inside -------------------------------------------------------------------------------------------


def _elements(circuit: Circuit, buffer: str) -> int:
    return int(np.prod([circuit.sizes[axis] for axis in circuit.buffers[buffer].axes]))


def _run(circuit: Circuit, operation: Run, registers: int, branch_free: bool) -> Placement:
    program, bindings = operation.program, dict(operation.bindings)
    written = [bindings[name] for name, _ in program.writes]
    axes = circuit.buffers[written[0]].axes
    weights = [name for name in written if circuit.buffers[name].role in ("weight", "kernel")]
    if weights:
        note = f"{weights[0]} takes up the sum of its changes at a sample's end: dw = u_k*d, where the sum fits the tag d"
        return Placement(program.name, axes[-1], LEARNING_ENGINE, _elements(circuit, weights[0]), note)
    if gathers(program):
        return Placement(program.name, axes[-1], EMBEDDED, 1, "sums over neurons; its results are written back to the layer (targets/c)")
    sizes = {axis: _size(circuit, operation, axis) for axis in summed_axes(program)}
    accumulators = _delivered(circuit.step)
    arriving = [port.name for port in program.ports if port.role == "input" and bindings[port.name] in accumulators]
    listing = compile_program(program, registers=registers, sizes=sizes, accumulators=arriving, branch_free=branch_free)
    traced = {o.trace for o in circuit.step if isinstance(o, Learn)} & {*written}
    note = "its trace is x1 of the stock learning engine, in 7 bits there" if traced else "one run for each neuron"
    return Placement(program.name, axes[-1], NEURO_CORE, _elements(circuit, written[0]), note, listing)


def _delivered(step: tuple[Operation, ...]) -> list[str]:
    return [operation.into for operation in step if isinstance(operation, Deliver)]


def _size(circuit: Circuit, operation: Run, axis: str) -> int:
    """Length of a program's axis: that of the buffer behind a port that has it."""
    port = next(p for p in operation.program.ports if axis in p.axes)
    buffer = circuit.buffers[dict(operation.bindings)[port.name]]
    return 1 if port.name in operation.first else circuit.sizes[buffer.axes[port.axes.index(axis)]]


def _learning(circuit: Circuit, operation: Learn) -> Placement:
    note = f"{learning_string(circuit, operation)}, third factor {operation.third} on two rails"
    axes = circuit.buffers[operation.weights].axes
    return Placement(operation.program.name, axes[-1], LEARNING_ENGINE, _elements(circuit, operation.weights), note)
