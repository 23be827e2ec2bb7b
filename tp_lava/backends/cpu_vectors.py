"""Programs as LLVM's intermediate representation, in vectors: the innermost loop of every nest takes LANES elements at a time.

What is left of a row is one more vector of which a mask takes part, so rows of four or ten elements cost one vector each. A sum over the
innermost axis has LANES partial sums, added in pairs at the end; one over an outer axis is gathered in registers, if nothing else is
done there. Both orders are the same on every machine. Other float operations are carried out one by one, as the interpreter does.
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tp_lava.backends.cpu_calls import Argument
from tp_lava.backends.cpu_operation import OPERATION, Source
from tp_lava.backends.loops import Loop, Nest, loop_form, nests_of
from tp_lava.backends.protocol import entry
from tp_lava.backends.scalar import LARGEST, is_wide
from tp_lava.dynamics.piecewise import Piecewise
from tp_lava.dynamics.program import REDUCTIONS, Instruction, Program, Value
from tp_lava.numbers import REGISTER_BITS

_PROCESSOR = platform.machine()
_FLUSHED = 0x8040  # bits of MXCSR: denormal results, and operands, are zero
LANES = 16  # numbers of 32 bits in the widest vectors there are
MASKED_FROM = 60  # instructions of a body that is made once, with a mask, not once for whole vectors and once for the rest
UNROLLED_BELOW = 12  # instructions of a body that is worth it
_STORED = {"float32": "float", "int32": "i32", "int16": "i16", "int8": "i8", "bool": "i8", "uint32": "i32"}
_GOLDEN, _M1, _M2 = (np.uint32(word).astype(np.int32) for word in (0x9E3779B9, 0x7FEB352D, 0x846CA68B))  # see numbers.mix
# 2**x = 2**n * 2**f, n = floor(x): the exponent's bits, and a polynomial of least relative error on [0, 1] with 1 at 0.
EXP2_REAL_ERROR = 2.0**-22
_EXP2 = (0.6931470632553101, 0.2402293086051941, 0.055485278367996216, 0.00967545248568058, 0.0012467838823795319, 0.00021612938144244254)
_ZERO_BELOW, _INFINITE_FROM, _BIAS, _FRACTION_BITS = -127.0, 128.0, 127, 23  # of a float32; what is not normal is zero

_UNROLLED = {1: "disable", 2: 'count", i32 2', 4: 'count", i32 4'}  # rounds of a loop that are carried out without a jump
LOOPS = "".join(
    f'!{2 * n} = distinct !{{!{2 * n}, !{2 * n + 1}}}\n!{2 * n + 1} = !{{!"llvm.loop.unroll.{how}{chr(34) if n == 1 else ""}}}\n'
    for n, how in _UNROLLED.items()
)  # what stands at the end of every module


@dataclass(frozen=True)
class V:
    """A value in the text. kind: i1, i32, i64 or float; wide: one for each lane."""

    name: str
    kind: str
    wide: bool = False

    @property
    def type(self) -> str:
        """As LLVM calls it."""
        return f"<{LANES} x {self.kind}>" if self.wide else self.kind

    def __str__(self) -> str:
        return f"{self.type} {self.name}"


def literal(value: Any, kind: str, wide: bool = False) -> V:
    """A constant."""
    text = f"0x{struct.unpack('<Q', struct.pack('<d', np.float32(value)))[0]:016X}" if kind == "float" else str(int(value))
    return V(f"<{', '.join([f'{kind} {text}'] * LANES)}>" if wide else text, kind, wide)


class Text:
    """The body of a function in the making."""

    def __init__(self) -> None:
        self.head: list[str] = []  # what stands in the entry block
        self.lines: list[str] = []
        self.declared: dict[str, None] = {}
        self._count = 0

    def fresh(self, of: str = "t") -> str:
        """A name that is not taken."""
        self._count += 1
        return f".{of}{self._count}"

    def line(self, text: str) -> None:
        """Append a line."""
        self.lines.append(f"  {text}")

    def op(self, text: str, kind: str, wide: bool = False) -> V:
        """Append an instruction. -> its result."""
        name = f"%{self.fresh()}"
        self.line(f"{name} = {text}")
        return V(name, kind, wide)

    def variable(self, kind: str, wide: bool = False) -> str:
        """A place for a value that changes."""
        name = f"%{self.fresh('p')}"
        self.head.append(f"  {name} = alloca {V('', kind, wide).type}")
        return name

    def block(self, label: str, jump: bool = True) -> None:
        """Begin a block."""
        if jump:
            self.line(f"br label %{label}")
        self.lines.append(f"{label}:")

    @contextmanager
    def loop(self, first: V, end: V, step: int = 1, unrolled: int = 1) -> Iterator[V]:
        """A loop over i64 numbers from `first` below `end`. unrolled: rounds that are carried out without a jump."""
        at, name = self.variable("i64"), self.fresh("loop")
        self.line(f"store {first}, ptr {at}")
        self.block(f"{name}.head")
        i = self.op(f"load i64, ptr {at}", "i64")
        more = self.op(f"icmp slt {i}, {end.name}", "i1")
        self.line(f"br {more}, label %{name}.body, label %{name}.end")
        self.block(f"{name}.body", jump=False)
        yield i
        self.line(f"store {self.op(f'add {i}, {step}', 'i64')}, ptr {at}")
        self.line(f"br label %{name}.head, !llvm.loop !{2 * unrolled}")
        self.block(f"{name}.end", jump=False)

    @contextmanager
    def when(self, condition: V) -> Iterator[None]:
        """What is done only under a condition."""
        name = self.fresh("when")
        self.line(f"br {condition}, label %{name}.then, label %{name}.end")
        self.block(f"{name}.then", jump=False)
        yield
        self.block(f"{name}.end")

    @contextmanager
    def without_denormals(self) -> Iterator[None]:
        """Float numbers below the smallest normal one are zero, as it is set for this thread; then again as before."""
        if _PROCESSOR not in ("x86_64", "AMD64"):
            yield
            return
        before, now = self.place("i32"), self.place("i32")
        for name in ("stmxcsr", "ldmxcsr"):
            self.declared[f"declare void @llvm.x86.sse.{name}(ptr)"] = None
        self.line(f"call void @llvm.x86.sse.stmxcsr(ptr {before})")
        self.line(f"store {self.word('or', V(self.load('i32', before), 'i32'), _FLUSHED)}, ptr {now}")
        self.line(f"call void @llvm.x86.sse.ldmxcsr(ptr {now})")
        yield
        self.line(f"call void @llvm.x86.sse.ldmxcsr(ptr {before})")

    def call(self, name: str, kind: str, wide: bool, *operands: V, result: str = "") -> V:
        """Append a call of one of LLVM's functions."""
        type_ = result or V("", kind, wide).type
        self.declared[f"declare {type_} @{name}({', '.join(o.type for o in operands)})"] = None
        return self.op(f"call {type_} @{name}({', '.join(map(str, operands))})", kind, wide)

    def splat(self, value: V) -> V:
        """A value in all lanes."""
        if value.wide:
            return value
        if not value.name.startswith("%"):
            return V(f"<{', '.join([str(value)] * LANES)}>", value.kind, True)
        type_ = f"<{LANES} x {value.kind}>"
        one = self.op(f"insertelement {type_} poison, {value}, i32 0", value.kind, True)
        return self.op(f"shufflevector {one}, {type_} poison, <{LANES} x i32> zeroinitializer", value.kind, True)

    def alike(self, *values: V) -> list[V]:
        """All wide, if one is."""
        return [self.splat(v) for v in values] if any(v.wide for v in values) else list(values)

    def binary(self, name: str, a: V, b: V, kind: str = "") -> V:
        """name a, b."""
        a, b = self.alike(a, b)
        return self.op(f"{name} {a}, {b.name}", kind or a.kind, a.wide)

    def product(self, numbers: Sequence[V]) -> V:
        """Of whole numbers."""
        made = numbers[0]
        for number in numbers[1:]:
            made = self.binary("mul", made, number)
        return made

    def word(self, name: str, a: V, number: Any) -> V:
        """name a, number."""
        return self.binary(name, a, literal(number, a.kind), "i1" if name.startswith("icmp") else "")

    def select(self, condition: V, a: V, b: V) -> V:
        """a where condition, else b."""
        a, b = self.alike(a, b)
        if condition.wide:
            a, b = self.splat(a), self.splat(b)
        elif a.wide:
            condition = self.splat(condition)
        return self.op(f"select {condition}, {a}, {b}", a.kind, a.wide)

    def mix(self, key: V, word: V) -> V:
        """numbers.mix."""
        x = self.binary("add", key, self.word("mul", word, _GOLDEN))
        x = self.binary("xor", x, self.word("lshr", x, 16))
        x = self.word("mul", x, _M1)
        x = self.binary("xor", x, self.word("lshr", x, 15))
        x = self.word("mul", x, _M2)
        return self.binary("xor", x, self.word("lshr", x, 16))

    def draw(self, key: V, index: V, drop: int, *, lanes: bool) -> V:
        """numbers.draw. index: of the first lane, where `lanes` take part."""
        x = self.binary("add", key, self.word("mul", index, _GOLDEN))
        if lanes:
            x = self.binary("add", x, self.word("mul", self.lanes(), _GOLDEN))
        x = self.binary("xor", x, self.word("lshr", x, 15))
        return self.word("lshr", self.word("mul", x, _M1), drop)

    # Vectors of any type ------------------------------------------------------------------------
    def raw(self, text: str) -> str:
        """Append an instruction. -> the name of its result."""
        name = f"%{self.fresh()}"
        self.line(f"{name} = {text}")
        return name

    def place(self, type_: str) -> str:
        """A place for a value of any type."""
        name = f"%{self.fresh('p')}"
        self.head.append(f"  {name} = alloca {type_}")
        return name

    def load(self, type_: str, place: str) -> str:
        """What stands in a place."""
        return self.raw(f"load {type_}, ptr {place}")

    @staticmethod
    def lanes(count: int = LANES) -> V:
        """0, 1, 2, ..."""
        return V(f"<{', '.join(f'i32 {lane}' for lane in range(count))}>", "i32", True)

    def lanes_below(self, count: V, lanes: int) -> V:
        """A mask of the first lanes. count: i32."""
        type_ = f"<{lanes} x i32>"
        one = self.raw(f"insertelement {type_} poison, {count}, i32 0")
        all_ = self.raw(f"shufflevector {type_} {one}, {type_} poison, <{lanes} x i32> zeroinitializer")
        return V(self.raw(f"icmp slt {type_} {self.lanes(lanes).name}, {all_}"), "i1", True)

    def load_lanes(self, type_: str, at: V, size: int, mask: V | None) -> str:
        """A vector at an address, of elements of so many bytes."""
        if mask is None:
            return self.raw(f"load {type_}, {at}, align {size}")
        lanes = type_.split(" ", 1)[0]
        name = f"llvm.masked.load.{_short(type_)}.p0"
        self.declared[f"declare {type_} @{name}(ptr, i32 immarg, {lanes} x i1>, {type_})"] = None
        return self.raw(f"call {type_} @{name}({at}, i32 {size}, {lanes} x i1> {mask.name}, {type_} zeroinitializer)")

    def store_lanes(self, type_: str, value: str, at: V, size: int, mask: V | None) -> None:
        """The inverse."""
        if mask is None:
            self.line(f"store {type_} {value}, {at}, align {size}")
            return
        lanes = type_.split(" ", 1)[0]
        name = f"llvm.masked.store.{_short(type_)}.p0"
        self.declared[f"declare void @{name}({type_}, ptr, i32 immarg, {lanes} x i1>)"] = None
        self.line(f"call void @{name}({type_} {value}, {at}, i32 {size}, {lanes} x i1> {mask.name})")

    def function(self, head: str) -> str:
        """The function, and what it calls."""
        return "\n".join([f"define {head} {{", "entry:", *self.head, *self.lines, "  ret void", "}", *self.declared]) + "\n"


