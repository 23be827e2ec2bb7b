"""The source of an operation: what is compiled, whoever does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from tp_lava.backends.cpu_calls import Argument, unpacked

KEY, SLOTS_OF_OPERATION = "key", "slots"  # what an operation takes: uint32, address of int64
OPERATION = (KEY, SLOTS_OF_OPERATION)


@dataclass(frozen=True)
class Source:
    """The source of a function.

    arguments: what it takes, KEY, SLOTS_OF_OPERATION or arrays; None: it is inlined where it is called. names: what it calls beside
    cpu_numba.SCOPE; language: of the text, Python for Numba or LLVM's intermediate representation.
    """

    text: str
    arguments: tuple[str | Argument, ...] | None = None
    names: tuple[tuple[str, Source], ...] = ()
    language: Literal["numba", "llvm"] = "numba"


def operation(arguments: Sequence[Argument], body: Sequence[str], names: Mapping[str, Source] = MappingProxyType({})) -> Source:
    """The source of an operation. names: what its body calls beside the scope of all."""
    lines = ["def operation(key, slots):", *(f"    {line}" for line in unpacked(arguments)), *body]
    return Source("\n".join(lines) + "\n", OPERATION, tuple(names.items()))
