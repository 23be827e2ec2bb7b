"""Rich tables as text."""

from __future__ import annotations

import io
from typing import Any


def as_text(table: Any, width: int = 200) -> str:
    """A rich Table without colours and without blanks at the ends of its lines. width: in characters."""
    from rich.console import Console

    text = io.StringIO()
    Console(file=text, width=width, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())
