"""The tracer: symbolic numbers that record what a dynamic does to them.

A dynamic is a plain function over these symbols. In a real trace every operation is the obvious one; in
a fixed trace binary points are aligned, products are multiply-and-shift, and each value carries the
interval it provably stays in. A value that could leave its 32-bit register is refused while tracing, so
no compiled program can overflow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tp_lava.dynamics.piecewise import Piecewise
from tp_lava.dynamics.program import Instruction, Port, Program, Value
from tp_lava.errors import NumberRangeError
from tp_lava.numbers import PRODUCT_BITS, REGISTER_BITS, Format

_REGISTER_HIGH = 2 ** (REGISTER_BITS - 1) - 1
_PRODUCT_HIGH = 2 ** (PRODUCT_BITS - 1) - 1


class Tracer:
    """One recording. name: of the program; fixed: number system; axes: axis name -> largest size, outermost first."""

    def __init__(self, name: str, *, fixed: bool, axes: Mapping[str, int]) -> None:
        self.name, self.fixed, self.sizes = name, fixed, dict(axes)
        self.ports: list[Port] = []
        self.values: list[Value] = []
        self.instructions: list[Instruction] = []
        self.reads: list[tuple[str, int]] = []
        self.writes: list[tuple[str, int]] = []

    # Ports ------------------------------------------------------------------------------------
    def read(self, name: str, role: str, axes: tuple[str, ...] = (), format: Format | None = None) -> Symbol:
        """Declare a port and read it. role: input, parameter or state; format: of a fixed trace's port."""
        format = format if self.fixed else None
        self.ports.append(Port(name, role, axes, format))
        interval = (format.low, format.high) if format else (None, None)
        value = self._value(axes, format, *interval)
        self.reads.append((name, value.index))
        return Symbol(self, value)

    def write(self, name: str, symbol: Symbol, axes: tuple[str, ...] = (), format: Format | None = None) -> None:
        """Write a state, or declare an output (axes: its order of axes) and write it. Saturates to the port's format."""
        port = next((p for p in self.ports if p.name == name), None)
        if port is None:
            port = Port(name, "output", axes, format if self.fixed else None)
            self.ports.append(port)
        if port.format is not None:
            if symbol.format.frac != port.format.frac:
                raise ValueError(f"{self.name}: {name} has {port.format.frac} fractional bits, the value {symbol.format.frac}")
            symbol = saturate(symbol, port.format)
        unchanged = symbol.value.index in {index for _, index in self.reads}
        if unchanged or set(symbol.value.axes) != set(port.axes):
            symbol = symbol.spread(port.axes)  # a value of the program's own, whatever is written to the port it came from
        self.writes.append((name, symbol.value.index))

    def program(self) -> Program:
        """The recorded program, without what no write needs."""
        needed = {index for _, index in self.writes}
        kept: list[Instruction] = []
        for instruction in reversed(self.instructions):
            if instruction.result in needed:
                kept.append(instruction)
                needed.update(instruction.arguments)
        written = {name for name, _ in self.writes}
        reads = tuple((name, index) for name, index in self.reads if index in needed)
        used = written | {name for name, _ in reads}
        return Program(
            self.name,
            self.fixed,
            tuple(self.sizes),
            tuple(p for p in self.ports if p.name in used),
            tuple(self.values),
            tuple(reversed(kept)),
            reads,
            tuple(self.writes),
        )

    # Values -----------------------------------------------------------------------------------
    def _value(self, axes, format=None, low=None, high=None, boolean=False) -> Value:
        axes = tuple(a for a in self.sizes if a in axes)
        value = Value(len(self.values), axes, format, low, high, boolean)
        self.values.append(value)
        return value

    def emit(self, op: str, arguments: tuple[Symbol, ...], *, axes=None, format=None, interval=None, boolean=False, **detail) -> Symbol:
        """Record one instruction; interval: (low, high) of its fixed result."""
        low = high = None
        if self.fixed and not boolean:
            low, high = interval
            if low < -_REGISTER_HIGH or high > _REGISTER_HIGH:
                raise NumberRangeError(
                    f"{self.name}: value %{len(self.values)} ({op}) could reach {max(abs(low), abs(high))}, "
                    f"beyond the {REGISTER_BITS}-bit register's {_REGISTER_HIGH}; use fewer fractional bits, "
                    f"fewer inputs or streams, or a faster decay.",
                    obj=self.name,
                    attr=op,
                )
        if axes is None:
            axes = {a for s in arguments for a in s.value.axes}
        value = self._value(axes, format, low, high, boolean)
        statics = tuple(sorted(detail.items()))
        self.instructions.append(Instruction(op, tuple(s.value.index for s in arguments), value.index, statics))
        return Symbol(self, value)

    def constant(self, number: float, format: Format | None = None) -> Symbol:
        """A constant; in a fixed trace rounded to `format`, which must hold it."""
        if not self.fixed:
            return self.emit("constant", (), value=float(number))
        assert format is not None
        mantissa = round(float(number) * 2.0**format.frac)
        return self.emit("constant", (), format=format, interval=(mantissa, mantissa), value=mantissa)

    def random(self, bits: int, axes: tuple[str, ...]) -> Symbol:
        """Random mantissas in [0, 2**bits) (fixed traces)."""
        salt = sum(i.op == "random" for i in self.instructions)
        return self.emit("random", (), axes=axes, format=Format(bits, 0, False), interval=(0, 2**bits - 1), bits=bits, salt=salt)


