"""Benchmarks: data sets with networks and learning rates for them.

Rates of TP and TESS were chosen on seed 0 and a few neighbours; those of the other rules in two to four tries, on a fifth of the training
samples that was held back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np

from tp_lava.data.augmentation import Augmentation
from tp_lava.data.digits import digits
from tp_lava.data.events import Sample
from tp_lava.data.recordings import from_nmnist, from_shd, from_spike_lists
from tp_lava.dynamics.neuron import LIF
from tp_lava.errors import invalid
from tp_lava.graph.network import Network
from tp_lava.rules import TESS, BaseRule

TEST_SHARE = 0.2  # of data without a test part of its own
UNSEEN = 6  # speakers of the speech commands who are not learned
_TESS_TRACE_DECAY = 0.9  # TESS, with activity="trace", computes its error from traces
_COMMANDS = {"n_units": 64, "n_steps": 200, "merged": 4}  # 50 steps of 20 ms
_DELAYS = np.arange(0, 48, 4)[:, None]  # twelve copies of the input, 80 ms apart: Network.temporal
Parts = tuple[list[Sample], list[Sample]]
Rates = tuple[float, float]  # of the hidden layers, and of the readout
BATCHES, BPTT = "batches", "BPTT"  # what the rates with Adam are for, beside rules


def hold_back(samples: Sequence[Sample], share: float, seed: int) -> Parts:
    """(the rest, `share` of the samples), drawn at random from the seed."""
    order = np.random.default_rng(seed).permutation(len(samples))
    cut = int(len(samples) * share)
    return [samples[i] for i in order[cut:]], [samples[i] for i in order[:cut]]


def _digits(path: Path, seed: int) -> Parts:
    return digits()


def _nmnist(path: Path, seed: int) -> Parts:
    return from_nmnist(path)


def _spoken(path: Path, seed: int) -> Parts:
    return hold_back(from_shd(path).samples, TEST_SHARE, seed)


def _commands(path: Path, seed: int) -> Parts:
    """Mixed; the last speakers are for testing alone."""
    samples = from_spike_lists(path, **_COMMANDS)
    speakers = samples.speakers
    unseen, parts = speakers >= np.unique(speakers)[-UNSEEN], ([], [])  # type: ignore[var-annotated]
    for index in np.random.default_rng(0).permutation(len(samples)):
        parts[int(unseen[index])].append(samples[index])
    return parts


@dataclass(frozen=True)
class Benchmark:
    """A data set and a network with one hidden layer for it.

    read: (file, seed) -> (train, test); neuron, trace_decay: of the network; tess_neuron: of the network that TESS trains; rates: label
    or type of a rule -> its rates here, BATCHES and BPTT: with Adam in PyTorch; a rule that is not there has its own; delays: of the
    input, see Delays.of; augmentation: of the samples while they are learned; recordings: file of the data set, where it needs
    one; n_train, n_test: limits on the number of samples, None: all.
    """

    name: str
    epochs: int
    neuron: LIF
    trace_decay: float
    tess_neuron: LIF
    read: Callable[[Path, int], Parts]
    rates: Mapping[str, Rates] = field(default_factory=lambda: MappingProxyType({}))
    hidden: int = 200
    delays: object = None
    augmentation: Augmentation | None = None
    needs_recordings: bool = True
    recordings: Path | None = None
    n_train: int | None = None
    n_test: int | None = None

    def samples(self, seed: int) -> Parts:
        """(train, test). Raises InvalidValueError where recordings are needed and not given."""
        if self.needs_recordings and self.recordings is None:
            raise invalid("compare-rules", "recordings", None, f"the file of {self.name}", "give --recordings FILE")
        train, test = self.read(self.recordings or Path(), seed)
        return train[: self.n_train], test[: self.n_test]

    def network(self, n_inputs: int, n_classes: int, seed: int, tess: bool = False) -> Network:
        """An untrained network."""
        neuron, trace_decay = (self.tess_neuron, _TESS_TRACE_DECAY) if tess else (self.neuron, self.trace_decay)
        return Network.dense((n_inputs, self.hidden, n_classes), neuron, trace_decay, seed=seed, delays=self.delays)

    def rates_of(self, rule: BaseRule) -> Rates:
        """The rates of a rule here."""
        own = rule.rate if not isinstance(rule.rate, tuple) else rule.rate[0]
        return self.rates.get(rule.label, self.rates.get(type(rule).__name__, (own, rule.readout_rate)))


_ADAM = {BATCHES: (1e-3, 1e-3), BPTT: (1e-3, 1e-3)}
BENCHMARKS: Mapping[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark(
            "digits",
            12,
            LIF(0.98),
            0.98,
            TESS.neuron(),
            _digits,
            {**_ADAM, "TP": (7e-4, 5e-4), "TESS": (0.2, 1e-3)},
            needs_recordings=False,
        ),
        Benchmark(
            "nmnist",
            10,
            LIF(0.98),
            0.98,
            TESS.neuron(0.9),
            _nmnist,
            {
                **_ADAM,
                "TP": (2e-3, 5e-4),
                "TESS": (0.2, 1e-3),
                "S-TLLR, random": (3e-3, 5e-4),
                "ETLP": (1e-2, 5e-4),
                "DECOLLE": (0.3, 5e-4),
            },
        ),
        Benchmark(
            "spoken",
            20,
            LIF(0.9),
            0.9,
            TESS.neuron(0.9),
            _spoken,
            {**_ADAM, "TP": (3e-3, 5e-4), "TESS": (0.2, 1e-3), "DECOLLE": (0.3, 5e-4), "ETLP": (3e-3, 5e-4), "OSTTP": (6e-3, 5e-4)}
            | {
                "OTTT, random": (1.5e-3, 5e-4),
                "SLTT, random": (3e-3, 5e-4),
                "e-prop, random": (1.5e-3, 5e-4),
                "OSTL, random": (5e-3, 5e-4),
            },
        ),
        Benchmark(
            "commands",
            12,
            LIF(0.9),
            0.9,
            TESS.neuron(0.9),
            _commands,
            {**_ADAM, "TP": (3e-3, 1e-3), "TESS": (0.2, 1e-3), "S-TLLR, random": (1e-4, 5e-4)},
            hidden=400,
            delays=_DELAYS,
            augmentation=Augmentation(shift=3, units=2, drop=0.2),
        ),
    )
}
