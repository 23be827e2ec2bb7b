"""Models of EventSource: one step a time step, or whole stretches in packets. The same in every number system."""

from __future__ import annotations

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyAsyncProcessModel, PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.async_protocol import AsyncProtocol
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from tp_lava.models.register import ASYNC_SUFFIX, STEPWISE_TAGS, found_with
from tp_lava.processes.event_source import EventSource
from tp_lava.processes.protocol import ALL_STREAMS, LAST_STEP, NO_SAMPLE, end_packet, packets


@found_with(EventSource)
@implements(proc=EventSource, protocol=LoihiProtocol)
@requires(CPU)
@tag(*STEPWISE_TAGS)
class PyEventSource(PyLoihiProcessModel):
    """One time step of the present sample in each spiking phase."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    sample_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    packet_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    played: np.ndarray = LavaPyType(np.ndarray, np.int32)

    def __init__(self, proc_params=None) -> None:
        super().__init__(proc_params)
        self._samples, self._labelled = proc_params["samples"], proc_params["labelled"]
        self._step, self._rest, self._present = 0, 0, None

    def run_spk(self) -> None:
        """Lava calls this in each spiking phase."""
        spikes, sample = np.zeros(self.s_out.shape, np.int32), NO_SAMPLE.copy()
        silent = (self.time_step - 1) % self.proc_params["period"] > 0
        if not silent and self._rest > 0:
            self._rest, silent = self._rest - 1, True
        if not silent and self._present is None and self.played[0] < len(self._samples):
            self._present, self._step = self._samples[int(self.played[0])], 0
        if not silent and self._present is not None:
            events = self._present[0]
            spikes[events.units[events.offsets[self._step] : events.offsets[self._step + 1]]] = 1
            left = events.n_steps - self._step
            sample[:] = self._step == 0, EventSource.label(self._present, self._labelled[int(self.played[0])]), left, ALL_STREAMS
            self._step += 1
            if left == LAST_STEP:
                self._present, self._rest = None, self.proc_params["pause"]
                self.played += 1
        self.s_out.send(spikes)
        self.sample_out.send(sample)


@found_with(EventSource)
@implements(proc=EventSource, protocol=AsyncProtocol)
@requires(CPU)
@tag(*(name + ASYNC_SUFFIX for name in STEPWISE_TAGS))
class PyEventSourceAsync(PyAsyncProcessModel):
    """All samples as fast as they are taken, then the end."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    sample_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    packet_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    played: np.ndarray = LavaPyType(np.ndarray, np.int32)

    def run_async(self) -> None:
        """Lava calls this once a run."""
        size = self.packet_out.shape[0]
        for sample, labelled in zip(self.proc_params["samples"], self.proc_params["labelled"], strict=True):
            for packet in packets(sample[0], EventSource.label(sample, labelled), size):
                if self.check_for_stop_cmd():
                    return
                self.packet_out.send(packet)
            self.played += 1
        self.packet_out.send(end_packet(size))
