"""The operations of a circuit, which a back end carries out.

An operation says whose it is, and which buffers it reads and writes, so nobody else has to know what kinds of operations there
are; each back end has one function for each kind.

A population's events are a list of active units for each row, so delivering and learning cost what spikes, not what synapses
there are. Where events have values, a buffer of all units has them, zero where there is no event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tp_lava.circuit.buffers import CIRCUIT, Owner
from tp_lava.dynamics.program import Program
from tp_lava.graph.connections import Convolution
from tp_lava.graph.pooling import Pool2d, Shape

STEPS_LEFT = "steps_left"
INPUT_VALUES = "input_value"
INPUT_KEPT = "input_kept"  # 1 in steps in which a graded input is that of the step before
NO_END = 2**30  # steps left of a sample of unknown length


@dataclass(frozen=True, kw_only=True)
class Operation:
    """owner: whose it is; stage: which of its owner's stages it belongs to, as the owner's Lava Process carries them out."""

    owner: Owner = CIRCUIT
    stage: str = ""

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the buffers it reads."""
        return ()

    @property
    def writes(self) -> tuple[str, ...]:
        """Names of the buffers it changes."""
        return ()

    @property
    def touches(self) -> tuple[str, ...]:
        """Names of the buffers it reads or writes, each once."""
        return tuple(dict.fromkeys((*self.reads, *self.writes)))


def events_of(population: str) -> tuple[str, str]:
    """Names of the buffers that list a population's events: active units, and how many there are."""
    return f"{population}_active", f"{population}_count"


def geometry_of(weights: str) -> str:
    """Name of the buffer that describes a convolution, see graph.connections.GEOMETRY."""
    return f"{weights}_geometry"


@dataclass(frozen=True, kw_only=True)
class Accumulate(Operation):
    """into[row] = sum of the weights of the active units of population `events` in that row, each times its value.

    offsets, targets: tables of synaptic delays: active unit v, a copy of unit j = v % (units below), has the synapses of j to neurons
    targets[offsets[v]..offsets[v+1]-1] alone; "" without delays.
    values: buffer of the events' values, "" where they are 1; kind: the convolution, None where all reach all; geometry: its buffer;
    keeps: while INPUT_KEPT is 1 a back end may reuse the last result, since neither events nor weights have changed.
    """

    weights: str
    events: str
    into: str
    values: str = ""
    kind: Convolution | None = None
    geometry: str = ""
    keeps: bool = False
    offsets: str = ""
    targets: str = ""

    @property
    def reads(self) -> tuple[str, ...]:
        """See Operation."""
        return self.weights, *events_of(self.events), *_given(self.values, self.geometry, self.offsets, self.targets)

    @property
    def writes(self) -> tuple[str, ...]:
        """See Operation."""
        return (self.into,)


def _given(*buffers: str) -> tuple[str, ...]:
    return tuple(buffer for buffer in buffers if buffer)


@dataclass(frozen=True, kw_only=True)
class Conditional(Operation):
    """An operation that is skipped while buffer `switch`, if given, is 0, and before the last `last_steps` steps of a sample, if not 0."""

    switch: str = ""
    last_steps: int = 0

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the buffers that decide whether it is carried out."""
        return (*((self.switch,) if self.switch else ()), *((STEPS_LEFT,) if self.last_steps else ()))


@dataclass(frozen=True, kw_only=True)
class RunProgram(Conditional):
    """Carry out a program.

    bindings: (port, buffer) pairs; first: ports that see row 0 of their buffer only; maps: ports that see the units of their buffer
    as (channels, positions), so many of each; random_stream: key of its random bits.
    """

    program: Program
    bindings: tuple[tuple[str, str], ...]
    first: tuple[str, ...] = ()
    random_stream: int = 0
    maps: tuple[tuple[str, tuple[int, int]], ...] = ()

    def seen(self, port: str, array: np.ndarray) -> np.ndarray:
        """An array, or its part, as a port sees it: a view."""
        array = array[0:1] if port in self.first else array
        units = dict(self.maps).get(port)
        return array.reshape(*array.shape[:-1], *units) if units else array

    def seen_shape(self, port: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The same of an array's shape."""
        shape = (1, *shape[1:]) if port in self.first else shape
        return (*shape[:-1], *dict(self.maps).get(port, shape[-1:]))

    @property
    def reads(self) -> tuple[str, ...]:
        """See Operation."""
        bound = dict(self.bindings)
        return (*(bound[port] for port, _ in self.program.reads), *self.conditions)

    @property
    def writes(self) -> tuple[str, ...]:
        """See Operation."""
        bound = dict(self.bindings)
        return tuple(bound[port] for port, _ in self.program.writes)


