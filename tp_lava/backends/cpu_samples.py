"""A sample's start and end in compiled code: states become zero, labels enter, and what is wanted of the sample is kept.

The code is driven by tables of int64, a row for each sample, state, operation at the start, or result; their columns are named here.
It does what Engine.begin does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tp_lava.backends.cpu_calls import where
from tp_lava.backends.cpu_text import Loops, V, literal
from tp_lava.circuit import Circuit
from tp_lava.circuit.operations import NO_END, events_of
from tp_lava.data.following import Following

# Columns of the tables: of samples, states, operations at the start, results. Places count elements, sizes bytes.
BEGIN, END, CONSTANT, WIDTH, OFFSETS, UNITS, FRESH, LEFT, SAMPLE_WIDTH = range(9)
_STATE, _STATE_SIZE, _STATE_FLAG, _STATE_WIDTH = range(4)
_INTO, _INTO_SIZE, _CLASSES, _ROWS, _FIRST, _ENTRIES, _ONE, _ACTIVE, _ACTIVE_WIDTH, _COUNT, _COUNTED, _START_WIDTH = range(12)
_FROM, _SIZE, _TO, _RESULT_WIDTH = range(4)
_ZERO = literal(0, "i64")


# Tables ------------------------------------------------------------------------------------------
def samples_of(following: Following, has_length: bool) -> np.ndarray:
    """The table of whole samples. has_length: whether the circuit asks for it."""
    table, steps = np.zeros((len(following.steps), SAMPLE_WIDTH), np.int64), np.array(following.steps)
    table[:, END], table[:, CONSTANT], table[:, WIDTH], table[:, FRESH] = steps, following.constant, steps + 1, 1
    for column, sizes in ((OFFSETS, following.n_offsets), (UNITS, following.n_units)):
        np.cumsum(sizes[:-1], out=table[1:, column])
    table[:, LEFT] = steps if has_length else NO_END
    return table


def states_of(circuit: Circuit, memory: Mapping[str, np.ndarray], flags: Mapping[str, np.ndarray]) -> np.ndarray:
    """The table of what is zero when a sample starts. flags: of some, see cpu_changes."""
    states = [(where(memory[name]), memory[name].nbytes, where(flags[name]) if name in flags else 0) for name in circuit.names("state")]
    return np.array(states, np.int64).reshape(-1, _STATE_WIDTH)


def starts_of(circuit: Circuit, memory: Mapping[str, np.ndarray]) -> np.ndarray:
    """The table of the operations at a sample's start, whose labels follow one another in the row of a sample."""
    table, first = np.zeros((len(circuit.start), _START_WIDTH), np.int64), 0
    for row, operation in zip(table, circuit.start, strict=True):
        into = memory[operation.into]
        rows = int(memory[operation.count][0]) if operation.count else len(into)
        row[[_INTO, _INTO_SIZE, _CLASSES]] = where(into), into.nbytes, into.shape[1]
        entries = rows + (operation.rows == "drawn")
        row[[_ROWS, _FIRST, _ENTRIES, _ONE]] = rows, first, entries, np.ones(1, into.dtype).view(np.int32)[0]
        if operation.population:
            active, count = (memory[name] for name in events_of(operation.population))
            row[[_ACTIVE, _ACTIVE_WIDTH, _COUNT, _COUNTED]] = where(active), active.shape[1], where(count), count.size
        first += entries
    return table


def results_of(wanted: Sequence[np.ndarray], kept: Sequence[np.ndarray]) -> np.ndarray:
    """The table of results: arrays whose contents at a sample's end go into a row of others."""
    table = [(where(array), array.nbytes, where(into)) for array, into in zip(wanted, kept, strict=True)]
    return np.array(table, np.int64).reshape(-1, _RESULT_WIDTH)


