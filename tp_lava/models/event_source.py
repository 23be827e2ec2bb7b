"""Models of EventSource: one time step at a time, or packets of many. The same in every number system."""

from __future__ import annotations

import numpy as np
from lava.magma.core.model.py.model import PyAsyncProcessModel, PyLoihiProcessModel
from lava.magma.core.model.py.type import LavaPyType

from tp_lava.lava.hardware import TAGS
from tp_lava.models.register import register_model
from tp_lava.models.sources import SourceModel, write_step
from tp_lava.parts.messages import ALL_ROWS, LAST_STEP, NO_SAMPLE
from tp_lava.processes.event_source import EventSource
from tp_lava.processes.protocol import end_packet, packets


class _Played(SourceModel):
    played: np.ndarray = LavaPyType(np.ndarray, np.int32)


@register_model(EventSource, *TAGS)
class PyEventSource(_Played, PyLoihiProcessModel):
    """Sends one time step of the present sample in each spiking phase."""

    def __init__(self, proc_params=None) -> None:
        super().__init__(proc_params)
        self._samples, self._labelled = proc_params["samples"], proc_params["labelled"]
        self._step, self._pause_left, self._present = 0, 0, None

    def run_spk(self) -> None:
        """Lava calls this in each spiking phase."""
        spikes, sample = np.zeros(self.s_out.shape, np.int32), NO_SAMPLE.copy()
        if (self.time_step - 1) % self.proc_params["period"] == 0:
            self._advance(spikes, sample)
        self.s_out.send(spikes)
        self.sample_out.send(sample)

    def _advance(self, spikes: np.ndarray, sample: np.ndarray) -> None:
        """Write the next time step, unless there is a pause or no sample left."""
        if self._pause_left > 0:
            self._pause_left -= 1
            return
        number = int(self.played[0])
        if self._present is None and number < len(self._samples):
            self._present, self._step = self._samples[number], 0
        if self._present is None:
            return
        events, left, format = self._present[0], self._present[0].n_steps - self._step, self.proc_params["format"]
        write_step(spikes, events, self._step, format)
        sample[:] = self._step == 0, EventSource.label(self._present, self._labelled[number]), left, ALL_ROWS
        self._step += 1
        if left == LAST_STEP:
            self._present, self._pause_left = None, self.proc_params["pause"]
            self.played += 1


@register_model(EventSource, *TAGS)
class PyEventSourceAsync(_Played, PyAsyncProcessModel):
    """Sends all samples as fast as they are received, then the end."""

    def run_async(self) -> None:
        """Lava calls this once a run."""
        size = self.packet_out.shape[0]
        for sample, labelled in zip(self.proc_params["samples"], self.proc_params["labelled"], strict=True):
            for packet in packets(sample[0], EventSource.label(sample, labelled), size, self.proc_params["format"]):
                if self.check_for_stop_cmd():
                    return
                self.packet_out.send(packet)
            self.played += 1
        self.packet_out.send(end_packet(size))
