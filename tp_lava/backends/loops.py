"""Loop form of a program: its straight line as a tree of loops, the shape every scalar target is rendered from.

Instructions on the same axes share a loop over the innermost, those on fewer axes come first; a reduction closes one, and neighbours
share their outer loops. What outlives its loop is kept in a scratch array over the axes that are left (a scalar where none is).
Writes go where every read of their port is done. Sums have innermost loops of their own that store nothing: a compiler may then
reorder a float sum in one way only, and the result does not depend on where arrays happen to lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tp_lava.dynamics.program import REDUCTIONS, Instruction, Program


@dataclass
class Nest:
    """Instructions on the same axes, outermost first; writes: (port, value) stored after them."""

    domain: tuple[str, ...]
    instructions: list[Instruction] = field(default_factory=list)
    writes: list[tuple[str, int]] = field(default_factory=list)

    @property
    def uses(self) -> Iterator[int]:
        """Values that it needs or makes itself."""
        yield from (argument for i in self.instructions for argument in i.arguments)
        yield from (value for _, value in self.writes)


@dataclass(frozen=True, eq=False)
class Loop:
    """A loop over an axis. body: nests that have no more axes, and loops over further ones."""

    axis: str
    body: Sequence[Nest | Loop]

    def nests(self) -> Iterator[tuple[tuple[Loop, ...], Nest]]:
        """Every nest inside, with the loops around it from this one on."""
        for path, nest in nests_of(self.body):
            yield (self, *path), nest


def nests_of(body: Sequence[Nest | Loop]) -> Iterator[tuple[tuple[Loop, ...], Nest]]:
    """Every nest in a body, with the loops around it."""
    for item in body:
        if isinstance(item, Loop):
            yield from item.nests()
        else:
            yield (), item


@dataclass(frozen=True)
class LoopForm:
    """body: what the function does; kept: values that outlive their loop -> axes of their scratch array.

    begun: reductions over an axis that is not the innermost -> the loop before which their scratch starts.
    """

    body: Sequence[Nest | Loop]
    kept: Mapping[int, tuple[str, ...]]
    begun: Mapping[int, Loop]


def loop_form(program: Program, *, vectors: bool = False) -> LoopForm:
    """The loops of a program. vectors: inside a loop, one over a further axis has nests of this axis alone or deeper loops, not both."""
    body = _merged(_with_writes(program, _nests(program, _sunk(program) if vectors else {})), 0, vectors)
    defined, used = dict[int, tuple[Loop, ...]](), dict[int, list[tuple[Loop, ...]]]()
    reductions: dict[int, tuple[Loop, ...]] = {}
    for path, nest in nests_of(body):
        for i in nest.instructions:
            defined[i.result] = path
            if i.op in REDUCTIONS:
                place = [loop.axis for loop in path].index(i["axis"])
                defined[i.result] = path[:place]
                reductions[i.result] = path
        for value in nest.uses:
            used.setdefault(value, []).append(path)
    kept, begun = dict[int, tuple[str, ...]](), dict[int, Loop]()
    for value, path in defined.items():
        shared = _common([path, *used.get(value, [])])
        axes = tuple(axis for axis in program.values[value].axes if axis not in {loop.axis for loop in shared})
        if axes:
            kept[value] = axes
        if value in reductions and len(reductions[value]) > len(path) + 1:
            begun[value] = reductions[value][len(shared)]
    return LoopForm(body, dict(sorted(kept.items())), begun)


def _common(paths: Sequence[tuple[Loop, ...]]) -> tuple[Loop, ...]:
    """The loops that all paths share from the outermost on."""
    first, *others = paths
    for depth, loop in enumerate(first):
        if any(len(path) <= depth or path[depth] is not loop for path in others):
            return first[:depth]
    return first


def _merged(nests: Sequence[Nest], depth: int, vectors: bool) -> list[Nest | Loop]:
    """Nests in order, neighbours in a common loop over their axis at this depth wherever they may."""
    groups: list[list[Nest]] = []
    for nest in nests:
        if groups and _may_join(groups[-1], nest, depth, vectors):
            groups[-1].append(nest)
        else:
            groups.append([nest])
    return [
        Loop(group[0].domain[depth], _merged(group, depth + 1, vectors)) if len(group[0].domain) > depth else group[0] for group in groups
    ]


def _may_join(group: Sequence[Nest], nest: Nest, depth: int, vectors: bool) -> bool:
    if min(len(nest.domain), len(group[0].domain)) <= depth or nest.domain[depth] != group[0].domain[depth]:
        return False
    if vectors and depth and (len(nest.domain) == depth + 1) != (len(group[0].domain) == depth + 1):
        return False
    if any(_sums_innermost(other, depth) for other in (nest, *group)):
        return False
    reduced = {i.result for other in group for i in other.instructions if i.op in REDUCTIONS and i["axis"] == nest.domain[depth]}
    return reduced.isdisjoint(nest.uses)


def _sums_innermost(nest: Nest, depth: int) -> bool:
    return len(nest.domain) == depth + 1 and any(i.op == "sum" for i in nest.instructions)


def domain_of(program: Program, instruction: Instruction) -> tuple[str, ...]:
    """The axes an instruction loops over."""
    if instruction.op in REDUCTIONS:
        return program.values[instruction.arguments[0]].axes
    return program.values[instruction.result].axes


def _with_writes(program: Program, nests: list[Nest]) -> list[Nest]:
    """The nests, each write in the one that makes its value if no later one reads the port, else in one of its own."""
    home = {i.result: number for number, nest in enumerate(nests) for i in nest.instructions}
    reads = {index: name for name, index in program.reads}
    last_read = {reads[argument]: number for number, nest in enumerate(nests) for argument in nest.uses if argument in reads}
    reduced = {i.result for i in program.instructions if i.op in REDUCTIONS}
    for port, value in program.writes:
        number, domain = home[value], tuple(a for a in program.axes if a in program.port(port).axes)
        if number >= last_read.get(port, -1) and value not in reduced and nests[number].domain == domain:
            nests[number].writes.append((port, value))
        else:
            nests.append(Nest(domain, [], [(port, value)]))
    return nests


def _sunk(program: Program) -> dict[int, tuple[str, ...]]:
    """Negatives of what is read, and the axes of the one instruction that uses each: there they cost less than their way through memory."""
    reads, users = {index for _, index in program.reads}, dict[int, list[Instruction]]()
    for user in program.instructions:
        for argument in user.arguments:
            users.setdefault(argument, []).append(user)
    written = {value for _, value in program.writes}
    found = {}
    for i in program.instructions:
        if i.op == "neg" and set(i.arguments) <= reads and i.result not in written and len(users.get(i.result, ())) == 1:
            axes, wider = domain_of(program, i), domain_of(program, users[i.result][0])
            if axes and set(axes) < set(wider) and axes[-1] == wider[-1]:
                found[i.result] = wider
    return found


def _nests(program: Program, sunk: Mapping[int, tuple[str, ...]]) -> list[Nest]:
    constants = {i.result for i in program.instructions if i.op == "constant"}
    pending = [i for i in program.instructions if i.op != "constant"]
    done = {index for _, index in program.reads} | constants
    nests: list[Nest] = []
    while pending:
        computable = (i for i in pending if done.issuperset(i.arguments))
        nest = Nest((max if program.reduces else min)((sunk.get(i.result) or domain_of(program, i) for i in computable), key=len))
        ready, waiting = set(done), []
        for instruction in pending:
            domain = sunk.get(instruction.result) or domain_of(program, instruction)
            if domain == nest.domain and ready.issuperset(instruction.arguments):
                nest.instructions.append(instruction)
                done.add(instruction.result)
                if instruction.op not in REDUCTIONS:
                    ready.add(instruction.result)
            else:
                waiting.append(instruction)
        nests += _sums_apart(program, nest)
        pending = waiting
    return nests


def _sums_apart(program: Program, nest: Nest) -> list[Nest]:
    """Split a nest in two where it sums: the sums, with what nothing else uses, come second."""
    uses: dict[int, set[int]] = {}
    for instruction in program.instructions:
        for argument in instruction.arguments:
            uses.setdefault(argument, set()).add(instruction.result)
    written = {value for _, value in program.writes}
    apart = {i.result for i in nest.instructions if i.op == "sum"}
    if not apart:
        return [nest]
    for instruction in reversed(nest.instructions):
        users = uses.get(instruction.result, set())
        if users and users <= apart and instruction.result not in written:
            apart.add(instruction.result)
    parts = [[i for i in nest.instructions if (i.result in apart) == second] for second in (False, True)]
    return [Nest(nest.domain, part) for part in parts if part]
