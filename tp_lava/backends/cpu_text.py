"""LLVM's intermediate representation as it is written: values, loops, vectors of LANES elements with masks, and operations."""

from __future__ import annotations

import hashlib
import platform
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from tp_lava.backends.cpu_calls import PART, Argument
from tp_lava.backends.cpu_operation import OPERATION, Source

LANES = 16  # numbers of 32 bits in the widest vectors there are
_GOLDEN, _M1, _M2 = (np.uint32(word).astype(np.int32) for word in (0x9E3779B9, 0x7FEB352D, 0x846CA68B))  # see numbers.mix
_PROCESSOR = platform.machine()
_PERMUTE = "llvm.x86.avx512.permvar.si.512"
_FLUSHED = 0x8040  # bits of MXCSR: denormal results, and operands, are zero
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


def literal_words(table: Sequence[int]) -> str:
    """The elements of a constant of LANES words; what is left is zero."""
    return ", ".join(f"i32 {int(word)}" for word in (*table, *[0] * (LANES - len(table))))


@cache
def permutes() -> bool:
    """Whether this machine takes any lanes of a vector of LANES words at once."""
    from llvmlite import binding

    return _PROCESSOR in ("x86_64", "AMD64") and bool(binding.get_host_cpu_features().get("avx512f"))


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

    def binary(self, name: str, a: V, b: V) -> V:
        """name a, b."""
        a, b = self.alike(a, b)
        return self.op(f"{name} {a}, {b.name}", "i1" if name.startswith(("icmp", "fcmp")) else a.kind, a.wide)

    def product(self, numbers: Sequence[V]) -> V:
        """Of whole numbers."""
        made = numbers[0]
        for number in numbers[1:]:
            made = self.binary("mul", made, number)
        return made

    def word(self, name: str, a: V, number: Any) -> V:
        """name a, number."""
        return self.binary(name, a, literal(number, a.kind))

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

    def entry(self, table: Sequence[int], number: V) -> V:
        """What a table of at most LANES words has for each number below LANES."""
        words = literal_words(table)
        if number.wide:
            type_ = number.type
            self.declared[f"declare {type_} @{_PERMUTE}({type_}, {type_})"] = None
            return self.op(f"call {type_} @{_PERMUTE}({type_} <{words}>, {number})", "i32", True)
        name = f"@table.{hashlib.sha256(words.encode()).hexdigest()[:16]}"
        self.declared[f"{name} = private unnamed_addr constant [{LANES} x i32] [{words}]"] = None
        at = self.op(f"getelementptr inbounds i32, ptr {name}, {number}", "ptr")
        return V(self.load("i32", at.name), "i32")

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

    def own(self, part: V, size: V) -> tuple[V, V]:
        """Of 0..size-1 the first number of a part, and the one after its last: whole vectors, but for the end. part: see cpu_calls.PART."""
        number, parts = (V(self.load("i64", self.op(f"getelementptr inbounds i64, {part}, i64 {k}", "ptr").name), "i64") for k in (0, 1))
        vectors = self.word("lshr", self.word("add", size, LANES - 1), (LANES - 1).bit_length())
        ends = [self.binary("udiv", self.binary("mul", vectors, k), parts) for k in (number, self.word("add", number, 1))]
        first, end = (self.word("mul", k, LANES) for k in ends)
        return first, self.call("llvm.smin.i64", "i64", False, end, size)

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
        name = f"llvm.masked.load.{short(type_)}.p0"
        self.declared[f"declare {type_} @{name}(ptr, i32 immarg, {lanes} x i1>, {type_})"] = None
        return self.raw(f"call {type_} @{name}({at}, i32 {size}, {lanes} x i1> {mask.name}, {type_} zeroinitializer)")

    def store_lanes(self, type_: str, value: str, at: V, size: int, mask: V | None) -> None:
        """The inverse."""
        if mask is None:
            self.line(f"store {type_} {value}, {at}, align {size}")
            return
        lanes = type_.split(" ", 1)[0]
        name = f"llvm.masked.store.{short(type_)}.p0"
        self.declared[f"declare void @{name}({type_}, ptr, i32 immarg, {lanes} x i1>)"] = None
        self.line(f"call void @{name}({type_} {value}, {at}, i32 {size}, {lanes} x i1> {mask.name})")

    def function(self, head: str) -> str:
        """The function, and what it calls."""
        return "\n".join([f"define {head} {{", "entry:", *self.head, *self.lines, "  ret void", "}", *self.declared]) + "\n"


def short(type_: str) -> str:
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

    def own(self, size: V) -> tuple[V, V]:
        """Of 0..size-1 the first number of this part, and the one after its last; all, where an operation has no parts."""
        return self.t.own(self.arrays[PART][0], size) if PART in self.arrays else (literal(0, "i64"), size)

    def place(self, name: str, r: V, i: V) -> V:
        """The number of element (r, i)."""
        return self.t.binary("add", self.t.binary("mul", r, self.arrays[name][2]), i)


def operation_text(text: Text, before: str = "") -> Source:
    """The source of an operation. before: what it calls."""
    lines = (before + text.function("void @operation(i32 %key, ptr %slots)")).splitlines()
    needed = dict.fromkeys(line for line in lines if line.startswith(("declare ", "@")))
    others = [line for line in lines if line not in needed]
    return Source("\n".join([*others, *needed, LOOPS]), OPERATION, language="llvm")
