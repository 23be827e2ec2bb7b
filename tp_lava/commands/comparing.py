"""`tp-lava compare-rules`: learning rules on the same network, data and epochs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from tp_lava.commands import configuration, options
from tp_lava.commands.configuration import Config
from tp_lava.commands.printing import make_folder, print_result, print_rows


def compare_rules(
    context: typer.Context,
    data: Annotated[str, typer.Option(help="digits (embedded), nmnist, spoken or commands (which need --recordings).")] = "digits",
    recordings: Annotated[
        Path | None,
        typer.Option(help="nmnist, commands: .npz, see tp_lava.data.from_nmnist and from_spike_lists; spoken: .h5 in SHD's layout."),
    ] = None,
    form: Annotated[list[str] | None, typer.Option(help="Only forms whose name contains this text; may be repeated.")] = None,
    grid: Annotated[bool, typer.Option("--grid", help="Every credit with every product, instead of the rules as published.")] = False,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each form, with seeds 0, 1, ...")] = 3,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Number of times each sample is learned; by default what suits the data.")
    ] = None,
    hidden: Annotated[int | None, typer.Option(min=1, help="Number of hidden neurons; by default the benchmark's.")] = None,
    train: Annotated[int | None, typer.Option(min=2, help="Use at most this many training samples.")] = None,
    test: Annotated[int | None, typer.Option(min=1, help="Use at most this many test samples.")] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="Runs in parallel; by default one per core.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the table and the picture.")] = Path("tp-lava-compare"),
    config: Config = None,
    as_json: options.AsJson = False,
    progress: options.Progress = True,
) -> None:
    """Compare learning rules, backpropagation through time and a frozen hidden layer on the same network, data and epochs."""
    from tp_lava.comparison import compare
    from tp_lava.comparison.report import chosen_benchmark, chosen_variants, save, table

    benchmark, variants = chosen_benchmark(data, recordings, epochs, train, test, hidden), chosen_variants(form or [], grid)
    make_folder(out)
    rows = compare(benchmark, variants, seeds, processes or os.cpu_count() or 1, progress)
    files = [*save(out, benchmark, rows), configuration.save(context, out / configuration.NAME)]
    result = {"rows": [row.to_dict() for row in rows], "files": [str(file) for file in files]}
    title = f"{benchmark.name}: {benchmark.hidden} hidden neurons, {benchmark.epochs} epochs, {seeds} seeds"
    print_result(context, as_json, result, lambda: print_rows(title, table(rows, brief=True)), files)
