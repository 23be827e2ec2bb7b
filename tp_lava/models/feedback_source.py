"""Models of FeedbackSource: one time step at a time, or packets of many. The same in every number system."""

from __future__ import annotations

import numpy as np
from lava.magma.core.model.py.model import PyAsyncProcessModel, PyLoihiProcessModel

from tp_lava.continual.presenter import Presentation, following
from tp_lava.lava.hardware import TAGS
from tp_lava.models.register import register_model
from tp_lava.models.sources import AnsweredSourceModel, write_step
from tp_lava.parts.messages import ALL_ROWS, LAST_STEP, LEFT, NO_LABEL, NO_SAMPLE
from tp_lava.processes.feedback_source import FeedbackSource
from tp_lava.processes.protocol import end_packet, packets

_DONE, _WAITS = range(2)  # places in the shared state


class _Feedback(AnsweredSourceModel):
    """What both models share: where the presenter stands."""

    def __init__(self, proc_params=None) -> None:
        super().__init__(proc_params)  # type: ignore[call-arg]
        self._steps = proc_params["presenter"].play(proc_params["rounds"])
        self._go_on(None)

    def _go_on(self, answer: np.ndarray | None) -> None:
        """To what comes after an answer."""
        self._now = following(self._steps, answer)
        self.proc_params["state"][_WAITS] = not isinstance(self._now, Presentation)

    def _answered(self, scores: np.ndarray) -> None:
        """Keep the scores of a presentation, and go on."""
        state = self.proc_params["state"]
        self.proc_params["kept"][state[_DONE]] = scores
        self._go_on(self.proc_params["kept"][state[_DONE]].copy())
        state[_DONE] += 1

    def _after_wait(self) -> None:
        """Go on once the host has done its part."""
        if not isinstance(self._now, Presentation) and not self.proc_params["state"][_WAITS]:
            self._go_on(None)


def _label(presentation: Presentation) -> int:
    return int(presentation.sample.label) if presentation.learns else NO_LABEL


@register_model(FeedbackSource, *TAGS)
class PyFeedbackSource(_Feedback, PyLoihiProcessModel):
    """Sends one time step of the present sample in each spiking phase, and none until its scores have come."""

    def __init__(self, proc_params=None) -> None:
        super().__init__(proc_params)
        self._step, self._pause_left, self._sent = 0, 0, False

    def run_spk(self) -> None:
        """Lava calls this in each spiking phase."""
        self._after_wait()
        spikes, message = np.zeros(self.s_out.shape, np.int32), NO_SAMPLE.copy()
        if (self.time_step - 1) % self.proc_params["period"] == 0:
            self._advance(spikes, message)
        self.s_out.send(spikes)
        self.sample_out.send(message)
        scores, told = self.score_in.recv(), self.sample_in.recv()
        if told[LEFT] == LAST_STEP:
            self._sent = False
            self._answered(scores)

    def _advance(self, spikes: np.ndarray, message: np.ndarray) -> None:
        """Write the next time step, unless a sample's scores are still to come, or its pause."""
        if self._pause_left > 0:
            self._pause_left -= 1
            return
        if self._sent or not isinstance(self._now, Presentation):
            return
        events, format = self._now.sample.events, self.proc_params["format"]
        write_step(spikes, events, self._step, format)
        left = events.n_steps - self._step
        message[:] = self._step == 0, _label(self._now), left, ALL_ROWS
        self._step += 1
        if left == LAST_STEP:
            self._step, self._sent, self._pause_left = 0, True, self.proc_params["pause"]


@register_model(FeedbackSource, *TAGS)
class PyFeedbackSourceAsync(_Feedback, PyAsyncProcessModel):
    """Sends a sample, receives its scores, and so on; where it waits for the host, the end."""

    def run_async(self) -> None:
        """Lava calls this once a run."""
        size, format = self.packet_out.shape[0], self.proc_params["format"]
        self._after_wait()
        while isinstance(self._now, Presentation):
            for packet in packets(self._now.sample.events, _label(self._now), size, format):
                if self.check_for_stop_cmd():
                    return
                self.packet_out.send(packet)
            self._answered(self.score_in.recv())
        self.packet_out.send(end_packet(size))
