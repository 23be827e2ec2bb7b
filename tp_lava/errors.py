"""One family of errors: each names the object, the value found, the limit and the remedy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

TORCH_CPU_BUILD = "pip install torch --index-url https://download.pytorch.org/whl/cpu"  # PyPI's for Linux brings CUDA along


def printable(text: str) -> str:
    r"""The text, with what would act on a screen instead of standing there written out: terminal escapes, half characters of file names.

    >>> printable("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


class TpLavaError(Exception):
    """Base of every error tp_lava raises on purpose.

    obj: what was wrong (for example "LIF"); attr: which of its values (for example "decay").
    """

    def __init__(self, message: str, *, obj: str = "", attr: str = "") -> None:
        super().__init__(printable(message))
        self.obj = obj
        self.attr = attr


class InvalidValueError(TpLavaError, ValueError):
    """A value from outside that cannot be used; nothing was changed."""


class ConversionError(InvalidValueError):
    """A converted network does otherwise than its source when both are run.

    layer: path in the source; step: from 0; neuron: of the layer, from 0 (or of what arrives at it), None where no single one is
    meant; cause: the likely one, in words.
    """

    def __init__(self, layer: str, found: str, cause: str, remedy: str, step: int | None = None, neuron: int | None = None) -> None:
        where = [f"{name} {number}" for name, number in (("step", step), ("neuron", neuron)) if number is not None]
        place = f" at {', '.join(where)}" if where else ""
        message = f"convert: {layer}: parts from its source{place}: {found}. Likely cause: {cause}; {remedy}."
        super().__init__(message, obj=f"convert: {layer}", attr="verification")
        self.layer, self.step, self.neuron, self.cause = layer, step, neuron, cause


class NumberRangeError(TpLavaError, ValueError):
    """A fixed-point value that would not fit its register."""


class ArchiveError(TpLavaError, ValueError):
    """A file that is not a tp_lava archive, is damaged, or is of a newer version."""


class LavaUnavailableError(TpLavaError, ImportError):
    """lava-nc cannot be imported here."""


class TorchUnavailableError(TpLavaError, ImportError):
    """PyTorch cannot be imported here."""


class FormatUnavailableError(TpLavaError, ImportError):
    """The package of a foreign format cannot be imported here."""


class LavaRunError(TpLavaError, RuntimeError):
    """A Lava run failed: an exception inside a ProcessModel, a lost process or a time-out."""


@contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """Errors of the disk within the block name this file: a full disk does not say of itself which one it was."""
    try:
        yield
    except OSError as error:
        if error.errno:
            raise type(error)(error.errno, error.strerror, str(path)) from error
        raise


def invalid(obj: str, attr: str, found: object, limit: str, remedy: str) -> InvalidValueError:
    """An InvalidValueError in the one form all messages share.

    >>> str(invalid("LIF", "decay", 1.5, "a number in [0, 1)", "use exp(-dt/tau)"))
    'LIF: decay is 1.5, but must be a number in [0, 1); use exp(-dt/tau).'
    """
    message = f"{obj}: {attr} is {found}, but must be {limit}; {remedy}."
    return InvalidValueError(message, obj=obj, attr=attr)
