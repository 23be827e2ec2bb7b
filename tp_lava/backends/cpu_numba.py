"""What Numba compiles, and what the sources of functions may call. Imported only where code is not on disk already (see cpu_code)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tp_lava.backends.code_folder import Code
from tp_lava.backends.cpu_calls import KINDS
from tp_lava.backends.cpu_functions import inlined
from tp_lava.backends.cpu_lists import list_numbers
from tp_lava.backends.cpu_llvm import parsed
from tp_lava.backends.cpu_operation import KEY, OPERATION, SLOTS_OF_OPERATION, Source
from tp_lava.backends.cpu_rows import add_parts, add_rows, add_scaled_parts, add_scaled_rows, transpose
from tp_lava.backends.cpu_taps import add_patches, add_taps
from tp_lava.backends.cpu_windows import hand_to_first, pool_windows
from tp_lava.numbers import draw, mix

_TYPES = {KEY: types.uint32, SLOTS_OF_OPERATION: types.CPointer(types.int64)}


def _pointer_to(dtype: type) -> Callable:
    pointer = types.CPointer(numba.from_dtype(np.dtype(dtype)))

    @intrinsic
    def at(typing, address):
        def code(context, builder, signature, values):
            return builder.inttoptr(values[0], context.get_value_type(signature.return_type))

        return pointer(types.int64), code

    return at


_POINTERS = {f"{kind}_at": _pointer_to(dtype.type) for dtype, kind in KINDS.items()}


# Functions ---------------------------------------------------------------------------------------


@inlined
def _select(condition, a, b):
    return a if condition else b


@intrinsic
def _pointer_of(typing, array):
    def code(context, builder, signature, values):
        return context.make_array(signature.args[0])(context, builder, values[0]).data

    return types.CPointer(array.dtype)(array), code


@inlined
def _seen(array, rows, columns):
    """A C-contiguous array of rows * columns numbers. Unlike reshape it calls nothing, and checks nothing."""
    return numba.carray(_pointer_of(array), (rows, columns))  # type: ignore[call-arg]


@inlined
def _as_flat(array):
    """The same as one row."""
    return numba.carray(_pointer_of(array), (array.size,))  # type: ignore[call-arg]


SCOPE: dict[str, Any] = {
    "np": np,
    "i32": np.int32,
    "i64": np.int64,
    "u32": np.uint32,
    "u64": np.uint64,
    "f32": np.float32,
    "mix": inlined(mix),
    "draw": inlined(draw),
    "select": _select,
    "seen": _seen,
    "as_flat": _as_flat,
    "add_parts": add_parts,
    "add_patches": add_patches,
    "add_rows": add_rows,
    "add_scaled_parts": add_scaled_parts,
    "add_scaled_rows": add_scaled_rows,
    "add_taps": add_taps,
    "hand_to_first": hand_to_first,
    "list_numbers": list_numbers,
    "pool_windows": pool_windows,
    "transpose": transpose,
    "carray": numba.carray,
    **_POINTERS,
}


def _linked(source: Source) -> Callable:
    """A program of LLVM's text as Numba calls it: with its key, if it draws random bits, and its arrays."""
    name = f"program_{hashlib.sha256(source.text.encode()).hexdigest()}"
    text = source.text.replace("define internal void @program(", f"define void @{name}(").replace(") alwaysinline {", ") {")

    def typed(*taken):
        def code(context, builder, signature, values):
            passed = [] if isinstance(taken[0], types.Integer) else [ir.Constant(ir.IntType(32), 0)]
            for type_, value in zip(taken, values, strict=True):
                if isinstance(type_, types.Array):
                    array = context.make_array(type_)(context, builder, value)
                    passed += [builder.bitcast(array.data, ir.IntType(8).as_pointer()), *cgutils.unpack_tuple(builder, array.shape)]
                else:
                    passed.append(value)
            function_type = ir.FunctionType(ir.VoidType(), [value.type for value in passed])
            builder.call(cgutils.get_or_insert_function(builder.module, function_type, name), passed)
            library = context.codegen().create_library(name)
            library.add_llvm_module(parsed(text))
            library.finalize()
            context.active_code_library.add_linking_library(library)
            return context.get_dummy_value()

        return types.void(*taken), code

    assert source.arguments is not None
    names, scope = ", ".join(f"a{k}" for k in range(len(source.arguments))), {"typed": typed}
    exec(f"def program(typing, {names}): return typed({names})", scope)  # Numba asks for names
    return intrinsic(scope["program"])


@cache
def function_of(source: Source) -> Callable:
    """The function of a source; compiled, if it says what it takes."""
    if source.language == "llvm":
        return _linked(source)
    scope = {**SCOPE, **{name: function_of(called) for name, called in source.names}}
    exec(compile(source.text, "<tp_lava>", "exec"), scope)
    function = scope[source.text.split("(", 1)[0].removeprefix("def ")]
    if source.arguments is None:
        return inlined(function)
    signature = types.void(*(_type(argument) for argument in source.arguments))
    options: dict[str, Any] = {"error_model": "numpy", "no_cpython_wrapper": True}
    return numba.njit(signature, **options)(function)


def _type(argument: Any) -> Any:
    if isinstance(argument, str):
        return _TYPES[argument]
    return types.Array(numba.from_dtype(argument.dtype), argument.dimensions, "C")


def machine_code(source: Source) -> tuple[int, Code | None]:
    """An operation: where it begins, and its code to be kept, where Numba gives it."""
    assert source.arguments == OPERATION
    function = function_of(source)
    (signature,) = function.nopython_signatures  # type: ignore[attr-defined]
    result = function.get_compile_result(signature)  # type: ignore[attr-defined]
    symbol = result.fndesc.llvm_cfunc_wrapper_name
    address = result.library.get_pointer_to_function(symbol)
    try:
        _, _, (object_code, _) = result.library.serialize_using_object_code()
    except (AttributeError, TypeError, ValueError, RuntimeError):  # another Numba
        return address, None
    return address, Code(symbol, bytes(object_code))
