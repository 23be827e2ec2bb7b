"""What Numba compiles, and what the sources of functions may call. Imported only where code is not on disk already (see cpu_code)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tp_lava.backends.code_folder import Code
from tp_lava.backends.cpu_calls import CLOCK, FUNCTION, KINDS, LAST_STEPS, NO_KEY, RANDOM_STREAM, SLOTS, SWITCH
from tp_lava.backends.cpu_functions import exp2, inlined
from tp_lava.backends.cpu_lists import list_numbers, list_ones
from tp_lava.backends.cpu_operation import KEY, OPERATION, SLOTS_OF_OPERATION, Source
from tp_lava.backends.cpu_rows import add_parts, add_rows, add_scaled_parts, add_scaled_rows, transpose
from tp_lava.backends.cpu_taps import add_patches, add_taps
from tp_lava.backends.cpu_windows import hand_to_first, pool_windows
from tp_lava.numbers import draw, mix

_REASSOCIATE = {"reassoc", "nsz"}  # lets LLVM vectorise float sums; results stay the same on one machine
_TYPES = {KEY: types.uint32, SLOTS_OF_OPERATION: types.CPointer(types.int64)}
_mix = inlined(mix)


def _pointer_to(dtype: type) -> Callable:
    pointer = types.CPointer(numba.from_dtype(np.dtype(dtype)))

    @intrinsic
    def at(typing, address):
        def code(context, builder, signature, values):
            return builder.inttoptr(values[0], context.get_value_type(signature.return_type))

        return pointer(types.int64), code

    return at


_POINTERS = {f"{kind}_at": _pointer_to(dtype.type) for dtype, kind in KINDS.items()}
_int32_at = _POINTERS["int32_at"]


# Calls -------------------------------------------------------------------------------------------


@intrinsic
def _call(typing, function, key, slots):
    def code(context, builder, signature, values):
        type_ = ir.FunctionType(context.get_value_type(types.void), [context.get_value_type(t) for t in _TYPES.values()])
        pointers = builder.inttoptr(values[2], type_.args[1])
        builder.call(builder.inttoptr(values[0], type_.as_pointer()), [values[1], pointers])
        return context.get_dummy_value()

    return types.void(types.int64, types.uint32, types.int64), code


@inlined
def _held(address):
    return numba.carray(_int32_at(address), (1,))[0]


@inlined
def _carry_out(calls, base):
    for c in range(calls.shape[0]):
        call = calls[c]
        if call[SWITCH] != 0 and _held(call[SWITCH]) == 0:
            continue
        if call[LAST_STEPS] != 0 and not 0 <= _held(call[CLOCK]) < call[LAST_STEPS]:
            continue
        key = _mix(base, np.uint32(call[RANDOM_STREAM])) if call[RANDOM_STREAM] != NO_KEY else np.uint32(0)
        _call(call[FUNCTION], key, call[SLOTS])  # type: ignore[call-arg]


@inlined
def _with_key(calls, key):
    for c in range(calls.shape[0]):
        _call(calls[c, FUNCTION], key, calls[c, SLOTS])  # type: ignore[call-arg]


@inlined
def _once(calls, seed, step):
    _carry_out(calls, _mix(seed[0], step[0]))


@inlined
def _each_step(begin, end, offsets, units, values, graded, kept, constant, active, count, calls, seed, step, advance):
    for t in range(begin, end):
        kept[0] = 1 if constant != 0 and t > 0 else 0
        for r in range(offsets.shape[0]):
            if graded.shape[0] != 0:
                for q in range(count[r]):  # of the step before
                    graded[r, active[r, q]] = 0
            first = offsets[r, t]
            count[r] = offsets[r, t + 1] - first
            for q in range(count[r]):
                active[r, q] = units[first + q]
            if graded.shape[0] != 0:
                for q in range(count[r]):
                    graded[r, active[r, q]] = values[first + q]
        base = _mix(seed[0], step[0])
        step[0] += np.uint32(advance)
        _carry_out(calls, base)
    kept[0] = 0


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
    "exp2": exp2,
    "add_parts": add_parts,
    "add_patches": add_patches,
    "add_rows": add_rows,
    "add_scaled_parts": add_scaled_parts,
    "add_scaled_rows": add_scaled_rows,
    "add_taps": add_taps,
    "hand_to_first": hand_to_first,
    "list_numbers": list_numbers,
    "list_ones": list_ones,
    "pool_windows": pool_windows,
    "transpose": transpose,
    "with_key": _with_key,
    "once": _once,
    "each_step": _each_step,
    "carray": numba.carray,
    **_POINTERS,
}


@cache
def function_of(source: Source) -> Callable:
    """The function of a source; compiled, if it says what it takes."""
    scope = {**SCOPE, **{name: function_of(called) for name, called in source.names}}
    exec(compile(source.text, "<tp_lava>", "exec"), scope)
    function = scope[source.text.split("(", 1)[0].removeprefix("def ")]
    if source.arguments is None:
        return inlined(function)
    signature = types.void(*(_type(argument) for argument in source.arguments))
    fast = _REASSOCIATE if source.reassociate else False
    options: dict[str, Any] = {"fastmath": fast, "error_model": "numpy", "no_cpython_wrapper": True}
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
