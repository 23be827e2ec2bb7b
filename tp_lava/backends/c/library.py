"""A network's circuits - the one that infers, the one that learns - as a C99 library: header, constants, source."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tp_lava.backends.c.members import STRUCTS, Member, in_structs, layout_of, members_of, unit_type
from tp_lava.backends.c.operations import OperationRenderer
from tp_lava.backends.c.program import PACKAGE, REGISTER, literal, prelude
from tp_lava.circuit import Circuit, Operation
from tp_lava.circuit.names import SCORE
from tp_lava.circuit.operations import INPUT_VALUES, NO_END, STEPS_LEFT
from tp_lava.templates import template


@dataclass(frozen=True)
class CLibrary:
    """The files' text, and the arrays in them."""

    name: str
    header: str
    weights: str
    source: str
    members: tuple[Member, ...]

    @property
    def files(self) -> dict[str, str]:
        """Name of each file, and what is in it."""
        return {f"{self.name}.h": self.header, f"{self.name}_weights.h": self.weights, f"{self.name}.c": self.source}

    @property
    def state_bytes(self) -> int:
        """Of the state struct."""
        return ctypes.sizeof(layout_of(self.members))

    @property
    def constant_bytes(self) -> int:
        """Of weights, parameters and tables, start values of what changes included."""
        return sum(m.bytes for m in self.members if m.start is not None)

    @property
    def bytes_by_struct(self) -> dict[str, int]:
        """Of each struct that has any."""
        return {place: sum(m.bytes for m in held) for place, held in in_structs(self.members).items()}

    @property
    def learned(self) -> tuple[Member, ...]:
        """Weights and whatever else learning changes, in the order of the test's checksum."""
        return tuple(m for m in self.members if m.place == "learned" and m.role != "random")


def c_library(name: str, inference: Circuit, learning: Circuit | None, memory: Mapping[str, np.ndarray]) -> CLibrary:
    """The library of a fixed-point network. learning: None for one that only infers; memory: what it starts with, counters included.

    Raises InvalidValueError, naming an operation or an instruction that C does not have, or a program on real numbers.
    """
    circuits = [inference, *([learning] if learning else [])]
    operations = [operation for circuit in circuits for operation in (*circuit.step, *circuit.start)]
    members = {m.name: m for m in members_of(circuits, operations, memory, lists_input=False)}
    code = OperationRenderer(circuits, members, lists_input=False)
    steps = {"infer": _step(code, inference), **({"learn": _step(code, learning)} if learning else {})}
    start = {"labelled": _labelled(code, learning) if learning else [], "unlabelled": _unlabelled(code, inference)}
    held = _with_scratch(code)
    constants, score = [m for m in held if m.start is not None], inference.buffers[SCORE].format
    facts = {
        "name": name,
        "upper": name.upper(),
        "network": inference.network,
        "learns": learning is not None,
        "needs_length": learning is not None and learning.needs_length,
        "graded": members.get(INPUT_VALUES),
        "value_limits": _value_limits(members.get(INPUT_VALUES)),
        "score_frac": score.frac if score else 0,
        "constants": constants,
        "steps": steps,
        "start": start,
        **_shared_facts(code, circuits, held, [line for lines in (*steps.values(), *start.values()) for line in lines]),
    }
    header, weights, source = (template(PACKAGE, file).render(facts) for file in ("header.h.jinja", "weights.h.jinja", "source.c.jinja"))
    return CLibrary(name, header, weights, source, held)


def _value_limits(values: Member | None) -> list[str]:
    """Comparisons that hold for values of events beyond their format; none where their type has no such values."""
    if values is None or values.format is None:
        return []
    held = np.iinfo(values.type.removesuffix("_t"))
    below = [f"< {literal(values.format.low)}"] if values.format.low > held.min else []
    return below + ([f"> {literal(values.format.high)}"] if values.format.high < held.max else [])


def once_source(name: str, circuit: Circuit, operations: Sequence[Operation]) -> tuple[str, tuple[Member, ...]]:
    """Source of `<name>_once(state)`, which carries operations out once, and the arrays of the state: all that they touch."""
    members = {m.name: m for m in members_of([circuit], operations, None, lists_input=True)}
    code = OperationRenderer([circuit], members, lists_input=True)
    lines = code.step(operations)
    held = _with_scratch(code)
    facts = {"name": name, "lines": lines, **_shared_facts(code, [circuit], held, lines)}
    return template(PACKAGE, "once.c.jinja").render(facts), held


def _shared_facts(
    code: OperationRenderer, circuits: Sequence[Circuit], members: Sequence[Member], lines: Sequence[str]
) -> dict[str, object]:
    """What every source says. lines: of the functions that call others."""
    functions = code.functions.sources
    return {
        "unit": unit_type(circuits),
        "structs": in_structs(members),
        "told": STRUCTS,
        "functions": functions,
        "prelude": prelude("\n".join([*functions, *lines])),
    }


def _with_scratch(code: OperationRenderer) -> tuple[Member, ...]:
    scratch = [Member("scratch", REGISTER, "work", (code.scratch,), "work")] if code.scratch else []
    return *code.members.values(), *scratch


def _step(code: OperationRenderer, circuit: Circuit) -> list[str]:
    counted = [f"{code.members['random_step'].where}[0] += 1u;"] if circuit.learns else []
    lines = [*code.step(circuit.step), *counted]
    used = set(re.findall(r"\w+", "\n".join(lines)))
    return [*(f"(void){name};" for name in ("units", "count") if name not in used), *lines]


def _labelled(code: OperationRenderer, circuit: Circuit) -> list[str]:
    """How a sample starts that is learned."""
    length = [f"{code.members[STEPS_LEFT].where}[0] = n_steps;"] if circuit.needs_length else []
    labels = [line for operation in circuit.start for line in code.lines(operation)]
    return [*length, *labels, f"{code.members['samples_seen'].where}[0] += 1u;"]


def _unlabelled(code: OperationRenderer, circuit: Circuit) -> list[str]:
    """How one starts that has no label: of a rule's rows only those of all classes are in use."""
    length = [f"{code.members[STEPS_LEFT].where}[0] = {NO_END};"] if circuit.needs_length else []
    return [*length, *(line for operation in circuit.start if operation.rows == "all" for line in code.lines(operation))]
