"""The command line: `tp-lava demo`, `tp-lava compare-rules`."""

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


@app.command("compare-rules")
def compare_rules(
    data: Annotated[str, typer.Option(help="digits (embedded), nmnist or spoken (they need --recordings).")] = "digits",
    recordings: Annotated[
        Path | None, typer.Option(help="nmnist: .npz, see tp_lava.data.from_nmnist; spoken: .h5 in SHD's layout.")
    ] = None,
    form: Annotated[list[str] | None, typer.Option(help="Only forms whose name holds this text; may be given several times.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each form, with seeds 0, 1, ...")] = 3,
    epochs: Annotated[int | None, typer.Option(min=1, help="Times each sample is learned; by default what suits the data.")] = None,
    train: Annotated[int | None, typer.Option(min=2, help="At most so many training samples.")] = None,
    test: Annotated[int | None, typer.Option(min=1, help="At most so many test samples.")] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="Runs at a time; by default one per core.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the table and the picture.")] = Path("tp-lava-compare"),
    progress: Annotated[bool, typer.Option(help="Draw a progress bar.")] = True,
) -> None:
    """Compare learning rules - TP, TESS, backpropagation through time, a frozen hidden layer - on the same network, data and epochs."""
    from rich.console import Console

    from tp_lava.comparison import compare
    from tp_lava.comparison.report import chosen_forms, chosen_task, save, table

    task, forms = chosen_task(data, recordings, epochs, train, test), chosen_forms(form or [])
    _make_folder(out)
    rows = compare(task, forms, seeds, processes or os.cpu_count() or 1, progress)
    console = Console()
    console.print(table(task, rows, seeds))
    for file in save(out, task, rows):
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
