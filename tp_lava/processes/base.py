"""The base class of our Processes: the simulator behind it, with memory that the parent and the model's child process share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from lava.magma.core.process.process import AbstractProcess

from tp_lava.circuit import Buffer
from tp_lava.errors import invalid
from tp_lava.lava.recorder import Recorder
from tp_lava.lava.snapshot import TIMEOUT, Snapshot, restore_snapshot, take_snapshot
from tp_lava.sharing import shared_array

VARS: set[str] = set()  # names of all Vars made of buffers: those that models have LavaPyTypes for


def visible(buffer: Buffer) -> bool:
    """Whether a buffer is a Var: all but the input, events, tables and counters."""
    hidden = buffer.owner.kind == "input" or buffer.role in ("random", "table")
    return not hidden and (not buffer.index or buffer.role == "switch")


class Process(AbstractProcess):
    """A Process whose model is prepared before Lava forks: compiled once, in memory that parent and child share."""

    _runtime = None  # Lava stops every Process that is deleted, also one whose constructor raised
    _recorders: tuple[Recorder, ...] = ()

    @property
    def simulator(self) -> Any:
        """The Learner or Part behind the running Process: same memory, live; None until the run time is made."""
        return self.proc_params.get("simulator")

    def buffer(self, name: str) -> Buffer:
        """Axes, role and number format of a Var of the running Process. Raises InvalidValueError before it runs."""
        if self.simulator is None:
            obj = type(self).__name__
            raise invalid(obj, "buffer", "asked for before it runs", "asked for once it runs", "call run() or enter a Session first")
        return self.simulator.buffers[name]

    @property
    def runtime(self):
        """Lava's run time."""
        return self._runtime

    @runtime.setter
    def runtime(self, runtime) -> None:
        """Lava sets this once it has chosen the model and before it forks: what is compiled here, children need not compile."""
        if runtime is not None and self.simulator is None:
            builder = runtime._executable.proc_builders.get(self)
            prepare = getattr(builder.proc_model, "prepare", None) if builder else None
            if prepare:
                prepare(self.proc_params)
                self._share_vars(builder.proc_model)
            for recorder in self._all_recorders():
                recorder.prepare(self)
        self._runtime = runtime

    def _share_vars(self, model: type) -> None:
        """Make shared memory for Vars that are not buffers of the simulator."""
        variables = self.proc_params["shared_state"].variables
        for var in self.vars.members:
            kind: Any = getattr(model, var.name)
            if var.name not in self.simulator.buffers and issubclass(kind.cls, np.ndarray):
                variables[var.name] = shared_array(var.shape, kind.d_type)

    def parts(self) -> Mapping[str, Process]:
        """label -> the Processes with a simulator that make it up: itself, without a label, unless it was opened into others."""
        return {"": self}

    def snapshot(self, timeout: float = TIMEOUT) -> Snapshot:
        """Copy all weights and state, counters included, between two steps; also while it runs.

        timeout: seconds to wait for the present step to end. A network that is restored continues from it bit for bit.
        Raises InvalidValueError before it runs, LavaRunError if its process was killed or is stuck.
        """
        return take_snapshot(type(self).__name__, self.parts(), timeout)

    def restore(self, snapshot: Snapshot, timeout: float = TIMEOUT) -> None:
        """Restore a snapshot between two steps; also while it runs. It may be of another Process of the same network and rule.

        Raises InvalidValueError, and changes nothing, for one of another shape, precision or format, and before it runs;
        LavaRunError as snapshot does.
        """
        restore_snapshot(type(self).__name__, self.parts(), snapshot, timeout)

    def attach(self, recorder: Recorder) -> None:
        """Have a recorder record Vars of this Process or of its parts. Raises InvalidValueError once it was compiled."""
        if self.is_compiled or self.runtime is not None:
            obj = type(self).__name__
            raise invalid(obj, "recorder", "attached after it was compiled", "attached before it runs", "make the Recorder first")
        self._recorders = (*self._recorders, recorder)

    def _all_recorders(self) -> list[Recorder]:
        """Those attached to it and to the Processes that it is a part of."""
        process, found = self, []
        while process is not None:
            found += [recorder for recorder in getattr(process, "_recorders", ()) if recorder not in found]
            process = process.parent_proc
        return found
