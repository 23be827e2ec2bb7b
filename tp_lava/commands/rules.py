"""Learning rules by their names on the command line, with settings for training and for fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from tp_lava.commands import options
from tp_lava.comparison.benchmarks import BENCHMARKS
from tp_lava.comparison.variants import variant_named
from tp_lava.errors import invalid
from tp_lava.finetuning import RULE
from tp_lava.rules import TESS, Rule

_STREAMS = 4  # TP's target streams, where there are as many classes
_TRAINING = {"tp": f"TP, K = {_STREAMS}", "tess": "TESS, walsh, sequence"}  # with rates that were chosen on the digits
_FINE_TUNING: Mapping[str, Rule] = {"tp": RULE, "tess": TESS(0.2, 1e-3, basis="walsh", temperature=0.05, activity="trace")}


def fine_tuning_rule(name: options.RuleName, rate: float | None = None, readout_rate: float | None = None) -> Rule:
    """The rule with settings for a few samples a class, or with the given rates."""
    given = {"rate": rate, "readout_rate": readout_rate}
    return replace(_FINE_TUNING[name], **{field: value for field, value in given.items() if value is not None})


def training_rule(name: options.RuleName, n_classes: int, options: Mapping[str, Any]) -> Rule:
    """The rule with settings for many samples, or with the given options of `tp-lava train`. Raises InvalidValueError."""
    rule = _training(name)
    given = {field: value for field, value in options.items() if value is not None}
    if hasattr(rule, "contrast"):
        given["contrast"] = _contrast(given.get("contrast"), n_classes)
    return replace(rule, **given)


def rules_with(field: str) -> list[str]:
    """Names of the rules that have this field."""
    return [name for name in _TRAINING if hasattr(_training(name), field)]


def _training(name: str) -> Rule:
    return variant_named(_TRAINING[name]).rule_for(BENCHMARKS["digits"])


def _contrast(text: str | None, n_classes: int) -> int | Literal["all"]:
    if text is None:
        return min(_STREAMS, max(n_classes, 2))
    if text == "all":
        return "all"
    if not text.isdecimal():
        raise invalid("train", "contrast", repr(text), 'a number of target streams, or "all"', f"{_STREAMS} is usual")
    return int(text)