class Symbol:
    """A value of a trace, with the arithmetic a dynamic may use."""

    def __init__(self, tracer: Tracer, value: Value) -> None:
        self.tracer, self.value = tracer, value

    @property
    def format(self) -> Format:
        """Number format (fixed traces)."""
        assert self.value.format is not None
        return self.value.format

    @property
    def interval(self) -> tuple[int, int]:
        """Proven interval of the mantissa (fixed traces)."""
        assert self.value.low is not None
        assert self.value.high is not None
        return self.value.low, self.value.high

    def _with(self, other: Symbol | float) -> Symbol:
        """The other operand as a symbol; a number takes this symbol's format."""
        return other if isinstance(other, Symbol) else self.tracer.constant(other, self.value.format)

    def _aligned(self, other: Symbol | float) -> tuple[Symbol, Symbol, Format | None]:
        """Both operands on the finer of their binary points."""
        other = self._with(other)
        if not self.tracer.fixed:
            return self, other, None
        frac = max(self.format.frac, other.format.frac)
        return _moved(self, frac), _moved(other, frac), Format(REGISTER_BITS, frac)

    def spread(self, axes: tuple[str, ...]) -> Symbol:
        """The same value on more axes."""
        zero = self.tracer.constant(0, self.value.format)
        interval = self.interval if self.tracer.fixed else None
        return self.tracer.emit("add", (self, zero), axes=axes, format=self.value.format, interval=interval)

    def __add__(self, other: Symbol | float) -> Symbol:
        a, b, format = self._aligned(other)
        interval = (a.interval[0] + b.interval[0], a.interval[1] + b.interval[1]) if format else None
        return self.tracer.emit("add", (a, b), format=format, interval=interval)

    def __neg__(self) -> Symbol:
        interval = (-self.interval[1], -self.interval[0]) if self.tracer.fixed else None
        return self.tracer.emit("neg", (self,), format=self.value.format, interval=interval)

    def __sub__(self, other: Symbol | float) -> Symbol:
        return self + (-self._with(other))

    def __mul__(self, other: Symbol | float) -> Symbol:
        """Product in this symbol's format, rounded toward zero (multiply-and-shift)."""
        if not self.tracer.fixed:
            return self.tracer.emit("mul", (self, self._with(other)), shift=0, rounding="zero")
        if not isinstance(other, Symbol):
            raise TypeError(f"{self.tracer.name}: give the constant {other} a format before multiplying by it")
        return multiply(self, other, Format(REGISTER_BITS, self.format.frac), rounding="zero")

    def _compare(self, op: str, other: Symbol | float) -> Symbol:
        a, b, _ = self._aligned(other)
        return self.tracer.emit(op, (a, b), boolean=True)

    def __lt__(self, other: Symbol | float) -> Symbol:
        return self._compare("lt", other)

    def __ge__(self, other: Symbol | float) -> Symbol:
        return self._compare("ge", other)

    def __gt__(self, other: Symbol | float) -> Symbol:
        return self._with(other) < self

    def equals(self, other: Symbol | float) -> Symbol:
        """self == other."""
        return self._compare("eq", other)

    # Real traces and NumPy arrays alike, so that a declared function's exact form is one expression.
    __radd__ = __add__

    def __rmul__(self, other: float) -> Symbol:
        return self * other

    def __rsub__(self, other: float) -> Symbol:
        return self._with(other) - self

    def __rtruediv__(self, other: float) -> Symbol:
        return self.tracer.emit("apply", (self,), function="reciprocal") * other


