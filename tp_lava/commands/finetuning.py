"""`tp-lava finetune`: a trained network learns a new task from few samples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tp_lava.commands import configuration, options
from tp_lava.commands.configuration import Config
from tp_lava.commands.finetune_settings import FineTuneSettings
from tp_lava.commands.named import check_fits, model_named
from tp_lava.commands.printing import make_folder, print_result, print_rows
from tp_lava.continual import Cost
from tp_lava.finetuning import finetune as finetuned
from tp_lava.lava import make_importable


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
