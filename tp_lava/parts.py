"""A network taken apart as hardware has it: connections, populations, credit, label projection, readout.

A part holds some operations of a circuit and arrays of its own for them. Run one after the other, with what each
needs handed on, the parts do what the engine does, bit for bit in fixed point. Lava's per-layer models are parts
behind ports.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from tp_lava.circuit import STEPS_LEFT, Buffer, Circuit, Deliver, Learn, Operation, Run, Scatter, touched
from tp_lava.dynamics.neuron import trace_program
from tp_lava.dynamics.readout import readout_program
from tp_lava.errors import invalid
from tp_lava.numbers import seed_key
from tp_lava.sharing import shared_array

if TYPE_CHECKING:
    from tp_lava.backends.cpu import CompiledOperations

_SHORT = ((r"bias\d+|readout_bias", "bias"), (r"target\d+_", "target_"), (r"(?:hidden|recurrent)\d+_|readout_", ""))


class Part:
    """Operations of a circuit in stages, and their arrays.

    stages: name -> operations; local: name of a buffer in the circuit -> its name here, for those that do not just leave
    out the layer's; switches: buffers that no operation here touches, but who runs the part looks at. Random bits are the
    engine's, as long as count_step() is called once for each step that learns.
    """

    def __init__(
        self,
        circuit: Circuit,
        stages: Mapping[str, Sequence[Operation]],
        local: Mapping[str, str],
        seed: int,
        switches: Sequence[str] = (),
    ) -> None:
        names = dict.fromkeys(name for operations in stages.values() for operation in operations for name in touched(operation))
        names |= dict.fromkeys([*circuit.names("random"), *(name for name in switches if name in circuit.buffers)])
        self.sizes = circuit.sizes
        self._local: dict[str, str] = {name: local.get(name) or _short(circuit.buffers[name]) for name in names}
        self.buffers: Mapping[str, Buffer] = {here: circuit.buffers[name] for name, here in self._local.items()}
        self._memory = dict[str, np.ndarray]()
        for here, buffer in self.buffers.items():
            self._memory[here] = np.zeros([circuit.sizes[axis] for axis in buffer.axes] or [1], buffer.dtype)
        self._memory["random_seed"][0] = seed_key(seed)
        for name, value in circuit.values.items():
            if name in self._local:
                self._memory[self._local[name]][...] = circuit.buffers[name].encode(value)
        self._circuit, self._operations = circuit, stages
        self._compiled: dict[str, CompiledOperations] = {}

    def compile(self) -> None:
        """Compile every stage; else that is done when one first runs."""
        from tp_lava.backends.cpu import CompiledOperations  # Numba takes a second to load

        self._compiled = {stage: CompiledOperations(self._circuit, operations) for stage, operations in self._operations.items()}

    @property
    def memory(self) -> Mapping[str, np.ndarray]:
        """The arrays, live: weights as (n_in, n_out), mantissas if fixed. See Buffer.encode and decode."""
        return MappingProxyType(self._memory)

    def share(self) -> None:
        """Compile, and move every array into memory that processes forked from now on share with this one."""
        self.compile()
        for name, array in self._memory.items():
            shared = shared_array(array.shape, array.dtype)
            shared[...] = array
            self._memory[name] = shared

    @property
    def names(self) -> Mapping[str, str]:
        """Name of an array here -> its buffer's name in the circuit."""
        return {here: name for name, here in self._local.items()}

    @property
    def operations(self) -> tuple[Operation, ...]:
        """What it carries out, stage by stage."""
        return tuple(operation for operations in self._operations.values() for operation in operations)

    def keep(self, name: str, shape: tuple[int, ...], dtype: type = np.int32) -> None:
        """Add an array of the one who runs the part: where it stands between two steps."""
        self._memory[name] = np.zeros(shape, dtype)

    def has(self, stage: str) -> bool:
        """Whether the part has such a stage."""
        return stage in self._operations

    def begin(self, events: bool = True) -> None:
        """Start a sample: every state is zero. events: lists of events too."""
        for name, buffer in self.buffers.items():
            if buffer.role == "state" and (events or not buffer.index):
                self._memory[name].fill(0)

    def tell_steps_left(self, steps: int) -> None:
        """How many steps of the sample are left, this one among them: for what is done at a sample's end."""
        if STEPS_LEFT in self._memory:
            self._memory[STEPS_LEFT][0] = steps - 1  # as the circuit's clock has it

    def run(self, stage: str, streams: int | None = None) -> None:
        """Carry out a stage. streams: target streams in use, all if not given."""
        if stage not in self._compiled:
            self.compile()
        code = self._compiled[stage]
        arrays = [self._memory[self._local[name]] for name in code.arguments]
        code.once(arrays, self.sizes.get("k", 0) if streams is None else streams)

    def count_step(self) -> None:
        """A step that learned is over: fresh random bits from now on."""
        self._memory["random_step"] += np.uint32(1)

    def set_events(self, population: str, spikes: np.ndarray) -> None:
        """Make the list of a population's active units. spikes: (rows, n), anything but 0 is a spike."""
        active, count = self._memory[f"{population}_active"], self._memory[f"{population}_count"]
        for row, line in enumerate(spikes):
            units = np.flatnonzero(line)
            active[row, : units.size] = units
            count[row] = units.size