def _moved(x: Symbol, frac: int) -> Symbol:
    """x with its binary point moved left to `frac` (exact)."""
    return x if x.format.frac == frac else _shifted(x, frac - x.format.frac)


def _shifted(x: Symbol, by: int) -> Symbol:
    low, high = ((v << by if by >= 0 else v >> -by) for v in x.interval)
    return x.tracer.emit("shift", (x,), by=by, format=Format(REGISTER_BITS, x.format.frac + by), interval=(low, high))


def _half_up(x: int, shift: int) -> int:
    return (x + (1 << shift >> 1)) >> shift


def _toward_zero(x: int, shift: int) -> int:
    return -(-x >> shift) if x < 0 else x >> shift


_ROUND: dict[str, Callable[[int, int], int]] = {"floor": lambda x, n: x >> n, "zero": _toward_zero, "nearest": _half_up}


def multiply(a: Symbol, b: Symbol, into: Format | None, rounding: str = "nearest") -> Symbol:
    """a * b, rounded to `into`'s binary point and saturated to it. rounding: zero, floor, nearest or stochastic.

    Stochastic: (a*b + r) >> shift with r uniform below 2**shift, so that the mean is exact.
    """
    if not a.tracer.fixed:
        return a * b
    assert into is not None
    shift = a.format.frac + b.format.frac - into.frac
    corners = [x * y for x in a.interval for y in b.interval]
    low, high = min(corners), max(corners)
    if max(-low, high) + (1 << max(shift, 0)) > _PRODUCT_HIGH or shift >= REGISTER_BITS:
        raise NumberRangeError(
            f"{a.tracer.name}: a product of {a.format} and {b.format} into {into} needs a shift of {shift} bits; "
            f"at most {REGISTER_BITS - 1} fit. Use a larger rate or a finer format.",
            obj=a.tracer.name,
            attr="mul",
        )
    format = Format(REGISTER_BITS, into.frac)
    if shift < 0:
        exact = Format(REGISTER_BITS, into.frac + shift)
        product = a.tracer.emit("mul", (a, b), shift=0, rounding="floor", format=exact, interval=(low, high))
        return saturate(_moved(product, into.frac), into)
    if rounding == "stochastic" and shift > 0:
        axes = tuple({*a.value.axes, *b.value.axes})
        bits = a.tracer.random(shift, axes)
        interval = (low >> shift, (high + (1 << shift) - 1) >> shift)
        result = a.tracer.emit("mul_random", (a, b, bits), shift=shift, format=format, interval=interval)
    else:
        rounding = "floor" if rounding == "stochastic" or (rounding == "zero" and low >= 0) else rounding
        interval = (_ROUND[rounding](low, shift), _ROUND[rounding](high, shift))
        result = a.tracer.emit("mul", (a, b), shift=shift, rounding=rounding, format=format, interval=interval)
    return saturate(result, into)


def saturate(x: Symbol, format: Format | None) -> Symbol:
    """x clamped to the mantissas of `format` (same binary point); nothing where its interval already fits."""
    if not x.tracer.fixed:
        return x
    assert format is not None
    if x.interval[1] > format.high:
        high = x.tracer.emit("constant", (), format=x.format, interval=(format.high, format.high), value=format.high)
        interval = min(x.interval[0], format.high), format.high
        x = x.tracer.emit("min", (x, high), format=x.format, interval=interval, saturates=True)
    if x.interval[0] < format.low:
        low = x.tracer.emit("constant", (), format=x.format, interval=(format.low, format.low), value=format.low)
        interval = format.low, max(x.interval[1], format.low)
        x = x.tracer.emit("select", (x < low, low, x), format=x.format, interval=interval, saturates=True)
    return x


