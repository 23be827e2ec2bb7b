"""The base class of our ProcessModels: Vars that are the simulator's own arrays, and a lock around each time step.

Weights are seen with the units or channels that they reach first. Lava reads the arrays that the compiled programs use; what it writes
acts from the next step on.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from lava.magma.core.model.py.model import AbstractPyProcessModel

from tp_lava.data.events import Events, steps_of
from tp_lava.lava.channels import WithoutThreads
from tp_lava.lava.shared_state import SharedState, Simulator
from tp_lava.processes.base import visible

_LONGEST_CHUNK = 1000  # steps; a snapshot waits for no more than these


class SimulatorModel(WithoutThreads, AbstractPyProcessModel):
    """A model that computes with a simulator, which `make_simulator` makes before Lava forks.

    Every time step is computed in a `with self.step():`, so that snapshots and recorders see whole steps.
    """

    _in_step = False

    @classmethod
    @abstractmethod
    def make_simulator(cls, proc_params) -> Simulator:
        """The simulator of a Process with these parameters."""

    @classmethod
    def prepare(cls, proc_params) -> None:
        """In the parent, before the fork: compile, and move the arrays into shared memory."""
        simulator = cls.make_simulator(proc_params)
        simulator.share()
        proc_params.overwrite("simulator", simulator)
        proc_params.overwrite("shared_state", SharedState())

    def start(self) -> None:
        """In the child: put the physical values of the Vars into the arrays, then run as any model does."""
        self.simulator: Any = self.proc_params["simulator"]
        self._shared: SharedState = self.proc_params["shared_state"]
        self._record_buffers = self.proc_params.get("record_buffers") or ()
        views = {}
        for name, buffer in self.simulator.buffers.items():
            if visible(buffer) and name in self.__dict__:
                array = self.simulator.memory[name]
                array[...] = buffer.encode(getattr(self, name))
                views[name] = buffer.seen(array)
        for name, array in self._shared.variables.items():
            array[...] = getattr(self, name)
            views[name] = array
        self.__dict__.update(views)
        self._views = views
        for record_buffer in self._record_buffers:
            record_buffer.set_sources(views)
        self._shared.end_step()  # it was made locked
        super().start()

    # Steps --------------------------------------------------------------------------------------
    @contextmanager
    def step(self, steps: int = 1) -> Iterator[None]:
        """Compute time steps; snapshots and Vars are read and written before or after, not meanwhile.

        steps: how many, for a model without time_step.
        """
        self._shared.begin_step()
        self._in_step = True
        try:
            yield
            self._count(steps)
        finally:
            self._in_step = False
            self._shared.end_step()

    def chunks(self, events: Events) -> Iterator[Events]:
        """Divide events into parts, each for a `with self.step(part.n_steps):`, that end where a recorder records."""
        begin, total = 0, events.n_steps
        while True:
            now = int(self._shared.steps[0])
            size = min([total - begin, _LONGEST_CHUNK, *(each.every - now % each.every for each in self._record_buffers)])
            yield events if size == total else steps_of(events, begin, begin + size)
            begin += size
            if begin >= total:
                return

    def _count(self, steps: int) -> None:
        """Count steps, and record where a recorder is due."""
        now = getattr(self, "time_step", int(self._shared.steps[0]) + steps)
        self._shared.steps[0] = now
        for record_buffer in self._record_buffers:
            if now % record_buffer.every == 0:
                record_buffer.record(now)

    # What Lava writes goes into the simulator's arrays ------------------------------------------
    def __setattr__(self, name: str, value) -> None:
        view = self.__dict__.get("_views", {}).get(name)
        if view is None:
            super().__setattr__(name, value)
        else:
            self._store(name, view, value)

    def _store(self, name: str, view: np.ndarray, value) -> None:
        buffer = self.simulator.buffers.get(name)
        values = np.asarray(value, np.float64)
        if buffer and buffer.format:
            values = np.clip(np.rint(values), buffer.format.low, buffer.format.high)
        outside = not self._in_step
        if outside:
            self._shared.begin_step()
        view[...] = values
        if outside:
            self._shared.end_step()

    def _set_var(self) -> None:
        """Have Lava fill a copy in C order: it fills arrays in the order of their memory, but sends values in C order."""
        name = self.var_id_to_var_map[int(self.service_to_process.peek()[0].item())]
        view = self._views.get(name)
        if view is None:
            super()._set_var()
            return
        self.__dict__[name] = np.array(view, np.float64, order="C")
        super()._set_var()
        values, self.__dict__[name] = self.__dict__[name], view
        self._store(name, view, values)
