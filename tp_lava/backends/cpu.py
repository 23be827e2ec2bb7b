"""The CPU target: programs and the operations of circuits, compiled by Numba once a process and called by one loop (cpu_calls)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numba
import numpy as np
from numba import types

from tp_lava.backends import cpu_calls, cpu_events
from tp_lava.backends.cpu_calls import Argument, inlined
from tp_lava.backends.cpu_functions import exp2
from tp_lava.backends.cpu_source import program_body, program_source, table_names, table_source
from tp_lava.backends.protocol import Memory, operation_entry
from tp_lava.backends.scalar import scratch_of
from tp_lava.circuit import (
    Accumulate,
    AccumulateProducts,
    Buffer,
    Circuit,
    CountSteps,
    ListEvents,
    MarkEvents,
    Operation,
    RunProgram,
    UpdateWeights,
)
from tp_lava.circuit.circuit import touched
from tp_lava.circuit.operations import STEPS_LEFT, events_of, rows_in_use, stored_weight_type, synapse_table
from tp_lava.dynamics.piecewise import Piecewise
from tp_lava.dynamics.program import Program
from tp_lava.graph.connections import Synapses
from tp_lava.graph.names import INPUT
from tp_lava.numbers import draw, mix

_REASSOCIATE = {"reassoc", "nsz"}  # lets LLVM vectorise float sums; results stay the same on one machine


@inlined
def _select(condition, a, b):
    return a if condition else b


_SCOPE = {
    "np": np,
    "i32": np.int32,
    "i64": np.int64,
    "u32": np.uint32,
    "f32": np.float32,
    "mix": inlined(mix),
    "draw": inlined(draw),
    "select": _select,
    "exp2": exp2,
    **cpu_calls.SCOPE,
}
_INPUT = events_of(INPUT)
_NOT_DRAWN = np.zeros(1, np.uint32)
_NO_NAMES: Mapping[str, object] = MappingProxyType({})
_functions: dict[tuple, Callable] = {}


def _compile(source: str, signature: tuple, names: Mapping[str, object] = _NO_NAMES, *, reassociate: bool = False) -> Callable:
    """Compile the function of a source for one signature, once."""
    key = (source, signature, reassociate, *names.items())
    if key not in _functions:
        scope = {**_SCOPE, **names}
        exec(compile(source, "<tp_lava>", "exec"), scope)
        options: dict[str, Any] = {"fastmath": _REASSOCIATE if reassociate else False, "error_model": "numpy", "no_cpython_wrapper": True}
        name = source.split("(", 1)[0].removeprefix("def ")
        _functions[key] = numba.njit(types.void(*signature), **options)(scope[name])
    return _functions[key]


# One operation -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Compiled:
    """An operation as it is called. bound: for each argument, its buffer and whether only row 0 of it; the rest are scratch arrays.

    axes: of each bound array, by which scratch arrays get their sizes.
    """

    address: int
    arguments: tuple[Argument, ...]
    bound: tuple[tuple[str, bool], ...]
    axes: tuple[tuple[str, ...], ...] = ()
    program: Program | None = None
    random_stream: int = cpu_calls.NO_KEY
    switch: str = ""
    last_steps: int = 0

    def arrays(self, memory: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Its arrays, scratch arrays made anew: a step is too short to make them."""
        found = [memory[buffer][0:1] if first else memory[buffer] for buffer, first in self.bound]
        sizes = {axis: size for axes, array in zip(self.axes, found, strict=False) for axis, size in zip(axes, array.shape, strict=False)}
        scratch = scratch_of(self.program) if self.program else ()
        return found + [np.empty([sizes[axis] for axis in s.axes], s.dtype) for s in scratch]


def _address(
    arguments: Sequence[Argument], body: Sequence[str], names: Mapping[str, object] = _NO_NAMES, *, reassociate: bool = False
) -> int:
    lines = ["def operation(key, slots):", *(f"    {line}" for line in cpu_calls.unpacked(arguments)), *body]
    return cpu_calls.address_of(_compile("\n".join(lines) + "\n", cpu_calls.SIGNATURE, names, reassociate=reassociate))


