"""A search by Optuna's TPE over ranges of options. It proposes settings in generations, and hears of a generation when all of it is done.

So what is proposed depends on the seed and the trials' results alone, and not on the workers. A search that was interrupted goes through
the same proposals again, whose trials need not be carried out again. search.log is Optuna's own storage, for its dashboard.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tp_lava.errors import invalid
from tp_lava.sweeps.plan import Plan, Range, Trial

LOG = "search.log"
_DIGITS = 3  # of a number, so that it can be read
_RANDOM = 10  # settings that are drawn at random before any is modelled
Evaluate = Callable[[Sequence[Trial]], Mapping[str, float | None]]  # trials -> key -> measure, None without one


def searched(plan: Plan, evaluate: Evaluate, out: Path) -> list[Trial]:
    """Propose and evaluate. -> all trials, in the order in which they were proposed. Raises InvalidValueError without Optuna."""
    try:
        import optuna
        from optuna.storages.journal import JournalFileBackend
    except ImportError:
        raise invalid("sweep", "search", "given without Optuna", "used with it", 'pip install "tp-lava[sweep]"') from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with contextlib.suppress(FileNotFoundError):
        (out / LOG).unlink()
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(out / LOG)))
    study = optuna.create_study(storage=storage, study_name=plan.command, direction="maximize")
    if plan.first:
        study.enqueue_trial(dict(plan.first))
    found: list[Trial] = []
    for generation, begin in enumerate(range(0, plan.search, plan.generation)):
        study.sampler = optuna.samplers.TPESampler(n_startup_trials=_RANDOM, seed=generation)
        asked = [study.ask() for _ in range(min(plan.generation, plan.search - begin))]
        trials = [plan.of_setting("search", {name: _proposed(one, name, range_) for name, range_ in plan.ranges.items()}) for one in asked]
        found += (new := [trial for of_setting in trials for trial in of_setting])
        measured = evaluate(new)
        for one, of_setting in zip(asked, trials, strict=True):
            values = [value for trial in of_setting if (value := measured[trial.key]) is not None]
            if values:
                study.tell(one, float(np.mean(values)))
            else:
                study.tell(one, state=optuna.trial.TrialState.FAIL)
    return list({trial.key: trial for trial in found}.values())


def _proposed(one: Any, name: str, range_: Range) -> Any:
    if range_.choices:
        texts = {json.dumps(value) if isinstance(value, list) else value: value for value in range_.choices}  # no lists in Optuna
        return texts[one.suggest_categorical(name, list(texts))]
    suggest = one.suggest_int if isinstance(range_.low, int) and isinstance(range_.high, int) else one.suggest_float
    value = suggest(name, range_.low, range_.high, log=range_.log)
    return value if isinstance(value, int) else float(f"{value:.{_DIGITS}g}")
