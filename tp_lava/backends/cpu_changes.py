"""Sums of changes that are known to be zero, so that a sample need neither clear nor apply them.

Large kernels have large sums: to clear and to read those of VGG-9 costs as much as its neurons. A sample of few spikes adds to few of them.
Each sum has a flag. What adds to the sum sets it; when the sum has been cleared or applied, which leaves zeros, it is taken back.
While it is not set there is nothing to apply. Flags hold within one call of compiled code alone, since others may write into a
circuit's arrays between two calls: at the start of each all are set.
"""

from __future__ import annotations

from collections.abc import Iterator

from tp_lava.backends.resting import resting_port
from tp_lava.circuit import AccumulateProducts, Circuit, RunProgram
from tp_lava.dynamics.program import Program

_FLAG = " changed"  # no buffer has a blank in its name


def flag_of(change: str) -> str:
    """Name of the flag of a sum of changes, beside the names of buffers."""
    return change + _FLAG


def is_flag(name: str) -> bool:
    """Whether a name is that of a flag."""
    return name.endswith(_FLAG)


def summed(circuit: Circuit) -> list[str]:
    """The sums that have flags."""
    return list(dict.fromkeys(o.change for o in circuit.step if isinstance(o, AccumulateProducts)))


def known_to_rest(circuit: Circuit) -> dict[str, RunProgram]:
    """Sum -> what applies it, where that changes nothing by zeros and leaves zeros, and nothing else uses the sum."""
    return {change: applied for change in summed(circuit) for applied in _applied(circuit, change)}


def _applied(circuit: Circuit, change: str) -> Iterator[RunProgram]:
    others = [o for o in circuit.step if change in o.touches and not (isinstance(o, AccumulateProducts) and o.change == change)]
    if len(others) == 1 and isinstance(applied := others[0], RunProgram) and not applied.first:
        port = resting_port(applied.program)
        if port and dict(applied.bindings)[port] == change and _leaves_zeros(applied.program, port):
            yield applied


def _leaves_zeros(program: Program, port: str) -> bool:
    """Whether a program writes zeros there, whatever it reads."""
    zeros = set[int]()
    for i in program.instructions:
        if (i.op == "constant" and i["value"] == 0) or (i.op == "add" and zeros.issuperset(i.arguments)):
            zeros.add(i.result)
    return dict(program.writes)[port] in zeros
