"""What emits vectors for Numba: loads, stores, and what is common to all that does so."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

WIDE, WORD = ir.IntType(64), ir.IntType(32)


class Vectors:
    """Emits loads, stores and rearrangements of vectors."""

    def __init__(self, builder: Any) -> None:
        self.b = builder

    @staticmethod
    def vector(number: Any, lanes: int) -> Any:
        """The type of so many numbers."""
        return ir.VectorType(number, lanes) if lanes > 1 else number

    def pointer(self, array: Any, place: Any, lanes: int) -> Any:
        """Where so many numbers of an array begin."""
        number = array.type.pointee
        return self.b.bitcast(self.b.gep(array, [place]), self.vector(number, lanes).as_pointer())

    def load(self, array: Any, place: Any, lanes: int) -> Any:
        """So many numbers from a place on."""
        return self.b.load(self.pointer(array, place, lanes), align=_size(array))

    def store(self, value: Any, array: Any, place: Any, lanes: int) -> None:
        """The inverse."""
        self.b.store(value, self.pointer(array, place, lanes), align=_size(array))

    def shuffled(self, a: Any, b: Any, places: list[int]) -> Any:
        """Lanes of two vectors, one after the other."""
        return self.b.shuffle_vector(a, b, ir.Constant(ir.VectorType(WORD, len(places)), places))

    def spread(self, value: Any, lanes: int) -> Any:
        """A number in all lanes."""
        if lanes == 1:
            return value
        none = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
        return self.shuffled(self.b.insert_element(none, value, ir.Constant(WORD, 0)), none, [0] * lanes)

    def plus(self, place: Any, n: int) -> Any:
        """A place so much further."""
        return self.b.add(place, ir.Constant(WIDE, n))


def _size(array: Any) -> int:
    number = array.type.pointee
    return 4 if isinstance(number, ir.FloatType) else number.width // 8


def data_of(context: Any, builder: Any, types: Any, values: Any) -> list[Any]:
    """The data of arrays that an intrinsic takes."""
    return [context.make_array(type_)(context, builder, value).data for type_, value in zip(types, values, strict=True)]
