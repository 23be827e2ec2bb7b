"""What sources share: the ports by which recordings are played, and those by which scores come back."""

from __future__ import annotations

from lava.magma.core.process.ports.ports import InPort, OutPort

from tp_lava.numbers import Format
from tp_lava.parts.messages import SAMPLE_SIZE
from tp_lava.processes.base import Process
from tp_lava.processes.protocol import packet_size


class Source(Process):
    """A Process that plays recordings of n_units inputs, see EventSource for its ports."""

    def __init__(self, n_units: int, format: Format | None, **parameters) -> None:
        super().__init__(format=format, **parameters)
        self.s_out = OutPort(shape=(n_units,))
        self.sample_out = OutPort(shape=(SAMPLE_SIZE,))
        self.packet_out = OutPort(shape=(packet_size(n_units, format),))


class AnsweredSource(Source):
    """One that hears the scores of what it has played, in the place of a ScoreSink."""

    def __init__(self, n_units: int, n_classes: int, format: Format | None, **parameters) -> None:
        super().__init__(n_units, format, **parameters)
        self.score_in = InPort(shape=(n_classes,))
        self.sample_in = InPort(shape=(SAMPLE_SIZE,))
