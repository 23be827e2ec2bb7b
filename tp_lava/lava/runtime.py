"""Lava's run time, with a limit to every wait: it raises LavaRunError if a child process has failed or ended meanwhile."""

from __future__ import annotations

import logging
import multiprocessing
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from lava.magma.compiler.channels.pypychannel import CspRecvPort, CspSendPort
from lava.magma.core.process.message_interface_enum import ActorType
from lava.magma.runtime.message_infrastructure.multiprocessing import MultiProcessing, SystemProcess
from lava.magma.runtime.mgmt_token_enums import MGMT_COMMAND as COMMAND
from lava.magma.runtime.mgmt_token_enums import MGMT_RESPONSE as ANSWER
from lava.magma.runtime.runtime import Runtime

from tp_lava.errors import LavaRunError, invalid
from tp_lava.lava import child_processes
from tp_lava.lava.cleanup import unlink
from tp_lava.lava.shutdown import interrupts_deferred

_SHORTEST_POLL, _LONGEST_POLL = 0.0002, 0.005  # seconds
_CHECK_SECONDS = 0.05
_ANSWER_SECONDS = 5.0  # for the next number of a Var; Lava sends them one by one
_STOP_SECONDS = 5.0
_log = logging.getLogger(__name__)


class SupervisedRuntime(Runtime):
    """Lava's Runtime for one session. failed: it does not answer any more."""

    runtime_to_service: Any
    service_to_runtime: Any
    exception_q: Any

    def __init__(self, executable: Any, loglevel: int) -> None:
        super().__init__(executable, ActorType.MultiProcessing, loglevel)
        self.failed = False

    def get_var(self, var_id: int, idx: Any = None) -> Any:
        """The value of a Var. Raises InvalidValueError while the network runs, where Lava returns None."""
        self._require_pause("read")
        return super().get_var(var_id, idx)

    def set_var(self, var_id: int, value: Any, idx: Any = None) -> None:
        """Set the value of a Var. Raises InvalidValueError while the network runs, where Lava does nothing."""
        self._require_pause("set")
        super().set_var(var_id, value, idx)

    def _require_pause(self, what: str) -> None:
        if self._is_running:
            instead = "snapshot(), which copies all Vars of a Process between two steps" if what == "read" else "restore() of a snapshot"
            found, limit = f"{what} while the network runs", f"{what} when it is paused"
            raise invalid("Var", "value", found, limit, f"call pause() first, or use {instead}")

    @property
    def children(self) -> list[Any]:
        """All child processes that it has forked, whether alive or not."""
        return self._messaging_infrastructure.children if self._messaging_infrastructure else []

    def check(self) -> None:
        """Raise LavaRunError if a child has raised an exception or ended; KeyboardInterrupt for a Ctrl-C during the start."""
        self._raise_interrupt()
        child_processes.check(self.children)

    def wait_until(self, ready: Callable[[], bool], seconds: float | None, progress: Callable[[], int] | None = None) -> bool:
        """Check the children until ready(). -> whether it came within `seconds` of the start or of the last change of progress()."""
        count, start = progress() if progress else 0, time.monotonic()
        since = start
        while not ready():
            self.check()
            now = time.monotonic()
            if progress and (new := progress()) != count:
                count, since = new, now
            if seconds is not None and now - since > seconds:
                return False
            time.sleep(min(_LONGEST_POLL, max(_SHORTEST_POLL, (now - start) / 10)))
        return True

    def wait_for_port(self, ready: Callable[[], bool]) -> None:
        """Check the children until a port is ready; while nothing runs, an answer must come within seconds."""
        if not self.wait_until(ready, None if self._is_running else _ANSWER_SECONDS):
            self.failed = True
            message = f"Lava does not answer: nothing for {_ANSWER_SECONDS:g} s while a Var is read or written."
            raise LavaRunError(message, obj="Lava", attr="timeout")

    # Starting -----------------------------------------------------------------------------------
    def initialize(self, node_cfg_idx: int = 0) -> None:
        """Fork the children, and wait until all have started. Raises LavaRunError if one fails."""
        with interrupts_deferred() as self._raise_interrupt:
            super().initialize(node_cfg_idx)

    def _build_message_infrastructure(self) -> None:
        self._messaging_infrastructure = _Infrastructure()
        self._messaging_infrastructure.start()

    def _start_ports(self) -> None:
        """Lava calls this once all children are forked: supervise the ports, and receive the reports that Lava would wait for next."""
        super()._start_ports()
        for port in self.runtime_to_service:
            port.__class__, port.runtime = _SendPort, self
        for port in self.service_to_runtime:
            port.__class__, port.runtime = _ReceivePort, self
        for reports in self.exception_q:
            self.wait_until(partial(self._has_started, reports), None)
            self.check()
        self.exception_q = []

    def _has_started(self, reports: Any) -> bool:
        """Whether a child has reported its start. Raises LavaRunError if that has failed."""
        try:
            error = reports.get(timeout=_CHECK_SECONDS)
        except queue.Empty:
            return False
        except Exception as unreadable:  # it cannot be unpickled
            error = unreadable
        if error is not None:  # the child reports it in full as well
            child_processes.raise_cause(self.children)
        return True

    # Commands to the runtime services -----------------------------------------------------------
    def is_done(self) -> bool:
        """Whether every service has answered the last run, or one asks for a pause or a stop. Raises LavaRunError for a failure."""
        answers = self._pending_answers()
        if ANSWER.ERROR[0] in answers:
            child_processes.raise_cause(self.children)
        is_cut_short = ANSWER.REQ_PAUSE[0] in answers or ANSWER.REQ_STOP[0] in answers
        return is_cut_short or len(answers) == len(self.service_to_runtime)

    def _pending_answers(self) -> list[float]:
        return [port.peek()[0] for port in self.service_to_runtime if port.probe()]

    def finish_run(self, seconds: float) -> None:
        """Receive the answers of a run that is done; if a model has cut it short, pause the other services."""
        if any(answer != ANSWER.DONE[0] for answer in self._pending_answers()):
            self.pause_within(seconds)
            return
        for port in self.service_to_runtime:
            port.recv()
        self._is_running = False

    def pause_within(self, seconds: float) -> None:
        """Runtime.pause, also for a run that ends meanwhile. Raises LavaRunError if it takes longer."""
        if not self._request(COMMAND.PAUSE, ANSWER.PAUSED, seconds):
            message = f"Lava did not pause within {seconds:g} s; asynchronous models must return on check_for_pause_cmd()."
            raise LavaRunError(message, obj="Lava", attr="timeout")
        self._is_running = False

    def _request(self, command: Any, wanted: Any, seconds: float) -> bool:
        """Send a command to every service. -> whether all gave the wanted answer in time."""
        deadline = time.monotonic() + seconds
        for port in self.runtime_to_service:
            port.send(command)
        return all(self.wait_until(partial(self._receives, port, wanted), deadline - time.monotonic()) for port in self.service_to_runtime)

    def _receives(self, port: Any, wanted: Any) -> bool:
        """Whether an answer is there and is the wanted one; DONE of a run that ended before may come first."""
        answer = port.recv()[0] if port.probe() else None
        if answer == ANSWER.ERROR[0]:
            child_processes.raise_cause(self.children)
        return answer == wanted[0]

    # Ending -------------------------------------------------------------------------------------
    def stop_in_order(self) -> None:
        """Have the children end by themselves; give up after some seconds, or if one fails."""
        memory = self._messaging_infrastructure.smm
        if memory is None or memory._manager is None:  # the user has called Lava's own stop()
            return
        try:
            if self._request(COMMAND.STOP, ANSWER.TERMINATED, _STOP_SECONDS):
                deadline = time.monotonic() + _STOP_SECONDS
                for child in self._messaging_infrastructure.actors:
                    multiprocessing.Process.join(child, max(0.0, deadline - time.monotonic()))  # that of SystemProcess has no time-out
        except LavaRunError as error:  # a child had ended before
            _log.debug("stop in order: %s", error)

    def end(self) -> None:
        """Kill the children that are left, and remove threads and shared memory."""
        children, segments = self.children, self._segments()
        child_processes.kill(self._messaging_infrastructure.actors if self._messaging_infrastructure else ())
        thread = threading.Thread(target=self._stop_without_children, name="tp_lava stop", daemon=True)
        thread.start()
        thread.join(_STOP_SECONDS)  # the memory manager may not answer
        child_processes.kill(children)
        unlink(segments)

    def _stop_without_children(self) -> None:
        try:
            self.runtime_to_service = self.service_to_runtime = []
            self._is_started = True  # else the threads of its ports stay
            self.stop()
        except Exception as error:
            _log.debug("stop failed: %r", error)

    def kill(self) -> None:
        """Kill every child and remove the shared memory at once, whatever they are doing."""
        child_processes.kill(self.children)
        unlink(self._segments())

    def _segments(self) -> list[str]:
        """Names of its shared memory."""
        memory = self._messaging_infrastructure.smm if self._messaging_infrastructure else None
        return [handle.name for handle in memory._shared_memory_handles] if memory else []


