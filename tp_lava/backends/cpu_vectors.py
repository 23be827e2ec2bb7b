"""Programs in vectors, as text for LLVM: the innermost loop of every nest takes LANES elements at a time.

What is left of a row is one more vector of which a mask takes part, so rows of four or ten elements cost one vector each. A sum over the
innermost axis has LANES partial sums, added in pairs at the end; one over an outer axis is gathered in registers, if nothing else is
done there. Both orders are the same on every machine. Other float operations are carried out one by one, as the interpreter does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from tp_lava.backends.cpu_calls import Argument
from tp_lava.backends.cpu_instructions import Instructions, Place
from tp_lava.backends.cpu_text import LANES, Text, V, literal, parameters_of, short
from tp_lava.backends.loops import Loop, Nest, loop_form, nests_of
from tp_lava.backends.resting import resting_port
from tp_lava.backends.scalar import LARGEST
from tp_lava.dynamics.program import REDUCTIONS, Instruction, Program

MASKED_FROM = 60  # instructions of a body that is made once, with a mask, not once for whole vectors and once for the rest
UNROLLED_BELOW = 12  # instructions of a body that is worth it
_SIDE_BY_SIDE = 4  # vectors whose sums over rows are held in registers together
_STORED = {"float32": "float", "int32": "i32", "int16": "i16", "int8": "i8", "bool": "i8", "uint32": "i32"}


def program_text(program: Program, arguments: Sequence[Argument]) -> str:
    """The function @program of a program: its key, ports and scratch arrays."""
    text = Text()
    _Program(program, {a.name: a for a in arguments}, text).render()
    return text.function(f"internal void @program({parameters_of(arguments)}) alwaysinline")


class _Program(Instructions):
    """Writes the body of one program."""

    def __init__(self, program: Program, arguments: dict[str, Argument], text: Text) -> None:
        super().__init__(program, text)
        self.arguments = arguments
        self.form = loop_form(program, vectors=True)
        self._reads = {index: name for name, index in program.reads}
        self._constants = {i.result: i["value"] for i in program.instructions if i.op == "constant"}
        self._resting = resting_port(program)
        self._sizes = {}
        for axis in program.axes:
            owner = next((port for port in program.ports if axis in port.axes), None)
            if owner:
                self._sizes[axis] = V(f"%{owner.name}.{owner.axes.index(axis)}", "i64")
        self._short: tuple[str, ...] = ()  # axes of which one vector has all
        self._registers: dict[int, str] = {}  # values over such an axis, in the place of scratch arrays
        self._known: dict[int, V] = {}  # values, where they have names

    def render(self) -> None:
        """All of it."""
        for i in self.program.instructions:
            if i.op == "random":
                self.keys[i["salt"], 0] = self.t.mix(V("%key", "i32"), literal(i["salt"], "i32"))
        reduced = {i["axis"] for i in self.program.instructions if i.op in REDUCTIONS}
        short = tuple(axis for axis in self.program.axes if axis in reduced and (axis,) in self.form.kept.values())
        if not short:
            self._body(self.form.body, Place({}))
            return
        fits = literal(1, "i1")
        for axis in short:
            fits = self.t.binary("and", fits, self.t.word("icmp sle", self._sizes[axis], LANES))
        keys = dict(self.keys)
        for axes, condition in ((short, fits), ((), self.t.word("xor", fits, 1))):
            self._short, self.keys, self._known = axes, dict(keys), {}
            held = (index for index, kept in self.form.kept.items() if len(kept) == 1 and kept[0] in axes)
            self._registers = {index: self.t.variable(self.kind(index), True) for index in held}
            with self.t.when(condition):
                self._body(self.form.body, Place({}))

    # Structure --------------------------------------------------------------------------------
    def _body(self, body: Sequence[Nest | Loop], place: Place) -> None:
        """What stands in the loops of a place, whose numbers are single ones."""
        for index in self._loads(body, place):
            self._known[index] = self._loaded(index, place)
        for item in body:
            if isinstance(item, Loop):
                self._loop(item, place)
            else:
                self._nest(item, place)

    def _loads(self, body: Sequence[Nest | Loop], place: Place) -> list[int]:
        """Values of ports and scratch arrays that a body needs, whose axes all have numbers: they are loaded before its loops."""
        made = {i.result for _, nest in nests_of(body) for i in nest.instructions}
        needed = dict.fromkeys(index for _, nest in nests_of(body) for index in nest.uses)
        return [
            index
            for index in needed
            if index not in self._known
            and index not in self._constants
            and (index in self._reads or (index in self.form.kept and index not in made))
            and set(self.program.values[index].axes) <= set(place.numbers)
        ]

    def _nest(self, nest: Nest, place: Place, sums: dict[int, str] | None = None) -> None:
        """Instructions and writes of a place. sums: the variables of reductions over its innermost axis, or that are gathered here."""
        for i in nest.instructions:
            if i.op not in REDUCTIONS:
                self._known[i.result] = self.written(i, [self._value(a) for a in i.arguments], place)
                self._keep(i.result, place)
            elif sums and i.result in sums:
                self._reduce(i, place, sums[i.result])
            else:
                self._reduce_in_scratch(i, place)
        for port, value in nest.writes:
            self._store(port, self.program.port(port).axes, self._value(value), place)

    def _loop(self, loop: Loop, place: Place) -> None:
        before, depth = dict(self._known), len(place.numbers)
        gathered = self._gathered(loop)
        for index, first in self.form.begun.items():
            if first is loop and index not in gathered:
                self._fill(index, place)
        own = [i for i in _reductions(loop.body) if i["axis"] == loop.axis]
        leaf = all(isinstance(item, Nest) for item in loop.body)
        sums = {i.result: self.t.variable(self.kind(i.result), leaf) for i in own}
        for i in own:
            self.t.line(f"store {self._neutral(i, leaf)}, ptr {sums[i.result]}")
        if gathered:
            self._gather(loop, place)
        elif leaf:
            for inner in self._chunks(loop.axis, place, self._length(loop)):
                with self._unless_resting(inner):
                    self._vector(loop.body, inner, sums)
        else:
            with self.t.loop(literal(0, "i64"), self._sizes[loop.axis]) as at:
                inside = Place({**place.numbers, loop.axis: at})
                for salt in _salts(loop):
                    self.keys[salt, depth + 1] = self.t.mix(self.keys[salt, depth], self.word_of(at))
                self._scalar_body(loop, inside, sums)
        self._known = before
        for i in own:
            self._known[i.result] = self._total(i, sums[i.result], leaf)
            self._keep(i.result, place)

    def _scalar_body(self, loop: Loop, place: Place, sums: dict[int, str]) -> None:
        for index in self._loads(loop.body, place):
            self._known[index] = self._loaded(index, place)
        for item in loop.body:
            if isinstance(item, Loop):
                self._loop(item, place)
            else:
                self._nest(item, place, sums)

    @contextmanager
    def _unless_resting(self, place: Place) -> Iterator[None]:
        """What is done only where a lane of the port at rest (see resting_port) is not zero."""
        if not self._resting or set(place.numbers) != set(self.program.axes):
            yield
            return
        before, t, index = dict(self._known), self.t, dict(self.program.reads)[self._resting]
        self._known[index] = self._loaded(index, place)
        ones = t.word("fcmp une" if self.kind(index) == "float" else "icmp ne", self._known[index], 0)
        with t.when(t.call(f"llvm.vector.reduce.or.v{LANES}i1", "i1", False, ones)):
            yield
        self._known = before

    def _vector(self, body: Sequence[Nest | Loop], place: Place, sums: dict[int, str]) -> None:
        """The innermost nests on the lanes of a place."""
        before = dict(self._known)
        for index in self._loads(body, place):
            self._known[index] = self._loaded(index, place)
        for nest in body:
            assert isinstance(nest, Nest)
            self._nest(nest, place, sums)
        self._known = before

    @staticmethod
    def _length(loop: Loop) -> int:
        return sum(len(nest.instructions) for _, nest in nests_of([loop]))

    def _chunks(self, axis: str, place: Place, length: int, first: V | None = None) -> Iterator[Place]:
        """The places of the vectors along an axis. length: of what is done there; first: where they begin, a multiple of LANES."""
        t, size, zero = self.t, self._sizes[axis], first or literal(0, "i64")
        if axis in self._short:
            yield Place({**place.numbers, axis: zero}, axis, self._mask(zero, size))
            return
        whole = t.word("and", size, -LANES)
        if length < MASKED_FROM:
            with t.loop(zero, whole, LANES, unrolled=4 if length < UNROLLED_BELOW else 1) as at:
                yield Place({**place.numbers, axis: at}, axis)
            with t.when(t.binary("icmp slt", whole, size)):
                yield Place({**place.numbers, axis: whole}, axis, self._mask(whole, size))
        else:
            with t.loop(zero, size, LANES) as at:
                yield Place({**place.numbers, axis: at}, axis, self._mask(at, size))

    def _mask(self, at: V, size: V) -> V:
        left = self.word_of(self.t.binary("sub", size, at))
        return self.t.lanes_below(left, LANES)

    # Reductions -------------------------------------------------------------------------------
    def _gathered(self, loop: Loop) -> tuple[int, ...]:
        """The sums over a loop that does nothing else than add rows up: they are held in registers."""
        if len(loop.body) != 1 or not isinstance(inner := loop.body[0], Loop) or any(isinstance(item, Loop) for item in inner.body):
            return ()
        nests = [nest for _, nest in nests_of([inner])]
        found = _reductions(inner.body)
        made = {i.result for nest in nests for i in nest.instructions}
        others = made - {i.result for i in found}
        alone = all(i["axis"] == loop.axis and self.form.begun.get(i.result) is loop for i in found)
        plain = not others & set(self.form.kept) and not any(nest.writes or _draws(nest) for nest in nests)
        return tuple(i.result for i in found) if found and alone and plain else ()

    def _gather(self, loop: Loop, place: Place) -> None:
        inner = loop.body[0]
        assert isinstance(inner, Loop)
        first, length = literal(0, "i64"), self._length(loop)
        if length < UNROLLED_BELOW and inner.axis not in self._short:
            end = self.t.word("and", self._sizes[inner.axis], -LANES * _SIDE_BY_SIDE)
            with self.t.loop(first, end, LANES * _SIDE_BY_SIDE) as at:
                numbers = [self.t.word("add", at, LANES * k) for k in range(_SIDE_BY_SIDE)]
                self._gather_at(loop, inner, [Place({**place.numbers, inner.axis: number}, inner.axis) for number in numbers])
            first = end
        for chunk in self._chunks(inner.axis, place, length, first):
            self._gather_at(loop, inner, [chunk])

    def _gather_at(self, loop: Loop, inner: Loop, chunks: Sequence[Place]) -> None:
        """The same at some vectors, side by side, so that what is read of a row lies together."""
        reductions = _reductions(inner.body)
        sums = [{i.result: self.t.variable(self.kind(i.result), True) for i in reductions} for _ in chunks]
        for i in reductions:
            for own in sums:
                self.t.line(f"store {self._neutral(i, True)}, ptr {own[i.result]}")
        with self.t.loop(literal(0, "i64"), self._sizes[loop.axis]) as at:
            for chunk, own in zip(chunks, sums, strict=True):
                self._vector(inner.body, Place({**chunk.numbers, loop.axis: at}, chunk.vector, chunk.mask), own)
        for chunk, own in zip(chunks, sums, strict=True):
            for i in reductions:
                self._keep(i.result, chunk, self._held(i, own[i.result], True))

    def _reduce(self, i: Instruction, place: Place, into: str) -> None:
        held = self._held(i, into, bool(place.vector))
        after = self._combined(i, held, self._value(i.arguments[0]))
        if place.mask and i["axis"] == place.vector:
            after = self.t.select(place.mask, after, held)
        self.t.line(f"store {after}, ptr {into}")

    def _reduce_in_scratch(self, i: Instruction, place: Place) -> None:
        """A reduction over an outer axis."""
        held = self._loaded(i.result, place)
        self._keep(i.result, place, self._combined(i, held, self._value(i.arguments[0])))

    def _held(self, i: Instruction, at: str, wide: bool) -> V:
        kind = self.kind(i.result)
        return self.t.op(f"load {V('', kind, wide).type}, ptr {at}", kind, wide)

    def _combined(self, i: Instruction, a: V, b: V) -> V:
        if i.op == "max":
            return self.larger(a, b)
        return self.t.binary("fadd contract" if a.kind == "float" else "add", a, b)

    def _total(self, i: Instruction, at: str, wide: bool) -> V:
        """What the lanes of a reduction give together, in pairs."""
        held = self._held(i, at, wide)
        if not wide:
            return held
        if held.kind != "float":
            return self.t.call(f"llvm.vector.reduce.{'smax' if i.op == 'max' else 'add'}.v{LANES}i32", "i32", False, held)
        width = LANES // 2
        while width:
            order = ", ".join(f"i32 {lane + width}" if lane < width else "i32 poison" for lane in range(LANES))
            other = self.t.op(f"shufflevector {held}, {held.type} poison, <{LANES} x i32> <{order}>", "float", True)
            held, width = self._combined(i, held, other), width // 2
        return self.t.op(f"extractelement {held}, i32 0", "float")

    def _neutral(self, i: Instruction, wide: bool) -> V:
        kind = self.kind(i.result)
        return literal(0 if i.op == "sum" else -LARGEST if kind == "i32" else -np.inf, kind, wide)

    def _fill(self, index: int, place: Place) -> None:
        """A reduction over an outer axis starts in scratch."""
        reduction = next(i for i in self.program.instructions if i.result == index)
        self._fill_axes(self.form.kept[index], reduction, place)

    def _fill_axes(self, axes: tuple[str, ...], reduction: Instruction, place: Place) -> None:
        if len(axes) > 1:
            with self.t.loop(literal(0, "i64"), self._sizes[axes[0]]) as at:
                self._fill_axes(axes[1:], reduction, Place({**place.numbers, axes[0]: at}))
            return
        for chunk in self._chunks(axes[0], place, 0):
            self._keep(reduction.result, chunk, self._neutral(reduction, True))

    # Memory -----------------------------------------------------------------------------------
    def _value(self, index: int) -> V:
        if index in self._constants:
            return literal(self._constants[index], self.kind(index))
        return self._known[index]

    def _loaded(self, index: int, place: Place) -> V:
        if index in self._reads:
            name = self._reads[index]
            return self._load(name, self.program.port(name).axes, self.kind(index), place)
        axes, kind = self.form.kept[index], self.kind(index)
        if index not in self._registers:
            return self._load(f"s{index}", axes, kind, place)
        held = V(self.t.load(f"<{LANES} x {kind}>", self._registers[index]), kind, True)
        return held if axes[0] == place.vector else self.t.op(f"extractelement {held}, {place.numbers[axes[0]]}", kind)

    def _keep(self, index: int, place: Place, value: V | None = None) -> None:
        if index not in self.form.kept:
            return
        axes, value = self.form.kept[index], value or self._value(index)
        if index not in self._registers:
            self._store(f"s{index}", axes, value, place)
            return
        at = self._registers[index]
        if axes[0] != place.vector:
            held = V(self.t.load(f"<{LANES} x {value.kind}>", at), value.kind, True)
            value = self.t.op(f"insertelement {held}, {value}, {place.numbers[axes[0]]}", value.kind, True)
        self.t.line(f"store {self.t.splat(value)}, ptr {at}")

    def _stored(self, name: str) -> str:
        return _STORED[self.arguments[name].dtype.name]

    def _at(self, name: str, axes: tuple[str, ...], place: Place) -> tuple[V, V | None]:
        """The number of an element in an array, and what it grows by from lane to lane (None: it is one for all lanes)."""
        t, number, step = self.t, literal(0, "i64"), None
        for k, axis in enumerate(axes):
            extent = V(f"%{name}.{k}", "i64")
            number = t.binary("add", t.binary("mul", number, extent), place.numbers[axis]) if k else place.numbers[axis]
            if step is not None:
                step = t.binary("mul", step, extent)
            if axis == place.vector:
                step = literal(1, "i64")
        return number, step

    def _pointer(self, name: str, number: V) -> str:
        return self.t.op(f"getelementptr inbounds {self._stored(name)}, ptr %{name}, {number}", "ptr").name

    def _pointers(self, name: str, number: V, step: V) -> str:
        """Of lanes that are apart."""
        t = self.t
        lanes = t.op(f"sext {self.t.lanes()} to <{LANES} x i64>", "i64", True)
        numbers = t.binary("add", number, t.binary("mul", lanes, step))
        return t.op(f"getelementptr inbounds {self._stored(name)}, ptr %{name}, {numbers}", "ptr", True).name

    def _load(self, name: str, axes: tuple[str, ...], kind: str, place: Place) -> V:
        number, step = self._at(name, axes, place)
        stored, size = self._stored(name), self.arguments[name].dtype.itemsize
        if step is None:
            held = self.t.op(f"load {stored}, ptr {self._pointer(name, number)}, align {size}", stored)
        elif step.name != "1":
            held = self._gathered_lanes(stored, size, self._pointers(name, number, step), place)
        else:
            type_, at = V("", stored, True).type, V(self._pointer(name, number), "ptr")
            held = V(self.t.load_lanes(type_, at, size, place.mask), stored, True)
        return self._converted(held, kind)

    def _gathered_lanes(self, stored: str, size: int, pointers: str, place: Place) -> V:
        type_, mask = f"<{LANES} x {stored}>", place.mask or literal(1, "i1", True)
        name = f"llvm.masked.gather.{short(type_)}.v{LANES}p0"
        self.t.declared[f"declare {type_} @{name}(<{LANES} x ptr>, i32 immarg, <{LANES} x i1>, {type_})"] = None
        return self.t.op(f"call {type_} @{name}(<{LANES} x ptr> {pointers}, i32 {size}, {mask}, {type_} zeroinitializer)", stored, True)

    def _store(self, name: str, axes: tuple[str, ...], value: V, place: Place) -> None:
        number, step = self._at(name, axes, place)
        stored, size = self._stored(name), self.arguments[name].dtype.itemsize
        value = self._converted(self.t.splat(value) if step else value, stored)
        if step is None:
            self.t.line(f"store {value}, ptr {self._pointer(name, number)}, align {size}")
        elif step.name != "1":
            together = self.t.word("icmp eq", step, 1)  # lanes lie side by side, as where there is one row
            with self.t.when(together):
                self.t.store_lanes(value.type, value.name, V(self._pointer(name, number), "ptr"), size, place.mask)
            with self.t.when(self.t.word("xor", together, 1)):
                self._scatter(value, size, self._pointers(name, number, step), place)
        else:
            self.t.store_lanes(value.type, value.name, V(self._pointer(name, number), "ptr"), size, place.mask)

    def _scatter(self, value: V, size: int, pointers: str, place: Place) -> None:
        name, mask = f"llvm.masked.scatter.{short(value.type)}.v{LANES}p0", place.mask or literal(1, "i1", True)
        self.t.declared[f"declare void @{name}({value.type}, <{LANES} x ptr>, i32 immarg, <{LANES} x i1>)"] = None
        self.t.line(f"call void @{name}({value}, <{LANES} x ptr> {pointers}, i32 {size}, {mask})")

    def _converted(self, value: V, kind: str) -> V:
        if value.kind == kind:
            return value
        narrower = {"i1": 1, "i8": 8, "i16": 16, "i32": 32}
        how = "trunc" if narrower[kind] < narrower[value.kind] else "zext" if value.kind == "i1" else "sext"
        return self.t.op(f"{how} {value} to {V('', kind, value.wide).type}", kind, value.wide)


def _reductions(body: Sequence[Nest | Loop]) -> list[Instruction]:
    return [i for item in body if isinstance(item, Nest) for i in item.instructions if i.op in REDUCTIONS]


def _draws(nest: Nest) -> bool:
    return any(i.op == "random" for i in nest.instructions)


def _salts(loop: Loop) -> list[int]:
    """Of the random bits of nests that are deeper than a loop's own."""
    return [i["salt"] for path, nest in loop.nests() if len(path) > 1 for i in nest.instructions if i.op == "random"]
