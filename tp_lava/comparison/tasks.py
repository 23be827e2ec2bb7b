"""What is learned: data sets, networks and the rates that suit them. Rates were chosen on seed 0 and a few neighbours."""

from __future__ import annotations

from collections.abc import Mapping
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

_TESS_TRACE_DECAY = 0.9  # its error looks at traces
_TEST_SHARE = 5  # one in five spoken digits


@dataclass(frozen=True)
class Task:
    """A data set and a network with one hidden layer for it.

    neuron, trace_decay: of the network; tess_neuron: of the network that TESS learns;
    tp_rates, tess_rates, adam_rates: of the hidden layer and of the readout; recordings: the file, if it needs one;
    n_train, n_test: at most so many samples.
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
        samples, _ = from_shd(self.recordings)
        order = np.random.default_rng(seed).permutation(len(samples))
        cut = len(samples) // _TEST_SHARE
        return [samples[i] for i in order[cut:]], [samples[i] for i in order[:cut]]

    def network(self, n_inputs: int, n_classes: int, seed: int, tess: bool = False) -> Network:
        """A blank network."""
        sizes = (n_inputs, self.hidden, n_classes)
        if tess:
            return Network.dense(sizes, self.tess_neuron, _TESS_TRACE_DECAY, seed=seed)
        return Network.dense(sizes, self.neuron, self.trace_decay, seed=seed)


TASKS: Mapping[str, Task] = {
    "digits": Task("digits", 12, LIF(0.98), 0.98, TESS.neuron(), (7e-4, 5e-4), (0.2, 1e-3), needs_recordings=False),
    "nmnist": Task("nmnist", 10, LIF(0.98), 0.98, TESS.neuron(0.9), (2e-3, 5e-4), (0.2, 1e-3)),
    "spoken": Task("spoken", 20, LIF(0.9), 0.9, TESS.neuron(0.9), (3e-3, 5e-4), (0.2, 1e-3)),
}
