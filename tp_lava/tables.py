"""Rich tables as text, and the screen: what comes from files stands there as it is, and is neither markup nor an escape sequence."""

from __future__ import annotations

import io
from typing import Any


def screen(**options: Any) -> Any:
    """A rich Console that takes no text for markup or emoji. options: of Console."""
    from rich.console import Console

    return Console(markup=False, emoji=False, **options)


def as_text(table: Any, width: int = 200) -> str:
    """A rich Table without colours and without blanks at the ends of its lines. width: in characters."""
    text = io.StringIO()
    screen(file=text, width=width, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())
