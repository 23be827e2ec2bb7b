"""What a network and its rule ask of a chip, population by population, read off the circuit that runs on every other target.

A neuron of a population is a compartment for the sample and one for each row of a rule's own that goes through it: all of them on one
core, for its third factor reads the traces of all, and they share its synapses, of which there is one copy, passed over once for each
row. Credit, rule and readout are the work of the embedded processors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil, prod

from tp_lava.backends.loihi2 import Counts, Loihi2
from tp_lava.backends.loihi2.circuits import axis_lengths, axis_of, is_handed_out, unit_axes
from tp_lava.backends.loihi2.learning_engine import synapse_states
from tp_lava.circuit import (
    Accumulate,
    AccumulateProducts,
    Buffer,
    Circuit,
    Delay,
    Operation,
    Owner,
    Pool,
    RunProgram,
    Unpool,
    UpdateWeights,
)
from tp_lava.circuit.buffers import SAMPLES
from tp_lava.circuit.circuit import touched
from tp_lava.circuit.operations import events_of
from tp_lava.deploy.loihi2.limits import Limits
from tp_lava.deploy.loihi2.reach import Reach
from tp_lava.dynamics.program import Program
from tp_lava.graph.delays import MOST_STEPS
from tp_lava.graph.names import READOUT, READOUT_BIAS
from tp_lava.graph.network import Population
from tp_lava.numbers import Format

_THIRD_FACTORS = "third_factor"  # the stage of a population that is not its neurons'


@dataclass(frozen=True)
class ConnectionDemand:
    """Synapses into a population. source: the axis of the units they come from, `units` many; rows: spike sources that each of those
    is, one for the sample and one for each row of a rule's own that comes this way; bits: of a weight, sign included; sum_bits: of the
    changes summed up for it, state_bits: of other states of a synapse, delay_bits: of its delay, 0 where there are none; traces: that
    each source keeps; reach: between maps, None where all reach all; copies: of each source, which `units` counts one by one.
    """

    name: str
    source: str
    units: int
    rows: int
    bits: int
    plastic: bool
    sum_bits: int
    state_bits: int
    traces: int
    reach: Reach | None
    copies: int = 1
    delay_bits: int = 0


@dataclass(frozen=True)
class NeuronProgram:
    """counts: of its listing for Loihi 2; compartments: of a neuron that it is carried out for."""

    name: str
    counts: Counts
    compartments: int

    @property
    def words(self) -> int:
        """Of program memory, on a core that carries it out: instructions, constants and parameters of the population."""
        return self.counts.instructions + self.counts.constants + sum(self.counts.shared_words.values())


@dataclass(frozen=True)
class LayerDemand:
    """One population, or the units that pool one. compartments, state_bits: of a neuron; credited: whether a credit reads its traces;
    errors: numbers broadcast to it in a step; read: whether the readout takes its spikes; note: how it is done, where that is no matter
    of course.
    """

    name: str
    neurons: int
    compartments: int
    state_bits: int
    credited: bool
    errors: int
    read: bool
    programs: tuple[NeuronProgram, ...]
    connections: tuple[ConnectionDemand, ...]
    note: str = ""


@dataclass(frozen=True)
class ProcessorTask:
    """Work of an embedded processor in a step, without what it does in a sample's last step alone. words_in: numbers it needs from
    neuro-cores; words_out: numbers it sends them; memory: bytes of weights and state that it keeps.
    """

    name: str
    operations: int
    words_in: int
    words_out: int
    memory: int


def demands(circuit: Circuit, limits: Limits) -> tuple[LayerDemand, ...]:
    """Of each population and, after it, of the units that pool its spikes."""
    return tuple(_layer(circuit, p, axis, limits) for p in circuit.network.populations for axis in unit_axes(circuit, p))


def processor_tasks(circuit: Circuit) -> tuple[ProcessorTask, ...]:
    """Of the embedded processors."""
    work, sent = processor_operations(circuit), _sent_by_processors(circuit)
    busy = RunProgram | Pool | Unpool
    return tuple(_task(circuit, name, work[name], sent) for name in work if any(isinstance(o, busy) for o in work[name]))


def neuron_programs(circuit: Circuit, population: Population) -> list[RunProgram]:
    """The programs that a population's neurons carry out, those that change their biases among them."""
    owners = Owner("population", population.name), Owner("plasticity", population.bias)
    return [o for o in circuit.of(*owners) if isinstance(o, RunProgram)]


def steps_neurons(operation: Operation) -> bool:
    """Whether it belongs to the neurons of a population, and not to their third factors."""
    return operation.owner.kind == "population" and operation.stage != _THIRD_FACTORS


def on_cores(circuit: Circuit, operation: Operation) -> bool:
    """Whether neuro-cores carry it out, and no embedded processor."""
    return not _task_name(circuit, operation)


