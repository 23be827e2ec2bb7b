"""Recorder: many Vars of running Processes, subsampled in time and elements, in bounded memory or in an HDF5 file.

The model of a Process copies what is asked for at the end of a time step, from memory to memory: no channel, no
phase of its own. What it writes into is a Tape, shared with the parent.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tp_lava.checks import is_whole
from tp_lava.errors import invalid
from tp_lava.lava.tape import STEP, Column, Tape, without_single_row
from tp_lava.numbers import Format

_BLOCK_BYTES = 1 << 22  # moved to the HDF5 file at a time


class Recorder(Mapping[str, np.ndarray]):
    """Records Vars of running Processes: name -> (records, ...) float32, in physical units.

    variables: Vars of tp_lava's Processes that have not run yet; every: record after each `every`-th time step;
    capacity: records kept; keep: the "newest" or the "first" of them; select: name of a Var -> an index (np.s_[...]) or
    a count of elements, evenly spread; path: an HDF5 file, which keeps all records instead: they go to a temporary file
    beside it as they come, and into it, compressed, with flush() and close(). A Var of one row is seen without it.
    Two Vars of the same name are told apart by their Process: "process.name".

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
        self._every, self._capacity, self._keep = _count("every", every), _count("capacity", capacity), keep
        if keep not in ("newest", "first"):
            raise invalid("Recorder", "keep", repr(keep), '"newest" or "first"', 'use keep="newest" for a ring')
        self._columns = _columns(variables, dict(select or {}))
        self._tapes: list[Tape] = []
        self._file = _File(Path(path), every) if path is not None else None
        for process in {id(column.var.process): column.var.process for column in self._columns.values()}.values():
            process.attach(self)
        if self._file:
            self._closing = weakref.finalize(self, self._file.close, os.getpid())

    def prepare(self, process: Any) -> None:
        """Lava is about to fork: make the memory that Vars of this Process are recorded into."""
        columns = [column for column in self._columns.values() if column.owner.process is process]
        if not columns:
            return
        names = ", ".join(column.key for column in columns)
        if process.unit is None:
            obj = type(process).__name__
            raise invalid("Recorder", "variables", f"{names} of {obj}", "Vars that a unit computes", "use Lava's Monitor for the others")
        memory = None if self._file is None else self._file.spill()
        variables = process.proc_params["door"].variables
        tape = Tape(columns, process.unit, variables, self._every, self._capacity, self._keep, memory)
        self._tapes.append(tape)
        if self._file:
            self._file.tapes.append(tape)
        process.proc_params.overwrite("tapes", (*(process.proc_params.get("tapes") or ()), tape))

    # What was recorded ----------------------------------------------------------------------------
    def read(self, *keys: str, raw: bool = False) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """-> steps (records,) int64, and key -> (records, ...), all Vars if no key is given; of one moment, also while it runs.

        raw: what the target holds, for example mantissas, instead of float32 in physical units.
        """
        for key in keys:
            if key not in self._columns:
                raise KeyError(f"{key!r}; there are {', '.join(self._columns)}")
        return self._read(keys or tuple(self._columns), raw)

    def _read(self, keys: Sequence[str], raw: bool) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        if self._file and self._file.closed:
            raise invalid("Recorder", "records", "in a file that was closed", "read before close()", f"read {self._file.path} with h5py")
        taped = {key for tape in self._tapes for key in tape.formats}
        if missing := [key for key in self._columns if key not in taped]:
            raise invalid(
                "Recorder", "records", f"asked for {missing[0]}", "of a network that has run", "call run() or enter a Session first"
            )
        found = [tape.read([key for key in keys if key in tape.formats]) for tape in self._tapes]
        steps = _common([block[STEP] for block in found])
        values = {}
        for tape, block in zip(self._tapes, found, strict=True):
            chosen = _chosen(block.pop(STEP), steps)
            for key, rows in block.items():
                values[key] = rows[chosen] if raw else _physical(rows[chosen], tape.formats[key])
        return steps, {key: values[key] for key in keys}

    @property
    def steps(self) -> np.ndarray:
        """(records,) int64: the time step at whose end each record was taken; the first of a run is 1."""
        return self._read((), False)[0]

    @property
    def dropped(self) -> int:
        """Records that came and are not kept."""
        return max((tape.dropped for tape in self._tapes), default=0)

    def __getitem__(self, key: str) -> np.ndarray:
        return self.read(key)[1][key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    # The file -------------------------------------------------------------------------------------
    def flush(self) -> None:
        """Bring what has come since into the HDF5 file; also while it runs."""
        if self._file:
            self._file.flush()

    def close(self) -> None:
        """Flush, and let go of the temporary file. Without a path: nothing."""
        if self._file:
            self._closing()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _File:
    """The HDF5 file of a recorder and, until it is closed, the nameless files that children write into.

    Datasets: `steps` (records,) and one (records, ...) for each key, as the target holds it, with attributes `format` and
    `resolution` (physical value = value * resolution).
    """

    def __init__(self, path: Path, every: int) -> None:
        if importlib.util.find_spec("h5py") is None:
            raise invalid("Recorder", "path", "given, but h5py is not installed", "given with h5py", 'pip install "tp-lava[hdf5]"')
        if not path.parent.is_dir():
            raise invalid("Recorder", "path", str(path), "in a folder that exists", "make the folder first")
        self.path, self._every, self.closed = path, every, False
        self.tapes: list[Tape] = []
        self._spills: list[int] = []
        self._flushed: dict[int, int] = {}
        with self._open("w") as file:
            file.attrs["every"] = every

    def _open(self, mode: str) -> Any:
        return importlib.import_module("h5py").File(self.path, mode)

    def spill(self) -> int:
        """A nameless temporary file, which the child that is forked next writes into: its descriptor."""
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        os.unlink(name)
        self._spills.append(descriptor)
        return descriptor

    def flush(self) -> None:
        if self.closed or not self.tapes:
            return
        with self._open("a") as file:
            while self._flush_block(file):
                pass

    def _flush_block(self, file: Any) -> bool:
        """Move some records, up to the last step that all tapes have. -> whether there were any."""
        blocks = []
        for number, tape in enumerate(self.tapes):
            begin = self._flushed.get(number, 0)
            end = min(tape.offered, begin + max(1, _BLOCK_BYTES // tape.itemsize))
            blocks.append(tape.read(tuple(tape.formats), begin, end))
        if any(not len(block[STEP]) for block in blocks):
            return False
        until = min(int(block[STEP][-1]) for block in blocks)
        steps = _common([block[STEP] for block in blocks])
        _append(file, "steps", steps, None)
        for number, (tape, block) in enumerate(zip(self.tapes, blocks, strict=True)):
            self._flushed[number] = self._flushed.get(number, 0) + int(np.searchsorted(block[STEP], until, side="right"))
            chosen = _chosen(block.pop(STEP), steps)
            for key, rows in block.items():
                _append(file, key, rows[chosen], tape.formats[key])
        return True

    def close(self, process: int) -> None:
        """Flush and close, unless this is a child of `process`."""
        if self.closed or os.getpid() != process:
            return
        try:
            self.flush()
        finally:
            self.closed = True
            for descriptor in self._spills:
                os.close(descriptor)


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
    values = rows.astype(np.float32)
    if format:
        values *= np.float32(format.resolution)
    return values


def _common(steps: Sequence[np.ndarray]) -> np.ndarray:
    """Steps that every tape has."""
    return reduce(np.intersect1d, steps) if steps else np.zeros(0, np.int64)


def _chosen(steps: np.ndarray, wanted: np.ndarray) -> np.ndarray | slice:
    """Where a tape has the wanted steps."""
    return slice(None) if len(steps) == len(wanted) else np.isin(steps, wanted)


# What is asked for --------------------------------------------------------------------------------


def _count(attr: str, value: Any) -> int:
    if not is_whole(value, 1):
        raise invalid("Recorder", attr, repr(value), "a positive integer", f"use for example {attr}=10")
    return int(value)


def _columns(variables: Sequence[Any], select: dict[str, Any]) -> dict[str, Column]:
    if not len(variables):
        raise invalid("Recorder", "variables", "empty", "at least one Var", "give for example [chip.hidden0_membrane]")
    for var in variables:
        _check_var(var)
    names = [var.name for var in variables]
    keys = [var.name if names.count(var.name) == 1 else f"{var.process.name}.{var.name}" for var in variables]
    if len(set(keys)) < len(keys):
        raise invalid("Recorder", "variables", f"{', '.join(keys)[:120]}", "different Vars", "name each once")
    if unknown := [name for name in select if name not in keys]:
        raise invalid(
            "Recorder", "select", f"of {unknown[0]!r}", f"of recorded Vars: {', '.join(keys)[:120]}", "add the Var or drop the index"
        )
    return {key: _column(key, var, select.get(key, ...)) for key, var in zip(keys, variables, strict=True)}


def _check_var(var: Any) -> None:
    from tp_lava.processes.base import Process

    process = getattr(var, "process", None)
    if process is None or not hasattr(var, "aliased_var"):
        raise invalid("Recorder", "variables", repr(type(var).__name__), "Vars of Processes", "give for example [chip.hidden0_membrane]")
    if not isinstance(process, Process):
        where = f"{var.name} of {type(process).__name__}"
        raise invalid("Recorder", "variables", where, "Vars of tp_lava's Processes", "use Lava's Monitor for stock Processes")


def _column(key: str, var: Any, index: Any) -> Column:
    whole = without_single_row(np.broadcast_to(np.int8(0), var.shape))
    if is_whole(index):
        if not 0 < index <= whole.size:
            raise invalid("Recorder", "select", f"{index} elements of {key}", f"1 to {whole.size} elements", "give fewer, or an index")
        index = np.unravel_index(np.linspace(0, whole.size - 1, int(index)).round().astype(int), whole.shape)
    try:
        part = np.asarray(whole[index])
    except IndexError as error:
        raise invalid("Recorder", "select", f"{index} of {key}", f"an index of shape {whole.shape}", str(error)) from None
    if not part.size:
        raise invalid("Recorder", "select", f"{index} of {key}, no element", f"an index of shape {whole.shape}", "select some")
    return Column(key, var, index, part.shape)