@dataclass(frozen=True, kw_only=True)
class UpdateWeights(Conditional):
    """For each row and active presynaptic unit i, run a plasticity program on row i of the weights, if its conditions hold.

    bindings: (port, buffer) pairs. Port "weight", and states of the synapses, are rows i of (pre, post) buffers; ports without axes
    are element (row, i) of (row, pre) buffers, or parameters; the others are rows of (row, post) buffers, third factors.
    Active are the units of population `events`; else, if given, those whose element of buffer `trace` is not zero; else all.
    kind, geometry: of a convolution whose weights are not shared: the program runs on the weights from one unit to the channels of
    each position that it reaches, with the third factors of those. offsets, targets: see Accumulate; the program runs on the weights of
    those synapses alone, and elements (row, pre) are those of the copy.
    """

    program: Program
    bindings: tuple[tuple[str, str], ...]
    events: str = ""
    trace: str = ""
    random_stream: int = 0
    kind: Convolution | None = None
    geometry: str = ""
    offsets: str = ""
    targets: str = ""

    @property
    def weights(self) -> str:
        """The buffer it changes: weights, or the sum of their changes."""
        return dict(self.bindings)["weight"]

    @property
    def third_factor(self) -> str:
        """The buffer of its first third factor, whose rows it goes through."""
        return dict(self.bindings)["y1"]

    @property
    def reads(self) -> tuple[str, ...]:
        """See Operation."""
        active = events_of(self.events) if self.events else (self.trace,) if self.trace else ()
        tables = _given(self.geometry, self.offsets, self.targets)
        return (*(buffer for _, buffer in self.bindings), *active, *tables, *self.conditions)

    @property
    def writes(self) -> tuple[str, ...]:
        """See Operation."""
        bound = dict(self.bindings)
        return tuple(bound[port] for port, _ in self.program.writes)


@dataclass(frozen=True, kw_only=True)
class AccumulateProducts(Conditional):
    """change[w] += pre * post, exactly, over the synapses of every active unit that have weight w: how shared weights learn.

    pre: 1 for the events of a population, or the element of buffer `trace` (see UpdateWeights); post: `third_factor` of the unit a
    synapse reaches. The sum is rounded once, by the program that applies it; so the order of synapses does not matter.
    """

    change: str
    third_factor: str
    kind: Convolution
    geometry: str
    events: str = ""
    trace: str = ""

    @property
    def reads(self) -> tuple[str, ...]:
        """See Operation."""
        pre = events_of(self.events) if self.events else (self.trace,)
        return self.change, self.third_factor, *pre, self.geometry, *self.conditions

    @property
    def writes(self) -> tuple[str, ...]:
        """See Operation."""
        return (self.change,)


@dataclass(frozen=True, kw_only=True)
class ListEvents(Operation):
    """List the active units of buffer `spikes` as the events of a population; total: buffer to which they are also added, or ""."""

    population: str
    spikes: str
    total: str = ""

    @property
    def reads(self) -> tuple[str, ...]:
        """See Operation."""
        return self.spikes, *((self.total,) if self.total else ())

    @property
    def writes(self) -> tuple[str, ...]:
        """See Operation."""
        return (*events_of(self.population), *((self.total,) if self.total else ()))


@dataclass(frozen=True, kw_only=True)
class MarkEvents(Operation):
    """The inverse: 1, or the value of `values`, where a population has an event, else 0, into a buffer."""

    population: str
    into: str
    values: str = ""

    @property
    def reads(self) -> tuple[str, ...]:
        """See Operation."""
        return *events_of(self.population), *_given(self.values)

    @property
    def writes(self) -> tuple[str, ...]:
        """See Operation."""
        return (self.into,)


