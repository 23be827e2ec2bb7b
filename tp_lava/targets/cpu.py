"""The CPU target: programs and whole circuits compiled by Numba.

A program becomes one function over its arrays, a circuit one function over its buffers and a stretch of
events, which calls its programs through pointers, so that each part is optimised once. Equal parts are
compiled once a process.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numba
import numpy as np
from numba import types

from tp_lava.circuit import STEPS_LEFT, Circuit, Clock, Deliver, Gather, Learn, Operation, Run, Scatter, held_as, synapse_table, touched
from tp_lava.dynamics.piecewise import Piecewise
from tp_lava.dynamics.program import Program
from tp_lava.numbers import draw, mix
from tp_lava.targets.cpu_functions import exp2
from tp_lava.targets.cpu_source import program_source, scratch_of, table_source, tables_of

_REASSOCIATE = {"reassoc", "nsz"}  # lets LLVM vectorise float sums; results stay the same on one machine
_inlined = numba.njit(forceinline=True, error_model="numpy")


@_inlined
def _select(condition, a, b):
    return a if condition else b


_SCOPE = {
    "np": np,
    "i32": np.int32,
    "i64": np.int64,
    "u32": np.uint32,
    "f32": np.float32,
    "mix": _inlined(mix),
    "draw": _inlined(draw),
    "select": _select,
    "exp2": exp2,
}


class _Pointer(types.WrapperAddressProtocol):
    """A compiled function as callers see it: an address and a signature."""

    def __init__(self, function) -> None:
        (self._signature,) = function.nopython_signatures
        self._function = function
        self._address = function.get_compile_result(self._signature).library.get_pointer_to_function(
            function.get_compile_result(self._signature).fndesc.llvm_cfunc_wrapper_name
        )

    def __wrapper_address__(self) -> int:
        return self._address

    def signature(self):
        return self._signature


_NO_NAMES: Mapping[str, object] = MappingProxyType({})
_functions: dict[tuple, Callable] = {}
_pointers: dict[Callable, _Pointer] = {}


def _compile(
    source: str,
    name: str,
    argument_types: tuple,
    names: Mapping[str, object] = _NO_NAMES,
    *,
    reassociate: bool = False,
    from_python: bool = False,
) -> Callable:
    """Compile the function `name` of a source for one signature, once; to be called from Python, or else by pointer."""
    key = (source, argument_types, reassociate, from_python, *names.items())
    if key not in _functions:
        scope = {**_SCOPE, **names}
        exec(compile(source, f"<tp_lava {name}>", "exec"), scope)
        options: dict[str, Any] = {
            "nogil": True,  # so that the threads of Lava's channels go on while we compute
            "fastmath": _REASSOCIATE if reassociate else False,
            "error_model": "numpy",
            "no_cpython_wrapper": not from_python,
            "no_cfunc_wrapper": from_python,
        }
        _functions[key] = numba.njit(types.void(*argument_types), **options)(scope[name])
    return _functions[key]


def _pointer(function: Callable) -> _Pointer:
    return _pointers.setdefault(function, _Pointer(function))


def _array(dtype: type, dimensions: int, readonly: bool = False) -> types.Array:
    return types.Array(numba.from_dtype(np.dtype(dtype)), max(1, dimensions), "C", readonly=readonly)


def compile_program(program: Program, *, from_python: bool = True) -> Callable:
    """A Numba function f([key,] *arrays, *scratch), arrays in the order of program.ports; key (uint32) if it draws random bits.

    Arrays are C-contiguous: float32, or int32 in a fixed program, whose weights are int8 (see held_as); scratch: as scratch_of
    says, allocated by the caller, since a step is too short to do so.
    """
    number = np.int32 if program.fixed else np.float32
    dtypes = [held_as(port.format) if port.format and port.name == "weight" else number for port in program.ports]
    arrays = tuple(_array(dtype, len(port.axes)) for dtype, port in zip(dtypes, program.ports, strict=True))
    arrays += _scratch_types(program)
    key = (types.uint32,) if program.uses_random else ()
    reassociate = program.reduces and not program.fixed
    tables = {name: _table(table) for name, table in tables_of(program).items()}
    return _compile(program_source(program), "program", key + arrays, tables, reassociate=reassociate, from_python=from_python)


@lru_cache(maxsize=64)
def _table(table: Piecewise) -> Callable:
    scope: dict[str, Any] = dict(_SCOPE)
    exec(compile(table_source(table), "<tp_lava table>", "exec"), scope)
    return _inlined(scope["table"])


def _scratch_types(program: Program) -> tuple[types.Array, ...]:
    return tuple(_array(getattr(np, scratch.dtype), len(scratch.axes)) for scratch in scratch_of(program))


# Event-driven work -------------------------------------------------------------------------------

_LOAD = """
def load(offsets, units, t, active, count):
    for r in range(offsets.shape[0]):
        begin = offsets[r, t]
        count[r] = offsets[r, t + 1] - begin
        for q in range(count[r]):
            active[r, q] = units[begin + q]
