"""Lists of what is not zero for Numba, in vectors where the processor can press those lanes together (AVX-512)."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tp_lava.backends.cpu_emitters import WIDE, WORD, Vectors, data_of
from tp_lava.backends.cpu_functions import inlined

_LANES = 16  # of 32 bits


def _presses(context: Any) -> bool:
    """Whether code is compiled for a processor that can."""
    return "+avx512f" in getattr(context.codegen(), "_tm_features", "").split(",")


class _Pressed(Vectors):
    """Emits the loop over whole vectors."""

    def emit(self, source: Any, start: Any, length: Any, lists: list[Any], found: Any) -> tuple[Any, Any]:
        """lists: of places, and of numbers. -> the place up to which is listed, how many are found."""
        lanes = ir.VectorType(WORD, _LANES)
        done, count = (cgutils.alloca_once_value(self.b, value) for value in (ir.Constant(WIDE, 0), found))
        end = self.b.and_(length, ir.Constant(WIDE, -_LANES))
        with cgutils.for_range_slice(self.b, ir.Constant(WIDE, 0), end, ir.Constant(WIDE, _LANES)) as (j, _):
            numbers = self.load(source, self.b.add(start, j), _LANES)
            nothing = ir.Constant(numbers.type, None)
            real = isinstance(numbers.type.element, ir.FloatType)
            is_one = (self.b.fcmp_unordered if real else self.b.icmp_signed)("!=", numbers, nothing)
            places = self.b.add(self.spread(self.b.trunc(j, WORD), _LANES), ir.Constant(lanes, list(range(_LANES))))
            place = self.b.load(count)
            for list_, listed in zip(lists, (places, numbers), strict=True):
                self.store(self._pressed(listed, is_one), list_, place, _LANES)
            ones = self.b.zext(self.b.ctpop(self.b.bitcast(is_one, ir.IntType(_LANES))), WIDE)
            self.b.store(self.b.add(place, ones), count)
        self.b.store(end, done)
        return self.b.load(done), self.b.load(count)

    def _pressed(self, numbers: Any, is_one: Any) -> Any:
        kind = f"v{_LANES}{'f32' if isinstance(numbers.type.element, ir.FloatType) else 'i32'}"
        type_ = ir.FunctionType(numbers.type, [numbers.type, numbers.type, is_one.type])
        press = cgutils.get_or_insert_function(self.b.module, type_, f"llvm.x86.avx512.mask.compress.{kind}")
        return self.b.call(press, [numbers, ir.Constant(numbers.type, None), is_one])


@intrinsic
def _vectors(typing, source, start, length, places, numbers, found):
    number = types.int64

    def code(context, builder, signature, values):
        done, count = ir.Constant(WIDE, 0), values[5]
        if _presses(context) and source.dtype.bitwidth == 32:
            held, *lists = data_of(context, builder, [signature.args[k] for k in (0, 3, 4)], [values[k] for k in (0, 3, 4)])
            done, count = _Pressed(builder).emit(held, values[1], values[2], lists, count)
        return context.make_tuple(builder, signature.return_type, (done, count))

    return types.UniTuple(number, 2)(source, number, number, places, numbers, number), code


@inlined
def list_numbers(source, start, length, places, numbers, found):
    """Append each j in 0..length-1 with source[start + j] != 0 to places[:found], and the number to numbers[:found]. -> found.

    All arrays are flat; there is room for found + length.
    """
    done, found = _vectors(source, start, length, places, numbers, found)  # type: ignore
    for j in range(done, length):  # without a branch: whether a neuron spikes is hard to predict
        places[found], numbers[found] = j, source[start + j]
        found += 1 if source[start + j] != 0 else 0
    return found
