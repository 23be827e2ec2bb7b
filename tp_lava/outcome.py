"""What a learner gives back: the outcome of a sample, and its weights by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Outcome:
    """What one sample gave.

    scores: (C,) float32, the readout at the end: values to read out where a network computes numbers, of a network of one output the
    first (the second class has no weights); prediction: its argmax; spike_counts: per hidden layer, (n_l,)
    spikes of each neuron; if recorded, per hidden layer: spikes (T, n_l) bool, membranes and traces (T, n_l)
    float32, as they stand at the end of each step.
    """

    scores: np.ndarray
    prediction: int
    spike_counts: tuple[np.ndarray, ...]
    spikes: tuple[np.ndarray, ...] | None = field(default=None, repr=False)
    membranes: tuple[np.ndarray, ...] | None = field(default=None, repr=False)
    traces: tuple[np.ndarray, ...] | None = field(default=None, repr=False)


class Arrays(Mapping):
    """A read-only view of a learner's weights by name; each is made when it is asked for."""

    def __init__(self, names: Sequence[str], get: Callable[[str], np.ndarray]) -> None:
        self._names, self._get = tuple(names), get

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise KeyError(f"{name!r}; there are {', '.join(self._names)}")
        return self._get(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