"""
_DELIVER = """
def deliver(weights, active, count, into):
    into[...] = 0
    n = into.shape[1]
    for r in range(into.shape[0]):
        q = 0
        while q + 4 <= count[r]:  # by four, in the same order: a sum is loaded and stored a quarter as often
            a, b, c, d = active[r, q], active[r, q + 1], active[r, q + 2], active[r, q + 3]
            for j in range(n):
                into[r, j] = into[r, j] + weights[a, j] + weights[b, j] + weights[c, j] + weights[d, j]
            q += 4
        for p in range(q, count[r]):
            a = active[r, p]
            for j in range(n):
                into[r, j] += weights[a, j]
"""
_DELIVER_SHARED = """
def deliver(weights, offsets, targets, taps, active, count, into):
    into[...] = 0
    kernel = weights.ravel()
    for r in range(into.shape[0]):
        for q in range(count[r]):
            i = active[r, q]
            for k in range(offsets[i], offsets[i + 1]):
                into[r, targets[k]] += kernel[taps[k]]
"""
_GATHER = """
def gather(spikes, active, count):
    for r in range(spikes.shape[0]):
        found = 0
        for j in range(spikes.shape[1]):  # without a branch: whether a neuron spikes is hard to predict
            active[r, found] = j
            found += 1 if spikes[r, j] != 0 else 0
        count[r] = found
"""
_SCATTER = """
def scatter(active, count, into):
    into[...] = 0
    for r in range(into.shape[0]):
        for q in range(count[r]):
            into[r, active[r, q]] = 1
"""
_COUNT = """
def count_up(active, count, total):
    for r in range(count.shape[0]):
        for q in range(count[r]):
            total[r, active[r, q]] += 1
"""
_LEARN_EVENTS = """
def learn({key}weights, active, count, third{scratch}):
    for r in range(third.shape[0]):
        for q in range(count[r]):
            i = active[r, q]
            program({row_key}weights[i], third[r]{scratch})
"""
_LEARN_TRACE = """
def learn({key}weights, trace, third{scratch}):
    for r in range(third.shape[0]):
        for i in range(weights.shape[0]):
            if trace[r, i] != 0:
                program({row_key}weights[i], trace[r, i : i + 1], third[r]{scratch})
