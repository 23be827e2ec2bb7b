"""What our Processes have in common: the unit that computes behind them, and its memory, live and shared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from lava.magma.core.process.process import AbstractProcess

from tp_lava.circuit import Buffer
from tp_lava.errors import invalid
from tp_lava.lava.snapshot import TIMEOUT, Snapshot, put, take
from tp_lava.sharing import shared_array


class Unit(Protocol):
    """What computes behind a Process: named arrays, their formats, and a way to share them with forked processes."""

    @property
    def buffers(self) -> Mapping[str, Buffer]:
        """Axes, role and number format of every array."""

    @property
    def memory(self) -> Mapping[str, np.ndarray]:
        """The arrays, live."""

    def share(self) -> None:
        """Move the arrays into memory that processes forked from now on share with this one."""


class RecordsVars(Protocol):
    """A Recorder, as a Process sees it."""

    def prepare(self, process: Process) -> None:
        """Before the fork, once the unit is made: make the memory that its Vars are recorded into."""


class Process(AbstractProcess):
    """A Process whose model is prepared before Lava forks: compiled once, with memory that both sides see."""

    _runtime = None  # Lava stops every Process that goes, even one that was refused and never came to be
    _recorders: tuple[RecordsVars, ...] = ()

    @property
    def unit(self) -> Any:
        """What computes behind the running Process: same memory, live; None until the run time is made."""
        return self.proc_params.get("unit")

    def buffer(self, name: str) -> Buffer:
        """Axes, role and number format of a Var of the running Process."""
        if self.unit is None:
            obj = type(self).__name__
            raise invalid(obj, "buffer", "asked for before it runs", "asked for once it runs", "call run() or enter a Session first")
        return self.unit.buffers[name]

    @property
    def runtime(self):
        """Lava's run time."""
        return self._runtime

    @runtime.setter
    def runtime(self, runtime) -> None:
        """Lava sets this after choosing the model and before forking: the moment to compile, so that children find it done."""
        if runtime is not None and self.unit is None:
            builder = runtime._executable.proc_builders.get(self)
            prepare = getattr(builder.proc_model, "prepare", None) if builder else None
            if prepare:
                prepare(self.proc_params)
                self._share_vars(builder.proc_model)
            for recorder in self._all_recorders():
                recorder.prepare(self)
        self._runtime = runtime

    def _share_vars(self, model: type) -> None:
        """Give Vars that are not buffers of the unit memory that both sides see."""
        door = self.proc_params["door"]
        for var in self.vars.members:
            kind: Any = getattr(model, var.name)
            if var.name not in self.unit.buffers and issubclass(kind.cls, np.ndarray):
                door.variables[var.name] = shared_array(var.shape, kind.d_type)

    # Seen from outside ------------------------------------------------------------------------
    def parts(self) -> Mapping[str, Process]:
        """label -> the Processes with a unit that make it up: itself, without a label, unless it was opened into others."""
        return {"": self}

    def snapshot(self, timeout: float = TIMEOUT) -> Snapshot:
        """All weights and state, counters included, as they are between two steps; also while it runs.

        timeout: seconds to wait for the present step to end. Restored later, what follows is bit for bit what would have
        come. Raises InvalidValueError before it runs, LavaRunError when its process was killed or is stuck.
        """
        return take(self, timeout)

    def restore(self, snapshot: Snapshot, timeout: float = TIMEOUT) -> None:
        """Put a snapshot back, between two steps; also while it runs. It may be of another Process of the same make.

        Raises InvalidValueError, and changes nothing, for one of another shape, precision or format or before it runs;
        LavaRunError as snapshot does.
        """
        put(self, snapshot, timeout)

    def attach(self, recorder: RecordsVars) -> None:
        """Have a recorder record Vars of this Process, or of those it is made of. Before it runs."""
        if self.is_compiled or self.runtime is not None:
            obj = type(self).__name__
            raise invalid(obj, "recorder", "attached after it was compiled", "attached before it runs", "make the Recorder first")
        self._recorders = (*self._recorders, recorder)

    def _all_recorders(self) -> list[RecordsVars]:
        """Those attached to it and to the Processes it is a part of."""
        process, found = self, []
        while process is not None:
            found += [recorder for recorder in getattr(process, "_recorders", ()) if recorder not in found]
            process = process.parent_proc
        return found


VARS: set[str] = set()  # names of all Vars made of buffers: what Lava may ask their models for


def visible(buffer: Buffer) -> bool:
    """Whether a buffer is a Var: all but events, counters and accumulators."""
    hidden = (buffer.index and buffer.role != "switch") or buffer.role == "random"
    return not hidden and not buffer.name.endswith(("_input", "_feedback", "_events"))