# Code --------------------------------------------------------------------------------------------
class SampleLoops(Loops):
    """Writes what happens at a sample's start and end."""

    def entry(self, table: str, row: V, column: int) -> V:
        """An entry of a table."""
        return self.load(table, self.t.op(f"add {row}, {column}", "i64"))

    def pointer(self, address: V) -> V:
        """Of an address."""
        return self.t.op(f"inttoptr {address} to ptr", "ptr")

    def is_set(self, address: V) -> V:
        """Whether the number at an address, if it is one, is not zero."""
        return self.t.binary("or", self.t.word("icmp eq", address, 0), self.held(address, "icmp ne", literal(0, "i32")))

    def held(self, address: V, compared: str, number: V) -> V:
        """Whether the number at an address, if it is one, compares so; without a jump: no address reads the calls themselves."""
        t = self.t
        own = t.op(f"ptrtoint {self.arrays['calls'][0]} to i64", "i64")
        at = t.op(f"inttoptr {t.select(t.word('icmp eq', address, 0), own, address)} to ptr", "ptr")
        return t.binary(compared, V(t.load("i32", at.name), "i32"), number)

    def begin(self, sample: V, steps_left: V, left: V) -> None:
        """See Engine.begin. steps_left: where the number of steps `left` goes."""
        t = self.t
        with t.loop(_ZERO, self.arrays["states"][1]) as k:
            row = t.word("mul", k, _STATE_WIDTH)
            flag = self.entry("states", row, _STATE_FLAG)
            with t.when(self.is_set(flag)):
                self._clear(self.entry("states", row, _STATE), self.entry("states", row, _STATE_SIZE))
                with t.when(t.word("icmp ne", flag, 0)):
                    t.line(f"store i32 0, {self.pointer(flag)}")
        t.line(f"store {t.op(f'trunc {left} to i32', 'i32')}, {self.pointer(steps_left)}")
        with t.loop(_ZERO, self.arrays["starts"][1]) as o:
            self._present(sample, t.word("mul", o, _START_WIDTH))

    def _present(self, sample: V, row: V) -> None:
        """See circuit.labels."""
        t = self.t
        into, size, classes, rows, first, entries, one, active, width, count, counted = (
            self.entry("starts", row, column) for column in range(_START_WIDTH)
        )
        self._clear(into, size)
        word, of_row, drawn = t.op(f"trunc {one} to i32", "i32"), t.variable("i64"), t.binary("icmp ne", rows, entries)
        own = self.load("labels", self.place("labels", sample, first))
        t.line(f"store {_ZERO}, ptr {of_row}")
        with t.loop(_ZERO, entries) as k:
            label, r = self.load("labels", self.place("labels", sample, t.binary("add", first, k))), V(t.load("i64", of_row), "i64")
            again = t.binary("and", drawn, t.binary("and", t.word("icmp ne", k, 0), t.binary("icmp eq", label, own)))
            with t.when(t.binary("and", t.binary("xor", again, literal(1, "i1")), t.binary("icmp slt", r, rows))):
                unit = t.op(f"sext {label} to i64", "i64")
                t.line(f"store {word}, {self._word(into, t.binary('add', t.binary('mul', r, classes), unit))}")
                with t.when(t.word("icmp ne", active, 0)):
                    t.line(f"store {label}, {self._word(active, t.binary('mul', r, width))}")
                t.line(f"store {t.word('add', r, 1)}, ptr {of_row}")
        with t.loop(_ZERO, counted) as r:
            t.line(f"store i32 1, {self._word(count, r)}")

    def keep(self, sample: V) -> None:
        """Copy the results of a sample."""
        t = self.t
        with t.loop(_ZERO, self.arrays["results"][1]) as k:
            row = t.word("mul", k, _RESULT_WIDTH)
            source, size, into = (self.entry("results", row, column) for column in range(_RESULT_WIDTH))
            at = self.pointer(t.binary("add", into, t.binary("mul", sample, size)))
            t.declared["declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1 immarg)"] = None
            t.line(f"call void @llvm.memcpy.p0.p0.i64({at}, {self.pointer(source)}, {size}, i1 false)")

    def _word(self, address: V, number: V) -> V:
        """The place of a word of 32 bits."""
        return self.t.op(f"getelementptr inbounds i32, {self.pointer(address)}, {number}", "ptr")

    def _clear(self, address: V, size: V) -> None:
        self.t.declared["declare void @llvm.memset.p0.i64(ptr, i8, i64, i1 immarg)"] = None
        self.t.line(f"call void @llvm.memset.p0.i64({self.pointer(address)}, i8 0, {size}, i1 false)")
