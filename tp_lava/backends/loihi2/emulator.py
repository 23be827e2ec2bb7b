"""The emulator: carries out a listing's own instructions, for all neurons side by side, on registers of a fixed width.

It knows nothing of the program the listing came from. A neuron that skips instructions waits while the others carry them out. A
value that leaves its register, its product register or its word of memory is an error that names the instruction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping

import numpy as np

from tp_lava.backends.interpreted_programs import axis_sizes, on_axes, random_bits
from tp_lava.backends.loihi2.listing import Constant, Line, Listing, Random, Register, Source, Word
from tp_lava.errors import NumberRangeError, invalid
from tp_lava.numbers import PRODUCT_BITS, REGISTER_BITS

Array = np.ndarray
_LOW, _HIGH = -(2 ** (REGISTER_BITS - 1)), 2 ** (REGISTER_BITS - 1) - 1
_ARITHMETIC: Mapping[str, Callable[..., Array]] = {
    "MOV": lambda a: a,
    "RMW": lambda a: a,
    "RDC": lambda a: a,
    "SEL": lambda c, a, b: np.where(c != 0, a, b),
    "AND": np.bitwise_and,
    "ADD": np.add,
    "NEG": np.negative,
    "MIN": np.minimum,
    "LT": np.less,
    "GE": np.greater_equal,
    "EQ": np.equal,
    "SHL": np.left_shift,
}


def emulate(listing: Listing, arrays: MutableMapping[str, Array], key: int = 0) -> None:
    """Run a listing once, in place, as interpret runs its program. arrays: port name -> array with the port's axes; key: of random bits.

    Raises NumberRangeError where a value does not fit, InvalidValueError for arrays of another size on an unrolled axis.
    """
    sizes = axis_sizes(listing.ports, arrays)
    for axis, size in listing.unrolled:
        if sizes[axis] != size:
            raise invalid(listing.name, f"size of {axis}", sizes[axis], f"{size}, as compiled", "compile the program for this size")
    machine = _Machine(listing, arrays, sizes, key)
    machine.run()


class _Machine:
    def __init__(self, listing: Listing, arrays: MutableMapping[str, Array], sizes: Mapping[str, int], key: int) -> None:
        self.listing, self.sizes, self.key = listing, sizes, key
        self.registers: dict[Register, Array] = {}
        ports = {port.name: port for port in listing.ports}
        self.views = {w: self._place(arrays[w.port], ports[w.port].axes, w) for w in listing.words if w.kind != "spill"}
        self.memory = {word: view.astype(np.int64) for word, view in self.views.items()}
        self.waits: Array | None = None  # the place at which each neuron goes on, where some skip

    def _place(self, array: Array, axes: tuple[str, ...], word: Word) -> Array:
        """A word's view of its port's array, one number a neuron."""
        element = dict(word.element)
        view = on_axes(self.listing.axes, array, axes)
        return view[tuple(slice(element[a], element[a] + 1) if a in element else slice(None) for a in self.listing.axes)]

    def run(self) -> None:
        written = set[Word]()
        for place, line in enumerate(self.listing.lines):
            active = None if self.waits is None else self.waits <= place
            if active is not None and active.all():
                self.waits = active = None
            if line.op in ("SKP_C", "JMP_C"):
                self._skip(place, line, active)
                continue
            result = self._result(place, line, active)
            if isinstance(line.target, Register):
                self._hold(line.target, result, active)
            elif line.target is not None:
                written.add(line.target)
                self.memory[line.target] = self._in_format(place, line, line.target, result)
            if line.op == "RDC":
                (word,) = line.words
                self.memory[word] = np.zeros_like(self.memory[word])
        for word in written:
            if word in self.views:
                self.views[word][...] = self.memory[word]

    def _result(self, place: int, line: Line, active: Array | None) -> Array:
        a = [self._read(place, line, source) for source in line.sources]
        if line.op == "SPIKE":
            return a[0].astype(np.int64)
        if line.op == "MUL_SHR":
            product = a[0] * a[1]  # of two registers: always within 64 bits
            self._check(place, line, product, PRODUCT_BITS, active)
            result = product >> line.shift
        else:
            result = _ARITHMETIC[line.op](*a).astype(np.int64)
        self._check(place, line, result, REGISTER_BITS, active)
        return result

    def _read(self, place: int, line: Line, source: Source) -> Array:
        match source:
            case Register():
                return self.registers[source]
            case Word():
                return self._in_format(place, line, source, self.memory[source])
            case Constant(number):
                return np.full([1] * len(self.listing.axes), number, np.int64)
            case Random(bits, salt, axes, element):
                return random_bits(bits, salt, [self._index(axis, dict(element)) for axis in axes], self.key, len(self.listing.axes))

    def _index(self, axis: str, element: Mapping[str, int]) -> Array:
        along = [element[axis]] if axis in element else range(self.sizes[axis])
        return np.array(along, np.uint32).reshape([-1 if a == axis else 1 for a in self.listing.axes])

    def _hold(self, register: Register, result: Array, active: Array | None) -> None:
        if active is not None:
            result = np.where(active, result, self.registers.get(register, 0))
        self.registers[register] = result

    def _in_format(self, place: int, line: Line, word: Word, value: Array) -> Array:
        format = word.format
        if format is not None and value.size and (value.min() < format.low or value.max() > format.high):
            self._refuse(place, line, value, f"{word} to hold {format.low}..{format.high} ({format})")
        return value

    def _skip(self, place: int, line: Line, active: Array | None) -> None:
        taken = self._read(place, line, line.sources[0]) != 0
        if active is not None:
            taken = taken & active
        before = np.zeros_like(taken, np.int64) if self.waits is None else self.waits
        self.waits = np.where(taken, place + 1 + line.skip, before)

    def _check(self, place: int, line: Line, value: Array, bits: int, active: Array | None) -> None:
        low, high = (_LOW, _HIGH) if bits == REGISTER_BITS else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        beyond = (value < low) | (value > high)
        if (beyond if active is None else beyond & active).any():
            self._refuse(place, line, value, f"registers of {bits} bits")

    def _refuse(self, place: int, line: Line, value: Array, limit: str) -> None:
        raise NumberRangeError(
            f"{self.listing.name}: instruction {place} ({line.op}) gives {value.min()}..{value.max()}, but needs {limit}; "
            f"was a port given a value beyond its format?",
            obj=self.listing.name,
            attr=line.op,
        )
