"""A kind of connection made by following CONTRIBUTING: each neuron sees some of the units below, drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tp_lava.graph.connections import AllToAll


@dataclass(frozen=True)
class Sparse(AllToAll):
    """All-to-all, of which each unit below reaches a neuron with probability `density`; weights of the rest are held and never used."""

    density: float = 0.3
    seed: int = 0

    @cached_property
    def present(self) -> np.ndarray:
        """(n_in, n_out): which synapses there are."""
        return np.random.default_rng(self.seed).random((self.n_inputs, self.size)) < self.density

    @cached_property
    def reached(self) -> tuple[np.ndarray, np.ndarray]:
        """See AllToAll."""
        offsets = np.concatenate([[0], self.present.sum(axis=1).cumsum()])
        return offsets.astype(np.int32), np.nonzero(self.present)[1].astype(np.int32)

    @property
    def fan_in(self) -> int:
        """See AllToAll."""
        return int(self.present.sum(axis=0).max())

    @property
    def synapse_count(self) -> int:
        """See AllToAll."""
        return int(self.present.sum())
