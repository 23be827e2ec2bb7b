"""A back end of one's own, as small as it gets: it infers, on NumPy, and refuses what it does not have. CONTRIBUTING.md, "A back end"."""

import numpy as np

from tp_lava.backends.interpreted_programs import axis_sizes, on_axes
from tp_lava.backends.protocol import StepByStep, entry, operation_entry
from tp_lava.circuit import Accumulate, ListEvents, RunProgram
from tp_lava.circuit.operations import events_of

NAME = "stub"


# 1. One function for each instruction
def _mul(i, a, b):
    product = a * b
    magnitude = np.abs(product) >> i["shift"]
    return np.sign(product) * magnitude if i["rounding"] == "zero" else product + (1 << i["shift"] >> 1) >> i["shift"]


INSTRUCTIONS = {
    "constant": lambda i: np.array(i["value"]),
    "add": lambda i, a, b: a + b,
    "neg": lambda i, a: -a,
    "min": lambda i, a, b: np.minimum(a, b),
    "mul": _mul,
    "shift": lambda i, a: a << i["by"] if i["by"] >= 0 else a >> -i["by"],
    "lt": lambda i, a, b: a < b,
    "ge": lambda i, a, b: a >= b,
    "select": lambda i, condition, a, b: np.where(condition, a, b),
    "spike": lambda i, a: a.astype(np.int64),
}


def run(program, arrays):
    """A program: read its ports, carry out its instructions, write its ports."""
    assert axis_sizes(program.ports, arrays)
    values = {index: on_axes(program.axes, arrays[port].astype(np.int64), program.port(port).axes) for port, index in program.reads}
    for i in program.instructions:
        function = entry(NAME, "instruction", INSTRUCTIONS, i.op, i.op)
        values[i.result] = function(i, *(values[argument] for argument in i.arguments))
    for port, index in program.writes:
        on_axes(program.axes, arrays[port], program.port(port).axes)[...] = values[index]


# 2. One function for each operation
def _events(memory, population):
    active, count = (memory[name] for name in events_of(population))
    return [row[:n] for row, n in zip(active, count, strict=True)]


def _accumulate(memory, o):
    for into, units in zip(memory[o.into], _events(memory, o.events), strict=True):
        into[...] = memory[o.weights][units].sum(axis=0)


def _list_events(memory, o):
    active, count = (memory[name] for name in events_of(o.population))
    for row, spikes in enumerate(memory[o.spikes]):
        units = np.flatnonzero(spikes)
        active[row, : len(units)], count[row] = units, len(units)
        memory[o.total][row, units] += 1


def _run_program(memory, o):
    run(o.program, {port: memory[buffer] for port, buffer in o.bindings})


OPERATIONS = {Accumulate: _accumulate, ListEvents: _list_events, RunProgram: _run_program}


# 3. What compiles and what it gives
class Stub:
    """The back end."""

    name = NAME

    def compile(self, circuit, operations=None):
        """See tp_lava.backends.protocol.BackEnd."""
        chosen = circuit.step if operations is None else operations
        return StubSteps(circuit, [(operation_entry(NAME, OPERATIONS, o), o) for o in chosen])


class StubSteps(StepByStep):
    """Operations ready to be carried out."""

    def __init__(self, circuit, operations):
        self.circuit, self._operations = circuit, operations

    def once(self, memory):
        """See tp_lava.backends.protocol.Compiled."""
        for function, operation in self._operations:
            function(memory, operation)
