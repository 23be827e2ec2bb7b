"""What comes of a sweep: a file for each trial, from which the table, the means over seeds and the best setting follow."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tp_lava.commands.configuration import to_toml
from tp_lava.commands.printing import json_text
from tp_lava.saving import write_whole
from tp_lava.sweeps.plan import Plan, Trial
from tp_lava.sweeps.running import Outcome

TRIALS, TABLE, PARQUET, BEST = "trials", "results.csv", "results.parquet", "best.toml"
_NO_RESULTS = {"config", "versions", "sha256", "rule", "seconds", "milliseconds", "megabytes"}  # settings, and what differs by machine
_MEASURES = {  # of each command: what counts, the first of them that is there; and what it costs: memory, updates
    "train": (("validation_accuracy", "test_accuracy"), ("memory", "updates")),
    "finetune": (("after",), ("cost.replay_bytes", "cost.weight_updates")),
    "quantise": (("test.fixed",), ()),
    "compare-rules": (("rows.mean",), ("rows.memory", "rows.work.updates")),
}


class Store:
    """The folder of a sweep. A trial's outcome is written whole under its key, once; there is none, or all of it."""

    def __init__(self, out: Path) -> None:
        self.out = out
        (out / TRIALS).mkdir(parents=True, exist_ok=True)

    def of(self, trial: Trial) -> Outcome | None:
        """The outcome of a trial that was carried out, else None."""
        try:
            outcome = json.loads((self.out / TRIALS / f"{trial.key}.json").read_text())
        except (OSError, ValueError):
            return None
        return outcome if outcome.get("settings") == dict(trial.settings) else None

    def add(self, trial: Trial, outcome: Outcome) -> None:
        """Keep it, unless another try may do better."""
        if "failed" not in outcome:
            write_whole(self.out / TRIALS / f"{trial.key}.json", (json_text(outcome) + "\n").encode())


def measures(result: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a result by their paths, as in cost.updates: of nested tables, and of lists of one named table."""
    if isinstance(result, int | float) and not isinstance(result, bool):
        yield name, result
    elif isinstance(result, Mapping):
        for key, value in result.items():
            if key not in _NO_RESULTS:
                yield from measures(value, f"{name}.{key}" if name else key)
    elif (
        isinstance(result, list) and len(result) == 1 and isinstance(result[0], Mapping) and isinstance(next(iter(result[0].values())), str)
    ):
        yield from measures(result[0], name)


class Results:
    """rows: a trial each, in the order of the plan: key, what is varied, measures, error; failed: key -> why it has no result;
    measure, costs: names of the columns that count; means: a setting each, over its seeds; best: that of the highest mean.
    """

    def __init__(self, plan: Plan, trials: Sequence[Trial], store: Store, failed: Mapping[str, str]) -> None:
        self.out, self.failed, self.trials = store.out, dict(failed), list(trials)
        self.files: list[Path] = []
        outcomes = [store.of(trial) or {} for trial in trials]
        self._measured = [dict(measures(outcome.get("result"))) for outcome in outcomes]
        names = list(dict.fromkeys(name for measured in self._measured for name in measured))
        self.rows = [
            {
                "trial": trial.key,
                **{name: _cell(trial.settings.get(name)) for name in plan.varied},
                **{name: measured.get(name) for name in names},
                "error": outcome.get("error") or self.failed.get(trial.key),
            }
            for trial, outcome, measured in zip(trials, outcomes, self._measured, strict=True)
        ]
        usual, costs = _MEASURES[plan.command]
        found = [name for name in usual if name in names]
        self.measure = plan.measure or (found[0] if found and not plan.search else usual[0])
        if names and self.measure not in names:
            remedy = "hold samples back with validation = 0.2" if self.measure == "validation_accuracy" else "correct the name"
            raise plan.invalid("measure", self.measure, f"one of {', '.join(names)}", remedy)
        self._settings: dict[object, list[int]] = {}
        for index, trial in enumerate(self.trials):
            self._settings.setdefault(trial.setting, []).append(index)
        self.costs = [name for name in costs if name in names]
        self.means = self._means(plan)

    def _means(self, plan: Plan) -> list[dict[str, Any]]:
        """Of each setting: what is varied, number of seeds with a result, mean and standard deviation of the measure, mean costs."""
        rows = []
        for indices in self._settings.values():
            settings = self.trials[indices[0]].settings
            values = [self._measured[i][self.measure] for i in indices if self.measure in self._measured[i]]
            row = {name: _cell(settings.get(name)) for name in plan.varied if name != "seed"}
            row |= {"seeds": len(values), self.measure: float(np.mean(values)) if values else None}
            row["deviation"] = float(np.std(values)) if values else None
            for cost in self.costs:
                found = [self._measured[i][cost] for i in indices if cost in self._measured[i]]
                row[cost] = float(np.mean(found)) if found else None
            rows.append(row)
        return rows

    def measured(self) -> dict[str, float | None]:
        """key of a trial -> what counts of it; None where it has no such result."""
        return {trial.key: measured.get(self.measure) for trial, measured in zip(self.trials, self._measured, strict=True)}

    @property
    def best(self) -> Trial | None:
        """The first trial of the setting with the highest mean; None without any."""
        told = [(row[self.measure], -indices[0]) for row, indices in zip(self.means, self._settings.values(), strict=True) if row["seeds"]]
        return self.trials[-max(told)[1]] if told else None

    def save(self) -> list[Path]:
        """Write results.csv (results.parquet too, where pyarrow is installed), and best.toml. -> the files."""
        text = io.StringIO()
        table = csv.DictWriter(text, list(self.rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(self.rows)
        write_whole(self.out / TABLE, text.getvalue().encode())
        files = [self.out / TABLE, *_parquet(self.out / PARQUET, self.rows)]
        if self.best is not None:
            about = f"# the highest {self.measure} of the sweep; tp-lava {self.best.command} --config {BEST}\n\n"
            write_whole(self.out / BEST, (about + to_toml({self.best.command: self.best.settings})).encode())
            files.append(self.out / BEST)
        return files


def _cell(value: Any) -> Any:
    """A list as one text."""
    return json.dumps(value) if isinstance(value, list) else value


def _parquet(file: Path, rows: Sequence[Mapping[str, Any]]) -> list[Path]:
    """-> the file; none without pyarrow, or with one that does not go with this NumPy."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        return []
    drawn = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(list(rows)), drawn)
    write_whole(file, drawn.getvalue())
    return [file]
