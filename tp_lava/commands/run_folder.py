"""The folder of a run, held by one process at a time."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from tp_lava.errors import TpLavaError, invalid
from tp_lava.saving import remove_left_over

try:
    import fcntl
except ImportError:  # no POSIX: nothing is locked
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"


@contextlib.contextmanager
def held(folder: Path, names: Iterable[str]) -> Iterator[None]:
    """Hold a folder while the block runs, and remove what a killed process left of the files of these names.

    The lock is the system's, on the file `.lock`: it ends with its process, however that ends, and children do not inherit it.
    Raises InvalidValueError where another process holds the folder, naming it.
    """
    lock = folder / LOCK
    opened = _locked(lock)
    try:
        for name in names:
            remove_left_over(folder / name, 0)
        yield
    finally:
        if opened is not None:
            with contextlib.suppress(OSError):
                os.unlink(lock)  # before it is let go of: who waits for it sees that it is no longer the folder's
            os.close(opened)


def _locked(lock: Path) -> int | None:
    """The lock's file, locked by us; None where there are no locks."""
    if fcntl is None:
        return None
    while True:
        opened = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            holder = os.read(opened, 1000).decode(errors="replace")
            os.close(opened)
            raise _in_use(lock.parent, holder) from None
        except OSError:  # a file system without locks
            os.close(opened)
            return None
        if _is(lock, opened):
            break
        os.close(opened)  # its holder ended in between, and took the file away
    os.ftruncate(opened, 0)
    command = shlex.join(["tp-lava", *sys.argv[1:]])[:500]
    os.write(opened, f"process {os.getpid()} of {os.uname().nodename} ({command})\n".encode(errors="replace"))
    return opened


def _is(file: Path, opened: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.stat(file), os.fstat(opened))
    return False


def _in_use(folder: Path, holder: str) -> TpLavaError:
    who = "".join(c for c in holder if c.isprintable()) or "another process"
    found = f"{folder}, where {who} is at work"
    return invalid("train", "out", found, "a folder of one run at a time", "wait for its end, or give another with --out")
