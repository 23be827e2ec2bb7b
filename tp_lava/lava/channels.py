"""Lava's channels without threads: a model that receives from one port after the other waits for a channel itself.

Lava has a thread at each end of a channel, which turns a semaphore of two processes into a queue within one, for models that wait for
several channels at once. That wakes two threads more for every message. The other end of a channel may be Lava's own: both ends use the
same semaphores and the same memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.compiler.channels.pypychannel import CspRecvPort, CspSendPort
from lava.magma.core.model.py.ports import AbstractPyIOPort, PyInPort


class WithoutThreads:
    """Mixin of a ProcessModel: the channels of its InPorts and OutPorts have no threads. Those of its RefPorts and VarPorts do."""

    py_ports: list[Any]

    def start(self) -> None:
        """Lava calls this once, in the child; it ends with the network."""
        for port in self.py_ports:
            for end in port.csp_ports if isinstance(port, AbstractPyIOPort) else ():
                end.__class__ = {CspSendPort: _SendPort, CspRecvPort: _ReceivePort}.get(type(end), type(end))
        super().start()  # type: ignore[misc]


def received(port: PyInPort) -> np.ndarray:
    """What arrives next. Lava adds up what comes from each port connected, beginning with zeros, also where it is one: that takes as long
    as all else.
    """
    if len(port.csp_ports) != 1:
        return port.recv()
    (end,) = port.csp_ports
    return port._transformer.transform(end.recv(), end)


class _SendPort(CspSendPort):
    def start(self) -> None:
        """Lava calls this once, in the child."""
        self._array, self._semaphore = _slots(self), _Room(self._size, self._ack)


class _ReceivePort(CspRecvPort):
    def start(self) -> None:
        """Lava calls this once, in the child."""
        self._array, self._queue = _slots(self), _Arrivals(self._req)


class _Room:
    """Stands for the semaphore that a thread would release for each acknowledged message. size: messages that a channel holds."""

    def __init__(self, size: int, acknowledged: Any) -> None:
        self._free, self._acknowledged = size, acknowledged

    def acquire(self, blocking: bool = True) -> bool:
        """Take room for a message: what was free at first, then what is acknowledged."""
        if self._free:
            self._free -= 1
            return True
        return self._acknowledged.acquire(blocking)

    def release(self) -> None:
        """Give it back."""
        self._free += 1


class _Arrivals:
    """Stands for the queue into which a thread would put each message that has arrived."""

    def __init__(self, arrived: Any) -> None:
        self._arrived = arrived

    def get(self, peek: bool = False) -> None:
        """Wait for a message. peek: leave it there."""
        self._arrived.acquire()
        if peek:
            self._arrived.release()

    def qsize(self) -> int:
        """Messages that have arrived."""
        return self._arrived.get_value()


def _slots(port: CspSendPort | CspRecvPort) -> list[np.ndarray]:
    """The places for messages in the memory that both ends share."""
    n_bytes = port._nbytes
    return [np.ndarray(port.shape, port.d_type, port._shm.buf[n_bytes * i : n_bytes * (i + 1)]) for i in range(port.size)]
