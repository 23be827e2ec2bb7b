"""What our Processes have in common: the unit that computes behind them, and its memory, live and shared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from lava.magma.core.process.process import AbstractProcess

from tp_lava.circuit import Buffer
from tp_lava.errors import invalid


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


class Process(AbstractProcess):
    """A Process whose model is prepared before Lava forks: compiled once, with memory that both sides see."""

    _runtime = None  # Lava stops every Process that goes, even one that was refused and never came to be

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
        self._runtime = runtime


def visible(buffer: Buffer) -> bool:
    """Whether a buffer is a Var: all but event lists, counters and accumulators."""
    hidden = (buffer.index and buffer.role != "switch") or buffer.role == "random" or buffer.name.endswith(("_input", "_feedback"))
    return not hidden
