"""The listing: a neuron program in the instructions that Intel publicly lists for Loihi 2's neuro-cores.

The names (RMW, RDC; MOV, SEL; AND, OR, SHL; ADD, NEG, MIN; MUL_SHR; LT, GE, EQ; SKP_C, JMP_C; SPIKE, PROBE) are said to be those of
the technology brief "Taking Neuromorphic Computing to the Next Level with Loihi 2", whose table we could not read. The assembler,
the encoding, the number and width of registers and the exact meaning of the operands are not public. The syntax here is ours, for
review and for counting; it cannot be assembled. What we assume is named below, or said beside the instruction:

    RMW r, [w]        read a word of neuron memory        RMW [w], r      write it: both halves of read-modify-write
    RDC r, [w]        read a word and clear it: how a dendrite accumulator is taken
    MOV r, a          copy; a may be fresh random bits    SEL r, c, a, b  a where c is 1, else b
    AND, ADD, MIN, LT, GE, EQ r, a, b                     NEG r, a        comparisons give 1 or 0
    SHL r, a, b       a << b                              MUL_SHR r, a, b, s   (a * b) >> s, rounding down; s is part of the instruction
    SKP_C c, n        skip the next n where c is 1        JMP_C c, @p     go on at p, always further down
    SPIKE c           send an event where c is 1

Sources are registers, small immediates (#) or entries of a constant pool (c0, c1, ...). OR and PROBE are not needed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tp_lava.dynamics.program import Port
from tp_lava.numbers import PRODUCT_BITS, REGISTER_BITS, Format

NAME = "Loihi 2 listing"  # of the back end
_MEMORY, _MOVES, _LOGIC = ("RMW", "RDC"), ("MOV", "SEL"), ("AND", "OR", "SHL")
_ARITHMETIC, _COMPARISONS, _FLOW = ("ADD", "NEG", "MIN", "MUL_SHR"), ("LT", "GE", "EQ"), ("SKP_C", "JMP_C", "SPIKE", "PROBE")
INSTRUCTIONS = (*_MEMORY, *_MOVES, *_LOGIC, *_ARITHMETIC, *_COMPARISONS, *_FLOW)
REGISTERS = 16  # assumption; ask for another number where it is known better
IMMEDIATE_BITS = 8  # assumption: signed numbers of so many bits stand in the instruction, others in the constant pool
WORD_HIGH = 2 ** (REGISTER_BITS - 1) - 1  # assumption: registers are as wide as a graded spike's payload
_JUMPS = ("SKP_C", "JMP_C")


@dataclass(frozen=True)
class Register:
    """A register."""

    number: int

    def __str__(self) -> str:
        return f"r{self.number}"


@dataclass(frozen=True)
class Constant:
    """A number known when the program is loaded."""

    value: int

    @property
    def immediate(self) -> bool:
        """Whether it stands in the instruction."""
        return -(2 ** (IMMEDIATE_BITS - 1)) <= self.value < 2 ** (IMMEDIATE_BITS - 1)


@dataclass(frozen=True)
class Random:
    """Fresh random bits. axes: those along which they differ; element: place on unrolled axes, axis -> index."""

    bits: int
    salt: int
    axes: tuple[str, ...] = ()
    element: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        return f"random{self.bits}"


@dataclass(frozen=True)
class Word:
    """A word of memory.

    kind: accumulator, input, parameter, state, output, event (of SPIKE) or spill; shared: one word for all neurons of the layer,
    else one a neuron; element: place on unrolled axes, axis -> index.
    """

    port: str
    kind: str
    format: Format | None = None
    shared: bool = False
    element: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        return f"[{'.'.join([self.port, *(str(index) for _, index in self.element)])}]"


Source = Register | Constant | Random | Word


@dataclass(frozen=True)
class Line:
    """One instruction. target: what it writes; shift: of MUL_SHR; skip: instructions left out by SKP_C and JMP_C."""

    op: str
    target: Register | Word | None = None
    sources: tuple[Source, ...] = ()
    shift: int = 0
    skip: int = 0

    @property
    def words(self) -> tuple[Word, ...]:
        """Words of memory it touches."""
        return tuple(x for x in (self.target, *self.sources) if isinstance(x, Word))


@dataclass(frozen=True)
class Counts:
    """What a listing costs. Instructions: in program memory; best, worst: carried out by one neuron in one step.

    by_op: instructions in program memory; words: of memory by kind, those of one neuron and those shared by the layer; constants: in
    the pool; registers: used; spills: words of neuron memory; spikes: SPIKE instructions.
    """

    instructions: int
    best: int
    worst: int
    by_op: Mapping[str, int]
    words: Mapping[str, int]
    shared_words: Mapping[str, int]
    constants: int
    registers: int

    @property
    def spikes(self) -> int:
        """SPIKE instructions."""
        return self.by_op.get("SPIKE", 0)

    @property
    def spills(self) -> int:
        """Words that registers were spilled to."""
        return self.words.get("spill", 0)

    @property
    def neuron_words(self) -> int:
        """Words of memory of one neuron, its accumulators and events aside."""
        return sum(count for kind, count in self.words.items() if kind not in ("accumulator", "event"))


@dataclass(frozen=True)
class Listing:
    """A compiled neuron program.

    axes: of the program, outermost first; unrolled: axis -> size of those that one neuron goes through by itself; what is left are
    the neurons: for axes (row, n) one for each pair, so that a target stream is a row of neurons of its own.
    """

    name: str
    axes: tuple[str, ...]
    unrolled: tuple[tuple[str, int], ...]
    ports: tuple[Port, ...]
    lines: tuple[Line, ...]
    registers: int

    @property
    def words(self) -> tuple[Word, ...]:
        """Words of memory in order of first use."""
        return tuple(dict.fromkeys(word for line in self.lines for word in line.words))

    @property
    def pool(self) -> tuple[int, ...]:
        """The constant pool, sorted."""
        constants = (x for line in self.lines for x in line.sources if isinstance(x, Constant))
        return tuple(sorted({x.value for x in constants if not x.immediate}))

    @property
    def counts(self) -> Counts:
        """Instructions, words, constants and registers."""
        used = {x.number for line in self.lines for x in (line.target, *line.sources) if isinstance(x, Register)}
        own, shared = (dict(Counter(w.kind for w in self.words if w.shared is share)) for share in (False, True))
        by_op = dict(Counter(line.op for line in self.lines))
        return Counts(len(self.lines), self._path(min), self._path(max), by_op, own, shared, len(self.pool), len(used))

    def _path(self, choose) -> int:
        """Instructions on the shortest or longest way through."""
        left = [0] * (len(self.lines) + 1)
        for place in reversed(range(len(self.lines))):
            line, after = self.lines[place], left[place + 1]
            if line.op in _JUMPS:
                over = left[place + 1 + line.skip]
                after = over if line.sources[0] == Constant(1) else choose(after, over)
            left[place] = 1 + after
        return left[0]

    def text(self) -> str:
        """The listing as text: what it is, memory, constants, instructions."""
        pool, counts = self.pool, self.counts
        neurons = ", ".join(axis for axis in self.axes if axis not in dict(self.unrolled))
        lines = [
            f"; {self.name}: one run a step for each neuron of ({neurons})",
            "; instruction names as Loihi 2's technology brief is said to list them; syntax, operands and registers are tp_lava's own",
            f"; {counts.instructions} instructions, {_range(counts.best, counts.worst)} carried out a step; {counts.registers} of "
            f"{self.registers} registers of {REGISTER_BITS} bits, products {PRODUCT_BITS}",
        ]
        lines += [f"; every neuron goes through {axis} = 0..{size - 1} by itself" for axis, size in self.unrolled]
        lines += [f".{w.kind:<11} {w!s:<20} {w.format or ''}{'  ; one for all neurons' if w.shared else ''}".rstrip() for w in self.words]
        lines += [f".constant    c{place} = {value}" for place, value in enumerate(pool)]
        lines += [f"{place:4}  {self._line(place, pool)}" for place in range(len(self.lines))]
        return "\n".join(lines) + "\n"

    def _line(self, place: int, pool: tuple[int, ...]) -> str:
        line = self.lines[place]
        operands = [str(line.target)] if line.target else []
        for x in line.sources:
            operands.append((f"#{x.value}" if x.immediate else f"c{pool.index(x.value)}") if isinstance(x, Constant) else str(x))
        operands += {"MUL_SHR": [f"#{line.shift}"], "SKP_C": [f"{line.skip}"], "JMP_C": [f"@{place + 1 + line.skip}"]}.get(line.op, [])
        return f"{line.op:<8}{', '.join(operands)}"


def _range(low: int, high: int) -> str:
    return f"{low}" if low == high else f"{low} to {high}"
