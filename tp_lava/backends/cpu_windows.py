"""Windows that lie side by side in a row, eight or four at a time, for Numba.

The compiler by itself makes vectors of long rows alone, and maps are narrow.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tp_lava.backends.cpu_emitters import WIDE, Vectors, data_of


class _Windows(Vectors):
    """Emits the units of so many windows as vectors, one for each place in a window."""

    def __init__(self, builder: Any, pitch: Any, size: tuple[int, int], lanes: int) -> None:
        super().__init__(builder)
        self.pitch, self.size, self.lanes = pitch, size, lanes

    def units(self, array: Any, at: Any) -> list[Any]:
        """What an array holds of them, in row-major order."""
        rows, columns = self.size
        lines = [self.load(array, self._line(at, y), self.lanes * columns) for y in range(rows)]
        every = [[x + columns * k for k in range(self.lanes)] for x in range(columns)]
        return [self.shuffled(lines[y], lines[y], every[x]) for y, x in product(range(rows), range(columns))]

    def put(self, units: list[Any], array: Any, at: Any) -> None:
        """The inverse."""
        rows, columns = self.size
        for y in range(rows):
            self.store(self._side_by_side(units[y * columns : (y + 1) * columns]), array, self._line(at, y), self.lanes * columns)

    def _line(self, at: Any, y: int) -> Any:
        return self.b.add(at, self.b.mul(self.pitch, ir.Constant(WIDE, y)))

    def _side_by_side(self, columns: list[Any]) -> Any:
        """Lane k of each, for each k: all are joined to one vector, then rearranged."""
        joined, held = columns[0], self.lanes
        for column in columns[1:]:
            wider = self.shuffled(column, column, [*range(self.lanes), *([0] * (held - self.lanes))])
            joined, held = self.shuffled(joined, wider, list(range(held + self.lanes))), held + self.lanes
        places = [x * self.lanes + k for k in range(self.lanes) for x in range(len(columns))]
        return self.shuffled(joined, joined, places)

    def larger(self, a: Any, b: Any) -> Any:
        """The larger of two vectors."""
        real = isinstance(a.type.element, ir.FloatType)
        return self.b.select((self.b.fcmp_ordered if real else self.b.icmp_signed)(">", a, b), a, b)

    def sum(self, a: Any, b: Any) -> Any:
        """The sum of two vectors."""
        return (self.b.fadd if isinstance(a.type.element, ir.FloatType) else self.b.add)(a, b)

    def handed_to_first(self, seen: list[Any], handed: Any) -> list[Any]:
        """For each place in a window what is handed, where it is the first with the window's maximum, else 0."""
        most = seen[0]
        for unit in seen[1:]:
            most = self.larger(most, unit)
        equal = self.b.fcmp_ordered if isinstance(most.type.element, ir.FloatType) else self.b.icmp_signed
        nothing, units, rest = ir.Constant(handed.type, None), [], handed
        for unit in seen:
            is_first = equal("==", unit, most)
            units.append(self.b.select(is_first, rest, nothing))
            rest = self.b.select(is_first, nothing, rest)
        return units


@intrinsic(prefer_literal=True)
def pool_windows(typing, into, into_at, maps, at, pitch, rows, columns, is_max, lanes):
    """into[into_at + k] = maximum with 0, or sum, of window k = 0..lanes-1 of `rows` by `columns` units from maps[at] on; flat arrays.

    pitch: from one row of the maps to the next; rows, columns, is_max, lanes: literals.
    """
    size, as_max, n = (rows.literal_value, columns.literal_value), is_max.literal_value, lanes.literal_value

    def code(context, builder, signature, values):
        target, source = data_of(context, builder, (signature.args[0], signature.args[2]), (values[0], values[2]))
        windows = _Windows(builder, values[4], size, n)
        units = windows.units(source, values[3])
        found = ir.Constant(units[0].type, None) if as_max else units.pop(0)
        for unit in units:
            found = (windows.larger if as_max else windows.sum)(found, unit)
        windows.store(found, target, values[1], n)
        return context.get_dummy_value()

    number = types.int64
    return types.void(into, number, maps, number, number, rows, columns, is_max, lanes), code


@intrinsic(prefer_literal=True)
def hand_to_first(typing, into, source, at, pitch, signals, signal_at, rows, columns, lanes):
    """The way back of a maximum: window k's signal goes to the first unit of `source` that has it, 0 to the others; `into` is like it."""
    size, n = (rows.literal_value, columns.literal_value), lanes.literal_value

    def code(context, builder, signature, values):
        arrays = data_of(context, builder, [signature.args[k] for k in (0, 1, 4)], [values[k] for k in (0, 1, 4)])
        target, seen, handed = arrays
        windows = _Windows(builder, values[3], size, n)
        units = windows.handed_to_first(windows.units(seen, values[2]), windows.load(handed, values[5], n))
        windows.put(units, target, values[2])
        return context.get_dummy_value()

    number = types.int64
    return types.void(into, source, number, number, signals, number, rows, columns, lanes), code
