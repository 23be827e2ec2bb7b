"""Constraints: each a limit, and a function that says how much of it whatever counts against it uses; all are asked, always."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from math import prod

from tp_lava.backends.loihi2.learning_engine import presynaptic_trace, unsuited
from tp_lava.circuit import Accumulate, Pool, RunProgram, UpdateWeights
from tp_lava.circuit.operations import INPUT_VALUES
from tp_lava.deploy.loihi2.demand import format_of, neuron_programs, on_cores, processor_operations
from tp_lava.deploy.loihi2.limits import Violation
from tp_lava.deploy.loihi2.mapping import Mapping
from tp_lava.deploy.loihi2.placement import Core
from tp_lava.graph.connections import Convolution
from tp_lava.numbers import STOCK_TRACE_BITS, STOCK_WEIGHT_BITS

Used = Iterable[tuple[str, int]]  # (what, how much of the limit it uses)


@dataclass(frozen=True)
class Constraint:
    """rule: its name; limit: that of a Limit; used: what uses how much of it; remedy: where that is more, or what says it of that."""

    rule: str
    limit: str
    used: Callable[[Mapping], Used]
    remedy: str | Callable[[Mapping, str], str]


def violations(mapping: Mapping) -> tuple[Violation, ...]:
    """Every violation of every constraint."""
    found: list[Violation] = []
    for c in CONSTRAINTS:
        limit = mapping.limits.named[c.limit]
        broken = [(what, used) for what, used in c.used(mapping) if used > limit.value]
        for what, used in broken:
            remedy = c.remedy if isinstance(c.remedy, str) else c.remedy(mapping, what)
            found.append(Violation(c.rule, what, used, limit.value, limit.unit, remedy))
    return (*found, *_chips_of_board(mapping))


# Cores and chips ----------------------------------------------------------------------------------


def _of_cores(mapping: Mapping, used: Callable[[Core], int]) -> Used:
    """The core of each layer that uses most; only a neuron that no core holds is over its limit."""
    for layer in mapping.layers:
        worst = max(mapping.cores_of(layer.name), key=used)
        neurons = f"neuron {worst.first}" if worst.neurons == 1 else f"neurons {worst.first}..{worst.last - 1}"
        yield f"core {worst.number} ({layer.name}, {neurons})", used(worst)


def _state_of_neurons(mapping: Mapping) -> Used:
    return ((layer.name, -(-layer.state_bits // 8)) for layer in mapping.layers)


def _chips_of_board(mapping: Mapping) -> Iterator[Violation]:
    """Chips of the board asked for, or of the largest there is."""
    boards, used = mapping.limits.boards, len(mapping.chips)
    board = mapping.board or max(boards, key=lambda board: board.chips)
    if used > board.chips:
        roomy = [b.name for b in boards if b.chips >= used]
        remedy = f"use {roomy[0]}" if roomy else f"make the layers smaller, {_FEWER_ROWS}, or narrower weights"
        yield Violation("chips", board.name, used, board.chips, "chips", remedy)


# Widths -------------------------------------------------------------------------------------------


def _weights(mapping: Mapping) -> Used:
    """Magnitude of the weights that lie on cores."""
    return ((c.name, c.bits - 1) for layer in mapping.layers for c in layer.connections)


def _states(mapping: Mapping) -> Used:
    """What neurons keep from step to step, and what their synapses add up to."""
    circuit = mapping.circuit
    arriving = {o.into for o in circuit.step if isinstance(o, Accumulate)}
    runs = (run for population in circuit.network.populations for run in neuron_programs(circuit, population))
    for name in dict.fromkeys(name for run in runs for _, name in run.bindings):
        buffer = circuit.buffers[name]
        if buffer.role in ("state", "bias") or name in arriving:
            yield name, format_of(buffer).bits


def _processors(mapping: Mapping) -> Used:
    """Numbers that the embedded processors keep."""
    runs = (o for operations in processor_operations(mapping.circuit).values() for o in operations if isinstance(o, RunProgram))
    formats = {name: mapping.circuit.buffers[name].format for run in runs for _, name in run.bindings}
    return ((name, format.bits) for name, format in formats.items() if format)


def _payloads(mapping: Mapping) -> Used:
    """Values that graded spikes carry: of the input, and of what is pooled."""
    circuit = mapping.circuit
    pooled = (o.into for o in circuit.step if isinstance(o, Pool) and o.owner.kind == "population" and o.pooling.mode != "max")
    given = (INPUT_VALUES,) if INPUT_VALUES in circuit.buffers else ()
    return ((name, format_of(circuit.buffers[name]).bits) for name in dict.fromkeys((*given, *pooled)))


# Learning engine ----------------------------------------------------------------------------------


def _updates(mapping: Mapping) -> Iterator[UpdateWeights]:
    """What the learning engine does: all but the readout, whose synapses an embedded processor holds, and what it does not have."""
    return (o for o in mapping.circuit.step if isinstance(o, UpdateWeights) and on_cores(mapping.circuit, o) and not unsuited(o))


def _third_factors(mapping: Mapping) -> Used:
    """Magnitude of the third factors, each on two unsigned rails."""
    return {o.third_factor: _magnitude(mapping, o.third_factor) for o in _updates(mapping)}.items()


def _presynaptic_traces(mapping: Mapping) -> Used:
    return {trace: _trace_bits(mapping, o) for o in _updates(mapping) if (trace := presynaptic_trace(o))}.items()


def _accumulators(mapping: Mapping) -> Used:
    """A presynaptic trace times a third factor."""
    for o in _updates(mapping):
        if trace := presynaptic_trace(o):
            yield f"{trace} * {o.third_factor}", _trace_bits(mapping, o) + _magnitude(mapping, o.third_factor)


def _shifts(mapping: Mapping) -> Used:
    """By how much a change is shifted to the weight's binary point, where no trace is in it."""
    buffers = mapping.circuit.buffers
    for o in _updates(mapping):
        if not presynaptic_trace(o) and buffers[o.weights].role in ("weight", "kernel"):
            shift = format_of(buffers[o.third_factor]).frac - format_of(buffers[o.weights]).frac
            yield f"{o.third_factor} into {o.weights}", shift


