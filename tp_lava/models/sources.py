"""What models of sources share: their ports, and one time step of a recording as messages."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType

from tp_lava.data.events import Events, values_of
from tp_lava.lava.channels import WithoutThreads
from tp_lava.numbers import Format


class SourceModel(WithoutThreads):
    """The ports by which recordings are played."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    sample_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    packet_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    proc_params: Any


class AnsweredSourceModel(SourceModel):
    """And those by which scores come back."""

    score_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    sample_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, int)


def write_step(spikes: np.ndarray, events: Events, step: int, format: Format | None) -> None:
    """Write one step's spikes, of graded input their values as integers of the format, into zeros (n_units,)."""
    here = slice(events.offsets[step], events.offsets[step + 1])
    spikes[events.units[here]] = format.quantise(values_of(events)[here]) if format else 1
