"""Results as text: tables, values that JSON can hold, and a screen on which what comes from files is neither markup nor escapes."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

WIDTH = 200  # characters


def screen(**options: Any) -> Any:
    """A rich Console that takes no text for markup or emoji. options: of Console."""
    from rich.console import Console

    return Console(markup=False, emoji=False, **options)


def as_text(table: Any) -> str:
    """A rich Table without colours and without blanks at the ends of its lines."""
    text = io.StringIO()
    screen(file=text, width=WIDTH, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows of the same columns as a table in Markdown."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def json_values(value: Any) -> Any:
    """A nest of mappings and sequences as strict JSON has it: lists, and None for NaN and infinity."""
    if isinstance(value, Mapping):
        return {key: json_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
