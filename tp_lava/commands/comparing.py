"""`tp-lava compare-rules`: learning rules on the same network, data and epochs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from tp_lava.commands import configuration
from tp_lava.commands.configuration import Config
from tp_lava.commands.options import AsJson, Progress
from tp_lava.commands.printing import make_folder, print_json, say_written


def compare_rules(
    context: typer.Context,
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
    config: Config = None,
    as_json: AsJson = False,
    progress: Progress = True,
) -> None:
    """Compare learning rules - TP, TESS, backpropagation through time, a frozen hidden layer - on the same network, data and epochs."""
    from rich.console import Console

    from tp_lava.comparison import compare
    from tp_lava.comparison.report import chosen_forms, chosen_task, save, table

    task, forms = chosen_task(data, recordings, epochs, train, test), chosen_forms(form or [])
    make_folder(out)
    rows = compare(task, forms, seeds, processes or os.cpu_count() or 1, progress)
    asked, files = configuration.effective(context), [*save(out, task, rows), configuration.save(context, out / configuration.NAME)]
    if as_json:
        print_json({"config": asked, "rows": [row.to_dict() for row in rows], "files": [str(file) for file in files]})
        return
    print(configuration.to_toml(asked))
    Console().print(table(task, rows, seeds))
    say_written(files)
