"""A part: the operations and arrays of some owners, carried out stage by stage as its sample messages say."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from tp_lava.circuit import Buffer
from tp_lava.circuit.labels import check_label, present
from tp_lava.circuit.operations import STEPS_LEFT
from tp_lava.engine import COUNTERS
from tp_lava.errors import invalid
from tp_lava.numbers import seed_key
from tp_lava.parts.bound import BoundOutput, BoundStage, writer
from tp_lava.parts.graph import Graph, PartOutput, PartSpec
from tp_lava.parts.messages import (
    ALL_ROWS,
    FREE_RUN,
    IDLE,
    LABEL,
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
_ONE = np.uint32(1)


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
        self._bind()

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
        _ = self._code
        for name, array in self._memory.items():
            self._memory[name] = shared_array(array.shape, array.dtype)
            self._memory[name][...] = array
        self._bind()

    def _bind(self) -> None:
        """Look up, in its present arrays, what every Lava step needs."""
        circuit, spec = self.graph.circuit, self.spec
        self._by_buffer = self._memory | {name: self._memory[here] for name, here in spec.names.items()}
        self._message = self._message_of(spec.lag)
        self._steps_left = self._by_buffer.get(STEPS_LEFT)
        self._row_counts = [(self._by_buffer[count], circuit.sizes[axis]) for axis, count in circuit.row_counts.items()]
        waiting = {each.name: self._memory[each.name] for each in spec.inputs if each.delay}
        self._stages = {}
        for stage in spec.stages:
            inputs = [each for each in spec.inputs if each.stage == stage.name]
            bound = [(each, waiting[each.name][-1] if each.delay else None, writer(each, circuit, self._by_buffer)) for each in inputs]
            self._stages[stage.name] = BoundStage(self._message_of(stage.lag), tuple(bound))
        self._outputs = {each.name: BoundOutput(each, self._stages[each.stage], circuit, self._by_buffer) for each in spec.outputs}

    @cached_property
    def _code(self) -> Mapping[str, tuple[Compiled | None, Compiled | None]]:
        """The code of each stage: in a step that is not learned, and in one that is."""
        from tp_lava.backends.cpu import CPU  # Numba takes a second to load

        compiled = partial(CPU().compile, self.graph.circuit)
        return {s.name: tuple(compiled(o) if o else None for o in (s.inferring, s.learning)) for s in self.spec.stages}  # type: ignore[misc]

    @cached_property
    def _learns(self) -> bool:
        return self.graph.circuit.learns

    # Sample messages --------------------------------------------------------------------------
    def _place(self, lag: int) -> int:
        """Where the sample message of a stage stands among those that arrived."""
        delay = self.spec.sample_delay
        return lag - self.spec.lag + delay - bool(delay)

    def _message_of(self, lag: int) -> np.ndarray:
        """The sample message of a stage of that lag, live."""
        return self._memory[SAMPLE_IN][self._place(lag)] if self.spec.sample_from else FREE_RUN

    def message(self) -> np.ndarray:
        """The sample message to be passed on."""
        return self._message

    def receive(self, message: np.ndarray) -> None:
        """The sample message that arrives in this Lava step: at its beginning or, where the part has a sample_delay, at its end."""
        _push(self._memory[SAMPLE_IN], message)

    # One Lava step ----------------------------------------------------------------------------
    def run(self, stage: Stage, arriving: Mapping[str, np.ndarray]) -> None:
        """Carry out a stage. arriving: the messages at its inputs without delay, by port."""
        bound = self._stages[stage.name]
        start, label, left, rows = bound.message.tolist()
        code = self._code[stage.name][label != NO_LABEL]
        bound.left, bound.ran = left, rows != IDLE and code is not None
        if rows == IDLE:
            return
        if stage is self.spec.stages[0]:
            self._start(bound.message)
        for each, waiting, write in bound.inputs:
            values = arriving[each.name] if waiting is None else waiting
            write(np.zeros_like(values) if start and each.recurrent else values)
        if code is not None:
            self._set_counts(left, rows)
            code.once(self._by_buffer)
        if label != NO_LABEL and stage is self.spec.stages[-1] and self._learns:
            self._memory["random_step"] += _ONE

    def outgoing(self, output: PartOutput) -> np.ndarray:
        """What is sent at a port after its stage; zeros where the stage has not run, and where nobody would use it."""
        return self._outputs[output.name].values()

    def finish(self, arriving: Mapping[str, np.ndarray]) -> None:
        """End a Lava step. arriving: the messages at its inputs with a delay, by port."""
        for name, values in arriving.items():
            _push(self._memory[name], values)

    # Inside -----------------------------------------------------------------------------------
    def _start(self, message: np.ndarray) -> None:
        """Before a time step: its states are zero when a sample starts, and labels are presented."""
        start, _, left, _ = message.tolist()
        if self.graph.period > 1 and left != UNKNOWN:
            first = self._place(self.spec.stages[0].lag)
            if any(is_active(before) for before in self._memory[SAMPLE_IN][first + 1 : first + self.graph.period]):
                found, limit = "a time step in each Lava step", f"one in {self.graph.period} Lava steps"
                remedy = f"use EventSource(..., period={self.graph.period}), see OnChipLearner.timing"
                raise invalid(self.spec.name, "sample_in", found, limit, remedy)
        if start:
            self.begin(message)

    def begin(self, message: np.ndarray) -> None:
        """Start a sample."""
        circuit = self.graph.circuit if is_labelled(message) else self.graph.inference
        for name in circuit.names("state"):
            if name in self._by_buffer:
                self._by_buffer[name].fill(0)
        for operation in self._starts if is_labelled(message) else ():
            present(operation, circuit, self._by_buffer, [int(message[LABEL])])

    def _set_counts(self, left: int, rows: int) -> None:
        """Tell how many steps of the sample are left, and how many rows are in use."""
        if self._steps_left is not None:
            self._steps_left[0] = steps_left(left) - 1  # as it is once the step was counted
        for count, size in self._row_counts:
            count[0] = size if rows == ALL_ROWS else rows


class LabelPart(Part):
    """The part that decides which samples are learned, counts them and draws the labels. Attribute learning: False for none."""

    learning = True

    def __init__(self, graph: Graph, spec: PartSpec, seed: int = 0) -> None:
        super().__init__(graph, spec, seed)
        for name in ("labelled", "samples_seen"):
            self._memory[name] = np.zeros(1, COUNTERS[name])
        self._bind()

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
        for count, _ in self._row_counts:
            message[ROWS] = count[0] if is_active(message) else message[ROWS]


def make_part(graph: Graph, spec: PartSpec, seed: int = 0) -> Part:
    """The part that a spec describes."""
    return (LabelPart if spec.kind == "label" else Part)(graph, spec, seed)


def _push(line: np.ndarray, values: np.ndarray) -> None:
    """Put the newest message in front."""
    if len(line) > 1:
        line[1:] = line[:-1].copy()
    line[0] = values
