"""Prototypes on frozen features: the simplest learner that forgets nothing, and what every other one is measured against.

    p[c] = mean over the samples of class c of n(sample),    n: spike counts of the last hidden population
    cosine: score[c] = (n . p[c]) / (|n| |p[c]|)             Euclid: score[c] = -|n - p[c]|

Sources: Mensink et al. 2013 (nearest class mean); Snell et al. 2017 (prototypical networks).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from tp_lava.checks import is_whole
from tp_lava.circuit.formats import FixedPoint
from tp_lava.circuit.labels import check_label
from tp_lava.data.events import Events, Sample, check_samples
from tp_lava.errors import invalid
from tp_lava.graph.network import Network
from tp_lava.learner import Learner
from tp_lava.outcome import Outcome

_LEAST = 1e-12  # a norm below it is that of silence


class Prototypes:
    """Keeps a sum of spike counts a class, and tells a sample by the nearest mean; no weight changes.

    network: its features, and its number of classes; precision: as for Learner; distance: "cosine" or "euclid"; n_classes: another
    number of classes than the network's. Memory: (C, n) sums and C counts. Raises InvalidValueError.
    """

    def __init__(
        self,
        network: Network,
        precision: Literal["float", "fixed"] | FixedPoint = "float",
        distance: Literal["cosine", "euclid"] = "cosine",
        n_classes: int | None = None,
    ) -> None:
        if distance not in ("cosine", "euclid"):
            raise invalid("Prototypes", "distance", repr(distance), '"cosine" or "euclid"', "cosine does not see how much spikes at all")
        if n_classes is not None and not is_whole(n_classes, 1):
            raise invalid("Prototypes", "n_classes", repr(n_classes), "an integer of at least 1", "leave it out for the network's")
        self.learner, self.distance = Learner(network, None, precision), distance
        shape = n_classes or network.n_classes, network.populations[-1].size
        self.sums, self.counts = np.zeros(shape, np.int64), np.zeros(shape[0], np.int64)

    def learn(self, events: Events, label: int) -> Outcome:
        """Add a sample to the mean of its class. -> what was said of it before."""
        label = check_label(label, len(self.counts))
        outcome = self.infer(events)
        self.sums[label] += outcome.spike_counts[-1].astype(np.int64)
        self.counts[label] += 1
        return outcome

    def fit(self, samples: Sequence[Sample]) -> None:
        """Learn each sample once; their order does not matter."""
        for events, label in samples:
            self.learn(events, label)

    def infer(self, events: Events) -> Outcome:
        """The nearest mean. scores of classes without samples are below all others; without any sample the prediction is class 0."""
        outcome = self.learner.infer(events)
        scores = self._scores(outcome.spike_counts[-1].astype(np.float64))
        return replace(outcome, scores=scores.astype(np.float32), prediction=int(np.argmax(scores)))

    def evaluate(self, samples: Sequence[Sample]) -> float:
        """Share of samples whose prediction is their label. Raises InvalidValueError for none."""
        check_samples("evaluate", samples)
        return float(np.mean([self.infer(events).prediction == label for events, label in samples]))

    @property
    def bytes(self) -> int:
        """Of the sums and counts, 32 bits each."""
        return 4 * (self.sums.size + self.counts.size)

    def _scores(self, counts: np.ndarray) -> np.ndarray:
        known = self.counts > 0
        means = self.sums[known] / self.counts[known, np.newaxis]
        if self.distance == "cosine":
            near = means @ counts / np.maximum(np.linalg.norm(means, axis=1) * np.linalg.norm(counts), _LEAST)
        else:
            near = -np.linalg.norm(means - counts, axis=1)
        scores = np.full(len(known), -np.inf)
        scores[known] = near
        return scores
