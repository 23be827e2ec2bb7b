"""Learning as products: from the signals of a rule's credit to third factors and the operations that change weights.

Each signal is an error vector and coefficients that turn it into one number a neuron. With each of the rule's terms it gives a
third factor, by which every connection into the population learns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from tp_lava.circuit import names
from tp_lava.circuit.buffers import SAMPLES, Owner
from tp_lava.circuit.builder import Builder
from tp_lava.circuit.delays import tables_of
from tp_lava.circuit.formats import change_format
from tp_lava.circuit.maps import arriving, stage_axis, stage_source, unpool
from tp_lava.circuit.names import Path
from tp_lava.circuit.operations import AccumulateProducts, UpdateWeights, geometry_of
from tp_lava.circuit.synapse_states import learn_by_state
from tp_lava.circuit.terms import LearningRule, Term, third_factor_of
from tp_lava.dynamics.neuron import DECAY, second_trace_program, trace_program
from tp_lava.dynamics.plasticity import (
    SPIKE_TIMES_THIRD,
    TRACE_TIMES_THIRD,
    bias_program,
    plasticity_program,
)
from tp_lava.dynamics.third_factor import Seen, ThirdFactor, resting_program, signal_format, signal_program, third_factors_program
from tp_lava.errors import invalid
from tp_lava.graph.network import Connection, Population
from tp_lava.graph.pooling import Pool2d, Shape
from tp_lava.numbers import REGISTER_BITS, Format

_STREAMS_PER_POPULATION = 16  # random bits: a population's operations have streams of their own, whatever else is in the circuit
_FURTHER_STREAMS, _FURTHER_PER_POPULATION = 1 << 20, 1 << 12  # of connections beyond one forward and one recurrent


@dataclass(frozen=True)
class Signal:
    """How one path of a population is taught: delta[r,n] = sum_c coefficient[c,n] * error[r,c].

    path: whose rows learn; coefficient, error: buffers; learned: connection -> the events it learns by; a connection of the rule's
    own takes the place of the forward one; grid: averages, beyond the population's poolings, of what n counts; delta: a buffer of
    delta itself, in the place of coefficient and error, where the credit computes it.
    """

    path: Path
    coefficient: str = ""
    error: str = ""
    learned: Mapping[Connection, str] = field(default_factory=dict)
    grid: tuple[Pool2d, ...] = ()
    delta: str = ""


def _stages(population: Population, grid: Sequence[Pool2d]) -> list[tuple[Pool2d, Shape]]:
    """The poolings of a population and then of a grid, each with the shape of what it is over."""
    stages, shape = [], population.shape
    for pooling in (*population.pooling, *grid):
        stages.append((pooling, shape))
        shape = pooling.shape(shape)
    return stages


def _check_unpooled(population: Population, grid: Sequence[Pool2d], format: Format) -> None:
    """Refuse poolings with so many windows over one unit that their signals together leave a register."""
    most = format.high
    for pooling, shape in _stages(population, grid):
        y, x = (int(pooling.paths(axis, shape[axis + 1]).sum(axis=0).max()) for axis in range(2))
        most *= y * x
    if most >= 2 ** (REGISTER_BITS - 1):
        found, limit = f"with signals of up to {most} in one unit", f"less than {2 ** (REGISTER_BITS - 1)}, a register's"
        raise invalid(population.name, "pooling", found, limit, "use windows that overlap less")


def unpooled(b: Builder, path: Path, held: str, grid: Sequence[Pool2d] = (), format: Format | None = None) -> str:
    """Append the way of a signal, in the buffer `held`, back to a population's neurons, through its poolings. -> its buffer there.

    grid: averages beyond the poolings; format: of the signal.
    """
    for stage, (pooling, shape) in reversed(list(enumerate(_stages(path.population, grid)))):
        axis = stage_axis(b, path.population, stage)
        into, local = (path.of("signal"), "signal") if stage == 0 else (path.of(f"signal{stage}"), f"signal{stage}")
        b.buffer(into, (path.rows, axis), "work", format, local=f"{path.prefix}{local}", prefix=path.prefix)
        unpool(b, held, stage_source(b, path, stage), pooling, shape, into)
        held = into
    return held


class Products:
    """The third factors and learning operations of one population."""

    def __init__(self, builder: Builder, rule: LearningRule, population: Population, signals: Sequence[Signal]) -> None:
        self.builder, self.rule, self.population, self.signals = builder, rule, population, signals
        self._terms = [term for term in rule.terms if term.pre != "one"]
        self._number = builder.network.populations.index(population)

    def append(self) -> None:
        """Append all of it: third factors, then connection by connection what each path changes."""
        for number in range(len(self.signals)):
            self._third_factors(number)
        for place, connections in enumerate(self._places()):
            for number, connection in connections:
                for term in self._terms:
                    if self._is_used(term):
                        self._learn(place, number, connection, term)
        for term in self.rule.terms:
            if term.pre == "one" and self._is_used(term):
                self._learn_bias(term)

    def _is_used(self, term: Term) -> bool:
        return term.factor != 0 and (term.pre != "one" or self.builder.network.has_bias(self.population))

    def _places(self) -> list[list[tuple[int, Connection]]]:
        """(signal, connection) of each place: the first forward connection, the first recurrent one, then the others."""
        found: dict[int, list[tuple[int, Connection]]] = {}
        for number, signal in enumerate(self.signals):
            further = 2
            for connection in signal.learned:
                place = 0 if not connection.recurrent else 1
                if any(taken == number for taken, _ in found.get(place, ())):
                    place, further = further, further + 1
                found.setdefault(place, []).append((number, connection))
        return [found.get(place, []) for place in range(max(found, default=-1) + 1)]

    # Random bits ------------------------------------------------------------------------------
    def _stream(self, part: int, *, further: bool = False) -> int:
        """Of a part of this population; what does not fit among its own, or is `further`, is beyond all of them."""
        if further or part >= _STREAMS_PER_POPULATION:
            return _FURTHER_STREAMS + _FURTHER_PER_POPULATION * self._number + part
        return _STREAMS_PER_POPULATION * (self._number + 1) + part

    def _learning_stream(self, place: int, number: int, term: Term) -> int:
        """Of learning: after those of the third factors; the biases' come between the second connection and further ones."""
        paths = self.rule.paths
        part = paths + (place * paths + number) * len(self._terms) + self._terms.index(term)
        return self._stream(part, further=place >= 2)

    @property
    def _bias_stream(self) -> int:
        return self._stream(self.rule.paths + 2 * self.rule.paths * len(self._terms))

    # Third factors ----------------------------------------------------------------------------
    def _third(self, term: Term, signal: Signal) -> str:
        """Buffer of a term's third factor on a path."""
        return signal.path.of(f"{term.prefix}third_factor")

    def _third_factors(self, number: int) -> None:
        """Append the program of a path's third factors, and declare their buffers."""
        b, population, signal = self.builder, self.population, self.signals[number]
        path = signal.path
        terms = [term for term in self.rule.terms if self._is_used(term) and not (term.pre == "one" and number)]
        with b.owned(Owner("population", population.name), "third_factor"):
            thirds, bindings = [], {"surrogate": path.of("surrogate")}
            for term in terms:
                third = third_factor_of(population, term)
                result = b.format(names.of(third, "third_factor"))
                post = "one" if term.filter else term.post
                thirds.append(ThirdFactor(term.prefix, post, b.format(names.of(third, "rate")), result))
                bindings[f"{term.prefix}rate"] = b.rate(third, population.name, term.prefix)
                bindings[f"{term.prefix}third_factor"] = b.on(path, f"{term.prefix}third_factor", "work", result)
            if any(third.post == "post_trace" for third in thirds):
                bindings["post_trace"] = b.on(path, "post_trace", "state", b.format(names.of(population.name, "post_trace")))
                bindings["post_decay"] = b.parameter("post_decay", DECAY, self.rule.post_decay)
            if any(third.post == "spike_trace" for third in thirds):
                if population.pooling:
                    remedy = "use surrogate, post_trace or one, or leave the pooling out"
                    raise invalid(population.name, "term", "with post spike_trace", "of neurons whose own spikes are traced", remedy)
                bindings["trace"] = path.of("trace")
            seen, sources, taught = self._seen(signal)
            if signal.delta or population.pooling or signal.grid:
                taught = {"signal": self._unpooled(signal, seen, sources)}
            pooled, name = "signal" in taught, path.of("third_factors")
            program = third_factors_program(sources, thirds, seen, fixed=bool(b.formats), name=name, pooled=pooled)
            last = self._rests_until(terms)
            if last:
                b.run(resting_program(thirds, path.of("resting"), fixed=bool(b.formats)), bindings)
            b.run(program, bindings | taught, random_stream=self._stream(number), last=last)

    def _rests_until(self, terms: Sequence[Term]) -> int | None:
        """Steps at a sample's end before which third factors are zero, since states of synapses go on; None: they need not."""
        if not any(term.has_state(self.population.neuron) for term in terms):
            return None
        if self.rule.learn_last and any(term.post == "post_trace" for term in terms):
            found, limit = "with post post_trace beside a state per synapse", "one of them where learn_last is given"
            raise invalid(self.population.name, "term", found, limit, "leave learn_last out")
        return self.rule.learn_last

    def _seen(self, signal: Signal) -> tuple[Seen, int, dict[str, str]]:
        """The formats of what a population's neurons read, how many numbers an error has, and the buffers behind their ports."""
        b = self.builder
        spike_trace, post_trace = (b.format(names.of(self.population.name, local)) for local in ("trace", "post_trace"))
        if signal.delta:
            return Seen(spike_trace=spike_trace, post_trace=post_trace, signal=b.buffers[signal.delta].format), 1, {}
        coefficient, error = b.buffers[signal.coefficient], b.buffers[signal.error]
        role = "parameter" if coefficient.role == "parameter" else "input"
        seen = Seen(coefficient.format, role, spike_trace, post_trace, error.format)
        return seen, b.sizes[coefficient.axes[0]], {"coefficient": coefficient.name, "error": error.name}

    def _unpooled(self, signal: Signal, seen: Seen, sources: int) -> str:
        """Append the learning signal of units that the population sends, and its way back to the neurons. -> its buffer."""
        b, population, path = self.builder, self.population, signal.path
        fixed, rows = bool(b.formats), path.rows
        format = signal_format(sources, seen) if fixed else None
        if format:
            _check_unpooled(population, signal.grid, format)
        held = signal.delta
        if not held:
            held, units = path.of("pooled_signal"), b.buffers[signal.coefficient].axes[-1]
            b.buffer(held, (rows, units), "work", format, local=f"{path.prefix}pooled_signal", prefix=path.prefix)
            program = signal_program(sources, seen, fixed=fixed, name=path.of("signal"))
            b.run(program, {"coefficient": signal.coefficient, "error": signal.error, "signal": held})
        return unpooled(b, path, held, signal.grid, format)

    # Learning ---------------------------------------------------------------------------------
    def _learn(self, place: int, number: int, connection: Connection, term: Term) -> None:
        """Append what changes a connection's weights by one term and path."""
        b, signal, layer = self.builder, self.signals[number], self.population.name
        switch, third = b.learning_switch(layer), self._third(term, signal)
        with b.owned(Owner("plasticity", connection.name), "learn"):
            stream = self._learning_stream(place, number, term)
            learn(b, connection, third, signal.learned[connection], term, layer, switch, stream, self.rule.learn_last)

    def _learn_bias(self, term: Term) -> None:
        b, bias, layer = self.builder, self.population.bias, self.population.name
        switch = b.learning_switch(layer)
        with b.owned(Owner("plasticity", bias), "learn"):
            third = self._third(term, self.signals[0])
            learn_bias(b, bias, third, layer, switch, self._bias_stream, self.rule.learn_last)


