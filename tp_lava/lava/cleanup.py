"""Removes what stock Lava leaves behind: registered Processes and Vars, logging handlers, threads, shared memory."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.shared_memory import SharedMemory
from typing import Any

_COMPILER_LOG = "lava.magma.compiler.compiler"


def with_compiled(processes: Sequence[Any], runtime: Any) -> list[Any]:
    """These and those made by compiling them, such as the parts of a hierarchical Process."""
    found = {id(process): process for process in processes}
    for process in list(runtime._executable.proc_builders) if runtime is not None else ():
        while process is not None:
            found[id(process)] = process
            process = process.parent_proc
    return list(found.values())


def forget(processes: Iterable[Any]) -> None:
    """Delete Lava's references to Processes that will not run again.

    Lava keeps every Process and Var for ever, would stop a stopped run time again, and adds a handler to the root logger
    for each Process.
    """
    from lava.magma.core.process.process import ProcessServer
    from lava.magma.core.process.variable import VarServer

    processes = list(processes)
    registered, variables = ProcessServer(), VarServer()
    gone = set(map(id, processes))
    for process in registered.processes:
        if id(process) in gone:  # not forgotten before: its handler is still there
            _remove_handler(process)
    for process in processes:
        process.runtime = None
        _end_pipes(process)
    registered.processes = [p for p in registered.processes if id(p) not in gone]
    variables.vars = [v for v in variables.vars if id(getattr(v, "process", None)) not in gone]


def _remove_handler(process: Any) -> None:
    """Remove the handler that this Process, or another with the same log options, added to the root logger."""
    root, options = logging.getLogger(), process._log_config
    for handler in reversed(root.handlers):  # newest first: older ones may belong to Processes that still run
        form = handler.formatter
        if type(handler) is logging.StreamHandler and form and (form._fmt, form.datefmt) == (options.format, options.date_format):
            root.removeHandler(handler)
            return


def _end_pipes(process: Any) -> None:
    """End the threads of external pipes, in the parent, which Lava does not."""
    for port in (*process.in_ports.members, *process.out_ports.members):
        for name in ("external_pipe_csp_send_port", "external_pipe_csp_recv_port"):
            pipe = getattr(port, name, None)
            if pipe is not None:
                pipe.join()


@contextmanager
def all_or_none() -> Iterator[None]:
    """Forget the Processes made in this block if it raises."""
    from lava.magma.core.process.process import ProcessServer

    before = set(map(id, ProcessServer().processes))
    try:
        yield
    except BaseException:
        forget([p for p in ProcessServer().processes if id(p) not in before])
        raise


@contextmanager
def compiler_log_kept() -> Iterator[None]:
    """Remove the handler that every compilation adds to the compiler's logger."""
    log = logging.getLogger(_COMPILER_LOG)
    before = list(log.handlers)
    try:
        yield
    finally:
        log.handlers[:] = before


def unlink(names: Iterable[str]) -> None:
    """Remove those of these shared-memory segments that still exist, for example because their manager was killed."""
    for name in names:
        with suppress(FileNotFoundError):
            memory = SharedMemory(name)
            memory.close()
            memory.unlink()