def _summed_changes(mapping: Mapping) -> Used:
    """Changes that a synapse sums up before they are applied: they would have to be held in its tag."""
    return ((c.name, c.sum_bits - 1) for layer in mapping.layers for c in layer.connections if c.sum_bits)


def _synapse_states(mapping: Mapping) -> Used:
    """States of a synapse that decay by themselves, as an eligibility does: a tag would have to hold them."""
    return ((c.name, c.state_bits) for layer in mapping.layers for c in layer.connections)


def _shared_weights(mapping: Mapping) -> Used:
    """Synapses of a weight that learns: the engine changes it by what one synapse sees."""
    return ((c.name, c.reach.weight_uses) for layer in mapping.layers for c in layer.connections if c.plastic and c.reach)


def _unshare(mapping: Mapping, name: str) -> str:
    """What lets a convolution learn in the engine, and what that costs."""
    kind, bits = mapping.circuit.network.connection(name).kind, format_of(mapping.circuit.buffers[name]).bits
    assert isinstance(kind, Convolution)
    own, shared = (
        f"{n:,} weights of {-(-n * bits // 8):,} bytes" for n in (prod(replace(kind, shared=False).weight_shape), prod(kind.weight_shape))
    )
    return f'use network.unshare("{name}"), by which each position has weights of its own: {own} in place of {shared}'


def _windows(mapping: Mapping) -> Used:
    """Steps at a sample's end in which is learned: an epoch counter must hold them."""
    return {o.weights: o.last_steps for o in _updates(mapping)}.items()


def _magnitude(mapping: Mapping, name: str) -> int:
    format = format_of(mapping.circuit.buffers[name])
    return format.bits - format.signed


def _trace_bits(mapping: Mapping, o: UpdateWeights) -> int:
    """Of a presynaptic trace; where Lava's own engine holds the weights, it holds the trace too."""
    stock = mapping.fixed.stock and format_of(mapping.circuit.buffers[o.weights]).bits == STOCK_WEIGHT_BITS
    return STOCK_TRACE_BITS if stock else _magnitude(mapping, presynaptic_trace(o))


_FEWER_ROWS = "use fewer rows beside the sample, as TP(contrast=...) sets them"
_NARROWER = f"give its neurons fewer inputs or narrower weights, or {_FEWER_ROWS}"
_CAUSAL = "learn by the spike instead of its trace (TESS: causal=0), or the first layer in Lava's own engine, FixedPoint(stock=True)"
CONSTRAINTS = (
    Constraint("core memory", "core_memory", lambda m: _of_cores(m, lambda core: core.memory), _NARROWER),
    Constraint("compartments", "neurons_per_core", lambda m: _of_cores(m, lambda core: core.compartments), _FEWER_ROWS),
    Constraint("state of a neuron", "state_per_neuron", _state_of_neurons, f"{_FEWER_ROWS}, or fewer classes"),
    Constraint("weight bits", "weight_bits", _weights, "use FixedPoint(weight_bits=8)"),
    Constraint("state bits", "state_bits", _states, "use narrower weights or fewer inputs, or a smaller decay"),
    Constraint("processor bits", "processor_bits", _processors, "use a narrower format"),
    Constraint("payload bits", "payload_bits", _payloads, "use a narrower input_format, smaller windows, or a maximum"),
    Constraint("third factor bits", "trace_bits", _third_factors, "use 7 bits and a sign"),
    Constraint("presynaptic trace bits", "trace_bits", _presynaptic_traces, _CAUSAL),
    Constraint(
        *("learning accumulator bits", "learning_accumulator_bits", _accumulators),
        remedy="use a narrower presynaptic trace, as FixedPoint(stock=True) does",
    ),
    Constraint("learning shift", "learning_shift", _shifts, "use a larger rate or third_factor_range, or a smaller weight exponent"),
    Constraint("summed change bits", "tag_bits", _summed_changes, 'use update="step"'),
    Constraint("synapse state bits", "tag_bits", _synapse_states, "use a term without filter, whose traces are the neurons'"),
    Constraint("synapses of a weight", "synapses_of_weight", _shared_weights, _unshare),
    Constraint("learning window", "epoch_steps", _windows, "use a smaller learn_last, or None"),
)
