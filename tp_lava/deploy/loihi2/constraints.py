"""Constraints: each a small function of a mapping that lists what breaks it, as used, maximum and remedy; all are asked, always."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tp_lava.circuit import Learn, Run
from tp_lava.deploy.loihi2.demand import format_of, neuron_runs, processor_operations
from tp_lava.numbers import STOCK_TRACE_BITS, STOCK_WEIGHT_BITS

if TYPE_CHECKING:
    from tp_lava.deploy.loihi2.limits import Limit, Limits
    from tp_lava.deploy.loihi2.mapping import Mapping
    from tp_lava.deploy.loihi2.placement import Core


@dataclass(frozen=True)
class Violation:
    """A limit that is broken. rule: its name; object: what breaks it."""

    rule: str
    object: str
    used: int
    maximum: int
    unit: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.object}: {self.rule} is {self.used:,} {self.unit}, but must be at most {self.maximum:,}; {self.remedy}."

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)


Rule = Callable[["Mapping", "Limits"], list[Violation]]


def broken(mapping: Mapping, limits: Limits) -> tuple[Violation, ...]:
    """Every violation of every constraint."""
    return tuple(violation for rule in CONSTRAINTS for violation in rule(mapping, limits))


# Cores and chips ----------------------------------------------------------------------------------


def core_memory(mapping: Mapping, limits: Limits) -> list[Violation]:
    """Synapses, state, programs and axons of each core; only a neuron that no core holds breaks it. Said once a layer."""
    remedy = "give its neurons fewer inputs or target streams, or narrower weights"
    return _of_cores("core memory", mapping, lambda core: core.memory, limits.core_memory, remedy)


def compartments_per_core(mapping: Mapping, limits: Limits) -> list[Violation]:
    """Compartments of each core; only a neuron with more target streams than that breaks it. Said once a layer."""
    remedy = "use fewer target streams, TP(contrast=...)"
    return _of_cores("compartments", mapping, lambda core: core.compartments, limits.neurons_per_core, remedy)


def state_per_neuron(mapping: Mapping, limits: Limits) -> list[Violation]:
    """State of a neuron with all its compartments."""
    remedy = "use fewer target streams, TP(contrast=...), or fewer classes"
    layers = ((layer.name, -(-layer.state_bits // 8)) for layer in mapping.layers)
    return [v for name, used in layers for v in _over("state of a neuron", name, used, limits.state_per_neuron, remedy)]


def chips_of_board(mapping: Mapping, limits: Limits) -> list[Violation]:
    """Chips of the board asked for, or of the largest there is."""
    board = mapping.board or max(limits.boards, key=lambda board: board.chips)
    used = len(mapping.chips)
    if used <= board.chips:
        return []
    roomy = [b.name for b in limits.boards if b.chips >= used]
    remedy = f"use {roomy[0]}" if roomy else "make the layers smaller, use fewer target streams, or narrower weights"
    return [Violation("chips", board.name, used, board.chips, "chips", remedy)]


# Widths -------------------------------------------------------------------------------------------


def weight_bits(mapping: Mapping, limits: Limits) -> list[Violation]:
    """Magnitude of the weights that lie on cores."""
    held = ((c.name, c.bits - 1) for layer in mapping.layers for c in layer.connections)
    return [v for name, bits in held for v in _over("weight bits", name, bits, limits.weight_bits, "use FixedPoint(weight_bits=8)")]


def state_bits(mapping: Mapping, limits: Limits) -> list[Violation]:
    """What neurons keep from step to step, and what their synapses add up to."""
    names = dict.fromkeys(b for n in range(len(mapping.layers)) for run in neuron_runs(mapping.circuit, n) for _, b in run.bindings)
    remedy = "use narrower weights or fewer inputs, or a smaller decay"
    found: list[Violation] = []
    for buffer in (mapping.circuit.buffers[name] for name in names):
        if buffer.format and (buffer.role in ("state", "bias") or buffer.name.endswith(("_input", "_feedback"))):
            found += _over("state bits", buffer.name, buffer.format.bits, limits.state_bits, remedy)
    return found


def processor_bits(mapping: Mapping, limits: Limits) -> list[Violation]:
    """Numbers that the embedded processors keep."""
    runs = (o for operations in processor_operations(mapping.circuit).values() for o in operations if isinstance(o, Run))
    names = dict.fromkeys(buffer for run in runs for _, buffer in run.bindings)
    formats = {name: mapping.circuit.buffers[name].format for name in names}
    held = ((name, format.bits) for name, format in formats.items() if format)
    return [v for name, bits in held for v in _over("processor bits", name, bits, limits.processor_bits, "use a narrower format")]


# Learning engine ----------------------------------------------------------------------------------


def third_factor_bits(mapping: Mapping, limits: Limits) -> list[Violation]:
    """Magnitude of the third factors, each on two unsigned rails."""
    held = {learn.third: _magnitude(mapping, learn.third) for learn in _learning(mapping)}
    return [v for name, bits in held.items() for v in _over("third factor bits", name, bits, limits.trace_bits, "use 7 bits and a sign")]


def presynaptic_trace_bits(mapping: Mapping, limits: Limits) -> list[Violation]:
    """Presynaptic traces that meet a third factor."""
    held = {learn.trace: _trace_bits(mapping, learn) for learn in _learning(mapping) if learn.trace}
    remedy = "learn without the causal term, TESS(causal=0), or the first layer in Lava's own engine, FixedPoint(stock=True)"
    return [v for name, bits in held.items() for v in _over("presynaptic trace bits", name, bits, limits.trace_bits, remedy)]


def learning_accumulator(mapping: Mapping, limits: Limits) -> list[Violation]:
    """A presynaptic trace times a third factor."""
    held = {f"{o.trace} * {o.third}": _trace_bits(mapping, o) + _magnitude(mapping, o.third) for o in _learning(mapping) if o.trace}
    remedy = "use a narrower presynaptic trace, as FixedPoint(stock=True) does"
    limit = limits.learning_accumulator_bits
    return [v for name, bits in held.items() for v in _over("learning accumulator bits", name, bits, limit, remedy)]


def learning_shift(mapping: Mapping, limits: Limits) -> list[Violation]:
    """By how much a change is shifted to the weight's binary point, where no trace is in it."""
    remedy = "use a larger rate or third_factor_range, or a smaller weight exponent"
    found: list[Violation] = []
    for o in _learning(mapping):
        if not o.trace and not o.weights.endswith("_change"):
            buffers = mapping.circuit.buffers
            shift = format_of(buffers[o.third]).frac - format_of(buffers[o.weights]).frac
            found += _over("learning shift", f"{o.third} into {o.weights}", shift, limits.learning_shift, remedy)
    return found


