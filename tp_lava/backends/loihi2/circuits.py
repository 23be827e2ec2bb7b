"""A circuit on Loihi 2: what becomes a neuron program, what the learning engine does, and what an embedded processor has to.

Neurons: one for each unit of a population and, where a rule has rows of its own beside the sample's, one more (a compartment) for
each row and unit, all with the population's parameters. They run their programs once a step. Third factors read traces and surrogates
of the same unit, so that a unit's programs share its memory; the short error vector is written into memory shared by the population.
That a unit's compartments may share memory is an assumption.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, ClassVar

import numpy as np

from tp_lava.backends.interpreted_programs import interpret
from tp_lava.backends.interpreter import Interpreter
from tp_lava.backends.loihi2.compiling import compile_program, gathers, summed_axes
from tp_lava.backends.loihi2.emulator import emulate
from tp_lava.backends.loihi2.learning_engine import engine_trace, learning_string, presynaptic_trace, unsuited
from tp_lava.backends.loihi2.listing import NAME, REGISTERS, Listing
from tp_lava.backends.protocol import Memory, StepByStep, count_step, operation_entry
from tp_lava.checks import is_whole
from tp_lava.circuit import Circuit, Owner
from tp_lava.circuit import operations as ops
from tp_lava.dynamics.program import Program
from tp_lava.errors import invalid
from tp_lava.graph.network import Population

NEURO_CORE, LEARNING_ENGINE, EMBEDDED = "neuro-core", "learning engine", "embedded processor"


@dataclass(frozen=True)
class Placement:
    """Where an operation of the circuit goes.

    what: name of a program, or of weights; layer: axis of its units; place: NEURO_CORE, LEARNING_ENGINE or EMBEDDED; runs: times it runs
    in a step (neurons and rows, or weights); listing: of a neuron program; note: how, or why.
    """

    what: str
    layer: str
    place: str
    runs: int
    note: str
    listing: Listing | None = None


@dataclass(frozen=True)
class CircuitListings(StepByStep):
    """Every operation's placement, in the order of a step. As a Compiled: once() has the emulator carry the neuron programs out."""

    placements: tuple[Placement, ...]
    circuit: Circuit = field(repr=False)
    operations: tuple[ops.Operation, ...] = field(repr=False)

    @property
    def listings(self) -> Mapping[str, Listing]:
        """Program name -> listing, of all neuron programs."""
        return {p.what: p.listing for p in self.placements if p.listing is not None}

    def layer(self, name: str) -> tuple[Placement, ...]:
        """What belongs to a layer: a population, "class" (label and readout) or "input"."""
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

    def once(self, memory: Memory) -> None:
        """See Compiled."""
        listings = self.listings

        def run(program: Program, arrays: MutableMapping[str, np.ndarray], key: int) -> None:
            if program.name in listings:
                emulate(listings[program.name], arrays, key)
            else:
                interpret(program, arrays, key)

        Interpreter(run).compile(self.circuit, self.operations).once(memory)


@dataclass(frozen=True)
class Loihi2:
    """The back end that makes listings of a fixed-point circuit's neuron programs, and says where everything else goes.

    registers, branch_free: as compile_program takes them; rows: row axis -> rows in use, where a rule takes fewer than the circuit has.
    """

    registers: int = REGISTERS
    branch_free: bool = False
    rows: Mapping[str, int] = field(default_factory=dict)
    name: ClassVar[str] = NAME

    def compile(self, circuit: Circuit, operations: Sequence[ops.Operation] | None = None) -> CircuitListings:
        """See BackEnd. Raises InvalidValueError for a real circuit, or rows that it does not have."""
        if not circuit.fixed:
            raise invalid(NAME, "circuit", "real", "in fixed point", 'make the Learner with precision="fixed"')
        for axis, rows in self.rows.items():
            most = circuit.sizes[axis] if axis in circuit.row_counts else 0
            if not is_whole(rows, min(1, most), most + 1):
                raise invalid(NAME, f"rows[{axis!r}]", repr(rows), f"an integer in {min(1, most)}..{most}", "leave it out for all of them")
        chosen = circuit.step if operations is None else tuple(operations)
        used = replace(circuit, sizes={**circuit.sizes, **self.rows})
        placements = (operation_entry(NAME, OPERATION_TABLE, operation)(self, used, operation) for operation in chosen)
        return CircuitListings(tuple(placement for placement in placements if placement), circuit, chosen)

    def listing(self, circuit: Circuit, operation: ops.RunProgram) -> Listing:
        """The listing of one neuron program. Raises as compile_program does."""
        program, sizes = operation.program, axis_lengths(circuit, operation)
        arriving = {o.into for o in circuit.step if isinstance(o, ops.Accumulate)}
        accumulators = [port for port, name in operation.bindings if name in arriving and program.port(port).role == "input"]
        summed = {axis: sizes[axis] for axis in summed_axes(program)}
        return compile_program(program, registers=self.registers, sizes=summed, accumulators=accumulators, branch_free=self.branch_free)


