"""What the parent and the model of a running Process share beside the arrays: a lock around each time step, and a count of steps."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import numpy as np

from tp_lava.circuit import Buffer
from tp_lava.sharing import shared_array


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
    """Lock and step counter of one running Process. Made before the fork, locked.

    steps (1,): time steps computed; variables: Vars that are not buffers of the simulator. In memory that parent and child share.
    """

    def __init__(self) -> None:
        context = multiprocessing.get_context("fork")  # its locks leave no name behind
        self._queue, self._lock = context.Lock(), context.Lock()
        self._lock.acquire()  # the model releases it once its Vars have their first values
        self.steps = shared_array((1,), np.int64)
        self.variables: dict[str, np.ndarray] = {}

    def begin_step(self) -> None:
        """Lock for the model; a reader that waits goes first."""
        with self._queue:
            pass
        self._lock.acquire()

    def end_step(self) -> None:
        """Release what begin_step locked."""
        self._lock.release()

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
