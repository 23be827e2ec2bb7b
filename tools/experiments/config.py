"""The configuration of an experiment: data only. The files in configs/ hold them; run.py runs them.

Percentages are test accuracies; every published figure has its source and says how it was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal

import numpy as np

import tp_lava as tpl
from experiments.vgg import vgg
from tp_lava.dynamics.parameters import mean
from tp_lava.optimisers import Optimiser, Schedule
from tp_lava.rules import BaseRule

_GRADED = tpl.Format(24, 10)  # of real-valued input, where numbers are fixed


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
    """A network of all-to-all layers. sizes: (inputs, hidden..., classes) of the whole data set; temporal: with delay lines in front."""

    sizes: tuple[int, ...]
    neuron: tpl.LIF
    trace_decay: float
    recurrent: bool = False
    temporal: bool = False

    @property
    def classes(self) -> int:
        """Of the whole data set."""
        return self.sizes[-1]

    def text(self, input_shape: tuple[int, ...], n_classes: int) -> str:
        """Its layers, for such data."""
        sizes = "-".join(map(str, (prod(input_shape), *self.sizes[1:-1], n_classes)))
        return sizes + " recurrent" * self.recurrent + " behind delay lines" * self.temporal

    @property
    def published(self) -> str:
        """Its layers, as published."""
        return self.text(self.sizes[:1], self.classes)

    def network(self, input_shape: tuple[int, ...], n_classes: int, seed: int) -> tpl.Network:
        """An untrained network for data of this shape and number of classes."""
        sizes = (prod(input_shape), *self.sizes[1:-1], n_classes)
        if self.temporal:
            return tpl.Network.temporal(sizes, self.neuron, self.trace_decay, recurrent=self.recurrent, seed=seed)
        return tpl.Network.dense(sizes, self.neuron, self.trace_decay, self.recurrent, seed)


@dataclass(frozen=True)
class Convolution:
    """A network of convolutions with standardised weights, from pictures or frames as they are. image: (channels, height, width).

    maps, places: see vgg(); readout: "standardised", as TP's, whose label projection is too, or "biased", as TESS's.
    """

    image: tuple[int, int, int]
    maps: str
    places: int
    classes: int
    neuron: tpl.LIF
    trace_decay: float
    weights: tpl.Standardisation
    readout: Literal["standardised", "biased"]

    def text(self, input_shape: tuple[int, ...], n_classes: int) -> str:
        """Its layers, for such data."""
        shape = " x ".join(map(str, input_shape))
        return f"{shape}, maps {self.maps}, average to {self.places} x {self.places}, {n_classes} classes, {self.readout} readout"

    @property
    def published(self) -> str:
        """Its layers, as published."""
        return self.text(self.image, self.classes)

    def network(self, input_shape: tuple[int, ...], n_classes: int, seed: int) -> tpl.Network:
        """An untrained network for data of this shape and number of classes."""
        layers = vgg(self.maps, self.weights, self.places)
        made = tpl.Network.sequential(input_shape, layers, n_classes, self.neuron, self.trace_decay, seed, _GRADED)
        if self.readout == "biased":
            return made.with_weights({"readout_bias": np.zeros(n_classes)})
        *hidden, last = made.connections
        projection = np.random.default_rng(seed).standard_normal((made.populations[0].size, n_classes))
        target = {"target": mean(self.neuron.threshold) * self.weights(projection)}
        return replace(made, connections=(*hidden, replace(last, standardisation=self.weights)), rule_parameters=target)


Shape = Dense | Convolution


@dataclass(frozen=True)
class BPTT:
    """Backpropagation through time in place of a local rule, in PyTorch alone. rate: of every parameter."""

    rate: float


@dataclass(frozen=True)
class Learning:
    """Rule, optimiser and length of training. A cosine schedule spans all epochs."""

    rule: BaseRule | BPTT
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
class Preparation:
    """What becomes of pictures, or of frames of a recording's counts, before they are the input, as they are: real numbers.

    side: pixels, to which frames are resized; corners: bilinearly between the corner pixels, else antialiased; bins: of recordings
    without a fixed step, of as much "time" or as many "events" each; as_bytes: counts become bytes, less 1 is 255, and of those a share;
    slices: microseconds of the parts into which recordings are cut to learn from; longest: steps of a recording to test.
    Channel by channel `mean` is subtracted and the rest divided by `spread`. Samples to learn from are cropped at random with padding 4,
    mirrored half of the time (flip), and lose a rectangle half of the time (cutout).
    """

    side: int
    corners: bool = False
    bins: Literal["time", "events"] = "time"
    as_bytes: bool = False
    slices: float | None = None
    longest: int | None = None
    mean: tuple[float, ...] = (0.0,)
    spread: tuple[float, ...] = (1.0,)
    flip: bool = False
    cutout: bool = False


@dataclass(frozen=True)
class Data:
    """A data set on disk and its conversion to steps.

    loader: what reads it: "tonic.datasets.X", or "bytes" for CIFAR's binary version; train, test: arguments for either part;
    sensor_size: (width, height, polarities or colours); n_steps: of a recording or picture; step: microseconds (None: no events, or as
    long as n_steps need); binning: description; files: required below the data folder; obtain: how to get them; published: whether
    the paper's figures were measured on the data in this form; preparation: of real-valued input, None: spikes; first: recordings of
    each class to learn from, the rest to test with, where the data set is not parted; needs: a package beside tonic.
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
    preparation: Preparation | None = None
    first: int | None = None
    needs: str = ""


@dataclass(frozen=True)
class Adaptation:
    """Fine-tuning to a new speaker. shots: recordings of each word, None: all; support: share of the recordings to learn from.

    speakers: so many are new, each in turn to the network that has learned the others; figures are means over them.
    """

    shots: tuple[int | None, ...]
    epochs: int
    support: float
    speakers: int = 1


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
class Method:
    """One of several ways to learn that are compared."""

    name: str
    learning: Learning


@dataclass(frozen=True)
class Comparison:
    """What --small runs for convolutional networks: methods side by side in one network, on real, smaller data.

    kind: "pictures", CIFAR-10 as JPEG; "camera", MNIST seen by the simulated camera; "recordings", of N-MNIST; file: its usual name;
    train, test: numbers of samples.
    """

    kind: Literal["pictures", "camera", "recordings"]
    file: str
    train: int
    test: int
    network: Convolution
    methods: tuple[Method, ...]
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
    network: Shape
    batch: Learning
    streaming: Learning | None
    data: Data
    published: tuple[Published, ...]
    differences: tuple[str, ...] = ()
    seeds: int = 10
    adaptation: Adaptation | None = None
    small: StandIn | Comparison | None = None

    @property
    def command(self) -> str:
        """The command that runs it."""
        return f"uv run python tools/experiments/run.py {self.name} --data DIR"
