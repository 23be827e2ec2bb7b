"""The Processes of an opened network, their ports and their links, derived from what the operations of its circuit read and write.

What a part reads and another part writes travels from port to port; parameters, switches and labels each part has itself. Lava opens
an OnChipLearner into this graph (tp_lava/models/hierarchy.py), and bundles write it as a script (tp_lava/deploy/bundle).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from tp_lava.circuit import Circuit, Operation
from tp_lava.circuit.buffers import SAMPLES
from tp_lava.circuit.build import build_circuit
from tp_lava.circuit.circuit import touched
from tp_lava.circuit.formats import REAL, Formats
from tp_lava.circuit.names import SCORE
from tp_lava.circuit.operations import Conditional, events_of
from tp_lava.errors import invalid
from tp_lava.graph.names import INPUT
from tp_lava.graph.network import Network
from tp_lava.parts.stages import REMEDY, Flow, Group, PartKind, Read, groups_of, homes_of
from tp_lava.rules import BaseRule
from tp_lava.rules.base import check_local

SOURCE, SINK = "source", "sink"
LEARNING_DENSE = "LearningDense"  # Lava's own
_PROCESSES = {"population": "TraceLIF", "credit": "Credit", "readout": "Readout"}
_KEPT = ("weight", "kernel", "bias", "moment")  # roles of what is too much to send in every step


@dataclass(frozen=True)
class PartInput:
    """A port on which a part receives what another part writes.

    signal: buffer of the circuit that travels, or the input; buffers: those it fills, of spikes the lists of events and their values, if
    they have any; shape: of its messages; stage: the first that needs it; delay: Lava steps from its arrival to that; recurrent: it comes
    of the time step before, so nothing of it counts when a sample starts.
    """

    name: str
    signal: str
    buffers: tuple[str, ...]
    shape: tuple[int, ...]
    stage: str
    delay: int
    recurrent: bool


@dataclass(frozen=True)
class PartOutput:
    """A port on which a part sends the buffer `signal`, which its stage `stage` writes.

    switch, last_steps: conditions of all operations that read it elsewhere; where they do not hold it sends zeros.
    """

    name: str
    signal: str
    shape: tuple[int, ...]
    stage: str
    switch: str = ""
    last_steps: int = 0


@dataclass(frozen=True)
class PartSpec(Group):
    """What a part is made of.

    process: class of its Process; inputs, outputs: its ports, beside those of sample messages; names: buffer of the circuit -> name of
    the array here; sample_from: the Process that sends its sample messages, "" if it needs none; sample_delay: Lava steps from their
    arrival to their use.
    """

    process: str = ""
    inputs: tuple[PartInput, ...] = ()
    outputs: tuple[PartOutput, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict, repr=False)
    sample_from: str = ""
    sample_delay: int = 0

    def has(self, stage: str) -> bool:
        """Whether it has such a stage."""
        return any(each.name == stage for each in self.stages)

    @property
    def learns(self) -> bool:
        """Whether it changes weights."""
        return any(operation.owner.kind == "plasticity" for stage in self.stages for operation in stage.learning)

    @property
    def sends_samples(self) -> bool:
        """Whether it passes sample messages on."""
        return self.kind in ("label", "population", "readout")


@dataclass(frozen=True)
class Graph:
    """parts by name, in the order of a step; links: (port that sends, port that receives), as "process.port", from SOURCE to SINK;
    period: Lava steps of a time step; circuit, inference: of steps that are learned, and of those that are not.
    """

    circuit: Circuit
    inference: Circuit
    parts: Mapping[str, PartSpec]
    links: tuple[tuple[str, str], ...]
    period: int

    def part(self, kind: PartKind, subject: str | int | None = None) -> PartSpec | None:
        """The part of such a kind, of such weights or such a population."""
        return next((part for part in self.parts.values() if (part.kind, part.subject) == (kind, subject)), None)

    @property
    def lag(self) -> int:
        """Lava steps from an input spike to its effect on the scores."""
        return self.parts["readout"].lag


def graph_of(network: Network, rule: BaseRule | None, formats: Formats = REAL, obj: str = "OnChipLearner") -> Graph:
    """The graph of a network that infers (rule None) or learns. Raises InvalidValueError, naming what is not to be had as Processes."""
    check_local(rule, obj)
    if rule is not None and rule.matches:
        remedy = "match with the whole network in one Process, or give the rule a readout: tpl.Readout()"
        raise invalid(obj, "rule.readout", "Match()", "a Readout where opened into Processes", remedy)
    inference = build_circuit(network, None, formats)
    circuit = build_circuit(network, rule, formats) if rule else inference
    return _Deriving(circuit, inference, has_label=rule is not None).graph()


def in_learning_engine(graph: Graph, period: int) -> Graph:
    """The same graph with the connection of its only population in a LearningDense, which its population feeds. period: of that form."""
    dense, population = (next(part for part in graph.parts.values() if part.kind == kind) for kind in ("connection", "population"))
    parts = {**graph.parts, dense.name: replace(dense, process=LEARNING_DENSE)}
    parts[population.name] = replace(population, process="LearningTraceLIF")
    taught = {f"{dense.name}.{port}" for port in ("sample_in", *(each.name for each in dense.inputs if each.stage == "learn"))}
    links = [link for link in graph.links if link[1] not in taught]
    links += [(f"{population.name}.s_out_{port}", f"{dense.name}.s_in_{port}") for port in ("bap", "y1", "y2", "y3")]
    return replace(graph, parts=parts, links=tuple(links), period=period)


class _Deriving:
    """The graph of a circuit as it is found."""

    def __init__(self, circuit: Circuit, inference: Circuit, *, has_label: bool) -> None:
        self.circuit, self.inference, self.flow = circuit, inference, Flow(circuit)
        self.groups = {group.name: group for group in groups_of(circuit, inference, has_label=has_label)}
        self._homes = homes_of(list(self.groups.values()))
        self._lags = {(group.name, stage.name): stage.lag for group in self.groups.values() for stage in group.stages}

    def graph(self) -> Graph:
        """The graph."""
        parts = {group.name: self._part(group) for group in self.groups.values()}
        self._check_order(parts)
        links = tuple(self._links(parts))
        return Graph(self.circuit, self.inference, parts, links, self.period)

    # Who sends what to whom -------------------------------------------------------------------
    def _home(self, operation: Operation) -> str:
        return self._homes[operation.owner]

    def _sender(self, signal: str) -> str:
        return SOURCE if signal == INPUT else self._home(self.flow.writers[signal])

    def _lag(self, operation: Operation) -> int:
        return self._lags[self._home(operation), operation.stage]

    def _written(self, signal: str) -> int:
        """Lag of the stage that writes a signal."""
        return 0 if signal == INPUT else self._lag(self.flow.writers[signal])

    @cached_property
    def _travelling(self) -> dict[tuple[str, str], list[Read]]:
        """(signal, part that receives it) -> its reads there, in the order of the part's stages."""
        found: dict[tuple[str, str], list[Read]] = {}
        for read in self.flow.reads:
            receiver = self._home(read.operation)
            if self._sender(read.signal) != receiver:
                found.setdefault((read.signal, receiver), []).append(read)
        for (_, receiver), reads in found.items():
            order = [stage.name for stage in self.groups[receiver].stages]
            reads.sort(key=lambda read: order.index(read.operation.stage))
        return found

    @cached_property
    def period(self) -> int:
        """Lava steps of a time step: enough for all stages of a part, and for what is read one time step later."""
        spans = [group.stages[-1].lag - group.stages[0].lag for group in self.groups.values() if group.stages]
        back = [self._written(read.signal) - self._lag(read.operation) for read in self.flow.reads if read.before]
        return 1 + max(0, *spans, *back)

    # Parts ------------------------------------------------------------------------------------
    def _part(self, group: Group) -> PartSpec:
        names = self._names(group)
        arriving = {signal: reads for (signal, receiver), reads in self._travelling.items() if receiver == group.name}
        leaving: dict[str, list[Read]] = {SCORE: []} if group.kind == "readout" else {}
        for (signal, _), reads in self._travelling.items():
            if self._sender(signal) == group.name:
                leaving[signal] = leaving.get(signal, []) + reads
        inputs, outputs = dict[str, PartInput](), dict[str, PartOutput]()
        for signal, reads in arriving.items():
            name = self._port(signal, names, "in", inputs)
            inputs[name] = self._input(name, signal, reads, group)
        for signal, reads in leaving.items():
            name = self._port(signal, names, "out", outputs)
            outputs[name] = self._output(name, signal, reads, names)
        sender, delay = self._sample(group)
        given = {field: getattr(group, field) for field in Group.__dataclass_fields__}
        order = [stage.name for stage in group.stages]
        sent = tuple(sorted(outputs.values(), key=lambda output: order.index(output.stage)))
        process = self._process(group)
        ports = {"inputs": tuple(inputs.values()), "outputs": sent}
        return PartSpec(**given, **ports, process=process, names=names, sample_from=sender, sample_delay=delay)  # type: ignore[arg-type]

    def _process(self, group: Group) -> str:
        if group.kind == "connection":
            return "PlasticConv" if self.circuit.network.connection(str(group.subject)).kind.by_place else "PlasticDense"
        return _PROCESSES.get(group.kind) or ("TargetProjection" if group.stages else "LabelGate")

    def _names(self, group: Group) -> dict[str, str]:
        """Buffer -> its name in a part: the local one, but the whole one where that is taken."""
        used = touched(o for stage in group.stages for operations in (stage.learning, stage.inferring) for o in operations)
        own = [buffer.name for buffer in self.circuit.owned(*group.owners)]
        names: dict[str, str] = {}
        for name in dict.fromkeys([*own, *used, *self.circuit.names("random"), *self.circuit.row_counts.values()]):
            local = self.circuit.buffers[name].local
            names[name] = name if local in names.values() else local
        return names

    def _port(self, signal: str, names: Mapping[str, str], way: str, taken: Mapping[str, object]) -> str:
        """Name of a port: of spikes s, of sums a, else that of the array; the array's too if that is taken."""
        held, buffer, delivery = names.get(signal, signal), self.circuit.buffers.get(signal), self.flow.delivers(signal)
        name = held
        if signal in self.flow.spikes:
            name = f"{buffer.prefix if buffer else ''}s"
        elif delivery and buffer and way == "out":
            name = f"{self.circuit.buffers[events_of(delivery.events)[0]].prefix}a"
        elif delivery and buffer and buffer.local == f"{buffer.prefix}input":
            name = f"{buffer.prefix}a"
        return f"{held if f'{name}_{way}' in taken else name}_{way}"

    def _shape(self, signal: str) -> tuple[int, ...]:
        axes = (SAMPLES, INPUT) if signal == INPUT else self.circuit.buffers[signal].axes
        return tuple(self.circuit.sizes[axis] for axis in axes if axis != SAMPLES)

    def _input(self, name: str, signal: str, reads: list[Read], group: Group) -> PartInput:
        before, buffers = reads[0].before, tuple(dict.fromkeys(read.buffer for read in reads))
        held = self.circuit.buffers.get(signal)
        stale = before and held is not None and held.role != "state" and signal not in self.flow.spikes
        if any(read.before != before for read in reads) or stale or (held is not None and held.role in _KEPT):
            found, limit = f"reads {signal} of another part", "such as travels in one message a time step"
            raise invalid(f"OnChipLearner: {group.name}", "circuit", found, limit, REMEDY)
        delay = self._lag(reads[0].operation) - self._written(signal) + (self.period if before else 0)
        sums = self.flow.delivers(signal)
        recurrent = before or any(r.before and r.operation is sums and r.signal in self.flow.spikes for r in self.flow.reads)
        return PartInput(name, signal, buffers, self._shape(signal), reads[0].operation.stage, delay, recurrent)

    def _output(self, name: str, signal: str, reads: list[Read], names: Mapping[str, str]) -> PartOutput:
        conditions = {(o.switch, o.last_steps) if isinstance(o, Conditional) else ("", 0) for o in (read.operation for read in reads)}
        switch, last_steps = conditions.pop() if len(conditions) == 1 else ("", 0)
        stage = self.flow.writers[signal].stage
        return PartOutput(name, signal, self._shape(signal), stage, switch if switch in names else "", last_steps)

    # Sample messages --------------------------------------------------------------------------
    def _sample(self, group: Group) -> tuple[str, int]:
        """Who sends a part its sample messages, and the Lava steps by which they come too early."""
        if group.kind == "connection" and all(stage.learning == stage.inferring for stage in group.stages):
            return "", 0
        sender = self._sample_sender(group)
        return sender, group.lag - (self.groups[sender].lag if sender in self.groups else 0)

    def _sample_sender(self, group: Group) -> str:
        network = self.circuit.network
        first = next((other.name for other in self.groups.values() if other.kind == "label"), SOURCE)
        if group.kind == "label":
            return SOURCE
        if group.kind == "readout":
            return self._population(network.readout.pre, first)
        if group.kind == "population":
            return self._population(network.into(network.populations[int(group.subject or 0)])[0].pre, first)
        if group.kind == "credit":
            return self._population(network.populations[int(group.subject or 0)].name, first)
        return self._population(network.connection(str(group.subject)).post, "readout")

    def _population(self, name: str, otherwise: str) -> str:
        """The part of a population; `otherwise` of what is none."""
        numbers = {population.name: number for number, population in enumerate(self.circuit.network.populations)}
        found = (g.name for g in self.groups.values() if g.kind == "population" and g.subject == numbers.get(name, -1))
        return next(found, otherwise)

    # Links ------------------------------------------------------------------------------------
    def _links(self, parts: Mapping[str, PartSpec]) -> Iterator[tuple[str, str]]:
        """In the order of those that receive."""
        outputs = {each.signal: f"{part.name}.{each.name}" for part in parts.values() for each in part.outputs}
        outputs[INPUT] = f"{SOURCE}.s_out"
        for part in parts.values():
            if part.sample_from:
                yield f"{part.sample_from}.sample_out", f"{part.name}.sample_in"
            for each in part.inputs:
                yield outputs[each.signal], f"{part.name}.{each.name}"
        yield outputs[SCORE], f"{SINK}.score_in"
        yield "readout.sample_out", f"{SINK}.sample_in"

    def _check_order(self, parts: Mapping[str, PartSpec]) -> None:
        """Refuse parts that would wait for each other within a Lava step."""
        order: TopologicalSorter[tuple[str, str]] = TopologicalSorter()
        for part in parts.values():
            stages = [(part.name, stage.name) for stage in part.stages]
            for before, after in pairwise(stages):
                order.add(after, before)
            for each in part.inputs:
                if not each.delay and each.signal != INPUT:
                    writer = self.flow.writers[each.signal]
                    order.add((part.name, each.stage), (self._home(writer), writer.stage))
        try:
            order.prepare()
        except CycleError as error:
            found = " and ".join(dict.fromkeys(f"{part}, {stage}" for part, stage in error.args[1]))
            raise invalid("OnChipLearner", "circuit", f"such that {found} wait for each other", "without such a circle", REMEDY) from None
