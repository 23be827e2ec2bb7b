"""`tp-lava demo`: a network trained in PyTorch meets a new sensor in Lava, or a blank one learns there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tp_lava.commands.options import SENSOR_NAMES, AsJson, Progress
from tp_lava.commands.printing import make_folder, print_json, print_rows, say_written

Told = tuple[str, list[dict[str, object]], list[Path]]  # title, table, files


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the picture, the figures and the learned networks.")] = Path("tp-lava-demo"),
    sensor: Annotated[str, typer.Option(autocompletion=SENSOR_NAMES, help="mirrored, rotated, inverted, half-dead or noisy.")] = "mirrored",
    shots: Annotated[int, typer.Option(min=1, help="Recordings of each digit that it learns the new sensor from.")] = 5,
    epochs: Annotated[int | None, typer.Option(min=1, help="Times each training sample is learned (20; from scratch 12).")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, order, labels drawn and rounding.")] = 0,
    test: Annotated[int, typer.Option(min=1, max=397, help="Test samples.")] = 397,
    progress: Progress = True,
    as_json: AsJson = False,
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="Learn a blank network instead.")] = False,
    contrast: Annotated[int, typer.Option(min=2, max=10, help="From scratch: target streams K.")] = 4,
    hidden: Annotated[int, typer.Option(min=1, help="From scratch: hidden neurons.")] = 200,
    train: Annotated[int, typer.Option(min=1, max=1400, help="From scratch: training samples.")] = 1400,
) -> None:
    """A network trained in PyTorch goes into Lava, in float and in fixed point; its sensor changes, and it learns the new one there."""
    make_folder(out)
    if from_scratch:
        title, table, files = _learn_from_scratch(out, hidden, epochs or 12, contrast, seed, train, test, progress)
    else:
        title, table, files = _meet_a_new_sensor(out, sensor, shots, epochs or 20, seed, test, progress)
    if as_json:
        (figures,) = (file for file in files if file.suffix == ".json")
        print_json({**json.loads(figures.read_text()), "files": [str(file) for file in files]})
        return
    print_rows(title, table)
    say_written(files)


def _meet_a_new_sensor(out: Path, sensor: str, shots: int, epochs: int, seed: int, test: int, progress: bool) -> Told:
    from tp_lava.demos.new_sensor import SensorSettings, rows, run_demo, save

    settings = SensorSettings(sensor, shots, epochs, seed, test)
    stories = run_demo(settings, progress)
    title = f"Digits, 512-200-10, trained in PyTorch, in Lava; {shots * 10} recordings, one at a time, seed {seed}"
    cells = [(row["step"], *(f"{row[name]:.3f}" for name in ("float", "fixed"))) for row in rows(settings, stories)]
    table = [dict(zip(("", "float", "fixed point"), line, strict=True)) for line in cells]
    return title, table, save(out, settings, stories)


def _learn_from_scratch(out: Path, hidden: int, epochs: int, contrast: int, seed: int, train: int, test: int, progress: bool) -> Told:
    from tp_lava.demos.from_scratch import DemoSettings, rows, run_demo, save

    settings = DemoSettings(hidden=hidden, epochs=epochs, contrast=contrast, seed=seed, n_train=train, n_test=test)
    lessons = run_demo(settings, progress)
    table = []
    for row in rows(lessons):
        speed = row["microseconds_per_step"]
        cells = {"network": row["network"], "test accuracy": f"{row['accuracy']:.3f}"}
        cells |= {"weight bits": row["weight_bits"], "trace bits": row["trace_bits"], "µs per step": f"{speed:.1f}" if speed else ""}
        table.append(cells)
    title = f"Digits, {hidden} hidden neurons, K = {contrast}, {epochs} epochs, seed {seed}: one sample at a time, in Lava"
    return title, table, save(out, settings, lessons)