def _indented(template: str) -> list[str]:
    return [f"    {line}" for line in template.strip("\n").splitlines()]


def _arguments(program: Program) -> tuple[Argument, ...]:
    """Ports, then scratch arrays. Numbers are float32, or int32 in a fixed program, whose weights are narrower (see stored_weight_type)."""
    number = np.int32 if program.fixed else np.float32
    dtypes = [stored_weight_type(port.format) if port.format and port.name == "weight" else number for port in program.ports]
    ports = (Argument(port.name, np.dtype(d), max(1, len(port.axes))) for port, d in zip(program.ports, dtypes, strict=True))
    return *ports, *_scratch_arguments(program)


def _scratch_arguments(program: Program) -> tuple[Argument, ...]:
    return tuple(Argument(s.name, np.dtype(s.dtype), len(s.axes)) for s in scratch_of(program))


def _reassociates(program: Program) -> bool:
    return program.reduces and not program.fixed


def _tables(program: Program) -> dict[str, Callable]:
    return {name: _table(table) for table, name in table_names(program).items()}


@lru_cache(maxsize=64)
def _table(table: Piecewise) -> Callable:
    scope: dict[str, Any] = dict(_SCOPE)
    exec(compile(table_source(table), "<tp_lava table>", "exec"), scope)
    return inlined(scope["table"])


def _compiled_program(program: Program) -> tuple[int, tuple[Argument, ...]]:
    arguments = _arguments(program)
    return _address(arguments, program_body(program), _tables(program), reassociate=_reassociates(program)), arguments


def carry_out(program: Program, arrays: MutableMapping[str, np.ndarray], key: int = 0) -> None:
    """Run a program in place, as interpret does.

    arrays: port name -> C-contiguous array, int32 or float32 (weights see stored_weight_type).
    """
    address, arguments = _compiled_program(program)
    ports = tuple((port.name, False) for port in program.ports)
    bound = _Compiled(address, arguments, ports, tuple(port.axes for port in program.ports), program).arrays(arrays)
    slots = cpu_calls.slots_of(arguments, bound)
    call = np.array([cpu_calls.call_of(address, slots)], np.int64)
    cpu_calls.with_key()(call, np.uint32(key))


def _row_program(program: Program) -> Callable:
    """The program of one row of weights, as the operations that learn call it."""
    arrays = tuple(types.Array(numba.from_dtype(a.dtype), a.dimensions, "C") for a in _arguments(program))
    key = (types.uint32,) if program.uses_random else ()
    return _compile(program_source(program), key + arrays, _tables(program), reassociate=_reassociates(program))