class _Infrastructure(MultiProcessing):
    """Lava's, which knows a child before it is forked, and names it by the class that it runs."""

    def build_actor(self, target_fn: Any, builder: Any, exception_q: Any = None) -> Any:
        child = SystemProcess(target=target_fn, kwargs={"builder": builder, "exception_q": exception_q})
        child.role = (getattr(builder, "proc_model", None) or builder.rs_class).__name__
        self._actors.append(child)
        child.start()
        return child

    @property
    def children(self) -> list[Any]:
        """Models, services and the process that keeps the shared memory."""
        manager = self._smm._manager if self._smm else None
        return [*self._actors, *filter(None, [getattr(manager, "_process", None)])]


class _SendPort(CspSendPort):
    runtime: SupervisedRuntime

    def send(self, data: Any) -> None:
        self.runtime.wait_for_port(self._has_room)
        super().send(data)

    def _has_room(self) -> bool:
        if self._semaphore.acquire(timeout=_CHECK_SECONDS):
            self._semaphore.release()
        return self.probe()


class _ReceivePort(CspRecvPort):
    runtime: SupervisedRuntime

    def recv(self) -> Any:
        self.runtime.wait_for_port(self._has_message)
        return super().recv()

    def _has_message(self) -> bool:
        with suppress(queue.Empty):
            self._queue.get(timeout=_CHECK_SECONDS, peek=True)
        return self.probe()
