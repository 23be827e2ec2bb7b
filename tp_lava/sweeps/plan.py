"""What a sweep is of: a command, its options, grids or ranges of some of them, and seeds; read from TOML, and checked before anything runs.

A trial is the effective configuration of one run of the command. Its key is the SHA-256 of that configuration, of the files that it names,
and of the library's version: the same work has the same key, on whatever machine and in whatever order.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import typer

from tp_lava.commands import configuration
from tp_lava.commands.comparing import compare_rules
from tp_lava.commands.finetuning import finetune
from tp_lava.commands.informing import versions
from tp_lava.commands.quantising import quantise
from tp_lava.commands.training import train
from tp_lava.errors import TpLavaError, invalid

_app = typer.Typer()
_app.command("train")(train)
_app.command("finetune")(finetune)
_app.command("quantise")(quantise)
_app.command("compare-rules")(compare_rules)
COMMANDS: Mapping[str, Any] = typer.main.get_command(_app).commands  # type: ignore[attr-defined]
USAGE_ERROR: Any = typer.BadParameter.__mro__[1]  # click's, which some versions of typer vendor
_OWN = ("sweep", "grid", "search")  # sections beside the command's
_OF_SWEEP = ("seeds", "search", "measure", "generation")
_KEY = 16  # characters
GENERATION = 8  # settings that a search proposes together


@dataclass(frozen=True)
class Trial:
    """One run of a command. settings: every option that affects its result, defaults included; setting: the same without the seed's."""

    command: str
    settings: Mapping[str, Any]

    @property
    def key(self) -> str:
        """See the module."""
        files = {value: _checksum(value, os.stat(value).st_mtime_ns) for value in map(str, self.settings.values()) if os.path.isfile(value)}
        work = [self.command, dict(self.settings), files, _version()]
        return hashlib.sha256(json.dumps(work, sort_keys=True).encode()).hexdigest()[:_KEY]

    @property
    def setting(self) -> tuple[tuple[str, str], ...]:
        """What trials that differ in their seed alone have in common."""
        return tuple((name, json.dumps(value)) for name, value in sorted(self.settings.items()) if name != "seed")


@dataclass(frozen=True)
class Range:
    """Values that a search may choose: choices, or numbers from low to high, whole where both are, on a logarithmic scale if log."""

    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False


@dataclass(frozen=True)
class Plan:
    """fixed: options of all trials; grids: key -> values, every combination of each grid; ranges: of a search; seeds: empty for the
    command's own; search: number of settings to try, 0 for grids; measure: what counts, "" for the command's usual one.
    """

    source: str
    command: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    grids: tuple[Mapping[str, Sequence[Any]], ...] = ({},)
    ranges: Mapping[str, Range] = field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    search: int = 0
    measure: str = ""
    generation: int = GENERATION
    first: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.search and not self.ranges:
            raise self.invalid("search", "given without ranges", "used with a section [search]", "give for example rate = [1e-4, 1e-3]")
        if self.seeds and "seed" not in configuration.keys_of(COMMANDS[self.command]):
            raise self.invalid("seeds", f"given for {self.command}", "left out", "this command has its own number of seeds")
        if self.seeds and any("seed" in names for names in (self.fixed, self.ranges, *self.grids)):
            raise self.invalid("seeds", "given beside seed", "given alone", "leave one of them out")
        list(self.trials())

    def invalid(self, attr: str, found: object, limit: str, remedy: str) -> TpLavaError:
        """An error of this plan."""
        return invalid(self.source, attr, found, limit, remedy)

    @property
    def varied(self) -> list[str]:
        """Options that are not the same everywhere, in the order of the file."""
        names = dict.fromkeys([*(name for grid in self.grids for name in grid), *self.ranges])
        return [*names, *(["seed"] if self.seeds and "seed" not in names else [])]

    def trials(self) -> Iterator[Trial]:
        """Of the grids, each once; of a search those at the ends of its ranges, which checks them. Raises InvalidValueError."""
        if self.ranges:
            ends = {name: range_.choices or (range_.low, range_.high) for name, range_ in self.ranges.items()}
            first = {name: values[0] for name, values in ends.items()}
            chosen = [("search", {**first, name: value}) for name, values in ends.items() for value in values]
        else:
            chosen = [("grid", dict(zip(grid, values, strict=True))) for grid in self.grids for values in product(*grid.values())]
        seen = set[str]()
        for section, values in chosen:
            for trial in self.of_setting(section, values):
                if trial.key not in seen:
                    seen.add(trial.key)
                    yield trial

    def of_setting(self, section: str, values: Mapping[str, Any]) -> list[Trial]:
        """The trials of one setting, one for each seed. section: where its values stand, for errors."""
        if not self.seeds:
            return [self._trial(section, values)]
        one = self._trial(section, {**values, "seed": self.seeds[0]})
        return [replace(one, settings={**one.settings, "seed": seed}) for seed in self.seeds]

    def _trial(self, section: str, values: Mapping[str, Any]) -> Trial:
        command = COMMANDS[self.command]
        given = configuration.as_given(command, self.source, self.command, self.fixed)
        given |= configuration.as_given(command, self.source, section, values)
        try:
            context = command.make_context(self.command, [], default_map=given)
        except USAGE_ERROR as error:
            name = getattr(getattr(error, "param", None), "name", None)
            key = next((key for key, param in configuration.keys_of(command).items() if param.name == name), "")
            place, value = (section, values[key]) if key in values else (self.command, self.fixed.get(key, "left out"))
            said = error.message if error.message else "it is required"
            raise self.invalid(f"[{place}] {key}", repr(value), f"as tp-lava {self.command} takes it", said.rstrip(".")) from None
        return Trial(self.command, configuration.effective(context)[self.command])


