"""Lava's run time, with a limit to every wait: it raises LavaRunError if a child process has failed or ended meanwhile."""

from __future__ import annotations

import logging
import multiprocessing
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from lava.magma.compiler.channels.pypychannel import CspRecvPort, CspSendPort
from lava.magma.core.process.message_interface_enum import ActorType
from lava.magma.runtime.mgmt_token_enums import MGMT_COMMAND as COMMAND
from lava.magma.runtime.mgmt_token_enums import MGMT_RESPONSE as ANSWER
from lava.magma.runtime.runtime import Runtime

from tp_lava.errors import LavaRunError
from tp_lava.lava import child_processes
from tp_lava.lava.cleanup import unlink
from tp_lava.lava.shutdown import interrupts_deferred

_POLL_SECONDS = 0.0002
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
        self._not_ours = set(multiprocessing.active_children())
        self._children: list[Any] | None = None  # fixed once all are forked

    @property
    def children(self) -> list[Any]:
        """The child processes that it has forked, whether alive or not; the memory manager is one of them."""
        if self._children is not None:
            return self._children
        actors = self._messaging_infrastructure.actors if self._messaging_infrastructure else []
        others = self._not_ours.union(actors)
        return actors + [child for child in multiprocessing.active_children() if child not in others and child_processes.is_of_lava(child)]

    def check(self) -> None:
        """Raise LavaRunError if a child has raised an exception or ended; KeyboardInterrupt for a Ctrl-C during the start."""
        self._raise_interrupt()
        child_processes.check(self.children)

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Check the children until ready() is true."""
        start = time.monotonic()
        while not ready():
            self.check()
            if not self._is_running and time.monotonic() - start > _ANSWER_SECONDS:
                self.failed = True
                message = f"Lava does not answer: nothing for {_ANSWER_SECONDS:g} s while a Var is read or written."
                raise LavaRunError(message, obj="Lava", attr="timeout")

    # Starting -----------------------------------------------------------------------------------
    def initialize(self, node_cfg_idx: int = 0) -> None:
        """Fork the children, and wait until all have started. Raises LavaRunError if one fails."""
        with interrupts_deferred() as self._raise_interrupt:
            super().initialize(node_cfg_idx)
        self._children = self.children

    def _build_message_infrastructure(self) -> None:
        """Lava calls this before it forks: name each child by the class that it runs."""
        super()._build_message_infrastructure()
        infrastructure = self._messaging_infrastructure
        build = infrastructure.build_actor

        def build_actor(target: Any, builder: Any, reports: Any = None) -> Any:
            child = build(target, builder, reports)
            child.role = (getattr(builder, "proc_model", None) or builder.rs_class).__name__
            return child

        infrastructure.build_actor = build_actor

    def _start_ports(self) -> None:
        """Lava calls this once all children are forked: supervise the ports, and wait for the reports that Lava would wait for next."""
        super()._start_ports()
        for port in self.runtime_to_service:
            port.__class__, port.runtime = _SendPort, self
        for port in self.service_to_runtime:
            port.__class__, port.runtime = _ReceivePort, self
        for reports in self.exception_q:
            self._receive_start_report(reports)
        self.exception_q = []

    def _receive_start_report(self, reports: Any) -> None:
        """Wait for a child's report of its start: None, or an exception."""
        while True:
            try:
                error = reports.get(timeout=_CHECK_SECONDS)
            except queue.Empty:
                self.check()
                continue
            except Exception:  # it cannot be unpickled; what the child reports when it ends can
                error = None
            if error is not None:
                raise child_processes.model_error(error, getattr(error, "trace", "")) from error
            self.check()
            return

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

    def finish_run(self, timeout: float) -> None:
        """Receive the answers of a run that is done; if a model has cut it short, pause the other services."""
        if any(answer != ANSWER.DONE[0] for answer in self._pending_answers()):
            self.pause_within(timeout)
            return
        for port in self.service_to_runtime:
            port.recv()
        self._is_running = False

    def pause_within(self, timeout: float) -> None:
        """Runtime.pause, also for a run that ends meanwhile. Raises LavaRunError if it takes longer."""
        if not self._request(COMMAND.PAUSE, ANSWER.PAUSED, timeout):
            message = f"Lava did not pause within {timeout:g} s; asynchronous models must return on check_for_pause_cmd()."
            raise LavaRunError(message, obj="Lava", attr="timeout")
        self._is_running = False

    def _request(self, command: Any, wanted: Any, timeout: float) -> bool:
        """Send a command to every service. -> whether all gave the wanted answer in time."""
        deadline, answered = time.monotonic() + timeout, 0
        for port in self.runtime_to_service:
            port.send(command)
        for port in self.service_to_runtime:
            answer = None
            while answer != wanted[0] and time.monotonic() < deadline:
                if port.probe():
                    answer = port.recv()[0]  # DONE of a run that ended before may come first
                    if answer == ANSWER.ERROR[0]:
                        child_processes.raise_cause(self.children)
                else:
                    self.check()
                    time.sleep(_POLL_SECONDS)
            answered += answer == wanted[0]
        return answered == len(self.service_to_runtime)

    # Ending -------------------------------------------------------------------------------------
    def stop_in_order(self) -> None:
        """Have the children end by themselves; give up after some seconds, or if one fails, or if they were stopped by Lava's stop()."""
        memory = self._messaging_infrastructure.smm
        if memory is None or memory._manager is None:  # the user has called Lava's own stop()
            return
        try:
            if self._request(COMMAND.STOP, ANSWER.TERMINATED, _STOP_SECONDS):
                deadline = time.monotonic() + _STOP_SECONDS
                while time.monotonic() < deadline and set(self._workers()) & set(multiprocessing.active_children()):
                    time.sleep(_POLL_SECONDS)
        except LavaRunError as error:  # a child had ended before
            _log.debug("stop in order: %s", error)

    def end(self) -> None:
        """Kill the children that are left, and remove threads and shared memory."""
        self._children, segments = self.children, self._segments()
        child_processes.kill(self._workers())
        thread = threading.Thread(target=self._stop_without_children, name="tp_lava stop", daemon=True)
        thread.start()
        thread.join(_STOP_SECONDS)  # the memory manager may not answer
        child_processes.kill(self._children)
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

    def _workers(self) -> list[Any]:
        """All children but the memory manager."""
        return [child for child in self.children if not child_processes.is_memory_manager(child)]

    def _segments(self) -> list[str]:
        """Names of its shared memory."""
        memory = self._messaging_infrastructure.smm if self._messaging_infrastructure else None
        return [handle.name for handle in memory._shared_memory_handles] if memory else []


class _SendPort(CspSendPort):
    runtime: SupervisedRuntime

    def send(self, data: Any) -> None:
        self.runtime.wait_until(self._has_room)
        super().send(data)

    def _has_room(self) -> bool:
        if self._semaphore.acquire(timeout=_CHECK_SECONDS):
            self._semaphore.release()
            return True
        return False


class _ReceivePort(CspRecvPort):
    runtime: SupervisedRuntime

    def recv(self) -> Any:
        self.runtime.wait_until(self._has_message)
        return super().recv()

    def _has_message(self) -> bool:
        try:
            self._queue.get(timeout=_CHECK_SECONDS, peek=True)
        except queue.Empty:
            return False
        return True
