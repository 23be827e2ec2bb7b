"""Benchmarks: data sets with networks and learning rates for them. Rates were chosen on seed 0 and a few neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tp_lava.data.digits import digits
from tp_lava.data.events import Sample
from tp_lava.data.recordings import from_nmnist, from_shd
from tp_lava.dynamics.neuron import LIF
from tp_lava.errors import invalid
from tp_lava.graph.network import Network
from tp_lava.rules import TESS

TEST_SHARE = 0.2  # of data without a test part of its own
_TESS_TRACE_DECAY = 0.9  # TESS, with activity="trace", computes its error from traces


def hold_back(samples: Sequence[Sample], share: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """(the rest, `share` of the samples), drawn at random from the seed."""
    order = np.random.default_rng(seed).permutation(len(samples))
    cut = int(len(samples) * share)
    return [samples[i] for i in order[cut:]], [samples[i] for i in order[:cut]]


@dataclass(frozen=True)
class Benchmark:
    """A data set and a network with one hidden layer for it.

    neuron, trace_decay: of the network; tess_neuron: of the network that TESS trains; tp_rates, tess_rates, adam_rates: (hidden layer,
    readout); recordings: file of the data set, where it needs one; n_train, n_test: limits on the number of samples, None: all.
    """

    name: str
    epochs: int
    neuron: LIF
    trace_decay: float
    tess_neuron: LIF
    tp_rates: tuple[float, float]
    tess_rates: tuple[float, float]
    adam_rates: tuple[float, float] = (1e-3, 1e-3)
    hidden: int = 200
    needs_recordings: bool = True
    recordings: Path | None = None
    n_train: int | None = None
    n_test: int | None = None

    def samples(self, seed: int) -> tuple[list[Sample], list[Sample]]:
        """(train, test). Raises InvalidValueError where recordings are needed and not given."""
        train, test = self._all(seed)
        return train[: self.n_train], test[: self.n_test]

    def _all(self, seed: int) -> tuple[list[Sample], list[Sample]]:
        if not self.needs_recordings:
            return digits()
        if self.recordings is None:
            raise invalid("compare-rules", "recordings", None, f"the file of {self.name}", "give --recordings FILE")
        if self.name == "nmnist":
            return from_nmnist(self.recordings)
        return hold_back(from_shd(self.recordings).samples, TEST_SHARE, seed)

    def network(self, n_inputs: int, n_classes: int, seed: int, tess: bool = False) -> Network:
        """An untrained network."""
        neuron, trace_decay = (self.tess_neuron, _TESS_TRACE_DECAY) if tess else (self.neuron, self.trace_decay)
        return Network.dense((n_inputs, self.hidden, n_classes), neuron, trace_decay, seed=seed)


BENCHMARKS: Mapping[str, Benchmark] = {
    "digits": Benchmark("digits", 12, LIF(0.98), 0.98, TESS.neuron(), (7e-4, 5e-4), (0.2, 1e-3), needs_recordings=False),
    "nmnist": Benchmark("nmnist", 10, LIF(0.98), 0.98, TESS.neuron(0.9), (2e-3, 5e-4), (0.2, 1e-3)),
    "spoken": Benchmark("spoken", 20, LIF(0.9), 0.9, TESS.neuron(0.9), (3e-3, 5e-4), (0.2, 1e-3)),
}
