"""The CPU target: programs and the operations of circuits, compiled by Numba once a process and called by one loop (cpu_calls)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numba
import numpy as np
from numba import types

from tp_lava.circuit import (
    STEPS_LEFT,
    Buffer,
    Circuit,
    Clock,
    Deliver,
    Gather,
    Learn,
    Operation,
    Run,
    Scatter,
    held_as,
    rows_in_use,
    synapse_table,
    touched,
)
from tp_lava.connections import Synapses
from tp_lava.dynamics.piecewise import Piecewise
from tp_lava.dynamics.program import Program
from tp_lava.numbers import draw, mix
from tp_lava.targets import cpu_calls, cpu_events
from tp_lava.targets.cpu_calls import Argument, inlined
from tp_lava.targets.cpu_functions import exp2
from tp_lava.targets.cpu_source import program_body, program_source, scratch_of, table_source, tables_of

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
_INPUT = ("input_active", "input_count")
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
    place: int = cpu_calls.NO_KEY
    switch: str = ""
    within: int = 0

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
    """Ports, then scratch arrays. Numbers are float32, or int32 in a fixed program, whose weights are narrower (see held_as)."""
    number = np.int32 if program.fixed else np.float32
    dtypes = [held_as(port.format) if port.format and port.name == "weight" else number for port in program.ports]
    ports = (Argument(port.name, np.dtype(d), max(1, len(port.axes))) for port, d in zip(program.ports, dtypes, strict=True))
    return *ports, *_scratch_arguments(program)


def _scratch_arguments(program: Program) -> tuple[Argument, ...]:
    return tuple(Argument(s.name, np.dtype(s.dtype), len(s.axes)) for s in scratch_of(program))


def _reassociates(program: Program) -> bool:
    return program.reduces and not program.fixed


def _tables(program: Program) -> dict[str, Callable]:
    return {name: _table(table) for name, table in tables_of(program).items()}


@lru_cache(maxsize=64)
def _table(table: Piecewise) -> Callable:
    scope: dict[str, Any] = dict(_SCOPE)
    exec(compile(table_source(table), "<tp_lava table>", "exec"), scope)
    return inlined(scope["table"])


def _compiled_program(program: Program) -> tuple[int, tuple[Argument, ...]]:
    arguments = _arguments(program)
    return _address(arguments, program_body(program), _tables(program), reassociate=_reassociates(program)), arguments


def carry_out(program: Program, arrays: MutableMapping[str, np.ndarray], key: int = 0) -> None:
    """Run a program in place, as interpret does. arrays: port name -> C-contiguous array, int32 or float32 (weights see held_as)."""
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


class _Operations:
    """Compiles the operations of a circuit."""

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit

    def compiled(self, operation: Operation) -> list[_Compiled]:
        """An operation, as one call or several."""
        match operation:
            case Deliver(weights, events, into, table):
                named = {"weights": weights} | (dict(zip(Synapses._fields, synapse_table(table), strict=True)) if table else {})
                named |= {"active": f"{events}_active", "count": f"{events}_count", "into": into}
                return [self._template(cpu_events.DELIVER_SHARED if table else cpu_events.DELIVER, named)]
            case Gather(population, total):
                lists = {"active": f"{population}_active", "count": f"{population}_count"}
                listed = [self._template(cpu_events.GATHER, {"spikes": f"{population}_spike", **lists})]
                return listed + ([self._template(cpu_events.COUNT, {**lists, "total": total})] if total else [])
            case Run(program, bindings, first, place, switch, within):
                address, arguments = _compiled_program(program)
                buffers = dict(bindings)
                bound = tuple((buffers[port.name], port.name in first) for port in program.ports)
                axes = tuple(port.axes for port in program.ports)
                return [_Compiled(address, arguments, bound, axes, program, self._place(program, place), switch, within)]
            case Learn():
                return [self._learn(operation)]
            case Scatter(population, into):
                named = {"active": f"{population}_active", "count": f"{population}_count", "into": into}
                return [self._template(cpu_events.SCATTER, named)]
            case Clock():
                return [self._template(cpu_events.CLOCK, {"steps_left": STEPS_LEFT})]

    def _template(self, template: str, named: Mapping[str, str]) -> _Compiled:
        arguments = tuple(self._argument(name, buffer) for name, buffer in named.items())
        return _Compiled(_address(arguments, _indented(template)), arguments, tuple((buffer, False) for buffer in named.values()))

    def _argument(self, name: str, buffer: str) -> Argument:
        held: Buffer = self.circuit.buffers[buffer]
        return Argument(name, np.dtype(held.dtype), max(1, len(held.axes)))

    def _learn(self, operation: Learn) -> _Compiled:
        program, events = operation.program, operation.events
        pre = {"trace": operation.trace} if operation.trace else {"active": f"{events}_active", "count": f"{events}_count"}
        named = {"weights": operation.weights, **pre, "third": operation.third}
        scratch = _scratch_arguments(program)
        arguments = (*(self._argument(name, buffer) for name, buffer in named.items()), *scratch)
        template = cpu_events.LEARN_TRACE if operation.trace else cpu_events.LEARN_EVENTS
        text = template.format(row_key=cpu_events.ROW_KEY if program.uses_random else "", scratch="".join(f", {s.name}" for s in scratch))
        address = _address(arguments, _indented(text), {"program": _row_program(program)})
        bound, axes = tuple((buffer, False) for buffer in named.values()), (("", "n"),)  # scratch is as long as a row of the weights
        return _Compiled(
            address, arguments, bound, axes, program, self._place(program, operation.place), operation.switch, operation.within
        )

    @staticmethod
    def _place(program: Program, place: int) -> int:
        return place if program.uses_random else cpu_calls.NO_KEY


# Circuits ----------------------------------------------------------------------------------------


class CompiledOperations:
    """Some operations of a circuit, to be carried out in order on its buffers: `arguments` names those that it takes.

    Operations that differ in sizes alone share their code.
    """

    def __init__(self, circuit: Circuit, operations: Sequence[Operation] | None = None) -> None:
        """operations: all of the circuit's step, if not given."""
        compiler, whole = _Operations(circuit), operations is None
        operations = circuit.step if operations is None else operations
        names = dict.fromkeys(name for operation in operations for name in touched(operation))
        names |= dict.fromkeys([*circuit.names("random"), *(_INPUT if whole else ())])
        self.arguments = tuple(names)
        self._circuit, self._call_all = circuit, cpu_calls.each_step() if whole else cpu_calls.once()
        self._compiled = [compiled for operation in operations for compiled in compiler.compiled(operation)]
        self._bound: tuple[int, ...] = ()  # the target streams in use and the arrays, kept beside so that none takes another's place
        self._arrays: Sequence[np.ndarray] = ()
        self._memory: Mapping[str, np.ndarray] = {}
        self._kept: list[np.ndarray] = []  # what the calls point to, beside the memory
        self._calls = np.zeros((0, cpu_calls.CALL_WIDTH), np.int64)

    def once(self, arrays: Sequence[np.ndarray], streams: int) -> None:
        """Carry them out once; steps are not counted. arrays: in the order of `arguments`; streams: target streams in use."""
        self._bind(arrays, streams)
        self._call_all(self._calls, *self._counters())

    def each_step(self, arrays: Sequence[np.ndarray], streams: int, offsets: np.ndarray, units: np.ndarray, begin: int, end: int) -> None:
        """Steps begin..end-1 of one sample per row. units: int32, the active inputs of all rows; offsets: int32 (rows, T + 1)."""
        self._bind(arrays, streams)
        lists = (self._memory[name] for name in _INPUT)
        self._call_all(begin, end, offsets, units, *lists, self._calls, *self._counters(), int(self._circuit.learns))

    def _counters(self) -> tuple[np.ndarray, np.ndarray]:
        """Seed and step; a circuit that draws nothing has neither."""
        return self._memory.get("random_seed", _NOT_DRAWN), self._memory.get("random_step", _NOT_DRAWN)

    def _bind(self, arrays: Sequence[np.ndarray], streams: int) -> None:
        """Make the calls for these arrays, unless they are those of the last time."""
        which = (streams, *map(id, arrays))
        if which == self._bound:
            return
        self._bound, self._arrays = which, arrays
        in_use = streams != self._circuit.sizes.get("k", 0)
        axes = (self._circuit.buffers[name].axes for name in self.arguments)
        views = [rows_in_use(array, names, streams) if in_use else array for array, names in zip(arrays, axes, strict=True)]
        self._memory, self._kept = dict(zip(self.arguments, views, strict=True)), []
        self._calls = np.array([self._call(compiled) for compiled in self._compiled], np.int64).reshape(-1, cpu_calls.CALL_WIDTH)

    def _call(self, compiled: _Compiled) -> list[int]:
        memory = self._memory
        arrays = compiled.arrays(memory)
        slots = cpu_calls.slots_of(compiled.arguments, arrays)
        self._kept += [*arrays, slots]
        switch = memory[compiled.switch] if compiled.switch else None
        clock = memory[STEPS_LEFT] if compiled.within else None
        return cpu_calls.call_of(compiled.address, slots, compiled.place, switch, clock, compiled.within)
