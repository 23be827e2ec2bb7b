"""The options of `tp-lava finetune`, and the task, the rule and the ways against forgetting that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

from tp_lava.commands import options
from tp_lava.commands.named import fine_tuning_rule
from tp_lava.commands.tasks import FineTuningData, changed_sensor, new_class_data
from tp_lava.continual import Anchor, Gate, Replay
from tp_lava.errors import invalid
from tp_lava.finetuning import REPLAY


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
    precision: options.Precision = "fixed"
    in_lava: options.InLava = False
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
            "seed": self.seed,
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
            return {"replay": Replay(self.replay or REPLAY.size, self.replay_each or REPLAY.per_sample)}
        if self.replay_each is not None:
            limit, remedy = "left out where nothing is replayed", "give --sensor or --new-class and --replay"
            raise invalid("finetune", "replay_each", self.replay_each, limit, remedy)
        return {}

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
