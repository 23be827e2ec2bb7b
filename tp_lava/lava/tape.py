"""A Tape: what a model copies at the end of a time step, in memory or a file that its process and the parent share."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tp_lava.numbers import Format
from tp_lava.sharing import shared_array

STEP = "#step"  # the field of a record that is no Var


class Column(NamedTuple):
    """One Var on a tape. key: its name in the recorder; index: of its elements; shape of what these are."""

    key: str
    var: Any
    index: Any
    shape: tuple[int, ...]

    @property
    def owner(self) -> Any:
        """The Var behind it, where a Process was opened into others."""
        var = self.var
        while var.aliased_var is not None:
            var = var.aliased_var
        return var


class _Field(NamedTuple):
    """One Var in a record, by the name its unit has for it; a tape holds on to no Process. turned: axes in the unit's order."""

    key: str
    name: str
    index: Any
    dtype: np.dtype
    shape: tuple[int, ...]
    turned: bool
    format: Format | None


def _field(column: Column, unit: Any, variables: Mapping[str, np.ndarray]) -> _Field:
    """Weights are recorded as the unit has them, which makes the copy fast."""
    name = column.owner.name
    buffer, array = unit.buffers.get(name), unit.memory[name] if name in unit.memory else variables[name]
    turned = buffer is not None and buffer.turned
    shape = column.shape[::-1] if turned else column.shape
    return _Field(column.key, name, column.index, array.dtype, shape, turned, buffer.format if buffer else None)


class Tape:
    """Records of one Process, in shared memory (one more than `capacity`, so that the newest can be read while it is
    written) or, one after the other, in an open file."""

    def __init__(
        self, columns: Sequence[Column], unit: Any, variables: Mapping, every: int, capacity: int, keep: str, file: int | None
    ) -> None:
        self.every, self.capacity, self._wraps, self._file = every, capacity, keep == "newest", file
        fields = [_field(column, unit, variables) for column in columns]
        self.formats = {field.key: field.format for field in fields}
        self._fields = {field.key: field for field in fields}
        self._dtype = np.dtype([(STEP, np.int64), *((f.key, f.dtype, f.shape) for f in fields)], align=True)
        self._rows = shared_array((1 if file is not None else capacity + 1,), self._dtype)
        self._count = shared_array((1,), np.int64)

    def _seen(self, rows: np.ndarray, key: str) -> np.ndarray:
        """(records, ...): a field of records, its axes in the order of the Var."""
        turned = key in self._fields and self._fields[key].turned
        return rows.transpose(0, *range(rows.ndim - 1, 0, -1)) if turned else rows

    # In the child ---------------------------------------------------------------------------------
    def thread(self, views: Mapping[str, np.ndarray]) -> None:
        """Take the Vars, by name, that it records from."""
        fields = self._fields.values()
        self._sources = [(self._seen(self._rows[f.key], f.key), without_single_row(views[f.name]), f.index) for f in fields]

    def record(self, step: int) -> None:
        """Write a record of time step `step`; the same step again writes over it."""
        count = int(self._count[0])
        if self._file is None and not self._wraps and count >= self.capacity:
            self._count[0] = count + 1
            return
        slot = count % len(self._rows)
        if count and self._rows[STEP][slot - 1] == step:
            count, slot = count - 1, (count - 1) % len(self._rows)
        for column, source, index in self._sources:
            column[slot] = source[index]
        self._rows[STEP][slot] = step
        if self._file is not None:
            written = os.pwrite(self._file, self._rows.tobytes(), count * self.itemsize)
            if written < self.itemsize:
                raise OSError(errno.ENOSPC, "no space left for the records of a Recorder")
        self._count[0] = count + 1

    # In the parent --------------------------------------------------------------------------------
    @property
    def offered(self) -> int:
        """Records so far, dropped ones included."""
        return int(self._count[0])

    @property
    def dropped(self) -> int:
        """Records that are not kept."""
        return max(0, self.offered - self.capacity) if self._file is None else 0

    @property
    def itemsize(self) -> int:
        """Bytes of a record."""
        return self._dtype.itemsize

    def read(self, keys: Sequence[str], begin: int = 0, end: int | None = None) -> dict[str, np.ndarray]:
        """Copies of records begin..end-1, those that are kept, by key; also while more are written."""
        end = self.offered if end is None else end
        wanted = (STEP, *keys)
        if self._file is not None:
            rows = np.empty(end - begin, self._dtype)
            _fill_from(self._file, rows.view(np.uint8), begin * self.itemsize)
            return {key: self._seen(rows[key], key) for key in wanted}
        first = max(begin, end - self.capacity) if self._wraps else begin
        numbers = np.arange(first, end if self._wraps else min(end, self.capacity))
        copies = {key: self._seen(self._rows[key][numbers % len(self._rows)], key) for key in wanted}
        stale = max(0, self.offered - self.capacity - first) if self._wraps else 0  # written over meanwhile
        return {key: copy[stale:] for key, copy in copies.items()}


def _fill_from(file: int, memory: np.ndarray, offset: int) -> None:
    """Read as much as fits; one call of the system may bring less."""
    done = 0
    while done < len(memory) and (data := os.pread(file, len(memory) - done, offset + done)):
        memory[done : done + len(data)] = np.frombuffer(data, np.uint8)
        done += len(data)


def without_single_row(array: np.ndarray) -> np.ndarray:
    """(1, n) as (n,): the one sample that is presented."""
    return array[0] if array.ndim > 1 and len(array) == 1 else array
