"""Fine-tuning: a network trained elsewhere learns from few samples, in the engine or in Lava."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np

from tp_lava.checks import is_whole
from tp_lava.circuit.formats import FixedPoint
from tp_lava.continual import Anchor, Continual, Cost, Gate, Replay
from tp_lava.continual.in_lava import play_in_lava
from tp_lava.continual.presenter import Round
from tp_lava.data.augmentation import Augmentation, augmented
from tp_lava.data.events import Sample, check_samples
from tp_lava.data.order import epoch_order
from tp_lava.errors import invalid
from tp_lava.graph.names import READOUT
from tp_lava.graph.network import Network
from tp_lava.learner import Learner
from tp_lava.learner_checks import checked_threads
from tp_lava.optimisers import Cosine
from tp_lava.preparation import End, Ends, Prepared, choose_end, prepare
from tp_lava.rules import TP, BaseRule
from tp_lava.rules.layer_rates import frozen, scaled
from tp_lava.sensor_change import SensorChange, sensor_change

RULE = TP(1e-3, 5e-4, contrast="all")
REPLAY = Replay(250, per_sample=5)  # where old samples are given, and nothing else is said; docs/continual.md has what was measured
GATE: Gate | None = Gate("wrong", of="old")
ANCHOR: Anchor | None = None
CAMERA = Augmentation(pixels=1, rotation=5.0, zoom=0.05)  # for few recordings of a camera; chosen on a rotated one (docs/continual.md)
CAMERA_VARIANTS = 4  # of each recording, in an epoch
CAMERA_DEFAULTS: Mapping[str, Any] = {  # of finetune, for another camera; what is replayed stays as it is
    "replay": REPLAY,
    "gate": Gate("unsure", margin=0.4, of="old"),
    "augmentation": CAMERA,
    "variants": CAMERA_VARIANTS,
}


@dataclass(frozen=True)
class FineTuned:
    """The result of fine-tuning.

    learner: after the last or the best epoch; before, after: accuracy on the new task; old_before, old_after: on the old task, NaN
    without its samples; curve: accuracy on `validation` before and after each epoch; epoch: the learner's, 0 for no learning;
    continual: what learned, with its buffer, to go on with, and `cost`, where there was replay, a gate or an anchor, else None; prepared:
    what was done to the network before it learned, prepared.said in sentences; change: of the sensor, where that was asked. before and
    old_before are the given network's own.
    """

    learner: Learner
    before: float
    after: float
    old_before: float
    old_after: float
    curve: tuple[float, ...]
    epoch: int
    continual: Continual | None = None
    prepared: Prepared | None = None
    change: SensorChange | None = None

    @property
    def network(self) -> Network:
        """What was learned, in the units of the network that was given; with another end where its last map became the readout."""
        return self.prepared.back(self.learner.network) if self.prepared else self.learner.network

    @property
    def said(self) -> tuple[str, ...]:
        """What was done to the network before it learned: units, and its end; and what has changed in the sensor."""
        return (*(self.prepared.said if self.prepared else ()), *([str(self.change)] if self.change else []))

    @property
    def cost(self) -> Cost | None:
        """What learning cost, where it was counted."""
        return self.continual.cost if self.continual else None

    @property
    def forgotten(self) -> float:
        """Loss of accuracy on the old task."""
        return self.old_before - self.old_after

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        names = ("before", "after", "old_before", "old_after", "forgotten", "epoch")
        told: dict[str, object] = {name: getattr(self, name) for name in names} | {"curve": list(self.curve)}
        told["said"] = list(self.said)
        return told | ({"cost": self.cost.to_dict()} if self.cost else {})


def few(samples: Sequence[Sample], shots: int, seed: int = 0) -> list[Sample]:
    """`shots` samples of each class, drawn from the seed; all samples of a class that has fewer. Raises InvalidValueError."""
    if not is_whole(shots, 1):
        raise invalid("few", "shots", repr(shots), "an integer of at least 1", "give the number of samples a class")
    rng, chosen = np.random.default_rng(seed), []
    labels = np.array([label for _, label in samples])
    for label in np.unique(labels):
        chosen += [samples[index] for index in rng.permutation(np.flatnonzero(labels == label))[:shots]]
    return chosen


def finetune(
    network: Network,
    samples: Sequence[Sample],
    test: Sequence[Sample],
    *,
    rule: BaseRule = RULE,
    precision: Literal["float", "fixed"] | FixedPoint = "fixed",
    epochs: int = 20,
    freeze: Sequence[str] | str = (),
    rates: Mapping[str, float] | None = None,
    old: Sequence[Sample] = (),
    replay: Replay | Literal["default"] | None = "default",
    gate: Gate | Literal["default"] | None = "default",
    anchor: Anchor | Literal["default"] | None = "default",
    ends: Ends = "choose",
    augmentation: Augmentation | None = None,
    variants: int = 1,
    sensor: Literal["find"] | SensorChange | None = None,
    old_test: Sequence[Sample] = (),
    validation: Sequence[Sample] = (),
    patience: int | None = None,
    keep_best: bool = False,
    in_lava: bool = False,
    threads: int | Literal["auto"] = 1,
    seed: int = 0,
    progress: bool = False,
) -> FineTuned:
    """Learn the samples of a new task, one at a time, and measure the accuracy on the new and on the old task.

    samples: see `few`; test, old_test: of the new and the old task; freeze: layers that keep their weights, or "convolutions"; rates:
    factors of layers' rates; old: samples of the old task, of which the buffer keeps some; replay, gate, anchor: see Continual, by
    default REPLAY, GATE and ANCHOR where there are old samples; ends: see preparation.choose_end; augmentation: how new samples vary, and
    by default those replayed; variants: of each new sample, in an epoch; sensor: "find", or what `sensor_change` found: if it explains
    the new samples, old ones are kept as both sensors see them, twice as many by default; validation: tested after each epoch; patience:
    epochs without improvement until learning stops; keep_best: return the best epoch's learner; in_lava: learn in Lava, to the same
    result; threads: see Learner. Rates fall as half a cosine. Warns (FineTuningWarning) of an end in spikes that cannot become a readout.
    Raises InvalidValueError.
    """
    n_threads = _checked(samples, epochs, patience, keep_best, validation, in_lava, sensor, threads)
    end = choose_end(network, precision, samples, old, ends)
    prepared = prepare(end.network, _wished(rule, end, rates or {}, freeze), precision, samples, end)
    start = Learner(prepared.network, prepared.rule, prepared.precision, seed, schedule=Cosine(epochs), threads=n_threads)
    given = Learner(network, None, precision, seed, threads=n_threads) if end.removed else start
    change = sensor_change(given, samples) if sensor == "find" else sensor
    trained = _learner_for(start, old, change, augmentation, replay, gate, anchor)
    before, old_before = _accuracies(given, test, old_test)
    how = (trained, _New(samples, augmentation, variants, seed), epochs, progress, validation)
    trained, curve, epoch = _in_lava(*how) if in_lava else _in_engine(*how, patience, keep_best)
    learner, continual = _remembering(trained, samples)
    after, old_after = _accuracies(learner, test, old_test)
    return FineTuned(learner, before, after, old_before, old_after, tuple(curve), epoch, continual, prepared, change)


def _wished(rule: BaseRule, end: End, rates: Mapping[str, float], freeze: Sequence[str] | str) -> BaseRule:
    """The rule for a network's new end: wishes for its last neurons are for the readout that their map became."""
    if end.removed:
        if isinstance(rule.rate, tuple):
            rule = replace(rule, rate=rule.rate[: len(end.network.populations)])
        rates = {READOUT if name == end.removed else name: factor for name, factor in rates.items()}
        named = [freeze] if isinstance(freeze, str) else freeze
        freeze = [READOUT if name == end.removed else name for name in named]
    return frozen(scaled(rule, end.network, rates), end.network, freeze)


