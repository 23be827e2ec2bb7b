"""The operations of circuits as calls of compiled code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from tp_lava.backends import cpu_calls, cpu_changes, cpu_dense, cpu_events, cpu_maps, cpu_patches, cpu_pools
from tp_lava.backends.cpu_calls import Argument
from tp_lava.backends.cpu_operation import Source
from tp_lava.backends.cpu_programs import (
    NO_NAMES,
    Compiled,
    address_of,
    compiled_program,
    indented,
    part_of,
    row_program,
    scratch_arguments_of,
)
from tp_lava.backends.cpu_shares import Share, share_of
from tp_lava.backends.cpu_text import LANES
from tp_lava.backends.protocol import operation_entry
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
from tp_lava.circuit.operations import INPUT_KEPT, STEPS_LEFT, events_of
from tp_lava.dynamics.program import Program
from tp_lava.graph.connections import GEOMETRY, Convolution
from tp_lava.numbers import Format

NAME = "CPU"


class Compiler:
    """Compiles the operations of a circuit. keeps: what a constant input delivers is kept; only who runs whole steps knows when.

    threads: how many share a large operation, see cpu_threads.
    """

    def __init__(self, circuit: Circuit, *, keeps: bool = False, threads: int = 1) -> None:
        self.circuit, self.keeps, self.threads = circuit, keeps, threads
        self.resting = cpu_changes.known_to_rest(circuit)

    def compiled(self, operation: Operation) -> list[Compiled]:
        """An operation, as one call or several."""
        made, share = operation_entry(NAME, _OPERATION_TABLE, operation)(self, operation), self._share(operation)
        return [replace(each, count=share.count, least=share.least) for each in made] if share else made

    def _share(self, o: Operation) -> Share | None:
        return share_of(self.circuit, o) if self.threads > 1 else None

    def _parts(self, o: Operation) -> int:
        """Of how many parts an operation consists."""
        return self.threads if self._share(o) else 1

    def accumulate(self, o: Accumulate) -> list[Compiled]:
        """See Accumulate."""
        parts = self._parts(o)
        named = {"weights": o.weights, **self._lists(o.events), "into": o.into} | ({"values": o.values} if o.values else {})
        if o.offsets:
            text = cpu_events.DELIVER_REACHED.format(value="values[r, v] * " if o.values else "")
            made = self._template(text, {**named, "offsets": o.offsets, "targets": o.targets})
        elif o.kind is None:
            made = self._dense(cpu_dense.delivering, named, parts)
        elif cpu_maps.takes(o.kind):
            number, weights = self._number, self.circuit.buffers[o.weights].dtype
            maps = cpu_maps.sums(o.kind, number, weights, bool(o.values))
            text = cpu_maps.deliver(o.kind, bool(o.values), weights, parts > 1)
            work = cpu_maps.work(o.kind, maps, number, weights)
            made = self._placed(text, {**named, "geometry": o.geometry}, work, parts=parts)
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
        names: Mapping[str, Source] = NO_NAMES,
    ) -> Compiled:
        """An operation that goes through what active units reach by a convolution, its maps in a scratch array."""
        taps = cpu_events.TAPS.replace("{inner}", inner.strip("\n")).strip("\n")
        text = template.replace("{active}", active).replace("{taps}", taps)
        shape = (kind.output_shape[1] * kind.output_shape[2], kind.channels)
        text = f"rows = seen({weights}, {weights}.size // oc, oc)\n" + text.strip("\n")
        return self._placed(text, named, {"maps": (shape, self._number)}, names)

    def _placed(
        self, text: str, named: Mapping[str, str], work: cpu_maps.Work, names: Mapping[str, Source] = NO_NAMES, parts: int = 1
    ) -> Compiled:
        """An operation on maps, by the geometry of a convolution. work: further scratch arrays."""
        lines = [f"{name} = i64(geometry[{place}])" for place, name in enumerate(GEOMETRY)]
        return self._template("\n".join(lines) + "\n" + text.strip("\n"), named, work, names, parts)

    def pool(self, o: Pool) -> list[Compiled]:
        """See Pool."""
        named = {"source": o.source, "into": o.into, **_tables_of(o)}
        return [self._template(cpu_pools.pool(o, self.circuit.fixed), named, cpu_pools.work(o, self._number))]

    def unpool(self, o: Unpool) -> list[Compiled]:
        """See Unpool."""
        named = {"signal": o.signal, "into": o.into, **_tables_of(o)} | ({"source": o.source} if o.pooling.mode == "max" else {})
        return [self._template(cpu_pools.unpool(o, self.circuit.fixed), named, cpu_pools.work(o, self._number))]

    def delay(self, o: Delay) -> list[Compiled]:
        """See Delay."""
        arrived, arrived_count = events_of(o.into)
        named = {**self._lists(o.events), "arrived": arrived, "arrived_count": arrived_count, "delays": o.delays}
        named |= {"pending": o.pending, "waiting": o.waiting, "present": o.slot}
        if not o.values:
            return [self._template(cpu_events.DELAY.format(copies=o.copies, keep="", take_back="", give=""), named)]
        named |= {"values": o.values, "pending_values": o.pending_values, "arrived_values": o.arrived_values}
        return [self._template(cpu_events.DELAY.format(copies=o.copies, **cpu_events.DELAYED_VALUES), named)]

    def list_events(self, o: ListEvents) -> list[Compiled]:
        """See ListEvents."""
        named = {"spikes": o.spikes, **self._lists(o.population)} | ({"total": o.total} if o.total else {})
        return [self._dense(cpu_dense.listing, named)]

    def mark_events(self, o: MarkEvents) -> list[Compiled]:
        """See MarkEvents."""
        named = {**self._lists(o.population), "into": o.into} | ({"values": o.values} if o.values else {})
        return [self._template(cpu_events.SCATTER.format(value="values[r, active[r, q]]" if o.values else "1"), named)]

    def count_steps(self, o: CountSteps) -> list[Compiled]:
        """See CountSteps."""
        return [self._template(cpu_events.CLOCK, {"steps_left": STEPS_LEFT})]

    def run_program(self, o: RunProgram) -> list[Compiled]:
        """See RunProgram."""
        share, parts = self._share(o), self._parts(o)
        address, arguments = compiled_program(o.program, share.axis if share else "")
        buffers, ports = dict(o.bindings), o.program.ports
        bound = tuple((buffers[port.name], port.name in o.first) for port in ports)
        axes, stream = tuple(port.axes for port in ports), self._stream(o.program, o.random_stream)
        maps = tuple(dict(o.maps).get(port.name, ()) for port in ports) if o.maps else ()
        flag = next((cpu_changes.flag_of(change) for change, applied in self.resting.items() if applied is o), "")
        return [Compiled(address, arguments, bound, axes, o.program, stream, o.switch, o.last_steps, maps=maps, flag=flag, parts=parts)]

    def update_weights(self, o: UpdateWeights) -> list[Compiled]:
        """See UpdateWeights: a loop over rows and active units that calls the program on a row of the weights."""
        if o.kind is not None:
            return [self._update_local(o, o.kind)]
        if o.offsets:
            return [self._update_reached(o)]
        program, scratch, parts = o.program, scratch_arguments_of(o.program), self._parts(o)
        bound = [(port.name, dict(o.bindings)[port.name]) for port in program.ports]
        named = dict(bound)
        active = self._lists(o.events) if o.events else {"trace": o.trace} if o.trace else {}
        named |= {name: buffer for name, buffer in active.items() if (name, buffer) not in bound}
        by = next(iter(active), "")
        work = (((self.circuit.shape(o.weights)[0] + LANES,), np.int32),) if by == "trace" else ()
        listed = tuple(Argument("listed", np.dtype(dtype), len(shape)) for shape, dtype in work)
        arguments = (*(self._argument(name, buffer) for name, buffer in named.items()), *scratch, *listed, *part_of(parts > 1))
        taken = [(argument, self._row(o, argument.name)) for argument in arguments[: len(bound)]]
        taken += [(argument, cpu_dense.whole) for argument in scratch]
        address = cpu_dense.learning(program, taken, arguments, by=by)
        axes = tuple(("", "n") if port == "weight" else () for port in named)  # scratch is as long as a row of the weights
        held = tuple((buffer, False) for buffer in named.values())
        stream = self._stream(program, o.random_stream)
        return [Compiled(address, arguments, held, axes, program, stream, o.switch, o.last_steps, work=work, parts=parts)]

    def _row(self, o: UpdateWeights, port: str) -> cpu_dense.Row:
        """What the program sees of a port's buffer."""
        buffer = self.circuit.buffers[dict(o.bindings)[port]]
        if buffer.outputs_last:
            return cpu_dense.row_of_unit
        if len(buffer.axes) < 2:  # a number, or one a neuron
            return cpu_dense.whole
        return cpu_dense.row_of_sample if o.program.port(port).axes else cpu_dense.element

    def _update_local(self, o: UpdateWeights, kind: Convolution) -> Compiled:
        """The same where each position of a convolution has weights of its own."""
        program, bound = o.program, dict(o.bindings)
        seen = {"weight": "rows[row, low:high]", "x1": "trace[r, i : i + 1]", "y1": "maps[p, low:high]"}
        call = ", ".join(seen[port.name] for port in program.ports)
        inner = cpu_events.INNER_LOCAL.replace("{row_key}", cpu_events.LOCAL_KEY if program.uses_random else "").replace(
            "{arguments}", call
        )
        named = {"weights": o.weights, "third": bound["y1"], **(self._lists(o.events) if o.events else {"trace": o.trace})}
        active = cpu_events.ACTIVE_EVENTS if o.events else cpu_events.ACTIVE_TRACE
        names = {"program": row_program(program)}
        made = self._maps(cpu_events.LEARN_MAPS, active, inner, kind, {**named, "geometry": o.geometry}, "weights", names)
        stream = self._stream(program, o.random_stream)
        return replace(made, random_stream=stream, switch=o.switch, last_steps=o.last_steps)

    def _update_reached(self, o: UpdateWeights) -> Compiled:
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
        address = address_of(arguments, indented(text), {"program": row_program(program)})
        held = tuple((buffer, False) for buffer in named.values())
        stream = self._stream(program, o.random_stream)
        return Compiled(address, arguments, held, random_stream=stream, switch=o.switch, last_steps=o.last_steps, work=work)

    def accumulate_products(self, o: AccumulateProducts) -> list[Compiled]:
        """See AccumulateProducts."""
        change = self.circuit.buffers[o.change]
        named = {
            "change": o.change,
            "changed": cpu_changes.flag_of(o.change),
            "third": o.third_factor,
            **(self._lists(o.events) if o.events else {"trace": o.trace}),
        }
        if cpu_maps.takes(o.kind) or (not o.events and cpu_patches.pays(o.kind)):
            parts = self._parts(o)
            text, work = self._learn_maps(o, change.format, parts > 1)
            made = self._placed(text, {**named, "geometry": o.geometry}, work, parts=parts)
            return [replace(made, switch=o.switch, last_steps=o.last_steps)]
        active = cpu_events.ACTIVE_EVENTS if o.events else cpu_events.ACTIVE_TRACE
        inner = cpu_events.INNER_PRODUCTS.format(value="" if o.events else "x1 * ", **_seen(o.kind))
        clip = cpu_events.CLIP.format(high=change.format.high) if change.format else ""
        made = self._maps(
            "\nchanged[0] = 1" + cpu_events.LEARN_MAPS + clip, active, inner, o.kind, {**named, "geometry": o.geometry}, "change"
        )
        return [replace(made, switch=o.switch, last_steps=o.last_steps)]

    def _learn_maps(self, o: AccumulateProducts, format: Format | None, shared: bool) -> tuple[str, cpu_maps.Work]:
        """Source and scratch arrays: by third factors, by what is below, or by either. shared: by several threads."""
        number, narrowest, buffers = self._number, cpu_maps.narrowest, self.circuit.buffers
        rows, work = (
            cpu_maps.learn(o.kind, bool(o.events), format, shared),
            cpu_maps.work(o.kind, narrowest(buffers[o.third_factor].format), number),
        )
        streams = self.circuit.shape(o.third_factor)[0]
        if not cpu_patches.pays(o.kind) or (o.events and streams == 1):
            return rows, work  # spikes of one stream are few
        below = number if not self.circuit.fixed else np.int8 if o.events else narrowest(buffers[o.trace].format)
        patches, own = cpu_patches.learn(o.kind, bool(o.events), format, shared), cpu_patches.work(o.kind, below, number)
        return (cpu_patches.either(patches, rows), {**work, **own}) if o.events else (patches, own)

    @staticmethod
    def _lists(population: str) -> dict[str, str]:
        active, count = events_of(population)
        return {"active": active, "count": count}

    def _template(
        self,
        template: str,
        named: Mapping[str, str],
        work: cpu_maps.Work = MappingProxyType({}),
        names: Mapping[str, Source] = NO_NAMES,
        parts: int = 1,
    ) -> Compiled:
        """An operation in Python. work: further scratch arrays."""
        scratch = (Argument(name, np.dtype(dtype), len(shape)) for name, (shape, dtype) in work.items())
        arguments = (*(self._argument(name, buffer) for name, buffer in named.items()), *scratch, *part_of(parts > 1))
        address = address_of(arguments, indented(template), names)
        return Compiled(address, arguments, tuple((buffer, False) for buffer in named.values()), work=tuple(work.values()), parts=parts)

    def _dense(self, compiled: Callable[[Sequence[Argument]], int], named: Mapping[str, str], parts: int = 1) -> Compiled:
        arguments = (*(self._argument(name, buffer) for name, buffer in named.items()), *part_of(parts > 1))
        return Compiled(compiled(arguments), arguments, tuple((buffer, False) for buffer in named.values()), parts=parts)

    @property
    def _number(self) -> type:
        return np.int32 if self.circuit.fixed else np.float32

    def _argument(self, name: str, buffer: str) -> Argument:
        if cpu_changes.is_flag(buffer):
            return Argument(name, np.dtype(np.int32), 1)
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


_OPERATION_TABLE: dict[type[Operation], Callable[..., list[Compiled]]] = {
    Accumulate: Compiler.accumulate,
    AccumulateProducts: Compiler.accumulate_products,
    CountSteps: Compiler.count_steps,
    Delay: Compiler.delay,
    ListEvents: Compiler.list_events,
    MarkEvents: Compiler.mark_events,
    Pool: Compiler.pool,
    RunProgram: Compiler.run_program,
    Unpool: Compiler.unpool,
    UpdateWeights: Compiler.update_weights,
}