def thirds_of(part: Part) -> tuple[str, ...]:
    """The third factors that a population sends to its connections, or that arrive at one."""
    return tuple(name for name in part.buffers if name.endswith("third") and name != "bias_third")


def delivered_rows(part: Part) -> int:
    """Target streams that go through a connection's weights; 0: none."""
    return part.sizes["k"] if any(name.startswith("target") and name.endswith("_count") for name in part.buffers) else 0


# Which operations make up which part -------------------------------------------------------------


def _short(buffer: Buffer) -> str:
    """A buffer's name within a part of its layer. Lists of events keep theirs, as a part may have those of two layers."""
    if not buffer.index or buffer.role == "switch":
        for pattern, short in _SHORT:
            name, found = re.subn(f"^(?:{pattern})", short, buffer.name)
            if found:
                return name
    return buffer.name


def _programs(circuit: Circuit, *names: str) -> list[Operation]:
    return [operation for operation in circuit.step if isinstance(operation, Run) and operation.program.name in names]


def _writing(circuit: Circuit, buffer: str) -> list[Operation]:
    """The programs that write a buffer, as output, of a name that matches in whole."""
    runs = (operation for operation in circuit.step if isinstance(operation, Run))
    return [run for run in runs if any(run.program.port(port).role == "output" and re.fullmatch(buffer, b) for port, b in run.bindings)]


def _stages(**stages: Sequence[Operation]) -> dict[str, Sequence[Operation]]:
    """Those that have anything to do."""
    return {name: operations for name, operations in stages.items() if operations}


def _learning(circuit: Circuit, weights: str) -> list[Learn]:
    """What changes some weights, or sums up what they are to change by."""
    return [o for o in circuit.step if isinstance(o, Learn) and o.weights in (weights, f"{weights}_change")]


def connection(circuit: Circuit, weights: str, seed: int = 0) -> Part:
    """Synapses: stages deliver, trace (where the rule takes the neurons' own trace) and learn. weights: name in the network."""
    if weights not in circuit.names("weight"):
        limit = f"one of {', '.join(circuit.names('weight'))}"
        raise invalid("connection", "weights", repr(weights), limit, "use a name of the network's weights")
    deliver = [o for o in circuit.step if isinstance(o, Deliver) and o.weights == weights]
    learn = _learning(circuit, weights)
    neurons_trace, own_trace = list[Operation](), list[Operation]()
    for name in dict.fromkeys(o.trace for o in learn if o.trace):
        if circuit.buffers[name].name.startswith(weights):
            own_trace += _own_trace(circuit, name, deliver[0].events)
        else:
            neurons_trace.append(_neurons_trace(circuit, name))
    local = {weights: "weights"} | {o.into: "target_accumulator" if o.into.startswith("target") else "accumulator" for o in deliver}
    stages = _stages(deliver=deliver, trace=neurons_trace, learn=[*own_trace, *learn, *_programs(circuit, f"{weights}_optimiser")])
    return Part(circuit, stages, local, seed)


