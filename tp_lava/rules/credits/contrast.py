"""TP's credit: target rows go through the network beside the sample, and each layer contrasts traces with them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from tp_lava.checks import is_whole
from tp_lava.circuit import names
from tp_lava.circuit.buffers import SAMPLES, Owner
from tp_lava.circuit.builder import Builder
from tp_lava.circuit.declarations import CLASSES
from tp_lava.circuit.names import sample_path, target_path
from tp_lava.circuit.operations import PresentLabels
from tp_lava.circuit.payloads import SPIKE
from tp_lava.circuit.products import Signal
from tp_lava.circuit.terms import Pre
from tp_lava.dynamics.contrast import ERROR, contrast_program
from tp_lava.dynamics.match import VOTES, match_program
from tp_lava.dynamics.neuron import DECAY, trace_program
from tp_lava.dynamics.parameters import is_per_neuron, mean
from tp_lava.errors import invalid
from tp_lava.graph.connections import AllToAll
from tp_lava.graph.names import INPUT, of_rule
from tp_lava.graph.network import Connection, Network, Population
from tp_lava.rules.credits.base import Credit, sample_events

ROWS = "k"  # the axis of target rows
LABEL = "label"  # the population of the label: one unit a class, active at every step
TARGET = "target"  # the label projection, from the label to the first population
CONTRAST = "contrast"  # the switch that says how many target rows a sample has
USUAL_ROWS = 4  # of samples of at least as many classes
_ROWS_IN_USE = "label_rows"


@dataclass(frozen=True)
class Contrast(Credit):
    """How far a population tells target rows apart as the population below does: dynamics/contrast.py.

    rows: number K of target rows, or "all" for one a class; the default, 4, is one a class where there are fewer; train_target: the label
    projection learns; matches: the last population's traces are matched instead of a readout; grid: the projection is drawn for so many
    by so many places of a map, None: for each position.
    """

    rows: int | Literal["all"] = USUAL_ROWS
    train_target: bool = False
    matches: bool = False
    grid: int | None = None

    largest: ClassVar[float | None] = None
    paths: ClassVar[int] = 2
    pres: ClassVar[tuple[Pre, ...]] = ("spike", "one")  # target rows have no presynaptic traces
    own_weights: ClassVar[tuple[str, ...]] = (TARGET,)

    def __post_init__(self) -> None:
        if self.rows != "all" and not is_whole(self.rows, 2):
            remedy = "a contrast needs the sample's own label and at least one other"
            raise invalid("Contrast", "rows", repr(self.rows), 'an integer of at least 2, or "all"', remedy)
        if self.grid is not None and not is_whole(self.grid, 1):
            raise invalid("Contrast", "grid", repr(self.grid), "an integer of at least 1, or None", "8 suits maps, None is as published")

    # The target path --------------------------------------------------------------------------
    def connections(self, network: Network) -> tuple[Connection, ...]:
        """The label projections: into each population that the input alone reaches."""
        first = [p for p in network.populations if self._is_first(network, p)]
        labels = (TARGET, *(of_rule(TARGET, p.name) for p in first[1:]))
        return tuple(Connection(name, LABEL, p.name, AllToAll(network.n_classes, p.size)) for name, p in zip(labels, first, strict=True))

    def trains(self, connection: str) -> bool:
        """See Credit."""
        return self.train_target

    def draw(self, connection: Connection, network: Network) -> np.ndarray:
        """See Credit: from the network's seed, where its hidden weights end; of a trained network in units of the threshold.

        With a grid, position (y, x) of a map of h by w takes what was drawn for place (floor(y grid / h), floor(x grid / w)).
        """
        population = network.population(connection.post)
        scale = 1.0 if network.drawn else mean(population.neuron.threshold)
        bound = scale / np.sqrt(network.n_classes)
        rng = np.random.default_rng(network.seed)
        rng.bit_generator.advance(network.drawn)  # type: ignore[attr-defined] # of PCG64: one state for each number
        drawn, positions = self._places(population)
        weights = rng.uniform(-bound, bound, (*drawn, network.n_classes)).astype(np.float32)
        return weights[:, positions].reshape(connection.kind.weight_shape)

    def _places(self, population: Population) -> tuple[tuple[int, int], np.ndarray]:
        """(channels, places) for which a projection is drawn, and the place that each position of a channel takes."""
        channels, *sides = population.shape if len(population.shape) == 3 else (population.size, 1, 1)
        counts = [side if self.grid is None else min(self.grid, side) for side in sides]
        y, x = (np.arange(side) * count // side for side, count in zip(sides, counts, strict=True))
        return (channels, counts[0] * counts[1]), (y[:, None] * counts[1] + x).ravel()

    @staticmethod
    def _is_first(network: Network, population: Population) -> bool:
        return all(c.pre == INPUT for c in network.into(population) if not c.recurrent)

    def _projection(self, network: Network, population: Population) -> Connection | None:
        return next((c for c in self.connections(network) if c.post == population.name), None)

    def _sources(self, builder: Builder, population: Population) -> dict[Connection, str]:
        """The connections by which targets reach a population, and the events they deliver."""
        network, projection = builder.network, self._projection(builder.network, population)
        paths = {p.name: target_path(network, p).name for p in network.populations[: self._last(builder) + 1]}
        sources = {projection: LABEL} if projection else {}
        return sources | {c: paths[c.pre] for c in network.into(population) if c.pre in paths}

    def _below(self, network: Network, population: Population) -> tuple[str, int, int]:
        """Buffer of the target traces below a population, and how many channels and positions it sees there: maps see maps."""
        if self._is_first(network, population):
            return names.of(LABEL, "trace"), network.n_classes, 1
        pre = network.population(next(c.pre for c in network.into(population) if not c.recurrent and c.pre != INPUT))
        positions = pre.positions if population.positions > 1 else 1
        return target_path(network, pre).of("trace"), pre.output_size // positions, positions

    def _last(self, builder: Builder) -> int:
        assert builder.rule is not None
        return self.last(builder.rule.rates(builder.network).values())

    def last(self, rates: Collection[float]) -> int:
        """Number of the last population that has a target path: the last that learns, or is matched; -1: none."""
        return len(rates) - 1 if self.matches else max((n for n, rate in enumerate(rates) if rate > 0), default=-1)

    def number_of_rows(self, network: Network) -> int:
        """K, of samples presented one by one. Raises InvalidValueError for more rows than classes, but for the default."""
        if self.rows != "all" and self.rows != USUAL_ROWS and self.rows > network.n_classes:
            limit, remedy = f"at most the number of classes, {network.n_classes}", 'use rows="all" for one row per class'
            raise invalid("Contrast", "rows", self.rows, limit, remedy)
        return network.n_classes if self.rows == "all" or self.matches else min(self.rows, network.n_classes)

    # Building ---------------------------------------------------------------------------------
    def start(self, builder: Builder) -> None:
        """See Credit: the label as a population below the first."""
        b, streaming = builder, builder.batch_size == 1
        b.sizes[ROWS] = self.number_of_rows(b.network) if streaming else b.batch_size
        if self._last(b) < 0:
            return
        with b.owned(Owner("rule", LABEL), "label"):
            b.events(LABEL, ROWS, CLASSES)
            format = b.format(names.of(b.network.populations[0].name, "trace"))
            spikes = b.buffer(names.of(LABEL, "spike"), (ROWS, CLASSES), "label", SPIKE, local="spike")
            bindings = {
                "spike": spikes,
                "trace": b.buffer(names.of(LABEL, "trace"), (ROWS, CLASSES), "state", format, local="trace"),
                "trace_decay": self._trace_decay(b),
            }
            b.run(trace_program(format, names.of(LABEL, "trace")), bindings)
            b.start.append(self._labels(b, spikes))

    def _trace_decay(self, b: Builder) -> str:
        """Of the label's trace: the first population's, or the mean where its units have one each."""
        first = b.network.populations[0]
        if is_per_neuron(first.trace_decay):
            return b.parameter(names.of(LABEL, "trace_decay"), DECAY, mean(first.trace_decay), local="trace_decay")
        with b.owned(Owner("population", first.name)):
            return b.trace_decay(first)

    def _labels(self, b: Builder, spikes: str) -> PresentLabels:
        """What a sample's start does with the label rows."""
        owner = Owner("rule", LABEL)
        if b.batch_size > 1:
            return PresentLabels(into=spikes, population=LABEL, owner=owner)
        count = b.buffer(_ROWS_IN_USE, (), "label", index=True)
        b.row_counts[ROWS] = count
        b.values[count] = b.sizes[ROWS]
        limit = b.switch(CONTRAST, b.sizes[ROWS] if self.rows == "all" else min(self.rows, b.network.n_classes))
        if not b.rule or not any(b.rule.rates(b.network).values()):
            return PresentLabels(into=spikes, rows="all", population=LABEL, count=count, owner=owner)
        return PresentLabels(into=spikes, rows="drawn", population=LABEL, limit=limit, count=count, given="contrast_labels", owner=owner)

    def follow(self, builder: Builder, population: Population, learns: bool) -> None:
        """See Credit: the target path's way through a population."""
        if self._has_targets(builder, population):
            sources = self._sources(builder, population)
            trained = learns and self._learns_target(builder, population)
            builder.follow(target_path(builder.network, population), sources, surrogate=trained)

    def _has_targets(self, builder: Builder, population: Population) -> bool:
        return builder.network.populations.index(population) <= self._last(builder)

    def _learns_target(self, builder: Builder, population: Population) -> bool:
        """Whether the target path changes any weight: shared ones, recurrent ones, or the label projection."""
        return bool(self._learned_by_target(builder, population))

    def _learned_by_target(self, builder: Builder, population: Population) -> dict[Connection, str]:
        sources = self._sources(builder, population)
        return {c: events for c, events in sources.items() if c.name in builder.network.weights or self.train_target}

    def signals(self, builder: Builder, population: Population) -> Sequence[Signal]:
        """See Credit: the sample's error through the target traces and, where it changes anything, the targets' through its trace."""
        b, network = builder, builder.network
        sample, target = sample_path(population), target_path(network, population)
        below, channels, positions = self._below(network, population)
        sizes = {"b": b.batch_size, "k": b.sizes[ROWS], "n": population.output_size, "m": channels}
        sizes |= {"p": positions} if positions > 1 else {}
        trace, below_trace = b.format(sample.of("trace")), b.buffers[below].format
        with b.owned(Owner("credit", population.name), "error"):
            bindings = {
                "trace": sample.of("trace"),
                "target_trace": target.of("trace"),
                "own_below": below,
                "below": below,
                "error": b.buffer(sample.of("error"), (SAMPLES, ROWS), "work", ERROR, local="error"),
                "error_t": b.buffer(target.of("error"), (ROWS, SAMPLES), "work", ERROR, local="target_error"),
            }
            program = contrast_program(sizes, trace, below_trace, sample.of("contrast"), population.positions)
            maps = dict.fromkeys(("own_below", "below"), (channels, positions)) if positions > 1 else {}
            b.run(program, bindings, first=("own_below",) if b.batch_size == 1 else (), maps=maps)
        signals = [Signal(sample, target.of("trace"), sample.of("error"), sample_events(b, population))]
        learned = self._learned_by_target(builder, population)
        return [*signals, Signal(target, sample.of("trace"), target.of("error"), learned)] if learned else signals

    def close(self, builder: Builder, population: Population) -> None:
        """See Credit: list the targets' events, where anything delivers them."""
        network = builder.network
        number, last = network.populations.index(population), self._last(builder)
        feeds_back = any(c.recurrent and c.pre == population.name for c in network.connections)
        if number < last or (number == last and feeds_back):
            builder.list_events(target_path(network, population))

    def match(self, builder: Builder) -> None:
        """See Credit and dynamics/match.py."""
        b, last = builder, builder.network.populations[-1]
        sample, target = sample_path(last), target_path(b.network, last)
        sizes = {"b": b.batch_size, "k": b.sizes[ROWS], "c": b.sizes[CLASSES], "n": last.output_size}
        with b.owned(Owner("readout"), "readout"):
            bindings = {"trace": sample.of("trace"), "target_trace": target.of("trace"), "label": names.of(LABEL, "spike")}
            bindings["score"] = b.buffer(names.SCORE, (SAMPLES, CLASSES), "state", VOTES)
            b.run(match_program(sizes, b.format(sample.of("trace"))), bindings)
