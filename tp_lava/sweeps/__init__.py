"""Sweeps: many runs of a command, over grids of its options and seeds, or a search, on this machine's cores or on a cluster."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tp_lava.sweeps.plan import Plan
    from tp_lava.sweeps.results import Results


def sweep(
    source: str | os.PathLike | Mapping[str, Any],
    out: str | os.PathLike = "tp-lava-sweep",
    *,
    seeds: int | Sequence[int] | None = None,
    search: int | None = None,
    measure: str | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: bool = False,
) -> Results:
    """Carry out every trial of a sweep that has no result in the folder yet, and write table, picture and the best settings there.

    source: a TOML file, or a mapping like one, see docs/sweeps.md: {"train": {options}, "grid": {option: values}}; seeds: 0, 1, ..., or
    these; search: number of settings that Optuna chooses from the ranges in "search", instead of a grid; measure: the result that counts;
    these three win over those in the source; workers: processes of this machine, by default one a core, 1: this one;
    scheduler: address of a Dask scheduler instead. The table is the same whatever the workers. Raises FileNotFoundError,
    InvalidValueError before anything runs, OSError where no workers are left; what is finished is kept, and the same call goes on.
    """
    from tp_lava.sweeps.plan import read_plan

    whole = list(seeds) if isinstance(seeds, Sequence) else seeds
    return carried_out(read_plan(source, {"seeds": whole, "search": search, "measure": measure}), out, workers, scheduler, progress)


def carried_out(plan: Plan, out: str | os.PathLike, workers: int | None, scheduler: str | None, progress: bool) -> Results:
    """The same of a plan."""
    from tp_lava.commands.run_folder import held
    from tp_lava.progress import track
    from tp_lava.saving import remove_all_left_over
    from tp_lava.sweeps.picture import PICTURE, draw
    from tp_lava.sweeps.plan import Trial
    from tp_lava.sweeps.results import BEST, PARQUET, TABLE, TRIALS, Results, Store
    from tp_lava.sweeps.running import finished, workers_for
    from tp_lava.sweeps.searching import searched

    folder, failed = Path(out), dict[str, str]()
    store = Store(folder)
    with held(folder, (TABLE, PARQUET, BEST, PICTURE)), workers_for(workers, scheduler) as carrying:
        remove_all_left_over(folder / TRIALS)

        def evaluate(trials: Sequence[Trial]) -> Results:
            missing = {trial.key: trial for trial in trials if store.of(trial) is None}
            for trial, outcome in track(finished(missing.values(), carrying), len(missing), "trials", progress):
                store.add(trial, outcome)
                if "failed" in outcome:
                    failed[trial.key] = outcome["failed"]
            return Results(plan, trials, store, failed)

        trials = searched(plan, lambda of: evaluate(of).measured(), folder) if plan.search else list(plan.trials())
        results = evaluate(trials) if not plan.search else Results(plan, trials, store, failed)
        results.files = [*results.save(), *draw(results)]
    return results