def keep_pre_traces(b: Builder, rule: LearningRule, connection: Connection, events: str) -> None:
    """Append the traces of a connection's presynaptic spikes that the rule's terms need, this step's spikes included."""
    wanted = {term.pre for term in rule.terms if term.factor}
    neuron = b.network.population(connection.post).neuron
    filtered = any(term.has_state(neuron) and term.pre == "spike" for term in rule.terms if term.factor)
    if not filtered and not wanted & {"trace", "second_trace"}:
        return
    arrival = arriving(b, connection, events)
    units, event = arrival.axis, arrival.format
    with b.owned(Owner("plasticity", connection.name), "trace"):
        if arrival.values and not filtered:
            marked = arrival.values
        else:
            marked = b.mark_events(arrival.events, SAMPLES, units, names.of(connection.name, "pre_spike"), "pre_spike", event)
        if wanted & {"trace", "second_trace"}:
            name = names.of(connection.name, "pre_trace")
            bindings = {
                "spike": marked,
                "trace": b.buffer(name, (SAMPLES, units), "state", b.format(name), local="pre_trace"),
                "trace_decay": b.parameter("pre_decay", DECAY, rule.pre_decay),
            }
            graded = event if arrival.values else None
            b.run(trace_program(b.format(name), name, fades=True, event=graded, signed=arrival.signed), bindings)
        if "second_trace" in wanted:
            second = names.of(connection.name, "second_trace")
            bindings = {
                "x1": names.of(connection.name, "pre_trace"),
                "trace": b.buffer(second, (SAMPLES, units), "state", b.format(second), local="second_trace"),
                "trace_decay": b.parameter("second_decay", DECAY, rule.second_decay),
            }
            b.run(
                second_trace_program(b.format(second), b.format(names.of(connection.name, "pre_trace")), second, signed=arrival.signed),
                bindings,
            )


