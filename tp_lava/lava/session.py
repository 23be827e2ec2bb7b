"""A Lava run time that always ends: its cause is told, and no process, thread or shared memory outlives it.

What stock Lava does when a model raises, a child dies or a port dead-locks is to wait for ever. Here the run is
watched: a lost child, an exception or a run that stands still ends the session. Children also die with the thread
that made them, however it goes.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal

from tp_lava.errors import LavaRunError, invalid
from tp_lava.lava import children as family
from tp_lava.lava import ending, traces
from tp_lava.lava.hardware import Target, run_configuration
from tp_lava.lava.shim import make_importable

_SHORTEST_POLL, _LONGEST_POLL = 0.0002, 0.005  # seconds
_GRACE_SECONDS = 5.0  # for an orderly stop
_PAUSE_SECONDS = 10.0
_NEW, _IDLE, _RUNNING, _OVER = "not entered", "idle", "running continuously", "over"

_opening = threading.Lock()  # so that a new child belongs to one session


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
    system of the models ("..._async": our Processes' asynchronous models); target: "cpu", or "loihi2" where Intel's
    lava-loihi is installed; layers: open hierarchical Processes into their parts; run_cfg: a Lava run configuration of
    your own, instead of tag and target.
    Read and write Vars inside the block; afterwards the Processes are done with, so make new ones for the next session.
    Raises InvalidValueError for an unknown tag or target, LavaUnavailableError where Lava or the target is missing, and
    LavaRunError on entering if the network cannot be compiled or a model cannot be made.
    """
    return Session(process, run_cfg if run_cfg is not None else run_configuration(target, tag, layers), processes or ())


