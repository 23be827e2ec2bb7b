"""A network taken apart as hardware has it: connections, populations, credit, label projection, readout.

A part holds some operations of a circuit and arrays of its own for them. Run one after the other, with what each
needs handed on, the parts do what the engine does, bit for bit in fixed point. Lava's per-layer models are parts
behind ports.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from tp_lava.circuit import Buffer, Circuit, Deliver, Learn, Operation, Run, touched
from tp_lava.dynamics.neuron import trace_program
from tp_lava.engine import rows_in_use
from tp_lava.errors import invalid
from tp_lava.numbers import seed_key
from tp_lava.sharing import shared_array
from tp_lava.targets.cpu import compile_stage


class Part:
    """Operations of a circuit in stages, and their arrays.

    stages: name -> operations; local: name of a buffer in the circuit -> its name here; switches: buffers that no
    operation here touches, but who runs the part looks at. Random bits are the engine's, as long as count_step() is
    called once for each step that learns.
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
        self._local: dict[str, str] = {name: local.get(name, name) for name in names}
        self.buffers: Mapping[str, Buffer] = {here: circuit.buffers[name] for name, here in self._local.items()}
        self._memory = dict[str, np.ndarray]()
        for here, buffer in self.buffers.items():
            self._memory[here] = np.zeros([circuit.sizes[axis] for axis in buffer.axes] or [1], buffer.dtype)
        self._memory["random_seed"][0] = seed_key(seed)
        for name, value in circuit.values.items():
            if name in self._local:
                self._memory[self._local[name]][...] = circuit.buffers[name].encode(value)
        self._circuit, self._operations = circuit, stages
        self._compiled: dict[str, tuple[Callable, tuple[str, ...]]] = {}

    def compile(self) -> None:
        """Compile every stage; else that is done when one first runs."""
        for stage, operations in self._operations.items():
            code = compile_stage(self._circuit, operations)
            self._compiled[stage] = code.run, tuple(self._local[name] for name in code.arguments)

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

    def keep(self, name: str, shape: tuple[int, ...], dtype: type = np.int32) -> None:
        """Add an array of the one who runs the part: where it stands between two steps."""
        self._memory[name] = np.zeros(shape, dtype)

    def has(self, stage: str) -> bool:
        """Whether the part has such a stage."""
        return stage in self._operations

    def begin(self) -> None:
        """Start a sample: every state is zero."""
        for name, buffer in self.buffers.items():
            if buffer.role == "state":
                self._memory[name].fill(0)

    def run(self, stage: str, streams: int | None = None) -> None:
        """Carry out a stage. streams: target streams in use, all if not given."""
        if stage not in self._compiled:
            self.compile()
        run, names = self._compiled[stage]
        arrays = [self._memory[name] for name in names]
        if streams is not None and streams != self.sizes.get("k"):
            arrays = [rows_in_use(self._memory[name], self.buffers[name].axes, streams) for name in names]
        run(*arrays)

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


# Which operations make up which part -------------------------------------------------------------


def _programs(circuit: Circuit, *names: str) -> list[Operation]:
    return [operation for operation in circuit.step if isinstance(operation, Run) and operation.program.name in names]


def _stages(**stages: list[Operation]) -> dict[str, list[Operation]]:
    """Those that have anything to do."""
    return {name: operations for name, operations in stages.items() if operations}


def _local(number: int) -> dict[str, str]:
    """Names of a layer's buffers within a part of that layer."""
    words = ("input", "feedback", "membrane", "current", "trace", "spike", "surrogate", "error", "third")
    names = {f"hidden{number}_{word}": word for word in words} | {f"target{number}_{word}": f"target_{word}" for word in words}
    settings = ("decay", "current_decay", "threshold", "trace_decay", "rate", "learning")
    return names | {f"hidden{number}_{word}": word for word in settings} | {f"bias{number}": "bias"}


def connection(circuit: Circuit, weights: str, seed: int = 0) -> Part:
    """Synapses: stages deliver, trace (where the rule takes the presynaptic trace) and learn. weights: name in the network."""
    if weights not in circuit.names("weight"):
        limit = f"one of {', '.join(circuit.names('weight'))}"
        raise invalid("connection", "weights", repr(weights), limit, "use a name of the network's weights")
    deliver = [o for o in circuit.step if isinstance(o, Deliver) and o.weights == weights]
    learn = [o for o in circuit.step if isinstance(o, Learn) and o.weights == weights]
    trace: list[Operation] = []
    local = {weights: "weights"}
    local |= {o.into: "target_accumulator" if o.into.startswith("target") else "accumulator" for o in deliver}
    for operation in learn:
        target = operation.third.startswith("target")
        local |= {operation.third: "target_third" if target else "third", operation.switch: "learning"}
        if operation.trace:
            before = operation.trace.removesuffix("_trace")
            program = trace_program(circuit.buffers[operation.trace].format, "presynaptic_trace")
            bindings = {"spike": f"{before}_spike", "trace": operation.trace, "trace_decay": f"{before}_trace_decay"}
            trace = [Run(program, tuple((port.name, bindings[port.name]) for port in program.ports))]
            local |= {bindings["spike"]: "spike", bindings["trace"]: "trace", bindings["trace_decay"]: "trace_decay"}
    return Part(circuit, _stages(deliver=list(deliver), trace=trace, learn=list(learn)), local, seed)


def population(circuit: Circuit, number: int, seed: int = 0) -> Part:
    """Neurons of a hidden layer: stages student, target (where there are target streams) and third (where it learns)."""
    name, target = f"hidden{number}", f"target{number}"
    stages = _stages(
        student=_programs(circuit, f"{name}_neuron"),
        target=_programs(circuit, f"{target}_neuron"),
        third=_programs(circuit, f"{name}_third_factor", f"{target}_third_factor"),
    )
    return Part(circuit, stages, _local(number), seed, switches=(f"{name}_learning",))


def credit(circuit: Circuit, number: int, seed: int = 0) -> Part:
    """TP's credit of a hidden layer: stage contrast."""
    below = f"target{number - 1}_trace" if number else "label_trace"
    local = {below: "below", f"hidden{number}_error": "error", f"target{number}_error": "target_error"}
    local |= {f"hidden{number}_trace": "trace", f"target{number}_trace": "target_trace"}
    return Part(circuit, _stages(contrast=_programs(circuit, f"hidden{number}_contrast")), local, seed)


def label_projection(circuit: Circuit, seed: int = 0) -> Part:
    """The label's way into the first hidden layer: stages label, deliver and, where it is trained, learn."""
    deliver: list[Operation] = [o for o in circuit.step if isinstance(o, Deliver) and o.weights == "target"]
    learn: list[Operation] = [o for o in circuit.step if isinstance(o, Learn) and o.weights == "target"]
    local = {"target": "weights", "label_trace": "trace", "hidden0_trace_decay": "trace_decay", "target0_third": "target_third"}
    local |= {"target0_input": "accumulator", "hidden0_learning": "learning"}
    stages = _stages(label=_programs(circuit, "label_trace"), deliver=deliver, learn=learn)
    return Part(circuit, stages, local, seed, switches=("contrast",))


def readout(circuit: Circuit, seed: int = 0) -> Part:
    """The integrator: stage readout."""
    local = {f"readout_{word}": word for word in ("input", "third", "rate", "learning")}
    return Part(circuit, _stages(readout=_programs(circuit, "readout")), local, seed, switches=("readout_learning",))
