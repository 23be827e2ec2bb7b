"""Layout of the packets between EventSource and OnChipLearner where they run asynchronously: many steps of one sample.

A packet is a header, where the events of each step begin and those of the last end, then the units of all these events and, of graded
input, their values as integers of its format. Step by step, spikes and sample messages (tp_lava.parts.messages) travel instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tp_lava.data.events import Events, values_of
from tp_lava.numbers import Format
from tp_lava.parts.messages import BEGINS, UNKNOWN

_LABEL, _START, _LEFT, _STEPS, _HEADER = range(5)  # places in a packet, and the size of its header
PACKET_SIZE = 8192  # integers; about two packets for an N-MNIST recording


class Packet(NamedTuple):
    """Consecutive steps of a sample. start: BEGINS, one of GOES_ON (see parts/messages.py), or 0; left: steps of the sample that are
    left, these among them, or UNKNOWN.
    """

    start: int
    label: int
    events: Events
    left: int

    @property
    def last(self) -> bool:
        """Whether it ends the sample."""
        return self.left == self.events.n_steps


def packet_size(n_units: int, format: Format | None) -> int:
    """Integers in a packet: any single step must fit. format: of the values of graded input."""
    return max(PACKET_SIZE, _HEADER + 2 + n_units * (2 if format else 1))


def end_packet(size: int) -> np.ndarray:
    """The packet after the last: it has no steps."""
    return np.zeros(size, np.int32)


def packets(
    events: Events, label: int, size: int, format: Format | None, start: int = BEGINS, *, ends: bool = True
) -> Iterator[np.ndarray]:
    """A sample, or a part of one, as packets of `size` integers, each with as many steps as fit.

    start: of the first packet, see Packet; ends: whether the sample ends with these events.
    """
    begin, offsets = 0, events.offsets
    columns = [events.units, *([format.quantise(values_of(events))] if format else [])]
    filled = np.cumsum(np.diff(offsets) * len(columns) + 1)
    while begin < events.n_steps:
        base = filled[begin - 1] if begin else 0
        end = int(np.searchsorted(filled, base + size - _HEADER - 1, side="right"))
        here = slice(offsets[begin], offsets[end])
        header = (label, start if begin == 0 else 0, events.n_steps - begin if ends else UNKNOWN, end - begin)
        content = np.concatenate([header, offsets[begin : end + 1] - offsets[begin], *(column[here] for column in columns)])
        packet = np.zeros(size, np.int32)
        packet[: content.size] = content
        yield packet
        begin = end


def start_of(packet: np.ndarray) -> int:
    """What `start` of a packet is."""
    return int(packet[_START])


def unpack(packet: np.ndarray, n_units: int, format: Format | None) -> Packet | None:
    """The contents of a packet, or None for the one after the last."""
    steps = int(packet[_STEPS])
    if steps == 0:
        return None
    first = _HEADER + steps + 1  # of the units
    offsets, count = packet[_HEADER:first], int(packet[first - 1])
    values = format.real(packet[first + count : first + 2 * count]).astype(np.float32) if format else None
    events = Events.from_offsets(offsets, packet[first : first + count], n_units, values)
    return Packet(int(packet[_START]), int(packet[_LABEL]), events, int(packet[_LEFT]))
