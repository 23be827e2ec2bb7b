"""`tp-lava finetune`: a trained network goes on learning a new task from few samples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tp_lava.commands import configuration, tasks
from tp_lava.commands.configuration import Config
from tp_lava.commands.converting import model_named
from tp_lava.commands.options import SENSOR_NAMES, AsJson, Data, Model, Precision, Progress, Rate, ReadoutRate, RuleName
from tp_lava.commands.printing import make_folder, print_json, print_rows, say_written
from tp_lava.finetuning import FineTuned
from tp_lava.finetuning import finetune as finetuned

_AS_GIVEN = ("precision", "epochs", "patience", "keep_best", "in_lava", "seed", "progress")


def finetune(
    context: typer.Context,
    model: Model,
    data: Data = "digits",
    sensor: Annotated[
        str | None, typer.Option(autocompletion=SENSOR_NAMES, help="The new task: mirrored, rotated, inverted, half-dead or noisy camera.")
    ] = None,
    new_class: Annotated[int | None, typer.Option(help="The new task: this class, which the network never saw.")] = None,
    rehearse: Annotated[int | None, typer.Option(min=1, help="With --new-class: samples of each old class learned again (all).")] = None,
    shots: Annotated[str, typer.Option(help="Samples of each class: a number, or all.")] = "5",
    rule: Annotated[RuleName, typer.Option(help="By which rule.")] = "tp",
    rate: Rate = None,
    readout_rate: ReadoutRate = None,
    epochs: Annotated[int, typer.Option(min=1, help="Times each sample is learned.")] = 20,
    freeze: Annotated[list[str] | None, typer.Option(help="A layer at rest: hidden0, ..., readout; may be repeated.")] = None,
    precision: Annotated[Precision, typer.Option(help="Number system.")] = "fixed",
    in_lava: Annotated[bool, typer.Option("--in-lava", help="Learn in Lava instead of the engine.")] = False,
    patience: Annotated[int | None, typer.Option(min=1, help="Stop after so many epochs without a better one.")] = None,
    keep_best: Annotated[bool, typer.Option("--keep-best", help="Keep the best epoch, on samples held back.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of samples, order and rounding.")] = 0,
    out: Annotated[Path | None, typer.Option(help="File for the learner, to go on with or to inspect.")] = None,
    config: Config = None,
    as_json: AsJson = False,
    progress: Progress = True,
) -> None:
    """Go on learning a new task from few samples, and say what that did to the new task and to the old one."""
    task = _task(data, sensor, new_class, rehearse, shots, seed)
    done = _learned(task, context.params)
    files = list[Path]()
    if out:
        make_folder(out.parent)
        done.learner.save(out)
        files = [out, configuration.save(context, configuration.beside(out))]
    asked = configuration.effective(context)
    if as_json:
        print_json({"config": asked, "samples": len(task.samples), **done.to_dict()})
        return
    print(configuration.to_toml(asked))
    how = f"{rule.upper()}, {precision}{', in Lava' if in_lava else ''}, seed {seed}"
    _show(f"{len(task.samples)} samples, {how}", done, bool(task.old_test))
    say_written(files)


def _task(data: str, sensor: str | None, new_class: int | None, rehearse: int | None, shots: str, seed: int) -> tasks.Task:
    count = tasks.shots_of(shots)
    if new_class is not None:
        return tasks.new_class(data, new_class, count, rehearse, seed)
    return tasks.changed_sensor(data, sensor, count, seed)


def _learned(task: tasks.Task, params: Mapping[str, Any]) -> FineTuned:
    network = model_named(params["model"], params["seed"])
    tasks.check_fits("finetune", task.samples, network)
    return finetuned(
        network,
        task.samples,
        task.test,
        rule=tasks.rule_named(params["rule"], params["rate"], params["readout_rate"]),
        freeze=params["freeze"] or (),
        old_test=task.old_test,
        validation=task.validation if params["patience"] or params["keep_best"] else [],
        **{name: params[name] for name in _AS_GIVEN},
    )


def _show(title: str, done: FineTuned, old: bool) -> None:
    rows = [{"": "the new task", "before": f"{done.before:.3f}", "after": f"{done.after:.3f}"}]
    if old:
        rows.append({"": "the old task", "before": f"{done.old_before:.3f}", "after": f"{done.old_after:.3f}"})
    print_rows(title, rows)
