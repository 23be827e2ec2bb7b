"""From a graph of stages to a Network: every way between two populations becomes a connection, several of one kind become one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tp_lava.convert.delays import Delaying, stage_of_delays
from tp_lava.convert.joins import Added, Joined, Scaled
from tp_lava.convert.maps import Connection as Mapped
from tp_lava.convert.maps import check_size, combined, identity, leading_poolings
from tp_lava.convert.populations import biases_of, by_channel, feedback_of, flat, lif_of, one_number, trace_decay_of, units_of
from tp_lava.convert.stages import INPUT, Delayed, Dense, Integrating, Map, Pooling, Source, Spiking, Stage, stage_of
from tp_lava.convert.stages import Convolution as ConvolutionStage
from tp_lava.convert.values import Shape, refuse
from tp_lava.convert.ways import Way, joined
from tp_lava.dynamics.neuron import LIF
from tp_lava.dynamics.parameters import Parameter, spread
from tp_lava.graph import names
from tp_lava.graph.connections import AllToAll, Convolution
from tp_lava.graph.delays import AnyDelays
from tp_lava.graph.network import Connection, Network, Population
from tp_lava.graph.pooling import Pool2d, pooled
from tp_lava.numbers import Format, seed_key
from tp_lava.provenance import Provenance

_RELAYING = LIF(0.0, 0.5, reset="zero")  # spikes in the step, and only then, in which one spike arrives by a weight of 1


@dataclass(frozen=True, eq=False)
class _Reached:
    """A population and the ways to it. number: of its stage; shape: of the population."""

    number: int
    stage: Spiking
    shape: Shape
    ways: tuple[Way, ...]


@dataclass(frozen=True, eq=False)
class _Link:
    """One connection to be: from the population of a stage, or INPUT."""

    origin: int
    mapped: Mapped
    delays: AnyDelays | None


@dataclass(frozen=True, eq=False)
class _Together:
    """All connections that reach one population, which has this shape."""

    links: tuple[_Link, ...]
    shape: Shape

    @property
    def bias(self) -> np.ndarray:
        """(n,)."""
        return np.sum([link.mapped.bias for link in self.links], axis=0)

    @property
    def is_map(self) -> bool:
        """Whether its parameters may be one a channel."""
        return len(self.shape) == 3

    def takes(self, factor: np.ndarray) -> bool:
        """Whether the weights of all can have a factor for each unit."""
        return all(link.mapped.takes(factor) for link in self.links)


class GraphAssembly:
    """A network of a source that is a graph."""

    def __init__(self, source: Source, trace_decay: float | None) -> None:
        self.source, self.trace_decay = source, trace_decay
        self.readout: Integrating | None = None
        self.reached: list[_Reached] = []
        self.final = self._follow()
        self.path = source.stages[-1].path
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
        if not maps:
            self.source.record(path, f"weight from {self._name(way.origin)}", "added", "each unit reaches its own neuron")
        return _Link(way.origin, replace(mapped, weight=mapped.weight * pools[1]), delays)

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
        populations, connections, weights = list[Population](), list[Connection](), dict[str, np.ndarray]()
        for each in self.reached:
            population, reaching, arrays = self._population(each)
            populations.append(population)
            connections += reaching
            weights |= arrays
        pre, decay = self._read_out(populations, connections, weights, input_format is not None)
        seed_key(seed)
        source = self.source
        source.record("label projection", "weight", "added", f"TP draws it from seed {seed}")
        provenance = Provenance(source.format, tuple(source.records), source.fixed)
        graph = tuple(populations), (*connections, pre), len(weights[names.READOUT])
        return Network(tuple(source.input_shape), *graph, weights, decay, provenance, seed=seed, input_format=input_format)

    def _population(self, each: _Reached) -> tuple[Population, list[Connection], dict[str, np.ndarray]]:
        """A population, the connections that reach it, and their weights."""
        number, stage = self.numbers[each.number], each.stage
        together = _Together(self._links(each.ways, stage.path), each.shape)
        factor, of_weights, threshold = units_of(self.source, stage, together)
        name, connections, weights = names.hidden(number), list[Connection](), dict[str, np.ndarray]()
        for name_of, link in self._named(number, together.links):
            mapped = link.mapped
            kind = AllToAll(mapped.weight.shape[1], mapped.weight.shape[0]) if mapped.spatial is None else mapped.spatial
            connections.append(Connection(name_of, self._name(link.origin), name, kind, delays=link.delays))
            weights[name_of] = mapped.times(of_weights)
        biases, is_filtered = biases_of(stage, together, factor)
        if np.any(biases):
            weights[names.bias(number)] = biases
        if stage.feedback is not None:
            back = AllToAll(len(factor), len(factor))
            connections.append(Connection(names.recurrent(number), name, name, back, recurrent=True))
            weights[names.recurrent(number)] = feedback_of(stage, factor)
        lif = lif_of(stage, together, factor, threshold, stage.bias_to or ("current" if is_filtered else "membrane"))
        pools, trace_decay = self._pool2d(each.number)[0], trace_decay_of(self.trace_decay, stage, lif, together)
        if pools:
            trace_decay = by_channel(trace_decay, each.shape)
        return Population(name, each.shape, lif, trace_decay, names.bias(number), pools), connections, weights

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
    def _read_out(
        self, populations: list[Population], connections: list[Connection], weights: dict[str, np.ndarray], graded: bool
    ) -> tuple[Connection, float]:
        """Add the readout's weights, and a relay where it is reached from several populations. -> its connection, its decay."""
        links = [replace(link, mapped=link.mapped.dense(self.source, self.path)) for link in self._links(self.final, self.path)]
        weight, biases, decay = self._readout_weights(links)
        if self.is_relayed or len(links) > 1:
            pre = self._relay(links, populations, connections, weights, graded)
            delays, size = None, populations[-1].size
        else:
            pre, delays = self._name(links[0].origin), links[0].delays
            size = delays.n_seen if delays else links[0].mapped.weight.shape[1]
        weights[names.READOUT] = np.asarray(weight, np.float32)
        if np.any(biases):
            weights[names.READOUT_BIAS] = np.asarray(biases, np.float32)
        if len(weight) == 1:
            self._add_silent_class(weights)
        return Connection(names.READOUT, pre, names.READOUT, AllToAll(size, len(weights[names.READOUT])), delays=delays), decay

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

    def _relay(
        self,
        links: Sequence[_Link],
        populations: list[Population],
        connections: list[Connection],
        weights: dict[str, np.ndarray],
        graded: bool,
    ) -> str:
        """Add a population that hands on, in the same step, the spikes that the readout sees. -> its name."""
        sizes = [link.mapped.weight.shape[1] for link in links]
        n, first, decays = sum(sizes), 0, list[np.ndarray]()
        for place, (link, size) in enumerate(zip(links, sizes, strict=True)):
            pre = self._name(link.origin)
            values = graded if link.origin == INPUT else next(p.is_graded for p in populations if p.name == pre)
            if values:
                raise refuse(self.path, "readout", f"reached from values of {pre}", "from spikes", "put a layer of neurons in between")
            check_size(self.path, "relay", n, size, "put a layer of neurons before the readout")
            name = f"{names.RELAY}_from_{pre}{f'_{place}' if link.delays else ''}"
            matrix = np.zeros((n, size), np.float32)
            matrix[first : first + size] = np.eye(size, dtype=np.float32)
            connections.append(Connection(name, pre, names.RELAY, AllToAll(size, n), delays=link.delays))
            weights[name] = matrix
            decays.append(_trace_decays(populations, pre, size))
            first += size
        every = np.concatenate(decays)
        trace_decay: Parameter = tuple(every.tolist()) if np.ptp(every) else float(every[0])
        populations.append(Population(names.RELAY, (n,), _RELAYING, trace_decay))
        detail = f"hands on the spikes of {', '.join(self._name(link.origin) for link in links)} in the same step"
        self.source.record(self.path, "relay", "added", detail)
        return names.RELAY

    def _add_silent_class(self, weights: dict[str, np.ndarray]) -> None:
        weights[names.READOUT] = np.pad(weights[names.READOUT], ((0, 1), (0, 0)))
        if names.READOUT_BIAS in weights:
            weights[names.READOUT_BIAS] = np.pad(weights[names.READOUT_BIAS], (0, 1))
        self.source.record(self.path, "class 1", "added", "without weights, for networks have two classes or more; class 0 is the output")


