"""A stream: one sample that never ends, divided into stretches by the labels that come.

A stretch begins where a label begins, changes or ends. States go on from chunk to chunk, so that chunks of any length give the same bits as
one long sample; what goes on from stretch to stretch is chosen by `reset`. Memory does not grow. What a stream counts is in Python's
integers. The engine counts spikes in 32 bits, of which differences are taken, and learning steps in 32 bits, after which its random bits
come again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

import numpy as np

from tp_lava.checks import is_whole
from tp_lava.circuit import names
from tp_lava.circuit.labels import Reset, check_label
from tp_lava.data.events import Events, check_events, steps_of
from tp_lava.errors import invalid
from tp_lava.graph.network import Network
from tp_lava.learner import Learner
from tp_lava.learner_checks import check_endless
from tp_lava.rules import BaseRule
from tp_lava.streams.report import Report, WeightSize, weight_sizes

RECENT = 100  # labelled stretches that accuracy is of
Chunk = Events | tuple[Events, int | None]


class BaseStream(ABC):
    """What streams of the engine and of Lava share: stretches, and what is told of them. obj: what errors call it."""

    obj = "Stream"

    def __init__(self, network: Network, rule: BaseRule | None, reset: Reset, longest: int | None, recent: int) -> None:
        check_endless(self.obj, network, rule)
        if reset not in get_args(Reset):
            remedy = '"traces" lets the neurons go on and learning begin anew'
            raise invalid(self.obj, "reset", repr(reset), f"one of {', '.join(map(repr, get_args(Reset)))}", remedy)
        for attr, value, remedy in (("longest", longest, "None ends a stretch by labels alone"), ("recent", recent, f"{RECENT} is usual")):
            if not (is_whole(value, 1) or (value is None and attr == "longest")):
                raise invalid(self.obj, attr, repr(value), "an integer of at least 1", remedy)
        self._inputs, self._format, self._classes, self._rule = network.n_inputs, network.input_format, network.n_classes, rule
        self._populations = [population.name for population in network.populations]
        self._reset = reset
        self._pushed, self._since, self._longest = 0, 0, longest  # steps: so far, of the present stretch
        self._label: int | None = None
        self._renewed = False  # whether a stretch begins with the next step
        self._right: deque[bool] = deque(maxlen=recent)
        self._stretches = self._events = self._told_at = self._pushed_told = 0
        self._totals: list[Any] = [0] * len(network.populations)

    # What goes in -----------------------------------------------------------------------------
    def label(self, label: int | None) -> None:
        """End the present stretch; with the next step begins one with this label, in which each step learns, or without one (None).

        The same label again is another stretch. Raises InvalidValueError.
        """
        own = None if label is None else check_label(label, self._classes)
        if own is not None and self._rule is None:
            raise invalid(self.obj, "rule", None, "a rule, to learn", "make the learner with one, or give no labels")
        self._ready()
        if self._since:
            self._end(self._label)
        self._label, self._since, self._renewed = own, 0, True

    def push(self, events: Events) -> Report:
        """The next events.n_steps steps, with the label that there is. Raises InvalidValueError."""
        check_events(events, self._inputs, self._format)
        self._ready()
        begin = 0
        while begin < events.n_steps:
            if self._since == self._longest:
                self.label(self._label)
            size = events.n_steps - begin if self._longest is None else min(events.n_steps - begin, self._longest - self._since)
            self._play(events if size == events.n_steps else steps_of(events, begin, begin + size), self._renewed)
            begin, self._since, self._pushed, self._renewed = begin + size, self._since + size, self._pushed + size, False
        self._events += len(events)
        return self.report()

    def run(self, chunks: Iterable[Chunk]) -> Iterator[Report]:
        """Push chunks as they come, and report after each. A chunk is Events, whose label is the present one, or (Events, label or None):
        another label than the present one begins a stretch.
        """
        for chunk in chunks:
            events, label = chunk if isinstance(chunk, tuple) else (chunk, self._label)
            if label != self._label:
                self.label(label)
            yield self.push(events)

    # What comes out ---------------------------------------------------------------------------
    def report(self) -> Report:
        """How it stands now; rates are of the steps since the last report."""
        scores, totals, steps = self.scores, self._spike_totals(), self.steps
        passed = max(1, steps - self._told_at)
        rates = {"input": self._events / (self._inputs * max(1, self._pushed - self._pushed_told))}
        for name, now, before in zip(self._populations, totals, self._totals, strict=True):
            rates[name] = float((now - before).mean()) / passed
        self._totals, self._told_at, self._pushed_told, self._events = totals, steps, self._pushed, 0
        accuracy = sum(self._right) / len(self._right) if self._right else None
        return Report(steps, self._label, scores, int(np.argmax(scores)), rates, accuracy, self._stretches)

    @property
    @abstractmethod
    def learner(self) -> Learner:
        """The learner, live."""

    @property
    def steps(self) -> int:
        """Time steps so far."""
        return self._pushed

    @property
    def scores(self) -> np.ndarray:
        """(C,) float32: the readout summed up over the present stretch or, where it leaks, over all, as it leaks."""
        held = self._read((names.SCORE,))[0]
        return self.learner.buffers[names.SCORE].decode(held)[0]

    def weights(self) -> Mapping[str, WeightSize]:
        """Norm and clipped share of each array of weights, by name."""
        return weight_sizes(self.learner)

    # What differs -----------------------------------------------------------------------------
    @abstractmethod
    def _ready(self) -> None:
        """Refuse to go on where that is not possible."""

    @abstractmethod
    def _play(self, events: Events, renewed: bool) -> None:
        """The next steps. renewed: with the first of them a stretch begins, with the present label."""

    @abstractmethod
    def _end(self, label: int | None) -> None:
        """The present stretch, with this label, has ended."""

    @abstractmethod
    def _read(self, names: Sequence[str]) -> list[np.ndarray]:
        """Copies of arrays of the learner's memory, all of the same step."""

    # Inside -----------------------------------------------------------------------------------
    def _spike_totals(self) -> list[np.ndarray]:
        """Spikes of each neuron since the stream began, modulo 2^32."""
        return [total[0].view(np.uint32) for total in self._read([names.of(name, "total") for name in self._populations])]

    def _told(self, label: int | None, prediction: int) -> None:
        """Count what a stretch gave."""
        if label is not None:
            self._right.append(prediction == label)
            self._stretches += 1


