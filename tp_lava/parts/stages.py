"""Which operations of a circuit make up which part, in which stages, and in which Lava step each stage runs.

A part holds the operations of some owners. Its stages run at fixed numbers of Lava steps behind the source, their lags: a connection
delivers one step after the population before it has spiked, and nothing runs before what it reads of the same time step was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tp_lava.circuit import Accumulate, Circuit, ListEvents, Operation, Owner
from tp_lava.circuit.buffers import CIRCUIT
from tp_lava.circuit.operations import INPUT_VALUES, events_of
from tp_lava.errors import invalid
from tp_lava.graph.names import INPUT, READOUT, READOUT_BIAS
from tp_lava.graph.network import Network

PartKind = Literal["label", "connection", "population", "credit", "readout"]
REMEDY = "run the whole network in one Process: layers=False, select_sub_proc_model=False"


@dataclass(frozen=True)
class Stage:
    """Operations that a part carries out one after the other.

    learning, inferring: in a step that is learned, and in one that is not; lag: Lava steps behind the source.
    """

    name: str
    learning: tuple[Operation, ...]
    inferring: tuple[Operation, ...]
    lag: int


@dataclass(frozen=True)
class Group:
    """The stages of a part, in the order in which they run.

    subject: name of its weights, or number of its population; lag: Lava steps by which its sample messages are behind the source.
    """

    name: str
    kind: PartKind
    subject: str | int | None
    owners: tuple[Owner, ...]
    lag: int
    stages: tuple[Stage, ...] = ()


@dataclass(frozen=True)
class Read:
    """An operation reads a buffer that a step writes.

    signal: what travels: the buffer or, of events, the spikes that they list; before: whether it is of the time step before.
    """

    operation: Operation
    buffer: str
    signal: str
    before: bool


class Flow:
    """What an operation of a step writes and others read.

    writers: the last operation that writes a signal; spikes: the signals that are spikes, the input's among them.
    """

    def __init__(self, circuit: Circuit) -> None:
        lists = [o for o in circuit.step if isinstance(o, ListEvents)]
        given = *events_of(INPUT), *((INPUT_VALUES,) if INPUT_VALUES in circuit.buffers else ())
        listed = dict.fromkeys(given, INPUT) | {name: o.spikes for o in lists for name in events_of(o.population)}
        self.spikes = set(listed.values())
        first = dict.fromkeys(given, -1)
        self.writers: dict[str, Operation] = {}
        for number, operation in enumerate(circuit.step):
            for name in operation.writes:
                self.writers[name] = operation
                first.setdefault(name, number)
        carried = {name for name in first if circuit.buffers[name].owner != CIRCUIT}
        self.reads = [
            Read(operation, name, listed.get(name, name), first[name] >= number)
            for number, operation in enumerate(circuit.step)
            for name in dict.fromkeys(operation.reads)
            if name in carried
        ]

    def delivers(self, signal: str) -> Accumulate | None:
        """The operation that delivers sums into a buffer, if one does."""
        writer = self.writers.get(signal)
        return writer if isinstance(writer, Accumulate) else None


# Which parts there are ----------------------------------------------------------------------------


def groups_of(circuit: Circuit, inference: Circuit, *, has_label: bool) -> tuple[Group, ...]:
    """The parts of a circuit in the order of a step. inference: the circuit of steps that are not learned; has_label: whether any is."""
    network, lags = circuit.network, lags_of(circuit.network)
    groups = [Group("target" if _label_owners(circuit) else "gate", "label", None, _label_owners(circuit), 0)] if has_label else []
    for number, population in enumerate(network.populations):
        name, lag = population.name, lags[population.name]
        groups += [_connection(c.name, c.name, lag) for c in network.into(population)]
        owners = Owner("population", name), Owner("plasticity", population.bias)
        groups += [Group(f"population{number}", "population", number, owners, lag)]
        groups += [Group(f"credit{number}", "credit", number, _credit_owners(circuit, name), lag)]
    groups += [_connection("readout_weights", network.readout.name, lags[READOUT])]
    groups += [Group("readout", "readout", None, (Owner("readout"), Owner("plasticity", READOUT_BIAS)), lags[READOUT])]
    staged = [replace(group, stages=_stages(circuit, inference, group)) for group in groups]
    return _timed(circuit, [group for group in staged if group.stages or group.kind == "label"])


def lags_of(network: Network) -> dict[str, int]:
    """Lava steps by which each population, and the readout, is behind the source."""
    lags = {INPUT: 0}
    for population in network.populations:
        lags[population.name] = 1 + max(lags[c.pre] for c in network.into(population) if not c.recurrent)
    return lags | {READOUT: 1 + lags[network.readout.pre]}


def _connection(name: str, weights: str, lag: int) -> Group:
    return Group(name, "connection", weights, (Owner("connection", weights), Owner("plasticity", weights)), lag)


def _credit_owners(circuit: Circuit, population: str) -> tuple[Owner, ...]:
    """The owners of a population's credit: its operations, and what changes the weights that it keeps."""
    credit = Owner("credit", population)
    return credit, *(Owner("plasticity", buffer.name) for buffer in circuit.owned(credit) if buffer.role == "weight")


