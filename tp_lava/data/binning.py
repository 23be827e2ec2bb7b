"""Events that arrive with times, batch after batch, as chunks of whole steps, with at most one unfinished step kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from tp_lava.checks import is_number, is_whole
from tp_lava.data.events import Events
from tp_lava.errors import invalid


class Arrival(NamedTuple):
    """times, units: of the events that have come since the arrival before, in any order; until: no later event comes from before this
    time, by default the latest event's, so that a sensor that sees nothing lets time pass.
    """

    times: np.ndarray
    units: np.ndarray
    until: float | None = None


def in_steps(arrivals: Iterable[Arrival | tuple], step: float, n_units: int, *, start: float = 0, most: int = 1000) -> Iterator[Events]:
    """Chunks for a stream, each of at most `most` steps, as soon as their steps are over; in the end the step that is not.

        step of an event = floor((time - start) / step)

    arrivals: Arrivals, or tuples (times, units) or (times, units, until); step: length of a step, and start: time of the first, in the
    unit of times, for example microseconds. Several events of a unit in one step are one spike.
    Raises InvalidValueError for events from before a step that is over, and as Events does.
    """
    if not is_number(step) or step <= 0:
        raise invalid("in_steps", "step", repr(step), "a number > 0", "give it in the unit of times, for example 1000 microseconds")
    if not is_whole(most, 1):
        raise invalid("in_steps", "most", repr(most), "an integer of at least 1", "1000 is usual")
    done, when, which = 0, np.zeros(0, np.int64), np.zeros(0, np.int64)
    for arrival in arrivals:
        times, units, until = Arrival(*arrival)
        steps = np.floor((np.asarray(times) - start) / step).astype(np.int64)
        if (steps < done).any():
            late = np.asarray(times)[steps < done][0]
            remedy = "sort the events, or give larger batches"
            raise invalid("in_steps", "times", f"{late}, late", f"at least {start + done * step:g}, for earlier steps are over", remedy)
        when, which = np.concatenate([when, steps]), np.concatenate([which, np.asarray(units)])
        over = int(when.max(initial=done)) if until is None else max(done, int((until - start) // step))
        while done < over:
            end = min(over, done + most)
            now = when < end
            yield Events(when[now] - done, which[now], end - done, n_units)
            when, which, done = when[~now], which[~now], end
    if when.size:
        yield Events(when - done, which, int(when.max()) - done + 1, n_units)
