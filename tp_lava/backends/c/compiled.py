"""The C back end on this machine: what it renders, compiled by a C compiler and called through ctypes."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tp_lava.backends.c.library import once_source
from tp_lava.backends.c.members import CONSTANT, Member, layout_of
from tp_lava.backends.c.program import NAME
from tp_lava.backends.protocol import Memory, StepByStep
from tp_lava.circuit import Circuit, Operation
from tp_lava.errors import invalid

OPTIONS = ("-O2",)


def build(files: Mapping[str, str], folder: Path, options: Sequence[str] = OPTIONS, compiler: str = "cc") -> ctypes.CDLL:
    """Write files, compile those that end in .c and load them. Raises InvalidValueError for what the compiler refuses."""
    for file, text in files.items():
        (folder / file).write_text(text)
    sources = [file for file in files if file.endswith(".c")]
    command = [compiler, "-std=c99", *options, "-shared", "-fPIC", "-o", "library.so", *sources]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except FileNotFoundError:
        raise invalid(NAME, "compiler", repr(compiler), "a program on this machine", "install gcc or clang, or give another one") from None
    if done.returncode:
        raise invalid(NAME, "source", f"refused by {compiler}: {done.stderr[:4000]}", "C99", "mind the compiler's words")
    return ctypes.CDLL(str(folder / "library.so"))


class State:
    """A library's state. arrays: views of its members, by name; struct: what its functions take."""

    def __init__(self, members: Iterable[Member]) -> None:
        held = [m for m in members if m.place != CONSTANT]
        self.struct = layout_of(held)()
        self.arrays = {m.name: self._view(m) for m in held}

    def _view(self, m: Member) -> np.ndarray:
        return np.ctypeslib.as_array(getattr(getattr(self.struct, m.place), m.name)).reshape(m.shape)


class C:
    """The back end that renders C99. compiler: a program that takes gcc's options; options: of the compiler."""

    name = NAME

    def __init__(self, compiler: str = "cc", options: Sequence[str] = OPTIONS) -> None:
        self.compiler, self.options = compiler, tuple(options)

    def compile(self, circuit: Circuit, operations: Sequence[Operation] | None = None) -> CompiledC:
        """See BackEnd. The compiler is called when the operations are first carried out."""
        return CompiledC(circuit, circuit.step if operations is None else operations, self.compiler, self.options)


class CompiledC(StepByStep):
    """Operations as C. source: text; arrays are copied to where C has them, and back, each time."""

    def __init__(self, circuit: Circuit, operations: Sequence[Operation], compiler: str, options: Sequence[str]) -> None:
        self.circuit = circuit
        self.source, members = once_source("circuit", circuit, operations)
        self._state, self._compiler, self._options = State(members), compiler, options
        self._written = tuple(dict.fromkeys(name for operation in operations for name in operation.writes))

    @cached_property
    def _library(self) -> ctypes.CDLL:
        with TemporaryDirectory() as folder:
            return build({"circuit.c": self.source}, Path(folder), self._options, self._compiler)

    def once(self, memory: Memory) -> None:
        """See Compiled."""
        for name, array in self._state.arrays.items():
            if name in memory:
                array[...] = memory[name]
        self._library.circuit_once(ctypes.byref(self._state.struct))
        for name in self._written:
            memory[name][...] = self._state.arrays[name]
