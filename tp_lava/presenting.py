"""Samples one after the other: as many in one call of compiled code as take about 0.05 s, so that Ctrl-C and progress wait no longer.

How many that are changes no result: each sample begins, runs and ends as if it were alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tp_lava.circuit import names
from tp_lava.circuit.circuit import Circuit
from tp_lava.circuit.operations import NO_END
from tp_lava.data.events import Events
from tp_lava.engine import Engine
from tp_lava.outcome import Outcome

_SECONDS = 0.05  # of one call
_LARGEST = 1 << 20  # steps and events of one call, since they are copied for it


class Pace:
    """How much takes about _SECONDS. Attribute most: of the next call."""

    def __init__(self, first: int = 8, largest: int = NO_END) -> None:
        self.most, self._largest = first, largest

    def told(self, made: int, begun: float) -> None:
        """So much was made in one call since then, by time.perf_counter."""
        seconds = time.perf_counter() - begun
        if seconds > _SECONDS:
            self.most = max(1, int(made * _SECONDS / seconds))
        elif made >= self.most:
            self.most = min(self._largest, 2 * self.most)


class Call(NamedTuple):
    """Samples and their labels, if they have any; size: how many at a time are presented side by side."""

    events: Sequence[Events]
    labels: Sequence[int]
    size: int = 1


def in_calls(samples: Iterable[tuple[Events, int]], size: int = 1, most: Callable[[], int | None] = lambda: None) -> Iterator[Call]:
    """Samples, so many as one call takes; the last ones may be fewer than `size` side by side.

    most: samples of the next call, at most; None: any number. What comes before a sample that cannot be made is yielded first.
    """
    pace, made, longest = Pace(1, _LARGEST), 0, most()
    events, labels = list[Events](), list[int]()
    try:
        for each, label in samples:
            if (made >= pace.most or len(events) == longest) and events and not len(events) % size:
                begun = time.perf_counter()
                yield Call(events, labels, size)
                pace.told(made, begun)
                events, labels, made, longest = [], [], 0, most()
            events.append(each)
            labels.append(label)
            made += each.n_steps + len(each.units)
    except Exception:
        yield from _last(events, labels, size)
        raise
    yield from _last(events, labels, size)


def _last(events: Sequence[Events], labels: Sequence[int], size: int) -> Iterator[Call]:
    whole = len(events) - len(events) % size
    if whole:
        yield Call(events[:whole], labels[:whole], size)
    if whole < len(events):
        yield Call(events[whole:], labels[whole:], len(events) - whole)


class Kept(NamedTuple):
    """What is left of samples: their readouts as memory has them, and counts of spikes by population, a row for each sample."""

    circuit: Circuit
    scores: np.ndarray
    totals: Sequence[np.ndarray]

    def outcomes(self) -> list[Outcome]:
        """Of each sample."""
        said, best = self.circuit.buffers[names.SCORE].decode(self.scores), self.scores.argmax(axis=1).tolist()
        return [Outcome(said[row], prediction, tuple(counts[row] for counts in self.totals)) for row, prediction in enumerate(best)]

    def n_right(self, labels: Sequence[int]) -> int:
        """How many of the samples were told right."""
        return sum(prediction == label for prediction, label in zip(self.scores.argmax(axis=1).tolist(), labels, strict=True))


def advance(engine: Engine, events: Events, values: np.ndarray | None, pace: Pace) -> None:
    """The next steps of the sample begun last, in several calls where they take long. values: of graded input."""
    offsets, begin = events.offsets[np.newaxis], 0
    while begin < events.n_steps:
        end, begun = min(begin + pace.most, events.n_steps), time.perf_counter()
        engine.run(offsets, events.units, begin, end, values, events.is_constant)
        pace.told(end - begin, begun)
        begin = end


def present(engine: Engine, call: Call, counts: bool = True) -> Kept:
    """Present samples one after the other. counts: of spikes are wanted."""
    wanted = engine.told if counts else engine.told[:1]
    scores, *totals = engine.present(call.events, call.labels, call.size, wanted)
    return Kept(engine.circuit, _rows(scores), [_rows(counts) for counts in totals])


def present_state(engine: Engine) -> Kept:
    """The same of the sample begun last, as it stands."""
    scores, *totals = (engine.memory[name].copy() for name in engine.told)
    return Kept(engine.circuit, scores, totals)


def joined(kept: Sequence[Kept]) -> Kept:
    """Of samples that followed one another."""
    totals = [np.concatenate(counts) for counts in zip(*(each.totals for each in kept), strict=True)]
    return Kept(kept[0].circuit, np.concatenate([each.scores for each in kept]), totals)


def _rows(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1, array.shape[-1])


def n_samples(call: Call) -> int:
    """Of a call."""
    return len(call.events)
