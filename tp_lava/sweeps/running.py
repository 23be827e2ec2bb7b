"""Trials are carried out: in this process, in processes of this machine, or on a Dask cluster; one whose worker dies is given out again.

Each is whole in itself and depends on nothing but its settings, so that neither the number of workers nor their order matters.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
import time
import warnings
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from threadpoolctl import threadpool_limits

from tp_lava.checks import is_whole
from tp_lava.commands import configuration
from tp_lava.commands.options import INTERRUPTED
from tp_lava.commands.printing import told
from tp_lava.errors import TpLavaError, invalid
from tp_lava.sweeps.plan import COMMANDS, USAGE_ERROR, Trial

Outcome = dict[str, Any]  # settings, and result; or error, which another try would give again; or failed, which it may not
_MOST_LOSSES = 5  # of a trial, with nothing finished in between
_CONNECT_SECONDS, _RECONNECT_SECONDS = 30, 30
_POLL_SECONDS = 0.1


def carry_out(trial: Trial) -> Outcome:
    """Run the command as with --json, in a folder that is removed afterwards, on one thread."""
    start = time.perf_counter()
    outcome: Outcome = {"command": trial.command, "settings": dict(trial.settings)}
    with warnings.catch_warnings(record=True) as said, tempfile.TemporaryDirectory(prefix="tp-lava-") as folder, threadpool_limits(1):
        warnings.simplefilter("always")
        try:
            outcome["result"] = _told_by(trial, Path(folder) / "run")
        except USAGE_ERROR as error:
            outcome["error"] = error.format_message()
        except typer.Exit as error:
            if error.exit_code == INTERRUPTED:
                raise KeyboardInterrupt from None
            outcome["failed"] = f"exit code {error.exit_code}"
        except Exception as error:
            same_again = isinstance(error, TpLavaError) and isinstance(error, ValueError)
            outcome["error" if same_again else "failed"] = str(error) if same_again else f"{type(error).__name__}: {error}"
    return {**outcome, "said": sorted({str(one.message) for one in said}), "seconds": time.perf_counter() - start}


def _told_by(trial: Trial, out: Path) -> dict[str, Any]:
    command = COMMANDS[trial.command]
    given = configuration.as_given(command, "sweep", trial.command, trial.settings)
    wanted = {"as_json": True, "progress": False, "plot": False, "cost": True, "processes": "1"}
    given |= {param.name: wanted[param.name] for param in command.params if param.name in wanted and _is_flag_or_number(param)}
    given |= {param.name: str(out) for param in command.params if param.name == "out" and param.default is not None}
    with told() as result, command.make_context(trial.command, [], default_map=given) as context:
        command.invoke(context)
    return {name: value for name, value in result.items() if name not in ("files", "command", "versions")}


def _is_flag_or_number(param: Any) -> bool:
    """A plot may be a file, too, which is then left out."""
    return param.is_flag or param.name == "processes"


# Workers -----------------------------------------------------------------------------------------


class Workers:
    """What carries trials out: submit(trial) gives a Future; `lost` are the errors that it has where its worker died."""

    lost: tuple[type[BaseException], ...] = ()
    most: float = 1  # trials given out at once

    def submit(self, trial: Trial) -> Future[Outcome]:
        """In this process: done when it is returned."""
        done: Future[Outcome] = Future()
        done.set_result(carry_out(trial))
        return done

    def check(self) -> None:
        """Raise OSError where no more trial can be given out."""

    def close(self) -> None:
        """End what was started, at once."""


class Processes(Workers):
    """Processes of this machine, started afresh, so that no lock or thread of this one is in them; they end with it, however it ends."""

    lost = (BrokenProcessPool,)

    def __init__(self, count: int) -> None:
        self.most = count
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(int(self.most), mp_context=context, initializer=_end_with_parent)

    def submit(self, trial: Trial) -> Future[Outcome]:
        """All that were given out are lost with one process; the next find new ones."""
        try:
            return self._pool.submit(carry_out, trial)
        except BrokenProcessPool:
            self.close()
            self._start()
            return self._pool.submit(carry_out, trial)

    def close(self) -> None:
        """See Workers."""
        started = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in started:
            process.kill()
        for process in started:
            process.join()


def _end_with_parent() -> None:
    """Of a worker: Ctrl-C is for the process that started it, which ends it; a killed one cannot, so it watches."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()  # type: ignore[func-returns-value]


class Cluster(Workers):
    """Workers of a Dask scheduler. It has all trials at once, so that a cluster can grow by what waits."""

    most = float("inf")

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client
            from distributed.scheduler import KilledWorker
        except ImportError:
            remedy = 'pip install "tp-lava[sweep]", here and on the workers'
            raise invalid("sweep", "scheduler", f"{address}, but Dask is not installed", "used with Dask", remedy) from None
        self.lost = (KilledWorker, CancelledError)
        self._address = address
        try:
            self._client = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            remedy = f"start one with dask scheduler ({error})"
            raise invalid("sweep", "scheduler", repr(address), "the address of a running Dask scheduler", remedy) from None
        self._executor = self._client.get_executor(pure=False)

    def submit(self, trial: Trial) -> Future[Outcome]:
        """See Workers."""
        return self._executor.submit(carry_out, trial)

    def check(self) -> None:
        """A scheduler that was started again in the meantime is waited for."""
        end = time.monotonic() + _RECONNECT_SECONDS
        while self._client.status == "connecting" and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)
        if self._client.status != "running":
            raise ConnectionError(
                f"the scheduler {self._address} has ended; what is finished is kept: start one, and give the command again"
            )

    def close(self) -> None:
        """See Workers."""
        self._client.close(timeout=1)


@contextmanager
def workers_for(count: int | None, scheduler: str | None) -> Iterator[Workers]:
    """scheduler: address of Dask's; else `count` processes of this machine, None: one a core that may be used; 1: this process."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    chosen = usable if count is None else count
    if not is_whole(chosen, 1):
        raise invalid("sweep", "workers", repr(count), "a number of processes, at least 1", "leave it out for one a core")
    workers = Cluster(scheduler) if scheduler else Workers() if chosen == 1 else Processes(chosen)
    try:
        yield workers
    finally:
        workers.close()


def finished(trials: Iterable[Trial], workers: Workers) -> Iterator[tuple[Trial, Outcome]]:
    """Each trial with its outcome, as they finish; one that its workers do not survive has failed. Raises OSError without any workers."""
    waiting, running, lost = deque(trials), dict[Future[Outcome], Trial](), Counter[str]()
    while waiting or running:
        while waiting and len(running) < workers.most:
            trial = waiting.popleft()
            running[workers.submit(trial)] = trial
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            trial = running.pop(future)
            try:
                outcome = future.result()
            except workers.lost as error:
                workers.check()
                lost[trial.key] += 1
                if lost[trial.key] < _MOST_LOSSES:
                    waiting.append(trial)
                else:
                    yield trial, {"failed": f"its worker died {_MOST_LOSSES} times, for want of memory perhaps ({error})"}
            else:
                lost.clear()  # others are lost, too, when a worker dies: what counts is dying with nothing done in between
                yield trial, outcome
