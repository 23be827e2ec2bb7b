"""From the source of an operation to its machine code: of this process, else from disk (code_folder), else by LLVM (cpu_llvm) or
Numba (cpu_numba).

Numba is imported in the last case only: that takes longer than to read all the code of a circuit.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path

from tp_lava.backends.code_folder import Code, code_folder
from tp_lava.backends.cpu_operation import Source

_COMPILERS = ("numba", "llvmlite", "numpy")
_PACKAGE = Path(__file__).resolve().parents[1]
_OWN_SOURCES = (*sorted((_PACKAGE / "backends").glob("*.py")), _PACKAGE / "numbers.py")  # what the code of an operation depends on
_CALLED = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_void_p)  # lets go of the GIL, so that the threads of Lava's channels go on


_addresses: dict[Source, int] = {}
_lock = threading.RLock()


def address_of(source: Source) -> int:
    """Where the machine code of an operation begins."""
    with _lock:
        if source not in _addresses:
            _addresses[source] = _found(source) or _made(source)
        return _addresses[source]


@cache
def called(source: Source) -> Callable[[int, int], None]:
    """An operation as a function of its key and of the address of its slots."""
    return _CALLED(address_of(source))


def _found(source: Source) -> int | None:
    """The code on disk, made executable."""
    folder, key = code_folder(), key_of(source)
    code = folder.read(key) if folder and key else None
    if code is None:
        return None
    from tp_lava.backends.cpu_objects import load

    return load(code)


def _made(source: Source) -> int:
    """The code made by Numba or LLVM, and kept on disk."""
    with interrupts_held():
        address, code = _of_llvm(source) if source.language == "llvm" else _of_numba(source)
        folder, key = code_folder(), key_of(source)
        if folder and key and code:
            folder.write(key, code)
    return address


def _of_llvm(source: Source) -> tuple[int, Code]:
    from tp_lava.backends.cpu_llvm import machine_code
    from tp_lava.backends.cpu_objects import executable

    code = machine_code(source)
    address = executable(code)
    assert address
    return address, code


def _of_numba(source: Source) -> tuple[int, Code | None]:
    from tp_lava.backends.cpu_numba import machine_code

    return machine_code(source)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold back Ctrl-C until the end of the block.

    LLVM calls Numba back in the middle of its work, and an exception that is raised there gets lost.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is None:
        yield
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)


# Keys --------------------------------------------------------------------------------------------


def key_of(source: Source) -> str | None:
    """The name of an operation's code on disk; None where it is not known what the code would depend on."""
    of_all = _surroundings()
    return hashlib.sha256(of_all + repr(source).encode()).hexdigest() if of_all else None


@cache
def _surroundings() -> bytes | None:
    """A digest of what the code of every operation depends on: sources, versions, processor, settings of Numba."""
    from llvmlite import binding

    try:
        versions = [metadata.version(name) for name in _COMPILERS]
    except metadata.PackageNotFoundError:
        return None
    processor = platform.machine(), binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()
    settings = sorted(item for item in os.environ.items() if item[0].startswith("NUMBA_"))
    files = [*_OWN_SOURCES, Path(".numba_config.yaml")]
    contents = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()]
    return hashlib.sha256(repr((versions, sys.version, processor, settings, contents)).encode()).digest()
