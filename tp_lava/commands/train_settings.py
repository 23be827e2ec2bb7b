"""The options of `tp-lava train`, and the samples and the untrained learner that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from typing import Annotated, Any, Literal, NamedTuple

import typer

from tp_lava.blank_networks import COPIES, DECAY, DELAYED_DECAY, network_for, suitable_span
from tp_lava.circuit.formats import FixedPoint
from tp_lava.commands import options
from tp_lava.commands.named import (
    augmentation_of,
    fixed_point,
    load,
    load_split,
    model_named,
    named_classes,
    rules_with,
    training_rule,
)
from tp_lava.comparison.benchmarks import hold_back
from tp_lava.data.augmentation import Augmentation
from tp_lava.data.events import Sample
from tp_lava.dynamics.neuron import LIF
from tp_lava.dynamics.parameters import mean
from tp_lava.dynamics.surrogate import stretched
from tp_lava.errors import invalid
from tp_lava.graph.delays import MOST_STEPS
from tp_lava.graph.network import Network
from tp_lava.learner import Learner
from tp_lava.optimisers import Cosine, Plateau, Schedule
from tp_lava.rules import TESS
from tp_lava.rules.base import Update
from tp_lava.rules.layer_rates import frozen

_OF_NETWORK = ("hidden", "decay", "threshold", "trace_decay", "threshold_scale", "surrogate_width", "recurrent", "span", "copies")
_HIDDEN, _TESS_TRACE_DECAY = 200, 0.9
_OF_RULE = ("contrast", "basis", "temperature")
_EPOCHS = 10  # where their number is neither given nor found
HELD_BACK, _LEAST = 0.2, 100  # share held back to find it, and samples that this takes: a fifth of fewer tells little
_MOST_EPOCHS, _PATIENCE, _FALLING = 50, 6, Plateau(0.5, 2)  # of a run that stops by samples held back


class Length(NamedTuple):
    """epochs: at most so many; patience: epochs without improvement after which learning stops, None: none; keep_best: the learner of
    the best epoch is kept too, and tested.
    """

    epochs: int
    patience: int | None
    keep_best: bool


@dataclass(frozen=True)
class TrainingData:
    """samples: to learn; held: for validation after each epoch, may be empty; test: used once, at the end."""

    samples: list[Sample]
    held: list[Sample]
    test: list[Sample]

    @property
    def n_classes(self) -> int:
        """One more than the largest label."""
        return 1 + max(sample.label for sample in (*self.samples, *self.held, *self.test))


@dataclass(frozen=True)
class TrainSettings:
    """The options of `tp-lava train` that affect the result. Raises InvalidValueError for options that exclude each other."""

    model: options.Start = None
    data: options.Data = "digits"
    test: Annotated[str | None, typer.Option(help="Data to test on; by default the data's own test part, or one sample in five.")] = None
    hidden: Annotated[list[int] | None, typer.Option(min=1, help="Untrained: neurons of a hidden layer (200); once per layer.")] = None
    decay: Annotated[float | None, typer.Option(help="Untrained: membrane decay per step (0.95, with delays 0.9; TESS 0.5).")] = None
    threshold: Annotated[float | None, typer.Option(help="Untrained: threshold of the neurons (1; TESS 0.6).")] = None
    trace_decay: Annotated[float | None, typer.Option(help="Untrained: decay of traces per step (0.95; with delays or TESS 0.9).")] = None
    threshold_scale: Annotated[
        float | None, typer.Option(min=0, help="Untrained: factor of the threshold once weights are scaled to the data (1).")
    ] = None
    surrogate_width: Annotated[float | None, typer.Option(min=0, help="Untrained: factor of the surrogate derivative's width (1).")] = None
    recurrent: Annotated[bool, typer.Option("--recurrent", help="Untrained: recurrent hidden layers.")] = False
    span: Annotated[
        int | None, typer.Option(min=0, max=MOST_STEPS, help="Untrained: longest delay of the inputs, in steps; 0: none (the data decide).")
    ] = None
    copies: Annotated[int | None, typer.Option(min=2, help="Untrained: delayed copies of each input, evenly spaced (12).")] = None
    scale: Annotated[bool, typer.Option(help="Untrained: scale the weights to the data, so that neurons spike now and then.")] = True
    augment: options.Augment = None
    rule: options.Rule = "tp"
    rate: options.Rate = None
    readout_rate: options.ReadoutRate = None
    contrast: Annotated[str | None, typer.Option(help="TP: number of target streams, 2 or more, or all (4).")] = None
    basis: Annotated[Literal["square", "walsh"] | None, typer.Option(help="TESS: basis of its errors (walsh).")] = None
    temperature: Annotated[float | None, typer.Option(help="TESS: temperature of its softmax (0.05).")] = None
    update: Annotated[Update | None, typer.Option(help="When weights change: at each step (TP) or at the end of a sample (TESS).")] = None
    freeze: options.Freeze = None
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Number of times each sample is learned (found by a fifth held back; of few or in Lava 10).")
    ] = None
    batch: Annotated[int, typer.Option(min=1, help="Samples learned together; a chip learns one at a time.")] = 1
    schedule: Annotated[
        Literal["cosine", "plateau", "none"] | None,
        typer.Option(help="Schedule of the learning rates (cosine; where samples held back end the run, plateau; in Lava none)."),
    ] = None
    validation: Annotated[
        float | None,
        typer.Option(min=0, max=0.9, help="Share held back for validation after each epoch; without --epochs, to end the run (0)."),
    ] = None
    split_seed: Annotated[int | None, typer.Option(min=0, help="Seed of what is held back for test and validation (that of --seed).")] = (
        None
    )
    skip_test: Annotated[bool, typer.Option("--skip-test", help="Do not look at the test samples: for a choice of settings.")] = False
    patience: options.Patience = None
    keep_best: Annotated[bool, typer.Option("--keep-best", help="Keep the learner of the best epoch too, and test that one.")] = False
    precision: options.Precision = "float"
    bits: options.Bits = None
    in_lava: options.InLava = False
    seed: options.Seed = 0

    def __post_init__(self) -> None:
        for name in _OF_NETWORK:
            if self.model is not None and self._is_given(name):
                raise _invalid(name, f"given with the model {self.model}", "left out", "a model has its own layers")
        for name in _OF_RULE:
            if self.rule not in rules_with(name) and self._is_given(name):
                raise _invalid(name, f"given with --rule {self.rule}", "left out", f"or use --rule {rules_with(name)[0]}")
        _ = self.augmentation  # refused here, before anything is read
        if self.bits is not None and self.precision == "float":
            raise _invalid("bits", "given in float", "left out", "or use --precision fixed")
        if not self.validation and (self.keep_best or (self.patience and not self._open)):
            raise _invalid("validation", "0, with --patience or --keep-best", "a share that is held back", "0.1 is usual")
        if self.in_lava and (self.patience or self.keep_best or self.batch > 1 or self.schedule not in (None, "none")):
            limit = "used without --batch, --schedule, --patience and --keep-best"
            raise _invalid("in_lava", "given with one of these", limit, "a run in Lava has a fixed length and constant rates")

    @property
    def augmentation(self) -> Augmentation | None:
        """How the samples vary. Raises InvalidValueError for text that is not name=number, one after the other."""
        return augmentation_of("train", self.augment)

    def _is_given(self, name: str) -> bool:
        value = getattr(self, name)
        return value not in (None, [], ()) and value is not False

    @property
    def _open(self) -> bool:
        """Whether the number of epochs is to be found."""
        return self.epochs is None and self.validation is None and not self.in_lava

    @property
    def _stops(self) -> bool:
        """Whether the samples held back end the run."""
        return self.epochs is None and bool(self.validation) and not self.in_lava

    def finds_epochs(self, data: TrainingData) -> bool:
        """Whether a trial finds the number of epochs. Raises InvalidValueError for patience with too few samples."""
        few = len(data.samples) < _LEAST
        if self._open and few and self.patience:
            limit, remedy = f"at least {_LEAST}, or with --validation", "--validation 0.2 holds a fifth back, however many there are"
            raise _invalid("data", f"of {len(data.samples)} samples to learn, with --patience", limit, remedy)
        return self._open and not few

    def trial(self) -> TrainSettings:
        """The run that finds it: a fifth of the samples is held back, and ends it."""
        return replace(self, validation=HELD_BACK)

    @property
    def length(self) -> Length:
        """How long a run lasts, and which learner comes of it."""
        if self._stops:
            return Length(_MOST_EPOCHS, self.patience or _PATIENCE, True)
        return Length(self.epochs or _EPOCHS, self.patience, self.keep_best)

    def load_data(self) -> TrainingData:
        """The samples. Raises InvalidValueError where none are left to learn."""
        seed = self.seed if self.split_seed is None else self.split_seed
        if self.test is None:
            samples, test = load_split(self.data, seed)
        else:
            samples, test = ([*chain(*load(name))] for name in (self.data, self.test))
        data = self.parted(TrainingData(samples, [], [] if self.skip_test else test))
        if data.n_classes < 2:
            remedy = "give recordings of several classes, labelled from 0"
            raise _invalid("data", "of one class, label 0", "of at least two classes", remedy)
        return data

    def parted(self, data: TrainingData) -> TrainingData:
        """With samples held back as the options say. Raises InvalidValueError where none are left to learn, or to validate."""
        seed, share = self.seed if self.split_seed is None else self.split_seed, self.validation or 0.0
        samples, held = hold_back(data.samples, share, seed) if share else (data.samples, [])
        if not samples or (share and not held):
            found = f"split into {len(samples)} samples to learn and {len(held)} to validate"
            raise _invalid("data", found, "enough for both", "give more recordings, or another --validation")
        return replace(data, samples=samples, held=held)

    def new_learner(self, data: TrainingData) -> Learner:
        """The learner before its first epoch."""
        network = named_classes(self._untrained(data) if self.model is None else self._model(data), self.data)
        of_rule = {name: getattr(self, name) for name in ("rate", "readout_rate", "update", *_OF_RULE)}
        rule = training_rule(self.rule, network, of_rule)
        precision: FixedPoint | Literal["float"] = fixed_point(network, self.bits) if self.precision == "fixed" else "float"
        return Learner(network, frozen(rule, network, self.freeze or ()), precision, self.seed, schedule=self._schedule())

    def _model(self, data: TrainingData) -> Network:
        assert self.model is not None
        network = model_named(self.model, self.seed)
        if data.n_classes > network.n_classes:
            limit = f"among the model's {network.n_classes} classes"
            raise _invalid("data", f"labelled up to {data.n_classes - 1}", limit, "train an untrained network, or on other data")
        return network

    def _untrained(self, data: TrainingData) -> Network:
        span = suitable_span(data.samples, self.seed) if self.span is None else self.span
        decay = DELAYED_DECAY if span else DECAY
        neuron, trace_decay = (TESS.neuron(), _TESS_TRACE_DECAY) if self.rule == "tess" else (LIF(decay), decay)
        given: Any = {name: getattr(self, name) for name in ("decay", "threshold") if getattr(self, name) is not None}
        neuron = replace(neuron, **given)
        width = 1.0 if self.surrogate_width is None else self.surrogate_width
        network = network_for(
            data.samples,
            self.hidden or [_HIDDEN],
            data.n_classes,
            neuron=replace(neuron, surrogate=stretched(neuron.surrogate, width)),
            trace_decay=trace_decay if self.trace_decay is None else self.trace_decay,
            recurrent=self.recurrent,
            span=span,
            copies=self.copies or COPIES,
            scale=self.scale,
            seed=self.seed,
        )
        return network if self.threshold_scale is None else _with_thresholds(network, self.threshold_scale)

    def _schedule(self) -> Schedule | None:
        if self.schedule == "none" or self.in_lava:
            return None
        if self.schedule is None and self._stops:
            return _FALLING
        return Plateau() if self.schedule == "plateau" else Cosine(self.length.epochs)


def _with_thresholds(network: Network, factor: float) -> Network:
    """With every threshold, one number a layer in an untrained network, times a factor."""
    scaled = [replace(p, neuron=replace(p.neuron, threshold=mean(p.neuron.threshold) * factor)) for p in network.populations]
    return replace(network, populations=tuple(scaled))


def _invalid(attr: str, found: str, limit: str, remedy: str) -> Exception:
    return invalid("train", attr.replace("_", "-"), found, limit, remedy)
