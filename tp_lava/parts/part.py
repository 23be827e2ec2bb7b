"""A part: the operations and arrays of some owners, carried out stage by stage as its sample messages say."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from tp_lava.circuit import Buffer, Operation
from tp_lava.circuit.labels import check_label, present
from tp_lava.circuit.operations import STEPS_LEFT
from tp_lava.engine import COUNTERS
from tp_lava.errors import invalid
from tp_lava.graph.names import INPUT
from tp_lava.numbers import seed_key
from tp_lava.parts.graph import Graph, PartInput, PartOutput, PartSpec
from tp_lava.parts.messages import (
    ALL_ROWS,
    FREE_RUN,
    LABEL,
    LEFT,
    NO_LABEL,
    NO_SAMPLE,
    ROWS,
    START,
    UNKNOWN,
    is_active,
    is_labelled,
    steps_left,
)
from tp_lava.parts.stages import Stage
from tp_lava.sharing import shared_array

if TYPE_CHECKING:
    from tp_lava.backends.protocol import Compiled

SAMPLE_IN = "sample_in"


class Part:
    """The arrays and the code of a part of a graph. seed: of the rounding.

    A Lava step is `receive` the sample message, `run` each stage with what arrived for it, and `finish` with what is for later steps.
    Beside its buffers the memory holds the messages that wait: sample_in, and ports with a delay, the newest first.
    """

    def __init__(self, graph: Graph, spec: PartSpec, seed: int = 0) -> None:
        self.graph, self.spec, circuit = graph, spec, graph.circuit
        self.buffers: Mapping[str, Buffer] = {here: circuit.buffers[name] for name, here in spec.names.items()}
        self._memory: dict[str, np.ndarray] = {
            here: np.zeros(circuit.shape(buffer.name), buffer.dtype) for here, buffer in self.buffers.items()
        }
        self._memory["random_seed"][0] = seed_key(seed)
        for here, buffer in self.buffers.items():
            if buffer.name in circuit.values:
                self._memory[here][...] = buffer.encode(circuit.values[buffer.name])
        places = [self._place(lag) for lag in (spec.lag, *(stage.lag for stage in spec.stages))]
        self._memory[SAMPLE_IN] = np.tile(NO_SAMPLE, (max(places) + graph.period, 1))
        for each in spec.inputs:
            if each.delay:
                self._memory[each.name] = np.zeros((each.delay, *each.shape), np.int32 if circuit.fixed else np.float32)
        self._starts = [operation for operation in circuit.start if operation.into in spec.names]
        self._ran: dict[str, bool] = {}
        self._compiled: dict[tuple[Operation, ...], Compiled] = {}
        self._by_buffer = self._arrays()

    # Its arrays -------------------------------------------------------------------------------
    @property
    def memory(self) -> Mapping[str, np.ndarray]:
        """The arrays, live: weights as (n_in, n_out), mantissas if fixed. See Buffer.encode and decode."""
        return MappingProxyType(self._memory)

    @property
    def own(self) -> tuple[str, ...]:
        """Names of the arrays of buffers that do not arrive from elsewhere."""
        received = {name for each in self.spec.inputs for name in each.buffers}
        return tuple(here for here, buffer in self.buffers.items() if buffer.name not in received)

    def share(self) -> None:
        """Compile, and move every array into memory that processes forked from now on share with this one."""
        for stage in self.spec.stages:
            self._code(stage.learning), self._code(stage.inferring)
        for name, array in self._memory.items():
            self._memory[name] = shared_array(array.shape, array.dtype)
            self._memory[name][...] = array
        self._by_buffer = self._arrays()

    def _arrays(self) -> dict[str, np.ndarray]:
        """The arrays by the names of their buffers, and what else there is."""
        return self._memory | {name: self._memory[here] for name, here in self.spec.names.items()}

    def _code(self, operations: tuple[Operation, ...]) -> Compiled:
        from tp_lava.backends.cpu import CPU  # Numba takes a second to load

        if operations not in self._compiled:
            self._compiled[operations] = CPU().compile(self.graph.circuit, operations)
        return self._compiled[operations]

    # Sample messages --------------------------------------------------------------------------
    def _place(self, lag: int) -> int:
        """Where the sample message of a stage stands among those that arrived."""
        delay = self.spec.sample_delay
        return lag - self.spec.lag + delay - bool(delay)

    def message(self, lag: int | None = None) -> np.ndarray:
        """The sample message of a stage of that lag, by default the one to be passed on."""
        if not self.spec.sample_from:
            return FREE_RUN
        return self._memory[SAMPLE_IN][self._place(self.spec.lag if lag is None else lag)]

    def receive(self, message: np.ndarray) -> None:
        """The sample message that arrives in this Lava step: at its beginning or, where the part has a sample_delay, at its end."""
        _push(self._memory[SAMPLE_IN], message)

    # One Lava step ----------------------------------------------------------------------------
    def run(self, stage: Stage, arriving: Mapping[str, np.ndarray]) -> None:
        """Carry out a stage. arriving: the messages at its inputs without delay, by port."""
        message = self.message(stage.lag)
        operations = stage.learning if is_labelled(message) else stage.inferring
        self._ran[stage.name] = is_active(message) and bool(operations)
        if not is_active(message):
            return
        if stage is self.spec.stages[0]:
            self._start(message)
        for each in self.spec.inputs:
            if each.stage == stage.name:
                self._take(each, arriving[each.name] if not each.delay else self._memory[each.name][-1], start=bool(message[START]))
        if operations:
            self._set_counts(message)
            self._code(operations).once(self._by_buffer)
        if stage is self.spec.stages[-1] and is_labelled(message) and self.graph.circuit.learns:
            self._memory["random_step"] += np.uint32(1)

    def outgoing(self, output: PartOutput) -> np.ndarray:
        """What is sent at a port after its stage; zeros where the stage has not run, and where nobody would use it."""
        values = self._by_buffer[output.signal].reshape(output.shape)
        held = self.graph.circuit.buffers[output.signal].role == "state"
        off = output.switch and self._by_buffer[output.switch][0] == 0
        (stage,) = (stage for stage in self.spec.stages if stage.name == output.stage)
        early = output.last_steps and steps_left(int(self.message(stage.lag)[LEFT])) > output.last_steps
        return np.zeros_like(values) if off or early or not (held or self._ran[output.stage]) else values

    def finish(self, arriving: Mapping[str, np.ndarray]) -> None:
        """End a Lava step. arriving: the messages at its inputs with a delay, by port."""
        for name, values in arriving.items():
            _push(self._memory[name], values)

    # Inside -----------------------------------------------------------------------------------
    def _start(self, message: np.ndarray) -> None:
        """Before a time step: its states are zero when a sample starts, and labels are presented."""
        first = self._place(self.spec.stages[0].lag)
        waiting = self._memory[SAMPLE_IN][first + 1 : first + self.graph.period]
        if message[LEFT] != UNKNOWN and any(is_active(before) for before in waiting):
            found, limit = "a time step in each Lava step", f"one in {self.graph.period} Lava steps"
            remedy = f"use EventSource(..., period={self.graph.period}), see OnChipLearner.timing"
            raise invalid(self.spec.name, "sample_in", found, limit, remedy)
        if message[START]:
            self.begin(message)

    def begin(self, message: np.ndarray) -> None:
        """Start a sample."""
        circuit = self.graph.circuit if is_labelled(message) else self.graph.inference
        for name in circuit.names("state"):
            if name in self._by_buffer:
                self._by_buffer[name].fill(0)
        for operation in self._starts if is_labelled(message) else ():
            present(operation, circuit, self._by_buffer, [int(message[LABEL])])

    def _set_counts(self, message: np.ndarray) -> None:
        """Tell how many steps of the sample are left, and how many rows are in use."""
        if STEPS_LEFT in self._by_buffer:
            self._by_buffer[STEPS_LEFT][0] = steps_left(int(message[LEFT])) - 1  # as it is once the step was counted
        for axis, count in self.graph.circuit.row_counts.items():
            self._by_buffer[count][0] = self.graph.circuit.sizes[axis] if message[ROWS] == ALL_ROWS else message[ROWS]

    def _take(self, each: PartInput, values: np.ndarray, *, start: bool) -> None:
        """Put what arrived into the buffers that it is for, no further than their formats reach."""
        circuit = self.graph.circuit
        values = np.zeros_like(values) if start and each.recurrent else values
        if each.signal == INPUT and circuit.network.input_format and not circuit.fixed:
            values = circuit.network.input_format.real(values)
        lists = [name for name in each.buffers if circuit.buffers[name].index]
        for name in each.buffers:
            if name not in lists:
                array, format = self._by_buffer[name], circuit.buffers[name].format
                array[...] = (np.clip(values, format.low, format.high) if format else values).reshape(array.shape)
        if lists:
            active, count = (self._by_buffer[name] for name in lists)
            for row, spikes in enumerate(values.reshape(len(count), -1)):
                units = np.flatnonzero(spikes)
                active[row, : units.size] = units
                count[row] = units.size


class LabelPart(Part):
    """The part that decides which samples are learned, counts them and draws the labels. Attribute learning: False for none."""

    learning = True

    def __init__(self, graph: Graph, spec: PartSpec, seed: int = 0) -> None:
        super().__init__(graph, spec, seed)
        for name in ("labelled", "samples_seen"):
            self._memory[name] = self._by_buffer[name] = np.zeros(1, COUNTERS[name])

    def _start(self, message: np.ndarray) -> None:
        """A sample was begun when its first message arrived."""

    def finish(self, arriving: Mapping[str, np.ndarray]) -> None:
        """See Part. Also begins the sample whose first message arrived, and takes labels away that do not count."""
        super().finish(arriving)
        message, memory = self.message(), self._memory
        if message[START]:
            memory["labelled"][0] = self.learning and is_labelled(message)
            if memory["labelled"][0]:
                check_label(int(message[LABEL]), self.graph.circuit.network.n_classes)
                self.begin(message)
                memory["samples_seen"] += 1
        if not (memory["labelled"][0] and self.learning):
            message[LABEL] = NO_LABEL
        for count in self.graph.circuit.row_counts.values():
            message[ROWS] = self._by_buffer[count][0] if is_active(message) else message[ROWS]


def make_part(graph: Graph, spec: PartSpec, seed: int = 0) -> Part:
    """The part that a spec describes."""
    return (LabelPart if spec.kind == "label" else Part)(graph, spec, seed)


def _push(line: np.ndarray, values: np.ndarray) -> None:
    """Put the newest message in front."""
    line[1:] = line[:-1].copy()
    line[0] = values