def _checked(
    samples: Sequence[Sample],
    epochs: int,
    patience: int | None,
    keep_best: bool,
    validation: Sequence[Sample],
    in_lava: bool,
    sensor: object,
    threads: int | Literal["auto"],
) -> int:
    """Refuse impossible wishes. -> how many threads."""
    if not is_whole(epochs, 1):
        raise invalid("finetune", "epochs", repr(epochs), "an integer of at least 1", "20 suits a few samples a class")
    if patience is not None and not is_whole(patience, 1):
        raise invalid("finetune", "patience", repr(patience), "an integer of at least 1, or None", "leave it out not to stop early")
    if (patience or keep_best) and not validation:
        raise invalid("finetune", "validation", "empty", "given, to stop early or keep the best", "hold some samples back")
    if in_lava and (patience or keep_best):
        raise invalid("finetune", "in_lava", "asked for with early stopping", "one of them", "a run in Lava has a fixed length")
    if sensor not in (None, "find") and not isinstance(sensor, SensorChange):
        remedy = "leave it out where the sensor is the same, or known to have changed otherwise"
        raise invalid("finetune", "sensor", repr(sensor)[:60], '"find", what tpl.sensor_change gives, or None', remedy)
    check_samples("finetune", samples)
    return checked_threads(threads, "finetune")


