"""EventSource: plays recordings into Lava."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from lava.magma.core.process.variable import Var

from tp_lava.checks import is_whole
from tp_lava.data.events import Events, check_events, check_samples
from tp_lava.errors import invalid
from tp_lava.numbers import Format
from tp_lava.parts.messages import NO_LABEL
from tp_lava.processes.source import Source


class EventSource(Source):
    """Plays samples one after the other; after the last it sends no spikes.

    samples: sequence of (Events, label), all of n_units units; labelled: whether the label goes with each sample,
    one bool or one per sample (unlabelled samples are inferred only); period: Lava steps that a time step takes, of which
    the first carries it; pause: silent time steps between two samples (not asynchronously); format: of graded input, the network's
    input_format.

    Ports: s_out (n_units,) the spikes of this step, of graded input their values as integers of the format, rounded; sample_out
    (4,) start of a sample (0/1), its label or -1, its steps left (1: this is the last, 0: no sample), target streams (0: all; -1:
    nothing happens in this step); packet_out, the same asynchronously, many steps in one message.
    Var: played (1,), samples played so far. Hardware: embedded processor or host.
    Raises InvalidValueError for no samples, values beyond the format, another number of flags, or a period or pause that is no
    integer >= 1 or >= 0.
    """

    def __init__(
        self,
        samples: Sequence[tuple[Events, int]],
        labelled: bool | Sequence[bool] = True,
        period: int = 1,
        pause: int = 0,
        format: Format | None = None,
        **parameters,
    ) -> None:
        check_samples(obj := "EventSource", samples)
        count = len(samples)
        flags = np.full(count, labelled, bool) if np.ndim(labelled) == 0 else np.asarray(labelled, bool)
        if flags.shape != (count,):
            raise invalid(obj, "labelled", f"{flags.size} flags", f"one bool or one per sample, {count}", "match the lengths")
        if not is_whole(period, 1):
            raise invalid(obj, "period", repr(period), "an integer of at least 1", "2 is what stock LearningDense needs")
        if not is_whole(pause, 0):
            raise invalid(obj, "pause", repr(pause), "an integer of at least 0", "0 presents one sample right after the other")
        n_units = samples[0][0].n_units
        for events, _ in samples:
            if events.is_graded:
                check_events(events, n_units, format)
        super().__init__(n_units, format, samples=samples, labelled=flags, period=int(period), pause=int(pause), **parameters)
        self.played = Var(shape=(1,), init=0)

    @property
    def steps(self) -> int:
        """Lava steps that all samples take, the pauses between them included."""
        samples, given = self.proc_params["samples"], self.proc_params
        return (sum(events.n_steps for events, _ in samples) + given["pause"] * (len(samples) - 1)) * given["period"]

    @staticmethod
    def label(sample: tuple[Events, int], labelled: bool) -> int:
        """The label sent with a sample."""
        return int(sample[1]) if labelled else NO_LABEL
