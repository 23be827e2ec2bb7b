"""What has changed in the sensor? A trained network tells it by a few new recordings with labels, without learning.

Each change of mounting is undone in the recordings, which are then presented. With b recordings that are told right only so, and a that
are told right only as they are, the chance of b or more of a + b by coin tosses is

    p = sum over k from b to a + b of C(a + b, k) / 2^(a + b)

A change explains the recordings where m p < 0.01 (m: changes tried; sign test with Bonferroni's correction) and, on the mean over the
classes, more than half of them are told right, so that no change wins which makes all recordings look like one class. Of several, that
with most right, then with the largest mean log softmax of the label's score. Sources: McNemar, Psychometrika 1947; Dunn, JASA 1961.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from tp_lava.data.events import Sample, check_samples
from tp_lava.data.mounting import Mounting, Shape, camera_shape, mountings
from tp_lava.graph.network import Network
from tp_lava.learner import Learner

CHANCE = 0.01  # most with which recordings that nothing has happened to are taken for changed ones
PIXELS = 2  # by which a camera may have moved


@dataclass(frozen=True)
class SensorChange:
    """What explains the new recordings.

    found: the change, None where none does; accuracy: change -> share of the recordings told right with it undone, in [0, 1], best first;
    p: chance of the best one, times the changes tried, at most 1; shape: (channels, height, width) of the camera.
    """

    found: Mounting | None
    accuracy: Mapping[Mounting, float]
    p: float
    shape: Shape

    def __str__(self) -> str:
        best, before = next(iter(self.accuracy)), self.accuracy[Mounting()]
        if best == Mounting():
            return f"no change of the sensor's mounting explains the new recordings better than none: {before:.0%} are told right"
        told = f"{self.accuracy[best]:.0%} of the new recordings are told right with that undone, {before:.0%} as they are (p {self.p:.1g})"
        if self.found:
            return f"the sensor is {self.found}: {told}"
        return f"no change of the sensor's mounting explains the new recordings; best: {best}, {told}"

    def seen(self, samples: Sequence[Sample]) -> list[Sample]:
        """Recordings of the old sensor as the new one would have made them; without a change as they are."""
        return [Sample(self.found.seen(events, self.shape), label) if self.found else Sample(events, label) for events, label in samples]

    def undone(self, samples: Sequence[Sample]) -> list[Sample]:
        """Recordings of the new sensor as the old one would have made them; without a change as they are."""
        return [Sample(self.found.undone(events, self.shape), label) if self.found else Sample(events, label) for events, label in samples]


def sensor_change(
    source: Network | Learner, samples: Sequence[Sample], shape: Sequence[int] | None = None, pixels: int = PIXELS
) -> SensorChange:
    """Look which change of mounting explains new recordings; see the module for the test.

    source: trained on the old sensor, a Learner for its number system; samples: of the new sensor, some of each of several classes, 20 at
    least, better 50; shape: (channels, height, width) of the camera, else that of the network's input, or of a square one with two
    polarities; pixels: most by which it may have moved, in each direction, >= 0. Tried: turns, mirrors and their combinations, each also
    with ON and OFF exchanged, and moves. Raises InvalidValueError.
    """
    learner = source if isinstance(source, Learner) else Learner(source)
    camera = camera_shape(learner.network.input_shape if shape is None else shape)
    check_samples("sensor_change", samples)
    tried = mountings(camera, pixels)
    right, sure = map(np.array, zip(*(_told(learner, samples, each, camera) for each in tried), strict=True))
    order = np.lexsort((-sure.mean(axis=1), -right.sum(axis=1)))
    p = min(1.0, len(tried) * _by_chance(right[0], right[order[0]]))
    labels = np.array([label for _, label in samples])
    balanced = np.mean([right[order[0], labels == label].mean() for label in np.unique(labels)])
    found = tried[order[0]] if p < CHANCE and balanced > 0.5 else None
    return SensorChange(found, {tried[k]: float(right[k].mean()) for k in order}, p, camera)


def _told(learner: Learner, samples: Sequence[Sample], change: Mounting, shape: Shape) -> tuple[list[bool], list[float]]:
    """With the change undone: whether each sample is told right, and the log softmax of its label's score."""
    right, sure = [], []
    for events, label in samples:
        outcome = learner.infer(change.undone(events, shape))
        scores = np.asarray(outcome.scores, np.float64)
        right.append(outcome.prediction == label)
        sure.append(float(scores[label] - np.logaddexp.reduce(scores)))
    return right, sure


def _by_chance(before: np.ndarray, after: np.ndarray) -> float:
    """p of the module. before, after: (N,), whether each is told right as it is and with the change undone."""
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    return sum(comb(gained + lost, k) for k in range(gained, gained + lost + 1)) / 2 ** (gained + lost)
