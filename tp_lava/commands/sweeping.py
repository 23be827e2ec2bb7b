"""`tp-lava sweep` and `tp-lava tune`: many runs of a command, and a search for the settings of a training."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tp_lava.commands import configuration, options
from tp_lava.commands.configuration import Config
from tp_lava.commands.printing import make_folder, print_files, print_json, print_result, print_rows
from tp_lava.commands.train_settings import TrainSettings

if TYPE_CHECKING:
    from tp_lava.sweeps.results import Results

_SHOWN = 20  # settings

Workers = Annotated[int | None, typer.Option(min=1, help="Processes of this machine, of one thread each; by default one per core.")]
Scheduler = Annotated[str | None, typer.Option(help="Address of a Dask scheduler, whose workers are used instead.")]


def sweep(
    file: Annotated[Path, typer.Argument(help="TOML: the command's section, [grid] or [search], and [sweep]; see docs/sweeps.md.")],
    seeds: Annotated[int | None, typer.Option(min=1, help="Runs of each setting, with seeds 0, 1, ...")] = None,
    search: Annotated[int | None, typer.Option(min=1, help="Settings that Optuna chooses from the ranges in [search].")] = None,
    measure: Annotated[str | None, typer.Option(help="The result that counts, such as test_accuracy.")] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    out: Annotated[Path, typer.Option(help="Folder for trials, table and picture; trials that are there are not run again.")] = Path(
        "tp-lava-sweep"
    ),
    as_json: options.AsJson = False,
    progress: options.Progress = True,
) -> None:
    """Run a command over grids of its options and over seeds, or search; given again, an interrupted sweep goes on."""
    from tp_lava.sweeps import carried_out
    from tp_lava.sweeps.plan import read_plan

    plan = read_plan(file, {"seeds": seeds, "search": search, "measure": measure})
    make_folder(out)
    results = carried_out(plan, out, workers, scheduler, progress)
    best = results.best and {results.best.command: dict(results.best.settings)}
    if as_json:
        figures = {"measure": results.measure, "best": best, "means": results.means, "rows": results.rows}
        print_json({**figures, "failed": results.failed, "files": [str(file) for file in results.files]})
    else:
        shown = sorted((row for row in results.means if row["seeds"]), key=lambda row: -row[results.measure])[:_SHOWN]
        if shown:
            title = f"{len(results.rows)} trials of {plan.command}; the best of {len(results.means)} settings"
            print_rows(title, [_readable(row, plan.varied) for row in shown])
        print_files(results.files)
    _end(results)


def _readable(row: Mapping[str, Any], settings: Collection[str]) -> dict[str, Any]:
    """A row with its settings, which may be small, by their leading figures."""
    return {name: f"{value:.3g}" if name in settings and isinstance(value, float) else value for name, value in row.items()}


def _end(results: Results) -> None:
    """Say what has no result; exit code 1 where another try may help, or nothing has one."""
    refused = [row["error"] for row in results.rows if row["error"] and row["trial"] not in results.failed]
    for count, what, first in (
        (len(refused), "cannot be run", next(iter(refused), "")),
        (len(results.failed), "failed, and are tried again by the same command", next(iter(results.failed.values()), "")),
    ):
        if count:
            typer.echo(f"tp-lava: {count} of {len(results.rows)} trials {what}; the first: {first}", err=True)
    if results.failed or results.best is None:
        raise typer.Exit(options.FAILED)


@options.options_from(TrainSettings)
def tune(
    settings: TrainSettings,
    context: typer.Context,
    trials: Annotated[int, typer.Option(min=1, help="Settings to try, the default ones first.")] = 20,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each, with seeds from --seed on; what is held out is the same.")] = 1,
    workers: Workers = None,
    scheduler: Scheduler = None,
    out: Annotated[Path, typer.Option(help="Folder for tuned.toml, the trials, the table and the picture.")] = Path("tp-lava-tune"),
    config: Config = None,
    as_json: options.AsJson = False,
    progress: options.Progress = True,
) -> None:
    """Search rates, trace decay, threshold and surrogate width by samples held out of the training ones; write what train reads."""
    from tp_lava.sweeps.tuning import tuned

    make_folder(out)
    given = configuration.effective(context)[str(context.info_name)]
    done = tuned(settings, given, trials, seeds, out, workers, scheduler, progress)
    rows = [{"": name, **_readable(row, list(row)[: list(row).index("seeds")])} for name, row in done.rows.items()]
    test = "no test samples" if done.test_accuracy is None else f"test samples, looked at once: accuracy {done.test_accuracy:.3f}"

    def show() -> None:
        print_rows(f"{trials} settings, {seeds} seeds: accuracy on samples held out of the training ones", rows)
        print(test)

    result = {"default": done.rows["default"], "tuned": done.rows["tuned"], "train": done.settings, "test_accuracy": done.test_accuracy}
    print_result(context, as_json, {**result, "files": [str(file) for file in done.files]}, show, done.files)
