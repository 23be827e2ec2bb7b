"""What a program leaves as it is where one of its arrays is zero, so that a back end may pass over those elements.

Weights whose sum of changes is zero are the case that counts: of a large kernel a sample changes a part, and of a silent layer nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tp_lava.dynamics.program import Instruction, Program

_UNKNOWN = None
_Known = float | str | None  # of a value: its number, the port that holds it, or nothing


def resting_port(program: Program) -> str:
    """The port whose zeros are left as they are, with all that is written beside them; "" where there is none.

    A fixed-point port holds numbers of its format.
    """
    if program.reduces or any(value.axes not in ((), program.axes) for value in program.values):
        return ""
    written = {name for name, _ in program.writes if program.port(name).axes == program.axes}
    return next((name for name, _ in program.reads if name in written and _Rest(program, name).holds()), "")


@dataclass(frozen=True)
class _Rest:
    """Follows what is known of each value while a port is zero."""

    program: Program
    zero: str

    def holds(self) -> bool:
        """Whether each written port keeps its content."""
        known: dict[int, _Known] = {index: 0.0 if name == self.zero else name for name, index in self.program.reads}
        for i in self.program.instructions:
            known[i.result] = self._of(i, known)
        return all(known[value] == (0.0 if name == self.zero else name) for name, value in self.program.writes)

    def _of(self, i: Instruction, known: Mapping[int, _Known]) -> _Known:
        a = [known[argument] for argument in i.arguments]
        if i.op == "constant":
            return float(i["value"])
        if i.op == "add" and 0.0 in a:
            return a[1 - a.index(0.0)]
        if i.op == "mul" and 0.0 in a and (self.program.fixed or isinstance(a[1 - a.index(0.0)], float)):
            return 0.0
        if i.op == "mul_random" and 0.0 in a[:2] and self._bounds(i.arguments[2], a[2])[1] < 1 << i["shift"]:
            return 0.0
        if i.op in ("min", "lt"):
            return self._compared(i, a)
        if i.op == "select" and isinstance(a[0], float):
            return a[1] if a[0] else a[2]
        return _UNKNOWN

    def _compared(self, i: Instruction, a: list[_Known]) -> _Known:
        (low, high), (other_low, other_high) = (self._bounds(*each) for each in zip(i.arguments, a, strict=True))
        if high <= other_low:
            return a[0] if i.op == "min" else 1.0 if high < other_low else _UNKNOWN
        if low >= other_high:
            return a[1] if i.op == "min" else 0.0
        return _UNKNOWN

    def _bounds(self, index: int, known: _Known) -> tuple[float, float]:
        """Of a value."""
        if isinstance(known, float):
            return known, known
        value, format = self.program.values[index], self.program.port(known).format if known else None
        low, high = (format.low, format.high) if format else (value.low, value.high)
        return (-float("inf") if low is None else low), (float("inf") if high is None else high)
