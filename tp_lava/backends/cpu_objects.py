"""Object code made executable by LLVM alone: Numba, which takes longer to import than all that is done here, is not needed."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from inspect import signature
from typing import Any

from llvmlite import binding

from tp_lava.backends.code_folder import Code

_ONE_PIECE = "use_lmm"  # the argument by which llvmlite allocates memory for code and constants at once, if it can
_HAS_ONE_PIECE = _ONE_PIECE in signature(binding.create_mcjit_compiler).parameters
FUNCTION = "operation"  # as the code that LLVM makes calls it
_ELF = b"\x7fELF\x02\x01"  # of 64 bits, little endian
_SYMBOLS, _UNDEFINED = 2, 0  # type of a section, section of a symbol
_SECTIONS_AT, _SECTION_SIZES = struct.Struct("<Q"), struct.Struct("<HH")
_SECTION, _SYMBOL = struct.Struct("<IIQQQQI"), struct.Struct("<IBBHQQ")
_ABORTING = ("numba_unpickle", "numba_do_raise", "numba_runtime_build_excinfo_struct", "NRT_Free", "NRT_MemInfo_call_dtor")
_NUMBAS = """
declare i32 @PyGILState_Ensure()
declare void @PyGILState_Release(i32)
declare void @abort()
define void @numba_gil_ensure(i32* %state) {
    %held = call i32 @PyGILState_Ensure()
    store i32 %held, i32* %state
    ret void
}
define void @numba_gil_release(i32* %state) {
    %held = load i32, i32* %state
    call void @PyGILState_Release(i32 %held)
    ret void
}
""" + "".join(f"define void @{name}() {{\n call void @abort()\n unreachable\n}}\n" for name in _ABORTING)
# The functions of Numba that the code names where it raises an exception, or frees memory that it has allocated: an operation does neither.
_OURS = {"numba_gil_ensure", "numba_gil_release", *_ABORTING}
_engines: list[Any] = []  # code lives as long as its engine


def load(code: Code) -> int | None:
    """Where the function begins; None where the object is none of this machine's, or calls what is not in this process."""
    try:
        needed = set(undefined_symbols(code.object))
    except (struct.error, IndexError, ValueError):
        return None
    return executable(code) if _supply(needed) else None


def executable(code: Code) -> int | None:
    """Where the function begins, of code that was made here and calls nothing but what LLVM finds; None where it is not in it."""
    engine = _engine(together=code.symbol == FUNCTION and stands_alone(code.object))
    engine.add_object_file(binding.ObjectFileRef.from_data(code.object))
    engine.finalize_object()
    _engines.append(engine)
    return engine.get_function_address(code.symbol) or None


def _supply(names: set[str]) -> bool:
    """See that symbols are there. -> whether all are."""
    if missing := _missing(names):
        if missing & _OURS:
            _add_ours(missing)
        if _missing(names):
            from numba.core.registry import cpu_target
            from numba.core.runtime import rtsys

            rtsys.initialize(cpu_target.target_context)  # after which LLVM knows the libraries of Numba
    return not _missing(names)


def _missing(names: set[str]) -> set[str]:
    return {name for name in names if not binding.address_of_symbol(name)}


def _add_ours(missing: set[str]) -> None:
    engine = _engine(_NUMBAS)
    engine.finalize_object()
    _engines.append(engine)
    for name in missing & _OURS:
        binding.add_symbol(name, engine.get_function_address(name))


def _engine(text: str = "", *, together: bool = False) -> Any:
    """An engine for one object: names of functions are unique in a process, not among those of several. together: it has one piece of
    memory for code and constants.
    """
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    triple = binding.get_process_triple()
    module = binding.parse_assembly(f'target triple = "{triple}"\n{text}')
    machine = binding.Target.from_triple(triple).create_target_machine(codemodel="jitdefault", jit=True)
    return binding.create_mcjit_compiler(module, machine, **({_ONE_PIECE: True} if together else {}))


def stands_alone(data: bytes) -> bool:
    """Whether it is an ELF object that wants nothing from elsewhere, and this llvmlite can put it into one piece of memory."""
    try:
        return _HAS_ONE_PIECE and not any(undefined_symbols(data))
    except (struct.error, IndexError, ValueError):
        return False


def undefined_symbols(data: bytes) -> Iterator[str]:
    """What an ELF object wants from elsewhere. LLVM ends the process where it does not find it. Raises ValueError and the like."""
    if data[: len(_ELF)] != _ELF:
        raise ValueError("no ELF object of 64 bits")
    (start,), (size, count) = _SECTIONS_AT.unpack_from(data, 0x28), _SECTION_SIZES.unpack_from(data, 0x3A)
    sections = [_SECTION.unpack_from(data, start + size * number) for number in range(count)]
    for _, kind, _, _, place, length, names in sections:
        if kind != _SYMBOLS:
            continue
        names_at = sections[names][4]
        for at in range(place, place + length, _SYMBOL.size):
            name, _, _, section, _, _ = _SYMBOL.unpack_from(data, at)
            if name and section == _UNDEFINED:
                begin = names_at + name
                yield data[begin : data.index(b"\0", begin)].decode()
