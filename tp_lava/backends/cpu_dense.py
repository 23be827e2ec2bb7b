"""Dense connections in vectors, as text for LLVM: delivering by what spikes, listing what spikes, and learning row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from tp_lava.backends.cpu_calls import PART, Argument
from tp_lava.backends.cpu_code import address_of
from tp_lava.backends.cpu_programs import operation_of
from tp_lava.backends.cpu_text import LANES, Loops, Text, V, literal, operation_text
from tp_lava.dynamics.program import Program

Row = Callable[[Loops, str, V, V], list[V]]  # what a program takes of an array for row r and presynaptic unit i
_ZERO = literal(0, "i64")
_REGISTERS = (12, 6, 4, 2, 1)  # sums side by side, as many as fit what is left of a row
_MOST = 255  # rows of 8 bits whose sum fits 16


# Learning ----------------------------------------------------------------------------------------


def whole(rows: Loops, name: str, r: V, i: V) -> list[V]:
    """All of an array of one dimension."""
    return rows.arrays[name]


def row_of_unit(rows: Loops, name: str, r: V, i: V) -> list[V]:
    """Row i."""
    return [rows.at(name, rows.place(name, i, _ZERO)), rows.arrays[name][2]]


def row_of_sample(rows: Loops, name: str, r: V, i: V) -> list[V]:
    """Row r."""
    return [rows.at(name, rows.place(name, r, _ZERO)), rows.arrays[name][2]]


def element(rows: Loops, name: str, r: V, i: V) -> list[V]:
    """Element (r, i)."""
    return [rows.at(name, rows.place(name, r, i)), literal(1, "i64")]


def learning(program: Program, taken: Sequence[tuple[Argument, Row]], arguments: Sequence[Argument], *, by: str) -> int:
    """Compile the learning of dense weights. -> where it begins.

    taken: the program's arguments, and what it sees of each; arguments: the operation's; by: "active", whose lists say which units are
    active, "trace", of which those that are not zero are, which are listed in `listed`, or "" for all. Parts have elements of the rows.
    """
    text = Text()
    rows = Loops(text, arguments)
    arrays = rows.arrays
    own = rows.own(arrays["weight"][2]) if PART in arrays else ()

    def call(r: V, i: V) -> None:
        passed = [word for argument, row in taken for word in row(rows, argument.name, r, i)]
        key = V("%key", "i32")
        if program.uses_random:
            number = text.binary("add", text.binary("mul", r, arrays["weight"][1]), i)
            key = text.mix(key, text.op(f"trunc {number} to i32", "i32"))
        text.line(f"call void @program({', '.join(map(str, [key, *passed, *own]))})")

    def each(name: str, number: V, count: V) -> None:
        with text.loop(_ZERO, text.op(f"sext {count} to i64", "i64")) as q:
            call(r, text.op(f"sext {rows.load(name, text.binary('add', number, q))} to i64", "i64"))

    with text.loop(_ZERO, arrays["y1"][1]) as r, text.when(_acts(rows, r) if changes_by_products(program) else literal(1, "i1")):
        if by == "active":
            each("active", rows.place("active", r, _ZERO), rows.load("count", r))
        elif by:
            each("listed", _ZERO, _Listing(rows, by, r).into("listed", _ZERO, spare=True))
        else:
            with text.loop(_ZERO, arrays["weight"][1]) as i:
                call(r, i)
    return operation_of(text, program, program.axes[-1] if own else "")


def changes_by_products(program: Program) -> bool:
    """Whether a program changes nothing where its third factor is zero: it adds x1 * y1 to a weight, and keeps nothing else."""
    return {port.name for port in program.ports} <= {"weight", "x1", "y1"}


def _acts(rows: Loops, r: V) -> V:
    """Whether any third factor of a row is not zero."""
    t, listing_ = rows.t, _Listing(rows, "y1", r)
    found = t.variable("i1", True)
    t.line(f"store {literal(0, 'i1', True)}, ptr {found}")
    for _, fired, _ in listing_.chunks():
        t.line(f"store {t.binary('or', V(t.load(fired.type, found), 'i1', True), fired)}, ptr {found}")
    bits = t.op(f"bitcast {V('', 'i1', True).type} {t.load(V('', 'i1', True).type, found)} to i{LANES}", f"i{LANES}")
    return t.word("icmp ne", bits, 0)


# Delivering --------------------------------------------------------------------------------------


def delivering(arguments: Sequence[Argument]) -> int:
    """Compile into[r] = sum of the rows of `weights` that `active` lists, each times its element of `values`, if there are any.

    Sums are held in registers, in the order of the list; those of 8 bits without values on 16, as long as they fit. Parts have elements
    of `into`.
    """
    text = Text()
    rows = Loops(text, arguments)
    with text.loop(_ZERO, rows.arrays["into"][1]) as r:
        _Delivery(rows, r).emit()
    return address_of(operation_text(text))


class _Delivery:
    """Writes the delivery of one row."""

    def __init__(self, rows: Loops, r: V) -> None:
        self.rows, self.t, self.r = rows, rows.t, r
        self.kept, self.stored = rows.types["into"], rows.types["weights"]
        self.valued = "values" in rows.arrays
        self.held = "i16" if self.stored == "i8" and not self.valued else self.kept
        self.lanes = 2 * LANES if self.held == "i16" else LANES
        self.first, self.end = rows.own(rows.arrays["into"][2])
        self.count = self.t.op(f"sext {rows.load('count', r)} to i64", "i64")

    def _type(self, kind: str) -> str:
        return f"<{self.lanes} x {kind}>"

    def emit(self) -> None:
        """All of it, from wide to narrow pieces."""
        t, done = self.t, self.t.variable("i64")
        t.line(f"store {self.first}, ptr {done}")
        for registers in _REGISTERS:
            width = registers * self.lanes
            end = t.op(f"sub {self.end}, {width - 1}", "i64")
            with t.loop(t.op(f"load i64, ptr {done}", "i64"), end, width) as j:
                self._piece(j, registers, None)
                t.line(f"store {t.op(f'add {j}, {width}', 'i64')}, ptr {done}")
        j = t.op(f"load i64, ptr {done}", "i64")
        with t.when(t.binary("icmp slt", j, self.end)):
            left = t.op(f"trunc {t.binary('sub', self.end, j)} to i32", "i32")
            self._piece(j, 1, t.lanes_below(left, self.lanes))

    def _piece(self, j: V, registers: int, mask: V | None) -> None:
        t = self.t
        sums = [t.place(self._type(self.held)) for _ in range(registers)]
        whole = [t.place(self._type(self.kept)) for _ in range(registers)] if self.held != self.kept else sums
        for place in whole:
            t.line(f"store {self._type(self.kept)} zeroinitializer, ptr {place}")
        if whole is sums:
            with t.loop(_ZERO, self.count) as q:
                self._add_row(j, q, sums, mask)
        else:
            with t.loop(_ZERO, self.count, _MOST) as first:
                for place in sums:
                    t.line(f"store {self._type(self.held)} zeroinitializer, ptr {place}")
                end = t.call("llvm.smin.i64", "i64", False, self.count, t.op(f"add {first}, {_MOST}", "i64"))
                with t.loop(first, end) as q:
                    self._add_row(j, q, sums, mask)
                for place, total in zip(sums, whole, strict=True):
                    part = f"{self._type(self.held)} {t.load(self._type(self.held), place)}"
                    wide = t.raw(f"sext {part} to {self._type(self.kept)}")
                    self._add(total, wide)
        for k, place in enumerate(whole):
            at = self.rows.at("into", self.rows.place("into", self.r, t.op(f"add {j}, {k * self.lanes}", "i64")))
            t.store_lanes(self._type(self.kept), t.load(self._type(self.kept), place), at, 4, mask)

    def _add_row(self, j: V, q: V, sums: Sequence[str], mask: V | None) -> None:
        t, rows = self.t, self.rows
        unit = t.op(f"sext {rows.load('active', rows.place('active', self.r, q))} to i64", "i64")
        value = rows.load("values", rows.place("values", self.r, unit)) if self.valued else None
        first = rows.place("weights", unit, j)
        size = {"i8": 1, "i16": 2}.get(self.stored, 4)
        for k, place in enumerate(sums):
            at = rows.at("weights", t.op(f"add {first}, {k * self.lanes}", "i64"))
            row = t.load_lanes(self._type(self.stored), at, size, mask)
            if self.stored != self.held:
                row = t.raw(f"sext {self._type(self.stored)} {row} to {self._type(self.held)}")
            if value:
                how = "fmul" if self.held == "float" else "mul"
                row = t.raw(f"{how} {t.splat(value)}, {row}")
            self._add(place, row, self.held)

    def _add(self, place: str, row: str, kind: str = "") -> None:
        t, type_ = self.t, self._type(kind or self.kept)
        how = "fadd" if (kind or self.kept) == "float" else "add"
        t.line(f"store {type_} {t.raw(f'{how} {type_} {t.load(type_, place)}, {row}')}, ptr {place}")


# Listing -----------------------------------------------------------------------------------------


def listing(arguments: Sequence[Argument]) -> int:
    """Compile the listing of what is not zero in rows of `spikes`: `active`, `count` and, if given, one more in `total`."""
    text = Text()
    rows = Loops(text, arguments)
    with text.loop(_ZERO, rows.arrays["spikes"][1]) as r:
        count = _Listing(rows, "spikes", r).into("active", rows.place("active", r, _ZERO))
        text.line(f"store {count}, {rows.at('count', r)}")
    return address_of(operation_text(text))


class _Listing:
    """Writes the listing of what is not zero in a row of an array, without a branch: whether a neuron spikes is hard to predict."""

    def __init__(self, rows: Loops, name: str, r: V) -> None:
        self.rows, self.t, self.name, self.r = rows, rows.t, name, r

    def chunks(self) -> Iterator[tuple[V, V, V | None]]:
        """-> number of the first element, which are not zero, which take part, of the lanes."""
        t, rows, kind = self.t, self.rows, self.rows.types[self.name]
        type_, compared = f"<{LANES} x {kind}>", "fcmp une" if kind == "float" else "icmp ne"

        def chunk(j: V, mask: V | None) -> tuple[V, V, V | None]:
            held = t.load_lanes(type_, rows.at(self.name, rows.place(self.name, self.r, j)), 4, mask)
            return j, V(t.raw(f"{compared} {type_} {held}, zeroinitializer"), "i1", True), mask

        size = rows.arrays[self.name][2]
        whole = t.word("and", size, -LANES)
        with t.loop(_ZERO, whole, LANES) as j:
            yield chunk(j, None)
        with t.when(t.binary("icmp slt", whole, size)):
            left = t.op(f"trunc {t.binary('sub', size, whole)} to i32", "i32")
            yield chunk(whole, t.lanes_below(left, LANES))

    def into(self, name: str, first: V, *, spare: bool = False) -> V:
        """Write the list into an array from element `first` on; spare: it has LANES more elements. -> its length, i32."""
        t, words = self.t, f"<{LANES} x i32>"
        found = t.variable("i64")
        t.line(f"store i64 0, ptr {found}")
        for j, fired, mask in self.chunks():
            numbers = t.binary("add", t.op(f"trunc {j} to i32", "i32"), t.lanes())
            packed = t.call(f"llvm.experimental.vector.compress.v{LANES}i32", "i32", True, numbers, fired, V("undef", "i32", True))
            several = t.call(f"llvm.ctpop.i{LANES}", f"i{LANES}", False, t.op(f"bitcast {fired} to i{LANES}", f"i{LANES}"))
            before, word = V(t.load("i64", found), "i64"), t.op(f"zext {several} to i32", "i32")
            taken = None if spare else t.lanes_below(word, LANES)
            t.store_lanes(words, packed.name, self.rows.at(name, t.binary("add", first, before)), 4, taken)
            t.line(f"store {t.binary('add', before, t.op(f'zext {several} to i64', 'i64'))}, ptr {found}")
            if "total" in self.rows.arrays:
                self._count(j, fired, mask)
        return t.op(f"trunc i64 {t.load('i64', found)} to i32", "i32")

    def _count(self, j: V, fired: V, mask: V | None) -> None:
        t, rows, words = self.t, self.rows, f"<{LANES} x i32>"
        at = rows.at("total", rows.place("total", self.r, j))
        total = V(t.load_lanes(words, at, 4, mask), "i32", True)
        t.store_lanes(words, t.binary("add", total, t.op(f"zext {fired} to {words}", "i32", True)).name, at, 4, mask)
