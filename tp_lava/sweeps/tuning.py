"""A small search for the settings of `tp-lava train`: rates, trace decay, threshold and width of the surrogate derivative.

What counts is the accuracy on samples that are held out of the training ones, the same for every setting and seed; the test samples are
looked at once, by the tuned settings, when the search is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tp_lava.commands import configuration
from tp_lava.commands.train_settings import TrainSettings
from tp_lava.errors import invalid
from tp_lava.saving import write_whole
from tp_lava.sweeps import carried_out
from tp_lava.sweeps.plan import COMMANDS, Plan, Range, Trial
from tp_lava.sweeps.results import Store
from tp_lava.sweeps.running import carry_out

TUNED = "tuned.toml"
_HELD_OUT = 0.2  # share of the training samples
_FACTOR = 10  # of the usual rates, up and down
_TRACE_DECAYS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
_OF_NETWORK = {"threshold-scale": Range(low=0.5, high=2.0, log=True), "surrogate-width": Range(low=0.25, high=4.0, log=True)}
_MEASURE = "validation_accuracy"


@dataclass(frozen=True)
class Tuned:
    """rows: of the default and the tuned settings, what was searched, and mean and deviation of the accuracy held out; settings: of
    `tp-lava train`; test_accuracy: of these, trained on all training samples, None without test samples.
    """

    rows: Mapping[str, Mapping[str, Any]]
    settings: Mapping[str, Any]
    test_accuracy: float | None
    files: tuple[Path, ...]


def tuned(
    settings: TrainSettings,
    given: Mapping[str, Any],
    trials: int,
    seeds: int,
    out: Path,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: bool = False,
) -> Tuned:
    """Search, and train once with what was found. given: the settings as options, which are not searched where they are there.

    Raises InvalidValueError where nothing is left to search.
    """
    fixed = {key: value for key, value in given.items() if key in configuration.keys_of(COMMANDS["train"]) and key != "seed"}
    split = settings.seed if settings.split_seed is None else settings.split_seed
    usual, ranges = _ranges(settings, fixed)
    plan = Plan(
        "tune",
        "train",
        fixed | {"validation": settings.validation or _HELD_OUT, "skip-test": True, "split-seed": split},
        ranges=ranges,
        seeds=tuple(range(settings.seed, settings.seed + seeds)),
        search=trials,
        measure=_MEASURE,
        first=usual,
    )
    results = carried_out(plan, out, workers, scheduler, progress)
    if results.best is None:
        why = next((row["error"] for row in results.rows if row["error"]), "none has a result")
        raise invalid("tune", "trials", f"{len(results.rows)}, of which none has a result", "some that can be run", str(why).rstrip("."))
    found = {key: results.best.settings[key] for key in ranges}
    final = Plan("tune", "train", fixed | found | {"seed": settings.seed})
    (trial,) = final.trials()
    told = _once(trial, Store(out))
    write_whole(out / TUNED, f"# tp-lava train --config {TUNED}\n\n{configuration.to_toml({'train': trial.settings})}".encode())
    best = max(results.means, key=lambda row: row[_MEASURE] if row["seeds"] else -np.inf)
    rows = {"default": results.means[0], "tuned": best}
    return Tuned(rows, trial.settings, told.get("test_accuracy"), (*results.files, out / TUNED))


def _ranges(settings: TrainSettings, fixed: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Range]]:
    """The usual value of each option that is searched, and its range."""
    learner = settings.new_learner(settings.load_data())
    assert learner.rule is not None
    usual: dict[str, Any] = {"rate": float(np.max(learner.rule.rate)), "readout-rate": float(learner.rule.readout_rate)}
    ranges = {key: Range(low=value / _FACTOR, high=value * _FACTOR, log=True) for key, value in usual.items() if value > 0}
    if settings.model is None:
        decay = float(np.max(learner.network.populations[-1].trace_decay))
        usual |= {"trace-decay": decay, "threshold-scale": 1.0, "surrogate-width": 1.0}
        ranges |= {"trace-decay": Range(choices=tuple(sorted({decay, *_TRACE_DECAYS}))), **_OF_NETWORK}
    ranges = {key: range_ for key, range_ in ranges.items() if key not in fixed}
    if not ranges:
        raise invalid("tune", "options", f"given for all of {', '.join(usual)}", "left out for what is searched", "or use tp-lava train")
    return {key: usual[key] for key in ranges}, ranges


def _once(trial: Trial, store: Store) -> Mapping[str, Any]:
    """The result of one trial, in this process."""
    outcome = store.of(trial) or carry_out(trial)
    store.add(trial, outcome)
    if "result" not in outcome:
        raise invalid(
            "tune", "settings", f"trained to no result ({outcome.get('error') or outcome['failed']})", "those of a run", "see above"
        )
    return outcome["result"]