def _short(type_: str) -> str:
    """A vector's type as names of functions have it."""
    return type_.strip("<>").replace(" x ", "").replace("float", "f32").join(("v", ""))


def parameters_of(arguments: Sequence[Argument]) -> str:
    """What the function of a program takes: its key, and for each array where it is and its shape."""
    taken = [f"ptr %{a.name}" + "".join(f", i64 %{a.name}.{k}" for k in range(a.dimensions)) for a in arguments]
    return ", ".join(["i32 %key", *taken])


def unpacked_in(text: Text, arguments: Sequence[Argument]) -> list[list[V]]:
    """Append the loading of an operation's slots. -> of each array where it is, and its shape."""
    place, found = 0, []
    for a in arguments:
        words = []
        for k in range(1 + a.dimensions):
            at = text.op(f"getelementptr inbounds i64, ptr %slots, i64 {place + k}", "ptr")
            words.append(text.op(f"load {'i64' if k else 'ptr'}, {at}", "i64" if k else "ptr"))
        place += len(words)
        found.append(words)
    return found


class Loops:
    """Writes the loops of an operation over its arguments. arrays: name -> address and shape."""

    def __init__(self, text: Text, arguments: Sequence[Argument]) -> None:
        self.t = text
        self.arrays = dict(zip((a.name for a in arguments), unpacked_in(text, arguments), strict=True))
        self.types = {a.name: "float" if a.dtype.kind == "f" else f"i{8 * a.dtype.itemsize}" for a in arguments}

    def at(self, name: str, number: V) -> V:
        """The address of an element."""
        return self.t.op(f"getelementptr inbounds {self.types[name]}, {self.arrays[name][0]}, {number}", "ptr")

    def load(self, name: str, number: V) -> V:
        """An element."""
        return self.t.op(f"load {self.types[name]}, {self.at(name, number)}", self.types[name])

    def place(self, name: str, r: V, i: V) -> V:
        """The number of element (r, i)."""
        return self.t.binary("add", self.t.binary("mul", r, self.arrays[name][2]), i)


