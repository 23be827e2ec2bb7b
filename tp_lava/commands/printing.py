"""Output of commands: tables and files for people, one JSON object for programs, and the folder that is written to."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tp_lava.commands import configuration
from tp_lava.errors import printable
from tp_lava.tables import WIDTH, json_values, screen

if TYPE_CHECKING:
    from rich.table import Table


def print_result(
    context: typer.Context, as_json: bool, result: Mapping[str, Any], show: Callable[[], None], files: Sequence[Path] = ()
) -> None:
    """Print the result with the effective configuration: as one JSON object, or for people by show(), and the files written."""
    config = configuration.effective(context)
    if as_json:
        print_json({"config": config, **result})
        return
    print(configuration.to_toml(config))
    show()
    print_files(files)


def print_rows(title: str, rows: Sequence[Mapping[str, object]], left: int = 1) -> None:
    """A table under its title, of rows with the same columns. left: number of left-aligned columns; the others hold figures."""
    from rich.table import Table

    table = Table()
    for number, column in enumerate(rows[0]):
        table.add_column(column.replace("_", " "), justify="left" if number < left else "right")
    for row in rows:
        table.add_row(*map(_cell, row.values()))
    console = screen() if sys.stdout.isatty() else screen(width=WIDTH)  # in a file nothing is cut off
    console.print(printable(title), style="italic", highlight=False, soft_wrap=True)
    console.print(table)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else "-" if value is None else printable(str(value))


def print_table(table: Table) -> None:
    """A table with a title and few rows; transposed, where the screen is too narrow for it."""
    from rich.measure import Measurement

    console = screen()
    if Measurement.get(console, console.options.update(width=10_000), table).maximum > console.width:
        table = _transposed(table)
    console.print(table)


def _transposed(table: Table) -> Table:
    from rich.table import Table

    transposed = Table(title=table.title, caption=table.caption, title_justify="left", caption_justify="left")
    first, *others = ([column.header, *column.cells] for column in table.columns)
    for number, header in enumerate(first):
        transposed.add_column(str(header), justify="right" if number else "left")
    for row in others:
        transposed.add_row(*row)
    return transposed


_TOLD: ContextVar[dict[str, Any] | None] = ContextVar("_TOLD", default=None)


@contextmanager
def told() -> Iterator[dict[str, Any]]:
    """-> what a command within the block tells with --json; it then does not print it."""
    result: dict[str, Any] = {}
    token = _TOLD.set(result)
    try:
        yield result
    finally:
        _TOLD.reset(token)


def print_json(values: Mapping[str, Any]) -> None:
    """The one object that a command writes to standard output with --json."""
    listening = _TOLD.get()
    if listening is None:
        print(json_text(values))
    else:
        listening.update(json_values(values))


def json_text(values: Mapping[str, Any]) -> str:
    """Strict JSON: NaN and infinity are null."""
    return json.dumps(json_values(values), indent=1, allow_nan=False)


def print_files(files: Sequence[Path]) -> None:
    """Name the files that were written."""
    for file in files:
        screen().print(f"wrote {printable(str(file))}", highlight=False, soft_wrap=True)


def make_folder(out: Path) -> None:
    """Make the folder before any work, so that a folder that cannot be written costs no time. Raises typer.BadParameter."""
    if out.exists() and not out.is_dir():
        raise typer.BadParameter(f"{out} is a file; give a folder", param_hint="--out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"{out} cannot be made ({error.strerror}); give another folder", param_hint="--out") from None
    if not os.access(out, os.W_OK):
        raise typer.BadParameter(f"{out} cannot be written; give another folder", param_hint="--out")