def circuit_listings(
    circuit: Circuit, *, registers: int = REGISTERS, branch_free: bool = False, rows: Mapping[str, int] | None = None
) -> CircuitListings:
    """Loihi2(registers, branch_free, rows).compile(circuit)."""
    return Loihi2(registers, branch_free, rows or {}).compile(circuit)


def emulate_step(circuit: Circuit, memory: Memory, listings: CircuitListings) -> None:
    """One time step as interpret_step does it, with the neuron programs carried out by the emulator. listings: of the same circuit."""
    listings.once(memory)
    if circuit.learns:
        count_step(memory)


def axis_lengths(circuit: Circuit, operation: ops.RunProgram) -> dict[str, int]:
    """Length of every axis of a program in its circuit."""
    lengths: dict[str, int] = {}
    for port, buffer in operation.bindings:
        shape = operation.seen_shape(port, circuit.shape(buffer))
        lengths |= dict(zip(operation.program.port(port).axes, shape, strict=False))
    return lengths


def axis_of(circuit: Circuit, buffer: str) -> str:
    """The axis of a buffer's units."""
    return circuit.buffers[buffer].axes[-1]


def unit_axes(circuit: Circuit, population: Population) -> tuple[str, ...]:
    """The axes of a population's neurons and of the units of each of its poolings: a layer each on the chip."""
    pools = (o for o in circuit.of(Owner("population", population.name)) if isinstance(o, ops.Pool))
    return tuple(dict.fromkeys([population.name, *(axis_of(circuit, o.into) for o in pools)]))


def is_handed_out(circuit: Circuit, o: ops.Operation) -> bool:
    """Whether a population leaves it to a processor: signals over a grid, for which it has no units, and the way back of a maximum,
    which goes to the first neuron of a window that spikes.
    """
    if o.owner.kind != "population" or not isinstance(o, ops.RunProgram | ops.Unpool):
        return False
    if isinstance(o, ops.Unpool) and o.pooling.mode == "max":
        return True
    axes = unit_axes(circuit, circuit.network.population(o.owner.name))
    return not any(axis_of(circuit, name) in axes for name in o.writes)


# Operations ---------------------------------------------------------------------------------------


def _accumulate(back_end: Loihi2, circuit: Circuit, o: ops.Accumulate) -> Placement:
    note = f"events of {o.events} over {o.weights} into dendrite accumulators {o.into}"
    return Placement(o.weights, circuit.buffers[o.into].axes[-1], NEURO_CORE, prod(circuit.shape(o.into)), note)