"""
_ROW_KEY = "mix(key, u32(r * weights.shape[0] + i)), "
_SHORT = ("load", "deliver", "gather", "count_up")  # a call by pointer costs as much as they do
_COUNTS, _UNITS = _array(np.int32, 1), _array(np.int32, 2)
_OFFSETS, _EVENTS = _array(np.int32, 2, readonly=True), _array(np.int32, 1, readonly=True)


def _compile_learn(operation: Learn, number: types.Array, weight: types.Array) -> Callable:
    random, traced = operation.program.uses_random, bool(operation.trace)
    scratch = "".join(f", {scratch.name}" for scratch in scratch_of(operation.program))
    template = _LEARN_TRACE if traced else _LEARN_EVENTS
    source = template.format(key="key, " if random else "", row_key=_ROW_KEY if random else "", scratch=scratch)
    pre = (number,) if traced else (_UNITS, _COUNTS)
    arguments = ((types.uint32,) if random else ()) + (weight, *pre, number, *_scratch_types(operation.program))
    return _compile(source, "learn", arguments, {"program": compile_program(operation.program, from_python=False)})


# Circuits ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CompiledCircuit:
    """run(begin, end, offsets, units, *buffers): steps begin..end-1 of one sample per row. A stage: run(*buffers).

    units: int32, the active inputs of all rows; offsets: int32 (rows, T + 1), where in units each step begins;
    buffers: arrays in the order of `arguments`.
    """

    arguments: tuple[str, ...]
    run: Callable


def compile_circuit(circuit: Circuit) -> CompiledCircuit:
    """Compile a circuit; those that differ in sizes and weights alone share their code."""
    code = _CircuitCode(circuit, _SHORT)
    arguments = tuple(circuit.buffers)
    arrays = tuple(_array(b.dtype, len(b.axes)) for b in circuit.buffers.values())
    argument_types = (types.int64, types.int64, _OFFSETS, _EVENTS, *arrays)
    return CompiledCircuit(arguments, _compile(code.source(arguments), "run", argument_types, code.functions, from_python=True))


def compile_stage(circuit: Circuit, operations: Sequence[Operation]) -> CompiledCircuit:
    """Compile some operations of a circuit, to be carried out once: run(*buffers). They do not count steps."""
    code = _CircuitCode(circuit)
    arguments = tuple(dict.fromkeys(name for operation in operations for name in touched(operation)))
    arguments += tuple(name for name in circuit.names("random") if name not in arguments)
    arrays = tuple(_array(circuit.buffers[name].dtype, len(circuit.buffers[name].axes)) for name in arguments)
    source = code.stage_source(operations, arguments)
    for position, name in enumerate(arguments):  # so that the same stages of two layers are the same code
        source = re.sub(rf"\b{name}\b", f"a{position}", source)
    return CompiledCircuit(arguments, _compile(source, "run", arrays, code.functions, from_python=True))


class _CircuitCode:
    """The source of a circuit's loop over time and the functions it calls."""

    def __init__(self, circuit: Circuit, inlined: tuple[str, ...] = ()) -> None:
        self.circuit = circuit
        self.inlined = inlined
        number = np.int32 if circuit.fixed else np.float32
        self.number = _array(number, 2)
        self.functions: dict[str, _Pointer | Callable] = {}
        self.head: list[str] = []  # carried out once, before the first step

    def source(self, arguments: tuple[str, ...]) -> str:
        load = _compile(_LOAD, "load", (_OFFSETS, _EVENTS, types.int64, _UNITS, _COUNTS))
        body = [self._call(load, ["offsets", "units", "t", "input_active", "input_count"])]
        if self.circuit.learns:
            body += ["base = mix(random_seed[0], random_step[0])", "random_step[0] += u32(1)"]
        body += [line for operation in self.circuit.step for line in self._lines(operation)]
        signature = f"def run(begin, end, offsets, units, {', '.join(arguments)}):"
        head = [signature, *(f"    {line}" for line in self.head), "    for t in range(begin, end):"]
        return "\n".join([*head, *(f"        {line}" for line in body)]) + "\n"

    def stage_source(self, operations: Sequence[Operation], arguments: tuple[str, ...]) -> str:
        body = ["base = mix(random_seed[0], random_step[0])"]
        body += [line for operation in operations for line in self._lines(operation)]
        return "\n".join([f"def run({', '.join(arguments)}):", *(f"    {line}" for line in self.head + body)]) + "\n"

    def _call(self, function: Callable, arguments: list[str]) -> str:
        name = f"f{len(self.functions)}"
        self.functions[name] = function if function.__name__ in self.inlined else _pointer(function)
        return f"{name}({', '.join(arguments)})"

    def _weights(self, name: str) -> types.Array:
        buffer = self.circuit.buffers[name]
        return _array(buffer.dtype, len(buffer.axes))

    def _lines(self, operation: Operation) -> list[str]:
        match operation:
            case Deliver(weights, events, into, table):
                tables = synapse_table(table)
                source = _DELIVER_SHARED if table else _DELIVER
                signature = (self._weights(weights), *(_COUNTS for _ in tables), _UNITS, _COUNTS, self.number)
                deliver = _compile(source, "deliver", signature)
                return [self._call(deliver, [weights, *tables, f"{events}_active", f"{events}_count", into])]
            case Gather(population, total):
                lists = [f"{population}_active", f"{population}_count"]
                gather = _compile(_GATHER, "gather", (self.number, _UNITS, _COUNTS))
                lines = [self._call(gather, [f"{population}_spike", *lists])]
                count_up = _compile(_COUNT, "count_up", (_UNITS, _COUNTS, _UNITS))
                return lines + ([self._call(count_up, [*lists, total])] if total else [])
            case Run(program, bindings, first, place):
                arrays = [f"{buffer}[0:1]" if port in first else buffer for port, buffer in bindings]
                arrays += self._scratch(program, dict(zip((port for port, _ in bindings), arrays, strict=True)))
                return self._guarded(operation, self._call(compile_program(program, from_python=False), self._key(program, place) + arrays))
            case Learn(program, weights, third, _, events, trace, place):
                active = [trace] if trace else [f"{events}_active", f"{events}_count"]
                learn = _compile_learn(operation, self.number, self._weights(weights))
                scratch = self._scratch(program, {"weight": f"{weights}[0]"})
                return self._guarded(operation, self._call(learn, [*self._key(program, place), weights, *active, third, *scratch]))
            case Scatter(population, into):
                scatter = _compile(_SCATTER, "scatter", (_UNITS, _COUNTS, self.number))
                return [self._call(scatter, [f"{population}_active", f"{population}_count", into])]
            case Clock():
                return [f"{STEPS_LEFT}[0] -= 1"]

    def _scratch(self, program: Program, arrays: Mapping[str, str]) -> list[str]:
        """Names of a program's scratch arrays, allocated in the head. arrays: source of the array of each port."""
        names = []
        for scratch in scratch_of(program):
            owners = [next(port for port in program.ports if axis in port.axes) for axis in scratch.axes]
            shape = "".join(f"{arrays[o.name]}.shape[{o.axes.index(a)}], " for o, a in zip(owners, scratch.axes, strict=True))
            names.append(f"scratch{len(self.head)}")
            self.head.append(f"{names[-1]} = np.empty(({shape}), np.{scratch.dtype})")
        return names

    @staticmethod
    def _guarded(operation: Run | Learn, line: str) -> list[str]:
        conditions = [f"{operation.switch}[0] != 0"] if operation.switch else []
        conditions += [f"0 <= {STEPS_LEFT}[0] < {operation.within}"] if operation.within else []
        return [f"if {' and '.join(conditions)}:", f"    {line}"] if conditions else [line]

    @staticmethod
    def _key(program: Program, place: int) -> list[str]:
        return [f"mix(base, u32({place}))"] if program.uses_random else []
