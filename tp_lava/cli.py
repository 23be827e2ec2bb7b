"""The command line: `tp-lava demo`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from tp_lava.errors import TpLavaError

app = typer.Typer(help="On-chip learning for Lava and Loihi-style neuromorphic hardware.", no_args_is_help=True)


@app.callback()
def _main() -> None:
    """On-chip learning for Lava and Loihi-style neuromorphic hardware."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the picture, the figures and the learned networks.")] = Path("tp-lava-demo"),
    epochs: Annotated[int, typer.Option(min=1, help="Times each training sample is learned.")] = 12,
    contrast: Annotated[int, typer.Option(min=2, max=10, help="Target streams K.")] = 4,
    hidden: Annotated[int, typer.Option(min=1, help="Hidden neurons.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, order, labels drawn and rounding.")] = 0,
    train: Annotated[int, typer.Option(min=1, max=1400, help="Training samples.")] = 1400,
    test: Annotated[int, typer.Option(min=1, max=397, help="Test samples.")] = 397,
    progress: Annotated[bool, typer.Option(help="Draw progress bars.")] = True,
) -> None:
    """Learn handwritten digits, seen by an event camera, in Lava: from blank, by TP, in float and in 8-bit fixed point."""
    from rich.console import Console
    from rich.table import Table

    from tp_lava.demo import DemoSettings, rows, run_demo, save

    _make_folder(out)
    settings = DemoSettings(hidden=hidden, epochs=epochs, contrast=contrast, seed=seed, n_train=train, n_test=test)
    lessons = run_demo(settings, progress)
    console = Console()
    table = Table(title=f"Digits, {hidden} hidden neurons, K = {contrast}, {epochs} epochs, seed {seed}: one sample at a time, in Lava")
    for column in ("network", "test accuracy", "weight bits", "trace bits", "µs per step"):
        table.add_column(column, justify="left" if column == "network" else "right")
    for row in rows(lessons):
        speed = row["microseconds_per_step"]
        cells = row["network"], f"{row['accuracy']:.3f}", str(row["weight_bits"]), str(row["trace_bits"])
        table.add_row(*map(str, cells), f"{speed:.1f}" if speed else "")
    console.print(table)
    for file in save(out, settings, lessons):
        console.print(f"wrote {file}", highlight=False)


def _make_folder(out: Path) -> None:
    """Before the work, so that a folder that cannot be written costs no time."""
    if out.exists() and not out.is_dir():
        raise typer.BadParameter(f"{out} is a file; give a folder", param_hint="--out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"{out} cannot be made ({error.strerror}); give another folder", param_hint="--out") from None
    if not os.access(out, os.W_OK):
        raise typer.BadParameter(f"{out} cannot be written; give another folder", param_hint="--out")


def main() -> None:
    """Entry point: errors of ours are one message and exit code 2, not a traceback."""
    try:
        app()
    except TpLavaError as error:
        print(f"tp-lava: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
