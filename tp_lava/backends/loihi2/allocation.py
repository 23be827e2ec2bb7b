"""Register allocation: linear scan over groups of instructions; of what does not fit, the value needed last is spilled to neuron memory.

A value that is still in memory, as a parameter is, is read again instead of being written. Spill words are taken up again once free.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from tp_lava.backends.loihi2.arithmetic import Group
from tp_lava.backends.loihi2.listing import Line, Register, Word
from tp_lava.errors import invalid


def without_dead(groups: Sequence[Group]) -> list[Group]:
    """Those groups that a write, an event or a cleared accumulator needs."""
    kept: list[Group] = []
    needed: set[Register] = set()
    for group in reversed(groups):
        acts = any(line.op in ("SPIKE", "RDC") or isinstance(line.target, Word) for line in group)
        if acts or any(line.target in needed for line in group):
            kept.append(group)
            needed.update(x for line in group for x in line.sources if isinstance(x, Register))
    return kept[::-1]


def allocate(name: str, groups: Sequence[Group], registers: int, written: set[str]) -> tuple[Line, ...]:
    """The groups' instructions on so many registers. written: ports that the program writes."""
    return _Allocation(name, without_dead(groups), registers, written).lines()


class _Allocation:
    def __init__(self, name: str, groups: list[Group], registers: int, written: set[str]) -> None:
        self.name, self.groups, self.limit, self.written = name, groups, registers, written
        self.free = list(range(registers))[::-1]
        self.place: dict[Register, int] = {}  # value -> its register
        self.spilled: dict[Register, Word] = {}
        self.slots: list[Word] = []  # free ones
        self.n_slots = 0
        self.out: list[Line] = []
        self.uses: dict[Register, list[int]] = defaultdict(list)  # groups that read a value, last one first
        self.loads: dict[Register, Line] = {}  # values that can be read again
        for number in reversed(range(len(groups))):
            for value in self._read(groups[number]):
                self.uses[value].append(number)
        for group in groups:
            line = group[0]
            if line.op == "RMW" and isinstance(line.target, Register) and line.words[0].port not in written:
                self.loads[line.target] = line

    @staticmethod
    def _read(group: Group) -> list[Register]:
        """Values from before the group that it reads."""
        made = set[Register]()
        found: dict[Register, None] = {}
        for line in group:
            found |= dict.fromkeys(x for x in line.sources if isinstance(x, Register) and x not in made)
            made |= {line.target} if isinstance(line.target, Register) else set()
        return list(found)

    def lines(self) -> tuple[Line, ...]:
        for number, group in enumerate(self.groups):
            self._group(number, group)
        return tuple(self.out)

    def _group(self, number: int, group: Group) -> None:
        read = self._read(group)
        made = list(dict.fromkeys(line.target for line in group if isinstance(line.target, Register)))
        for value in read:
            if value not in self.place:
                self._take(value, {*read})
                self.out.append(self._reload(value))
        sources = {value: Register(self.place[value]) for value in read}
        for value in read:
            while self.uses[value] and self.uses[value][-1] <= number:
                self.uses[value].pop()
        alone = len(group) == 1  # its result may take the register of an operand read for the last time
        if alone:
            self._release(read)
        for value in made:
            self._take(value, {*made} if alone else {*read, *made})
        targets = {value: Register(self.place[value]) for value in made}
        for line in group:
            operands = tuple(targets.get(x, sources.get(x, x)) if isinstance(x, Register) else x for x in line.sources)
            target = targets[line.target] if isinstance(line.target, Register) else line.target
            self.out.append(replace(line, target=target, sources=operands))
        self._release([*read, *made])

    def _take(self, value: Register, pinned: set[Register]) -> None:
        """A register for a value, if need be that of the value needed last."""
        if not self.free:
            evictable = [other for other in self.place if other not in pinned]
            if not evictable:
                found, remedy = f"{self.limit}", "give more: one instruction group of this program needs them at once"
                raise invalid(self.name, "registers", found, f"at least {len(pinned) + 1}", remedy)
            last = max(evictable, key=lambda other: self.uses[other][-1])
            if last not in self.loads and last not in self.spilled:
                self.spilled[last] = self._slot()
                self.out.append(Line("RMW", self.spilled[last], (Register(self.place[last]),)))
            self.free.append(self.place.pop(last))
        self.place[value] = self.free.pop()

    def _slot(self) -> Word:
        if self.slots:
            return self.slots.pop()
        self.n_slots += 1
        return Word(f"spill{self.n_slots - 1}", "spill")

    def _reload(self, value: Register) -> Line:
        register = Register(self.place[value])
        return replace(self.loads[value], target=register) if value in self.loads else Line("RMW", register, (self.spilled[value],))

    def _release(self, values: list[Register]) -> None:
        """Give back what is never read again."""
        for value in values:
            if not self.uses[value] and value in self.place:
                self.free.append(self.place.pop(value))
                if value in self.spilled:
                    self.slots.append(self.spilled.pop(value))
