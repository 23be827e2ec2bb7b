"""Models of StreamSource: one time step at a time, or packets of many. The same in every number system."""

from __future__ import annotations

import time

import numpy as np
from lava.magma.core.model.py.model import PyAsyncProcessModel, PyLoihiProcessModel

from tp_lava.lava.hardware import TAGS
from tp_lava.models.register import register_model
from tp_lava.models.sources import AnsweredSourceModel, write_step
from tp_lava.parts.messages import ALL_ROWS, NO_SAMPLE, START, UNKNOWN, is_active
from tp_lava.processes.protocol import Packet, end_packet, start_of, unpack
from tp_lava.processes.stream_source import StreamSource

_STEPS, _STRETCHES = range(2)  # places in the shared state
_WAIT_SECONDS = 0.02  # for a packet, before it is looked whether there is something else to do
_POLL_SECONDS = 0.0005


class _Stream(AnsweredSourceModel):
    """What both models share."""

    def _keep(self, scores: np.ndarray) -> None:
        """Keep the scores of a stretch that has ended."""
        kept, state = self.proc_params["kept"], self.proc_params["state"]
        kept[state[_STRETCHES] % len(kept)] = scores
        state[_STRETCHES] += 1


@register_model(StreamSource, *TAGS)
class PyStreamSource(_Stream, PyLoihiProcessModel):
    """Sends one time step in each spiking phase, if there is one."""

    def __init__(self, proc_params=None) -> None:
        super().__init__(proc_params)
        self._packet: Packet | None = None
        self._step, self._scores = 0, np.zeros(0)

    def run_spk(self) -> None:
        """Lava calls this in each spiking phase."""
        spikes, message = np.zeros(self.s_out.shape, np.int32), NO_SAMPLE.copy()
        self._advance(spikes, message)
        self.s_out.send(spikes)
        self.sample_out.send(message)
        scores, told = self.score_in.recv(), self.sample_in.recv()
        if told[START] and self._scores.size:
            self._keep(self._scores)
        if is_active(told):
            self._scores = scores
            self.proc_params["state"][_STEPS] += 1

    def _advance(self, spikes: np.ndarray, message: np.ndarray) -> None:
        """Write the next time step."""
        format = self.proc_params["format"]
        if self._packet is None and (packet := self.proc_params["queue"].get(_WAIT_SECONDS)) is not None:
            self._packet, self._step = unpack(packet, len(spikes), format), 0
        if self._packet is None:
            return
        events = self._packet.events
        write_step(spikes, events, self._step, format)
        message[:] = self._packet.start if self._step == 0 else 0, self._packet.label, UNKNOWN, ALL_ROWS
        self._step += 1
        if self._step == events.n_steps:
            self._packet = None


@register_model(StreamSource, *TAGS)
class PyStreamSourceAsync(_Stream, PyAsyncProcessModel):
    """Sends packets as they come, until the one after the last, and that too where the run is to stop."""

    def run_async(self) -> None:
        """Lava calls this once a run."""
        end, stretches = end_packet(self.packet_out.shape[0]), -1  # of the first one's start no end is told
        while True:
            self._hear()
            packet = self.proc_params["queue"].get(_WAIT_SECONDS)
            if packet is None and not self._is_over():
                continue
            packet = end if packet is None else packet
            self.packet_out.send(packet)
            stretches += bool(start_of(packet))
            if not packet.any():
                break
        while self.proc_params["state"][_STRETCHES] < stretches and not self._is_over():
            time.sleep(_POLL_SECONDS)
            self._hear()

    def _is_over(self) -> bool:
        return self.check_for_stop_cmd() or self.check_for_pause_cmd()

    def _hear(self) -> None:
        """Keep what has arrived."""
        while self.score_in.probe():
            self._keep(self.score_in.recv())
