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

from tp_lava.backends import cpu_calls, cpu_events, cpu_maps, cpu_pools
from tp_lava.backends.cpu_calls import Argument, inlined
from tp_lava.backends.cpu_functions import exp2
from tp_lava.backends.cpu_rows import add_parts, add_rows, add_scaled_parts, add_scaled_rows, transpose
from tp_lava.backends.cpu_source import program_body, program_source, table_names, table_source
from tp_lava.backends.protocol import Memory, operation_entry
from tp_lava.backends.scalar import scratch_of
from tp_lava.circuit import (
    Accumulate,
    AccumulateProducts,
    Buffer,
    Circuit,
    CountSteps,
    Delay,
    ListEvents,
    MarkEvents,
    Operation,
    Pool,
    RunProgram,
    Unpool,
    UpdateWeights,
)
from tp_lava.circuit.circuit import touched
from tp_lava.circuit.operations import INPUT_KEPT, INPUT_VALUES, STEPS_LEFT, events_of, rows_in_use, stored_weight_type
from tp_lava.dynamics.piecewise import Piecewise
from tp_lava.dynamics.program import Program
from tp_lava.graph.connections import GEOMETRY, Convolution
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
    "u64": np.uint64,
    "f32": np.float32,
    "mix": inlined(mix),
    "draw": inlined(draw),
    "select": _select,
    "exp2": exp2,
    "add_parts": add_parts,
    "add_rows": add_rows,
    "add_scaled_parts": add_scaled_parts,
    "add_scaled_rows": add_scaled_rows,
    "transpose": transpose,
    **cpu_calls.SCOPE,
}
_INPUT = events_of(INPUT)
_NOT_DRAWN = np.zeros(1, np.uint32)
_NOT_KEPT = np.zeros(1, np.int32)
_NO_VALUES, _NOT_GRADED = np.zeros(0, np.int32), np.zeros((0, 0), np.int32)
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
    clock: str = STEPS_LEFT
    maps: tuple[tuple[int, ...], ...] = ()  # of each bound array: (channels, positions) of its units, where it is seen so
    work: tuple[tuple[tuple[int, ...], Any], ...] = ()  # shape and type of further scratch arrays

    def arrays(self, memory: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Its arrays, scratch arrays made anew: a step is too short to make them."""
        found = [memory[buffer][0:1] if first else memory[buffer] for buffer, first in self.bound]
        found = [a.reshape(*a.shape[:-1], *maps) if maps else a for a, maps in zip(found, self.maps, strict=True)] if self.maps else found
        sizes = {axis: size for axes, array in zip(self.axes, found, strict=False) for axis, size in zip(axes, array.shape, strict=False)}
        scratch = scratch_of(self.program) if self.program else ()
        made = [np.empty([sizes[axis] for axis in s.axes], s.dtype) for s in scratch]
        return found + made + [cpu_calls.aligned(shape, dtype) for shape, dtype in self.work]


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
    dtypes = [stored_weight_type(port.format) if port.format and port.name.startswith("weight") else number for port in program.ports]
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
    """Compiles the operations of a circuit. keeps: what a constant input delivers is kept; only who runs whole steps knows when."""

    def __init__(self, circuit: Circuit, *, keeps: bool = False) -> None:
        self.circuit, self.keeps = circuit, keeps

    def compiled(self, operation: Operation) -> list[_Compiled]:
        """An operation, as one call or several."""
        return operation_entry(CPU.name, _OPERATION_TABLE, operation)(self, operation)

    def accumulate(self, o: Accumulate) -> list[_Compiled]:
        """See Accumulate."""
        named = {"weights": o.weights, **self._lists(o.events), "into": o.into} | ({"values": o.values} if o.values else {})
        if o.offsets:
            text = cpu_events.DELIVER_REACHED.format(value="values[r, v] * " if o.values else "")
            made = self._template(text, {**named, "offsets": o.offsets, "targets": o.targets})
        elif o.kind is None:
            made = self._template(cpu_events.DELIVER_VALUES if o.values else cpu_events.DELIVER, named)
        elif cpu_maps.takes(o.kind):
            number = np.int32 if self.circuit.fixed else np.float32
            made = self._placed(
                cpu_maps.deliver(bool(o.values)),
                {**named, "geometry": o.geometry},
                cpu_maps.work(o.kind, number, number, self.circuit.buffers[o.weights].dtype),
            )
        else:
            inner = cpu_events.INNER_DELIVER.format(value="values[r, i] * " if o.values else "", **_seen(o.kind))
            geometry = {**named, "geometry": o.geometry}
            made = self._maps(cpu_events.DELIVER_MAPS, cpu_events.ACTIVE_EVENTS, inner, o.kind, geometry, "weights")
        return [replace(made, clock=INPUT_KEPT, last_steps=1) if o.keeps and self.keeps else made]

    def _maps(
        self,
        template: str,
        active: str,
        inner: str,
        kind: Convolution,
        named: Mapping[str, str],
        weights: str,
        names: Mapping[str, object] = _NO_NAMES,
    ) -> _Compiled:
        """An operation that goes through what active units reach by a convolution, its maps in a scratch array."""
        taps = cpu_events.TAPS.replace("{inner}", inner.strip("\n")).strip("\n")
        text = template.replace("{active}", active).replace("{taps}", taps)
        number = np.int32 if self.circuit.fixed else np.float32
        shape = (kind.output_shape[1] * kind.output_shape[2], kind.channels)
        text = f"rows = {weights}.reshape(({weights}.size // oc, oc))\n" + text.strip("\n")
        return self._placed(text, named, {"maps": (shape, number)}, names)

    def _placed(self, text: str, named: Mapping[str, str], work: cpu_maps.Work, names: Mapping[str, object] = _NO_NAMES) -> _Compiled:
        """An operation on maps, by the geometry of a convolution. work: further scratch arrays."""
        lines = [f"{name} = i64(geometry[{place}])" for place, name in enumerate(GEOMETRY)]
        scratch = (Argument(name, np.dtype(dtype), len(shape)) for name, (shape, dtype) in work.items())
        arguments = (*(self._argument(name, buffer) for name, buffer in named.items()), *scratch)
        address = _address(arguments, _indented("\n".join(lines) + "\n" + text.strip("\n")), names)
        return _Compiled(address, arguments, tuple((buffer, False) for buffer in named.values()), work=tuple(work.values()))

    def pool(self, o: Pool) -> list[_Compiled]:
        """See Pool."""
        return [self._template(cpu_pools.pool(o, self.circuit.fixed), {"source": o.source, "into": o.into, **_tables_of(o)})]

    def unpool(self, o: Unpool) -> list[_Compiled]:
        """See Unpool."""
        named = {"signal": o.signal, "into": o.into, **_tables_of(o)} | ({"source": o.source} if o.pooling.mode == "max" else {})
        return [self._template(cpu_pools.unpool(o, self.circuit.fixed), named)]

    def delay(self, o: Delay) -> list[_Compiled]:
        """See Delay."""
        arrived, arrived_count = events_of(o.into)
        named = {**self._lists(o.events), "arrived": arrived, "arrived_count": arrived_count, "delays": o.delays}
        named |= {"pending": o.pending, "waiting": o.waiting, "present": o.slot}
        if not o.values:
            return [self._template(cpu_events.DELAY.format(copies=o.copies, keep="", take_back="", give=""), named)]
        named |= {"values": o.values, "pending_values": o.pending_values, "arrived_values": o.arrived_values}
        return [self._template(cpu_events.DELAY.format(copies=o.copies, **cpu_events.DELAYED_VALUES), named)]

    def list_events(self, o: ListEvents) -> list[_Compiled]:
        """See ListEvents."""
        lists = self._lists(o.population)
        listed = [self._template(cpu_events.GATHER, {"spikes": o.spikes, **lists})]
        return listed + ([self._template(cpu_events.COUNT, {**lists, "total": o.total})] if o.total else [])

    def mark_events(self, o: MarkEvents) -> list[_Compiled]:
        """See MarkEvents."""
        named = {**self._lists(o.population), "into": o.into} | ({"values": o.values} if o.values else {})
        return [self._template(cpu_events.SCATTER.format(value="values[r, active[r, q]]" if o.values else "1"), named)]

    def count_steps(self, o: CountSteps) -> list[_Compiled]:
        """See CountSteps."""
        return [self._template(cpu_events.CLOCK, {"steps_left": STEPS_LEFT})]

    def run_program(self, o: RunProgram) -> list[_Compiled]:
        """See RunProgram."""
        address, arguments = _compiled_program(o.program)
        buffers, ports = dict(o.bindings), o.program.ports
        bound = tuple((buffers[port.name], port.name in o.first) for port in ports)
        axes, stream = tuple(port.axes for port in ports), self._stream(o.program, o.random_stream)
        maps = tuple(dict(o.maps).get(port.name, ()) for port in ports) if o.maps else ()
        return [_Compiled(address, arguments, bound, axes, o.program, stream, o.switch, o.last_steps, maps=maps)]

    def update_weights(self, o: UpdateWeights) -> list[_Compiled]:
        """See UpdateWeights: a loop over rows and active units that calls the program on a row of the weights."""
        if o.kind is not None:
            return [self._update_local(o, o.kind)]
        if o.offsets:
            return [self._update_reached(o)]
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
        if buffer.outputs_last:
            return f"{port}[i]"
        if len(buffer.axes) < 2:  # a number, or one a neuron
            return port
        return f"{port}[r]" if o.program.port(port).axes else f"{port}[r, i : i + 1]"

    def _update_local(self, o: UpdateWeights, kind: Convolution) -> _Compiled:
        """The same where each position of a convolution has weights of its own."""
        program, bound = o.program, dict(o.bindings)
        seen = {"weight": "rows[row, low:high]", "x1": "trace[r, i : i + 1]", "y1": "maps[p, low:high]"}
        call = ", ".join(seen[port.name] for port in program.ports)
        inner = cpu_events.INNER_LOCAL.replace("{row_key}", cpu_events.LOCAL_KEY if program.uses_random else "").replace(
            "{arguments}", call
        )
        named = {"weights": o.weights, "third": bound["y1"], **(self._lists(o.events) if o.events else {"trace": o.trace})}
        active = cpu_events.ACTIVE_EVENTS if o.events else cpu_events.ACTIVE_TRACE
        names = {"program": _row_program(program)}
        made = self._maps(cpu_events.LEARN_MAPS, active, inner, kind, {**named, "geometry": o.geometry}, "weights", names)
        stream = self._stream(program, o.random_stream)
        return replace(made, random_stream=stream, switch=o.switch, last_steps=o.last_steps)

    def _update_reached(self, o: UpdateWeights) -> _Compiled:
        """The same of the synapses that each delayed unit has: their weights and third factors are gathered, and the weights put back."""
        program, bound = o.program, dict(o.bindings)
        seen = {"weight": "held[:n]", "x1": "x1[r, v : v + 1]", "y1": "posts[:n]"}
        call = ", ".join(seen[port.name] for port in program.ports)
        named = {**bound, "offsets": o.offsets, "targets": o.targets}
        named |= self._lists(o.events) if o.events else {"trace": o.trace}
        active = cpu_events.ACTIVE_REACHED_EVENTS if o.events else cpu_events.ACTIVE_REACHED_TRACE
        text = cpu_events.LEARN_REACHED.replace("{active}", active).format(
            row_key=cpu_events.REACHED_KEY if program.uses_random else "", arguments=call
        )
        post = self.circuit.shape(o.weights)[-1]
        arguments = tuple(self._argument(name, buffer) for name, buffer in named.items())
        work = tuple(((post,), arguments[list(named).index(port)].dtype) for port in ("weight", "y1"))
        gathered = tuple(Argument(name, np.dtype(dtype), 1) for name, (_, dtype) in zip(("held", "posts"), work, strict=True))
        arguments = (*arguments, *gathered)
        address = _address(arguments, _indented(text), {"program": _row_program(program)})
        held = tuple((buffer, False) for buffer in named.values())
        stream = self._stream(program, o.random_stream)
        return _Compiled(address, arguments, held, random_stream=stream, switch=o.switch, last_steps=o.last_steps, work=work)

    def accumulate_products(self, o: AccumulateProducts) -> list[_Compiled]:
        """See AccumulateProducts."""
        change = self.circuit.buffers[o.change]
        named = {"change": o.change, "third": o.third_factor, **(self._lists(o.events) if o.events else {"trace": o.trace})}
        if cpu_maps.takes(o.kind):
            number = np.int32 if self.circuit.fixed else np.float32
            work = cpu_maps.work(o.kind, cpu_maps.narrowest(self.circuit.buffers[o.third_factor].format), number)
            made = self._placed(cpu_maps.learn(o.kind, bool(o.events), change.format), {**named, "geometry": o.geometry}, work)
            return [replace(made, switch=o.switch, last_steps=o.last_steps)]
        active = cpu_events.ACTIVE_EVENTS if o.events else cpu_events.ACTIVE_TRACE
        inner = cpu_events.INNER_PRODUCTS.format(value="" if o.events else "x1 * ", **_seen(o.kind))
        clip = cpu_events.CLIP.format(high=change.format.high) if change.format else ""
        made = self._maps(cpu_events.LEARN_MAPS + clip, active, inner, o.kind, {**named, "geometry": o.geometry}, "change")
        return [replace(made, switch=o.switch, last_steps=o.last_steps)]

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


def _tables_of(o: Pool | Unpool) -> dict[str, str]:
    return {"windows": o.windows} | ({"share": o.share} if o.share else {})


def _seen(kind: Convolution) -> dict[str, str]:
    """Of maps and weights, what a unit reaches at one position."""
    return cpu_events.WHOLE if kind.groups == 1 else cpu_events.GROUP


_OPERATION_TABLE: dict[type[Operation], Callable[..., list[_Compiled]]] = {
    Accumulate: _Compiler.accumulate,
    AccumulateProducts: _Compiler.accumulate_products,
    CountSteps: _Compiler.count_steps,
    Delay: _Compiler.delay,
    ListEvents: _Compiler.list_events,
    MarkEvents: _Compiler.mark_events,
    Pool: _Compiler.pool,
    RunProgram: _Compiler.run_program,
    Unpool: _Compiler.unpool,
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
        whole = operations is None
        compiler = _Compiler(circuit, keeps=whole)
        operations = circuit.step if operations is None else operations
        graded = (INPUT_VALUES, INPUT_KEPT) if INPUT_VALUES in circuit.buffers else ()
        names = dict.fromkeys([*touched(operations), *circuit.names("random"), *((*_INPUT, *graded) if whole else ())])
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

    def steps(
        self,
        memory: Memory,
        offsets: np.ndarray,
        units: np.ndarray,
        begin: int,
        end: int,
        values: np.ndarray | None = None,
        constant: bool = False,
    ) -> None:
        """See Compiled."""
        self._bind(memory)
        lists = (self._memory[name] for name in _INPUT)
        graded = (_NO_VALUES, _NOT_GRADED, _NOT_KEPT)
        if values is not None:  # as words, whatever their type
            graded = values.view(np.int32), self._memory[INPUT_VALUES].view(np.int32), self._memory[INPUT_KEPT]
        self._call_all(begin, end, offsets, units, *graded, int(constant), *lists, self._calls, *self._counters(), self._advance)

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
        clock = memory[compiled.clock] if compiled.last_steps else None
        return cpu_calls.call_of(compiled.address, slots, compiled.random_stream, switch, clock, compiled.last_steps)
