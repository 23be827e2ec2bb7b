"""How compiled operations are called: all alike, by address, so that one loop, compiled once, runs every circuit.

An operation is a function of a key and of slots: for each of its arrays, C-contiguous, the address and then the shape. A call is a row of
numbers, named by the constants here; what its slots point to must be kept alive by who made them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tp_lava.numbers import mix

FUNCTION, SLOTS, RANDOM_STREAM, SWITCH, CLOCK, LAST_STEPS, CALL_WIDTH = range(7)  # columns of a call
NO_KEY = -1  # random stream of an operation that draws nothing
SIGNATURE = (types.uint32, types.CPointer(types.int64))
_KINDS = {np.dtype(t): t.__name__ for t in (np.float32, np.int32, np.int16, np.int8, np.uint32, np.bool_)}
inlined = numba.njit(forceinline=True, error_model="numpy")
_mix = inlined(mix)


@dataclass(frozen=True)
class Argument:
    """An array that an operation takes."""

    name: str
    dtype: np.dtype
    dimensions: int


def _pointer_to(dtype: type) -> Callable:
    pointer = types.CPointer(numba.from_dtype(np.dtype(dtype)))

    @intrinsic
    def at(typing, address):
        def code(context, builder, signature, values):
            return builder.inttoptr(values[0], context.get_value_type(signature.return_type))

        return pointer(types.int64), code

    return at


SCOPE: dict[str, Any] = {f"{kind}_at": _pointer_to(dtype.type) for dtype, kind in _KINDS.items()} | {"carray": numba.carray}


def unpacked(arguments: Sequence[Argument]) -> list[str]:
    """Source lines that make arrays of an operation's slots."""
    lines = [f"slot = carray(slots, ({sum(1 + a.dimensions for a in arguments)},))"]
    place = 0
    for a in arguments:
        shape = "".join(f"slot[{place + 1 + dimension}], " for dimension in range(a.dimensions))
        lines.append(f"{a.name} = carray({_KINDS[a.dtype]}_at(slot[{place}]), ({shape}))")
        place += 1 + a.dimensions
    return lines


def slots_of(arguments: Sequence[Argument], arrays: Sequence[np.ndarray]) -> np.ndarray:
    """The slots of an operation for its arrays. Raises TypeError for one that is not what the operation was compiled for."""
    slots: list[int] = []
    for a, array in zip(arguments, arrays, strict=True):
        if array.dtype != a.dtype or array.ndim != a.dimensions or not array.flags.c_contiguous:
            raise TypeError(
                f"{a.name} is {array.dtype} of shape {array.shape}{'' if array.flags.c_contiguous else ', not C-contiguous'}; "
                f"it must be a C-contiguous {a.dtype} of {a.dimensions} dimensions; replace it by one like that it was made with."
            )
        slots += [where(array), *array.shape]
    return np.array(slots, np.int64)


def where(array: np.ndarray) -> int:
    """The address of an array's first element."""
    return array.__array_interface__["data"][0]


def call_of(
    function: int,
    slots: np.ndarray,
    random_stream: int = NO_KEY,
    switch: np.ndarray | None = None,
    clock: np.ndarray | None = None,
    last_steps: int = 0,
) -> list[int]:
    """A call. switch: it is made only while this is not 0; clock: and, if `last_steps` is not 0, while this is in 0..last_steps - 1."""
    call = [0] * CALL_WIDTH
    call[FUNCTION], call[SLOTS], call[RANDOM_STREAM], call[LAST_STEPS] = function, where(slots), random_stream, last_steps
    call[SWITCH] = 0 if switch is None else where(switch)
    call[CLOCK] = 0 if clock is None else where(clock)
    return call


def address_of(function: Callable) -> int:
    """Where a compiled operation begins."""
    (signature,) = function.nopython_signatures  # type: ignore[attr-defined]
    result = function.get_compile_result(signature)  # type: ignore[attr-defined]
    return result.library.get_pointer_to_function(result.fndesc.llvm_cfunc_wrapper_name)


@intrinsic
def _call(typing, function, key, slots):
    def code(context, builder, signature, values):
        type_ = ir.FunctionType(context.get_value_type(types.void), [context.get_value_type(t) for t in SIGNATURE])
        pointers = builder.inttoptr(values[2], type_.args[1])
        builder.call(builder.inttoptr(values[0], type_.as_pointer()), [values[1], pointers])
        return context.get_dummy_value()

    return types.void(types.int64, types.uint32, types.int64), code


_int32_at = SCOPE["int32_at"]


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


def _array(dtype: Any, dimensions: int, readonly: bool = False) -> types.Array:
    return types.Array(dtype, dimensions, "C", readonly=readonly)


_CALLS, _KEYS = _array(types.int64, 2), _array(types.uint32, 1)
_EVENTS = (
    *(_array(types.int32, 2, True), _array(types.int32, 1, True), _array(types.int32, 1, True), _array(types.int32, 2)),
    *(_array(types.int32, 1), types.int64),
    *(_array(types.int32, 2), _array(types.int32, 1)),
)
_COMPILED: dict[str, Any] = {"nogil": True, "error_model": "numpy"}  # nogil: so that the threads of Lava's channels go on while we compute


def _with_key(calls, key):
    for c in range(calls.shape[0]):
        _call(calls[c, FUNCTION], key, calls[c, SLOTS])  # type: ignore[call-arg]


def _once(calls, seed, step):
    _carry_out(calls, _mix(seed[0], step[0]))


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


@cache
def with_key() -> Callable:
    """f(calls, key): carries out calls, each with this very key."""
    return numba.njit(types.void(_CALLS, types.uint32), **_COMPILED)(_with_key)


@cache
def once() -> Callable:
    """f(calls, seed, step): carries out calls in order, with keys of this seed and step."""
    return numba.njit(types.void(_CALLS, _KEYS, _KEYS), **_COMPILED)(_once)


@cache
def each_step() -> Callable:
    """f(begin, end, offsets, units, values, graded, kept, constant, active, count, calls, seed, step,
    advance): lists events, carries out calls.

    For steps begin..end-1; units: the active inputs of all rows; offsets (rows, T + 1): where in units each step begins; values: of
    units, where the input is graded; graded (rows, inputs): where they are put; kept: 1 in steps
    whose events are those before, as `constant` says; active, count:
    where the events are listed; advance: is added to the step counter each time.
    """
    return numba.njit(types.void(types.int64, types.int64, *_EVENTS, _CALLS, _KEYS, _KEYS, types.int64), **_COMPILED)(_each_step)