def _label_owners(circuit: Circuit) -> tuple[Owner, ...]:
    """The owners of what a rule has of its own: its operations, its connections, and what changes their weights."""
    known = {connection.name for connection in circuit.network.connections}
    own = [owner.name for owner in circuit.owners("connection") if owner.name not in known]
    rules = [owner for owner in circuit.owners("rule") if circuit.of(owner)]
    return (*rules, *(Owner("connection", name) for name in own), *(Owner("plasticity", name) for name in own))


def _stages(circuit: Circuit, inference: Circuit, group: Group) -> tuple[Stage, ...]:
    learning, inferring = circuit.of(*group.owners), inference.of(*group.owners)

    def stage(name: str) -> Stage:
        first, second = (tuple(o for o in operations if o.stage == name) for operations in (learning, inferring))
        return Stage(name, first, second, max(group.lag, 1))

    return tuple(stage(name) for name in dict.fromkeys(operation.stage for operation in (*learning, *inferring)))


# When they run ------------------------------------------------------------------------------------


def homes_of(groups: Sequence[Group]) -> dict[Owner, str]:
    """Owner -> the name of its group."""
    return {owner: group.name for group in groups for owner in group.owners}


def _timed(circuit: Circuit, groups: Sequence[Group]) -> tuple[Group, ...]:
    """The groups, each stage at the lag of the last thing that it reads of the same time step."""
    flow, homes = Flow(circuit), homes_of(groups)
    for operation in circuit.step:
        if operation.owner not in homes and operation.owner != CIRCUIT:
            raise invalid("OnChipLearner", "circuit", f"with an operation of {operation.owner}", "of owners that have a Process", REMEDY)
    lags = {(group.name, stage.name): stage.lag for group in groups for stage in group.stages}
    pairs = ((flow.writers[read.signal], read.operation) for read in flow.reads if not read.before and read.signal in flow.writers)
    waits = {tuple((homes[operation.owner], operation.stage) for operation in pair) for pair in pairs}
    while late := {after: lags[before] for before, after in waits if lags[before] > lags[after]}:
        lags |= late
    timed = (replace(g, stages=tuple(replace(s, lag=lags[g.name, s.name]) for s in g.stages)) for g in groups)
    ordered = tuple(replace(g, stages=tuple(sorted(g.stages, key=lambda stage: stage.lag))) for g in timed)
    for group in ordered:
        _check_order(circuit, group)
    return ordered


def _check_order(circuit: Circuit, group: Group) -> None:
    """Refuse a part whose stages, one after the other, do not do what its operations do in the order of a step."""
    places = {stage.name: place for place, stage in enumerate(group.stages)}
    operations = circuit.of(*group.owners)
    for number, later in enumerate(operations):
        for earlier in operations[:number]:
            clash = {*earlier.writes} & {*later.touches} | {*later.writes} & {*earlier.touches}
            if places[earlier.stage] > places[later.stage] and clash:
                found = f"{later.stage} before {earlier.stage}, which share {', '.join(sorted(clash))}"
                raise invalid(f"OnChipLearner: {group.name}", "stages", found, "in the order of a time step", REMEDY)
