"""What travels between EventSource, OnChipLearner and ScoreSink beside spikes: the layout of their messages.

Step by step, a sample message goes with every time step: (start, label, steps left, target streams in use or IDLE).
Asynchronously, a packet holds a stretch of one sample: header, events per step, then the units of all steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tp_lava.circuit.operations import NO_END
from tp_lava.data.events import Events

NO_LABEL = -1
START, LABEL, LEFT, STREAMS = range(4)  # places in a sample message
SAMPLE_SIZE = 4
LAST_STEP, UNKNOWN = 1, 0  # steps left of a sample, this one among them: it is the last; not told, or there is no sample
ALL_STREAMS, IDLE = 0, -1  # target streams: as many as there are; nothing happens in this step, all states stay


def _message(*values: int) -> np.ndarray:
    message = np.array(values, np.int32)
    message.flags.writeable = False
    return message


NO_SAMPLE = _message(0, NO_LABEL, UNKNOWN, IDLE)  # before, between and after samples
FREE_RUN = _message(0, NO_LABEL, UNKNOWN, ALL_STREAMS)  # where nobody sends sample messages: no sample ever starts or is learned


def steps_left(told: int) -> int:
    """What STEPS_LEFT holds before a step whose message has `told` for LEFT."""
    return NO_END if told == UNKNOWN else told


_KIND, _P_LABEL, _P_START, _P_LEFT, _P_STEPS, _HEADER = range(6)
_END, _EVENTS = 0, 1
PACKET_SIZE = 8192  # integers; about two packets for an N-MNIST recording


class Packet(NamedTuple):
    """A stretch of a sample: whether it starts it, its label, its events, and how many steps of the sample are left with it."""

    start: bool
    label: int
    events: Events
    left: int

    @property
    def last(self) -> bool:
        """Whether it ends the sample."""
        return self.left == self.events.n_steps


def packet_size(n_units: int) -> int:
    """Integers in a packet: any single step must fit."""
    return max(PACKET_SIZE, _HEADER + 1 + n_units)


def end_packet(size: int) -> np.ndarray:
    """Says that nothing follows."""
    packet = np.zeros(size, np.int32)
    packet[_KIND] = _END
    return packet


def packets(events: Events, label: int, size: int) -> Iterator[np.ndarray]:
    """A sample as packets of `size` integers, each as many steps as fit."""
    begin, counts = 0, np.diff(events.offsets)
    filled = np.cumsum(counts + 1)
    while begin < events.n_steps:
        base = filled[begin - 1] if begin else 0
        end = int(np.searchsorted(filled, base + size - _HEADER, side="right"))
        packet = np.zeros(size, np.int32)
        packet[:_HEADER] = (_EVENTS, label, begin == 0, events.n_steps - begin, end - begin)
        packet[_HEADER : _HEADER + end - begin] = counts[begin:end]
        units = events.units[events.offsets[begin] : events.offsets[end]]
        packet[_HEADER + end - begin : _HEADER + end - begin + units.size] = units
        yield packet
        begin = end


def unpack(packet: np.ndarray, n_units: int) -> Packet | None:
    """The contents of a packet, or None at the end."""
    if packet[_KIND] == _END:
        return None
    steps = int(packet[_P_STEPS])
    counts = packet[_HEADER : _HEADER + steps]
    units = packet[_HEADER + steps : _HEADER + steps + counts.sum()]
    events = Events.from_counts(counts, units, n_units)
    return Packet(bool(packet[_P_START]), int(packet[_P_LABEL]), events, int(packet[_P_LEFT]))
