"""What our ProcessModels have in common: Vars that are the unit's own arrays.

Weights are seen as (n_out, n_in). What Lava reads is what the compiled programs use, and what Lava writes acts from
the next step on.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from lava.magma.core.model.py.model import AbstractPyProcessModel

from tp_lava.processes.base import Unit, visible


class UnitModel(AbstractPyProcessModel):
    """A model that computes with a unit made by `make_unit` before Lava forks."""

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

    def start(self) -> None:
        """Take over the Vars, whose values are physical until now, then run as any model does."""
        self.unit: Any = self.proc_params["unit"]
        views = {}
        for name, buffer in self.unit.buffers.items():
            if visible(buffer) and hasattr(self, name):
                array = self.unit.memory[name]
                array[...] = buffer.encode(getattr(self, name))
                views[name] = array.T if buffer.role == "weight" else array
        self.__dict__.update(views)
        self._views = views
        super().start()

    def step(self) -> AbstractContextManager:
        """Around every stretch of steps that computes: what happens outside sees the unit between two steps."""
        return nullcontext()

    # What Lava writes goes into the unit's arrays -----------------------------------------------
    def __setattr__(self, name: str, value) -> None:
        view = self.__dict__.get("_views", {}).get(name)
        if view is None:
            super().__setattr__(name, value)
        else:
            self._store(name, view, value)

    def _store(self, name: str, view: np.ndarray, value) -> None:
        buffer = self.unit.buffers[name]
        values = np.asarray(value, np.float64)
        view[...] = np.clip(np.rint(values), buffer.format.low, buffer.format.high) if buffer.format else values

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