def keep_spikes(b: Builder, connection: Connection, events: str) -> str:
    """Append the marking of a connection's presynaptic spikes, where it learns after they are gone. -> their buffer."""
    arrival = arriving(b, connection, events)
    with b.owned(Owner("plasticity", connection.name), "trace"):
        name = names.of(connection.name, "pre_spike")
        return b.mark_events(arrival.events, SAMPLES, arrival.axis, name, "pre_spike", arrival.format)


def learn(
    b: Builder, connection: Connection, third: str, events: str, term: Term, layer: str, switch: str, stream: int, last: int | None
) -> None:
    """Append what changes a connection's weights by a third factor and a presynaptic term.

    events: the population whose events are met, or a buffer of marked spikes; layer: whose optimiser counts.
    """
    trace = {"trace": "pre_trace", "second_trace": "second_trace"}.get(term.pre, "")
    trace = names.of(connection.name, trace) if trace else ""
    if term.has_state(b.network.population(connection.post).neuron):
        learn_by_state(b, connection, third, trace or names.of(connection.name, "pre_spike"), term, switch, stream)
    elif trace:
        learn_by(b, connection, third, layer, switch, trace=trace, stream=stream, last=last)
    elif events == names.of(connection.name, "pre_spike"):
        graded = b.network.is_graded(connection.pre)
        marked = {"trace": events} if graded else {"marked": events}
        learn_by(b, connection, third, layer, switch, stream=stream, last=last, **marked)
    else:
        arrival = arriving(b, connection, events)
        met = {"trace": arrival.values} if arrival.values else {"events": arrival.events}
        learn_by(b, connection, third, layer, switch, stream=stream, last=last, **met)