def _run_program(back_end: Loihi2, circuit: Circuit, o: ops.RunProgram) -> Placement:
    written = [circuit.buffers[name] for name in o.writes]
    layer, elements = written[0].axes[-1], prod(circuit.shape(written[0].name))
    changed = next((b for b in written if b.role in ("weight", "kernel")), None)
    layer = _reached(circuit, changed.name) if changed else layer
    if changed and not _shares(circuit, changed.name):
        note = f"{changed.name} takes up the sum of its changes at a sample's end: dw = u_k*d, where the sum fits the tag d"
        return Placement(o.program.name, layer, LEARNING_ENGINE, prod(circuit.shape(changed.name)), note)
    if is_handed_out(circuit, o):
        return Placement(o.program.name, layer, EMBEDDED, 1, "of places of a grid, none of which is a neuron (backends/c)")
    if changed or gathers(o.program):
        what = "synapses share what it changes" if changed else "sums over neurons; its results are written back to the layer"
        return Placement(o.program.name, layer, EMBEDDED, 1, f"{what} (backends/c)")
    traces = {presynaptic_trace(u) for u in circuit.step if isinstance(u, ops.UpdateWeights)} & {b.name for b in written}
    note = "one run for each neuron"
    if traces:
        note = f"its trace is {engine_trace(circuit, min(traces))} of the stock learning engine, in 7 bits there"
    return Placement(o.program.name, layer, NEURO_CORE, elements, note, back_end.listing(circuit, o))


def _update_weights(back_end: Loihi2, circuit: Circuit, o: ops.UpdateWeights) -> Placement:
    layer = circuit.buffers[o.third_factor].axes[-1]
    elements = o.kind.synapse_count if o.kind else prod(circuit.shape(o.weights))
    if found := unsuited(o):
        what, remedy = found
        return Placement(o.program.name, layer, EMBEDDED, elements, f"the learning engine does not have {what}; {remedy}")
    note = f"{learning_string(circuit, o)}, third factor {o.third_factor} on two rails"
    return Placement(o.program.name, layer, LEARNING_ENGINE, elements, note)


def _accumulate_products(back_end: Loihi2, circuit: Circuit, o: ops.AccumulateProducts) -> Placement:
    what, remedy = unsuited(o) or ("", "")
    note = f"the learning engine does not have {what}; {remedy}"
    return Placement(o.change, circuit.buffers[o.third_factor].axes[-1], EMBEDDED, prod(circuit.shape(o.change)), note)


def _pool(back_end: Loihi2, circuit: Circuit, o: ops.Pool | ops.Unpool) -> Placement:
    """Windows are wired by synapses of weight 1; only what hands a maximum's signal back must know which neuron spikes first."""
    embedded = o.owner.kind == "credit" or is_handed_out(circuit, o)
    if embedded:
        how = "by its program" if isinstance(o, ops.Pool) else "handed to the first neuron of a window that spikes"
    elif isinstance(o, ops.Pool) and o.pooling.mode == "max":
        how = "an OR: integrate-and-fire units with a threshold of 1"
    else:
        how = "over synapses of weight 1, from or to units that send graded spikes"
    note = f"{o.pooling.mode} over windows of {o.source}{'' if isinstance(o, ops.Pool) else ', and back'}, {how}"
    return Placement(o.into, axis_of(circuit, o.into), EMBEDDED if embedded else NEURO_CORE, prod(circuit.shape(o.into)), note)


def _reached(circuit: Circuit, weights: str) -> str:
    """The axis of the units that weights reach."""
    post = next((c.post for c in circuit.network.connections if c.name == weights), "")
    return post if post in circuit.sizes else circuit.buffers[weights].axes[-1]


def _shares(circuit: Circuit, weights: str) -> bool:
    return any(c.name == weights and c.kind.shares_weights for c in circuit.network.connections)


def _no_program(back_end: Loihi2, circuit: Circuit, o: ops.Operation) -> None:
    """Events and the count of steps: what the chip does by itself."""


OPERATION_TABLE: dict[type[ops.Operation], Callable[[Loihi2, Circuit, Any], Placement | None]] = {
    ops.Accumulate: _accumulate,
    ops.AccumulateProducts: _accumulate_products,
    ops.CountSteps: _no_program,
    ops.Delay: _no_program,
    ops.ListEvents: _no_program,
    ops.MarkEvents: _no_program,
    ops.Pool: _pool,
    ops.RunProgram: _run_program,
    ops.Unpool: _pool,
    ops.UpdateWeights: _update_weights,
}
