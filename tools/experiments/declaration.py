"""What an experiment is: data only. The files in declared/ hold one each; run.py runs them.

Percentages are of test accuracy; every published one names its source and how it was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import tp_lava as tpl
from tp_lava.optimisers import Optimiser, Schedule
from tp_lava.rules import Rule


@dataclass(frozen=True)
class Published:
    """A published figure. spread: standard deviation over seeds, None where none was published; source: where it stands."""

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
        """A blank one, for data of so many inputs and classes."""
        sizes = (n_inputs, *self.sizes[1:-1], n_classes)
        return tpl.Network.dense(sizes, self.neuron, self.trace_decay, self.recurrent, seed)


@dataclass(frozen=True)
class Convolution:
    """A convolutional network, which tp_lava cannot build yet. layers: from the input to the readout, in words."""

    image: tuple[int, int, int]
    layers: tuple[str, ...]
    classes: int
    neuron: tpl.LIF
    trace_decay: float | None
    weights: str


@dataclass(frozen=True)
class Learning:
    """By what is learned, and for how long. A cosine schedule spans the epochs, however many there are."""

    rule: Rule
    optimiser: Optimiser
    schedule: Schedule | None
    batch: int
    epochs: int

    def lasting(self, epochs: int | None) -> Learning:
        """The same for another number of epochs; None: for this one."""
        epochs = self.epochs if epochs is None else epochs
        schedule = replace(self.schedule, epochs=epochs) if isinstance(self.schedule, tpl.Cosine) else self.schedule
        return replace(self, epochs=epochs, schedule=schedule)


@dataclass(frozen=True)
class Data:
    """A data set on disk and how it becomes steps.

    loader: the class that reads it; train, test: its arguments for either part; sensor_size: (width, height, polarities);
    n_steps, step: of a recording, microseconds (None: no events); binning: in words; files: below the data
    folder, that must be there; obtain: how to get them; published: whether the paper measured on them, in this form.
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
    """Fine-tuning to a new speaker. shots: recordings of each word, None: all; support: the share of his recordings to learn from."""

    shots: tuple[int | None, ...]
    epochs: int
    support: float


Kind = Literal["pictures", "speech"]


@dataclass(frozen=True)
class StandIn:
    """What --small runs: smaller data of the same kind, learned with settings of its own where they differ.

    kind: "pictures": the embedded digits, or N-MNIST recordings (.npz); "speech": generated speech, or spoken words in SHD's
    layout (.h5); recorded: settings of the streaming form where such a file is given.
    """

    kind: Kind
    batch: Learning
    streaming: Learning
    recorded: Learning
    seeds: int = 3


@dataclass(frozen=True)
class Experiment:
    """An experiment of a paper.

    batch: as published; streaming: our own form, one sample at a time, None where there is none; differences: between our
    run of the whole and the published one, in words; small: what can be run instead, None where nothing can.
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
    small: StandIn | None = field(default=None)

    @property
    def runnable(self) -> bool:
        """Whether tp_lava can build its network."""
        return isinstance(self.network, Dense)

    @property
    def command(self) -> str:
        """How it is run."""
        return f"uv run python tools/experiments/run.py {self.name} --data DIR"
