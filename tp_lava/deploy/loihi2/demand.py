"""What a network and its rule ask of a chip, layer by layer, read off the circuit that runs on every other target.

A neuron of a layer is a compartment for the sample and, under TP, one for each target stream: all of them on one core, for
its third factor reads its own target traces, and they share its synapses, of which there is one copy, passed over once for each
stream. Credit, label and readout are the work of the embedded processors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tp_lava import parts
from tp_lava.circuit import Buffer, Circuit, Deliver, Learn, Operation, Run, touched
from tp_lava.graph.connections import Synapses
from tp_lava.deploy.loihi2.limits import Limits
from tp_lava.deploy.loihi2.programs import instructions, listed, sizes_of
from tp_lava.numbers import Format


@dataclass(frozen=True)
class Connection:
    """Synapses into a layer. source: the units below, `units` many; streams: spike sources that each of those is, one for the sample
    and one for each target stream that comes this way; bits: of a weight, sign included; sum_bits: of the changes summed up for it,
    0 where there are none; traced: whether presynaptic traces are kept; table: of a convolution, else None.
    """

    name: str
    source: str
    units: int
    streams: int
    bits: int
    plastic: bool
    sum_bits: int
    traced: bool
    table: Synapses | None


@dataclass(frozen=True)
class NeuronProgram:
    """As listed for Loihi 2. instructions, constants, shared: words of program memory; executed: instructions of a compartment in a
    step, at most; spills: words of its memory; compartments: of a neuron that it is carried out for.
    """

    name: str
    instructions: int
    constants: int
    shared: int
    executed: int
    spills: int
    compartments: int

    @property
    def words(self) -> int:
        """Of a core that carries it out."""
        return self.instructions + self.constants + self.shared


@dataclass(frozen=True)
class LayerDemand:
    """One hidden layer. compartments, state_bits: of a neuron; credited: whether a credit reads its traces; errors: numbers
    broadcast to it in a step.
    """

    name: str
    neurons: int
    compartments: int
    state_bits: int
    credited: bool
    errors: int
    programs: tuple[NeuronProgram, ...]
    connections: tuple[Connection, ...]


@dataclass(frozen=True)
class Task:
    """Work of an embedded processor in a step, without what it does in a sample's last step alone. words_in: numbers it needs from
    neuro-cores; words_out: numbers it sends them; memory: bytes of weights and state that it keeps.
    """

    name: str
    operations: int
    words_in: int
    words_out: int
    memory: int


def demands(circuit: Circuit, limits: Limits) -> tuple[LayerDemand, ...]:
    """Of each hidden layer."""
    return tuple(_layer(circuit, number, limits) for number in range(len(circuit.network.layers)))


def tasks(circuit: Circuit) -> tuple[Task, ...]:
    """Of the embedded processors."""
    found = (_task(circuit, name, operations) for name, operations in processor_operations(circuit).items())
    return tuple(task for task in found if task)


def neuron_runs(circuit: Circuit, number: int) -> list[Run]:
    """The neuron programs of a hidden layer."""
    return [o for o in parts.population(circuit, number).operations if isinstance(o, Run)]


def processor_operations(circuit: Circuit) -> dict[str, list[Operation]]:
    """Task -> its operations in the circuit."""
    layers = range(len(circuit.network.layers))
    owned = {id(o) for n in layers for o in parts.population(circuit, n).operations}
    owned |= {id(o) for name in on_cores(circuit) for o in connection_operations(circuit, name)}
    found: dict[str, list[Operation]] = {}
    for o in circuit.step:
        if isinstance(o, Run | Learn | Deliver) and id(o) not in owned:
            found.setdefault(_task_name(o, len(layers)), []).append(o)
    return found


def on_cores(circuit: Circuit) -> list[str]:
    """Names of the weights whose synapses lie on neuro-cores: all but the readout's. Kernels as well."""
    return [name for name in (*circuit.names("weight"), *circuit.names("kernel")) if name != "readout"]


def connection_operations(circuit: Circuit, name: str) -> list[Operation]:
    """What the synapses of these weights do; those of a kernel deliver, and do not learn."""
    if name in circuit.names("kernel"):
        return [o for o in circuit.step if isinstance(o, Deliver) and o.weights == name]
    return list(parts.connection(circuit, name).operations)


# Inside -------------------------------------------------------------------------------------------


def _task_name(operation: Run | Learn | Deliver, layers: int) -> str:
    name = operation.weights if isinstance(operation, Deliver) else operation.program.name
    for number in range(layers):
        if name.startswith(f"hidden{number}_"):
            return f"credit of hidden{number}"
    return "label" if name.startswith("label") else "readout"


