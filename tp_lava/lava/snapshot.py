"""All weights and state of a running Process, taken and put back between two of its steps.

A unit's arrays are memory that its process and this one share. A Door between the two keeps steps and looks apart.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from tp_lava import archive
from tp_lava.errors import ArchiveError, LavaRunError, invalid
from tp_lava.sharing import shared_array

if TYPE_CHECKING:
    from tp_lava.processes.base import Process

POSITIONS = 8  # whole numbers that a unit may go by beside its arrays
TIMEOUT = 10.0  # seconds
_POSITION = "position"
_RETRY_SECONDS = 5e-5


class Door:
    """Closed while a unit computes, so that who else looks sees it between two steps. Made before the fork, closed.

    steps (1,): steps computed so far; restored (1,): how often its arrays were put back; position (POSITIONS,): what
    the unit goes by beside its arrays, which set_position(unit, position) gives to it; variables: Vars that are not
    buffers of the unit. All shared with the child.
    """

    def __init__(self, set_position: Callable[[Any, Sequence[int]], None]) -> None:
        context = multiprocessing.get_context("fork")  # its locks leave no name behind
        self._turn, self._lock = context.Lock(), context.Lock()
        self._lock.acquire()  # the model opens it when its Vars have their first values
        self.steps, self.restored = shared_array((1,), np.int64), shared_array((1,), np.int64)
        self.position, self._set_position = shared_array((POSITIONS,), np.int64), set_position
        self.variables: dict[str, np.ndarray] = {}

    def close(self) -> None:
        """The model goes in; whoever waits for it to come out goes first."""
        with self._turn:
            pass
        self._lock.acquire()

    def open(self) -> None:
        """The model has come out."""
        self._lock.release()

    def put_position(self, unit: Any) -> None:
        """Have a unit, in this process or the other, go on from what was restored."""
        self._set_position(unit, [int(value) for value in self.position])

    @contextmanager
    def held(self, deadline: float, obj: str) -> Iterator[None]:
        """Keep the model out. deadline: in time.monotonic(). Raises LavaRunError."""
        with _acquired(self._turn, deadline, obj), _acquired(self._lock, deadline, obj):
            yield

    @contextmanager
    def held_if_open(self) -> Iterator[bool]:
        """Keep the model out if it is out at this moment. -> whether it is."""
        acquired = self._lock.acquire(block=False)
        try:
            yield acquired
        finally:
            if acquired:
                self._lock.release()


@contextmanager
def _acquired(lock: Any, deadline: float, obj: str) -> Iterator[None]:
    if not lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
        message = f"{obj}: its step did not end in time; its process was killed, is stuck, or takes longer than the timeout given."
        raise LavaRunError(message, obj=obj, attr="step")
    try:
        yield
    finally:
        lock.release()


class Snapshot(Mapping[str, np.ndarray]):
    """Arrays by name as they were between two steps: weights (n_in, n_out), states, parameters, counters; read-only.

    They are what the target holds: float32, or mantissas in fixed point (`formats` says what these mean). In a Process
    made of several, names begin with the part's label: "label/name". process: type of the Process.
    """

    def __init__(self, process: str, arrays: Mapping[str, np.ndarray], formats: Mapping[str, str]) -> None:
        self.process, self.formats = process, MappingProxyType(dict(formats))
        self._arrays = dict(arrays)
        for array in self._arrays.values():
            array.flags.writeable = False

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        size = sum(array.nbytes for array in self._arrays.values())
        return f"Snapshot({self.process}, {len(self)} arrays, {size} bytes)"

    def save(self, path: str | os.PathLike) -> None:
        """Write a safetensors file; an interrupted save leaves the old one whole."""
        archive.write(path, "snapshot", {"process": self.process, "formats": dict(self.formats)}, self._arrays)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Snapshot:
        """The snapshot saved there; nothing in the file is executed. Raises ArchiveError for a damaged, foreign or newer one."""
        description, arrays = archive.read(path, "snapshot")
        try:
            return cls(str(description["process"]), arrays, description["formats"])
        except (KeyError, TypeError, ValueError) as error:
            raise ArchiveError(f"{path}: describes something impossible ({error}); save it again.", obj=str(path), attr="file") from None


def take(process: Process, timeout: float) -> Snapshot:
    """What Process.snapshot gives."""
    with _between_steps(process, timeout) as parts:
        arrays = {name: array.copy() for name, array in _live(parts).items()}
    return Snapshot(type(process).__name__, arrays, _formats(parts))


def put(process: Process, snapshot: Snapshot, timeout: float) -> None:
    """What Process.restore does."""
    obj = type(process).__name__
    if not isinstance(snapshot, Snapshot):
        raise invalid(obj, "restore", f"a {type(snapshot).__name__}", "a Snapshot", "use snapshot() or Snapshot.load(path)")
    with _between_steps(process, timeout) as parts:
        live = _live(parts)
        _check(obj, snapshot, live, _formats(parts))
        for name, array in live.items():
            array[...] = snapshot[name]
        for part in parts.values():
            door = part.proc_params["door"]
            door.restored[0] += 1
            door.put_position(part.unit)


@contextmanager
def _between_steps(process: Process, timeout: float) -> Iterator[Mapping[str, Process]]:
    """Its parts, all kept out of their steps after the same number of them."""
    obj, parts, deadline = type(process).__name__, process.parts(), time.monotonic() + timeout
    doors = [part.proc_params.get("door") for part in parts.values()]
    if not doors or None in doors:
        raise invalid(
            obj, "snapshot or restore", "asked for before it runs", "asked for once it runs", "call run() or enter a Session first"
        )
    if len(doors) == 1:
        with doors[0].held(deadline, obj):
            yield parts
        return
    while True:  # a part in its step may wait for one that is out: never keep one out while waiting for another
        with ExitStack() as held:
            if all(held.enter_context(door.held_if_open()) for door in doors) and len({int(door.steps[0]) for door in doors}) == 1:
                yield parts
                return
        if time.monotonic() > deadline:
            message = f"{obj}: its parts were not found between two steps within {timeout:g} s; was one killed? Or ask between two runs."
            raise LavaRunError(message, obj=obj, attr="step")
        time.sleep(_RETRY_SECONDS)


def _named(label: str, name: str) -> str:
    return f"{label}/{name}" if label else name


def _live(parts: Mapping[str, Process]) -> dict[str, np.ndarray]:
    """The arrays of all parts."""
    found: dict[str, np.ndarray] = {}
    for label, part in parts.items():
        door = part.proc_params["door"]
        arrays = {**part.unit.memory, **door.variables, _POSITION: door.position}
        found |= {_named(label, name): array for name, array in arrays.items()}
    return found


def _formats(parts: Mapping[str, Process]) -> dict[str, str]:
    """What the mantissas of all parts mean."""
    buffers = [(_named(label, name), buffer) for label, part in parts.items() for name, buffer in part.unit.buffers.items()]
    return {name: str(buffer.format) for name, buffer in buffers if buffer.format is not None}


def _check(obj: str, snapshot: Snapshot, live: Mapping[str, np.ndarray], formats: Mapping[str, str]) -> None:
    """Refuse a snapshot that does not fit."""
    remedy = "restore it into a Process of the same network, rule and precision"
    if snapshot.keys() != live.keys():
        names = sorted(snapshot.keys() ^ live.keys())
        raise invalid(obj, "restore", f"a snapshot that differs in {', '.join(names)[:120]}", "one of the same arrays", remedy)
    for name, array in live.items():
        found, wanted = (
            f"{name}: {a.dtype} {a.shape} {f.get(name, '')}".rstrip() for a, f in ((snapshot[name], snapshot.formats), (array, formats))
        )
        if found != wanted:
            raise invalid(obj, "restore", f"a snapshot with {found}", wanted, remedy)
