"""All weights and state of a running Process, copied and restored between two of its time steps.

The arrays of its simulator lie in memory that the parent and the child share; a SharedState keeps the child from changing them meanwhile.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import MappingProxyType
from typing import Any

import numpy as np

from tp_lava import archive
from tp_lava.errors import ArchiveError, LavaRunError, invalid
from tp_lava.lava.shared_state import SharedState
from tp_lava.outcome import Arrays

TIMEOUT = 10.0  # seconds
_RETRY_SECONDS = 5e-5


class Snapshot(Arrays):
    """Arrays by name as they were between two steps: weights, states, parameters, counters; read-only.

    Weights are (n_in, n_out), kernels (channels below, y, x, channels), after (y, x) of positions that do not share them.
    They are what the target holds: float32, or mantissas in fixed point (`formats` has their number formats). In a Process
    made of several, names begin with the part's label: "label/name". process: type of the Process.
    """

    def __init__(self, process: str, arrays: Mapping[str, np.ndarray], formats: Mapping[str, str]) -> None:
        super().__init__(tuple(arrays), dict(arrays).__getitem__)
        self.process, self.formats = process, MappingProxyType(dict(formats))
        for array in self.values():
            array.flags.writeable = False

    def __repr__(self) -> str:
        size = sum(array.nbytes for array in self.values())
        return f"Snapshot({self.process}, {len(self)} arrays, {size} bytes)"

    def save(self, path: str | os.PathLike) -> None:
        """Write a safetensors file; an interrupted save leaves an older file as it was."""
        archive.write(path, "snapshot", {"process": self.process, "formats": dict(self.formats)}, self)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Snapshot:
        """Read a file that save wrote; nothing in it is executed. Raises ArchiveError for a damaged, foreign or newer one."""
        description, arrays = archive.read(path, "snapshot")
        try:
            return cls(str(description["process"]), arrays, description["formats"])
        except (KeyError, TypeError, ValueError) as error:
            raise ArchiveError(f"{path}: has an invalid description ({error}); save it again.", obj=str(path), attr="file") from None


# Parts: label -> the Processes with a simulator that make up a Process, here called obj ------------


def take_snapshot(obj: str, parts: Mapping[str, Any], timeout: float) -> Snapshot:
    """See Process.snapshot."""
    with between_steps(obj, parts, timeout):
        arrays = {name: array.copy() for name, array in _live_arrays(parts).items()}
    return Snapshot(obj, arrays, _formats(parts))


def restore_snapshot(obj: str, parts: Mapping[str, Any], snapshot: Snapshot, timeout: float) -> None:
    """See Process.restore."""
    if not isinstance(snapshot, Snapshot):
        raise invalid(obj, "restore", f"a {type(snapshot).__name__}", "a Snapshot", "use snapshot() or Snapshot.load(path)")
    with between_steps(obj, parts, timeout):
        live = _live_arrays(parts)
        _check_fits(obj, snapshot, live, _formats(parts))
        for name, array in live.items():
            array[...] = snapshot[name]


def _shared(part: Any) -> SharedState:
    return part.proc_params.get("shared_state")


@contextmanager
def between_steps(obj: str, parts: Mapping[str, Any], timeout: float) -> Iterator[None]:
    """Keep all parts from starting a step, after the same number of steps. Raises LavaRunError."""
    shared, deadline = [_shared(part) for part in parts.values()], time.monotonic() + timeout
    if not shared or None in shared:
        remedy = "call run() or enter a Session first"
        raise invalid(obj, "snapshot or restore", "asked for before it runs", "asked for once it runs", remedy)
    seconds = timeout if len(shared) == 1 else 0.0  # a part in its step may wait for a message of one that is stopped: do not wait for it
    while True:
        with ExitStack() as stack:
            if (
                all(stack.enter_context(each.between_steps(seconds)) for each in shared)
                and len({int(each.steps[0]) for each in shared}) == 1
            ):
                yield
                return
        if time.monotonic() > deadline:
            message = (
                f"{obj}: its step did not end in time; its process was killed, is stuck, or takes longer than the {timeout:g} s given."
            )
            raise LavaRunError(message, obj=obj, attr="step")
        time.sleep(_RETRY_SECONDS)


def _keyed(parts: Mapping[str, Any], of: Callable[[Any], Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{label}/{name}" if label else name: value for label, part in parts.items() for name, value in of(part).items()}


def _live_arrays(parts: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return _keyed(parts, lambda part: {**part.simulator.memory, **_shared(part).variables})


def _formats(parts: Mapping[str, Any]) -> dict[str, str]:
    """Number formats of all arrays that hold mantissas."""
    buffers = _keyed(parts, lambda part: part.simulator.buffers)
    return {name: str(buffer.format) for name, buffer in buffers.items() if buffer.format is not None}


def _check_fits(obj: str, snapshot: Snapshot, live: Mapping[str, np.ndarray], formats: Mapping[str, str]) -> None:
    """Raise InvalidValueError for a snapshot of other arrays, types, shapes or formats."""
    remedy = "restore it into a Process of the same network, rule and precision"
    if snapshot.keys() != live.keys():
        names = sorted(snapshot.keys() ^ live.keys())
        raise invalid(obj, "restore", f"a snapshot that differs in {', '.join(names)[:120]}", "one of the same arrays", remedy)
    for name, array in live.items():
        found = _described(name, snapshot[name], snapshot.formats)
        wanted = _described(name, array, formats)
        if found != wanted:
            raise invalid(obj, "restore", f"a snapshot with {found}", wanted, remedy)


def _described(name: str, array: np.ndarray, formats: Mapping[str, str]) -> str:
    return f"{name}: {array.dtype} {array.shape} {formats.get(name, '')}".rstrip()