def _layer(circuit: Circuit, number: int, limits: Limits) -> LayerDemand:
    name, target = f"hidden{number}", f"target{number}"
    runs = neuron_runs(circuit, number)
    programs = tuple(_program(run, circuit) for run in runs)
    streams = circuit.sizes["k"] if any(run.program.name == f"{target}_neuron" for run in runs) else 0
    credited = f"{name}_error" in circuit.buffers
    errors = sum(_elements(circuit, b) for n, b in circuit.buffers.items() if n in (f"{name}_error", f"{target}_error"))
    return LayerDemand(
        name=name,
        neurons=circuit.sizes[name],
        compartments=1 + streams,
        state_bits=_state_bits(circuit, runs, name, limits) + sum(p.spills * p.compartments for p in programs) * limits.state_word.value,
        credited=credited,
        errors=errors,
        programs=programs,
        connections=tuple(_connections(circuit, number)),
    )


def _program(run: Run, circuit: Circuit) -> NeuronProgram:
    sizes, counts = sizes_of(run, circuit), listed(run, circuit)
    rows = max(sizes.get(axis, 1) for axis in ("row", "r"))
    shared = sum(counts.shared_words.values())
    return NeuronProgram(run.program.name, counts.instructions, counts.constants, shared, counts.worst, counts.spills, rows)


def _state_bits(circuit: Circuit, runs: list[Run], axis: str, limits: Limits) -> int:
    """Of one neuron, all its compartments: a word for each number, but parameters and events as many bits as they have."""
    names = dict.fromkeys(buffer for run in runs for _, buffer in run.bindings)
    total = 0
    for buffer in (circuit.buffers[name] for name in names):
        if axis in buffer.axes and buffer.format:
            packed = buffer.role == "parameter" or buffer.format.bits == 1
            each = buffer.format.bits if packed else limits.state_word.value
            total += each * _elements(circuit, buffer) // circuit.sizes[axis]
    return total


def _connections(circuit: Circuit, number: int) -> Iterator[Connection]:
    ends = (f"hidden{number}_", f"target{number}_")
    for name in on_cores(circuit):
        deliveries = [o for o in circuit.step if isinstance(o, Deliver) and o.weights == name and o.into.startswith(ends)]
        if not deliveries:
            continue
        learns = [o for o in circuit.step if isinstance(o, Learn) and o.weights in (name, f"{name}_change")]
        change = circuit.buffers.get(f"{name}_change")
        source = circuit.buffers[f"{deliveries[0].events}_active"].axes[1]
        spatial = circuit.network.layers[number].connection
        yield Connection(
            name=name,
            source=source,
            units=circuit.sizes[source],
            streams=sum(circuit.sizes[circuit.buffers[o.into].axes[0]] for o in deliveries),
            bits=format_of(circuit.buffers[name]).bits,
            plastic=bool(learns),
            sum_bits=format_of(change).bits if change else 0,
            traced=any(o.trace for o in learns),
            table=spatial.synapses() if spatial and deliveries[0].table else None,
        )


def _task(circuit: Circuit, name: str, operations: list[Operation]) -> Task | None:
    runs = [o for o in operations if isinstance(o, Run)]
    if not runs:
        return None
    buffers = {n: circuit.buffers[n] for o in operations for n in touched(o) if not circuit.buffers[n].index}
    own = {n for n, b in buffers.items() if b.role in ("state", "weight", "bias", "parameter") and not _of_neurons(n, b, name)}
    return Task(
        name=name,
        operations=sum(instructions(run.program, sizes_of(run, circuit)) for run in runs if run.within != 1),
        words_in=sum(_elements(circuit, b) for n, b in buffers.items() if _of_neurons(n, b, name)),
        words_out=sum(_elements(circuit, b) for n, b in buffers.items() if n.endswith("_error") and name.startswith("credit")),
        memory=sum(_elements(circuit, buffers[n]) * math.ceil(format_of(buffers[n]).bits / 8) for n in own),
    )


def _of_neurons(name: str, buffer: Buffer, task: str) -> bool:
    """Whether a number is the neurons' own: their traces and spikes; a count of spikes is the readout's."""
    mine = name.startswith("readout") or buffer.role in ("weight", "parameter") or name.endswith("_error")
    return not mine and any(axis.startswith("hidden") for axis in buffer.axes)


def _elements(circuit: Circuit, buffer: Buffer) -> int:
    return math.prod(circuit.sizes[axis] for axis in buffer.axes)


def format_of(buffer: Buffer) -> Format:
    """The format of a buffer of a fixed-point circuit."""
    assert buffer.format is not None
    return buffer.format
