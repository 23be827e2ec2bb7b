"""The report of a model on data, as a page; how it was asked for is printed on it."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tp_lava.commands.converting import model_named
from tp_lava.commands.exporting import Choices, is_learner, learner_named
from tp_lava.commands.mapping import in_fixed_point, limits_of
from tp_lava.commands.tasks import split
from tp_lava.report import Facts, write_report


def reported(
    model: str, data: str, out: Path, choices: Choices, *, samples: int, counted: int, board: str | None, limits: Path | None, seed: int
) -> Facts:
    """Write the page. samples: of the test samples, at most so many; counted: of those, how many have their operations counted."""
    learner = learner_named(model, choices, seed, "report")
    test = split(data, seed)[1][:samples]
    options: dict[str, Any] = {"data": data, "out": out, **asdict(choices), "samples": samples, "counted": counted}
    options |= {"board": board, "limits": limits, "seed": seed}
    given = {name.replace("_", "-"): str(value) for name, value in options.items() if value is not None}
    command = shlex.join(["tp-lava", "report", model, *(word for name, value in given.items() for word in (f"--{name}", value))])
    how: dict[str, Any] = {"name": Path(model).stem, "counted": counted, "board": board, "limits": limits_of(limits)}
    how["made_by"] = {"command": command, "model": model, **given}
    if is_learner(model):
        return write_report(in_fixed_point(learner), test, out, **how)
    return write_report(model_named(model, seed), test, out, rule=learner.rule, fixed=learner.fixed, seed=seed, **how)


def told(facts: Facts) -> dict[str, Any]:
    """What the page says, JSON-able and short."""
    return {
        "accuracy": {"float": facts.accuracy[0], "fixed": facts.accuracy[1], "samples": facts.tested},
        "mapping": facts.mapping.to_dict(),
        "operations": {name: _means(counts) for name, counts in (("inferred", facts.inference), ("learned", facts.learning)) if counts},
        "estimates": [estimate.to_dict() for estimate in facts.estimates],
        "memory": {row.name: {"formula": sum(row.formula), "counted": row.counted and sum(row.counted)} for row in facts.memory},
    }


def _means(counts: Any) -> dict[str, float]:
    return {name: counts.mean(name) for name in ("steps", "input_spikes", "synaptic", "updates", "neuron_updates", "spikes", "credit")}
