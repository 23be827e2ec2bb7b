"""What stock Lava leaves behind, taken away: registered Processes and Vars, logging handlers, threads, shared memory."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.shared_memory import SharedMemory
from typing import Any

_COMPILER_LOG = "lava.magma.compiler.compiler"


def connected(process: Any) -> list[Any]:
    """All Processes that a network holds: those reached from `process` through ports of any kind, itself first."""
    found, waiting = {id(process): process}, [process]
    while waiting:
        each = waiting.pop()
        ports = [port for kind in (each.in_ports, each.out_ports, each.ref_ports, each.var_ports) for port in kind.members]
        for port in ports:
            for other in (*port.get_src_ports(), *port.get_dst_ports()):
                if id(other.process) not in found:
                    found[id(other.process)] = other.process
                    waiting.append(other.process)
    return list(found.values())


def with_compiled(processes: Sequence[Any], runtime: Any) -> list[Any]:
    """These and those that compiling them made, such as the parts of a hierarchical Process."""
    found = {id(process): process for process in processes}
    for process in list(runtime._executable.proc_builders) if runtime is not None else ():
        while process is not None:
            found[id(process)] = process
            process = process.parent_proc
    return list(found.values())


def forget(processes: Iterable[Any]) -> None:
    """Let go of Processes that will not run again.

    Lava keeps every Process and Var for ever, would stop a stopped run time again, and has one more handler on the
    root logger for each Process.
    """
    from lava.magma.core.process.process import ProcessServer
    from lava.magma.core.process.variable import VarServer

    processes = list(processes)
    registered, variables = ProcessServer(), VarServer()
    gone = set(map(id, processes))
    for process in registered.processes:
        if id(process) in gone:  # not yet forgotten: its handler is still there
            _drop_handler(process)
    for process in processes:
        process.runtime = None
        _end_pipes(process)
    registered.processes = [p for p in registered.processes if id(p) not in gone]
    variables.vars = [v for v in variables.vars if id(getattr(v, "process", None)) not in gone]


def _drop_handler(process: Any) -> None:
    """Take the handler from the root logger that this Process, or one with the same options, put there."""
    root, options = logging.getLogger(), process._log_config
    for handler in reversed(root.handlers):  # the newest: the others may be of Processes that still are
        form = handler.formatter
        if (
            type(handler) is logging.StreamHandler
            and form is not None
            and (form._fmt, form.datefmt) == (options.format, options.date_format)
        ):
            root.removeHandler(handler)
            return


def _end_pipes(process: Any) -> None:
    """The parent's ends of pipes in and out of a network, whose threads Lava does not end."""
    for port in (*process.in_ports.members, *process.out_ports.members):
        for name in ("external_pipe_csp_send_port", "external_pipe_csp_recv_port"):
            end = getattr(port, name, None)
            if end is not None:
                end.join()


@contextmanager
def all_or_none() -> Iterator[None]:
    """Forget the Processes made in this block if it fails."""
    from lava.magma.core.process.process import ProcessServer

    before = set(map(id, ProcessServer().processes))
    try:
        yield
    except BaseException:
        forget([p for p in ProcessServer().processes if id(p) not in before])
        raise


@contextmanager
def compiler_log_kept() -> Iterator[None]:
    """Every compilation adds a handler to the compiler's logger; take it away again."""
    log = logging.getLogger(_COMPILER_LOG)
    before = list(log.handlers)
    try:
        yield
    finally:
        log.handlers[:] = before


def segments(runtime: Any) -> list[str]:
    """Names of the shared memory of a run time."""
    infrastructure = getattr(runtime, "_messaging_infrastructure", None)
    memory = getattr(infrastructure, "smm", None)
    return [handle.name for handle in memory._shared_memory_handles] if memory is not None else []


def unlink(names: Iterable[str]) -> None:
    """Remove what is left of these segments, for example because their manager was killed."""
    for name in names:
        with suppress(FileNotFoundError):
            memory = SharedMemory(name)
            memory.close()
            memory.unlink()