def fit(x: Symbol, format: Format | None) -> Symbol:
    """x rounded to nearest at `format`'s binary point, then saturated to it. Real: x."""
    if not x.tracer.fixed:
        return x
    assert format is not None
    by = format.frac - x.format.frac
    if by < 0:
        x = _shifted(x + _half(x, -by), by)
    elif by > 0:
        x = _shifted(x, by)
    return saturate(x, format)


def _half(x: Symbol, shift: int) -> Symbol:
    half = 1 << shift >> 1
    return x.tracer.emit("constant", (), format=x.format, interval=(half, half), value=half)


def select(condition: Symbol, a: Symbol | float, b: Symbol | float, interval: tuple[int, int] | None = None) -> Symbol:
    """a where condition, else b. At least one of a, b is a symbol."""
    if not isinstance(a, Symbol):
        assert isinstance(b, Symbol)
        a = b._with(a)
    x, y, format = a._aligned(b)
    if format and interval is None:
        interval = (min(x.interval[0], y.interval[0]), max(x.interval[1], y.interval[1]))
    return x.tracer.emit("select", (condition, x, y), format=format, interval=interval)


def absolute(x: Symbol) -> Symbol:
    """|x|."""
    bound = (0, max(-x.interval[0], x.interval[1])) if x.tracer.fixed else None
    return select(x < 0, -x, x, interval=bound)


def minimum(a: Symbol, b: Symbol | float) -> Symbol:
    """The smaller of a and b."""
    x, y, format = a._aligned(b)
    interval = (min(x.interval[0], y.interval[0]), min(x.interval[1], y.interval[1])) if format else None
    return x.tracer.emit("min", (x, y), format=format, interval=interval)


def maximum(a: Symbol, b: Symbol | float) -> Symbol:
    """The larger of a and b."""
    x, y, format = a._aligned(b)
    interval = (max(x.interval[0], y.interval[0]), max(x.interval[1], y.interval[1])) if format else None
    return select(x < y, y, x, interval=interval)


def spike(condition: Symbol) -> Symbol:
    """1 where condition, else 0: the neuron's event."""
    return condition.tracer.emit("spike", (condition,), format=Format(1, 0, False) if condition.tracer.fixed else None, interval=(0, 1))


def total(x: Symbol, axis: str) -> Symbol:
    """Sum of x over an axis."""
    axes = tuple(a for a in x.value.axes if a != axis)
    size = x.tracer.sizes[axis]
    interval = (min(0, x.interval[0] * size), max(0, x.interval[1] * size)) if x.tracer.fixed else None
    return x.tracer.emit("sum", (x,), axes=axes, axis=axis, format=x.value.format, interval=interval)


def largest(x: Symbol, axis: str) -> Symbol:
    """Largest of x over an axis."""
    axes = tuple(a for a in x.value.axes if a != axis)
    return x.tracer.emit("max", (x,), axes=axes, axis=axis, format=x.value.format, interval=x.interval if x.tracer.fixed else None)


def evaluate(x: Symbol, table: Piecewise) -> Symbol:
    """A piecewise-linear table at x (fixed traces); x must stay in the table's domain."""
    low, high = x.interval
    if low < 0 or high > table.last:
        raise NumberRangeError(f"{x.tracer.name}: {table.name} is defined on 0..{table.last}, its argument reaches {low}..{high}.")
    return x.tracer.emit("piecewise", (x,), table=table, format=table.result, interval=table.interval(high))


def apply(function: str, x):
    """exp2, log2 or sqrt in exact float form: of a real symbol or of a NumPy array."""
    if isinstance(x, Symbol):
        return x.tracer.emit("apply", (x,), function=function)
    return getattr(np, function)(x)
