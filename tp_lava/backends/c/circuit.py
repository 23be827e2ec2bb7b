"""Renders a network's circuits - the one that infers, the one that learns - as a C99 library: header, constants, source.

Arrays that no step changes are constants; the rest is one struct: what lasts (`learned`), what is zeroed when a sample starts
(`sample`), what a step works with (`work`), and switches. Each number is stored in the smallest type that holds its format.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from tp_lava.circuit import NO_END, STEPS_LEFT, Buffer, Circuit, Clock, Deliver, Gather, Learn, Operation, Run, Scatter, touched
from tp_lava.backends.c.members import BYTES, STRUCTS, Member, bound_formats, described, written
from tp_lava.backends.c.program import REGISTER, CFunction, c_type, prelude, program_function
from tp_lava.backends.c.templates import DELIVER, DELIVER_SHARED, DRAW_STREAMS, GATHER, SET_STREAM
from tp_lava.backends.cpu_source import scratch_of

_LONGEST_SHORT = 2**16 - 1


@dataclass(frozen=True)
class CLibrary:
    """The files' text, and the arrays in them. state_bytes: of the struct; constant_bytes: of weights, parameters, tables."""

    header: str
    constants: str
    source: str
    members: tuple[Member, ...]
    state_bytes: int
    constant_bytes: int


@dataclass(frozen=True)
class Start:
    """Where a library starts. memory: arrays by buffer; streams_key: that its labels are drawn from; streams: K of its rule."""

    memory: Mapping[str, np.ndarray]
    streams_key: int
    streams: int


def c_library(name: str, inference: Circuit, learning: Circuit | None, start: Start) -> CLibrary:
    """The library of a fixed-point network. learning: None for one that only infers."""
    return _Library(name, inference, learning, start).render()


