"""Docstrings as Markdown, for mkdocs: what means something else there is escaped, all but the indented equations."""

from __future__ import annotations

from typing import Any

import griffe

_MARKUP = str.maketrans({"<": "&lt;", "*": r"\*", "|": r"\|"})
_OPENING = ("Ports", "Var:", "Vars:", "Hardware:", "Time:", "Raises", "Warns", "Source:", "Attribute")  # paragraphs of their own


def as_markdown(text: str) -> str:
    """A docstring's text; indented lines are code, and stay as they are."""
    lines = (f"\n{line}" if line.startswith(_OPENING) else line for line in text.splitlines())
    return "\n".join(line if line.startswith("    ") else _escaped(line) for line in lines)


def _escaped(line: str) -> str:
    """What stands between backquotes stays as it is."""
    return "`".join(part if number % 2 else part.translate(_MARKUP) for number, part in enumerate(line.split("`")))


class Docstrings(griffe.Extension):
    """Every docstring of the package."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Called by griffe for each thing it has read."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)