@dataclass(frozen=True, kw_only=True)
class Delay(Operation):
    """The events of population `into` are those of `events`, each copy of a unit as many steps later as buffer `delays` says.

    Copy k of unit j is unit k * n + j of `into`. pending: (row, slot, ...) lists of events that have still to arrive, one slot for each
    step to come, in turn; waiting: how many each slot has; slot: that of this step; values, pending_values, arrived_values: of events
    that have values, "" where they are 1. An event costs its copies, however long they are delayed.
    """

    events: str
    into: str
    copies: int
    delays: str
    pending: str
    waiting: str
    slot: str
    values: str = ""
    pending_values: str = ""
    arrived_values: str = ""

    @property
    def reads(self) -> tuple[str, ...]:
        """See Operation."""
        held = self.delays, self.pending, self.waiting, self.slot, *_given(self.pending_values)
        own = (*events_of(self.into), self.arrived_values) if self.arrived_values else ()  # to take the last step's values back
        return *events_of(self.events), *_given(self.values), *held, *own

    @property
    def writes(self) -> tuple[str, ...]:
        """See Operation."""
        return *events_of(self.into), self.pending, self.waiting, self.slot, *_given(self.pending_values, self.arrived_values)


@dataclass(frozen=True, kw_only=True)
class Windowed(Operation):
    """Through windows over `source`, (channels, height, width) of `shape`, or back: see graph.pooling.

    windows: their buffer (see pool_table); share: buffer of a unit's share of its window's average, "" where there is none; shift: in
    fixed point, what is shared is (number * share + half) >> shift.
    """

    source: str
    into: str
    pooling: Pool2d
    shape: Shape
    windows: str
    share: str = ""
    shift: int = 0

    @property
    def writes(self) -> tuple[str, ...]:
        """See Operation."""
        return (self.into,)


@dataclass(frozen=True, kw_only=True)
class Pool(Windowed):
    """into[row] = what windows make of `source`."""

    @property
    def reads(self) -> tuple[str, ...]:
        """See Operation."""
        return self.source, self.windows, *_given(self.share)


@dataclass(frozen=True, kw_only=True)
class Unpool(Windowed):
    """into[row] = `signal` of the windows of a Pool, handed back to the units that they are over.

    A sum hands each unit the window's signal, an average its share of it, a maximum all to the first unit that has it.
    """

    signal: str

    @property
    def reads(self) -> tuple[str, ...]:
        """See Operation."""
        return self.signal, *((self.source,) if self.pooling.mode == "max" else ()), self.windows, *_given(self.share)


@dataclass(frozen=True, kw_only=True)
class CountSteps(Operation):
    """Count the sample's steps down: after it, STEPS_LEFT has those still to come."""

    @property
    def reads(self) -> tuple[str, ...]:
        """See Operation."""
        return (STEPS_LEFT,)

    @property
    def writes(self) -> tuple[str, ...]:
        """See Operation."""
        return (STEPS_LEFT,)


@dataclass(frozen=True, kw_only=True)
class PresentLabels(Operation):
    """When a sample starts: row r of `into` becomes one-hot of a label, and, if given, `population` has its unit as only event.

    rows: "own", the labels of the samples; "all", every class; "drawn", the sample's own and others in random order, as many in
    all as `limit`, a switch, says. count: buffer that says how many rows are in use, "" where all are; given: the keyword by
    which a user may give the labels of the rows.
    """

    into: str
    rows: Literal["own", "all", "drawn"] = "own"
    population: str = ""
    limit: str = ""
    count: str = ""
    given: str = ""

    @property
    def reads(self) -> tuple[str, ...]:
        """See Operation."""
        return ("random_seed", "samples_seen", *((self.limit,) if self.limit else ())) if self.rows == "drawn" else ()

    @property
    def writes(self) -> tuple[str, ...]:
        """See Operation."""
        lists = events_of(self.population) if self.population else ()
        return self.into, *lists, *((self.count,) if self.count else ())