def processor_operations(circuit: Circuit) -> dict[str, list[Operation]]:
    """Task -> its operations in the circuit."""
    found: dict[str, list[Operation]] = {}
    for o in circuit.step:
        task = _task_name(circuit, o)
        if task and isinstance(o, RunProgram | UpdateWeights | Accumulate | AccumulateProducts | Pool | Unpool):
            found.setdefault(task, []).append(o)
    return found


def instructions(program: Program, sizes: Mapping[str, int]) -> int:
    """Instructions that carry out a program once: each as often as the largest of its operands has elements.

    sizes: axis -> length; an axis that is not given counts once.
    """
    axes = {value.index: value.axes for value in program.values}
    operands = ({axis for index in (*i.arguments, i.result) for axis in axes[index]} for i in program.instructions)
    return sum(prod(sizes.get(axis, 1) for axis in widest) for widest in operands)


def pooling_steps(circuit: Circuit, o: Pool | Unpool) -> int:
    """Additions or comparisons of a pooling: one for each unit of each window, in all rows."""
    return Reach.pooling(o.pooling, o.shape).synapses * circuit.shape(o.into)[0]


def format_of(buffer: Buffer) -> Format:
    """The format of a buffer of a fixed-point circuit."""
    assert buffer.format is not None
    return buffer.format


# Inside -------------------------------------------------------------------------------------------


def _task_name(circuit: Circuit, operation: Operation) -> str:
    """The task of an embedded processor that an operation belongs to, "" where it is done on neuro-cores."""
    owner = operation.owner
    if owner.kind == "credit" or (owner.kind == "population" and is_handed_out(circuit, operation)):
        return f"credit of {owner.name}"
    if owner.kind == "rule":
        return owner.name or "rule"
    of_readout = owner.kind == "readout" or (owner.kind in ("connection", "plasticity") and owner.name in (READOUT, READOUT_BIAS))
    return "readout" if of_readout else ""


def _sent_by_processors(circuit: Circuit) -> list[Buffer]:
    """What embedded processors compute for neuro-cores: errors."""
    work = [o for operations in processor_operations(circuit).values() for o in operations]
    written = dict.fromkeys(name for o in work for name in o.writes)
    read = {name for o in work for name in o.reads}
    return [b for b in (circuit.buffers[name] for name in written) if b.role == "work" and b.name not in read]