class Stream(BaseStream):
    """A learner on a stream without end.

        stream = tpl.Stream(learner)
        for report in stream.run(camera):  # Events, or (Events, label), a chunk at a time
            print(report.steps, report.accuracy)

    learner: which the stream has to itself until its next sample begins; reset: what begins at zero with a stretch, beside its scores
    (unless they leak): "traces", where it has a label, all that learning reads and spikes do not depend on (traces, target rows, the
    readout's potential), "none" nothing, so that traces hold what came before the label too, "all" every state, as at a sample's start;
    longest: steps after which a stretch ends, and one with the same label, or without one, begins: TP draws other target rows then; None:
    only labels end one; recent: labelled stretches that accuracy is of.
    A stretch without a label infers; what learning alone has then stands still, and begins at zero with the next label, whatever `reset`.
    Raises InvalidValueError for a rule that needs a sample's end or length, by name.
    """

    def __init__(self, learner: Learner, reset: Reset = "traces", longest: int | None = None, recent: int = RECENT) -> None:
        if not isinstance(learner, Learner):
            raise invalid(self.obj, "learner", repr(learner)[:60], "a Learner", "make one with tpl.Learner(network, tpl.TP(...))")
        super().__init__(learner.network, learner.rule, reset, longest, recent)
        self._learner = learner
        learner.begin()
        self._begun = learner.begun

    @property
    def learner(self) -> Learner:
        """The learner, live."""
        return self._learner

    def _ready(self) -> None:
        if self._learner.begun != self._begun:
            remedy = "make a new Stream; to evaluate meanwhile use learner.copy()"
            raise invalid(self.obj, "learner", "used for another sample, or given another rule", "left to the stream", remedy)

    def _play(self, events: Events, renewed: bool) -> None:
        if renewed:
            self._learner.relabel(self._label, self._reset)
        self._learner.advance(events)

    def _end(self, label: int | None) -> None:
        self._told(label, int(np.argmax(self._learner.memory[names.SCORE][0])))

    def _read(self, names: Sequence[str]) -> list[np.ndarray]:
        return [self._learner.memory[name].copy() for name in names]