def operation_text(text: Text, before: str = "") -> Source:
    """The source of an operation. before: what it calls."""
    lines = (before + text.function("void @operation(i32 %key, ptr %slots)")).splitlines()
    needed = dict.fromkeys(line for line in lines if line.startswith("declare "))
    others = [line for line in lines if line not in needed]
    return Source("\n".join([*others, *needed, LOOPS]), OPERATION, language="llvm")


def program_text(program: Program, arguments: Sequence[Argument]) -> str:
    """The function @program of a program: its key, ports and scratch arrays."""
    text = Text()
    _Program(program, {a.name: a for a in arguments}, text).render()
    return text.function(f"internal void @program({parameters_of(arguments)}) alwaysinline")


@dataclass(frozen=True)
class _Place:
    """Where a nest stands: the number of each axis, and, of the innermost of a vector, the lanes that take part (None: all)."""

    numbers: dict[str, V]
    vector: str = ""
    mask: V | None = None


class _Program:
    """Writes the body of one program."""

    def __init__(self, program: Program, arguments: dict[str, Argument], text: Text) -> None:
        self.program, self.arguments, self.t = program, arguments, text
        self.form = loop_form(program, vectors=True)
        self._reads = {index: name for name, index in program.reads}
        self._constants = {i.result: i["value"] for i in program.instructions if i.op == "constant"}
        self._sizes = {}
        for axis in program.axes:
            owner = next((port for port in program.ports if axis in port.axes), None)
            if owner:
                self._sizes[axis] = V(f"%{owner.name}.{owner.axes.index(axis)}", "i64")
        self._keys: dict[tuple[int, int], V] = {}
        self._short: tuple[str, ...] = ()  # axes of which one vector has all
        self._registers: dict[int, str] = {}  # values over such an axis, in the place of scratch arrays
        self._known: dict[int, V] = {}  # values, where they have names

    def render(self) -> None:
        """All of it."""
        for i in self.program.instructions:
            if i.op == "random":
                self._keys[i["salt"], 0] = self.t.mix(V("%key", "i32"), literal(i["salt"], "i32"))
        reduced = {i["axis"] for i in self.program.instructions if i.op in REDUCTIONS}
        short = tuple(axis for axis in self.program.axes if axis in reduced and (axis,) in self.form.kept.values())
        if not short:
            self._body(self.form.body, _Place({}))
            return
        fits = literal(1, "i1")
        for axis in short:
            fits = self.t.binary("and", fits, self.t.word("icmp sle", self._sizes[axis], LANES))
        keys = dict(self._keys)
        for axes, condition in ((short, fits), ((), self.t.word("xor", fits, 1))):
            self._short, self._keys, self._known = axes, dict(keys), {}
            held = (index for index, kept in self.form.kept.items() if len(kept) == 1 and kept[0] in axes)
            self._registers = {index: self.t.variable(self._kind(index), True) for index in held}
            with self.t.when(condition):
                self._body(self.form.body, _Place({}))

    # Structure --------------------------------------------------------------------------------
    def _body(self, body: Sequence[Nest | Loop], place: _Place) -> None:
        """What stands in the loops of a place, whose numbers are single ones."""
        for index in self._loads(body, place):
            self._known[index] = self._loaded(index, place)
        for item in body:
            if isinstance(item, Loop):
                self._loop(item, place)
            else:
                self._nest(item, place)

    def _loads(self, body: Sequence[Nest | Loop], place: _Place) -> list[int]:
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

    def _nest(self, nest: Nest, place: _Place, sums: dict[int, str] | None = None) -> None:
        """Instructions and writes of a place. sums: the variables of reductions over its innermost axis, or that are gathered here."""
        for i in nest.instructions:
            if i.op not in REDUCTIONS:
                self._known[i.result] = self._instruction(i, place)
                self._keep(i.result, place)
            elif sums and i.result in sums:
                self._reduce(i, place, sums[i.result])
            else:
                self._reduce_in_scratch(i, place)
        for port, value in nest.writes:
            self._store(port, self.program.port(port).axes, self._value(value), place)

    def _loop(self, loop: Loop, place: _Place) -> None:
        before, depth = dict(self._known), len(place.numbers)
        gathered = self._gathered(loop)
        for index, first in self.form.begun.items():
            if first is loop and index not in gathered:
                self._fill(index, place)
        own = [i for i in _reductions(loop.body) if i["axis"] == loop.axis]
        leaf = all(isinstance(item, Nest) for item in loop.body)
        sums = {i.result: self.t.variable(self._kind(i.result), leaf) for i in own}
        for i in own:
            self.t.line(f"store {self._neutral(i, leaf)}, ptr {sums[i.result]}")
        if gathered:
            self._gather(loop, gathered, place)
        elif leaf:
            for inner in self._chunks(loop.axis, place, self._length(loop)):
                self._vector(loop.body, inner, sums)
        else:
            with self.t.loop(literal(0, "i64"), self._sizes[loop.axis]) as at:
                inside = _Place({**place.numbers, loop.axis: at})
                for salt in _salts(loop):
                    self._keys[salt, depth + 1] = self.t.mix(self._keys[salt, depth], self._word(at))
                self._scalar_body(loop, inside, sums)
        self._known = before
        for i in own:
            self._known[i.result] = self._total(i, sums[i.result], leaf)
            self._keep(i.result, place)

    def _scalar_body(self, loop: Loop, place: _Place, sums: dict[int, str]) -> None:
        for index in self._loads(loop.body, place):
            self._known[index] = self._loaded(index, place)
        for item in loop.body:
            if isinstance(item, Loop):
                self._loop(item, place)
            else:
                self._nest(item, place, sums)

    def _vector(self, body: Sequence[Nest | Loop], place: _Place, sums: dict[int, str]) -> None:
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

    def _chunks(self, axis: str, place: _Place, length: int) -> Iterator[_Place]:
        """The places of the vectors along an axis. length: of what is done there."""
        t, size, zero = self.t, self._sizes[axis], literal(0, "i64")
        if axis in self._short:
            yield _Place({**place.numbers, axis: zero}, axis, self._mask(zero, size))
            return
        whole = t.word("and", size, -LANES)
        if length < MASKED_FROM:
            with t.loop(zero, whole, LANES, unrolled=4 if length < UNROLLED_BELOW else 1) as at:
                yield _Place({**place.numbers, axis: at}, axis)
            with t.when(t.binary("icmp slt", whole, size, "i1")):
                yield _Place({**place.numbers, axis: whole}, axis, self._mask(whole, size))
        else:
            with t.loop(zero, size, LANES) as at:
                yield _Place({**place.numbers, axis: at}, axis, self._mask(at, size))

    def _mask(self, at: V, size: V) -> V:
        left = self._word(self.t.binary("sub", size, at))
        return self.t.lanes_below(left, LANES)

    def _word(self, at: V) -> V:
        return self.t.op(f"trunc {at} to i32", "i32")

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

    def _gather(self, loop: Loop, results: Sequence[int], place: _Place) -> None:
        inner = loop.body[0]
        assert isinstance(inner, Loop)
        reductions = [i for i in _reductions(inner.body) if i.result in results]
        sums = {i.result: self.t.variable(self._kind(i.result), True) for i in reductions}
        for chunk in self._chunks(inner.axis, place, self._length(loop)):
            for i in reductions:
                self.t.line(f"store {self._neutral(i, True)}, ptr {sums[i.result]}")
            with self.t.loop(literal(0, "i64"), self._sizes[loop.axis]) as at:
                self._vector(inner.body, _Place({**chunk.numbers, loop.axis: at}, chunk.vector, chunk.mask), sums)
            for i in reductions:
                self._keep(i.result, chunk, self._held(i, sums[i.result], True))

    def _reduce(self, i: Instruction, place: _Place, into: str) -> None:
        held = self._held(i, into, bool(place.vector))
        after = self._combined(i, held, self._value(i.arguments[0]))
        if place.mask and i["axis"] == place.vector:
            after = self.t.select(place.mask, after, held)
        self.t.line(f"store {after}, ptr {into}")

    def _reduce_in_scratch(self, i: Instruction, place: _Place) -> None:
        """A reduction over an outer axis."""
        held = self._loaded(i.result, place)
        self._keep(i.result, place, self._combined(i, held, self._value(i.arguments[0])))

    def _held(self, i: Instruction, at: str, wide: bool) -> V:
        kind = self._kind(i.result)
        return self.t.op(f"load {V('', kind, wide).type}, ptr {at}", kind, wide)

    def _combined(self, i: Instruction, a: V, b: V) -> V:
        if i.op == "max":
            return self._larger(a, b)
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
        kind = self._kind(i.result)
        return literal(0 if i.op == "sum" else -LARGEST if kind == "i32" else -np.inf, kind, wide)

    def _fill(self, index: int, place: _Place) -> None:
        """A reduction over an outer axis starts in scratch."""
        reduction = next(i for i in self.program.instructions if i.result == index)
        axes = self.form.kept[index]
        self._fill_axes(axes, reduction, place)

    def _fill_axes(self, axes: tuple[str, ...], reduction: Instruction, place: _Place) -> None:
        if len(axes) > 1:
            with self.t.loop(literal(0, "i64"), self._sizes[axes[0]]) as at:
                self._fill_axes(axes[1:], reduction, _Place({**place.numbers, axes[0]: at}))
            return
        for chunk in self._chunks(axes[0], place, 0):
            self._keep(reduction.result, chunk, self._neutral(reduction, True))

    # Memory -----------------------------------------------------------------------------------
    def _kind(self, index: int) -> str:
        value: Value = self.program.values[index]
        return "i1" if value.boolean else "i32" if self.program.fixed else "float"

    def _value(self, index: int) -> V:
        if index in self._constants:
            return literal(self._constants[index], self._kind(index))
        return self._known[index]

    def _loaded(self, index: int, place: _Place) -> V:
        if index in self._reads:
            name = self._reads[index]
            return self._load(name, self.program.port(name).axes, self._kind(index), place)
        axes, kind = self.form.kept[index], self._kind(index)
        if index not in self._registers:
            return self._load(f"s{index}", axes, kind, place)
        held = V(self.t.load(f"<{LANES} x {kind}>", self._registers[index]), kind, True)
        return held if axes[0] == place.vector else self.t.op(f"extractelement {held}, {place.numbers[axes[0]]}", kind)

    def _keep(self, index: int, place: _Place, value: V | None = None) -> None:
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

    def _at(self, name: str, axes: tuple[str, ...], place: _Place) -> tuple[V, V | None]:
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

    def _load(self, name: str, axes: tuple[str, ...], kind: str, place: _Place) -> V:
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

    def _gathered_lanes(self, stored: str, size: int, pointers: str, place: _Place) -> V:
        type_, mask = f"<{LANES} x {stored}>", place.mask or literal(1, "i1", True)
        name = f"llvm.masked.gather.{_short(type_)}.v{LANES}p0"
        self.t.declared[f"declare {type_} @{name}(<{LANES} x ptr>, i32 immarg, <{LANES} x i1>, {type_})"] = None
        return self.t.op(f"call {type_} @{name}(<{LANES} x ptr> {pointers}, i32 {size}, {mask}, {type_} zeroinitializer)", stored, True)

    def _store(self, name: str, axes: tuple[str, ...], value: V, place: _Place) -> None:
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

    def _scatter(self, value: V, size: int, pointers: str, place: _Place) -> None:
        name, mask = f"llvm.masked.scatter.{_short(value.type)}.v{LANES}p0", place.mask or literal(1, "i1", True)
        self.t.declared[f"declare void @{name}({value.type}, <{LANES} x ptr>, i32 immarg, <{LANES} x i1>)"] = None
        self.t.line(f"call void @{name}({value}, <{LANES} x ptr> {pointers}, i32 {size}, {mask})")

    def _converted(self, value: V, kind: str) -> V:
        if value.kind == kind:
            return value
        narrower = {"i1": 1, "i8": 8, "i16": 16, "i32": 32}
        how = "trunc" if narrower[kind] < narrower[value.kind] else "zext" if value.kind == "i1" else "sext"
        return self.t.op(f"{how} {value} to {V('', kind, value.wide).type}", kind, value.wide)

    # One instruction --------------------------------------------------------------------------
    def _instruction(self, i: Instruction, place: _Place) -> V:
        operands = [self._value(a) for a in i.arguments]
        return entry("CPU", "instruction", self.instructions, i.op, i.op)(self, i, operands, place)

    def _larger(self, a: V, b: V) -> V:
        return self._pick(a, b, "smax", "ogt")

    def _smaller(self, a: V, b: V) -> V:
        return self._pick(a, b, "smin", "olt")

    def _pick(self, a: V, b: V, whole: str, real: str) -> V:
        """b where it compares so, else a: of what is no number, a."""
        t = self.t
        a, b = t.alike(a, b)
        if a.kind == "float":
            return t.select(t.binary(f"fcmp {real}", b, a, "i1"), b, a)
        return t.call(f"llvm.{whole}.{'v16' if a.wide else ''}i32", "i32", a.wide, a, b)

    def _add(self, i: Instruction, a: list[V], place: _Place) -> V:
        return self.t.binary("fadd" if a[0].kind == "float" else "add", *a)

    def _neg(self, i: Instruction, a: list[V], place: _Place) -> V:
        if a[0].kind == "float":
            return self.t.op(f"fneg {a[0]}", "float", a[0].wide)
        return self.t.binary("sub", literal(0, "i32"), a[0])

    def _product(self, i: Instruction, a: list[V], place: _Place) -> V:
        t = self.t
        if not self.program.fixed:
            return t.binary("fmul contract", *a)
        shift, wide = i["shift"], is_wide(self.program, i)
        if wide and (split := self._split(i, a)):
            high, low, sign = split
            return t.binary("add", high, t.word("ashr", self._rounded(i, low, sign, a), shift))
        product = t.binary("mul", *(self._in("i64" if wide else "i32", x) for x in a[:2]))
        return self._in("i32", t.word("ashr", self._rounded(i, product, product, a), shift) if shift else product)

    def _split(self, i: Instruction, a: list[V]) -> tuple[V, V, V] | None:
        """x * y as high * 2**shift + low, both of 32 bits, and what has its sign; None where that is not so.

        high = (x >> shift) * y, low = (x mod 2**shift) * y: exact for any x, and y >= 0 where the sign counts.
        """
        t, shift = self.t, i["shift"]
        for x, y in ((0, 1), (1, 0)):
            other = self.program.values[i.arguments[y]]
            assert other.low is not None
            assert other.high is not None
            if shift and (max(-other.low, other.high) + 1) << shift <= LARGEST and (other.low >= 0 or i.op != "mul" or i["rounding"] != "zero"):
                high, rest = t.word("ashr", a[x], shift), t.word("and", a[x], (1 << shift) - 1)
                return t.binary("mul", high, a[y]), t.binary("mul", rest, a[y]), a[x]
        return None

    def _rounded(self, i: Instruction, product: V, sign: V, a: list[V]) -> V:
        """A product with what its shift is to round by. sign: a number that is below zero where the product is, or the product is zero."""
        t, shift = self.t, i["shift"]
        if i.op == "mul_random":
            return t.binary("add", product, self._in(product.kind, a[2]))
        if i["rounding"] == "nearest":
            return t.word("add", product, 1 << shift >> 1)
        if i["rounding"] == "zero":
            below = t.word("ashr", sign, 63 if sign.kind == "i64" else 31)
            return t.binary("add", product, t.word("and", below, (1 << shift) - 1))
        return product

    def _in(self, kind: str, value: V) -> V:
        if value.kind == kind:
            return value
        if not value.name.startswith("%"):
            return V(value.name, kind)
        how = "sext" if kind == "i64" else "trunc"
        return self.t.op(f"{how} {value} to {V('', kind, value.wide).type}", kind, value.wide)

    def _shift(self, i: Instruction, a: list[V], place: _Place) -> V:
        by = i["by"]
        return self.t.word("shl" if by > 0 else "ashr", a[0], abs(by)) if by else a[0]

    def _compare(self, i: Instruction, a: list[V], place: _Place) -> V:
        real, whole = {"lt": ("olt", "slt"), "ge": ("oge", "sge"), "eq": ("oeq", "eq")}[i.op]
        return self.t.binary(f"fcmp {real}" if a[0].kind == "float" else f"icmp {whole}", *a, kind="i1")

    def _spike(self, i: Instruction, a: list[V], place: _Place) -> V:
        kind = self._kind(i.result)
        return self.t.select(a[0], literal(1, kind), literal(0, kind))

    def _random(self, i: Instruction, a: list[V], place: _Place) -> V:
        """What "random" gives."""
        axes = self.program.values[i.result].axes
        key = self._keys[i["salt"], max(0, len(axes) - 1)]
        index = self._word(place.numbers[axes[-1]]) if axes else literal(0, "i32")
        return self.t.draw(key, index, REGISTER_BITS - i["bits"], lanes=bool(axes) and axes[-1] == place.vector)

    def _piecewise(self, i: Instruction, a: list[V], place: _Place) -> V:
        """What "piecewise" gives: segments are chosen in pairs."""
        t, table = self.t, i["table"]
        starts = list(table.start)
        columns = [[literal(number, "i32") for number in column] for column in (table.offset, table.slope)]
        while len(starts) > 1:
            pairs = range(0, len(starts) - 1, 2)
            past = {k: self._past(table, a[0], starts[k + 1]) for k in pairs}
            columns = [
                [t.select(past[k], column[k + 1], column[k]) if k in past else column[k] for k in range(0, len(starts), 2)]
                for column in columns
            ]
            starts = starts[::2]
        (offset,), (slope,) = columns
        return t.word("ashr", t.binary("add", t.binary("mul", a[0], slope), offset), table.shift)

    def _past(self, table: Piecewise, x: V, start: int) -> V:
        return self.t.binary("icmp sge", x, literal(start, "i32"), "i1")

    def _apply(self, i: Instruction, a: list[V], place: _Place) -> V:
        x = a[0]
        if i["function"] == "exp2":
            return self._exp2(x)
        if i["function"] == "reciprocal":
            return self.t.binary("fdiv", literal(1, "float"), x)
        return self.t.call(f"llvm.{i['function']}.{'v16' if x.wide else ''}f32", "float", x.wide, x)

    def _exp2(self, x: V) -> V:
        t = self.t
        within = self._smaller(self._larger(x, literal(_ZERO_BELOW, "float")), literal(_INFINITE_FROM, "float"))
        whole = t.call(f"llvm.floor.{'v16' if x.wide else ''}f32", "float", x.wide, within)
        f = t.binary("fsub", within, whole)
        power = literal(_EXP2[-1], "float")
        for coefficient in (*reversed(_EXP2[:-1]), 1.0):
            power = t.binary("fadd", literal(coefficient, "float"), t.binary("fmul", f, power))
        exponent = t.op(f"fptosi {whole} to {V('', 'i32', x.wide).type}", "i32", x.wide)
        bits = t.word("shl", t.word("add", exponent, _BIAS), _FRACTION_BITS)
        return t.binary("fmul", power, t.op(f"bitcast {bits} to {x.type}", "float", x.wide))

    instructions: ClassVar[dict[str, Any]] = {
        "add": _add,
        "neg": _neg,
        "and": lambda self, i, a, place: self.t.binary("and", *a),
        "min": lambda self, i, a, place: self._smaller(*a),
        "mul": _product,
        "mul_random": _product,
        "shift": _shift,
        "shift_right": lambda self, i, a, place: self.t.binary("ashr", *a),
        "lt": _compare,
        "ge": _compare,
        "eq": _compare,
        "select": lambda self, i, a, place: self.t.select(*a),
        "spike": _spike,
        "random": _random,
        "piecewise": _piecewise,
        "apply": _apply,
    }


def _reductions(body: Sequence[Nest | Loop]) -> list[Instruction]:
    return [i for item in body if isinstance(item, Nest) for i in item.instructions if i.op in REDUCTIONS]


def _draws(nest: Nest) -> bool:
    return any(i.op == "random" for i in nest.instructions)


def _salts(loop: Loop) -> list[int]:
    """Of the random bits of nests that are deeper than a loop's own."""
    return [i["salt"] for path, nest in loop.nests() if len(path) > 1 for i in nest.instructions if i.op == "random"]
