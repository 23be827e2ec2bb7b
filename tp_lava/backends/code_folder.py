"""Machine code on disk, between processes: the one thing that is written unasked.

Where: TP_LAVA_CACHE, a folder, or "off", "0", "no"; else tp-lava in XDG_CACHE_HOME, else ~/.cache/tp-lava. One file for each
function, of the name of its key: the SHA-256 of its source, the sources of the back end, the versions of what compiles it, and
the processor.

    magic, the SHA-256 of key and rest, length of the symbol's name (4 bytes, little endian), name, object code

Machine code is trusted as a program is, so only what nobody else could have written is read: the folder is ours and no link, nobody else
may open it (0700), and so with each file (0600). Nothing is unpickled. The digest tells damage and files of another name. It has no secret
key: one would lie beside what it protects, behind the same permissions, and add nothing to them. A file appears by one rename, so any
number of processes may write at a time; what cannot be read or used is compiled again, and written over.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tp_lava.errors import invalid

VARIABLE, OFF = "TP_LAVA_CACHE", "off"
_OFF = {OFF, "0", "no"}
LARGEST_FILE, LARGEST_FOLDER = 64 << 20, 256 << 20  # bytes
_MAGIC = b"tp_lava code 1\n"
_DIGEST = hashlib.sha256().digest_size
_LENGTH = struct.Struct("<I")
_OLD = 3600  # seconds, after which a temporary file is one of a process that ended
_BETWEEN_LOOKS = 64  # writes between two looks at the folder's size


@dataclass(frozen=True)
class Code:
    """Object code, and the name of the function that is asked for."""

    symbol: str
    object: bytes


class UnusableError(Exception):
    """A folder that others could write to, or that is none."""


class CodeFolder:
    """A folder of machine code. Whatever fails, reading gives None and writing does nothing."""

    def __init__(self, path: Path) -> None:
        self.path, self._written = path, 0

    def read(self, key: str) -> Code | None:
        """The code of a key; None where there is none, or none that is whole and ours alone."""
        try:
            with self._opened() as folder:
                data = _own_file(key, folder)
                os.utime(key, dir_fd=folder)
        except (OSError, UnusableError):
            return None
        return _unpacked(key, data)

    def write(self, key: str, code: Code) -> None:
        """Keep the code of a key."""
        with contextlib.suppress(OSError, UnusableError):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._opened() as folder:
                if self._written % _BETWEEN_LOOKS == 0:
                    _make_room(folder)
                self._written += 1
                _put(key, _packed(key, code), folder)

    def why_unusable(self) -> str | None:
        """Why nothing is read from the folder; None where it is usable, or not made yet."""
        try:
            with self._opened():
                return None
        except FileNotFoundError:
            return None
        except (OSError, UnusableError) as error:
            return str(error)

    def contents(self) -> tuple[int, int]:
        """Number of files, and their bytes."""
        try:
            with self._opened() as folder:
                sizes = [size for _, _, size in _files(folder)]
        except (OSError, UnusableError):
            return 0, 0
        return len(sizes), sum(sizes)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        """A descriptor of the folder, checked. What is done by it is done in this very folder, whatever its name means later."""
        try:
            folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise UnusableError(f"{self.path} is a link, no folder, or cannot be opened ({error.strerror})") from None
        try:
            _check_ours(os.fstat(folder), str(self.path), "chmod 700")
            yield folder
        finally:
            os.close(folder)


def code_folder() -> CodeFolder | None:
    """The folder that is in use now; None where it is off. Raises InvalidValueError for a given one that cannot be used."""
    given = os.environ.get(VARIABLE, "")
    if given.lower() in _OFF or not hasattr(os, "geteuid"):
        return None
    if given:
        folder = CodeFolder(Path(given))
        if why := folder.why_unusable():
            raise invalid(VARIABLE, "folder", why, "one of your own, that nobody else may open", f"chmod 700 {given}, or set it to off")
        return folder
    root = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return CodeFolder((Path(root) if os.path.isabs(root) else Path.home() / ".cache") / "tp-lava")
    except RuntimeError:  # no home
        return None


# Files --------------------------------------------------------------------------------------------


def _check_ours(found: os.stat_result, name: str, remedy: str) -> None:
    if found.st_uid != os.geteuid():
        raise UnusableError(f"{name} belongs to user {found.st_uid}, not to {os.geteuid()}")
    if found.st_mode & 0o077:
        raise UnusableError(f"{name} is open to others (mode {stat.S_IMODE(found.st_mode):04o}; {remedy})")


def _own_file(name: str, folder: int) -> bytes:
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with os.fdopen(file, "rb") as opened:
        found = os.fstat(file)
        _check_ours(found, name, "chmod 600")
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_FILE:
            raise UnusableError(f"{name} is no file, or too large")
        return opened.read(LARGEST_FILE)


def _put(name: str, data: bytes, folder: int) -> None:
    temporary = f".{secrets.token_hex(16)}"
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        with os.fdopen(file, "wb") as opened:
            opened.write(data)
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise


def _files(folder: int) -> list[tuple[float, str, int]]:
    """(time of last use, name, bytes) of each file, the oldest first."""
    found = []
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            about = os.stat(name, dir_fd=folder, follow_symlinks=False)
            found.append((about.st_mtime, name, about.st_size))
    return sorted(found)


def _make_room(folder: int) -> None:
    """Remove temporaries of processes that were killed and, where the folder is full, what was used longest ago."""
    files = _files(folder)
    size, now = sum(size for _, _, size in files), time.time()
    for used, name, bytes_ in files:
        left_over = name.startswith(".") and now - used > _OLD
        if left_over or size > LARGEST_FOLDER:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=folder)
            size -= bytes_


def _packed(key: str, code: Code) -> bytes:
    symbol = code.symbol.encode()
    rest = _LENGTH.pack(len(symbol)) + symbol + code.object
    return _MAGIC + _digest(key, rest) + rest


def _unpacked(key: str, data: bytes) -> Code | None:
    """None for what is damaged, or of another key."""
    head = len(_MAGIC) + _DIGEST
    rest = data[head:]
    if data[:head] != _MAGIC + _digest(key, rest) or len(rest) < _LENGTH.size:
        return None
    end = _LENGTH.size + _LENGTH.unpack_from(rest)[0]
    return Code(rest[_LENGTH.size : end].decode(), rest[end:])


def _digest(key: str, rest: bytes) -> bytes:
    return hashlib.sha256(key.encode() + b"\n" + rest).digest()
