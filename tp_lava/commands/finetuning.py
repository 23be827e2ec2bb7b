"""`tp-lava finetune`: a trained network learns a new task, another sensor or another class, from few samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tp_lava.commands import configuration, options
from tp_lava.commands.configuration import Config
from tp_lava.commands.named import augmentation_of, check_fits, fine_tuning_rule, load_split, model_named
from tp_lava.commands.printing import make_folder, print_result, print_rows
from tp_lava.continual import Anchor, Cost, Gate, Replay
from tp_lava.data.events import Sample
from tp_lava.data.sensors import through
from tp_lava.errors import invalid
from tp_lava.finetuning import CAMERA_DEFAULTS, REPLAY, few
from tp_lava.finetuning import finetune as finetuned
from tp_lava.lava import make_importable


@dataclass(frozen=True)
class FineTuningData:
    """samples: to learn; test, old_test: of the new and of the old task; validation: of the new task, in neither of these; old: of the
    old task, to be replayed.
    """

    samples: list[Sample]
    test: list[Sample]
    old_test: list[Sample]
    validation: list[Sample]
    old: Sequence[Sample] = ()


def changed_sensor(data: str, sensor: str | None, shots: int | None, seed: int) -> FineTuningData:
    """New task: `shots` samples of each class (None: all) from another sensor; old task: the original sensor."""
    train, test = load_split(data, seed)
    if sensor is None:
        return _task(train, shots, seed, test, [])
    return replace(_task(through(sensor, train), shots, seed, through(sensor, test), test), old=train)


def new_class_data(data: str, label: int, shots: int | None, rehearse: int | None, seed: int, replayed: bool = False) -> FineTuningData:
    """New task: `shots` samples of one class (None: all), and `rehearse` samples of each other class; old task: the other classes.

    replayed: the samples of the other classes are for the replay buffer instead.
    """
    (new, old), (new_test, old_test) = (_by_class(samples, label) for samples in load_split(data, seed))
    if not new:
        raise invalid("finetune", "new_class", label, "a class of the data", "give one of its labels")
    if replayed:
        return replace(_task(new, shots, seed, new_test, old_test), old=old)
    return _task(new, shots, seed, new_test, old_test, few(old, rehearse, seed) if rehearse else old)


def _task(
    train: list[Sample], shots: int | None, seed: int, test: list[Sample], old_test: list[Sample], rehearsed: Sequence[Sample] = ()
) -> FineTuningData:
    samples = few(train, shots, seed) if shots else train
    chosen = {id(sample.events) for sample in samples}
    rest = [sample for sample in train if id(sample.events) not in chosen]
    return FineTuningData([*samples, *rehearsed], test, old_test, rest[: len(test)])


def _by_class(samples: Sequence[Sample], label: int) -> tuple[list[Sample], list[Sample]]:
    """(samples of the class, the others)."""
    return [s for s in samples if s.label == label], [s for s in samples if s.label != label]


@dataclass(frozen=True)
class FineTuneSettings:
    """The options of `tp-lava finetune` that affect the result."""

    model: options.Model
    data: options.Data = "digits"
    sensor: Annotated[
        str | None, typer.Option(autocompletion=options.SENSORS, help="New task: a mirrored, rotated, inverted, half-dead or noisy camera.")
    ] = None
    new_class: Annotated[int | None, typer.Option(help="New task: this class, which the network has not learned.")] = None
    rehearse: Annotated[int | None, typer.Option(min=1, help="With --new-class: samples of each old class to learn again (all).")] = None
    shots: Annotated[str, typer.Option(help="Samples of each class: a number, or all.")] = "5"
    rule: options.Rule = "tp"
    rate: options.Rate = None
    readout_rate: options.ReadoutRate = None
    epochs: options.Epochs = 20
    freeze: options.Freeze = None
    layer_rate: Annotated[list[str] | None, typer.Option(help="Factor of a layer's rate, hidden0=0.3; may be repeated.")] = None
    replay: Annotated[int | None, typer.Option(min=0, help="Samples of the old task kept, to be presented again (250; 0: none).")] = None
    replay_each: Annotated[int | None, typer.Option(min=1, help="Of these, how many for each new sample.")] = None
    gate: Annotated[
        Literal["always", "wrong", "unsure"] | None, typer.Option(help="Learn always, only what is told wrong, or also what is unsure.")
    ] = None
    gate_old: Annotated[bool, typer.Option("--gate-old", help="With --gate: look at old samples alone, and learn new ones always.")] = False
    margin: Annotated[float | None, typer.Option(help="With --gate unsure: lead below which it is, a share of the best score.")] = None
    anchor: Annotated[float | None, typer.Option(min=0, help="Pull of the weights to what they were, a share a learned sample.")] = None
    augment: options.Augment = None
    variants: Annotated[
        int | None,
        typer.Option(min=1, help="Variants of each new sample an epoch, with --augment (1); with --sensor alone 4, of a camera."),
    ] = None
    find_sensor: Annotated[
        bool, typer.Option("--find-sensor", help="Look which change of the camera's mounting explains the new samples; replay old ones so.")
    ] = False
    precision: options.Precision = "fixed"
    in_lava: options.InLava = False
    threads: options.Threads = "1"
    patience: options.Patience = None
    keep_best: Annotated[bool, typer.Option("--keep-best", help="Keep the learner of the best epoch, by samples held back.")] = False
    seed: options.Seed = 0

    def task(self) -> FineTuningData:
        """The samples. Raises InvalidValueError."""
        count = _shots(self.shots)
        if self.new_class is None:
            return changed_sensor(self.data, self.sensor, count, self.seed)
        return new_class_data(self.data, self.new_class, count, self.rehearse, self.seed, replayed=bool(self.replay))

    def arguments(self, task: FineTuningData) -> dict[str, Any]:
        """What tpl.finetune is given beside network and samples. Raises InvalidValueError."""
        return {
            "rule": fine_tuning_rule(self.rule, self.rate, self.readout_rate),
            "precision": self.precision,
            "epochs": self.epochs,
            "freeze": self.freeze or (),
            "rates": _layer_rates(self.layer_rate or ()),
            "old": task.old,
            "old_test": task.old_test,
            "validation": task.validation if self.patience or self.keep_best else [],
            "patience": self.patience,
            "keep_best": self.keep_best,
            "in_lava": self.in_lava,
            "threads": options.n_threads("finetune", self.threads, self.in_lava),
            "sensor": "find" if self.find_sensor else None,
            "seed": self.seed,
            **self._varied(),
            **self._replay(task),
            **self._gate(),
            **({} if self.anchor is None else {"anchor": Anchor(self.anchor) if self.anchor else None}),
        }

    def _replay(self, task: FineTuningData) -> dict[str, Any]:
        """What is not said is left to finetune."""
        if self.replay and not task.old:
            raise invalid("finetune", "replay", self.replay, "left out where there is no old task", "give --sensor or --new-class")
        if self.replay == 0:
            return {"replay": None}
        if task.old and (self.replay is not None or self.replay_each is not None):
            varied = augmentation_of("finetune", self.augment)
            return {"replay": Replay(self.replay or REPLAY.size, self.replay_each or REPLAY.per_sample, augmentation=varied)}
        if self.replay_each is not None:
            limit, remedy = "left out where nothing is replayed", "give --sensor or --new-class and --replay"
            raise invalid("finetune", "replay_each", self.replay_each, limit, remedy)
        return {}

    def _varied(self) -> dict[str, Any]:
        if self.sensor is not None and self.augment is None and self.variants is None:
            return dict(CAMERA_DEFAULTS)
        return {"augmentation": augmentation_of("finetune", self.augment), "variants": self.variants or 1}

    def _gate(self) -> dict[str, Any]:
        if self.gate is not None:
            return {"gate": None if self.gate == "always" else Gate(self.gate, self.margin, "old" if self.gate_old else "all")}
        if self.margin is not None:
            raise invalid("finetune", "margin", self.margin, "left out without a gate", "give --gate unsure")
        return {}


def _layer_rates(given: Sequence[str]) -> dict[str, float]:
    """layer=factor, of each."""
    found = {}
    for text in given:
        layer, _, factor = text.partition("=")
        try:
            found[layer] = float(factor)
        except ValueError:
            raise invalid("finetune", "layer_rate", repr(text), "a layer and a number", "give for example hidden0=0.3") from None
    return found


def _shots(text: str) -> int | None:
    """A number of samples a class; None for "all"."""
    if text == "all":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise invalid("finetune", "shots", repr(text), 'a number of at least 1, or "all"', "5 is usual")
    return int(text)


@options.options_from(FineTuneSettings)
def finetune(
    settings: FineTuneSettings,
    context: typer.Context,
    out: Annotated[Path | None, typer.Option(help="File for the learner, to be trained further or inspected.")] = None,
    config: Config = None,
    as_json: options.AsJson = False,
    progress: options.Progress = True,
) -> None:
    """Learn a new task from few samples, and report the accuracy on the new task and on the old one, before and after."""
    if settings.in_lava:
        make_importable()
    task, network = settings.task(), model_named(settings.model, settings.seed)
    check_fits("finetune", task.samples, network)
    done = finetuned(network, task.samples, task.test, progress=progress, **settings.arguments(task))
    files = list[Path]()
    if out:
        make_folder(out.parent)
        done.learner.save(out)
        files = [out, configuration.save(context, configuration.beside(out))]
    where = ", in Lava" if settings.in_lava else ""
    title = f"{len(task.samples)} samples, {settings.rule.upper()}, {settings.precision}{where}, seed {settings.seed}"
    rows = [{"": "the new task", "before": done.before, "after": done.after}]
    if task.old_test:
        rows.append({"": "the old task", "before": done.old_before, "after": done.old_after})

    def show() -> None:
        print_rows(title, rows)
        for sentence in done.said:
            print(sentence)
        if done.cost:
            print_rows("cost of learning", [_cost_row(done.cost)])

    print_result(context, as_json, {"samples": len(task.samples), **done.to_dict()}, show, files)


def _cost_row(cost: Cost) -> dict[str, object]:
    names = ("presentations", "learned", "relearned", "weight_updates", "replay_bytes", "anchor_bytes")
    return {name.replace("_", " "): getattr(cost, name) for name in names} | {"not learned": f"{cost.saved:.0%}"}