def _layer(circuit: Circuit, population: Population, axis: str, limits: Limits) -> LayerDemand:
    """Of the neurons of a population, or of the units of one of its poolings."""
    name, axes = population.name, unit_axes(circuit, population)
    pools = [o for o in circuit.of(Owner("population", name)) if isinstance(o, Pool) and axis_of(circuit, o.into) == axis]
    runs = [o for o in neuron_programs(circuit, population) if axis_of(circuit, o.writes[0]) == axis]
    rows = [prod(circuit.shape(run.writes[0])) // circuit.sizes[axis] for run in runs]
    programs = tuple(NeuronProgram(o.program.name, Loihi2().listing(circuit, o).counts, n) for o, n in zip(runs, rows, strict=True))
    stepped = [circuit.buffers[b] for o in (*runs, *pools) if steps_neurons(o) for b in o.writes]
    credit, read, sends = Owner("credit", name), {b for run in runs for b in run.reads}, axis == axes[-1]
    broadcast = [b for b in _sent_by_processors(circuit) if b.axes[-1:] != (axis,)]  # and not a number for each unit
    state = _state_bits(circuit, (*runs, *pools), axis, limits)
    return LayerDemand(
        name=axis,
        neurons=circuit.sizes[axis],
        compartments=sum(circuit.sizes[rows] for rows in {b.axes[0] for b in stepped}),
        state_bits=state + sum(p.counts.spills * p.compartments for p in programs) * limits.state_word.value,
        credited=sends and bool(circuit.of(credit)),
        errors=sum(_elements(circuit, b) for b in broadcast if (sends and b.owner == credit) or b.name in read),
        read=sends and circuit.network.readout.pre == name,
        programs=programs,
        connections=(*(_pooling(circuit, pools) if pools else _connections(circuit, name)), *_signals(circuit, name, axis)),
        note=_POOLS[pools[0].pooling.mode] if pools else "",
    )


_POOLS = {
    "max": "pools by OR: integrate-and-fire units that one spike of their window brings to the threshold",
    "sum": "pools by synapses of weight 1, sums sent as graded spikes",
    "average": "pools by synapses of weight 1, a share of each sum sent as a graded spike",
}


def _pooling(circuit: Circuit, pools: list[Pool]) -> Iterator[ConnectionDemand]:
    """The synapses by which spikes are pooled."""
    source, rows = axis_of(circuit, pools[0].source), sum(circuit.shape(o.into)[0] for o in pools)
    yield _wired(f"pooling of {source}", source, circuit.sizes[source], rows, Reach.pooling(pools[0].pooling, pools[0].shape))


def _signals(circuit: Circuit, population: str, axis: str) -> Iterator[ConnectionDemand]:
    """The synapses by which learning signals come back through a pooling, or from the processor that takes them back through a maximum."""
    for o in circuit.of(Owner("population", population)):
        if isinstance(o, Unpool) and axis_of(circuit, o.into) == axis:
            source, reach = axis_of(circuit, o.signal), Reach.pooling(o.pooling, o.shape).back()
            units, rows = circuit.sizes[source], circuit.shape(o.into)[0]
            if on_cores(circuit, o):
                yield _wired(o.into, source, units, rows, reach)
            else:
                yield _wired(o.into, f"credit of {population}", prod(o.shape), rows, Reach.one_to_one(o.shape))


def _wired(name: str, source: str, units: int, rows: int, reach: Reach) -> ConnectionDemand:
    """Synapses of weight 1, which two bits hold."""
    return ConnectionDemand(name, source, units, rows, 2, False, 0, 0, 0, reach)


def _state_bits(circuit: Circuit, runs: Iterable[Operation], axis: str, limits: Limits) -> int:
    """Of one neuron, all its compartments: a word for each number, but parameters and events as many bits as they have."""
    total = 0
    for buffer in (circuit.buffers[name] for name in touched(runs)):
        if axis in buffer.axes and buffer.format:
            packed = buffer.role == "parameter" or buffer.format.bits == 1
            each = buffer.format.bits if packed else limits.state_word.value
            total += each * _elements(circuit, buffer) // circuit.sizes[axis]
    return total


def _connections(circuit: Circuit, population: str) -> Iterator[ConnectionDemand]:
    for owner in circuit.owners("connection"):
        deliveries = [o for o in circuit.of(owner) if isinstance(o, Accumulate)]
        if any(circuit.buffers[o.into].owner == Owner("population", population) for o in deliveries):
            yield _connection(circuit, owner.name, deliveries)


def _connection(circuit: Circuit, name: str, deliveries: list[Accumulate]) -> ConnectionDemand:
    """Of one connection; sums that it pools first are synapses from what is below."""
    plasticity, buffers, kind = Owner("plasticity", name), circuit.buffers, deliveries[0].kind
    updates = [o for o in circuit.of(plasticity) if isinstance(o, UpdateWeights)]
    states = {state for o in updates for state in synapse_states(o)}
    sums = {o.weights for o in updates} - {name}
    arriving = buffers[events_of(deliveries[0].events)[0]].axes[1]
    pools = [o for o in circuit.of(Owner("connection", name)) if isinstance(o, Pool)]
    delays = [o for o in circuit.of(Owner("connection", name)) if isinstance(o, Delay)]
    source = seen = axis_of(circuit, pools[0].source) if pools else arriving
    if delays:
        source = buffers[events_of(delays[0].events)[0]].axes[1]
    return ConnectionDemand(
        name=name,
        source=source,
        units=circuit.sizes[source if deliveries[0].offsets else seen],
        rows=sum(circuit.shape(o.into)[0] for o in deliveries),
        bits=format_of(buffers[name]).bits,
        plastic=any(isinstance(o, UpdateWeights | AccumulateProducts) for o in circuit.of(plasticity)),
        sum_bits=sum(format_of(buffers[b]).bits for b in sums),
        state_bits=sum(format_of(buffers[b]).bits for b in states),
        traces=sum(b.role == "state" and b.axes == (SAMPLES, arriving) for b in circuit.owned(plasticity)),
        reach=Reach.of(kind) if kind else None,
        copies=delays[0].copies if delays and not deliveries[0].offsets else 1,
        delay_bits=MOST_STEPS.bit_length() if delays else 0,
    )


def _task(circuit: Circuit, name: str, operations: list[Operation], sent: list[Buffer]) -> ProcessorTask:
    runs = [o for o in operations if isinstance(o, RunProgram) and o.last_steps != 1]
    pools = [o for o in operations if isinstance(o, Pool | Unpool)]
    buffers = [b for b in (circuit.buffers[b] for b in touched(operations)) if not b.index]
    of_neurons = [b for b in buffers if b.owner.kind == "population" and b.role != "parameter"]
    own = [b for b in buffers if b.role in ("state", "weight", "kernel", "bias", "parameter") and b not in of_neurons]
    return ProcessorTask(
        name=name,
        operations=sum(instructions(run.program, axis_lengths(circuit, run)) for run in runs)
        + sum(pooling_steps(circuit, o) for o in pools),
        words_in=sum(_elements(circuit, b) for b in of_neurons),
        words_out=sum(_elements(circuit, b) for b in sent if b in buffers),
        memory=sum(_elements(circuit, b) * ceil(format_of(b).bits / 8) for b in own),
    )


def _elements(circuit: Circuit, buffer: Buffer) -> int:
    return prod(circuit.shape(buffer.name))
