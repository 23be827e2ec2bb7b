"""`tp-lava train`: a network learns a data set, blank or from a model, in the engine or in Lava."""

from __future__ import annotations

import hashlib
import math
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tp_lava.commands import configuration, runs
from tp_lava.commands.configuration import Config
from tp_lava.commands.courses import Choices, Course, ScheduleName, beginner, course
from tp_lava.commands.informing import versions
from tp_lava.commands.options import INTERRUPTED, AsJson, Data, Precision, Progress, Rate, ReadoutRate, RuleName, Start
from tp_lava.commands.printing import make_folder, print_json, print_rows, say_written
from tp_lava.errors import invalid
from tp_lava.learner import Learner
from tp_lava.rules import Update

Resume = Annotated[
    Path | None,
    typer.Option(is_eager=True, callback=configuration.from_run, help="Go on with the run in this folder, as its config.toml says."),
]


def train(
    context: typer.Context,
    model: Start = None,
    data: Data = "digits",
    test: Annotated[str | None, typer.Option(help="Other data to test on; else the data's own test part, or one in five.")] = None,
    hidden: Annotated[list[int] | None, typer.Option(min=1, help="Blank: neurons of a hidden layer (200); once per layer.")] = None,
    decay: Annotated[float | None, typer.Option(help="Blank: of the membranes, a step (0.98; TESS 0.5).")] = None,
    threshold: Annotated[float | None, typer.Option(help="Blank: of the neurons (1; TESS 0.6).")] = None,
    trace_decay: Annotated[float | None, typer.Option(help="Blank: of the spike traces, a step (0.98; TESS 0.9).")] = None,
    recurrent: Annotated[bool, typer.Option("--recurrent", help="Blank: hidden layers with connections to themselves.")] = False,
    rule: Annotated[RuleName, typer.Option(help="By which rule.")] = "tp",
    rate: Rate = None,
    readout_rate: ReadoutRate = None,
    contrast: Annotated[str | None, typer.Option(help="TP: target streams, 2 or more, or all (4).")] = None,
    basis: Annotated[Literal["square", "walsh"] | None, typer.Option(help="TESS: of its errors (walsh).")] = None,
    temperature: Annotated[float | None, typer.Option(help="TESS: of its softmax (0.05).")] = None,
    update: Annotated[Update | None, typer.Option(help="When weights change: every step (TP) or at a sample's end (TESS).")] = None,
    freeze: Annotated[list[str] | None, typer.Option(help="A layer at rest: hidden0, ..., readout; may be repeated.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Times each sample is learned.")] = 10,
    batch: Annotated[int, typer.Option(min=1, help="Samples learned together; a chip learns one at a time.")] = 1,
    schedule: Annotated[ScheduleName | None, typer.Option(help="How rates fall over the epochs (cosine; in Lava none).")] = None,
    validation: Annotated[float, typer.Option(min=0, max=0.9, help="Share of the samples held back and looked at each epoch.")] = 0.0,
    patience: Annotated[int | None, typer.Option(min=1, help="Stop after so many epochs without a better one.")] = None,
    keep_best: Annotated[bool, typer.Option("--keep-best", help="Keep the best epoch too, and test that.")] = False,
    precision: Annotated[Precision, typer.Option(help="Number system.")] = "float",
    bits: Annotated[int | None, typer.Option(help="In fixed point: of the weights, 2 to 8.")] = None,
    in_lava: Annotated[bool, typer.Option("--in-lava", help="Learn in Lava instead of the engine.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, splits, order, labels drawn and rounding.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the learner, results.json, config.toml and the picture.")] = Path("tp-lava-train"),
    resume: Resume = None,
    config: Config = None,
    plot: Annotated[bool, typer.Option(help="Draw accuracy.png.")] = True,
    as_json: AsJson = False,
    progress: Progress = True,
) -> None:
    """Learn a data set, and keep the learner, how well it does and how that came about; an interrupted run can be gone on with."""
    if resume and config:
        raise invalid("train", "config", "given with --resume", "left out", "the run's own configuration is in its folder")
    _train(context, resume or out, resume is not None, plot, as_json, progress)


def _train(context: typer.Context, out: Path, go_on: bool, plot: bool, as_json: bool, progress: bool) -> None:
    choices = Choices.of(context.params)
    what = course(choices)
    make_folder(out)
    about = _about(context, choices, what)
    if go_on:
        _check_unchanged(context, out, choices)
    run = runs.resumed(out, about) if go_on else runs.begun(out, about, beginner(choices, what))
    configuration.save(context, out / configuration.NAME)
    if not as_json:
        print(configuration.to_toml(about["config"]))
    try:
        runs.learn(run, what, choices, progress)
    except KeyboardInterrupt:
        kept = f"interrupted; the learner after epoch {len(run.epochs)} is in {out}"
        print(f"tp-lava: {kept}, go on with tp-lava train --resume {out}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    tested = Learner.load(out / runs.BEST) if choices.keep_best else run.learner
    test_accuracy = tested.evaluate(what.test, progress) if what.test else math.nan
    run.keep(best_epoch=run.best, test_accuracy=test_accuracy)
    _show(run, what, test_accuracy, plot, as_json)


def _check_unchanged(context: typer.Context, folder: Path, choices: Choices) -> None:
    """A run is gone on with as it was begun; only where rates do not depend on their number, there may be more epochs."""
    name = str(context.info_name)
    before, now = configuration.read(folder / configuration.NAME).get(name, {}), configuration.effective(context)[name]
    changed = {key for key in before.keys() | now.keys() if before.get(key) != now.get(key)} - {"patience"}
    if choices.schedule in ("none", "plateau"):
        changed -= {"epochs"}
    if changed:
        key = sorted(changed)[0]
        found, limit = f"{now.get(key, 'left out')} in a run that is resumed", f"{before.get(key, 'left out')}, as it was begun"
        raise invalid("train", key, found, limit, "begin a new run; only one with --schedule none or plateau may have more epochs")


def _about(context: typer.Context, choices: Choices, what: Course) -> dict[str, Any]:
    """How a run came about, as JSON has it."""
    files = {name: _checksum(Path(name)) for name in (choices.model, choices.data, choices.test) if name and Path(name).is_file()}
    sizes = {"learned": len(what.samples), "held_back": len(what.held), "test": len(what.test)}
    return {
        "command": shlex.join(["tp-lava", *sys.argv[1:]]),
        "config": configuration.effective(context),
        "versions": versions(),
        "sha256": files,
        "samples": sizes,
        "accuracy_of": "validation" if what.held else "samples as they are learned",
    }


def _checksum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _show(run: runs.Run, what: Course, test_accuracy: float, plot: bool, as_json: bool) -> None:
    files = [run.out / name for name in (runs.LEARNER, runs.BEST, runs.RESULTS, configuration.NAME) if (run.out / name).exists()]
    if plot and run.epochs:
        files.append(run.out / runs.PICTURE)
        runs.draw(files[-1], run.epochs, len(what.samples), run.about["accuracy_of"])
    if as_json:
        print_json(run.results(best_epoch=run.best, test_accuracy=test_accuracy, files=[str(file) for file in files]))
        return
    shown = [
        {"epoch": epoch["epoch"], "accuracy": f"{epoch['accuracy']:.3f}", "samples a second": f"{epoch['samples_per_second']:.0f}"}
        for epoch in run.epochs
    ]
    print_rows(f"{len(what.samples)} samples; accuracy: {run.about['accuracy_of']}", shown)
    print(f"{len(what.test)} test samples: accuracy {test_accuracy:.3f}")
    say_written(files)
