"""Whether a network can learn at all: what its first samples show of layers that are silent or saturated, of weights that do not move.

A silent network passes any comparison of gradients, and learns at chance. Watched are the spikes of every neuron, and by one number a
neuron (a random projection of the weights that reach it) whether any of them has changed.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tp_lava.circuit import Buffer
from tp_lava.data.events import Sample
from tp_lava.graph.names import INPUT, READOUT
from tp_lava.graph.network import Connection, Population
from tp_lava.learner_view import LearnerView
from tp_lava.outcome import Outcome
from tp_lava.presenting import Call

WATCHED = 50  # samples
LEAST = 20  # fewer tell nothing
SILENT, SATURATED = 0.9, 0.5  # shares of a layer's neurons from which on it is told
BUSY = 0.9  # share of the steps in which a saturated neuron spikes
UNTAUGHT = 0.5  # share of a layer's neurons none of whose weights moves
HUGE = 1000  # times the largest at the start, and the threshold: weights of which one spike drives a neuron as far as 1000 should
CLIPPED = 0.25  # share of a connection's weights at the ends of their format


class LivenessWarning(UserWarning):
    """Part of a network cannot learn as it is."""


@dataclass(frozen=True)
class Finding:
    """where: population or weights; what: happens there; remedy: what to do."""

    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.remedy}."


class Liveness:
    """Watches a learner from now on: `see` after each learned sample, `findings` once there are enough of them.

    Attributes samples: how many it has seen; told: whether it has warned of what it found, which it does once.
    """

    def __init__(self, learner: LearnerView) -> None:
        self._learner, self.samples, self._steps, self.told = learner, 0, 0, False
        self._network = learner.circuits[0].network  # its graph, whatever the weights are by now
        self._counts = [np.zeros(population.size) for population in self._network.populations]
        self._start = dict(self._projections())
        self._largest, self._told_divergence = dict(self._sizes()), False

    def see(self, outcomes: Sequence[Outcome], n_steps: int) -> None:
        """Samples that were learned together, in n_steps steps each."""
        if self.told:
            return
        self.samples += len(outcomes)
        self._steps += n_steps * len(outcomes)
        for outcome in outcomes:
            for total, counts in zip(self._counts, outcome.spike_counts, strict=True):
                total += counts

    def see_in_turn(self, call: Call, outcomes: Sequence[Outcome]) -> None:
        """Samples that were learned one after the other; warn once WATCHED of them were."""
        for first in range(0, len(outcomes), call.size):
            together = slice(first, first + call.size)
            self.see(outcomes[together], max(events.n_steps for events in call.events[together]))
        if self.samples >= WATCHED:
            self.tell()

    def ahead(self, size: int) -> int | None:
        """Samples that it still waits for, a multiple of `size`; None: none."""
        return None if self.told else -(-(WATCHED - self.samples) // size) * size

    def findings(self) -> tuple[Finding, ...]:
        """What cannot learn; nothing before LEAST samples have been seen."""
        if self.samples < LEAST:
            return ()
        return *self._of_spikes(), *self._of_weights()

    def tell(self) -> None:
        """Warn of each finding (LivenessWarning), unless that was done, or too few samples were seen."""
        if self.told or self.samples < LEAST:
            return
        self.told = True
        for finding in self.findings():
            warnings.warn(str(finding), LivenessWarning, stacklevel=4)

    def tell_divergence(self) -> None:
        """Warn, once, of weights that are no numbers any more, or that have grown beyond any use (LivenessWarning)."""
        for finding in () if self._told_divergence else tuple(self._diverged()):
            self._told_divergence = True
            warnings.warn(str(finding), LivenessWarning, stacklevel=3)

    # Inside -----------------------------------------------------------------------------------
    def _diverged(self) -> Iterator[Finding]:
        """In float: numbers of a fixed format end at its ends, which `_of_weights` tells."""
        remedy = "use a smaller rate, and begin again from weights that were saved before"
        thresholds = {population.name: float(np.max(population.neuron.threshold)) for population in self._network.populations}
        sizes, learned = dict(self._sizes()), [connection for connection, buffer in self._learned() if not buffer.format]
        lost = [c.name for c in learned if not np.isfinite(sizes[c.name])]
        if lost:
            yield Finding(", ".join(lost), "weights are infinite or no numbers", remedy)
        for connection in learned:
            size, before = sizes[connection.name], self._largest[connection.name]
            if np.isfinite(size) and size > HUGE * max(before, thresholds.get(connection.post, 1.0)):
                yield Finding(connection.name, f"its largest weight has grown from {before:.2g} to {size:.2g}: learning diverges", remedy)

    def _sizes(self) -> Iterator[tuple[str, float]]:
        """Of each connection that learns: its largest weight."""
        for connection, _ in self._learned():
            yield connection.name, float(np.abs(self._learner.memory[connection.name]).max(initial=0.0))

    def _of_spikes(self) -> Iterator[Finding]:
        for population, counts in zip(self._network.populations, self._counts, strict=True):
            silent, busy = (counts == 0).mean(), (counts > BUSY * self._steps).mean()
            if silent >= SILENT:
                what = f"{silent:.0%} of its {counts.size} neurons never spiked in the first {self.samples} samples"
                yield Finding(population.name, what, f"enlarge the weights into it, or lower its threshold of {_number(population)}")
            elif busy >= SATURATED:
                what = f"{busy:.0%} of its {counts.size} neurons spiked at nearly every step of the first {self.samples} samples"
                yield Finding(population.name, what, f"make the weights into it smaller, or raise its threshold of {_number(population)}")

    def _of_weights(self) -> Iterator[Finding]:
        now = dict(self._projections())
        for connection, buffer in self._learned():
            moved = now[connection.name] != self._start[connection.name]
            which = "channels" if buffer.role == "kernel" else "neurons"
            if not moved.any():
                what = f"no weight has moved in the first {self.samples} samples"
                yield Finding(connection.name, what, self._why_at_rest(connection))
            elif (share := 1 - moved.mean()) >= UNTAUGHT:
                what = f"no weight of {share:.0%} of its {moved.size} {which} has moved in the first {self.samples} samples"
                remedy = "they get no learning signal: use a wider surrogate, another basis or feedback, or weights that let them spike"
                yield Finding(connection.name, what, remedy)
            if buffer.format and (share := self._clipped(buffer)) >= CLIPPED:
                what = f"{share:.0%} of its weights are at the ends of their format, +-{buffer.format.real(buffer.format.high):g}"
                yield Finding(connection.name, what, "use a smaller rate, or a larger exponent: tpl.FixedPoint(weight_exponents=...)")

    def _why_at_rest(self, connection: Connection) -> str:
        network = self._network
        places = {population.name: place for place, population in enumerate(network.populations)}
        if connection.pre in places and not self._counts[places[connection.pre]].any():
            return f"{connection.pre} is silent, which is to be mended first"
        if connection.pre != INPUT or self._learner.precision == "float":
            return "use a larger rate, a wider surrogate, or weights that let the layer spike"
        return "use a larger rate: changes this small are rounded away, or finer weights: tpl.FixedPoint(weight_exponents=...)"

    def _learned(self) -> Iterator[tuple[Connection, Buffer]]:
        """The connections that the rule changes, and their weights."""
        network, rule = self._network, self._learner.rule
        rates = {**rule.rates(network), READOUT: rule.readout_rate if rule.learns_readout else 0.0} if rule else {}
        for connection in network.connections:
            if rates.get(connection.post, 0):
                yield connection, self._learner.buffers[connection.name]

    def _projections(self) -> Iterator[tuple[str, np.ndarray]]:
        """Of the weights that reach each neuron, or channel: a number that differs once any of them does."""
        for connection, _ in self._learned():
            held = self._learner.memory[connection.name]
            rows = held.reshape(-1, held.shape[-1])
            drawn = np.random.default_rng(0).uniform(1, 2, len(rows))
            yield connection.name, np.einsum("i,ij->j", drawn, rows)  # no product of BLAS, whose threads stay busy for a tenth of a second

    def _clipped(self, buffer: Buffer) -> float:
        assert buffer.format is not None
        return float((np.abs(self._learner.memory[buffer.name].astype(np.int32)) >= buffer.format.high).mean())


def check_liveness(learner: LearnerView, samples: Sequence[Sample]) -> tuple[Finding, ...]:
    """What the first samples show not to learn; a copy learns them. Nothing of a learner without a rule, or of fewer than LEAST samples."""
    if learner.rule is None:
        return ()
    twin = learner.copy()
    watch = Liveness(twin)
    for events, label in samples[:WATCHED]:
        watch.see([twin.learn(events, label)], events.n_steps)
    return watch.findings()


def _number(population: Population) -> str:
    return f"{np.mean(population.neuron.threshold):g}"
