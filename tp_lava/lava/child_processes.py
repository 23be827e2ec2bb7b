"""The processes that Lava forks for a session: they die with their parent, and report what ended them.

All changes to Lava's classes are made in the child, just after the fork; the parent's Lava stays as it is.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from tp_lava.errors import LavaRunError

_PR_SET_PDEATHSIG = 1
_LARGEST_REPORT = 16384  # bytes; more than a pipe holds would block the child, and whoever waits for it
_REPORT_SECONDS = 2.0  # to wait for a traceback
_POLL_SECONDS = 0.005

_forking = threading.local()


@contextmanager
def guarded() -> Iterator[None]:
    """Guard the children that this thread forks in this block."""
    _forking.parent = os.getpid()
    try:
        yield
    finally:
        _forking.parent = None


def _guard_child() -> None:
    """In the child: die with the parent, ignore Ctrl-C, take SIGTERM's default, and report every exception."""
    parent = getattr(_forking, "parent", None)
    if parent is None:
        return
    _forking.parent = None
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before prctl
        os._exit(1)
    _patch_lava()


os.register_at_fork(after_in_child=_guard_child)


def _patch_lava() -> None:
    """Correct two defects of Lava's child processes: exceptions that they cannot send, and a pause that they do not forget."""
    from lava.magma.runtime.message_infrastructure.multiprocessing import SystemProcess
    from lava.magma.runtime.runtime_services.runtime_service import LoihiPyRuntimeService

    pause = LoihiPyRuntimeService._handle_pause

    def handle_pause(service) -> None:
        service.pausing = service.req_pause = False  # else no later run of so many steps is ever answered
        pause(service)

    LoihiPyRuntimeService._handle_pause = handle_pause
    SystemProcess.run = _run_and_report


def _run_and_report(process) -> None:
    """SystemProcess.run, for exceptions of any class and size."""
    try:
        multiprocessing.Process.run(process)
        process._cconn.send(None)
    except BaseException as error:
        text = traceback.format_exc()
        if len(text) > _LARGEST_REPORT:
            text = f"{text[: _LARGEST_REPORT // 2]}\n[...]\n{text[-_LARGEST_REPORT // 2 :]}"
        process._cconn.send((_sendable(error), text))


def _sendable(error: BaseException) -> BaseException:
    """The exception itself if it survives pickling and is not too large, else a RuntimeError that quotes it."""
    with suppress(Exception):
        packed = pickle.dumps(error)
        if len(packed) <= _LARGEST_REPORT and type(pickle.loads(packed)) is type(error):
            return error
    return RuntimeError(f"{type(error).__name__}: {str(error)[:1000]}")


def check(children: Sequence[Any]) -> None:
    """Raise LavaRunError if one of them has raised an exception or ended."""
    alive = set(multiprocessing.active_children())  # first: a child reports before it ends
    _raise_report(children)
    lost = [child for child in children if child not in alive]
    if lost:
        raise_cause(children, lost)


def raise_cause(children: Sequence[Any], lost: Sequence[Any] = ()) -> None:
    """Raise LavaRunError with the exception that one of them reports, or with the names and exit codes of the lost ones."""
    deadline = time.monotonic() + _REPORT_SECONDS
    while time.monotonic() < deadline and not any(_exit_code(child) for child in lost):
        _raise_report(children)
        time.sleep(_POLL_SECONDS)
    _raise_report(children)
    names = "; ".join(f"{_label(child)}: {_end_of(child)}" for child in lost) or "unknown"
    raise LavaRunError(f"Lava lost a process ({names}).", obj="Lava", attr="process")


def _raise_report(children: Sequence[Any]) -> None:
    for child in children:
        try:
            report = getattr(child, "exception", None)
        except (OSError, EOFError, ValueError):  # its pipe is closed
            continue
        if report:
            error, text = report
            message = f"{type(error).__name__} in a ProcessModel: {error}\n\n{_label(child)}:\n{text}"
            raise LavaRunError(message, obj="ProcessModel", attr=type(error).__name__) from error


def _label(child: Any) -> str:
    """The class of the model or service that a child runs, and the child's name."""
    role = getattr(child, "role", "")
    return f"{role}, {child.name}" if role else child.name


def _exit_code(child: Any) -> int | None:
    try:
        return child.exitcode
    except ValueError:  # closed
        return None


def _end_of(child: Any) -> str:
    code = _exit_code(child)
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    with suppress(ValueError):
        name = signal.Signals(-code).name
        return f"killed by {name}" + (", as the system does when memory runs out" if name == "SIGKILL" else "")
    return f"killed by signal {-code}"


def kill(children: Sequence[Any]) -> None:
    """Kill those that are alive, and wait until they have ended."""
    alive = set(multiprocessing.active_children())
    for child in children:
        if child in alive:
            os.kill(child.pid, signal.SIGKILL)
            child.join()
