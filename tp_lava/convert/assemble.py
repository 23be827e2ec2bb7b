"""From stages to a Network, and back: every way between two populations becomes a connection, several of one kind become one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tp_lava.convert.joins import Added, Joined, Scaled
from tp_lava.convert.maps import Connection as Mapped
from tp_lava.convert.maps import Delaying, check_size, combined, identity, leading_poolings, stage_of_delays
from tp_lava.convert.populations import (
    TRACE_DECAY,
    Reaching,
    biases_of,
    by_channel,
    feedback_of,
    flat,
    lif_of,
    one_number,
    trace_decay_of,
    units_of,
)
from tp_lava.convert.stages import INPUT, Delayed, Dense, Integrating, Map, Pooling, Source, Spiking, Stage, stage_of
from tp_lava.convert.stages import Convolution as ConvolutionStage
from tp_lava.convert.values import Shape, refuse
from tp_lava.convert.ways import Way, joined
from tp_lava.dynamics.neuron import LIF
from tp_lava.dynamics.parameters import Parameter, is_per_neuron, spread
from tp_lava.errors import invalid
from tp_lava.graph import names
from tp_lava.graph.connections import AllToAll, Convolution
from tp_lava.graph.delays import AnyDelays
from tp_lava.graph.network import Connection, Network, Population
from tp_lava.graph.pooling import Pool2d, pooled
from tp_lava.numbers import Format, seed_key
from tp_lava.provenance import Provenance

_RELAYING = LIF(0.0, 0.5, reset="zero")  # spikes in the step, and only then, in which one spike arrives by a weight of 1


def assemble(source: Source, trace_decay: float | None = None, seed: int = 0, input_format: Format | None = None) -> Network:
    """The network of a source. trace_decay: of all hidden layers, instead of their membranes' own; seed: of the label
    projection, which no source has; input_format: of graded input, None: the input spikes. Its provenance says what became of
    each parameter. Raises InvalidValueError.
    """
    if input_format is not None and not isinstance(input_format, Format):
        raise invalid("convert", "input_format", repr(input_format)[:60], "a Format, or None", "use for example tpl.Format(9, 8)")
    return _Assembly(source, trace_decay).network(seed, input_format)


@dataclass(frozen=True, eq=False)
class _Reached:
    """A population and the ways to it. number: of its stage; shape: of the population."""

    number: int
    stage: Spiking
    shape: Shape
    ways: tuple[Way, ...]


@dataclass(frozen=True, eq=False)
class _Link:
    """One connection to be: from the population of a stage, or INPUT; direct: without a map on the way."""

    origin: int
    mapped: Mapped
    delays: AnyDelays | None
    direct: bool


class _Assembly:
    """A network of a source."""

    def __init__(self, source: Source, trace_decay: float | None) -> None:
        self.source, self.trace_decay = source, trace_decay
        self.populations: list[Population] = []
        self.connections: list[Connection] = []
        self.weights: dict[str, np.ndarray] = {}
        self.readout: Integrating | None = None
        self.reached: list[_Reached] = []
        self.path = source.stages[-1].path if source.stages else source.format
        self.final = self._follow()
        if not self.reached:
            raise refuse(self.path, "neurons", "none", "at least one layer of spiking neurons", "declare a neuron for each hidden layer")
        self.numbers = {each.number: place for place, each in enumerate(self.reached)}
        self.shapes = {INPUT: tuple(source.input_shape)} | {each.number: each.shape for each in self.reached}
        origins = {each.origin for each in self.final}
        self.is_relayed = len(origins) > 1 or INPUT in origins
        self.pools = {each.number: self._pools(each) for each in self.reached} | {INPUT: ()}

    def _follow(self) -> tuple[Way, ...]:
        """Follow every way from the input and from each population. -> those to the readout."""
        source = self.source
        for stage in source.stages[:-1]:
            if isinstance(stage, Integrating):
                raise refuse(stage.path, "position", "before other stages", "the last", "only the readout integrates without spikes")
        ways: dict[int, tuple[Way, ...]] = {INPUT: (Way(INPUT, tuple(source.input_shape)),)}
        shapes: dict[int, Shape] = {INPUT: tuple(source.input_shape)}
        for number, stage, shape in source.walk():
            shapes[number], before = shape, source.inputs_of(number)
            arriving = [ways[each] for each in before]
            if isinstance(stage, Added | Joined):
                ways[number] = joined(stage, arriving, [shapes[each] for each in before])
            elif isinstance(stage, Spiking):
                self.reached.append(_Reached(number, stage, shape, arriving[0]))
                ways[number] = (Way(number, shape),)
            elif isinstance(stage, Integrating):
                self.readout, ways[number] = stage, arriving[0]
            else:
                ways[number] = tuple(each.through(stage, place == 0) for place, each in enumerate(arriving[0]))
        return ways[len(source.stages) - 1]

    # Poolings ---------------------------------------------------------------------------------
    def _pools(self, each: _Reached) -> tuple[Pooling, ...]:
        """The poolings right behind neurons that all ways from there have, which become those of the population."""
        if len(each.shape) != 3 or each.stage.feedback is not None:
            return ()
        leaving = [way for other in (*[one.ways for one in self.reached], self.final) for way in other if way.origin == each.number]
        common: list[Pooling] = []
        for column in zip(*(leading_poolings(_maps(way.stages))[0] for way in leaving), strict=False):
            if any(replace(pooling, path="") != replace(column[0], path="") for pooling in column):
                break
            common.append(column[0])
        if self.is_relayed and any(way.origin == each.number for way in self.final):  # a relay hands on spikes, no averages
            common = common[: next((place for place, pooling in enumerate(common) if pooling.mode != "max"), len(common))]
        return tuple(common)

    def _pool2d(self, origin: int) -> tuple[tuple[Pool2d, ...], float]:
        """-> (the poolings of a population, the factor of what they make)."""
        made = [pooling.as_population() for pooling in self.pools[origin]]
        return tuple(pool for pool, _ in made), math.prod(scale for _, scale in made)

    # Connections ------------------------------------------------------------------------------
    def _link(self, way: Way, path: str) -> _Link:
        """The connection of a way to `path`."""
        stages, pools, shape = way.finished(path), self._pool2d(way.origin), self.shapes[way.origin]
        below = pooled(pools[0], shape) if pools[0] else shape
        maps = _maps(stages)[len(pools[0]) :]
        if maps or len(way.shape) == 3:
            mapped = combined(self.source, maps, below)
        else:
            mapped = identity(math.prod(below))
            mapped = replace(mapped, weight=mapped.weight * np.broadcast_to(way.factor, way.shape).reshape(-1, 1, 1, 1))
        delaying, before = Delaying(), list[Map]()
        for stage in stages:
            if isinstance(stage, Delayed):
                delaying.add(stage, before)
            else:
                before.append(stage)
        delays = delaying.of(mapped, math.prod(below), len(leading_poolings(before)[0]))
        return _Link(way.origin, replace(mapped, weight=mapped.weight * pools[1]), delays, not maps)

    def _links(self, ways: Sequence[Way], path: str) -> tuple[_Link, ...]:
        """The connections of ways; those from one population that differ in weights alone are one."""
        found: list[_Link] = []
        for way in ways:
            link = self._link(way, path)
            for place, other in enumerate(found):
                same = other.origin == link.origin and other.mapped.spatial == link.mapped.spatial and other.delays == link.delays
                if same and other.mapped.weight.shape == link.mapped.weight.shape:
                    weight, bias = other.mapped.weight + link.mapped.weight, other.mapped.bias + link.mapped.bias
                    found[place] = replace(other, mapped=replace(other.mapped, weight=weight, bias=bias))
                    break
            else:
                found.append(link)
        return tuple(found)

    def _name(self, origin: int) -> str:
        return names.INPUT if origin == INPUT else names.hidden(self.numbers[origin])

    # The network ------------------------------------------------------------------------------
    def network(self, seed: int, input_format: Format | None) -> Network:
        """The network of all stages. Raises InvalidValueError."""
        for each in self.reached:
            self._add_population(each)
        decay = self._read_out(graded=input_format is not None)
        seed_key(seed)
        source = self.source
        source.record("label projection", "weight", "added", f"TP draws it from seed {seed}")
        provenance = Provenance(source.format, tuple(source.records), source.fixed)
        graph = tuple(self.populations), tuple(self.connections), len(self.weights[names.READOUT]), self.weights
        return Network(source.input_shape, *graph, decay, provenance, seed=seed, input_format=input_format)

    def _add_population(self, each: _Reached) -> None:
        """Add a population, the connections that reach it, and their weights."""
        number, stage = self.numbers[each.number], each.stage
        links = self._links(each.ways, stage.path)
        together = Reaching(tuple(link.mapped for link in links), each.shape)
        factor, of_weights, threshold = units_of(self.source, stage, together)
        name = names.hidden(number)
        for name_of, link in self._named(number, links):
            mapped = link.mapped
            if link.direct:
                self.source.record(stage.path, f"weight from {self._name(link.origin)}", "added", "each unit reaches its own neuron")
            kind = AllToAll(mapped.weight.shape[1], mapped.weight.shape[0]) if mapped.spatial is None else mapped.spatial
            self.connections.append(Connection(name_of, self._name(link.origin), name, kind, delays=link.delays))
            self.weights[name_of] = mapped.times(of_weights)
        biases, is_filtered = biases_of(stage, together, factor)
        if np.any(biases):
            self.weights[names.bias(number)] = biases
        if stage.feedback is not None:
            back = AllToAll(len(factor), len(factor))
            self.connections.append(Connection(names.recurrent(number), name, name, back, recurrent=True))
            self.weights[names.recurrent(number)] = feedback_of(stage, factor)
        lif = lif_of(stage, together, factor, threshold, stage.bias_to or ("current" if is_filtered else "membrane"))
        pools, trace_decay = self._pool2d(each.number)[0], trace_decay_of(self.trace_decay, stage, lif, together)
        if pools:
            trace_decay = by_channel(trace_decay, each.shape)
        self.populations.append(Population(name, each.shape, lif, trace_decay, names.bias(number), pools))

    def _named(self, number: int, links: Sequence[_Link]) -> Iterator[tuple[str, _Link]]:
        """Names of the connections that reach a population: its own of the first, that of the other population of further ones."""
        counts: dict[int, int] = {}
        for place, link in enumerate(links):
            if not place:
                yield names.hidden(number), link
                continue
            yield names.further(number, self._name(link.origin), counts.get(link.origin, 0)), link
            counts[link.origin] = counts.get(link.origin, 0) + 1

    # The readout ------------------------------------------------------------------------------
    def _read_out(self, graded: bool) -> float:
        """Add the readout, and a relay where it is reached from several populations. graded: whether the input is. -> its decay."""
        links = list(self._links(self.final, self.path))
        links = [replace(link, mapped=link.mapped.dense(None if link.direct else self.source, self.path)) for link in links]
        weight, biases, decay = self._readout_weights(links)
        pre, delays, size = self._name(links[0].origin), links[0].delays, weight.shape[1]
        if self.is_relayed or len(links) > 1:
            self._add_relay(links, graded)
            pre, delays = names.RELAY, None
        elif delays:
            size = delays.n_seen
        given = {names.READOUT: weight} | ({names.READOUT_BIAS: biases} if np.any(biases) else {})
        if len(weight) == 1:  # one number, such as a steering angle: the score of class 0
            given = {name: np.concatenate([array, np.zeros_like(array)]) for name, array in given.items()}
            detail = "without weights, for networks have two classes or more; class 0 is the output"
            self.source.record(self.path, "class 1", "added", detail)
        self.weights |= {name: np.asarray(array, np.float32) for name, array in given.items()}
        self.connections.append(Connection(names.READOUT, pre, names.READOUT, AllToAll(size, len(given[names.READOUT])), delays=delays))
        return decay

    def _readout_weights(self, links: Sequence[_Link]) -> tuple[np.ndarray, np.ndarray, float]:
        """-> ((classes, all units), biases, decay)."""
        weight = np.concatenate([link.mapped.weight for link in links], axis=1)
        biases = np.sum([link.mapped.bias for link in links], axis=0)
        if self.readout is None:
            counted = all(not way.stages for way in self.final)
            said = "the spikes of each output neuron are counted" if counted else "the outputs are summed over the steps of a sample"
            self.source.record(self.path, "readout", "added", said)
            return weight, biases, 1.0
        gain, offset = (flat(self.readout, name, (len(weight),)) for name in ("gain", "offset"))
        return weight * gain[:, np.newaxis], biases * gain + offset, one_number(self.readout, "decay")

    def _add_relay(self, links: Sequence[_Link], graded: bool) -> None:
        """Add a population that hands on, in the same step, the spikes that the readout sees."""
        sizes = [link.mapped.weight.shape[1] for link in links]
        n, first, decays = sum(sizes), 0, list[np.ndarray]()
        for place, (link, size) in enumerate(zip(links, sizes, strict=True)):
            pre = self._name(link.origin)
            values = graded if link.origin == INPUT else next(p.is_graded for p in self.populations if p.name == pre)
            if values:
                raise refuse(self.path, "readout", f"reached from values of {pre}", "from spikes", "put a layer of neurons in between")
            check_size(self.path, "relay", n, size, "put a layer of neurons before the readout")
            name = f"{names.RELAY}_from_{pre}{f'_{place}' if link.delays else ''}"
            matrix = np.zeros((n, size), np.float32)
            matrix[first : first + size] = np.eye(size, dtype=np.float32)
            self.connections.append(Connection(name, pre, names.RELAY, AllToAll(size, n), delays=link.delays))
            self.weights[name] = matrix
            decays.append(self._trace_decays(pre, size))
            first += size
        every = np.concatenate(decays)
        trace_decay: Parameter = tuple(every.tolist()) if np.ptp(every) else float(every[0])
        self.populations.append(Population(names.RELAY, (n,), _RELAYING, trace_decay))
        detail = f"hands on the spikes of {', '.join(self._name(link.origin) for link in links)} in the same step"
        self.source.record(self.path, "relay", "added", detail)

    def _trace_decays(self, name: str, size: int) -> np.ndarray:
        """The trace decays of what a population, or the input, sends, (n,)."""
        for found in self.populations:
            if found.name == name:
                return np.broadcast_to(spread(found.trace_decay, found.output_shape), found.output_shape).ravel()
        decay = self.populations[0].neuron.decay
        return np.full(size, decay if np.ndim(decay) == 0 else TRACE_DECAY)


def stages_of(network: Network) -> Source:
    """The stages of a network, without the label projection, which only learning needs. Paths are the network's own names.

    Raises InvalidValueError for what no stages say, such as feedback from other populations.
    """
    network = network.folded()
    stages, below = list[Stage](), dict[int, tuple[int, ...]]()
    ends = {names.INPUT: INPUT}
    seen = (c.kind.shape for c in network.connections if c.pre == names.INPUT and isinstance(c.kind, Convolution))
    first = next((shape for shape in seen if shape[1:] != (1, 1)), None)
    shapes: dict[str, Shape] = {names.INPUT: first or network.input_shape}

    def put(stage: Stage, *before: int) -> int:
        if before != (len(stages) - 1,):
            below[len(stages)] = before
        stages.append(stage)
        return len(stages) - 1

    for population in network.populations:
        wires = []
        for place, connection in enumerate(c for c in network.into(population) if not c.recurrent):
            biases = network.weights.get(population.bias) if not place and population.neuron.bias_to == "current" else None
            end = ends[connection.pre]
            for stage in _stages_of(connection, network.weights[connection.name], biases, shapes[connection.pre]):
                end = put(stage, end)
            wires.append(end)
        end = wires[0] if len(wires) == 1 else put(Added(f"{population.name}_sum", len(population.shape) == 1), *wires)
        end = put(_neurons_of(network, population), end)
        for place, pool in enumerate(population.pooling):
            end = put(Pooling.of(f"{population.name}_pool{place}", pool), end)
        ends[population.name], shapes[population.name] = end, population.output_shape
    end = ends[network.readout.pre]
    for delay in stage_of_delays(names.READOUT, network.readout.delays):
        end = put(delay, end)
    end = put(Dense(names.READOUT, network.weights[names.READOUT], network.weights.get(names.READOUT_BIAS)), end)
    put(Integrating("score", network.readout_decay), end)
    return Source("tp_lava", shapes[names.INPUT], stages, below=below)


def _stages_of(connection: Connection, weight: np.ndarray, biases: np.ndarray | None, shape: Shape) -> Iterator[Map | Delayed | Scaled]:
    """The stages of one connection. shape: of what it comes from."""
    name, kind = connection.name, connection.kind
    yield from stage_of_delays(name, connection.delays)
    if isinstance(kind, AllToAll):
        yield Dense(name, weight, biases)
        return
    if len(shape) == 1 and kind.kernel == (1, 1) and kind.groups == kind.channels == kind.shape[0] and biases is None:
        yield Scaled(name, weight.ravel())
        return
    if biases is not None:
        channels = biases.reshape(kind.channels, -1)
        if np.ptp(channels, axis=1).any():
            raise refuse(name, "bias", "another one for each unit", "one per channel of a convolution", "use one per channel")
        biases = channels[:, 0]
    yield from (Pooling.of(f"{name}_pool{place}", pool) for place, pool in enumerate(kind.pooling))
    yield ConvolutionStage(name, weight, biases, kind.stride, kind.padding, kind.dilation, kind.groups)


def _neurons_of(network: Network, population: Population) -> Spiking:
    back, neuron, path = [c for c in network.into(population) if c.recurrent], population.neuron, f"{population.name}_neurons"
    channels, keep = population.shape[0], "keep it in a .tplava file"
    if any(c.pre != population.name for c in back) or len(back) > 1:
        found = f"from {', '.join(c.pre for c in back)}"
        raise refuse(back[0].name, "feedback", found, "one of a population to itself, without delays or pooling", keep)
    if back and back[0].delays:
        raise refuse(back[0].name, "delays", "given", "none of a recurrent connection", keep)
    if back and population.pooling:
        remedy = "give the pooling to the connection of the next layer"
        raise refuse(back[0].name, "feedback", "of pooled spikes", "of the spikes themselves", remedy)
    if population.pooling and is_per_neuron(population.trace_decay) and np.size(population.trace_decay) != channels:
        raise refuse(path, "trace_decay", "one for each pooled unit", "one a channel", "give one a channel")
    offset = network.weights.get(population.bias, 0.0) if neuron.bias_to == "membrane" else 0.0
    feedback = network.weights[back[0].name] if back else None
    return stage_of(path, neuron, offset=offset, feedback=feedback, trace_decay=population.trace_decay)


def _maps(stages: Sequence[Map | Delayed]) -> list[Map]:
    return [stage for stage in stages if not isinstance(stage, Delayed)]
