"""The configuration of an experiment: data only. The files in configs/ hold them; run.py runs them.

Percentages are test accuracies; every published figure has its source and says how it was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import tp_lava as tpl
from tp_lava.optimisers import Optimiser, Schedule
from tp_lava.rules import Rule


@dataclass(frozen=True)
class Published:
    """A published figure. spread: standard deviation over seeds, None where none was published."""

    what: str
    percent: float
    spread: float | None
    measured: str
    source: str


@dataclass(frozen=True)
class Dense:
    """A network of all-to-all layers. sizes: (inputs, hidden..., classes) of the whole data set."""

    sizes: tuple[int, ...]
    neuron: tpl.LIF
    trace_decay: float
    recurrent: bool = False

    def network(self, n_inputs: int, n_classes: int, seed: int) -> tpl.Network:
        """An untrained network for data with this number of inputs and classes."""
        sizes = (n_inputs, *self.sizes[1:-1], n_classes)
        return tpl.Network.dense(sizes, self.neuron, self.trace_decay, self.recurrent, seed)


@dataclass(frozen=True)
class Convolution:
    """A convolutional network, which tp_lava cannot train yet. layers: from the input to the readout, in words."""

    image: tuple[int, int, int]
    layers: tuple[str, ...]
    classes: int
    neuron: tpl.LIF
    trace_decay: float | None
    weights: str


@dataclass(frozen=True)
class Learning:
    """Rule, optimiser and length of training. A cosine schedule spans all epochs."""

    rule: Rule
    optimiser: Optimiser
    schedule: Schedule | None
    batch: int
    epochs: int

    def lasting(self, epochs: int | None) -> Learning:
        """The same with another number of epochs; None: unchanged."""
        epochs = self.epochs if epochs is None else epochs
        schedule = replace(self.schedule, epochs=epochs) if isinstance(self.schedule, tpl.Cosine) else self.schedule
        return replace(self, epochs=epochs, schedule=schedule)


@dataclass(frozen=True)
class Data:
    """A data set on disk and its conversion to steps.

    loader: the class that reads it; train, test: its arguments for either part; sensor_size: (width, height, polarities); n_steps: of a
    recording; step: microseconds (None: no events); binning: description; files: required below the data folder; obtain: how to get
    them; published: whether the paper's figures were measured on the data in this form.
    """

    name: str
    loader: str
    train: Mapping[str, Any]
    test: Mapping[str, Any]
    sensor_size: tuple[int, int, int]
    n_steps: int
    step: float | None
    binning: str
    files: tuple[str, ...]
    obtain: str
    published: bool = True


@dataclass(frozen=True)
class Adaptation:
    """Fine-tuning to a new speaker. shots: recordings of each word, None: all; support: share of the recordings to learn from."""

    shots: tuple[int | None, ...]
    epochs: int
    support: float


@dataclass(frozen=True)
class StandIn:
    """What --small runs: smaller data of the same kind, with their own settings.

    kind: "pictures": the embedded digits, or N-MNIST recordings (.npz); "speech": generated speech, or spoken words in SHD's
    layout (.h5); recorded: settings of the streaming form for such a file.
    """

    kind: Literal["pictures", "speech"]
    batch: Learning
    streaming: Learning
    recorded: Learning
    seeds: int = 3


@dataclass(frozen=True)
class Experiment:
    """An experiment of a paper.

    batch: as published; streaming: tp_lava's own form, one sample at a time, None where there is none; differences: between a run
    here on the whole data and the published one, in words; small: a smaller run, None where there is none.
    """

    name: str
    title: str
    paper: str
    network: Dense | Convolution
    batch: Learning
    streaming: Learning | None
    data: Data
    published: tuple[Published, ...]
    differences: tuple[str, ...] = ()
    seeds: int = 10
    adaptation: Adaptation | None = None
    small: StandIn | None = None

    @property
    def runnable(self) -> bool:
        """Whether tp_lava can train its network."""
        return isinstance(self.network, Dense)

    @property
    def command(self) -> str:
        """The command that runs it."""
        return f"uv run python tools/experiments/run.py {self.name} --data DIR"
