"""Recorder: many Vars of running Processes, subsampled in time and elements, in bounded memory or in an HDF5 file.

The model of a Process copies the elements at the end of a time step into a RecordBuffer, from memory to memory: no
channel, no phase of its own.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tp_lava.checks import is_whole
from tp_lava.errors import invalid
from tp_lava.lava.record_buffer import RecordBuffer, RecordedVar, without_single_row
from tp_lava.numbers import Format
from tp_lava.outcome import Arrays

_BLOCK_BYTES = 1 << 22  # moved to the HDF5 file at a time


class Recorder(Arrays):
    """Records Vars of running Processes: name -> (records, ...) float32, in physical units.

    variables: Vars of tp_lava's Processes that have not run yet; every: record after each `every`-th time step;
    capacity: records kept; keep: the "newest" or the "first" of them; select: name of a Var -> an index (np.s_[...]) or
    a number of elements, evenly spread; path: an HDF5 file, which keeps all records instead: models write to a temporary
    file beside it, and flush() and close() move the records into it, compressed. A Var of one row is recorded without
    that axis. Two Vars of the same name have the names "process.name".

    steps: time step of each record; dropped: records not kept. Use as a context manager, or close(), with a path.
    Raises InvalidValueError for what cannot be recorded and for h5py missing.
    """

    def __init__(
        self,
        variables: Sequence[Any],
        every: int = 1,
        capacity: int = 1000,
        select: Mapping[str, Any] | None = None,
        keep: Literal["newest", "first"] = "newest",
        path: str | os.PathLike | None = None,
    ) -> None:
        for attr, value in (("every", every), ("capacity", capacity)):
            if not is_whole(value, 1):
                raise invalid("Recorder", attr, repr(value), "a positive integer", f"use for example {attr}=10")
        if keep not in ("newest", "first"):
            raise invalid("Recorder", "keep", repr(keep), '"newest" or "first"', 'use keep="newest" for a ring')
        self._options = int(every), int(capacity), keep
        self._recorded = _recorded_vars(variables, dict(select or {}))
        super().__init__([each.key for each in self._recorded], lambda key: self._read((key,), False)[1][key])
        self._buffers: list[RecordBuffer] = []
        self._file = _File(Path(path), int(every), self._buffers) if path is not None else None
        for process in {id(each.var.process): each.var.process for each in self._recorded}.values():
            process.attach(self)
        if self._file:
            self._closing = weakref.finalize(self, self._file.close, os.getpid())

    def prepare(self, process: Any) -> None:
        """Before Lava forks: make the memory into which Vars of this Process are recorded."""
        recorded = [each for each in self._recorded if each.owner.process is process]
        if not recorded:
            return
        if process.simulator is None:
            found = f"{', '.join(each.key for each in recorded)} of {type(process).__name__}"
            raise invalid("Recorder", "variables", found, "Vars that a Learner or Part computes", "use Lava's Monitor for the others")
        buffer = RecordBuffer(recorded, process, *self._options, self._file.make_temporary() if self._file else None)
        self._buffers.append(buffer)
        process.proc_params.overwrite("record_buffers", (*(process.proc_params.get("record_buffers") or ()), buffer))

    # What was recorded ----------------------------------------------------------------------------
    def read(self, *keys: str, raw: bool = False) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """-> steps (records,) int64, and key -> (records, ...), all Vars if no key is given; of the same records, also while it runs.

        raw: what the target holds, for example mantissas, instead of float32 in physical units.
        """
        for key in keys:
            if key not in self._names:
                raise KeyError(f"{key!r}; there are {', '.join(self)}")
        return self._read(keys or tuple(self), raw)

    def _read(self, keys: Sequence[str], raw: bool) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        if self._file and self._file.closed:
            raise invalid("Recorder", "records", "in a file that was closed", "read before close()", f"read {self._file.path} with h5py")
        formats = {key: format for buffer in self._buffers for key, format in buffer.formats.items()}
        if missing := [key for key in self if key not in formats]:
            limit, remedy = "of a network that has run", "call run() or enter a Session first"
            raise invalid("Recorder", "records", f"asked for {missing[0]}", limit, remedy)
        steps, rows = _read_same(self._buffers, keys)
        return steps, {key: rows[key] if raw else _physical(rows[key], formats[key]) for key in keys}

    @property
    def steps(self) -> np.ndarray:
        """(records,) int64: the time step at whose end each record was taken; the first of a run is 1."""
        return self._read((), False)[0]

    @property
    def dropped(self) -> int:
        """Records that were not kept."""
        return max((buffer.dropped for buffer in self._buffers), default=0)

    # The file -------------------------------------------------------------------------------------
    def flush(self) -> None:
        """Move the records that are new into the HDF5 file; also while it runs."""
        if self._file:
            self._file.flush()

    def close(self) -> None:
        """Flush, and remove the temporary file. Without a path: nothing."""
        if self._file:
            self._closing()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _File:
    """The HDF5 file of a recorder and, until it is closed, the nameless temporary files that children write.

    Datasets: `steps` (records,) and one (records, ...) for each key, as the target holds it, with attributes `format` and
    `resolution` (physical value = value * resolution).
    """

    def __init__(self, path: Path, every: int, buffers: Sequence[RecordBuffer]) -> None:
        if importlib.util.find_spec("h5py") is None:
            raise invalid("Recorder", "path", "given, but h5py is not installed", "given with h5py", 'pip install "tp-lava[hdf5]"')
        if not path.parent.is_dir():
            raise invalid("Recorder", "path", str(path), "in a folder that exists", "make the folder first")
        self.path, self.closed, self._buffers = path, False, buffers
        self._temporary: list[int] = []
        self._flushed = 0  # records
        with self._open("w") as file:
            file.attrs["every"] = every

    def _open(self, mode: str) -> Any:
        return importlib.import_module("h5py").File(self.path, mode)

    def make_temporary(self) -> int:
        """The descriptor of a new temporary file, which the child that is forked next inherits."""
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        os.unlink(name)
        self._temporary.append(descriptor)
        return descriptor

    def flush(self) -> None:
        """Move all records that every buffer has into the HDF5 file, block by block."""
        if self.closed or not self._buffers:
            return
        formats = {key: format for buffer in self._buffers for key, format in buffer.formats.items()}
        block = max(1, _BLOCK_BYTES // max(buffer.itemsize for buffer in self._buffers))
        until = min(buffer.count for buffer in self._buffers)
        with self._open("a") as file:
            while self._flushed < until:
                end = min(until, self._flushed + block)
                steps, rows = _read_same(self._buffers, tuple(formats), self._flushed, end)
                _append(file, "steps", steps, None)
                for key, format in formats.items():
                    _append(file, key, rows[key], format)
                self._flushed = end

    def close(self, process: int) -> None:
        """Flush and close, unless this is a child of `process`."""
        if self.closed or os.getpid() != process:
            return
        try:
            self.flush()
        finally:
            self.closed = True
            for descriptor in self._temporary:
                os.close(descriptor)


def _read_same(
    buffers: Sequence[RecordBuffer], keys: Sequence[str], begin: int = 0, end: int | None = None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Steps and rows of the records, of those from begin to end - 1, that all buffers have."""
    read = [buffer.read([key for key in keys if key in buffer.formats], begin, end) for buffer in buffers]
    first, last = max(numbers.start for numbers, _ in read), min(numbers.stop for numbers, _ in read)
    rows = {key: column[first - numbers.start :][: max(0, last - first)] for numbers, columns in read for key, column in columns.items()}
    return (np.arange(first, last, dtype=np.int64) + 1) * buffers[0].every, rows


