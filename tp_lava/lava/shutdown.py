"""Ends the sessions that are open when the program ends: by SIGTERM, or without having left them.

SIGTERM then ends their processes and shared memory, and the program as it does by default. A SIGTERM handler of the user's
stays in place; a session that it leaves by an exception closes as after any exception. After SIGKILL the children die
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
from typing import Any

_LONGEST_SECONDS = 5.0

_open: dict[object, tuple[int, Callable[[], None]]] = {}  # session -> process that opened it, and what ends it at once


def register(session: object, end_now: Callable[[], None]) -> None:
    """From now until unregister, call end_now when the program ends."""
    _open[session] = os.getpid(), end_now
    _replace_sigterm_handler(signal.SIG_DFL, _on_sigterm)


def unregister(session: object) -> None:
    """The session has ended; after the last one, SIGTERM has its default action again."""
    _open.pop(session, None)
    if not _open:
        _replace_sigterm_handler(_on_sigterm, signal.SIG_DFL)


def _replace_sigterm_handler(present: Any, handler: Any) -> None:
    """Set the handler if the present one is as given; only the main thread may."""
    if _in_main_thread() and signal.getsignal(signal.SIGTERM) is present:
        signal.signal(signal.SIGTERM, handler)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextmanager
def interrupts_deferred() -> Iterator[Callable[[], None]]:
    """Defer Ctrl-C to the end of this block, or to a call of what it yields; a second Ctrl-C acts at once.

    For forking: Python drops a KeyboardInterrupt raised in its callbacks around a fork, and a child just forked that
    Python does not know yet would survive.
    """
    previous, seen = signal.getsignal(signal.SIGINT), []

    def note(signum: int, frame: FrameType | None) -> None:
        seen.append(signum)
        if len(seen) > 1:
            signal.default_int_handler(signum, frame)

    def raise_now() -> None:
        if seen:
            raise KeyboardInterrupt

    if not _in_main_thread() or previous is not signal.default_int_handler:
        yield raise_now
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield raise_now
    finally:
        signal.signal(signal.SIGINT, previous)
    raise_now()


def _on_sigterm(signum: int, frame: object) -> None:
    """End the sessions in another thread, as the one interrupted here may hold a lock; then terminate as by default."""
    finished = _thread.allocate_lock()
    finished.acquire()

    def end() -> None:
        try:
            _end_all()
        finally:
            finished.release()

    _thread.start_new_thread(end, ())
    finished.acquire(timeout=_LONGEST_SECONDS)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def _end_all() -> None:
    for process, end_now in list(_open.values()):
        if process == os.getpid():  # a child that the user forked has a copy of _open
            with suppress(Exception):
                end_now()


atexit.register(_end_all)  # before multiprocessing's own, which would wait for the children for ever
