"""`tp-lava demo`: a network trained in PyTorch adapts to a new sensor in Lava, or an untrained one learns there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tp_lava.commands import options
from tp_lava.commands.printing import make_folder, print_files, print_json, print_rows
from tp_lava.lava import make_importable

_Rows = list[dict[str, object]]
_Results = tuple[dict[str, _Rows], list[Path]]  # title -> table, files


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the picture, the figures and the trained networks.")] = Path("tp-lava-demo"),
    sensor: Annotated[
        str, typer.Option(autocompletion=options.SENSORS, help="mirrored, rotated, inverted, half-dead, noisy.")
    ] = "mirrored",
    shots: Annotated[int, typer.Option(min=1, help="Recordings of each digit to learn the new sensor from.")] = 5,
    epochs: Annotated[int | None, typer.Option(min=1, help="Number of times each sample is learned (20; from scratch 12).")] = None,
    seed: options.Seed = 0,
    test: Annotated[int, typer.Option(min=1, max=397, help="Number of test samples.")] = 397,
    progress: options.Progress = True,
    as_json: options.AsJson = False,
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="Train an untrained network instead.")] = False,
    contrast: Annotated[int, typer.Option(min=2, max=10, help="From scratch: number of target streams.")] = 4,
    hidden: Annotated[int, typer.Option(min=1, help="From scratch: number of hidden neurons.")] = 200,
    train: Annotated[int, typer.Option(min=1, max=1400, help="From scratch: number of training samples.")] = 1400,
) -> None:
    """A network trained in PyTorch goes into Lava, in float and in fixed point; its sensor changes, and it learns the new one there."""
    make_importable()  # what cannot run leaves no folder behind
    make_folder(out)
    if from_scratch:
        tables, files = _from_scratch(out, hidden, epochs or 12, contrast, seed, train, test, progress)
    else:
        tables, files = _new_sensor(out, sensor, shots, epochs or 20, seed, test, progress)
    if as_json:
        (figures,) = (file for file in files if file.suffix == ".json")
        print_json({**json.loads(figures.read_text()), "files": [str(file) for file in files]})
        return
    for title, table in tables.items():
        print_rows(title, table)
    print_files(files)


def _new_sensor(out: Path, sensor: str, shots: int, epochs: int, seed: int, test: int, progress: bool) -> _Results:
    from tp_lava.demos.new_sensor import SensorSettings, rows, run_demo, save, variant_rows

    settings = SensorSettings(sensor, shots, epochs, seed, test)
    runs = run_demo(settings, progress)
    title = f"Digits, 512-200-10, trained in PyTorch, in Lava; {shots * 10} recordings, one at a time, seed {seed}"
    tables = {title: rows(settings, runs), "The same, with less and with more against forgetting": variant_rows(runs)}
    return tables, save(out, settings, runs)


def _from_scratch(out: Path, hidden: int, epochs: int, contrast: int, seed: int, train: int, test: int, progress: bool) -> _Results:
    from tp_lava.demos.from_scratch import DemoSettings, rows, run_demo, save

    settings = DemoSettings(hidden=hidden, epochs=epochs, contrast=contrast, seed=seed, n_train=train, n_test=test)
    runs = run_demo(settings, progress)
    title = f"Digits, {hidden} hidden neurons, K = {contrast}, {epochs} epochs, seed {seed}: one sample at a time, in Lava"
    return {title: rows(runs)}, save(out, settings, runs)