class Session:
    """Context manager around the run time of one network of Processes; see `session` for making one.

    process: any of them; run_cfg: Lava's; processes: those made for this session beside the ones connected to
    `process`. Lava forgets them all when it ends.
    Use from one thread, which must outlive it. Once a LavaRunError was raised the session is over.
    """

    def __init__(self, process: Any, run_cfg: Any, processes: Sequence[Any] = ()) -> None:
        make_importable()
        self.owner = os.getpid()
        self._process, self._run_cfg, self._processes = process, run_cfg, list(processes)
        self._runtime: Any = None
        self._before: set[Any] = set()
        self._known: list[Any] | None = None
        self._state = _NEW
        self._ours = self._failed = False

    # Opening ------------------------------------------------------------------------------------
    def __enter__(self) -> Session:
        self._must_be(_NEW, "enter")
        with _opening:
            self._before = set(multiprocessing.active_children())
            ending.opened(self)
            try:
                self._open()
            except BaseException as error:
                self._failed = True
                self._close()
                if isinstance(error, Exception) and not isinstance(error, LavaRunError):
                    raise LavaRunError(f"Lava could not start the network: {type(error).__name__}: {error}", obj="Lava") from error
                raise
        self._state = _IDLE
        return self

    def _open(self) -> None:
        from tp_lava.lava.watched import create_runtime

        found = traces.connected(self._process)
        known = set(map(id, found))
        self._processes = found + [process for process in self._processes if id(process) not in known]
        if any(process.is_compiled for process in self._processes):
            message = "These Processes were compiled before, and Lava compiles each only once; make new ones."
            raise LavaRunError(message, obj="Session", attr="process")
        self._ours = True
        with family.guarded(), traces.compiler_log_kept():
            create_runtime(self._process, self._run_cfg, lambda: family.check(self._children))
        self._runtime = self._process.runtime
        self._known = self._children

    @property
    def _children(self) -> list[Any]:
        if self._known is not None:
            return self._known
        infrastructure = getattr(self._process.runtime, "_messaging_infrastructure", None) if self._ours else None
        actors = infrastructure.actors if infrastructure is not None else []  # one that has died already among them
        alive = [child for child in multiprocessing.active_children() if child not in self._before and family.of_lava(child)]
        return actors + [child for child in alive if child not in actors]

    def _must_be(self, state: str, doing: str) -> None:
        """Refuse what cannot be done now."""
        if self._state == state:
            return
        remedy = {
            _NEW: "write `with session:` around it",
            _IDLE: "call start() first" if state == _RUNNING else "each session is entered once",
            _RUNNING: "call pause() first",
            _OVER: "make new Processes and open a new session",
        }[self._state]
        raise invalid("Session", "state", f"{self._state!r}", f"{state!r} to {doing}", remedy)

    # Running ------------------------------------------------------------------------------------
    def run(self, steps: int, timeout: float | None = None, progress: Callable[[], int] | None = None) -> None:
        """Run so many time steps (asynchronous models: what they do in one run, for steps=1).

        timeout: seconds without progress, or altogether if progress is not given; progress: a count that grows while
        the run gets on. Returns early if a model asks to pause or stop. May be called again, also after pause().
        Raises LavaRunError with the exception of a model, the name of a lost process, or the time-out;
        InvalidValueError while it runs continuously or is over.
        """
        from lava.magma.core.run_conditions import RunSteps

        self._must_be(_IDLE, "run")
        if steps < 0:
            raise invalid("Session", "steps", steps, "at least 0", "give the number of time steps")
        with self._failing_unless_done():
            self._process.run(RunSteps(num_steps=steps, blocking=False))
            self._watch(self._answered, timeout, progress)
            self._settle()

    def start(self) -> None:
        """Run until pause() or the end of the session; returns at once. Watch it with wait().

        Raises InvalidValueError if it runs already or is over.
        """
        from lava.magma.core.run_conditions import RunContinuous

        self._must_be(_IDLE, "start")
        self._process.run(RunContinuous())
        self._state = _RUNNING

    def wait(self, seconds: float, timeout: float | None = None, progress: Callable[[], int] | None = None) -> None:
        """Let a started network run so long, and learn at once, by a LavaRunError, if it fails; 0 only looks.

        timeout, progress: as for run(). Returns early once all asynchronous models are done, or a model asks to pause.
        """
        self._must_be(_RUNNING, "wait")
        end = time.monotonic() + seconds
        with self._failing_unless_done(_RUNNING):
            family.check(self._children)
            self._watch(lambda: self._answered() or time.monotonic() >= end, timeout, progress)

    def pause(self, timeout: float = _PAUSE_SECONDS) -> None:
        """Hold a started network after its present time step; Vars can be read and written, then run() or start().

        timeout: seconds to wait for that. Asynchronous models pause where they check for it, or else when they are
        done. Raises LavaRunError if they do not, or have failed meanwhile.
        """
        self._must_be(_RUNNING, "pause")
        with self._failing_unless_done():
            self._pause_services(timeout)

    @contextmanager
    def _failing_unless_done(self, then: str = _IDLE) -> Iterator[None]:
        self._state, self._failed = _OVER, True
        yield
        self._state, self._failed = then, False

    def _watch(self, done: Callable[[], bool], timeout: float | None, progress: Callable[[], int] | None) -> None:
        """Wait for done(); raise if a child fails, or if there is no progress for `timeout` seconds."""
        seen, start = progress() if progress else 0, time.monotonic()
        since = start
        while not done():
            family.check(self._children)
            moment = time.monotonic()
            now = progress() if progress else 0
            if now != seen:
                seen, since = now, moment
            if timeout is not None and moment - since > timeout:
                what = f"no progress for {timeout:g} s" if progress else f"not done after {timeout:g} s"
                message = f"Lava run given up: {what}; a port may wait for a message that never comes."
                raise LavaRunError(message, obj="Lava", attr="timeout")
            time.sleep(min(_LONGEST_POLL, max(_SHORTEST_POLL, (moment - start) / 10)))

    def _answered(self) -> bool:
        """Whether every runtime service has said that its run is done, or one that a model wants to pause or stop."""
        from lava.magma.runtime.mgmt_token_enums import MGMT_RESPONSE as SAID

        answers = [port.peek()[0] for port in self._runtime.service_to_runtime if port.probe()]
        if SAID.ERROR[0] in answers:
            family.raise_cause(self._children)
        asked = SAID.REQ_PAUSE[0] in answers or SAID.REQ_STOP[0] in answers
        return asked or len(answers) == len(self._runtime.service_to_runtime)

    def _settle(self) -> None:
        """Take the answers of a run that is done; if a model cut it short, pause the others too."""
        from lava.magma.runtime.mgmt_token_enums import MGMT_RESPONSE as SAID

        if any(port.peek()[0] != SAID.DONE[0] for port in self._runtime.service_to_runtime if port.probe()):
            self._pause_services(_PAUSE_SECONDS)
            return
        for port in self._runtime.service_to_runtime:
            port.recv()
        self._runtime._is_running = False

    def _pause_services(self, timeout: float) -> None:
        """Lava's Runtime.pause, which does not hang, nor trip over a run that ended meanwhile."""
        from lava.magma.runtime.mgmt_token_enums import MGMT_COMMAND, MGMT_RESPONSE

        if not self._told(MGMT_COMMAND.PAUSE, MGMT_RESPONSE.PAUSED, timeout):
            message = f"Lava did not pause within {timeout:g} s; asynchronous models must return on check_for_pause_cmd()."
            raise LavaRunError(message, obj="Lava", attr="timeout")
        self._runtime._is_running = False

    def _told(self, command: Any, wanted: Any, timeout: float) -> bool:
        """Give every runtime service a command. -> whether all gave the wanted answer in time."""
        from lava.magma.runtime.mgmt_token_enums import MGMT_RESPONSE

        deadline, answered = time.monotonic() + timeout, 0
        for port in self._runtime.runtime_to_service:
            port.send(command)
        for port in self._runtime.service_to_runtime:
            answer = None
            while answer != wanted[0] and time.monotonic() < deadline:
                if port.probe():
                    answer = port.recv()[0]  # DONE of a run that ended before may come first
                    if answer == MGMT_RESPONSE.ERROR[0]:
                        family.raise_cause(self._children)
                else:
                    family.check(self._children)
                    time.sleep(_SHORTEST_POLL)
            answered += answer == wanted[0]
        return answered == len(self._runtime.service_to_runtime)

    # Ending -------------------------------------------------------------------------------------
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        cause = self._unseen_failure()
        self._close()
        if cause is not None and error is None:
            raise cause

    def _unseen_failure(self) -> LavaRunError | None:
        """Why a network that runs continuously has failed, if it has and nobody has looked."""
        if self._state != _RUNNING:
            return None
        try:
            family.check(self._children)
            self._answered()
        except LavaRunError as cause:
            self._failed = True
            return cause
        return None

    def _close(self) -> None:
        """End everything, in order if possible. Interrupted (Ctrl-C), it ends everything at once."""
        try:
            if self._ours and not self._failed and not self._runtime.failed and not self._is_stopped():
                self._stop_in_order()
            self._state = _OVER
        finally:
            self._end()

    def _is_stopped(self) -> bool:
        """Whether the user has called Lava's own stop()."""
        memory = self._runtime._messaging_infrastructure.smm
        return memory is None or memory._manager is None

    def _stop_in_order(self) -> None:
        """Lava's Runtime.stop as far as the children go; they are killed later if they do not."""
        from lava.magma.runtime.mgmt_token_enums import MGMT_COMMAND, MGMT_RESPONSE

        try:
            if self._told(MGMT_COMMAND.STOP, MGMT_RESPONSE.TERMINATED, _GRACE_SECONDS):
                deadline = time.monotonic() + _GRACE_SECONDS
                while time.monotonic() < deadline and self._workers() & set(multiprocessing.active_children()):
                    time.sleep(_SHORTEST_POLL)
        except LavaRunError as error:  # a child that has ended by then
            logging.getLogger(__name__).debug("stop in order: %s", error)

    def _workers(self) -> set[Any]:
        return {child for child in self._children if not family.is_memory_manager(child)}

    def _end(self) -> None:
        """End what is left: children, the run time's threads, shared memory, and Lava's memory of the Processes."""
        if not self._ours:  # the Processes belong to another run time
            ending.closed(self)
            return
        children = self._known = self._children
        runtime = self._runtime if self._runtime is not None else self._process.runtime
        names = traces.segments(runtime)
        family.kill([child for child in children if not family.is_memory_manager(child)])
        if runtime is not None:
            self._shut_down(runtime)
        family.kill(children)
        traces.unlink(names)
        traces.forget(traces.with_compiled(self._processes, runtime))
        self._runtime, self._ours = None, False
        ending.closed(self)

    def _shut_down(self, runtime: Any) -> None:
        """Lava's stop for a run time without children, in a thread, as the memory's manager may not answer."""

        def target() -> None:
            try:
                runtime.runtime_to_service = runtime.service_to_runtime = []
                runtime._is_started = True  # else its ports' threads stay
                runtime.stop()
            except Exception as error:
                logging.getLogger(__name__).debug("stop failed: %r", error)

        thread = threading.Thread(target=target, name="tp_lava stop", daemon=True)
        thread.start()
        thread.join(_GRACE_SECONDS)

    def end_now(self) -> None:
        """Kill every child and remove the shared memory, whatever is going on: for a program that ends."""
        if self._ours:
            family.kill(self._children)
            traces.unlink(traces.segments(self._process.runtime))