def summed_changes(mapping: Mapping, limits: Limits) -> list[Violation]:
    """Changes that a synapse sums up before they are applied: they would have to be held in its tag."""
    remedy = 'use update="step"'
    held = ((c.name, c.sum_bits - 1) for layer in mapping.layers for c in layer.connections if c.sum_bits)
    return [v for name, bits in held for v in _over("summed change bits", name, bits, limits.tag_bits, remedy)]


def learning_window(mapping: Mapping, limits: Limits) -> list[Violation]:
    """Steps at a sample's end in which is learned: an epoch counter must hold them."""
    remedy = "use a smaller learn_last, or None"
    held = {o.weights: o.within for o in _learning(mapping) if o.within}
    return [v for name, steps in held.items() for v in _over("learning window", name, steps, limits.epoch_steps, remedy)]


CONSTRAINTS: tuple[Rule, ...] = (
    *(core_memory, compartments_per_core, state_per_neuron, chips_of_board),
    *(weight_bits, state_bits, processor_bits),
    *(third_factor_bits, presynaptic_trace_bits, learning_accumulator, learning_shift, summed_changes, learning_window),
)


# Inside -------------------------------------------------------------------------------------------


def _over(rule: str, name: str, used: int, limit: Limit, remedy: str) -> list[Violation]:
    return [Violation(rule, name, used, limit.value, limit.unit, remedy)] if used > limit.value else []


def _of_cores(rule: str, mapping: Mapping, used: Callable[[Core], int], limit: Limit, remedy: str) -> list[Violation]:
    """The core of each layer that is most over a limit."""
    found: list[Violation] = []
    for layer in mapping.layers:
        worst = max(mapping.cores_of(layer.name), key=used)
        neurons = f"neuron {worst.first}" if worst.neurons == 1 else f"neurons {worst.first}..{worst.last - 1}"
        found += _over(rule, f"core {worst.number} ({layer.name}, {neurons})", used(worst), limit, remedy)
    return found


def _learning(mapping: Mapping) -> Iterator[Learn]:
    """What the learning engine does: all but the readout, whose synapses an embedded processor holds."""
    on_processors = {id(o) for operations in processor_operations(mapping.circuit).values() for o in operations}
    return (o for o in mapping.circuit.step if isinstance(o, Learn) and id(o) not in on_processors)


def _magnitude(mapping: Mapping, name: str) -> int:
    format = format_of(mapping.circuit.buffers[name])
    return format.bits - format.signed


def _trace_bits(mapping: Mapping, learn: Learn) -> int:
    """Of a presynaptic trace; where Lava's own engine holds the weights, it holds the trace too."""
    stock = mapping.fixed.stock and format_of(mapping.circuit.buffers[learn.weights]).bits == STOCK_WEIGHT_BITS
    return STOCK_TRACE_BITS if stock else _magnitude(mapping, learn.trace)
