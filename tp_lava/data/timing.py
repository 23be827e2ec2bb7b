"""Whether the order of events in time tells the classes of recordings apart: what a network without a memory of time cannot use.

Two linear classifiers (ridge regression on log(1 + count)) are compared on a fifth of the samples that is held back: one sees how many
events each unit has, the other sees that in each of ten parts of the recording.

    W = argmin ||X W - Y||^2 + lambda ||W||^2,  lambda = 0.1 * mean diagonal of X X^T;  X: standardised features; Y: one-hot labels
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tp_lava.data.events import Events, Sample
from tp_lava.errors import invalid

PARTS = 10
MATTERS = 0.03  # gain in accuracy from which on time is said to matter
_MOST, _HELD, _RIDGE = 2000, 5, 0.1  # samples that are looked at; one in so many is held back; lambda
LEAST = 100  # samples; a fifth of fewer tells chance


class TimeInData(NamedTuple):
    """Accuracies of the linear classifiers on samples they were not made from: of all counts, and of counts in ten parts."""

    counts: float
    parts: float

    @property
    def matters(self) -> bool:
        """Whether a network needs a memory of time, such as delay lines: Network.temporal."""
        return self.parts - self.counts >= MATTERS


def time_in_data(samples: Sequence[Sample], seed: int = 0) -> TimeInData:
    """Compare both on samples of one number of units, at most 2000 drawn from the seed.

    Raises InvalidValueError for fewer than a hundred.
    """
    if len(samples) < LEAST:
        raise invalid("time_in_data", "samples", len(samples), f"at least {LEAST}", "give more, or say yourself whether time matters")
    chosen = [samples[i] for i in np.random.default_rng(seed).permutation(len(samples))[:_MOST]]
    labels = np.array([label for _, label in chosen])
    parts = np.stack([_counts(events) for events, _ in chosen])
    return TimeInData(*(_accuracy(features, labels) for features in (parts.sum(1), parts.reshape(len(chosen), -1))))


def _counts(events: Events) -> np.ndarray:
    """Events of each unit in each part, (parts, units)."""
    place = events.times * PARTS // events.n_steps * events.n_units + events.units
    return np.bincount(place, minlength=PARTS * events.n_units).reshape(PARTS, -1).astype(np.float32)


def _accuracy(features: np.ndarray, labels: np.ndarray) -> float:
    held = np.arange(len(labels)) % _HELD == 0
    rows = np.log1p(features)
    rows = (rows - rows[~held].mean(0)) / (rows[~held].std(0) + 1e-6)
    known, target = rows[~held], np.eye(labels.max() + 1, dtype=np.float32)[labels[~held]]
    gram = known @ known.T  # the weights are a sum of the samples, so that a thousand samples make a small system
    gram[np.diag_indices_from(gram)] += _RIDGE * gram.diagonal().mean()
    weights = known.T @ np.linalg.solve(gram, target)
    return float(((rows[held] @ weights).argmax(1) == labels[held]).mean())
