"""Configuration files: TOML with one section per command; flags win over the file. The configuration of a run is written as such a file.

A key is an option's name without its dashes, or an argument's. Every option that affects a result is written, defaults included; options
that say where results go or how they are shown are not.
"""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tp_lava.errors import TpLavaError, invalid, printable
from tp_lava.saving import write_whole

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NAME = "config.toml"  # beside the results
_NOT_WRITTEN = {"out", "plot", "json", "progress", "processes", "workers", "scheduler", "cost"}  # they do not affect results
_NOT_IN_FILES = {"config", "resume", "help"}  # they say where a configuration is


def from_file(context: typer.Context, file: Path | None) -> Path | None:
    """Callback of --config: the file's section for this command gives the defaults of the options."""
    if file is not None:
        context.default_map = _defaults(context, file)
    return file


def from_run(context: typer.Context, folder: Path | None) -> Path | None:
    """Callback of --resume: as --config with the file in a folder, which is written to again."""
    if folder is not None:
        context.default_map = {**_defaults(context, folder / NAME), "out": str(folder)}
    return folder


Config = Annotated[Path | None, typer.Option(is_eager=True, callback=from_file, help="TOML file with options; flags win. See docs/cli.md.")]


def effective(context: typer.Context) -> dict[str, dict[str, Any]]:
    """{command: {key: value}}: every option that affects the results, as TOML and JSON values, files as absolute paths."""
    values = {key: _plain(context.params.get(param.name)) for key, param in keys_of(context.command).items() if key not in _NOT_WRITTEN}
    return {str(context.info_name): {key: value for key, value in values.items() if value not in (None, [])}}


def save(context: typer.Context, file: Path) -> Path:
    """Write the effective configuration; `--config FILE` repeats the run. -> the file."""
    text = f"# tp-lava {context.info_name} --config {file.name}\n\n{to_toml(effective(context))}"
    write_whole(file, printable(text).encode())
    return file


def beside(file: Path) -> Path:
    """The configuration's file where the result is a file, not a folder."""
    return file.with_suffix(".toml")


def to_toml(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """Sections of strings, booleans, numbers, and lists and tables of them as TOML 1.0; keys must be bare ones."""
    blocks = (f"[{name}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in values.items()) for name, values in sections.items())
    return "\n".join(blocks)


def _toml(value: Any) -> str:
    if isinstance(value, str):  # a basic string escapes as JSON does, and DEL
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key} = {_toml(item)}' for key, item in value.items())}}}"
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, list) else repr(value)


def read(file: Path) -> dict[str, Any]:
    """The sections of a TOML file. Raises FileNotFoundError, InvalidValueError."""
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    try:
        return tomllib.loads(file.read_bytes().decode())
    except (ValueError, RecursionError) as error:
        limit = "sections such as [train] with lines such as epochs = 5"
        raise invalid(str(file), "text", f"not TOML ({error})", limit, "correct the file") from None


def keys_of(command: Any) -> dict[str, Any]:
    """key -> parameter of a command, of those that a file may hold."""
    keys = {max(param.opts, key=len).lstrip("-"): param for param in command.params}
    return {key: param for key, param in keys.items() if key not in _NOT_IN_FILES}


def _defaults(context: typer.Context, file: Path) -> dict[str, Any]:
    """name of a parameter -> its value in the file."""
    sections, name = read(file), str(context.info_name)
    for section, values in sections.items():
        check_section(str(file), section, values, _configurable(context))
    return as_given(context.command, str(file), name, sections.get(name, {}))


def as_given(command: Any, source: str, section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """name of a parameter -> its value as on the command line, for a context's default_map. source, section: where the values stand.

    Raises InvalidValueError.
    """
    keys, found = keys_of(command), {}
    for written, value in values.items():
        key, place = written.replace("_", "-"), f"[{section}] {written}"
        if key not in keys:
            raise unknown(source, place, key, keys, f"an option of tp-lava {command.name}")
        found[keys[key].name] = _as_text(source, place, keys[key], value)
    return found


def _configurable(context: typer.Context) -> list[str]:
    """Commands that take a configuration."""
    commands: Mapping[str, Any] = getattr(context.parent.command, "commands", {}) if context.parent else {}
    return [name for name, command in commands.items() if any(param.name == "config" for param in command.params)]


def check_section(source: str, section: str, values: Any, known: Iterable[str]) -> None:
    """Raise InvalidValueError for what is no section, or not one of the known ones."""
    if section not in known or not isinstance(values, dict):
        what = section if isinstance(values, dict) else f"{section}, outside of a section,"
        raise unknown(source, what, section, known, f"a section of {', '.join(known)}")


def unknown(source: str, attr: str, key: str, known: Iterable[str], limit: str) -> TpLavaError:
    """The error of a name that is not known, with the nearest one that is."""
    near = difflib.get_close_matches(key, list(known), 1, 0)
    return invalid(source, attr, "unknown", limit, f"the nearest is {near[0]}" if near else "leave it out")


def _as_text(source: str, attr: str, param: Any, value: Any) -> Any:
    """A value as on the command line, where it is then checked: as text, so that 3.5 is no integer and true no number."""
    if getattr(param, "is_flag", False):
        if not isinstance(value, bool):
            raise invalid(source, attr, repr(value), "true or false", "write it without quotes")
        return value
    parts = value if isinstance(value, list) else [value]
    if (isinstance(value, list) and not param.multiple) or not all(isinstance(part, str | int | float) for part in parts):
        raise invalid(source, attr, repr(value), "a list" if param.multiple else "one value", "see tp-lava --help for the option")
    texts = [part if isinstance(part, str) else json.dumps(part) for part in parts]
    return texts if param.multiple else texts[0]


def _plain(value: Any) -> Any:
    """As a TOML value; a file as an absolute path, so that the run can be repeated from another folder."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path) or (isinstance(value, str) and Path(value).suffix and Path(value).is_file()):
        return str(Path(value).resolve())
    return value
