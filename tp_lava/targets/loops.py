"""Loop form of a program: its straight line cut into loop nests, the shape every scalar target is rendered from.

Instructions on the same axes share a nest, those on fewer axes come first; a reduction closes one. What a later nest needs is kept in a
scratch array (a scalar where it has no axes). Writes go last into a nest that has seen every read of their port.
Sums have nests of their own that store nothing: a compiler may then reorder a float sum in one way only, and the
result does not depend on where arrays happen to lie.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tp_lava.dynamics.program import REDUCTIONS, Instruction, Program


@dataclass
class Nest:
    """One loop nest. domain: its axes, outermost first; writes: (port, value) stored at its innermost level."""

    domain: tuple[str, ...]
    instructions: list[Instruction] = field(default_factory=list)
    writes: list[tuple[str, int]] = field(default_factory=list)


@dataclass
class LoopForm:
    """nests in order; kept: values that outlive their nest (scratch)."""

    nests: list[Nest]
    kept: list[int]


def loop_form(program: Program) -> LoopForm:
    """Cut a program into nests."""
    nests = _nests(program)
    home = {i.result: number for number, nest in enumerate(nests) for i in nest.instructions}
    reads = {index: name for name, index in program.reads}
    last_read: dict[str, int] = {}
    reduced = {i.result for i in program.instructions if i.op in REDUCTIONS}
    kept: set[int] = set(reduced)
    for number, nest in enumerate(nests):
        for instruction in nest.instructions:
            for argument in instruction.arguments:
                if argument in reads:
                    last_read[reads[argument]] = number
                elif home.get(argument, number) != number:
                    kept.add(argument)
    for port, value in program.writes:
        number, domain = home[value], tuple(a for a in program.axes if a in program.port(port).axes)
        if number >= last_read.get(port, -1) and value not in reduced and nests[number].domain == domain:
            nests[number].writes.append((port, value))
        else:
            nests.append(Nest(domain, [], [(port, value)]))
            kept.add(value)
    return LoopForm(nests, sorted(kept))


def domain_of(program: Program, instruction: Instruction) -> tuple[str, ...]:
    """The axes an instruction loops over."""
    if instruction.op in REDUCTIONS:
        return program.values[instruction.arguments[0]].axes
    return program.values[instruction.result].axes


def _nests(program: Program) -> list[Nest]:
    constants = {i.result for i in program.instructions if i.op == "constant"}
    pending = [i for i in program.instructions if i.op != "constant"]
    done = {index for _, index in program.reads} | constants
    nests: list[Nest] = []
    while pending:
        computable = (i for i in pending if done.issuperset(i.arguments))
        nest = Nest(min((domain_of(program, i) for i in computable), key=len))
        ready, waiting = set(done), []
        for instruction in pending:
            if domain_of(program, instruction) == nest.domain and ready.issuperset(instruction.arguments):
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
