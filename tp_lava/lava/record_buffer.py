"""Memory or a file into which the model of one Process copies Vars at the end of time steps, shared with the parent."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tp_lava.sharing import shared_array


class RecordedVar(NamedTuple):
    """key: its name in the recorder; index: of the elements recorded; shape: of these."""

    key: str
    var: Any
    index: Any
    shape: tuple[int, ...]

    @property
    def owner(self) -> Any:
        """The Var itself or, of a Process that was opened into parts, the part's Var that it stands for."""
        var = self.var
        while var.aliased_var is not None:
            var = var.aliased_var
        return var


class RecordBuffer:
    """Records of the Vars of one Process. Record number i is of time step (i + 1) * every.

    They are kept in shared memory, in one row more than `capacity`, so that the newest can be read while one is written,
    or all in an open file. formats: key -> number format, or None. It holds no reference to the Process.
    """

    def __init__(self, recorded: Sequence[RecordedVar], process: Any, every: int, capacity: int, keep: str, file: int | None) -> None:
        self.every, self.capacity, self._is_ring, self._file = every, capacity, keep == "newest", file
        simulator, variables = process.simulator, process.proc_params["shared_state"].variables
        self._vars = [(each.key, each.owner.name, each.index) for each in recorded]
        buffers = {key: simulator.buffers.get(name) for key, name, _ in self._vars}
        self.formats = {key: buffer.format if buffer else None for key, buffer in buffers.items()}
        self._outputs_last = {key for key, buffer in buffers.items() if buffer and buffer.outputs_last}  # copied as stored: fast
        arrays = {**variables, **simulator.memory}
        shapes = {each.key: each.shape[1:] + each.shape[:1] if each.key in self._outputs_last else each.shape for each in recorded}
        self._dtype = np.dtype([(key, arrays[name].dtype, shapes[key]) for key, name, _ in self._vars], align=True)
        self._rows = shared_array((1 if file is not None else capacity + 1,), self._dtype)
        self._count = shared_array((1,), np.int64)

    def _column(self, rows: np.ndarray, key: str) -> np.ndarray:
        """(records, ...): one Var of some records, its axes in the order of the Var; a view."""
        column = rows[key]
        return np.moveaxis(column, -1, min(1, column.ndim - 1)) if key in self._outputs_last else column

    # In the child ---------------------------------------------------------------------------------
    def set_sources(self, views: Mapping[str, np.ndarray]) -> None:
        """Say which arrays, by the names of Vars, are recorded."""
        self._sources = [(self._column(self._rows, key), without_single_row(views[name]), index) for key, name, index in self._vars]

    def record(self, step: int) -> None:
        """Write the record of a time step, a multiple of `every`; the same step again overwrites it."""
        number = step // self.every - 1
        if number > self.count:
            raise RuntimeError(f"Recorder: step {step} follows step {self.count * self.every}; compute each in a `with self.step():`")
        if self._file is not None or self._is_ring or number < self.capacity:
            slot = number % len(self._rows)
            for column, source, index in self._sources:
                column[slot] = source[index]
            if self._file is not None and os.pwrite(self._file, self._rows.tobytes(), number * self.itemsize) < self.itemsize:
                raise OSError(errno.ENOSPC, "no space left for the records of a Recorder")
        self._count[0] = number + 1

    # In the parent --------------------------------------------------------------------------------
    @property
    def count(self) -> int:
        """Records so far, dropped ones included."""
        return int(self._count[0])

    @property
    def dropped(self) -> int:
        """Records that are not kept."""
        return max(0, self.count - self.capacity) if self._file is None else 0

    @property
    def itemsize(self) -> int:
        """Bytes of a record."""
        return self._dtype.itemsize

    def read(self, keys: Sequence[str], begin: int = 0, end: int | None = None) -> tuple[range, dict[str, np.ndarray]]:
        """-> the numbers, of those from begin to end - 1, of the records that are kept, and copies by key; also while more are written."""
        end = self.count if end is None else end
        if self._file is not None:
            rows = _rows_of(self._file, self._dtype, begin, end)
            return range(begin, end), {key: self._column(rows, key) for key in keys}
        first, end = (max(begin, end - self.capacity), end) if self._is_ring else (begin, min(end, self.capacity))
        slots = np.arange(first, end) % len(self._rows)
        copies = {key: self._column(self._rows, key)[slots] for key in keys}
        overwritten = max(0, self.count - self.capacity - first) if self._is_ring else 0  # meanwhile
        return range(first, end)[overwritten:], {key: copy[overwritten:] for key, copy in copies.items()}


def _rows_of(file: int, dtype: np.dtype, begin: int, end: int) -> np.ndarray:
    """Records begin..end-1 of a file that holds at least `end` records; a read-only view."""
    if begin == end:
        return np.empty(0, dtype)
    memory = mmap.mmap(file, end * dtype.itemsize, access=mmap.ACCESS_READ)
    return np.frombuffer(memory, dtype, end - begin, begin * dtype.itemsize)


def without_single_row(array: np.ndarray) -> np.ndarray:
    """(1, n) as (n,): the row of the one sample that is presented."""
    return array[0] if array.ndim == 2 and len(array) == 1 else array