def _append(file: Any, name: str, rows: np.ndarray, format: Format | None) -> None:
    if name not in file:
        options = {"chunks": True, "compression": "gzip", "compression_opts": 4, "shuffle": True}
        data = file.create_dataset(name, data=rows, maxshape=(None, *rows.shape[1:]), **options)
        data.attrs["format"] = str(format) if format else str(rows.dtype)
        data.attrs["resolution"] = format.resolution if format else 1.0
        return
    data = file[name]
    data.resize(len(data) + len(rows), axis=0)
    data[len(data) - len(rows) :] = rows


def _physical(rows: np.ndarray, format: Format | None) -> np.ndarray:
    return rows.astype(np.float32) * np.float32(format.resolution if format else 1.0)


# Arguments ----------------------------------------------------------------------------------------


def _recorded_vars(variables: Sequence[Any], select: dict[str, Any]) -> list[RecordedVar]:
    if not len(variables):
        raise invalid("Recorder", "variables", "empty", "at least one Var", "give for example [chip.hidden0_membrane]")
    for var in variables:
        _check_var(var)
    names = [var.name for var in variables]
    keys = [var.name if names.count(var.name) == 1 else f"{var.process.name}.{var.name}" for var in variables]
    if len(set(keys)) < len(keys):
        raise invalid("Recorder", "variables", f"{', '.join(keys)[:120]}", "different Vars", "name each once")
    if unknown := [name for name in select if name not in keys]:
        limit = f"of recorded Vars: {', '.join(keys)[:120]}"
        raise invalid("Recorder", "select", f"of {unknown[0]!r}", limit, "add the Var or drop the index")
    return [_recorded_var(key, var, select.get(key, ...)) for key, var in zip(keys, variables, strict=True)]


def _check_var(var: Any) -> None:
    process = getattr(var, "process", None)
    if process is None or not hasattr(var, "aliased_var"):
        raise invalid("Recorder", "variables", repr(type(var).__name__), "Vars of Processes", "give for example [chip.hidden0_membrane]")
    if not hasattr(process, "simulator"):
        found = f"{var.name} of {type(process).__name__}"
        raise invalid("Recorder", "variables", found, "Vars of tp_lava's Processes", "use Lava's Monitor for stock Processes")


def _recorded_var(key: str, var: Any, index: Any) -> RecordedVar:
    whole = without_single_row(np.broadcast_to(np.int8(0), var.shape))
    if is_whole(index):
        if not 0 < index <= whole.size:
            raise invalid("Recorder", "select", f"{index} elements of {key}", f"1 to {whole.size} elements", "give fewer, or an index")
        index = np.unravel_index(np.linspace(0, whole.size - 1, int(index)).round().astype(int), whole.shape)
    limit = f"an index of shape {whole.shape}"
    try:
        part = np.asarray(whole[index])
    except IndexError as error:
        raise invalid("Recorder", "select", f"{index} of {key}", limit, str(error)) from None
    if not part.size:
        raise invalid("Recorder", "select", f"{index} of {key}, no element", limit, "select some")
    return RecordedVar(key, var, index, part.shape)
