"""Operations as lines of C, and the functions that they call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

from tp_lava.backends.c.members import Member, unit_type
from tp_lava.backends.c.program import NAME, REGISTER, Functions, literal
from tp_lava.backends.protocol import operation_entry
from tp_lava.backends.scalar import scratch_of
from tp_lava.circuit import Buffer, Circuit
from tp_lava.circuit import operations as ops
from tp_lava.circuit.labels import LABELS_STREAM, LEAST_ROWS
from tp_lava.dynamics.program import Program
from tp_lava.graph.connections import Convolution
from tp_lava.graph.names import INPUT


class OperationRenderer:
    """Renders operations. functions: what they call; scratch: numbers that their programs need beside.

    lists_input: the input's events are in arrays of the state; else they are the caller's `units`, `count` of them.
    """

    def __init__(self, circuits: Sequence[Circuit], members: Mapping[str, Member], *, lists_input: bool) -> None:
        self.members, self.lists_input = members, lists_input
        self.functions = Functions()
        self.scratch = 0
        self._buffers: dict[str, Buffer] = {n: b for circuit in reversed(circuits) for n, b in circuit.buffers.items()}
        self._sizes = {axis: size for circuit in circuits for axis, size in circuit.sizes.items()}
        self._row_counts = {axis: name for circuit in circuits for axis, name in circuit.row_counts.items()}
        self._unit = unit_type(circuits)

    def step(self, operations: Sequence[ops.Operation]) -> list[str]:
        """The lines of a function that carries operations out once. Raises InvalidValueError for one that C does not have."""
        lines = [line for operation in operations for line in self.lines(operation)]
        if any("mix(base" in line for line in lines):
            lines.insert(0, f"const uint32_t base = mix({self._at('random_seed')}[0], {self._at('random_step')}[0]);")
        return lines

    def lines(self, operation: ops.Operation) -> list[str]:
        """An operation."""
        lines = operation_entry(NAME, _OPERATION_TABLE, operation)(self, operation)
        return self._guarded(operation, lines) if isinstance(operation, ops.Conditional) else lines

    # Arrays -----------------------------------------------------------------------------------
    def _at(self, name: str) -> str:
        return self.members[name].where

    def _length(self, axis: str) -> str:
        """Numbers along an axis: of rows, those in use."""
        return f"{self._at(self._row_counts[axis])}[0]" if axis in self._row_counts else str(self._sizes[axis])

    def _rows(self, name: str) -> str:
        return self._length(self._buffers[name].axes[0])

    def _row_size(self, name: str) -> int:
        """Numbers in a row of an array."""
        return self._sizes[self._buffers[name].axes[1]]

    def _lists(self, population: str) -> tuple[str, str, int]:
        """A population's active units, how many there are in each row, and the size of its rows."""
        active, count = ops.events_of(population)
        if population == INPUT and not self.lists_input:
            return "units", "&count", self._row_size(active)
        return self._at(active), self._at(count), self._row_size(active)

    def _cast(self, name: str) -> str:
        """What makes an int32_t into an element of an array."""
        return "" if self.members[name].type == REGISTER else f"({self.members[name].type})"

    # Programs ---------------------------------------------------------------------------------
    def _call(self, program: Program, types: Mapping[str, str], arguments: Mapping[str, str], key: str) -> str:
        """The call of a program. types: of the arrays of its ports; arguments: "p_<port>", "n_<axis>"."""
        name, function = self.functions.program(program, types)
        given = {"key": key, "scratch": "s->work.scratch", **arguments}
        return f"{name}({', '.join(given[parameter] for parameter, _ in function.parameters)});"

    def _reserve(self, program: Program, sizes: Mapping[str, int]) -> None:
        self.scratch = max(self.scratch, sum(prod(sizes[axis] for axis in scratch.axes) for scratch in scratch_of(program)))

    # Blocks -----------------------------------------------------------------------------------
    def _guarded(self, o: ops.Conditional, lines: list[str]) -> list[str]:
        conditions = [f"{self._at(o.switch)}[0] != 0"] if o.switch else []
        if o.last_steps:
            left = f"{self._at(ops.STEPS_LEFT)}[0]"
            conditions += [f"{left} >= 0", f"{left} < {o.last_steps}"]
        return _block(f"if ({' && '.join(conditions)})", lines) if conditions else lines

    def _for_active(self, rows: str, lines: list[str], *, events: str = "", trace: str = "", units: int = 0) -> list[str]:
        """Lines for every row r and active unit i: see UpdateWeights. units: how many there are, where no events are listed."""
        if events:
            active, count, size = self._lists(events)
            end = "count" if count == "&count" else f"{count}[r]"
            loop = f"for (int32_t q = 0; q < {end}; ++q)"
            lines = [f"const int32_t i = {active}[r * {size} + q];", *lines]
        else:
            loop = f"for (int32_t i = 0; i < {units}; ++i)"
            lines = _block(f"if ({self._at(trace)}[r * {units} + i] != 0)", lines) if trace else lines
        return _block(f"for (int32_t r = 0; r < {rows}; ++r)", _block(loop, lines))

    # Operations -------------------------------------------------------------------------------
    def _accumulate(self, o: ops.Accumulate) -> list[str]:
        weights, (active, count, size) = self.members[o.weights], self._lists(o.events)
        types = {"weight": weights.type, "count": REGISTER if count == "&count" else self._unit}
        value = self.members[o.values].type if o.values else ""
        tables = {name: buffer for name, buffer in (("offsets", o.offsets), ("targets", o.targets)) if buffer}
        types |= {name: self.members[buffer].type for name, buffer in tables.items()}
        below = weights.shape[0] if tables else 0
        function = self.functions.helper("accumulate", **types, value=value, kind=o.kind, below=below)
        arrays = [weights.where, *(self._at(buffer) for buffer in (*tables.values(), *([o.values] if o.values else []))), active]
        return [f"{function}({', '.join(arrays)}, {size}, {count}, {self._rows(o.into)}, {self._at(o.into)}, {self._row_size(o.into)});"]

    def _pool(self, o: ops.Pool) -> list[str]:
        return self._windowed("pool", o, {"source": o.source, "into": o.into})

    def _unpool(self, o: ops.Unpool) -> list[str]:
        sources = {"source": o.source} if o.pooling.mode == "max" else {}
        return self._windowed("unpool", o, {"signal": o.signal, "into": o.into, **sources})

    def _windowed(self, helper: str, o: ops.Pool | ops.Unpool, arrays: Mapping[str, str]) -> list[str]:
        """The call of a function that goes through the windows of a pooling."""
        arrays = {**arrays, "windows": o.windows} | ({"share": o.share} if o.share else {})
        types = {name: self.members[buffer].type for name, buffer in arrays.items()}
        function = self.functions.helper(helper, shape=o.shape, pooling=o.pooling, shift=o.shift, **types)
        return [f"{function}({', '.join(self._at(buffer) for buffer in arrays.values())}, {self._rows(o.into)});"]

    def _delay(self, o: ops.Delay) -> list[str]:
        (active, count, size), (arrived, arrived_count, _) = self._lists(o.events), self._lists(o.into)
        events = [active, count, str(size), self._rows(o.slot), arrived, arrived_count]
        held = {"delays": o.delays, "pending": o.pending, "waiting": o.waiting, "slot": o.slot}
        if o.values:
            held |= {"values": o.values, "pending_values": o.pending_values, "arrived_values": o.arrived_values}
        types = {name: self.members[buffer].type for name, buffer in held.items()}
        given = "int32_t" if count == "&count" else self._unit
        slots = self._sizes[self._buffers[o.waiting].axes[1]]
        function = self.functions.helper("delay", copies=o.copies, slots=slots, count=given, **types)
        return [f"{function}({', '.join([*events, *(self._at(buffer) for buffer in held.values())])});"]

    def _list_events(self, o: ops.ListEvents) -> list[str]:
        spikes, (active, count, size) = self.members[o.spikes], self._lists(o.population)
        rows = self._rows(o.spikes)
        lines = [f"{self.functions.helper('list_events', spike=spikes.type)}({spikes.where}, {rows}, {size}, {active}, {count});"]
        if o.total:
            cell = f"{self._at(o.total)}[r * {size} + i]"
            lines += self._for_active(rows, [f"if ({cell} < INT32_MAX) {{ {cell} += 1; }}"], events=o.population)
        return lines

    def _mark_events(self, o: ops.MarkEvents) -> list[str]:
        into, size = self._at(o.into), self._row_size(o.into)
        value = f"{self._cast(o.into)}{self._at(o.values)}[r * {size} + i]" if o.values else "1"
        marked = [f"{into}[r * {size} + i] = {value};"]
        return [f"memset({into}, 0, sizeof {into});", *self._for_active(self._rows(o.into), marked, events=o.population)]

    def _count_steps(self, o: ops.CountSteps) -> list[str]:
        left = f"{self._at(ops.STEPS_LEFT)}[0]"
        return [f"if ({left} >= 0) {{ {left} -= 1; }}"]

    def _run_program(self, o: ops.RunProgram) -> list[str]:
        program = o.program
        _check_bound_once(o)
        lengths: dict[str, str] = {}
        sizes: dict[str, int] = {}
        for port, buffer in o.bindings:
            axes, held = program.port(port).axes, self._buffers[buffer].axes
            seen = [(self._length(axis), self._sizes[axis]) for axis in held]
            if port in dict(o.maps):
                seen = [*seen[:-1], *((str(n), n) for n in dict(o.maps)[port])]
            if port in o.first:
                seen[0] = "1", seen[0][1]
            lengths |= {axis: length for axis, (length, _) in zip(axes, seen, strict=True)}
            sizes |= {axis: size for axis, (_, size) in zip(axes, seen, strict=True)}
        self._reserve(program, sizes)
        arguments = {f"p_{port}": self._at(buffer) for port, buffer in o.bindings} | {f"n_{axis}": n for axis, n in lengths.items()}
        return [self._call(program, self._types(o), arguments, f"mix(base, {o.random_stream}u)")]

    def _types(self, o: ops.RunProgram | ops.UpdateWeights) -> dict[str, str]:
        return {port: self.members[buffer].type for port, buffer in o.bindings}

    def _update_weights(self, o: ops.UpdateWeights) -> list[str]:
        _check_bound_once(o)
        if o.kind is not None:
            return self._update_local(o, o.kind)
        if o.offsets:
            return self._update_reached(o)
        pre, post = (self._sizes[axis] for axis in self._buffers[o.weights].axes)
        arguments = {f"p_{port}": self._element(o, port, buffer) for port, buffer in o.bindings} | {"n_n": str(post)}
        self._reserve(o.program, {"n": post})
        key = f"mix(mix(base, {o.random_stream}u), (uint32_t)(r * {pre} + i))"
        call = self._call(o.program, self._types(o), arguments, key)
        return self._for_active(self._rows(o.third_factor), [call], events=o.events, trace=o.trace, units=pre)

    def _update_reached(self, o: ops.UpdateWeights) -> list[str]:
        """The same of the synapses that each delayed unit i has: scratch holds their weights and third factors."""
        below, post = self.members[o.weights].shape
        units, bound, weight = self.members[o.offsets].cells - 1, dict(o.bindings), self.members[o.weights]
        own = sum(prod({"n": post}[axis] for axis in scratch.axes) for scratch in scratch_of(o.program))
        self.scratch = max(self.scratch, own + 2 * post)
        held, posts = f"s->work.scratch + {own}", f"s->work.scratch + {own + post}"
        arguments = {"p_weight": held, "p_y1": posts, "n_n": "n"}
        arguments |= {"p_x1": f"{self._at(bound['x1'])} + r * {units} + i"} if "x1" in bound else {}
        third = f"{self._at(o.third_factor)}[r * {post} + {self._at(o.targets)}[first + k]]"
        at = f"{weight.where}[i % {below} * {post} + {self._at(o.targets)}[first + k]]"
        key = f"mix(mix(base, {o.random_stream}u), (uint32_t)(r * {units} + i))"
        lines = [
            f"const int32_t first = {self._at(o.offsets)}[i], n = {self._at(o.offsets)}[i + 1] - first;",
            f"for (int32_t k = 0; k < n; ++k) {{ ({held})[k] = {at}; ({posts})[k] = {third}; }}",
            self._call(o.program, self._types(o) | {"weight": REGISTER, "y1": REGISTER}, arguments, key),
            f"for (int32_t k = 0; k < n; ++k) {{ {at} = {self._cast(o.weights)}({held})[k]; }}",
        ]
        return self._for_active(self._rows(o.third_factor), lines, events=o.events, trace=o.trace, units=units)

    def _element(self, o: ops.UpdateWeights, port: str, name: str) -> str:
        """What the program sees of a port's buffer, for row r and presynaptic unit i."""
        buffer, at = self._buffers[name], self._at(name)
        if len(buffer.axes) < 2:  # a number, or one a neuron
            return at
        if buffer.outputs_last:
            return f"{at} + i * {self._row_size(name)}"
        return f"{at} + r * {self._row_size(name)}" + ("" if o.program.port(port).axes else " + i")

    def _update_local(self, o: ops.UpdateWeights, kind: Convolution) -> list[str]:
        """The same where each position of a convolution has weights of its own; scratch holds the third factors of one."""
        (*_, n_out), count = self.members[o.weights].shape, kind.channels // kind.groups
        n_rows, third = self.members[o.weights].cells // n_out, self.members[o.third_factor]
        self.scratch = max(self.scratch, count)
        seen = {port: self._element(o, port, buffer) for port, buffer in o.bindings if port not in ("weight", "y1")}
        seen |= {"weight": f"{self._at(o.weights)} + row * {n_out} + low", "y1": "s->work.scratch"}
        key = f"mix(mix(base, {o.random_stream}u), (uint32_t)(r * {n_rows} + row))"
        arguments = {f"p_{port}": where for port, where in seen.items()} | {"n_n": str(count)}
        at = f"{third.where}[r * {kind.size} + (low + o) * {prod(kind.output_shape[1:])} + p]"
        lines = [f"for (int32_t o = 0; o < {count}; ++o) {{ s->work.scratch[o] = {at}; }}"]
        lines.append(self._call(o.program, self._types(o) | {"y1": REGISTER}, arguments, key))
        units = 0 if o.events else self._row_size(o.trace)
        taps = self.functions.taps(kind, lines)
        return self._for_active(self._rows(o.third_factor), taps, events=o.events, trace=o.trace, units=units)

    def _accumulate_products(self, o: ops.AccumulateProducts) -> list[str]:
        change, third, format = self.members[o.change], self.members[o.third_factor], self._buffers[o.change].format
        units = 0 if o.events else self._row_size(o.trace)
        function = self.functions.helper("add_products", third_factor=third.type, kind=o.kind)
        pre = "1" if o.events else f"{self._at(o.trace)}[r * {units} + i]"
        added = f"{function}({change.where}, {pre}, {third.where} + r * {self._row_size(o.third_factor)}, i);"
        lines = self._for_active(self._rows(o.third_factor), [added], events=o.events, trace=o.trace, units=units)
        assert format is not None
        return [*lines, f"{self.functions.helper('clip')}({change.where}, {change.cells}, {literal(format.high)});"]

    def _present_labels(self, o: ops.PresentLabels) -> list[str]:
        """At a sample's start; `label` is the sample's own."""
        classes = self._row_size(o.into)
        active, count, _ = self._lists(o.population) if o.population else ("", "", 0)
        set_label = self.functions.helper("set_label", into=self._at(o.into), classes=classes, active=active, count=count)
        match o.rows:
            case "own":
                rows, lines = "1", [f"{set_label}(s, 0, label);"]
            case "all":
                rows, lines = str(classes), [f"for (int32_t c = 0; c < {classes}; ++c) {{ {set_label}(s, c, c); }}"]
            case "drawn":
                most = self._sizes[self._buffers[o.into].axes[0]]
                rows = f"max32({LEAST_ROWS}, min32({self._at(o.limit)}[0], {most}))"
                draw = self.functions.helper("draw_labels", set_label=set_label, classes=classes, stream=LABELS_STREAM)
                lines = [f"{draw}(s, label, {rows});"]
        return [*lines, f"{self._at(o.count)}[0] = {rows};"] if o.count else lines


_OPERATION_TABLE: dict[type[ops.Operation], Callable[..., list[str]]] = {
    ops.Accumulate: OperationRenderer._accumulate,
    ops.AccumulateProducts: OperationRenderer._accumulate_products,
    ops.CountSteps: OperationRenderer._count_steps,
    ops.Delay: OperationRenderer._delay,
    ops.ListEvents: OperationRenderer._list_events,
    ops.MarkEvents: OperationRenderer._mark_events,
    ops.Pool: OperationRenderer._pool,
    ops.PresentLabels: OperationRenderer._present_labels,
    ops.RunProgram: OperationRenderer._run_program,
    ops.Unpool: OperationRenderer._unpool,
    ops.UpdateWeights: OperationRenderer._update_weights,
}


def _block(head: str, lines: list[str]) -> list[str]:
    return [f"{head} {{", *(f"    {line}" for line in lines), "}"]


def _check_bound_once(o: ops.RunProgram | ops.UpdateWeights) -> None:
    """The arrays of a program are `restrict`: one that it writes may be no other's."""
    for written in o.writes:
        assert sum(buffer == written for _, buffer in o.bindings) == 1, f"{o.program.name}: {written} is bound twice"
