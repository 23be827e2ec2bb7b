"""What a stream tells while it runs: scores, rates, accuracy, and the size of the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tp_lava.learner import Learner


@dataclass(frozen=True)
class Report:
    """A stream after a chunk.

    steps: time steps so far; label: of the present stretch, None without one; scores: (C,) float32, of the present stretch, see Stream;
    prediction: their argmax; rates: "input" and each population -> spikes per unit and step since the report before; accuracy: share of
    the last labelled stretches whose prediction at their end was their label, None before the first; stretches: labelled ones that ended.
    """

    steps: int
    label: int | None
    scores: np.ndarray
    prediction: int
    rates: Mapping[str, float]
    accuracy: float | None
    stretches: int


class WeightSize(NamedTuple):
    """norm: root of the sum of w^2, physical units; clipped: share of weights at the ends of their format, None in float."""

    norm: float
    clipped: float | None


def weight_sizes(learner: Learner) -> dict[str, WeightSize]:
    """The size of each array of weights and biases, by name."""
    return {name: _size(learner, name, array) for name, array in learner.weights.items()}


def _size(learner: Learner, name: str, array: np.ndarray) -> WeightSize:
    norm = float(np.linalg.norm(array.astype(np.float64)))
    format = learner.buffers[name].format
    return WeightSize(norm, None if format is None else float((np.abs(array) >= format.largest).mean()))
