"""What the range analysis finds: one entry a number, as a table, as JSON-able values and in one line."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tp_lava.errors import NumberRangeError
from tp_lava.tables import as_text

FITS = "fits"
CLAMPED = "clamped"  # a weight that learns, kept in its format on purpose
CLIPPED = "clipped"  # a weight that was beyond its format when it was rounded
SILENT = "never spikes"
MAY_SATURATE = "may saturate"  # in the worst case: information
ERROR = "error"


@dataclass(frozen=True)
class Entry:
    """One number. low, high: the proven interval of its mantissa; format: as held, s or u, bits, a point, fractional bits.

    layer: name of the population, readout, or of a rule's own; program: that computes it, "" for a buffer (accumulator, state, weight,
    parameter, output); name: of the buffer or, of an intermediate, the port it goes into, its place in the program's listing and
    the ports it is made from; bits_used: of its magnitude and sign; head_room: bits more that it could take, negative where
    it does not fit; verdict: see the constants here; note: why; operation, value: of the circuit's step and its program, -1 for
    a buffer.
    """

    layer: str
    program: str
    name: str
    low: int
    high: int
    format: str
    bits_used: int
    head_room: int
    verdict: str = FITS
    note: str = ""
    operation: int = -1
    value: int = -1

    @property
    def message(self) -> str:
        """An error's, in one sentence."""
        return f"{self.layer}: {f'{self.program} ' if self.program else ''}{self.name} {self.note}."


@dataclass(frozen=True)
class RangeReport:
    """All numbers of a fixed-point circuit. steps: of a sample, for which sums are proven, or None; learning: with learning on."""

    entries: tuple[Entry, ...]
    steps: int | None
    learning: bool

    @property
    def problems(self) -> tuple[Entry, ...]:
        """What does not fit."""
        return tuple(entry for entry in self.entries if entry.verdict == ERROR)

    @property
    def may_saturate(self) -> tuple[str, ...]:
        """Names of what saturates in the worst case."""
        return tuple(_full_name(entry) for entry in self.entries if entry.verdict == MAY_SATURATE)

    def check(self) -> RangeReport:
        """Itself. Raises NumberRangeError that names layer, value, bound, limit and remedy of everything that does not fit."""
        if self.problems:
            first = self.problems[0]
            raise NumberRangeError("\n".join(entry.message for entry in self.problems), obj=first.layer, attr=first.name)
        return self

    def line(self) -> str:
        """In one line."""
        parts = [f"{len(self.entries) - len(self.problems)} values proven"]
        for verdict, words in ((MAY_SATURATE, MAY_SATURATE), (SILENT, SILENT), (ERROR, "does not fit")):
            names = [_full_name(entry) for entry in self.entries if entry.verdict == verdict]
            if names:
                parts.append(f"{len(names)} {words}: {', '.join(names)}")
        return f"ranges: {'; '.join(parts)}"

    def summary(self) -> dict[str, Any]:
        """The line's numbers, JSON-able."""
        verdicts = Counter(entry.verdict for entry in self.entries)
        return {"steps": self.steps, "learning": self.learning, "verdicts": dict(verdicts), "may_saturate": list(self.may_saturate)}

    def to_dict(self) -> dict[str, Any]:
        """Everything, JSON-able."""
        return {**self.summary(), "entries": [dataclasses.asdict(entry) for entry in self.entries]}

    def table(self, intermediates: bool = False, width: int = 200):
        """A rich Table of the buffers and of every value that more than fits.

        intermediates: of all values of all programs; width: in characters, below 160 without lines and with fewer columns.
        """
        from rich.box import HEAVY_HEAD
        from rich.table import Table

        columns = _COLUMNS if width >= _WIDE else _FEWER
        drawn = Table(title=self.line(), title_justify="left", box=HEAVY_HEAD if width >= _WIDE else None, pad_edge=width >= _WIDE)
        for column in columns:
            drawn.add_column(column, justify="right" if column in _NUMBERS else "left", overflow="fold")
        for entry in self.entries:
            if intermediates or not entry.program or entry.verdict != FITS:
                cells = _cells(entry)
                drawn.add_row(*(cells[column] for column in columns))
        return drawn

    def notes(self) -> str:
        """A line for each number that does more than fit, with why."""
        return "\n".join(f"{_full_name(entry)}: {entry.note}" for entry in self.entries if entry.note and entry.verdict != FITS)

    def __str__(self) -> str:
        return as_text(self.table())


_COLUMNS = ("layer", "program", "name", "proven", "format", "bits", "head-room", "verdict", "note")
_FEWER = ("name", "proven", "format", "head-room", "verdict")
_NUMBERS = ("proven", "bits", "head-room")
_WIDE = 160  # characters that all columns take


def _cells(entry: Entry) -> dict[str, str]:
    proven = str(entry.low) if entry.low == entry.high else f"{entry.low} .. {entry.high}"
    held = {"layer": entry.layer, "program": entry.program, "name": entry.name, "proven": proven, "format": entry.format}
    return held | {"bits": str(entry.bits_used), "head-room": str(entry.head_room), "verdict": entry.verdict, "note": entry.note}


def _full_name(entry: Entry) -> str:
    return f"{entry.program} {entry.name}" if entry.program else entry.name
