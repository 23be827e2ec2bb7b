"""FeedbackSource: plays recordings into Lava, and hears the scores before it plays the next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tp_lava.continual.presenter import Presenter, Round
from tp_lava.numbers import Format
from tp_lava.processes.source import AnsweredSource
from tp_lava.sharing import shared_array


class FeedbackSource(AnsweredSource):
    """Plays what a presenter says, given the scores of what it has played: an unlabelled sample first, then perhaps with its label.

    presenter, rounds: see tp_lava.continual.presenter; n_units, n_classes: of the network; period, pause, format: as of EventSource.
    Ports: s_out, sample_out, packet_out as EventSource; score_in (n_classes,) and sample_in (4,) as ScoreSink, which it replaces.
    Between two samples it waits for the scores of the first; where the host has something to do, a pull of an anchor or what the end of a
    round asks for, it waits for `resume`, step by step, or ends the asynchronous run. Hardware: embedded processor or host.
    """

    def __init__(
        self,
        presenter: Presenter,
        rounds: Sequence[Round],
        n_units: int,
        n_classes: int,
        period: int = 1,
        pause: int = 0,
        format: Format | None = None,
        **parameters,
    ) -> None:
        most = presenter.most(rounds)
        shared = {"kept": shared_array((most, n_classes), np.float64), "state": shared_array((2,), np.int64)}
        timing = {"period": int(period), "pause": int(pause)}
        super().__init__(n_units, n_classes, format, presenter=presenter, rounds=rounds, **shared, **timing, **parameters)

    @property
    def done(self) -> int:
        """Presentations finished so far."""
        return int(self.proc_params["state"][0])

    @property
    def waits(self) -> bool:
        """Whether the host has something to do, and nothing is played before `resume`."""
        return bool(self.proc_params["state"][1])

    def resume(self) -> None:
        """It is done."""
        self.proc_params["state"][1] = 0

    def score(self, number: int) -> np.ndarray:
        """(n_classes,) float64, of one presentation."""
        return self.proc_params["kept"][number].copy()

    @property
    def scores(self) -> np.ndarray:
        """(done, n_classes) float64, in the units that arrive (mantissas in fixed point), of each presentation."""
        return self.proc_params["kept"][: self.done].copy()
