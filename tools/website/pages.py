"""Pages that mkdocs makes from what is there: the commands and their options, and the notebooks with their outputs."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from enum import EnumMeta
from pathlib import Path
from typing import Any, get_args, get_origin

import typer
from mkdocs.structure.files import File, Files

from tp_lava.cli import app

REPOSITORY = Path(__file__).resolve().parents[2]


def on_files(files: Files, *, config: Any, **_: Any) -> Files:
    """Called by mkdocs, once it has listed the pages that are files."""
    files.append(File.generated(config, "reference/commands.md", content=commands_page()))
    for path in sorted((REPOSITORY / "notebooks").glob("*.ipynb")):
        page, pictures = notebook_page(path)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=page))
        for name, picture in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=picture))
    return files


# Commands ----------------------------------------------------------------------------------------


def commands_page() -> str:
    """Each command of tp-lava: what it does, its arguments and its options in a table."""
    lines = ["# Commands", "", "Every command with its options. (Made from the program; `tp-lava COMMAND --help` says the same.)", ""]
    for name, command in sorted(typer.main.get_command(app).commands.items()):  # type: ignore[attr-defined]
        lines += [f"## tp-lava {name}", "", _cell(command.help or ""), "", "| option | values | default | meaning |", "|---|---|---|---|"]
        lines += [_row(parameter) for parameter in command.params if not parameter.hidden]
        lines.append("")
    return "\n".join(lines)


def _row(parameter: Any) -> str:
    name = parameter.name.upper() if parameter.param_type_name == "argument" else ", ".join((*parameter.opts, *parameter.secondary_opts))
    bare = callable(parameter.default) or parameter.default in (None, (), [], "", False)
    default = "" if bare else "on" if parameter.default is True else f"`{parameter.default}`"
    return f"| `{name}` | {_cell(_values(parameter))} | {default} | {_cell(parameter.help or '')} |"


def _values(parameter: Any) -> str:
    """What may be given, in words."""
    several, kind = "", parameter.type_descriptor.annotation
    if get_origin(kind) is list:
        several, (kind,) = ", several times", get_args(kind)
    elif get_origin(kind) is tuple:
        several, kind = f", {len(get_args(kind))} of them", get_args(kind)[0]
    if kind is bool:
        return "flag"
    choices = [choice.value for choice in kind] if issubclass(type(kind), EnumMeta) else get_args(kind)
    low, high = getattr(parameter, "min", None), getattr(parameter, "max", None)
    if choices:
        words = ", ".join(map(str, choices))
    else:
        words = {"str": "text", "int": "whole number", "float": "number", "Path": "file"}.get(kind.__name__, kind.__name__)
    if low is not None or high is not None:
        words += f" {low}..{high}" if None not in (low, high) else f" >= {low}" if high is None else f" <= {high}"
    return words + several


def _cell(text: str) -> str:
    """Text for a cell of a table: on one line, and nothing taken for markup."""
    return re.sub(r"([|*\[])", r"\\\1", " ".join(text.split())).replace("<", "&lt;")


# Notebooks ---------------------------------------------------------------------------------------


def notebook_page(path: Path) -> tuple[str, dict[str, bytes]]:
    """A notebook as it was executed. -> (Markdown, the pictures by their names)."""
    pictures: dict[str, bytes] = {}
    parts: list[str] = []
    for number, cell in enumerate(json.loads(path.read_text())["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for place, output in enumerate(cell["outputs"]):
            parts += _shown(output, f"{path.stem}-{number}-{place}.png", pictures)
    return "\n\n".join(parts) + "\n", pictures


def _shown(output: dict[str, Any], name: str, pictures: dict[str, bytes]) -> Iterator[str]:
    """One output of a cell: a picture, Markdown or text."""
    data = output.get("data", {"text/plain": output.get("text", "")})
    if "image/png" in data:
        pictures[name] = base64.b64decode(data["image/png"])
        yield f"![]({name})"
    elif "text/markdown" in data:
        yield "".join(data["text/markdown"])
    else:
        yield "```text\n" + "".join(data["text/plain"]).rstrip("\n") + "\n```"
