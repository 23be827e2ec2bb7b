"""Lava's run time with eyes: wherever stock Lava waits for a child, this one also sees that the child has gone."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Any

from lava.magma.core.process.message_interface_enum import ActorType
from lava.magma.runtime.runtime import Runtime

from tp_lava.errors import LavaRunError
from tp_lava.lava.ending import interrupts_kept

_LOOK_SECONDS = 0.05
_ANSWER_SECONDS = 5.0  # for the next number of a Var; Lava sends them one by one


def create_runtime(process: Any, run_cfg: Any, check: Callable[[], None]) -> None:
    """AbstractProcess.create_runtime with a watched run time; check: raises if a child has raised or gone."""
    executable = process.compile(run_cfg)
    runtime = WatchedRuntime(executable, ActorType.MultiProcessing, loglevel=process._log_config.level)
    process._runtime = runtime
    executable.assign_runtime_to_all_processes(runtime)
    with interrupts_kept() as interrupted:

        def check_both() -> None:
            interrupted()
            check()

        runtime.check = check_both
        runtime.initialize()
    runtime.check = check


class WatchedRuntime(Runtime):
    """Lava's Runtime that calls `check` while it waits: at its ports, and for the children's start."""

    check: Callable[[], None]
    failed = False  # it does not answer any more
    runtime_to_service: Any
    service_to_runtime: Any
    exception_q: Any

    def _build_message_infrastructure(self) -> None:
        """Lava calls this before it forks; let the children be known by what they run."""
        super()._build_message_infrastructure()
        infrastructure = self._messaging_infrastructure
        build = infrastructure.build_actor

        def build_actor(target: Any, builder: Any, reports: Any = None) -> Any:
            child = build(target, builder, reports)
            child.role = (getattr(builder, "proc_model", None) or builder.rs_class).__name__
            return child

        infrastructure.build_actor = build_actor

    def _start_ports(self) -> None:
        """Lava calls this once all children are forked, and then waits for their reports."""
        super()._start_ports()
        self.runtime_to_service = [_SendPort(port, self) for port in self.runtime_to_service]
        self.service_to_runtime = [_ReceivePort(port, self) for port in self.service_to_runtime]
        self.exception_q = [_Report(each, self) for each in self.exception_q]


class _Report:
    """What a child says of its start, in Lava's queue: None, or an exception."""

    def __init__(self, reports: Any, runtime: WatchedRuntime) -> None:
        self._reports, self._runtime = reports, runtime

    def get(self) -> None:
        while True:
            try:
                error = self._reports.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                self._runtime.check()
                continue
            except Exception:  # it cannot be unpickled; the child's own report can
                error = None
            if error is not None:
                message = f"{type(error).__name__} in a ProcessModel: {error}\n\n{getattr(error, 'trace', '')}"
                raise LavaRunError(message, obj="ProcessModel", attr=type(error).__name__) from error
            self._runtime.check()
            return


class _Port:
    """A port of the run time; Lava's selector sets `observer`."""

    def __init__(self, port: Any, runtime: WatchedRuntime) -> None:
        self._port, self._runtime = port, runtime

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    @property
    def observer(self) -> Any:
        return self._port.observer

    @observer.setter
    def observer(self, observer: Any) -> None:
        self._port.observer = observer

    def _wait(self, ready: Callable[[], bool]) -> None:
        since = time.monotonic()
        while not ready():
            self._runtime.check()
            if not self._runtime._is_running and time.monotonic() - since > _ANSWER_SECONDS:
                self._runtime.failed = True
                message = f"Lava does not answer: nothing for {_ANSWER_SECONDS:g} s while a Var is read or written."
                raise LavaRunError(message, obj="Lava", attr="timeout")


class _ReceivePort(_Port):
    def recv(self) -> Any:
        self._wait(self._arrived)
        return self._port.recv()

    def _arrived(self) -> bool:
        try:
            self._port._queue.get(timeout=_LOOK_SECONDS, peek=True)
        except queue.Empty:
            return False
        return True


class _SendPort(_Port):
    def send(self, data: Any) -> None:
        self._wait(self._has_room)
        self._port.send(data)

    def _has_room(self) -> bool:
        if self._port._semaphore.acquire(timeout=_LOOK_SECONDS):
            self._port._semaphore.release()
            return True
        return False
