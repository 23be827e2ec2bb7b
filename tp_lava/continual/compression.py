"""Samples as a few bytes, without loss: what a replay buffer holds.

Events lie in order of time and unit, so the number step * n_units + unit grows from event to event. A record is a row of unsigned
integers, seven bits a byte, the lowest first, the eighth bit set where more follow (LEB128):

    label, n_steps, kind, number of events, then of each event the growth of its number, less one
    of graded samples then the values, four bytes each; of a constant input the events of one step alone
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tp_lava.data.events import Events, Sample, values_of

_PLAIN, _GRADED, _CONSTANT = range(3)
_BITS = 7
_MORE = 1 << _BITS
_LIMITS = np.array([1 << (_BITS * n) for n in range(1, 9)], np.int64)


class _Header(NamedTuple):
    label: int
    n_steps: int
    kind: int
    n_events: int


def compress(sample: Sample) -> np.ndarray:
    """A sample as bytes. -> uint8 (n,)."""
    events, label = sample
    kind = _PLAIN if events.values is None else _CONSTANT if events.is_constant else _GRADED
    count = int(events.offsets[1]) if kind == _CONSTANT else len(events)
    places = events.times[:count].astype(np.int64) * events.n_units + events.units[:count]
    numbers = np.concatenate([_Header(label, events.n_steps, kind, count), np.diff(places, prepend=-1) - 1]).astype(np.int64)
    values = np.zeros(0, np.uint8) if kind == _PLAIN else values_of(events)[:count].astype("<f4").view(np.uint8)
    return np.concatenate([_as_bytes(numbers), values])


def decompress(record: np.ndarray, n_units: int) -> Sample:
    """The sample that compress made a record of. n_units: of its events. Raises ValueError for what compress cannot have made."""
    ends = np.flatnonzero(record[: 10 * len(_Header._fields)] < _MORE)[: len(_Header._fields)]
    if len(ends) < len(_Header._fields):
        raise ValueError(f"a record of {len(record)} bytes has no header")
    header = _Header(*map(int, _as_numbers(record[: ends[-1] + 1])))
    rest = record[ends[-1] + 1 :]
    plain, values = (
        (rest, None) if header.kind == _PLAIN else (rest[: len(rest) - 4 * header.n_events], rest[len(rest) - 4 * header.n_events :])
    )
    graded = None if values is None else values.copy().view("<f4")
    times, units = np.divmod(np.cumsum(_as_numbers(plain) + 1) - 1, n_units)
    if len(times) != header.n_events or (len(times) and times[-1] >= header.n_steps):
        raise ValueError(f"a record of {len(record)} bytes is no sample of {header.n_events} events in {header.n_steps} steps")
    if header.kind == _CONSTANT:
        picture = np.zeros(n_units, np.float32)
        picture[units] = graded
        return Sample(Events.constant(picture, header.n_steps), header.label)
    counts = np.bincount(times, minlength=header.n_steps)
    return Sample(Events.from_counts(counts, units, n_units, graded), header.label)


def _as_bytes(numbers: np.ndarray) -> np.ndarray:
    """Integers >= 0 as bytes, seven bits each."""
    sizes = 1 + np.searchsorted(_LIMITS, numbers, side="right")
    ends = np.cumsum(sizes)
    found = np.zeros(int(ends[-1]) if len(ends) else 0, np.uint8)
    for place in range(int(sizes.max(initial=0))):
        longer = sizes > place
        more = np.where(sizes[longer] > place + 1, _MORE, 0)
        found[ends[longer] - sizes[longer] + place] = ((numbers[longer] >> (_BITS * place)) & (_MORE - 1)) | more
    return found


def _as_numbers(record: np.ndarray) -> np.ndarray:
    """The inverse of _as_bytes. -> int64."""
    ends = np.flatnonzero(record < _MORE)
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    sizes, found = ends - starts + 1, np.zeros(len(ends), np.int64)
    for place in range(int(sizes.max(initial=0))):
        longer = sizes > place
        found[longer] |= (record[starts[longer] + place].astype(np.int64) & (_MORE - 1)) << (_BITS * place)
    return found