def learn_by(
    b: Builder,
    connection: Connection,
    third: str,
    layer: str,
    switch: str,
    *,
    events: str = "",
    marked: str = "",
    trace: str = "",
    stream: int = 0,
    last: int | None = None,
) -> None:
    """Append spike times third factor, with events or marked spikes, or trace times third factor. What changes is the weight,
    or a sum that is applied later.
    """
    weights, factor, pre = connection.name, b.buffers[third].format, b.buffers[trace].format if trace else None
    kind = connection.kind.by_place
    shared = connection.kind.shares_weights
    format = change_format(factor, pre if shared else None) if factor else None
    changed = b.changes.of(weights, layer, switch, format, last, summed=shared or connection.standardisation is not None)
    geometry = geometry_of(weights) if kind else ""
    steps = b.last_steps(last)
    if kind and shared:
        _check_sum(weights, prod(kind.output_shape[1:]) * b.batch_size, factor, pre)
        products = AccumulateProducts(
            change=changed, third_factor=third, kind=kind, geometry=geometry, events=events, trace=trace or marked
        )
        b.append(replace(products, switch=switch, last_steps=steps))
        return
    rule = TRACE_TIMES_THIRD if trace else SPIKE_TIMES_THIRD
    program = plasticity_program(rule, b.buffers[changed].format, factor, pre, f"{weights}_plasticity")
    bindings = (("weight", changed), *((("x1", trace),) if trace else ()), ("y1", third))
    update = UpdateWeights(program=program, bindings=bindings, events=events, trace=trace or marked, random_stream=stream)
    b.append(replace(update, kind=kind, geometry=geometry, switch=switch, last_steps=steps, **tables_of(connection)))


def _check_sum(weights: str, positions: int, third: Format | None, trace: Format | None) -> None:
    """Refuse a shared weight whose changes of one step could leave their register."""
    if third is None:
        return
    most = positions * third.high * (trace.high if trace else 1)
    limit = 2**30 - 1
    if most > limit:
        found, remedy = f"up to {most} in a step", "use a third factor of fewer bits, a smaller pre_decay, or fewer positions"
        raise invalid(weights, "sum of changes", found, f"at most {limit}, half a 32-bit register", remedy)


def learn_bias(b: Builder, bias: str, third: str, layer: str, switch: str, stream: int, last: int | None) -> None:
    """Append what changes biases, the weights of a unit that is always active."""
    factor = b.buffers[third].format
    changed = b.changes.of(bias, layer, switch, change_format(factor) if factor else None, last)
    program = bias_program(b.batch_size, b.buffers[changed].format, factor, f"{bias}_plasticity")
    b.run(program, {"weight": changed, "y1": third}, random_stream=stream, switch=switch, last=last)