@lru_cache
def _version() -> str | None:
    return versions()["tp-lava"]


@lru_cache(maxsize=64)
def _checksum(file: str, _modified: int) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


# Reading -----------------------------------------------------------------------------------------


def read_plan(source: str | os.PathLike | Mapping[str, Any], given: Mapping[str, Any]) -> Plan:
    """The plan in a TOML file or in a mapping like one. given: options that win over its section [sweep], None where they are left to it.

    Raises FileNotFoundError, InvalidValueError, which names the file and the place in it.
    """
    name = "sweep" if isinstance(source, Mapping) else os.fspath(source)
    sections = source if isinstance(source, Mapping) else configuration.read(Path(source))
    own = {section: sections.get(section, {}) for section in _OWN}
    commands = [section for section in sections if section not in _OWN]
    for section in commands:
        configuration.check_section(name, section, sections[section], [*_OWN, *COMMANDS])
    if len(commands) != 1:
        found = f"of {', '.join(commands) or 'no command'}"
        raise invalid(name, "sweep", found, f"of one command: a section of {', '.join(COMMANDS)}", "an empty one has the defaults")
    options = _of_sweep(name, own["sweep"]) | {key: value for key, value in given.items() if value is not None}
    grids = own["grid"] if isinstance(own["grid"], list) else [own["grid"]]
    ranges, searched = _keyed(_table(name, "search", own["search"])), _whole(name, "search", options.get("search", 0), 0)
    if ranges and not searched and not any(grids):
        raise invalid(name, "[search]", "given alone", "used with a number of settings to try", "give --search N")
    return Plan(
        name,
        commands[0],
        _keyed(sections[commands[0]]),
        tuple(_grid(name, grid) for grid in grids) if not searched else ({},),
        {key: _range(name, key, value) for key, value in ranges.items()} if searched else {},
        _seeds(name, options.get("seeds")),
        searched,
        str(options.get("measure", "")),
        _whole(name, "generation", options.get("generation", GENERATION), 1),
    )


def _of_sweep(name: str, values: Any) -> dict[str, Any]:
    for key in _table(name, "sweep", values):
        if key not in _OF_SWEEP:
            raise configuration.unknown(name, f"[sweep] {key}", key, _OF_SWEEP, f"one of {', '.join(_OF_SWEEP)}")
    return dict(values)


def _table(name: str, section: str, values: Any) -> Mapping[str, Any]:
    if not isinstance(values, Mapping):
        raise invalid(name, f"[{section}]", repr(values), "a section of lines such as rate = [1e-4, 1e-3]", f"write [{section}] above them")
    return values


def _keyed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Keys as options have them."""
    return {key.replace("_", "-"): value for key, value in values.items()}


def _grid(name: str, values: Any) -> dict[str, list[Any]]:
    grid = {
        key: list(value) if isinstance(value, list | tuple | range) else [value]
        for key, value in _keyed(_table(name, "grid", values)).items()
    }
    for key, listed in grid.items():
        if not listed:
            raise invalid(name, f"[grid] {key}", "empty", "a list of at least one value", "or leave it out")
    return grid


def _range(name: str, key: str, value: Any) -> Range:
    if isinstance(value, list) and value:
        return Range(choices=tuple(value))
    given = {"low": None, "high": None, "log": False, **value} if isinstance(value, Mapping) else {}
    low, high, log = (given.get(end) for end in ("low", "high", "log"))
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high))
    if len(given) != 3 or not isinstance(log, bool) or not numbers or not low < high:  # type: ignore[operator]
        limit = "a list of choices, or {low = 1e-4, high = 1e-2, log = true} with low < high"
        raise invalid(name, f"[search] {key}", repr(value), limit, "log is left out for an even scale")
    if log and low <= 0:  # type: ignore[operator]
        raise invalid(name, f"[search] {key}", f"from {low} on a logarithmic scale", "of a low above 0", "or leave log out")
    return Range((), low, high, log)  # type: ignore[arg-type]


def _seeds(name: str, value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    seeds = value if isinstance(value, list) else range(_whole(name, "seeds", value, 1))
    if not seeds:
        raise invalid(name, "[sweep] seeds", "empty", "a number of seeds, or a list of them", "or leave it out")
    return tuple(dict.fromkeys(_whole(name, "seeds", seed, 0) for seed in seeds))


def _whole(name: str, key: str, value: Any, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise invalid(name, f"[sweep] {key}", repr(value), f"a whole number of at least {least}", "correct it")
    return value
