"""What our ProcessModels have in common: Vars that are the unit's own arrays, and a door that is closed in each step.

Weights are seen as (n_out, n_in). What Lava reads is what the compiled programs use, and what Lava writes acts from
the next step on.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from lava.magma.core.model.py.model import AbstractPyProcessModel

from tp_lava.data.events import Events
from tp_lava.lava.snapshot import Door
from tp_lava.processes.base import Unit, visible

_LONGEST = 1000  # steps computed at a stretch; who wants to look in between need not wait longer


class UnitModel(AbstractPyProcessModel):
    """A model that computes with a unit made by `make_unit` before Lava forks.

    Every time step is computed in a `with self.step():`, so that snapshots and recorders see it whole.
    """

    _inside = False
    _position: tuple[int, ...] = ()
    _restored = 0

    @classmethod
    @abstractmethod
    def make_unit(cls, proc_params) -> Unit:
        """The unit of a Process with these parameters."""

    @classmethod
    def prepare(cls, proc_params) -> None:
        """In the parent, before the fork: compile, and put the memory where both sides see it."""
        unit = cls.make_unit(proc_params)
        unit.share()
        proc_params.overwrite("unit", unit)
        proc_params.overwrite("door", Door(cls.set_position))

    def start(self) -> None:
        """Take over the Vars, whose values are physical until now, then run as any model does."""
        self.unit: Any = self.proc_params["unit"]
        self._door: Door = self.proc_params["door"]
        self._tapes = self.proc_params.get("tapes") or ()
        views = {}
        for name, buffer in self.unit.buffers.items():
            if visible(buffer) and name in self.__dict__:
                array = self.unit.memory[name]
                array[...] = buffer.encode(getattr(self, name))
                views[name] = buffer.seen(array)
        for name, array in self._door.variables.items():
            array[...] = getattr(self, name)
            views[name] = array
        self.__dict__.update(views)
        self._views = views
        self._keep_position()
        for tape in self._tapes:
            tape.thread(views)
        self._door.open()  # it was made closed
        super().start()

    # Steps --------------------------------------------------------------------------------------
    @contextmanager
    def step(self, steps: int = 1, done: bool = True) -> Iterator[None]:
        """Around every stretch that computes: what happens outside sees the unit between two steps.

        steps: how many it holds, where there is no time_step. done: False in all but the last of several stretches of
        the same time step; between them the model may wait for messages, within one it must not.
        """
        self._enter()
        try:
            yield
            if done:
                self._finish(steps)
        except BaseException:
            self._leave()
            raise
        if done:
            self._leave()

    def stretches(self, events: Events) -> Iterator[Events]:
        """The events in parts, each for a `with self.step(part.n_steps):`, that end where a recorder is due."""
        begin, total = 0, events.n_steps
        while begin < total or total == 0:
            now = int(self._door.steps[0])
            size = min([total - begin, _LONGEST, *(tape.every - now % tape.every for tape in self._tapes)])
            yield events if size == total else _part(events, begin, begin + size)
            if total == 0:
                return
            begin += size

    @staticmethod
    def position(unit: Any) -> Sequence[int]:
        """Whole numbers that decide how a unit goes on and are in none of its arrays; at most POSITIONS."""
        return ()

    @staticmethod
    def set_position(unit: Any, position: Sequence[int]) -> None:
        """Go on from there: the inverse of position, called after the arrays were restored."""

    def _enter(self) -> None:
        if self._inside:
            return
        self._door.close()
        self._inside = True
        restored = int(self._door.restored[0])
        if restored != self._restored:
            self._restored, self._position = restored, ()  # what the door holds is not what was kept last
            self._door.put_position(self.unit)

    def _leave(self) -> None:
        self._keep_position()
        self._inside = False
        self._door.open()

    def _keep_position(self) -> None:
        position = tuple(self.position(self.unit))
        if position != self._position:
            self._door.position[: len(position)] = position
            self._position = position

    def _finish(self, steps: int) -> None:
        """Count the step, and record what is due."""
        clock = self._door.steps
        clock[0] = getattr(self, "time_step", clock[0] + steps)
        now = int(clock[0])
        for tape in self._tapes:
            if now % tape.every == 0:
                tape.record(now)

    # What Lava writes goes into the unit's arrays -----------------------------------------------
    def __setattr__(self, name: str, value) -> None:
        view = self.__dict__.get("_views", {}).get(name)
        if view is None:
            super().__setattr__(name, value)
        else:
            self._store(name, view, value)

    def _store(self, name: str, view: np.ndarray, value) -> None:
        buffer = self.unit.buffers.get(name)
        values = np.asarray(value, np.float64)
        if buffer and buffer.format:
            values = np.clip(np.rint(values), buffer.format.low, buffer.format.high)
        outside = not self._inside
        if outside:
            self._door.close()
        view[...] = values
        if outside:
            self._door.open()

    def _set_var(self) -> None:
        """Lava fills arrays in the order of their memory, but sends them in C order: give it a C-ordered copy to fill."""
        name = self.var_id_to_var_map[int(self.service_to_process.peek()[0].item())]
        view = self._views.get(name)
        if view is None:
            super()._set_var()
            return
        self.__dict__[name] = np.array(view, np.float64, order="C")
        super()._set_var()
        values, self.__dict__[name] = self.__dict__[name], view
        self._store(name, view, values)


def _part(events: Events, begin: int, end: int) -> Events:
    """Steps begin..end-1."""
    offsets = events.offsets[begin : end + 1]
    return Events.from_counts(np.diff(offsets), events.units[offsets[0] : offsets[-1]], events.n_units)