def _own_trace(circuit: Circuit, trace: str, events: str) -> list[Operation]:
    """A presynaptic trace that a connection keeps where it learns."""
    runs = _programs(circuit, trace)
    read = {buffer for run in runs if isinstance(run, Run) for _, buffer in run.bindings}
    scatters = dict.fromkeys(o for o in circuit.step if isinstance(o, Scatter) and o.population == events and o.into in read)
    return [*scatters, *runs]


def _neurons_trace(circuit: Circuit, trace: str) -> Operation:
    """The trace of the neurons below, which a connection keeps a second time."""
    before = trace.removesuffix("_trace")
    program = trace_program(circuit.buffers[trace].format, "presynaptic_trace")
    bindings = {"spike": f"{before}_spike", "trace": trace, "trace_decay": f"{before}_trace_decay"}
    return Run(program, tuple((port.name, bindings[port.name]) for port in program.ports))


def population(circuit: Circuit, number: int, seed: int = 0) -> Part:
    """Neurons of a hidden layer: stages student, target (where there are target streams) and third (where it learns)."""
    name, target, bias = f"hidden{number}", f"target{number}", f"bias{number}"
    stages = _stages(
        student=_programs(circuit, f"{name}_neuron"),
        target=_programs(circuit, f"{target}_neuron"),
        third=[
            *_writing(circuit, rf"(hidden|target){number}_(\w+_)?third"),
            *_programs(circuit, f"{bias}_plasticity", f"{bias}_optimiser"),
        ],
    )
    return Part(circuit, stages, {}, seed, switches=(f"{name}_learning",))


def credit(circuit: Circuit, number: int, seed: int = 0) -> Part:
    """The credit of a hidden layer: stage error, of whatever writes it."""
    error = _writing(circuit, f"hidden{number}_error")
    local = {f"target{number - 1}_trace" if number else "label_trace": "below"}
    local |= {buffer: port for run in error if isinstance(run, Run) for port, buffer in run.bindings if port == "activity"}
    return Part(circuit, _stages(error=error), local, seed)


def label_projection(circuit: Circuit, seed: int = 0) -> Part:
    """The label's way into the first hidden layer: stages label, deliver and, where it is trained, learn."""
    deliver = [o for o in circuit.step if isinstance(o, Deliver) and o.weights == "target"]
    learn = [*_learning(circuit, "target"), *_programs(circuit, "target_optimiser")]
    local = {"target": "weights", "target_change": "change", "label_trace": "trace", "target0_input": "accumulator"}
    stages = _stages(label=_programs(circuit, "label_trace"), deliver=deliver, learn=learn)
    return Part(circuit, stages, local, seed, switches=("contrast",))


def gate(circuit: Circuit, seed: int = 0) -> Part:
    """What says which samples are learned, and has nothing to compute."""
    return Part(circuit, {}, {}, seed)


def readout(circuit: Circuit, seed: int = 0) -> Part:
    """The integrator: stages readout, learn (of its bias) and infer, where what only learning needs has states of its own."""
    (run,) = (operation for operation in _programs(circuit, "readout") if isinstance(operation, Run))
    buffers = {port: circuit.buffers[buffer] for port, buffer in run.bindings}
    infer: list[Operation] = []
    if any(buffer.role == "state" for port, buffer in buffers.items() if port != "score"):
        formats = {port: buffer.format for port, buffer in buffers.items()} if circuit.fixed else {}
        program = readout_program(circuit.sizes["class"], formats, bias="bias" in buffers, leaky="score_decay" in buffers)
        infer.append(Run(program, tuple((port.name, buffers[port.name].name) for port in program.ports)))
    learn = _programs(circuit, "readout_bias_plasticity", "readout_bias_optimiser")
    return Part(circuit, _stages(readout=[run], learn=learn, infer=infer), {}, seed, switches=("readout_learning",))
