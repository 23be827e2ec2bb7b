"""StreamSource: plays into Lava what its program pushes, and waits where there is nothing yet."""

from __future__ import annotations

import multiprocessing

import numpy as np

from tp_lava.numbers import Format
from tp_lava.processes.protocol import packet_size
from tp_lava.processes.source import AnsweredSource
from tp_lava.sharing import shared_array

CHANNEL = 64  # messages that a channel of Lava's holds before who sends has to wait


class PacketQueue:
    """A bounded queue of packets of `size` integers, from the program to a model in its own process; made before Lava forks."""

    def __init__(self, capacity: int, size: int) -> None:
        context = multiprocessing.get_context("fork")  # its semaphores leave no name behind
        self._free, self._filled = context.Semaphore(capacity), context.Semaphore(0)
        self._slots = shared_array((capacity, size), np.int32)
        self._number = 0  # of the next packet; each side counts its own

    def _slot(self) -> np.ndarray:
        self._number += 1
        return self._slots[(self._number - 1) % len(self._slots)]

    def put(self, packet: np.ndarray, seconds: float) -> bool:
        """-> whether there was room within so many seconds."""
        if not self._free.acquire(timeout=seconds):
            return False
        self._slot()[...] = packet
        self._filled.release()
        return True

    def get(self, seconds: float) -> np.ndarray | None:
        """A copy of the next packet; None if none came within so many seconds."""
        if not self._filled.acquire(timeout=seconds):
            return None
        packet = self._slot().copy()
        self._free.release()
        return packet


class StreamSource(AnsweredSource):
    """Plays packets of a sample that never ends, as they are put into its queue, and keeps the scores at the end of each stretch.

    n_units, n_classes: of the network; capacity: packets that wait before who puts them has to wait too; format: of graded input.
    Ports: s_out, sample_out, packet_out as EventSource; score_in (n_classes,) and sample_in (4,) as ScoreSink, which it replaces.
    While the queue is empty it waits, or, step by step, sends messages by which nothing happens. Hardware: host.
    """

    def __init__(self, n_units: int, n_classes: int, capacity: int, format: Format | None = None, **parameters) -> None:
        queue = PacketQueue(capacity, packet_size(n_units, format))
        shared = {"kept": shared_array((capacity + 2 * CHANNEL, n_classes), np.float64), "state": shared_array((2,), np.int64)}
        super().__init__(n_units, n_classes, format, queue=queue, **shared, **parameters)

    @property
    def queue(self) -> PacketQueue:
        """What it plays."""
        return self.proc_params["queue"]

    @property
    def steps(self) -> int:
        """Time steps whose scores it has heard; step by step only."""
        return int(self.proc_params["state"][0])

    @property
    def stretches(self) -> int:
        """Stretches whose scores it has heard."""
        return int(self.proc_params["state"][1])

    def scores(self, number: int) -> np.ndarray:
        """(n_classes,) float64, as they arrived, of one of the last `capacity` stretches."""
        kept = self.proc_params["kept"]
        return kept[number % len(kept)].copy()