def graph_stages_of(network: Network) -> Source:
    """The stages of a network that is a graph, folded, without the label projection. Paths are the network's own names.

    Raises InvalidValueError for what no stages say: feedback from other populations, and what `stages_of` refuses of chains.
    """
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
    back = [c for c in network.into(population) if c.recurrent]
    if any(c.pre != population.name or c.delays for c in back) or (back and population.pooling) or len(back) > 1:
        limit = "one of a population to itself, without delays or pooling"
        raise refuse(back[0].name, "feedback", f"from {', '.join(c.pre for c in back)}", limit, "keep it in a .tplava file")
    neuron, path = population.neuron, f"{population.name}_neurons"
    offset = network.weights.get(population.bias, 0.0) if neuron.bias_to == "membrane" else 0.0
    feedback = network.weights[back[0].name] if back else None
    return stage_of(path, neuron, offset=offset, feedback=feedback, trace_decay=population.trace_decay)


def _maps(stages: Sequence[Map | Delayed]) -> list[Map]:
    return [stage for stage in stages if not isinstance(stage, Delayed)]


def _trace_decays(populations: Sequence[Population], name: str, size: int) -> np.ndarray:
    """The trace decays of what a population sends, (n,)."""
    found = [population for population in populations if population.name == name]
    if not found:
        return np.full(size, populations[0].neuron.decay if np.ndim(populations[0].neuron.decay) == 0 else 0.98)
    return np.broadcast_to(spread(found[0].trace_decay, found[0].output_shape), found[0].output_shape).ravel()