def _learner_for(
    start: Learner, old: Sequence[Sample], change: SensorChange | None, varied: Augmentation | None, *settings: object
) -> Learner | Continual:
    """The learner itself, or a Continual that holds old samples. settings: replay, gate and anchor, or "default"."""
    defaults = (replace(REPLAY, augmentation=varied), GATE, ANCHOR) if old else (None, None, None)
    chosen: list[Any] = [usual if given == "default" else given for given, usual in zip(settings, defaults, strict=True)]
    if change is not None and change.found and old:
        old = [*old, *change.seen(old)]
        if settings[0] == "default" or settings[0] is REPLAY:
            chosen[0] = replace(chosen[0], size=2 * (REPLAY.size or 1))
    if chosen == [None, None, None]:
        return start
    if chosen[0] is not None and not old:
        remedy = "give some of what the network has learned, or replay=None"
        raise invalid("finetune", "old", "empty", "samples of the old task, to be replayed", remedy)
    trained = Continual(start, *chosen)
    if trained.buffer is not None:
        trained.remember(old)
    return trained


@dataclass(frozen=True)
class _New:
    """The new samples, `variants` of each in an epoch."""

    samples: Sequence[Sample]
    augmentation: Augmentation | None
    variants: int
    seed: int

    def __post_init__(self) -> None:
        self.of(0)  # refused here, before anything is learned

    def of(self, epoch: int) -> Sequence[Sample]:
        """Those of an epoch."""
        return cast(Sequence[Sample], augmented(self.samples, self.augmentation, self.seed, epoch, self.variants))

    def ordered(self, epoch: int) -> list[Sample]:
        """Those of an epoch, in their order."""
        presented = self.of(epoch)
        return [presented[i] for i in epoch_order(len(presented), self.seed, epoch)]


def _in_lava(
    trained: Learner | Continual, new: _New, epochs: int, progress: bool, validation: Sequence[Sample]
) -> tuple[Learner | Continual, list[float], int]:
    """Learn all epochs in one run in Lava. -> as _in_engine."""
    tested = [Round(validation, learns=False)] if validation else []
    rounds = [*tested]
    for epoch in range(epochs):
        rounds += [Round(new.ordered(epoch), learns=True, keep=False), *tested]
    run = play_in_lava(trained, rounds, progress=progress)
    return trained, run.accuracies[::2] if tested else [], epochs


def _in_engine(
    trained: Learner | Continual,
    new: _New,
    epochs: int,
    progress: bool,
    validation: Sequence[Sample],
    patience: int | None,
    keep_best: bool,
) -> tuple[Learner | Continual, list[float], int]:
    """-> what learned, accuracies on the validation samples, the learner's epoch."""
    curve = [trained.evaluate(validation)] if validation else []
    best, kept, epoch = 0, trained.copy() if keep_best else trained, 0
    for epoch in range(1, epochs + 1):
        if isinstance(trained, Continual):
            trained.fit_epoch(new.of(epoch - 1), keep=False, progress=progress)
        else:
            trained.fit(new.of(epoch - 1), progress=progress)
        if validation:
            curve.append(trained.evaluate(validation))
            if curve[-1] > curve[best]:
                best, kept = epoch, trained.copy() if keep_best else trained
            if patience and epoch - best >= patience:
                break
    return (kept, curve, best) if keep_best else (trained, curve, epoch)


def _remembering(trained: Learner | Continual, samples: Sequence[Sample]) -> tuple[Learner, Continual | None]:
    """The learner, and what it learned by, which keeps some of the samples if it has a buffer."""
    if not isinstance(trained, Continual):
        return trained, None
    if trained.buffer is not None:
        trained.remember(samples)
    return trained.learner, trained


def _accuracies(learner: Learner, test: Sequence[Sample], old_test: Sequence[Sample]) -> tuple[float, float]:
    """Of the new and of the old task; NaN where it has no samples."""
    return learner.evaluate(test), learner.evaluate(old_test) if old_test else float("nan")
