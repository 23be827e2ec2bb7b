"""Sessions that are open when the program ends: by SIGTERM, or without having left them.

SIGTERM then ends their processes and shared memory, and the program as it does by default. A handler of the user's
own stays in charge; a session it leaves by an exception closes as after any exception. After SIGKILL the children die
with their parent, and multiprocessing's resource tracker removes the shared memory.
"""

from __future__ import annotations

import _thread
import atexit
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Protocol

_LONGEST_SECONDS = 5.0


class Endable(Protocol):
    """Something that a dying program must not leave behind."""

    owner: int

    def end_now(self) -> None:
        """End it, without regard for what it was doing."""
        ...


_open: list[Endable] = []


def opened(session: Endable) -> None:
    """From now until `closed`, the session ends with the program."""
    _open.append(session)
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)


def closed(session: Endable) -> None:
    """The session has ended; with the last one, SIGTERM is again what it was."""
    if session in _open:
        _open.remove(session)
    in_main = threading.current_thread() is threading.main_thread()
    if not _open and in_main and signal.getsignal(signal.SIGTERM) is _on_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def interrupts_kept() -> Iterator[Callable[[], None]]:
    """Ctrl-C in this block waits for its end, or for a call of what it gives; a second one does not wait.

    For forking: Python drops a KeyboardInterrupt raised in what it calls around a fork, and a child just forked that
    it does not know yet would survive.
    """
    previous, seen = signal.getsignal(signal.SIGINT), []

    def note(signum: int, frame: FrameType | None) -> None:
        seen.append(signum)
        if len(seen) > 1:
            signal.default_int_handler(signum, frame)

    def raise_now() -> None:
        if seen:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread() or previous is not signal.default_int_handler:
        yield raise_now
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield raise_now
    finally:
        signal.signal(signal.SIGINT, previous)
    raise_now()


def _on_sigterm(signum: int, frame: object) -> None:
    """End in a thread of its own, as the one interrupted here may hold a lock; then terminate as by default."""
    over = _thread.allocate_lock()
    over.acquire()

    def end() -> None:
        try:
            _end_all()
        finally:
            over.release()

    _thread.start_new_thread(end, ())
    over.acquire(timeout=_LONGEST_SECONDS)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def _end_all() -> None:
    for session in list(_open):
        if session.owner == os.getpid():  # a child that the user forked has a copy of the list
            with suppress(Exception):
                session.end_now()


atexit.register(_end_all)  # before multiprocessing's own, which would wait for the children for ever
