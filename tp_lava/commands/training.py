"""`tp-lava train`: a network learns a data set, untrained or from a model, in the engine or in Lava."""

from __future__ import annotations

import hashlib
import math
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tp_lava.commands import configuration, options, run_folder, runs
from tp_lava.commands.configuration import Config
from tp_lava.commands.informing import versions
from tp_lava.commands.printing import make_folder, print_files, print_json, print_rows
from tp_lava.commands.train_settings import TrainingData, TrainSettings
from tp_lava.errors import invalid
from tp_lava.lava import make_importable
from tp_lava.learner import Learner
from tp_lava.rules.memory import counted

_COUNTED = 5  # samples whose changes of weights are counted

Resume = Annotated[
    Path | None,
    typer.Option(is_eager=True, callback=configuration.from_run, help="Continue the run in this folder, as its config.toml says."),
]


@options.options_from(TrainSettings)
def train(
    settings: TrainSettings,
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for the learner, results.json, config.toml and the picture.")] = Path("tp-lava-train"),
    resume: Resume = None,
    config: Config = None,
    plot: Annotated[bool, typer.Option(help="Draw accuracy.png.")] = True,
    cost: Annotated[bool, typer.Option("--cost", help="Count what learning a sample keeps and changes.")] = False,
    as_json: options.AsJson = False,
    progress: options.Progress = True,
) -> None:
    """Learn a data set, and save the learner, its accuracy and the configuration; an interrupted run can be continued."""
    if resume and config:
        raise invalid("train", "config", "given with --resume", "left out", "the run's own configuration is in its folder")
    if settings.in_lava:
        make_importable()  # what cannot run leaves no folder behind
    out = resume or out
    data = settings.load_data()
    make_folder(out)
    with run_folder.held(out, runs.FILES):
        run = _begun(context, out, settings, data, resumed=resume is not None)
        if not as_json:
            print(configuration.to_toml(run.about["config"]))
            _tell_length(data, settings)
        figures = _learned(run, data, settings, progress)
        _print(run, data, {**figures, **(_cost(run.learner, data, settings) if cost else {})}, plot, as_json)


def _begun(context: typer.Context, out: Path, settings: TrainSettings, data: TrainingData, *, resumed: bool) -> runs.Run:
    """The run in a folder, new or resumed. One that was killed before its learner was written has none, and begins."""
    about = _about(context, settings, data)
    if resumed:
        _check_unchanged(context, out, settings)
        runs.check_same_data(out, {name: about["sha256"][name] for name in _files(settings.data, settings.test)})
        about["sha256"] |= runs.begun_with(out)
    if resumed and (out / runs.LEARNER).exists():
        run = runs.resume(out, about)
        configuration.save(context, out / configuration.NAME)
        return run
    runs.check_free(out)
    learner = settings.new_learner(data)
    configuration.save(context, out / configuration.NAME)
    return runs.start(out, about, learner)


def _learned(run: runs.Run, data: TrainingData, settings: TrainSettings, progress: bool) -> dict[str, float]:
    """Learn what is left of a run. -> best epoch, accuracies, NaN without samples held back or to test."""
    out = run.out
    try:
        runs.learn(run, data, settings, progress)
    except KeyboardInterrupt:
        said = f"interrupted; the learner after epoch {len(run.epochs)} is in {out}"
        print(f"tp-lava: {said}, go on with tp-lava train --resume {out}", file=sys.stderr)
        raise typer.Exit(options.INTERRUPTED) from None
    kept = settings.length(data).keep_best
    tested = Learner.load(out / runs.BEST) if kept else run.learner
    accuracy = tested.evaluate(data.test, progress) if data.test else math.nan
    shown = run.best if kept else len(run.epochs)
    held = run.epochs[shown - 1]["accuracy"] if data.held else math.nan
    figures = {"best_epoch": run.best, "validation_accuracy": held, "test_accuracy": accuracy}
    run.save(**figures)
    return figures


def _tell_length(data: TrainingData, settings: TrainSettings) -> None:
    """What is held back unasked, what for, and how not to."""
    length = settings.length(data)
    if length.found and settings.validation is None:
        count, of = len(data.held), len(data.held) + len(data.samples)
        print(f"{count} of {of} samples are held back: learning stops after {length.patience} epochs in which they are told no better")
        print(f"(at most {length.epochs}); the best epoch is kept. --epochs 10 learns all samples, 10 times.\n")


def _cost(learner: Learner, data: TrainingData, settings: TrainSettings) -> dict[str, float]:
    """memory: numbers kept to learn a sample; updates: weights that a sample changes, mean of the first, NaN where no chip learns so."""
    from tp_lava.deploy.loihi2 import count

    assert learner.rule is not None
    memory = sum(counted(learner.network, learner.rule, settings.batch))
    if not learner.rule.local:
        return {"memory": memory, "updates": math.nan}
    counts = count(learner, data.samples[:_COUNTED])
    return {"memory": memory, "updates": counts.mean("updates") + counts.mean("readout_updates")}


def _check_unchanged(context: typer.Context, folder: Path, settings: TrainSettings) -> None:
    """A run is continued with its own configuration; the number of epochs may change only where the rates do not depend on it."""
    name = str(context.info_name)
    before, now = configuration.read(folder / configuration.NAME).get(name, {}), configuration.effective(context)[name]
    free = {"patience", "epochs"} if settings.schedule in ("none", "plateau") else {"patience"}
    for key in sorted((before.keys() | now.keys()) - free):
        if before.get(key) != now.get(key):
            found, limit = f"{now.get(key, 'left out')} in a run that is resumed", f"{before.get(key, 'left out')}, as it was begun"
            raise invalid("train", key, found, limit, "begin a new run; only one with --schedule none or plateau may have more epochs")


def _about(context: typer.Context, settings: TrainSettings, data: TrainingData) -> dict[str, Any]:
    """How a run was made, as JSON values."""
    files = _files(settings.model, settings.data, settings.test)
    return {
        "command": shlex.join(["tp-lava", *sys.argv[1:]]),
        "config": configuration.effective(context),
        "versions": versions(),
        "sha256": {name: hashlib.sha256(Path(name).read_bytes()).hexdigest() for name in files},
        "samples": {"learned": len(data.samples), "held_back": len(data.held), "test": len(data.test)},
        "accuracy_of": "validation" if data.held else "samples as they are learned",
    }


def _files(*names: str | None) -> list[str]:
    """Those that are files, by absolute paths: a run may be resumed from another folder."""
    return [str(Path(name).resolve()) for name in names if name and Path(name).is_file()]


def _print(run: runs.Run, data: TrainingData, figures: dict[str, float], plot: bool, as_json: bool) -> None:
    files = [run.out / name for name in (runs.LEARNER, runs.BEST, runs.RESULTS, configuration.NAME) if (run.out / name).exists()]
    if plot and run.epochs:
        files.append(runs.draw(run, len(data.samples)))
    if as_json:
        print_json(run.results(**figures, files=[str(file) for file in files]))
        return
    rows = [{name: epoch[name] for name in ("epoch", "accuracy", "samples_per_second")} for epoch in run.epochs]
    print_rows(f"{len(data.samples)} samples; accuracy: {run.about['accuracy_of']}", rows)
    if data.test:
        print(f"{len(data.test)} test samples: accuracy {figures['test_accuracy']:.3f}")
    if "memory" in figures:
        print(f"to learn a sample: {figures['memory']:,} numbers kept, {figures['updates']:,.0f} weights changed")
    print_files(files)
