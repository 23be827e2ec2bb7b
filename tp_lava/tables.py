"""Rich tables as text."""

from __future__ import annotations

import io
from typing import Any

WIDTH = 200  # characters


def as_text(table: Any) -> str:
    """A rich Table without colours and without blanks at the ends of its lines."""
    from rich.console import Console

    text = io.StringIO()
    Console(file=text, width=WIDTH, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())
