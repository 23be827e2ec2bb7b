"""What the parent and the model of a running Process share beside the arrays: a lock around each time step, and counters."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import numpy as np

from tp_lava.circuit import Buffer
from tp_lava.sharing import shared_array

MAX_SCALARS = 8


class Simulator(Protocol):
    """What computes behind a Process, a Learner or a Part: named arrays, their formats, and a way to share them with children."""

    @property
    def buffers(self) -> Mapping[str, Buffer]:
        """Axes, role and number format of every array."""

    @property
    def memory(self) -> Mapping[str, np.ndarray]:
        """The arrays, live."""

    def share(self) -> None:
        """Move the arrays into memory that processes forked from now on share with this one."""


class SharedState:
    """Lock and counters of one running Process. Made before the fork, locked.

    steps (1,): time steps computed; restores (1,): times its arrays were restored; scalars (MAX_SCALARS,): integers of
    the simulator that are in none of its arrays, which set_scalars(simulator, scalars) gives back to it; variables: Vars
    that are not buffers of the simulator. All in memory that parent and child share.
    """

    def __init__(self, set_scalars: Callable[[Any, Sequence[int]], None]) -> None:
        context = multiprocessing.get_context("fork")  # its locks leave no name behind
        self._queue, self._lock = context.Lock(), context.Lock()
        self._lock.acquire()  # the model releases it once its Vars have their first values
        self.steps, self.restores = shared_array((1,), np.int64), shared_array((1,), np.int64)
        self.scalars, self._set_scalars = shared_array((MAX_SCALARS,), np.int64), set_scalars
        self.variables: dict[str, np.ndarray] = {}

    def begin_step(self) -> None:
        """Lock for the model; a reader that waits goes first."""
        with self._queue:
            pass
        self._lock.acquire()

    def end_step(self) -> None:
        """Release what begin_step locked."""
        self._lock.release()

    def load_scalars(self, simulator: Any) -> None:
        """Give the scalars to a simulator, in this process or the child."""
        self._set_scalars(simulator, [int(value) for value in self.scalars])

    def restored(self, simulator: Any) -> None:
        """In the parent, after arrays and scalars were restored: have its simulator and the child's load the scalars."""
        self.restores[0] += 1
        self.load_scalars(simulator)

    @contextmanager
    def between_steps(self, seconds: float) -> Iterator[bool]:
        """Keep the model from starting a step. -> False if it was in a step for so many seconds."""
        deadline = time.monotonic() + seconds
        with ExitStack() as stack:
            yield all(_acquire(stack, lock, deadline - time.monotonic()) for lock in (self._queue, self._lock))


def _acquire(stack: ExitStack, lock: Any, seconds: float) -> bool:
    """Acquire a lock until the stack is left. -> whether it was free in time."""
    acquired = lock.acquire(timeout=max(0.0, seconds))
    if acquired:
        stack.callback(lock.release)
    return acquired
