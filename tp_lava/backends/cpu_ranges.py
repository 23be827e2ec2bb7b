"""Where the loops of a program run: along whole axes, or, of a program that several threads share, along a part of one of them."""

from __future__ import annotations

from collections.abc import Iterator

from tp_lava.backends.cpu_instructions import Instructions, Place
from tp_lava.backends.cpu_text import LANES, Text, V, literal
from tp_lava.dynamics.program import Program

MASKED_FROM = 60  # instructions of a body that is made once, with a mask, not once for whole vectors and once for the rest
UNROLLED_BELOW = 12  # instructions of a body that is worth it
OWN = V("%own.first", "i64"), V("%own.end", "i64")  # of the axis by which a program is divided: first element, one after the last
_ZERO = literal(0, "i64")


class Ranges(Instructions):
    """Writes instructions along axes. shared: the axis of which only elements from OWN[0] below OWN[1] are gone through, if given."""

    def __init__(self, program: Program, text: Text, shared: str = "") -> None:
        super().__init__(program, text)
        self._sizes = {}
        for axis in program.axes:
            owner = next((port for port in program.ports if axis in port.axes), None)
            if owner:
                self._sizes[axis] = V(f"%{owner.name}.{owner.axes.index(axis)}", "i64")
        self._first = dict.fromkeys(program.axes, _ZERO)
        if shared:
            self._first[shared], self._sizes[shared] = OWN
        self._short: tuple[str, ...] = ()  # axes of which one vector has all

    def _chunks(self, axis: str, place: Place, length: int, first: V | None = None) -> Iterator[Place]:
        """The places of the vectors along an axis. length: of what is done there; first: where they begin, a multiple of LANES."""
        t, size, zero = self.t, self._sizes[axis], first or self._first[axis]
        if axis in self._short:
            yield Place({**place.numbers, axis: zero}, axis, self._mask(zero, size))
            return
        whole = self._last_whole(axis, LANES, zero)
        if length < MASKED_FROM:
            with t.loop(zero, whole, LANES, unrolled=4 if length < UNROLLED_BELOW else 1) as at:
                yield Place({**place.numbers, axis: self._backwards(axis, zero, whole, at)}, axis)
            with t.when(t.binary("icmp slt", whole, size)):
                yield Place({**place.numbers, axis: whole}, axis, self._mask(whole, size))
        else:
            with t.loop(zero, size, LANES) as at:
                yield Place({**place.numbers, axis: at}, axis, self._mask(at, size))

    def _mask(self, at: V, size: V) -> V:
        left = self.word_of(self.t.binary("sub", size, at))
        return self.t.lanes_below(left, LANES)

    def _backwards(self, axis: str, first: V, end: V, at: V) -> V:
        """Parts go through rows from their end: a processor then fetches less of the next part ahead, which another core writes."""
        if self._first[axis] is _ZERO:
            return at
        return self.t.binary("sub", self.t.binary("add", first, self.t.word("sub", end, LANES)), at)

    def _last_whole(self, axis: str, step: int, first: V) -> V:
        """Where the last whole step along an axis ends, from `first` on."""
        t, end = self.t, self._sizes[axis]
        if self._first[axis] is _ZERO:
            return t.word("and", end, -step)
        return t.binary("add", first, t.word("and", t.binary("sub", end, first), -step))