class _Library:
    def __init__(self, name: str, inference: Circuit, learning: Circuit | None, start: Start) -> None:
        self.name, self.inference, self.learning, self.start = name, inference, learning, start
        self.circuits = [inference, *([learning] if learning else [])]
        self.sizes = {axis: size for circuit in self.circuits for axis, size in circuit.sizes.items()}
        self.unit = "uint16_t" if max(self.sizes.values()) <= _LONGEST_SHORT else REGISTER
        self.functions: dict[str, str] = {}  # source with {name} -> name
        self.rendered: dict[CFunction, str] = {}
        self.scratch = 0
        self.members = {member.name: member for member in self._members()}

    # Arrays -----------------------------------------------------------------------------------
    def _members(self) -> Iterable[Member]:
        operations = [operation for circuit in self.circuits for operation in circuit.step]
        buffers = {n: b for circuit in reversed(self.circuits) for n, b in circuit.buffers.items()}
        set_at_begin = {"label_active", "label_count", "label_spike", "sample_label", STEPS_LEFT}
        used = {n for operation in operations for n in touched(operation)} | (set_at_begin & set(buffers)) | ({"contrast"} & set(buffers))
        used -= {"input_active", "input_count"}  # the caller's own array is read instead
        changed = {n for operation in operations for n in written(operation)} | set_at_begin
        bound = bound_formats(operations)
        for n, buffer in buffers.items():
            if n in used:
                yield self._member(buffer, n in changed, bound.get(n, []))
        for n in ("random_seed", "random_step", "samples_seen"):
            value = int(self.start.memory[n][0]) & 0xFFFFFFFF
            yield Member(n, "uint32_t", "learned", (1,), "", np.array([value], np.uint32))

    def _member(self, buffer: Buffer, changed: bool, formats: list) -> Member:
        shape = tuple(self.sizes[axis] for axis in buffer.axes) or (1,)
        place = {"state": "sample", "switch": "switches"}.get(buffer.role, "work" if buffer.role == "work" else "learned")
        if not changed and place == "learned":
            place = "constant"
        start = np.asarray(self.start.memory[buffer.name]) if place in ("learned", "constant", "switches") else None
        if buffer.index:
            type_ = self._index_type(buffer, start if place == "constant" else None)
        elif any(format is None for format in formats):
            type_ = REGISTER  # sums of deliveries
        else:
            type_ = max((c_type(format) for format in (buffer.format, *formats)), key=lambda t: (BYTES[t], t))
        return Member(buffer.name, type_, place, shape, str(buffer.format or ""), start)

    def _index_type(self, buffer: Buffer, values: np.ndarray | None) -> str:
        if buffer.name.endswith(("_active", "_count")) or (values is not None and int(values.max(initial=0)) <= _LONGEST_SHORT):
            return self.unit
        return REGISTER

    # Files ------------------------------------------------------------------------------------
    def render(self) -> CLibrary:
        steps = [self._step("infer", self.inference), *([self._step("learn", self.learning)] if self.learning else [])]
        if self.scratch:
            self.members["scratch"] = Member("scratch", REGISTER, "work", (self.scratch,), "")
        members = tuple(self.members.values())
        structs = {place: sorted((m for m in members if m.place == place), key=lambda m: -BYTES[m.type]) for place in STRUCTS}
        constants = [m for m in members if m.start is not None]
        state = sum(-(-sum(m.bytes for m in held) // 4) * 4 for held in structs.values()) + 8
        source = self._source(steps, bool(structs["switches"]))
        return CLibrary(self._header(structs), self._constants(constants), source, members, state, sum(m.bytes for m in constants))

    def _header(self, structs: Mapping[str, list[Member]]) -> str:
        upper, name = self.name.upper(), self.name
        told = {
            "learned": "what lasts: save this to go on later",
            "sample": "zero when a sample starts",
            "work": "of a single step",
            "switches": "yours to change between samples: 0 puts a layer to rest",
        }
        declared = ""
        for place, held in structs.items():
            if held:
                lines = "\n".join(f"        {m.declaration:<44} /* {described(m)} */" for m in held)
                declared += f"    struct {{  /* {told[place]} */\n{lines}\n    }} {place};\n"
        network, score = self.inference.network, self.inference.buffers["score"].format
        assert score is not None
        layers = "".join(f"#define {upper}_HIDDEN{number} {layer.size}\n" for number, layer in enumerate(network.layers))
        return f"""\
/* {network!r}, made by tp_lava. Integers alone; no memory is allocated; state is plain data. */
#ifndef {upper}_H
#define {upper}_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define {upper}_INPUTS {network.n_inputs}
{layers}#define {upper}_CLASSES {network.n_classes}
#define {upper}_LEARNS {int(self.learning is not None)}
#define {upper}_SCORE_FRAC ({score.frac})  /* a score is its integer times 2 to the minus this */

typedef {self.unit} {name}_unit;  /* number of an input */

typedef struct {{
{declared}    int32_t labelled;  /* whether the sample begun last is learned */
    int32_t streams;   /* target streams in use */
}} {name}_state;

/* Weights and counters as they were exported. Call once. */
void {name}_init({name}_state *s);

/* Start a sample. label: 0 to {upper}_CLASSES - 1 to learn it, -1 to infer; n_steps: how many steps will follow,
   {"needed to learn" if self._needs_length else "not used by this rule"}.
   Returns 0, or -1 if an argument is out of range; then nothing changed. */
int32_t {name}_begin({name}_state *s, int32_t label, int32_t n_steps);

/* One time step. units: the inputs that spike now, each once; count: how many. Learns if the sample has a label.
   Returns 0, or -1 if a unit or count is out of range; then nothing changed. */
int32_t {name}_step({name}_state *s, const {name}_unit *units, int32_t count);

/* The scores so far, {upper}_CLASSES of them ("scores" may be null). Returns the prediction, the class of the largest. */
int32_t {name}_read(const {name}_state *s, int32_t *scores);

#ifdef __cplusplus
}}
#endif

#endif
"""

    @property
    def _needs_length(self) -> bool:
        return self.learning is not None and self.learning.needs_length

    def _constants(self, members: list[Member]) -> str:
        text = f"/* Constants of {self.name}, for {self.name}.c alone. Weights are rows of one input each, (n_in, n_out). */\n"
        for m in members:
            assert m.start is not None
            values = ", ".join(map(str, m.start.ravel().tolist()))
            text += f"\n/* {described(m)} */\nstatic const {m.type} const_{m.name}[{m.cells}] = {{\n{textwrap.fill(values, 138)}\n}};\n"
        return text

    def _source(self, steps: list[str], has_switches: bool) -> str:
        name, upper = self.name, self.name.upper()
        started = [m for m in self.members.values() if m.start is not None and m.place != "constant"]
        copies = "\n".join(f"    memcpy({m.where}, const_{m.name}, sizeof const_{m.name});" for m in started)
        functions = "\n".join(source.replace("{name}", function) for source, function in self.functions.items())
        body = f"{functions}\n{''.join(steps)}{self._begin()}\n"
        choose = (
            "if (s->labelled) { learn(s, units, count); } else { infer(s, units, count); }" if self.learning else "infer(s, units, count);"
        )
        return f"""\
/* Made by tp_lava from the same programs that its other targets run; equals them bit for bit. Entry points: see {name}.h. */
#include "{name}.h"

#include <string.h>

#include "{name}_weights.h"

typedef {name}_state state;
typedef {name}_unit unit;

{prelude(body)}
{body}\
void {name}_init({name}_state *s)
{{
    memset(s, 0, sizeof *s);
{copies}
    (void){name}_begin(s, -1, 1);
}}

int32_t {name}_step({name}_state *s, const {name}_unit *units, int32_t count)
{{
    if (count < 0 || count > {upper}_INPUTS) {{ return -1; }}
    for (int32_t q = 0; q < count; ++q) {{
        if ({"" if self.unit == "uint16_t" else "units[q] < 0 || "}units[q] >= {upper}_INPUTS) {{ return -1; }}
    }}
    {choose}
    return 0;
}}

int32_t {name}_read(const {name}_state *s, int32_t *scores)
{{
    int32_t best = 0;
    for (int32_t c = 0; c < {upper}_CLASSES; ++c) {{
        if (scores) {{ scores[c] = s->sample.score[c]; }}
        if (s->sample.score[c] > s->sample.score[best]) {{ best = c; }}
    }}
    return best;
}}
"""

    # Beginning a sample -----------------------------------------------------------------------
    def _begin(self) -> str:
        upper = self.name.upper()
        limits = [f"label >= {upper}_CLASSES" if self.learning else "label >= 0", "label < -1"]
        limits += ["(label >= 0 && n_steps < 1)"] if self._needs_length else []
        lines = ["" if self._needs_length else "    (void)n_steps;", f"    if ({' || '.join(limits)}) {{ return -1; }}"]
        lines += ["    memset(&s->sample, 0, sizeof s->sample);", "    s->labelled = label >= 0;"]
        lines += [f"    memset({m.where}, 0, sizeof {m.where});" for m in map(self.members.get, ("sample_label", "label_spike")) if m]
        if self.learning:
            lines += [
                "    if (label >= 0) {",
                *self._labelled(self.learning),
                "        s->learned.samples_seen[0] += 1u;",
                "        return 0;",
            ]
            lines += ["    }"]
        lines += self._unlabelled()
        body = "\n".join(line for line in lines if line)
        head = f"int32_t {self.name}_begin({self.name}_state *s, int32_t label, int32_t n_steps)"
        return f"{self._streams()}{head}\n{{\n{body}\n    return 0;\n}}\n"

    @property
    def _draws(self) -> bool:
        return self.learning is not None and "label_spike" in self.learning.buffers

    def _streams(self) -> str:
        """What sets the labels of target streams."""
        if not any("label_spike" in circuit.buffers for circuit in self.circuits):
            return ""
        names = "label_spike", "label_active", "label_count"
        values = {name: self.members[name].where for name in names if name in self.members} | {"classes": str(self.sizes["class"])}
        text = SET_STREAM + (DRAW_STREAMS.replace("{key}", f"UINT32_C({self.start.streams_key})") if self._draws else "")
        for name, value in values.items():
            text = text.replace("{" + name + "}", value)
        return text

    def _labelled(self, circuit: Circuit) -> list[str]:
        lines = [f"        {self.members[STEPS_LEFT].where}[0] = n_steps;"] if circuit.needs_length else []
        if "sample_label" in circuit.buffers:
            lines.append(f"        {self.members['sample_label'].where}[label] = 1;")
        if not self._draws:
            return lines
        most, streams = self.start.streams, "s->streams"
        if "contrast" in self.members:
            lines.append(f"        {streams} = max32(2, min32({self.members['contrast'].where}[0], {most}));")
        else:
            lines.append(f"        {streams} = {most};")
        return [*lines, "        draw_streams(s, label);"]

    def _unlabelled(self) -> list[str]:
        """As Learner.begin() does: to infer by matching, there is a stream of every class."""
        lines = [f"    {self.members[STEPS_LEFT].where}[0] = {NO_END};"] if self.inference.needs_length else []
        if "label_spike" in self.inference.buffers:
            classes = self.sizes["class"]
            lines += [f"    s->streams = {classes};", f"    for (int32_t k = 0; k < {classes}; ++k) {{ set_stream(s, k, k); }}"]
        return lines

    # Steps ------------------------------------------------------------------------------------
    def _step(self, name: str, circuit: Circuit) -> str:
        body = [line for operation in circuit.step for line in self._lines(operation)]
        if any("base" in line for line in body):
            body.insert(0, "const uint32_t base = mix(s->learned.random_seed[0], s->learned.random_step[0]);")
        if circuit.learns:
            body.append("s->learned.random_step[0] += 1u;")
        text = "".join(f"    {line}\n" for line in body)
        return f"static void {name}(state *s, const unit *units, int32_t count)\n{{\n{text}}}\n\n"

    def _lines(self, operation: Operation) -> list[str]:
        match operation:
            case Deliver():
                return [self._deliver(operation)]
            case Gather(population, total):
                return self._gather(population, total)
            case Run():
                return _guarded(self, operation, [self._run(operation)])
            case Learn():
                return _guarded(self, operation, self._learn(operation))
            case Scatter(population, into):
                target = self.members[into]
                body = f"{target.where}[r * {target.shape[1]} + {{unit}}] = 1;"
                return [f"memset({target.where}, 0, sizeof {target.where});", *self._for_events(population, target, [body])]
            case Clock():
                left = self.members[STEPS_LEFT].where
                return [f"if ({left}[0] >= 0) {{ {left}[0] -= 1; }}"]

    def _rows(self, axes: tuple[str, ...]) -> str:
        """How many rows of an array are in use."""
        return "s->streams" if axes and axes[0] == "k" else str(self.sizes[axes[0]])

    def _axes(self, name: str) -> tuple[str, ...]:
        return next(circuit.buffers[name].axes for circuit in self.circuits if name in circuit.buffers)

    def _events(self, population: str) -> tuple[str, str]:
        """A population's active units and their counts, as arguments."""
        if population == "input":
            return "units", "&count"
        return self.members[f"{population}_active"].where, self.members[f"{population}_count"].where

    def _for_events(self, population: str, of: Member, body: list[str]) -> list[str]:
        """Loops over the rows and active units of a population: r and {unit}."""
        active, count = self._events(population)
        stride = self.sizes[self._axes(f"{population}_active")[1]]
        counted = "count" if population == "input" else f"{count}[r]"
        rows = self._rows(self._axes(of.name))
        lines = [f"for (int32_t r = 0; r < {rows}; ++r) {{", f"    for (int32_t q = 0; q < {counted}; ++q) {{"]
        lines += [f"        {line.replace('{unit}', f'{active}[r * {stride} + q]')}" for line in body]
        return [*lines, "    }", "}"]

    def _deliver(self, operation: Deliver) -> str:
        weights, into = self.members[operation.weights], self.members[operation.into]
        active, count = self._events(operation.events)
        stride = self.sizes[self._axes(f"{operation.events}_active")[1]]
        counts = REGISTER if operation.events == "input" else self.unit
        rows = self._rows(self._axes(operation.into))
        lists = f"{active}, {stride}, {count}, {rows}, {into.where}, {into.shape[1]}"
        if not operation.table:
            source = DELIVER.replace("{weight}", weights.type)
            return f"{self._function(source.replace('{count}', counts), 'deliver')}({weights.where}, {lists});"
        columns = [self.members[f"{operation.table}_{column}"] for column in ("offsets", "targets", "taps")]
        source = DELIVER_SHARED.replace("{weight}", weights.type)
        for column in columns:
            source = source.replace("{" + column.name.rsplit("_", 1)[1] + "}", column.type)
        tables = ", ".join(column.where for column in columns)
        return f"{self._function(source.replace('{count}', counts), 'deliver')}({weights.where}, {tables}, {lists});"

    def _gather(self, population: str, total: str) -> list[str]:
        spikes, (active, count) = self.members[f"{population}_spike"], self._events(population)
        gather = self._function(GATHER.replace("{spike}", spikes.type), "gather")
        rows = self._rows(self._axes(spikes.name))
        lines = [f"{gather}({spikes.where}, {rows}, {spikes.shape[1]}, {active}, {count});"]
        if total:
            target = self.members[total]
            cell = f"{target.where}[r * {target.shape[1]} + {{unit}}]"
            lines += self._for_events(population, target, [f"if ({cell} < INT32_MAX) {{ {cell} += 1; }}"])
        return lines

    def _run(self, operation: Run) -> str:
        program, members = operation.program, {port: self.members[buffer] for port, buffer in operation.bindings}
        written = {port for port, _ in program.writes}
        assert not any(m == members[w] for w in written for port, m in members.items() if port != w), (
            f"{program.name}: a port is bound twice"
        )
        function = program_function(program, {port: m.type for port, m in members.items()})
        arguments = {f"p_{port}": m.where for port, m in members.items()}
        lengths: dict[str, str] = {}
        for port, buffer in operation.bindings:
            for position, axis in enumerate(program.port(port).axes):
                names = self._axes(buffer)
                rows = "1" if port in operation.first and not position else None
                lengths[axis] = rows or (self._rows(names[position:]) if names[position] == "k" else str(self.sizes[names[position]]))
        arguments |= {f"n_{axis}": length for axis, length in lengths.items()}
        most = {axis: self.sizes["k"] if length == "s->streams" else int(length) for axis, length in lengths.items()}
        self._needs_scratch(program, most)
        return self._call(function, program.name, arguments, f"mix(base, {operation.place}u)")

    def _learn(self, operation: Learn) -> list[str]:
        program = operation.program
        weights, third = self.members[operation.weights], self.members[operation.third]
        pre, post = (self.sizes[axis] for axis in self._axes(operation.weights))
        types = {"weight": weights.type, "y1": third.type}
        arguments = {"p_weight": f"{weights.where} + i * {post}", "p_y1": f"{third.where} + r * {post}", "n_n": str(post)}
        if operation.trace:
            trace = self.members[operation.trace]
            types["x1"], arguments["p_x1"] = trace.type, f"{trace.where} + r * {pre} + i"
        self._needs_scratch(program, {"n": post})
        key = f"mix(mix(base, {operation.place}u), (uint32_t)(r * {pre} + i))"
        call = self._call(program_function(program, types), program.name, arguments, key)
        if not operation.trace:
            return self._for_events(operation.events, third, ["const int32_t i = {unit};", call])
        rows = self._rows(self._axes(operation.third))
        lines = [f"for (int32_t r = 0; r < {rows}; ++r) {{", f"    for (int32_t i = 0; i < {pre}; ++i) {{"]
        return [*lines, f"        if ({trace.where}[r * {pre} + i] != 0) {{ {call} }}", "    }", "}"]

    def _needs_scratch(self, program, sizes: Mapping[str, int]) -> None:
        self.scratch = max(self.scratch, sum(prod(sizes[axis] for axis in scratch.axes) for scratch in scratch_of(program)))

    def _call(self, function: CFunction, told: str, arguments: Mapping[str, str], key: str) -> str:
        given = {"key": key, "scratch": "s->work.scratch", **arguments}
        if function not in self.rendered:
            name = f"program{len(self.rendered)}"
            self.rendered[function] = name
            self.functions[f"/* {told} */\n{function.source(name)}"] = name
        return f"{self.rendered[function]}({', '.join(given[parameter] for parameter in function.parameters)});"

    def _function(self, source: str, stem: str) -> str:
        """The name of a helper, declared once for each form of it."""
        return self.functions.setdefault(source, f"{stem}{sum(name.startswith(stem) for name in self.functions.values())}")


def _guarded(library: _Library, operation: Run | Learn, lines: list[str]) -> list[str]:
    conditions = [f"{library.members[operation.switch].where}[0] != 0"] if operation.switch else []
    if operation.within:
        left = library.members[STEPS_LEFT].where
        conditions += [f"{left}[0] >= 0", f"{left}[0] < {operation.within}"]
    return [f"if ({' && '.join(conditions)}) {{", *(f"    {line}" for line in lines), "}"] if conditions else lines