class _Compiler:
    """Compiles the operations of a circuit."""

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit

    def compiled(self, operation: Operation) -> list[_Compiled]:
        """An operation, as one call or several."""
        return operation_entry(CPU.name, _OPERATION_TABLE, operation)(self, operation)

    def accumulate(self, o: Accumulate) -> list[_Compiled]:
        """See Accumulate."""
        table = dict(zip(Synapses._fields, synapse_table(o.table), strict=True)) if o.table else {}
        named = {"weights": o.weights, **table, **self._lists(o.events), "into": o.into}
        return [self._template(cpu_events.DELIVER_SHARED if o.table else cpu_events.DELIVER, named)]

    def list_events(self, o: ListEvents) -> list[_Compiled]:
        """See ListEvents."""
        lists = self._lists(o.population)
        listed = [self._template(cpu_events.GATHER, {"spikes": o.spikes, **lists})]
        return listed + ([self._template(cpu_events.COUNT, {**lists, "total": o.total})] if o.total else [])

    def mark_events(self, o: MarkEvents) -> list[_Compiled]:
        """See MarkEvents."""
        return [self._template(cpu_events.SCATTER, {**self._lists(o.population), "into": o.into})]

    def count_steps(self, o: CountSteps) -> list[_Compiled]:
        """See CountSteps."""
        return [self._template(cpu_events.CLOCK, {"steps_left": STEPS_LEFT})]

    def run_program(self, o: RunProgram) -> list[_Compiled]:
        """See RunProgram."""
        address, arguments = _compiled_program(o.program)
        buffers, ports = dict(o.bindings), o.program.ports
        bound = tuple((buffers[port.name], port.name in o.first) for port in ports)
        axes, stream = tuple(port.axes for port in ports), self._stream(o.program, o.random_stream)
        return [_Compiled(address, arguments, bound, axes, o.program, stream, o.switch, o.last_steps)]

    def update_weights(self, o: UpdateWeights) -> list[_Compiled]:
        """See UpdateWeights: a loop over rows and active units that calls the program on a row of the weights."""
        program, scratch = o.program, _scratch_arguments(o.program)
        bound = [(port.name, dict(o.bindings)[port.name]) for port in program.ports]
        named = dict(bound)
        active = self._lists(o.events) if o.events else {"trace": o.trace} if o.trace else {}
        named |= {name: buffer for name, buffer in active.items() if (name, buffer) not in bound}
        arguments = (*(self._argument(name, buffer) for name, buffer in named.items()), *scratch)
        call = ", ".join([*(self._element(o, port) for port, _ in bound), *(s.name for s in scratch)])
        template = cpu_events.LEARN_EVENTS if o.events else cpu_events.LEARN_TRACE if o.trace else cpu_events.LEARN_ALL
        text = template.format(row_key=cpu_events.ROW_KEY if program.uses_random else "", arguments=call)
        address = _address(arguments, _indented(text), {"program": _row_program(program)})
        axes = tuple(("", "n") if port == "weight" else () for port in named)  # scratch is as long as a row of the weights
        held = tuple((buffer, False) for buffer in named.values())
        return [_Compiled(address, arguments, held, axes, program, self._stream(program, o.random_stream), o.switch, o.last_steps)]

    def _element(self, o: UpdateWeights, port: str) -> str:
        """What the program sees of a port's buffer, for row r and presynaptic unit i."""
        buffer = self.circuit.buffers[dict(o.bindings)[port]]
        if buffer.stored_transposed:
            return f"{port}[i]"
        if not buffer.axes:
            return port
        return f"{port}[r]" if o.program.port(port).axes else f"{port}[r, i : i + 1]"

    def accumulate_products(self, o: AccumulateProducts) -> list[_Compiled]:
        """See AccumulateProducts."""
        change = self.circuit.buffers[o.change]
        pre = self._lists(o.events) if o.events else {"trace": o.trace}
        named = {"change": o.change, **dict(zip(Synapses._fields, synapse_table(o.table), strict=True)), **pre, "third": o.third_factor}
        template = cpu_events.PRODUCTS_EVENTS if o.events else cpu_events.PRODUCTS_TRACE
        template += cpu_events.CLIP.format(high=change.format.high) if change.format else ""
        return [replace(self._template(template, named), switch=o.switch, last_steps=o.last_steps)]

    @staticmethod
    def _lists(population: str) -> dict[str, str]:
        active, count = events_of(population)
        return {"active": active, "count": count}

    def _template(self, template: str, named: Mapping[str, str]) -> _Compiled:
        arguments = tuple(self._argument(name, buffer) for name, buffer in named.items())
        return _Compiled(_address(arguments, _indented(template)), arguments, tuple((buffer, False) for buffer in named.values()))

    def _argument(self, name: str, buffer: str) -> Argument:
        held: Buffer = self.circuit.buffers[buffer]
        return Argument(name, np.dtype(held.dtype), max(1, len(held.axes)))

    @staticmethod
    def _stream(program: Program, random_stream: int) -> int:
        return random_stream if program.uses_random else cpu_calls.NO_KEY


