"""Where a network comes from: the format that it was converted from, and what became of every parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tp_lava.errors import invalid

Outcome = Literal["kept", "rescaled", "folded", "added", "ignored"]


@dataclass(frozen=True)
class ParameterRecord:
    """What became of one parameter of the source. path: its layer in the source; detail: the numbers, in a few words.

    what: kept: the same numbers; rescaled: times a factor, or in other units; folded: into another parameter; added: not in the
    source; ignored: without effect on what the network computes (a dropout, a training option), listed for completeness.
    """

    path: str
    parameter: str
    what: Outcome
    detail: str = ""

    def __post_init__(self) -> None:
        for name in ("path", "parameter", "what", "detail"):
            if not isinstance(getattr(self, name), str):
                raise invalid("ParameterRecord", name, repr(getattr(self, name))[:60], "text", "convert the source again")

    def __str__(self) -> str:
        return f"{self.path}.{self.parameter}: {self.what}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True)
class Provenance:
    """format: "nir", "snntorch", ...; records: of every parameter, in the order of the source; fixed: the FixedPoint in which
    the source itself holds it, to be given as a Learner's precision; None where it has no integers; verification: how the network
    was run beside its source, or why it was not; "" where nobody was asked to.
    """

    format: str
    records: tuple[ParameterRecord, ...] = ()
    fixed: Any = None
    verification: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "records", tuple(self.records))
        if not all(isinstance(record, ParameterRecord) for record in self.records):
            raise invalid("Provenance", "records", repr(self.records)[:60], "ParameterRecords", "convert the source again")
        for name in ("format", "verification"):
            if not isinstance(getattr(self, name), str):
                raise invalid("Provenance", name, repr(getattr(self, name))[:60], "text", "convert the source again")

    def __str__(self) -> str:
        return "\n".join([f"from {self.format}", *map(str, self.records), *([self.verification] if self.verification else [])])
