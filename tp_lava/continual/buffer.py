"""The replay buffer: compressed samples, as many of each class as their number allows, chosen by counted random numbers.

A new sample takes a free place. Without one it takes that of a sample of the largest class, unless its own class is or once was the
largest: then it takes one of its own class's, with probability (kept of the class) / (seen of the class), which makes the kept ones
a uniform sample of those seen. Source: Chrysakis and Moens 2020, "Online continual learning from imbalanced data".

Samples are compressed without loss. Events lie in order of time and unit, so the number step * n_units + unit grows from event to event. A
record is a row of unsigned integers, seven bits a byte, the lowest first, the eighth bit set where more follow (LEB128):

    label, n_steps, kind, number of events, then of each event the growth of its number, less one
    of graded samples then the values, four bytes each; of a constant input the events of one step alone
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from tp_lava.continual.settings import Replay
from tp_lava.data.events import Events, Sample, values_of
from tp_lava.numbers import mix, seed_key

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


_STREAM = 0x7265706C  # keeps these random numbers apart from other uses of the seed


class ReplayBuffer:
    """Samples kept for replay. settings: its bounds; n_units: inputs of the network; seed: of every choice."""

    def __init__(self, settings: Replay, n_units: int, seed: int) -> None:
        self.settings, self.n_units = settings, n_units
        self._key = mix(np.array([seed_key(seed)], np.uint32), np.array([_STREAM], np.uint32))
        self._seed, self._draws = seed, 0
        self._records: list[np.ndarray] = []
        self._labels: list[int] = []
        self._seen: dict[int, int] = {}  # class -> samples offered so far
        self._full: set[int] = set()  # classes that are or once were the largest of a full buffer
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._records)

    @property
    def samples(self) -> list[Sample]:
        """All that it holds, decompressed."""
        return [decompress(record, self.n_units) for record in self._records]

    @property
    def labels(self) -> list[int]:
        """Their classes."""
        return list(self._labels)

    def offer(self, sample: Sample) -> bool:
        """Keep a sample, or let it pass. -> whether it is kept."""
        record, label = compress(sample), int(sample.label)
        self._seen[label] = self._seen.get(label, 0) + 1
        if self.settings.bytes is not None and len(record) > self.settings.bytes:
            return False
        if not self._has_room(len(record)):
            victims = self._victims(label)
            if victims is None:
                return False
            while not self._has_room(len(record)):
                self._evict(victims)
                victims = victims if victims in self._labels else self._largest()
        self._records.append(record)
        self._labels.append(label)
        self.bytes += len(record)
        return True

    def draw(self, count: int) -> list[Sample]:
        """So many samples, see Replay.balanced; none of an empty buffer."""
        if not self._records:
            return []
        return [self._varied(decompress(self._records[self._drawn()], self.n_units)) for _ in range(count)]

    # Inside -----------------------------------------------------------------------------------
    def _varied(self, sample: Sample) -> Sample:
        """The sample just drawn, as Replay.augmentation has it; the number of draws so far makes it another one each time."""
        by = self.settings.augmentation
        return sample if by is None else Sample(by.applied(sample.events, self._seed, _STREAM, self._draws), sample.label)

    def _drawn(self) -> int:
        """The place of a sample to replay: any one, or any one of a class that is any one."""
        if not self.settings.balanced:
            return self._below(len(self._records))
        classes = sorted(set(self._labels))
        chosen = classes[self._below(len(classes))]
        places = [place for place, label in enumerate(self._labels) if label == chosen]
        return places[self._below(len(places))]

    def _has_room(self, size: int) -> bool:
        most, limit = self.settings.size, self.settings.bytes
        return (most is None or len(self) < most) and (limit is None or self.bytes + size <= limit)

    def _victims(self, label: int) -> int | None:
        """The class that has to give up a place for a sample of class `label`; None: the sample passes."""
        largest = self._largest()
        self._full.add(largest)
        if label not in self._full:
            return largest
        held = self._labels.count(label)
        return label if self._below(self._seen[label]) < held else None

    def _largest(self) -> int:
        """The class with most samples, of several the smallest number."""
        classes, counts = np.unique(self._labels, return_counts=True)
        return int(classes[np.argmax(counts)])

    def _evict(self, label: int) -> None:
        places = [place for place, other in enumerate(self._labels) if other == label]
        place = places[self._below(len(places))]
        self.bytes -= len(self._records.pop(place))
        del self._labels[place]

    def _below(self, bound: int) -> int:
        """The next random integer in [0, bound)."""
        word = int(mix(self._key, np.array([self._draws & 0xFFFFFFFF], np.uint32))[0])
        self._draws += 1
        return word * bound >> 32

    # Files ------------------------------------------------------------------------------------
    def arrays(self) -> dict[str, np.ndarray]:
        """Everything, as arrays."""
        classes = sorted(self._seen)
        return {
            "records": np.concatenate([np.zeros(0, np.uint8), *self._records]),
            "sizes": np.array([len(record) for record in self._records], np.int64),
            "classes": np.array(classes, np.int64),
            "seen": np.array([self._seen[label] for label in classes], np.int64),
            "full": np.array(sorted(self._full), np.int64),
            "draws": np.array([self._draws], np.int64),
        }

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Become what arrays() told. Raises ValueError for damaged records."""
        self._records = np.split(arrays["records"], np.cumsum(arrays["sizes"]))[: len(arrays["sizes"])]
        self._labels = [decompress(record, self.n_units).label for record in self._records]
        self._seen = dict(zip(arrays["classes"].tolist(), arrays["seen"].tolist(), strict=True))
        self._full, self._draws = set(arrays["full"].tolist()), int(arrays["draws"][0])
        self.bytes = int(arrays["sizes"].sum())
