"""How commands speak: tables and files for people, one JSON object for programs, and the folder that is written into."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table


def print_rows(title: str, rows: Sequence[Mapping[str, object]], left: int = 1) -> None:
    """A table of rows that have the same columns, under its title. left: so many columns of words, the rest are figures."""
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for number, column in enumerate(rows[0]):
        table.add_column(column, justify="left" if number < left else "right")
    for row in rows:
        table.add_row(*map(str, row.values()))
    console = Console()
    console.print(title, style="italic", markup=False, highlight=False, soft_wrap=True)
    console.print(table)


def print_table(table: Table) -> None:
    """A table with a title and few rows; on its side, where the screen is too narrow for it."""
    from rich.console import Console
    from rich.measure import Measurement

    console = Console()
    if Measurement.get(console, console.options.update(width=10_000), table).maximum > console.width:
        table = _turned(table)
    console.print(table)


def _turned(table: Table) -> Table:
    from rich.table import Table

    turned = Table(title=table.title, caption=table.caption, title_justify="left", caption_justify="left")
    first, *others = ([column.header, *column.cells] for column in table.columns)
    for number, header in enumerate(first):
        turned.add_column(str(header), justify="right" if number else "left")
    for row in others:
        turned.add_row(*row)
    return turned


def print_json(told: Mapping[str, Any]) -> None:
    """The one object that a command writes to standard output with --json."""
    print(json_text(told))


def json_text(told: Mapping[str, Any]) -> str:
    """Strict JSON: what is no number there, NaN and infinity, is null."""
    return json.dumps(_strict(told), indent=1, allow_nan=False)


def _strict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def say_written(files: Sequence[Path]) -> None:
    """Name the files that were written."""
    from rich.console import Console

    for file in files:
        Console().print(f"wrote {file}", highlight=False, soft_wrap=True)


def make_folder(out: Path) -> None:
    """Before the work, so that a folder that cannot be written costs no time."""
    if out.exists() and not out.is_dir():
        raise typer.BadParameter(f"{out} is a file; give a folder", param_hint="--out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"{out} cannot be made ({error.strerror}); give another folder", param_hint="--out") from None
    if not os.access(out, os.W_OK):
        raise typer.BadParameter(f"{out} cannot be written; give another folder", param_hint="--out")
