"""`tp-lava train`: a network learns a data set, untrained or from a model, in the engine or in Lava."""

from __future__ import annotations

import hashlib
import math
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from tp_lava.commands import configuration, options, run_folder, runs
from tp_lava.commands.configuration import Config
from tp_lava.commands.informing import versions
from tp_lava.commands.printing import make_folder, print_files, print_json, print_rows
from tp_lava.commands.train_settings import TrainingData, TrainSettings
from tp_lava.data.timing import LEAST
from tp_lava.errors import invalid
from tp_lava.lava import make_importable
from tp_lava.learner import Learner
from tp_lava.rules.memory import counted

FOUND = "epochs_found"  # in results.json
_HELD_BACK = "validation"
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
    found = settings.finds_epochs(data)
    make_folder(out)
    with run_folder.held(out, runs.FILES):
        about = _begun(context, out, settings, data, resumed=resume is not None)
        if not as_json:
            print(configuration.to_toml(about["config"]))
        if found:
            settings, about = _epochs_found(out, settings, data, about, progress, as_json)
        run = runs.begin(out, about, lambda: settings.new_learner(data))
        figures = _learned(run, data, settings, progress)
        _print(run, data, {**figures, **(_cost(run.learner, data, settings) if cost else {})}, plot, as_json)


def _begun(context: typer.Context, out: Path, settings: TrainSettings, data: TrainingData, *, resumed: bool) -> dict[str, Any]:
    """How the run in a folder is made, new or resumed. One that was killed before its learner was written has none, and begins."""
    about = _about(context, settings, data)
    if resumed:
        _check_unchanged(context, out, settings)
    else:
        runs.check_free(out)
    for folder in (out / runs.TRIAL, out) if resumed else ():
        runs.check_same_data(folder, {name: about["sha256"][name] for name in _files(settings.data, settings.test)})
        about["sha256"] |= runs.kept(folder, "sha256")
    configuration.save(context, out / configuration.NAME)
    return about


def _epochs_found(
    out: Path, settings: TrainSettings, data: TrainingData, about: dict[str, Any], progress: bool, as_json: bool
) -> tuple[TrainSettings, dict[str, Any]]:
    """Find the number of epochs by a run in a folder of its own, on four fifths of the samples. -> the settings, how it was found."""
    trial, folder = settings.trial(), out / runs.TRIAL
    parts, patience = trial.parted(data), trial.length.patience
    if not as_json:
        print(f"How many epochs? {len(parts.held)} of {len(data.samples)} samples are held back; learning stops after {patience} epochs")
        print("that tell them no better. Then all samples are learned as often. --epochs 10 learns them 10 times, and holds none back.\n")
    found = runs.kept(out, FOUND) if (out / options.LEARNER).exists() else {}  # patience may have changed since
    if not found:
        make_folder(folder)
        with run_folder.held(folder, runs.FILES):
            run = runs.begin(folder, about | {"accuracy_of": _HELD_BACK}, lambda: trial.new_learner(parts))
            _learned_whole(run, parts, trial, progress, out)
        accuracies = [epoch["accuracy"] for epoch in run.epochs]
        found = {"epochs": run.best, "held_back": len(parts.held), "accuracies": accuracies}
    return replace(settings, epochs=found["epochs"], patience=None), about | {FOUND: found}


def _learned(run: runs.Run, data: TrainingData, settings: TrainSettings, progress: bool) -> dict[str, float]:
    """Learn what is left of a run. -> best epoch, accuracies, NaN without samples held back or to test."""
    _learned_whole(run, data, settings, progress, run.out)
    kept = settings.length.keep_best
    tested = Learner.load(run.out / runs.BEST) if kept else run.learner
    accuracy = tested.evaluate(data.test, progress) if data.test else math.nan
    shown = run.best if kept else len(run.epochs)
    accuracies = [epoch["accuracy"] for epoch in run.epochs[shown - 1 :]] if data.held else run.about.get(FOUND, {}).get("accuracies", ())
    figures = {"best_epoch": run.best, "validation_accuracy": max(accuracies, default=math.nan), "test_accuracy": accuracy}
    run.save(**figures)
    return figures


def _learned_whole(run: runs.Run, data: TrainingData, settings: TrainSettings, progress: bool, out: Path) -> None:
    """Learn what is left; say how to go on where that is interrupted."""
    try:
        runs.learn(run, data, settings, progress)
    except KeyboardInterrupt:
        said = f"interrupted; the learner after epoch {len(run.epochs)} is in {run.out}"
        print(f"tp-lava: {said}, go on with tp-lava train --resume {out}", file=sys.stderr)
        raise typer.Exit(options.INTERRUPTED) from None


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
        "accuracy_of": _HELD_BACK if data.held else "samples as they are learned",
    }


def _files(*names: str | None) -> list[str]:
    """Those that are files, by absolute paths: a run may be resumed from another folder."""
    return [str(Path(name).resolve()) for name in names if name and Path(name).is_file()]


def _print(run: runs.Run, data: TrainingData, figures: dict[str, float], plot: bool, as_json: bool) -> None:
    files = [run.out / name for name in (options.LEARNER, runs.BEST, runs.RESULTS, configuration.NAME) if (run.out / name).exists()]
    if plot and run.epochs:
        files.append(runs.draw(run, len(data.samples)))
    if as_json:
        print_json(run.results(**figures, files=[str(file) for file in files]))
        return
    rows = [{name: epoch[name] for name in ("epoch", "accuracy", "samples_per_second")} for epoch in run.epochs]
    longest = max((c.delays.longest for c in run.learner.network.connections if c.delays is not None), default=0)
    network = "-".join(map(str, run.learner.network.sizes)) + (f" with delays of up to {longest} steps" if longest else "")
    print_rows(f"{len(data.samples)} samples; network {network}; accuracy: {run.about['accuracy_of']}", rows)
    if len(data.samples) < LEAST and not run.about["config"]["train"].keys() & {"span", "model"}:
        print(f"fewer than {LEAST} samples do not tell whether the order of events matters: if it does, give --span, such as --span 60")
    if data.test:
        print(f"{len(data.test)} test samples: accuracy {figures['test_accuracy']:.3f}")
    if "memory" in figures:
        print(f"to learn a sample: {figures['memory']:,} numbers kept, {figures['updates']:,.0f} weights changed")
    print_files(files)
