"""A Lava run time that always ends: its cause is told, and no process, thread or shared memory outlives it.

What stock Lava does when a model raises, a child dies or a port dead-locks is to wait for ever. Here the run is
watched: a lost child, an exception or a run that stands still ends the session. Children also die with the thread
that made them, however it goes.
"""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from tp_lava.errors import LavaRunError
from tp_lava.lava.shim import make_importable

_POLL_SECONDS = 0.005
_CAUSE_SECONDS = 0.1  # for the traceback of an error that is already known
_GRACE_SECONDS = 5.0  # for an orderly stop
_PR_SET_PDEATHSIG = 1
_MEMORY_MANAGER = "SharedMemoryManager"

_guarding = threading.local()


def _guard_child() -> None:
    """In a forked child of a session: die with the parent, leave Ctrl-C to it, and take SIGTERM as it comes."""
    if getattr(_guarding, "on", False):
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


os.register_at_fork(after_in_child=_guard_child)


class Session:
    """Context manager around the run time of one network of Processes.

    process: any of them; run_cfg: Lava's; processes: those made for this session, forgotten by Lava when it ends.
    Use from one thread. Raises LavaRunError.
    """

    def __init__(self, process: Any, run_cfg: Any, processes: Sequence[Any] = ()) -> None:
        make_importable()
        self._process, self._run_cfg, self._processes = process, run_cfg, processes or (process,)
        self._children: list[Any] = []
        self._failed = False

    def __enter__(self) -> Session:
        before = set(multiprocessing.active_children())
        _guarding.on = True
        try:
            self._process.create_runtime(self._run_cfg)
        except BaseException as error:
            self._children = [c for c in multiprocessing.active_children() if c not in before]
            self._failed = True
            self._close()
            if isinstance(error, Exception):
                raise LavaRunError(f"Lava could not start the network: {type(error).__name__}: {error}", obj="Lava") from error
            raise
        finally:
            _guarding.on = False
        self._children = [c for c in multiprocessing.active_children() if c not in before]
        return self

    def run(self, steps: int, timeout: float | None = None, progress: Callable[[], int] | None = None) -> None:
        """Run so many time steps (asynchronous models: what they do in one run, for steps=1).

        timeout: seconds without progress, or altogether if progress is not given. Raises LavaRunError with the
        exception of a model, the name of a lost process, or the time-out.
        """
        from lava.magma.core.run_conditions import RunSteps

        self._failed = True
        self._process.run(RunSteps(num_steps=steps, blocking=False))
        seen, since = progress() if progress else 0, time.monotonic()
        while not self._answered():
            self._check_children()
            now = progress() if progress else 0
            if now != seen:
                seen, since = now, time.monotonic()
            if timeout is not None and time.monotonic() - since > timeout:
                what = f"no progress for {timeout:g} s" if progress else f"not done after {timeout:g} s"
                message = f"Lava run given up: {what}; a port may wait for a message that never comes."
                raise LavaRunError(message, obj="Lava", attr="timeout")
            time.sleep(_POLL_SECONDS)
        self._process.wait()
        self._failed = False

    def _answered(self) -> bool:
        """Whether every runtime service has said that its run is done. One that says ERROR is followed by its cause."""
        from lava.magma.runtime.mgmt_token_enums import MGMT_RESPONSE, enum_equal

        answered = [port for port in self._process.runtime.service_to_runtime if port.probe()]
        if any(enum_equal(port.peek(), MGMT_RESPONSE.ERROR) for port in answered):
            time.sleep(_CAUSE_SECONDS)
            self._raise_cause(())
        return len(answered) == len(self._process.runtime.service_to_runtime)

    def _check_children(self) -> None:
        """Raise if a process of the network has ended."""
        alive = set(multiprocessing.active_children())
        lost = [child for child in self._children if child not in alive]
        if lost:
            self._raise_cause(lost)

    def _raise_cause(self, lost: Sequence[Any]) -> None:
        """Raise what a child raised, or say which one was lost."""
        for child in self._children:
            try:
                cause = getattr(child, "exception", None)
            except (OSError, EOFError, ValueError):  # its pipe went with it
                continue
            if cause:
                exception, text = cause
                message = f"{type(exception).__name__} in a ProcessModel: {exception}\n\n{text}"
                raise LavaRunError(message, obj="ProcessModel", attr=type(exception).__name__) from exception
        names = ", ".join(child.name for child in lost) or "unknown"
        raise LavaRunError(f"Lava lost a process ({names}): it was killed or ran out of memory.", obj="Lava", attr="process")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close()

    def _close(self) -> None:
        if not self._failed:
            self._failed = not self._stopped_in_order()
        if self._failed:
            self._kill()
        self._forget()

    def _stopped_in_order(self) -> bool:
        """Stop the run time as Lava does, in a thread that may hang. -> whether it did stop."""
        stopped: list[bool] = []

        def target() -> None:
            try:
                self._process.stop()
                stopped.append(True)
            except Exception as error:
                logging.getLogger(__name__).debug("stop failed: %r", error)

        thread = threading.Thread(target=target, name="tp_lava stop", daemon=True)
        thread.start()
        thread.join(_GRACE_SECONDS)
        return bool(stopped)

    def _kill(self) -> None:
        """End every child but the manager of the shared memory, which then goes in order; if it will not, end it too."""
        self._end_children(lambda child: not child.name.startswith(_MEMORY_MANAGER))
        runtime = self._process.runtime
        if runtime is not None:
            runtime.runtime_to_service = runtime.service_to_runtime = []
            self._stopped_in_order()
        self._end_children(lambda child: True)

    def _end_children(self, wanted: Callable[[Any], bool]) -> None:
        alive = set(multiprocessing.active_children())
        for child in self._children:
            if child in alive and wanted(child):
                os.kill(child.pid, signal.SIGKILL)
                child.join()

    def _forget(self) -> None:
        """Lava keeps every Process and Var for ever, and would stop a stopped run time again: let go of both."""
        from lava.magma.core.process.process import ProcessServer
        from lava.magma.core.process.variable import VarServer

        for process in self._processes:
            process.runtime = None
        gone = set(map(id, self._processes))
        processes, variables = ProcessServer(), VarServer()
        processes.processes = [p for p in processes.processes if id(p) not in gone]
        variables.vars = [v for v in variables.vars if id(getattr(v, "process", None)) not in gone]
