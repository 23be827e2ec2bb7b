"""Makes lava-nc 0.10.0 importable: on Python 3.11 and later, and if a start method was set before.

lava-nc declares dataclasses with unhashable defaults, which 3.11 refuses; giving those of one module a hash
(`unsafe_hash`) is all it takes. It also sets multiprocessing's start method when it is imported.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import multiprocessing
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from tp_lava.errors import LavaUnavailableError

_NEEDS_HASH = "lava.magma.compiler.var_model"
_CHOOSES_START_METHOD = "lava.magma.runtime.message_infrastructure.multiprocessing"
_INSTALL = """lava-nc is not installed. Install it with
    pip install "tp-lava[lava]"                                              (Python 3.10)
    pip install "tp-lava[lava]"; pip install --no-deps --ignore-requires-python lava-nc==0.10.0   (3.11 to 3.13)
The core of tp_lava (Network, Learner, data) works without it."""


def make_importable() -> None:
    """Import the modules of lava-nc that fail without help. Raises LavaUnavailableError, which says what to install or change."""
    if _CHOOSES_START_METHOD in sys.modules:
        return
    if importlib.util.find_spec("lava") is None:
        raise LavaUnavailableError(_INSTALL, obj="lava-nc", attr="installed")
    try:
        with _hashable_dataclasses():
            importlib.import_module(_NEEDS_HASH)
        with _start_method_chosen():
            importlib.import_module(_CHOOSES_START_METHOD)
    except LavaUnavailableError:
        raise
    except Exception as error:
        message = f"lava-nc is installed but cannot be imported ({error!r}); tp_lava needs lava-nc==0.10.0."
        raise LavaUnavailableError(message, obj="lava-nc") from error


@contextmanager
def _replaced(module: object, name: str, value: object) -> Iterator[None]:
    original = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, original)


@contextmanager
def _hashable_dataclasses() -> Iterator[None]:
    original = dataclasses.dataclass

    def dataclass(cls=None, /, **options):
        if cls is None:
            return partial(dataclass, **options)
        extra = {"unsafe_hash": True} if cls.__module__ == _NEEDS_HASH else {}
        return original(cls, **extra, **options)

    with _replaced(dataclasses, "dataclass", dataclass):
        yield


@contextmanager
def _start_method_chosen() -> Iterator[None]:
    """Let Lava set "fork", unless "fork" is set already. Raises LavaUnavailableError for another start method."""
    chosen = multiprocessing.get_start_method(allow_none=True)
    if chosen is None:
        yield
        return
    if chosen != "fork":
        message = (
            f"multiprocessing's start method is {chosen!r}, but Lava's processes are forked; "
            f"call multiprocessing.set_start_method('fork') first, or import tp_lava.lava before what chose {chosen!r}."
        )
        raise LavaUnavailableError(message, obj="multiprocessing", attr="start_method")
    with _replaced(multiprocessing, "set_start_method", lambda method, force=False: None):
        yield
