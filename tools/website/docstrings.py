"""Docstrings as Markdown, for mkdocs: parameters in a table, and marks of Markdown escaped, but for the indented equations.

Docstrings say what a parameter is as `name: what it is; other, another: what they are.`, up to the end of the sentence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import griffe

_MARKUP = str.maketrans({"<": "&lt;", "*": r"\*", "|": r"\|"})
_OPENING = ("Ports", "Var:", "Vars:", "Hardware:", "Time:", "Raises", "Warns", "Source:", "Attribute")  # paragraphs of their own
_END = re.compile(r"\.(?=\s|$)")


def as_markdown(text: str, parameters: Sequence[str] = ()) -> str:
    """A docstring's text; indented lines are code, and stay as they are. parameters: those of a table, which griffe makes of a section."""
    rest, said = _described(text, parameters)
    lines = (f"\n{line}" if line.startswith(_OPENING) else line for line in rest.splitlines())
    shown = "\n".join(line if line.startswith("    ") else _escaped(line) for line in lines)
    if not said:
        return shown
    table = "\n".join(f"{name}\n    {_escaped(said.get(name, ''))}" for name in parameters)
    return f"{shown}\n\nParameters\n----------\n{table}"


def _described(text: str, parameters: Sequence[str]) -> tuple[str, dict[str, str]]:
    """-> (the text without what it says of parameters, that, by parameter)."""
    if not parameters:
        return text, {}
    name = "|".join(sorted(map(re.escape, parameters), key=len, reverse=True))
    opening = re.compile(rf"(?:^|(?<=[\s(]))((?:{name})(?:,\s(?:{name}))*):\s")
    said: dict[str, str] = {}
    blocks = re.split(r"((?:^    .*\n?)+)", text, flags=re.MULTILINE)  # every other one is indented
    return "".join(block if place % 2 else _taken(block, opening, said) for place, block in enumerate(blocks)), said


def _taken(block: str, opening: re.Pattern, said: dict[str, str]) -> str:
    kept, place, found = [], 0, list(opening.finditer(block))
    for number, start in enumerate(found):
        limit = found[number + 1].start() if number + 1 < len(found) else len(block)
        end = next((e for e in _END.finditer(block, start.end(), limit)), None)
        stop = end.end() if end else limit
        kept.append(block[place : start.start()])
        for name in re.split(r",\s", start[1]):
            said[name] = " ".join(block[start.end() : end.start() if end else limit].split()).rstrip(",;")
        place = stop
    return re.sub(r"[ ]+\n", "\n", re.sub(r"(?m)^[ ]", "", "".join([*kept, block[place:]])))


def _escaped(line: str) -> str:
    """What stands between backquotes stays as it is."""
    return "`".join(part if number % 2 else part.translate(_MARKUP) for number, part in enumerate(line.split("`")))


def parameters_of(obj: Any) -> list[str]:
    """Of a function, or of a class, whose __init__ griffe makes of the fields of a dataclass."""
    made = obj if obj.is_function else obj.members.get("__init__")
    return [p.name for p in made.parameters if p.name not in ("self", "cls")] if made is not None and made.is_function else []


class Docstrings(griffe.Extension):
    """Every docstring of the package."""

    def on_package(self, *, pkg: Any, **_: Any) -> None:
        """Called by griffe when it has read a package."""
        self._walk(pkg)

    def _walk(self, obj: Any) -> None:
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value, parameters_of(obj))
        members: Mapping[str, Any] = obj.members
        for member in members.values():
            if not member.is_alias:
                self._walk(member)
