"""The intermediate form of every dynamic: a Program, a straight line of instructions over typed values.

A value is real (float targets) or fixed (an integer with a Format and a proven interval) and lives on
named axes: () is a scalar, ("n",) one number per neuron, ("k", "n") one per stream and neuron. The same
Python function, traced once in each number system, gives the real and the fixed program.

The instruction set is what Loihi 2's technology brief lists (add, neg, min, multiply-and-shift, shift,
and, compare, select, spike, random bits) plus `piecewise` (a declared unary function in its
piecewise-linear fixed-point form), `apply` (the same function in its exact float form), and the two
reductions `sum` and `max`, which only credit programs may use: they run on an embedded processor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tp_lava.numbers import Format

INSTRUCTIONS: dict[str, str] = {
    "constant": "value",
    "add": "a + b",
    "neg": "-a",
    "min": "the smaller of a and b",
    "mul": "a * b, shifted right by `shift` bits with `rounding`: zero, floor or nearest",
    "mul_random": "(a * b + c) shifted right by `shift` bits; c: random bits below 2**shift",
    "shift": "a shifted left by `by` bits (right, rounding down, if negative)",
    "shift_right": "a shifted right by b bits, rounding down (b >= 0, at most 31 counts)",
    "and": "bitwise and of two non-negative values",
    "lt": "a < b",
    "ge": "a >= b",
    "eq": "a == b",
    "select": "b where a, else c",
    "spike": "1 where a, else 0; marks the event",
    "random": "`bits` random bits, fresh for each step, place, row and column",
    "piecewise": "`table` evaluated at a (fixed programs)",
    "apply": "`function` of a (real programs)",
    "sum": "sum over `axis`",
    "max": "largest over `axis`",
}
REDUCTIONS = ("sum", "max")


@dataclass(frozen=True)
class Value:
    """One value of a program. format None: real. low, high: interval of the mantissa (fixed) or None."""

    index: int
    axes: tuple[str, ...]
    format: Format | None = None
    low: int | None = None
    high: int | None = None
    boolean: bool = False


@dataclass(frozen=True)
class Instruction:
    """result = op(arguments); detail: static operands, sorted (name, value) pairs."""

    op: str
    arguments: tuple[int, ...]
    result: int
    detail: tuple[tuple[str, object], ...] = ()

    def __getitem__(self, name: str) -> Any:
        return dict(self.detail)[name]

    @property
    def saturates(self) -> bool:
        """Whether it is half of a clamp into a format: a min with its largest or a select of its smallest mantissa."""
        return ("saturates", True) in self.detail


@dataclass(frozen=True)
class Port:
    """A named array a program reads or writes. Parameters without axes are one-element arrays."""

    name: str
    role: str
    axes: tuple[str, ...]
    format: Format | None = None


@dataclass(frozen=True)
class Program:
    """A traced dynamic.

    axes: every axis, outermost first; ports in order of declaration; reads: port name -> value index;
    writes: port name -> value index (states and outputs).
    """

    name: str
    fixed: bool
    axes: tuple[str, ...]
    ports: tuple[Port, ...]
    values: tuple[Value, ...]
    instructions: tuple[Instruction, ...]
    reads: tuple[tuple[str, int], ...]
    writes: tuple[tuple[str, int], ...]

    @property
    def uses_random(self) -> bool:
        """Whether a key for random bits is needed."""
        return any(i.op == "random" for i in self.instructions)

    @property
    def reduces(self) -> bool:
        """Whether the program reduces over an axis (credit programs)."""
        return any(i.op in REDUCTIONS for i in self.instructions)

    def port(self, name: str) -> Port:
        """The port of that name."""
        return next(p for p in self.ports if p.name == name)

    def has(self, name: str) -> bool:
        """Whether the program has a port of that name."""
        return any(p.name == name for p in self.ports)

    def listing(self) -> str:
        """The program as text, one instruction a line, with formats and intervals."""
        lines = [f"program {self.name} ({'fixed' if self.fixed else 'real'}) over {', '.join(self.axes) or 'one'}"]
        source = {index: name for name, index in self.reads}
        for name, index in self.reads:
            lines.append(f"  %{index} = read {name}{_annotate(self.values[index])}")
        for i in self.instructions:
            operands = ", ".join(f"%{a}" for a in i.arguments)
            static = ", ".join(f"{k}={v}" for k, v in i.detail)
            lines.append(f"  %{i.result} = {i.op} {operands}{' ' if static else ''}{static}{_annotate(self.values[i.result])}")
        lines += [f"  write {name} = %{index}{f'  ; {source[index]}' if index in source else ''}" for name, index in self.writes]
        return "\n".join(lines)


def _annotate(value: Value) -> str:
    on = f" [{' '.join(value.axes)}]" if value.axes else ""
    return f"  ; {value.format} in {value.low}..{value.high}{on}" if value.format else f"  ;{on}" if on else ""
