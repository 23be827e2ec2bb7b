"""Lava run times that always end: a failure is raised with its cause, and no process, thread or shared memory is left.

Stock Lava waits for ever when a model raises, a child dies or ports dead-lock. Here a lost child, an exception or a run
without progress ends the session. Children also die with the thread that made them, however it ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal

from tp_lava.errors import LavaRunError, invalid
from tp_lava.lava import cleanup, shutdown
from tp_lava.lava.child_processes import guarded
from tp_lava.lava.hardware import Target, run_configuration
from tp_lava.lava.shim import make_importable

_PAUSE_SECONDS = 10.0
_NEW, _IDLE, _RUNNING, _FAILED, _OVER = "not entered", "idle", "running continuously", "failed", "over"

_opening = threading.Lock()  # compiling and starting change loggers and registries that all sessions share


def session(
    process: Any,
    tag: Literal["floating_pt", "fixed_pt", "floating_pt_async", "fixed_pt_async"] = "floating_pt",
    *,
    processes: Sequence[Any] | None = None,
    run_cfg: Any = None,
    target: Target = "cpu",
    layers: bool = False,
) -> Session:
    """A run time for the network that `process` belongs to, as a context manager that always ends.

        with tpl.lava.session(lif, "fixed_pt") as session:
            session.run(100)
            print(lif.v.get())

    process: any Process of the network; processes: all of it, by default those reached through its ports; tag: number
    system of the models ("..._async": our Processes' asynchronous models); target: "cpu", or "loihi2" with Intel's
    lava-loihi; layers: open hierarchical Processes into their parts; run_cfg: a Lava run configuration of
    your own, instead of tag and target.
    Read and write Vars inside the block. Lava compiles a Process only once: make new ones for the next session.
    Raises InvalidValueError for an unknown tag or target, LavaUnavailableError if Lava or the target is missing, and
    LavaRunError on entering if the network cannot be compiled or a model cannot be made.
    """
    return Session(process, run_cfg if run_cfg is not None else run_configuration(target, tag, layers), processes or ())


class Session:
    """Context manager around the run time of one network of Processes; see `session` for making one.

    process: any of them; run_cfg: Lava's; processes: those made for this session beside the ones connected to
    `process`. When it ends, Lava's references to all of them are deleted.
    Use from one thread, which must outlive it. Once a method has raised LavaRunError, the others refuse to run.
    """

    def __init__(self, process: Any, run_cfg: Any, processes: Sequence[Any] = ()) -> None:
        make_importable()
        self._process, self._run_cfg, self._given = process, run_cfg, list(processes)
        self._processes: list[Any] = []  # those that this session has compiled
        self._runtime: Any = None
        self._state = _NEW

    # Opening ------------------------------------------------------------------------------------
    def __enter__(self) -> Session:
        self._require(_NEW, "enter")
        with _opening:
            shutdown.register(self, self._end_now)
            try:
                self._open()
            except BaseException as error:
                self._state = _FAILED
                self._close()
                if isinstance(error, Exception) and not isinstance(error, LavaRunError):
                    raise LavaRunError(f"Lava could not start the network: {type(error).__name__}: {error}", obj="Lava") from error
                raise
        self._state = _IDLE
        return self

    def _open(self) -> None:
        from lava.magma.compiler.compiler_graphs import find_processes

        from tp_lava.lava.runtime import SupervisedRuntime

        processes = [*find_processes(self._process), *self._given]
        if any(process.is_compiled for process in processes):
            message = "These Processes were compiled before, and Lava compiles each only once; make new ones."
            raise LavaRunError(message, obj="Session", attr="process")
        self._processes = processes
        with guarded(), cleanup.compiler_log_kept():
            executable = self._process.compile(self._run_cfg)
            self._runtime = SupervisedRuntime(executable, self._process._log_config.level)
            self._process._runtime = self._runtime
            executable.assign_runtime_to_all_processes(self._runtime)
            self._runtime.initialize()

    def _require(self, state: str, action: str) -> None:
        """Raise InvalidValueError if the session is in another state."""
        if self._state == state:
            return
        remedies = {
            _NEW: "write `with session:` around it",
            _IDLE: "call start() first" if state == _RUNNING else "each session is entered once",
            _RUNNING: "call pause() first",
        }
        remedy = remedies.get(self._state, "make new Processes and open a new session")
        raise invalid("Session", "state", f"{self._state!r}", f"{state!r} to {action}", remedy)

    # Running ------------------------------------------------------------------------------------
    def run(self, steps: int, timeout: float | None = None, progress: Callable[[], int] | None = None) -> None:
        """Run so many time steps (asynchronous models: one run of each, for steps=1).

        timeout: seconds without progress, or altogether if progress is not given; progress: returns a count that grows
        during the run. Returns early if a model asks to pause or stop. May be called again, also after pause().
        Raises LavaRunError with the exception of a model, the name of a lost process, or the time-out;
        InvalidValueError while it runs continuously or is over.
        """
        from lava.magma.core.run_conditions import RunSteps

        self._require(_IDLE, "run")
        if steps < 0:
            raise invalid("Session", "steps", steps, "at least 0", "give the number of time steps")
        with self._failed_unless_done():
            self._process.run(RunSteps(num_steps=steps, blocking=False))
            self._wait_until(self._runtime.is_done, timeout, progress)
            self._runtime.finish_run(_PAUSE_SECONDS)

    def start(self) -> None:
        """Run until pause() or the end of the session; returns at once. wait() raises its failures.

        Raises InvalidValueError if it runs already or is over.
        """
        from lava.magma.core.run_conditions import RunContinuous

        self._require(_IDLE, "start")
        self._process.run(RunContinuous())
        self._state = _RUNNING

    def wait(self, seconds: float, timeout: float | None = None, progress: Callable[[], int] | None = None) -> None:
        """Let a started network run so long; raises LavaRunError as soon as it fails. 0 checks once.

        timeout, progress: as for run(). Returns early once all asynchronous models are done, or a model asks to pause.
        """
        self._require(_RUNNING, "wait")
        end = time.monotonic() + seconds
        with self._failed_unless_done(_RUNNING):
            self._runtime.check()
            self._wait_until(lambda: self._runtime.is_done() or time.monotonic() >= end, timeout, progress)

    def pause(self, timeout: float = _PAUSE_SECONDS) -> None:
        """Pause a started network after its present time step; Vars can be read and written, then run() or start().

        timeout: seconds to wait for that. Asynchronous models pause where they check for it, or else when they are
        done. Raises LavaRunError if they do not, or have failed meanwhile.
        """
        self._require(_RUNNING, "pause")
        with self._failed_unless_done():
            self._runtime.pause_within(timeout)

    @contextmanager
    def _failed_unless_done(self, then: str = _IDLE) -> Iterator[None]:
        self._state = _FAILED
        yield
        self._state = then

    def _wait_until(self, done: Callable[[], bool], timeout: float | None, progress: Callable[[], int] | None) -> None:
        if not self._runtime.wait_until(done, timeout, progress):
            what = f"no progress for {timeout:g} s" if progress else f"not done after {timeout:g} s"
            message = f"Lava run given up: {what}; a port may wait for a message that never comes."
            raise LavaRunError(message, obj="Lava", attr="timeout")

    # Ending -------------------------------------------------------------------------------------
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if self._state == _RUNNING:  # raise a failure that wait() has not raised
                with self._failed_unless_done():
                    self._runtime.check()
                    self._runtime.is_done()
        except LavaRunError:
            if error is None:
                raise
        finally:
            self._close()

    def _close(self) -> None:
        """End everything, in order if possible; at once if it has failed or Ctrl-C interrupts it."""
        runtime = self._runtime
        try:
            if runtime is not None and self._state != _FAILED and not runtime.failed:
                runtime.stop_in_order()
        finally:
            self._state = _OVER
            if runtime is not None:
                runtime.end()
            cleanup.forget(cleanup.with_compiled(self._processes, runtime))
            self._runtime, self._processes = None, []
            shutdown.unregister(self)

    def _end_now(self) -> None:
        """For a program that ends: kill every child and remove the shared memory."""
        if self._runtime is not None:
            self._runtime.kill()
