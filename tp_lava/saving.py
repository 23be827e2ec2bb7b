"""Files that are written whole or not at all, and that stay: after a kill or a power cut there is the old file or the new one.

A file is written beside its place, flushed to the disk, moved there by one rename, and the folder is flushed. What a killed process leaves,
a file called .NAME.*.tmp, is removed by the next save of NAME; while it is being written it is locked, so no other process removes it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from pathlib import Path

from tp_lava.errors import writing

try:
    import fcntl
except ImportError:  # no POSIX
    fcntl = None  # type: ignore[assignment]

_SUFFIX = ".tmp"
_YOUNG = 60  # seconds in which a temporary file may not be locked yet
_NOT_FOR_FOLDERS = {errno.EINVAL, errno.EBADF, errno.EACCES, errno.EPERM}  # what fsync of a folder gives where there is none


def write_whole(path: str | os.PathLike, data: bytes) -> None:
    """Write a file; when this returns, it is on the disk. Raises OSError, which names the file; the old one is then as it was."""
    target = Path(path)
    remove_left_over(target)
    with writing(target):
        _write(target, data)


def remove_left_over(target: Path, least_age: float = _YOUNG) -> None:
    """Remove what killed processes left of a file: temporaries that nobody holds. least_age: seconds; 0 where nobody else writes."""
    _remove_temporaries(target.parent, f".{target.name}.", least_age)


def remove_all_left_over(folder: Path) -> None:
    """The same of every file of a folder where nobody else writes."""
    _remove_temporaries(folder, ".", 0)


def _remove_temporaries(folder: Path, begin: str, least_age: float) -> None:
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if name.startswith(begin) and name.endswith(_SUFFIX):
                _remove_unheld(folder / name, least_age)


def _remove_unheld(file: Path, least_age: float) -> None:
    with contextlib.suppress(OSError):
        opened = os.open(file, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if time.time() - os.fstat(opened).st_mtime >= least_age:
                _lock(opened)
                os.unlink(file)
        finally:
            os.close(opened)


def _write(target: Path, data: bytes) -> None:
    temporary = target.parent / f".{target.name}.{secrets.token_hex(6)}{_SUFFIX}"
    opened = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666)
    try:
        with os.fdopen(opened, "wb") as file:
            with contextlib.suppress(OSError):  # a file system without locks
                _lock(opened)
            file.write(data)
            file.flush()
            os.fsync(opened)
            os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _flush_folder(target.parent)


def _lock(opened: int) -> None:
    """Lock a file while it is open, however its process ends. Raises OSError where another one has it."""
    if fcntl is not None:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _flush_folder(folder: Path) -> None:
    """Put a rename on the disk."""
    if os.name != "posix":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in _NOT_FOR_FOLDERS:
            raise
    finally:
        os.close(opened)
