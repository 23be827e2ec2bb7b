"""The CPU target: programs and the operations of circuits, compiled by Numba once a process and called by one loop (cpu_calls)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from operator import is_, itemgetter
from typing import TYPE_CHECKING

import numpy as np

from tp_lava.backends import cpu_calls, cpu_changes
from tp_lava.backends.cpu_compiler import NAME, Compiler
from tp_lava.backends.cpu_loops import EachSample, Once, load_loops
from tp_lava.backends.cpu_programs import Compiled
from tp_lava.backends.cpu_programs import carry_out as carry_out
from tp_lava.backends.cpu_samples import results_of, samples_of, starts_of, states_of
from tp_lava.backends.protocol import Memory
from tp_lava.circuit import (
    Accumulate,
    Circuit,
    Operation,
)
from tp_lava.circuit.buffers import rows_in_use
from tp_lava.circuit.circuit import touched
from tp_lava.circuit.operations import INPUT_KEPT, INPUT_VALUES, STEPS_LEFT, events_of
from tp_lava.data.following import Following
from tp_lava.graph.names import INPUT

if TYPE_CHECKING:
    from tp_lava.backends.cpu_threads import Team

_INPUT = events_of(INPUT)
_NOT_DRAWN = np.zeros(1, np.uint32)
_NOT_KEPT = np.zeros(1, np.int32)
_ALONE = nullcontext()
_NOT_COUNTED = np.zeros(0, np.int32)
_NOT_GRADED = np.zeros((0, 0), np.int32)


# Circuits ----------------------------------------------------------------------------------------


class CPU:
    """The back end that compiles by Numba. threads: how many share the work of large operations; the bits are the same."""

    name = NAME

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads

    def compile(self, circuit: Circuit, operations: Sequence[Operation] | None = None) -> CompiledOperations:
        """See BackEnd."""
        load_loops()
        return CompiledOperations(circuit, operations, self.threads)


class CompiledOperations:
    """Some operations of a circuit, to be carried out in order on its buffers. Operations that differ in sizes alone share their code."""

    def __init__(self, circuit: Circuit, operations: Sequence[Operation] | None = None, threads: int = 1) -> None:
        """operations: all of the circuit's step, if not given; threads: see CPU."""
        whole = operations is None
        compiler = Compiler(circuit, keeps=whole, threads=threads)
        operations = circuit.step if operations is None else operations
        graded = (INPUT_VALUES, INPUT_KEPT) if INPUT_VALUES in circuit.buffers else ()
        held = *_INPUT, *graded, *circuit.names("state"), *(name for operation in circuit.start for name in operation.writes)
        names = dict.fromkeys([*touched(operations), *circuit.names("random"), *(held if whole else ())])
        self.arguments = tuple(names)
        self._circuit, self._whole = circuit, whole
        alone, others = once_a_sample(operations) if whole else ((), operations)
        made = [(operation, compiled) for operation in (*alone, *others) for compiled in compiler.compiled(operation)]
        self.operations, self._compiled = [operation for operation, _ in made], [compiled for _, compiled in made]
        self._alone = len(alone)
        self._team = _team(threads) if any(compiled.parts > 1 for compiled in self._compiled) else None
        self._ticks: np.ndarray | None = None
        self._advance = int(circuit.learns)  # what a step adds to the step counter
        self._held = itemgetter(*self.arguments, self.arguments[0])  # the first again, so that one array comes as a tuple too
        self._used: dict[str, int] | None = None  # rows in use, and the arrays, of the last time
        self._arrays: Sequence[np.ndarray] = ()
        summed = cpu_changes.summed(circuit)
        self._flags = np.ones(len(summed), np.int32)  # see cpu_changes
        self._changed = {name: self._flags[k : k + 1] for k, name in enumerate(summed)}
        self._resting = {name: self._changed[name] for name in compiler.resting}
        self._memory: Mapping[str, np.ndarray] = {}
        self._kept: list[np.ndarray] = []  # what the calls point to, beside the memory
        self._once: Once | None = None  # with the arrays of the last time, as the next two
        self._each_sample: dict[bool, EachSample] = {}

    def once(self, memory: Memory) -> None:
        """See Compiled."""
        self._bind(memory)
        assert self._once is not None
        self._once()

    def steps(
        self,
        memory: Memory,
        offsets: np.ndarray,
        units: np.ndarray,
        begin: int,
        end: int,
        values: np.ndarray | None = None,
        constant: bool = False,
    ) -> None:
        """See Compiled."""
        self._bind(memory)
        words = None if values is None else values.view(np.int32)
        with self._helped(end - begin):
            self._each_sample[values is not None].part(begin, end, offsets, units, words, constant)

    def present(self, memory: Memory, following: Following, labels: np.ndarray, wanted: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Samples one after the other, each from its start to its end. -> (samples, *shape) of each wanted array, as each sample left it.

        labels: int32 (samples, rows), of the rows of the operations at a sample's start, whose number memory has already.
        """
        self._bind(memory)
        values = None if following.values is None else following.values.view(np.int32)
        kept = [np.empty((len(following.steps), *array.shape), array.dtype) for array in wanted]
        samples = samples_of(following, self._circuit.needs_length)
        with self._helped(sum(following.steps)):
            self._each_sample[values is not None](samples, following.offsets, following.units, values, labels, results_of(wanted, kept))
        return kept

    def _helped(self, steps: int) -> AbstractContextManager[None]:
        """Within it other threads help, where operations are so large."""
        return self._team.for_steps(steps) if self._team else _ALONE

    def timed(self) -> np.ndarray:
        """Count the ticks of the processor's counter from now on. -> those that each of `operations` has taken so far, live."""
        self._ticks, self._used = np.zeros(len(self._compiled), np.int64), None
        return self._ticks

    def _counters(self) -> tuple[np.ndarray, np.ndarray]:
        """Seed and step; a circuit that draws nothing has neither."""
        return self._memory.get("random_seed", _NOT_DRAWN), self._memory.get("random_step", _NOT_DRAWN)

    def _bind(self, memory: Memory) -> None:
        """Make the calls for these arrays, unless they are those of the last time. Since the last call others may have written there."""
        self._flags.fill(1)
        arrays, used = self._held(memory), self._circuit.rows_used(memory)
        if used == self._used and all(map(is_, arrays, self._arrays)):
            return
        axes = (self._circuit.buffers[name].axes for name in self.arguments)
        views = [rows_in_use(array, names, used) for array, names in zip(arrays, axes, strict=False)]
        flags = {cpu_changes.flag_of(name): flag for name, flag in self._changed.items()}
        self._memory, self._kept = {**dict(zip(self.arguments, views, strict=True)), **flags}, []
        calls = np.array([self._call(compiled) for compiled in self._compiled], np.int64).reshape(-1, cpu_calls.CALL_WIDTH)
        if self._whole:
            self._each_sample = self._loops(calls, dict(zip(self.arguments, arrays, strict=False)))
        else:
            self._once = Once(calls, self._counters())
        self._used, self._arrays = used, arrays

    def _loops(self, calls: np.ndarray, whole: Mapping[str, np.ndarray]) -> dict[bool, EachSample]:
        """The loops over samples and steps, by whether the input is graded. whole: the arrays with the rows that are not in use."""
        memory = self._memory
        graded: dict[bool, tuple[np.ndarray, np.ndarray]] = {False: (_NOT_GRADED, _NOT_KEPT)}
        if INPUT_VALUES in memory:
            graded[True] = memory[INPUT_VALUES].view(np.int32), memory[INPUT_KEPT]
        lists, starts = [memory[name] for name in _INPUT], (states_of(self._circuit, whole, self._resting), starts_of(self._circuit, whole))
        left = whole[STEPS_LEFT] if self._circuit.needs_length else np.zeros(1, np.int32)
        how = starts, left, self._advance, self._alone, self._ticks
        return {is_graded: EachSample(calls, self._counters(), lists, buffers, *how) for is_graded, buffers in graded.items()}

    def _call(self, compiled: Compiled) -> list[int]:
        memory, address = self._memory, compiled.address
        slots = self._slots(compiled)
        if self._team and compiled.parts > 1:
            parts = [self._slots(compiled, (part, compiled.parts)) for part in range(compiled.parts)]
            counts = memory[compiled.count] if compiled.count else _NOT_COUNTED
            address, slots, held = self._team.shared(address, slots, parts, counts, compiled.least)
            self._kept += [slots, *held]
        switch = memory[compiled.switch] if compiled.switch else None
        clock = memory[compiled.clock] if compiled.last_steps else None
        flag = memory[compiled.flag] if compiled.flag else None
        return cpu_calls.call_of(address, slots, compiled.random_stream, switch, clock, compiled.last_steps, flag)

    def _slots(self, compiled: Compiled, part: tuple[int, int] = (0, 1)) -> np.ndarray:
        arrays = compiled.arrays(self._memory, part)
        slots = cpu_calls.slots_of(compiled.arguments, arrays)
        self._kept += [*arrays, slots]
        return slots


def _team(threads: int) -> Team:
    """The threads; their module is imported where there are any."""
    from tp_lava.backends.cpu_threads import Team

    return Team(threads)


# What can be known before the first step ---------------------------------------------------------


def once_a_sample(operations: Sequence[Operation]) -> tuple[list[Operation], list[Operation]]:
    """-> (the operations whose result is the same at every step, the others): what they read changes between samples alone."""
    changed = {name for operation in operations for name in operation.writes} | {*_INPUT, INPUT_VALUES, INPUT_KEPT}
    alone, others = list[Operation](), list[Operation]()
    for operation in operations:
        own = sum(name in other.writes for name in operation.writes for other in operations) == len(operation.writes)
        steady = isinstance(operation, Accumulate) and own and changed.isdisjoint(operation.reads)
        (alone if steady else others).append(operation)
    return alone, others