_OPERATION_TABLE: dict[type[Operation], Callable[..., list[_Compiled]]] = {
    Accumulate: _Compiler.accumulate,
    AccumulateProducts: _Compiler.accumulate_products,
    CountSteps: _Compiler.count_steps,
    ListEvents: _Compiler.list_events,
    MarkEvents: _Compiler.mark_events,
    RunProgram: _Compiler.run_program,
    UpdateWeights: _Compiler.update_weights,
}


# Circuits ----------------------------------------------------------------------------------------


class CPU:
    """The back end that compiles by Numba."""

    name = "CPU"

    def compile(self, circuit: Circuit, operations: Sequence[Operation] | None = None) -> CompiledOperations:
        """See BackEnd."""
        return CompiledOperations(circuit, operations)


class CompiledOperations:
    """Some operations of a circuit, to be carried out in order on its buffers. Operations that differ in sizes alone share their code."""

    def __init__(self, circuit: Circuit, operations: Sequence[Operation] | None = None) -> None:
        """operations: all of the circuit's step, if not given."""
        compiler, whole = _Compiler(circuit), operations is None
        operations = circuit.step if operations is None else operations
        names = dict.fromkeys([*touched(operations), *circuit.names("random"), *(_INPUT if whole else ())])
        self.arguments = tuple(names)
        self._circuit, self._call_all = circuit, cpu_calls.each_step() if whole else cpu_calls.once()
        self._compiled = [compiled for operation in operations for compiled in compiler.compiled(operation)]
        self._advance = int(circuit.learns)  # what a step adds to the step counter
        self._bound: tuple[object, ...] = ()  # the rows in use and the arrays, kept beside so that none takes another's place
        self._arrays: Sequence[np.ndarray] = ()
        self._memory: Mapping[str, np.ndarray] = {}
        self._kept: list[np.ndarray] = []  # what the calls point to, beside the memory
        self._calls = np.zeros((0, cpu_calls.CALL_WIDTH), np.int64)

    def once(self, memory: Memory) -> None:
        """See Compiled."""
        self._bind(memory)
        self._call_all(self._calls, *self._counters())

    def steps(self, memory: Memory, offsets: np.ndarray, units: np.ndarray, begin: int, end: int) -> None:
        """See Compiled."""
        self._bind(memory)
        lists = (self._memory[name] for name in _INPUT)
        self._call_all(begin, end, offsets, units, *lists, self._calls, *self._counters(), self._advance)

    def _counters(self) -> tuple[np.ndarray, np.ndarray]:
        """Seed and step; a circuit that draws nothing has neither."""
        return self._memory.get("random_seed", _NOT_DRAWN), self._memory.get("random_step", _NOT_DRAWN)

    def _bind(self, memory: Memory) -> None:
        """Make the calls for these arrays, unless they are those of the last time."""
        arrays, used = [memory[name] for name in self.arguments], self._circuit.rows_used(memory)
        which = (*used.items(), *map(id, arrays))
        if which == self._bound:
            return
        self._bound, self._arrays = which, arrays
        axes = (self._circuit.buffers[name].axes for name in self.arguments)
        views = [rows_in_use(array, names, used) for array, names in zip(arrays, axes, strict=True)]
        self._memory, self._kept = dict(zip(self.arguments, views, strict=True)), []
        self._calls = np.array([self._call(compiled) for compiled in self._compiled], np.int64).reshape(-1, cpu_calls.CALL_WIDTH)

    def _call(self, compiled: _Compiled) -> list[int]:
        memory = self._memory
        arrays = compiled.arrays(memory)
        slots = cpu_calls.slots_of(compiled.arguments, arrays)
        self._kept += [*arrays, slots]
        switch = memory[compiled.switch] if compiled.switch else None
        clock = memory[STEPS_LEFT] if compiled.last_steps else None
        return cpu_calls.call_of(compiled.address, slots, compiled.random_stream, switch, clock, compiled.last_steps)
