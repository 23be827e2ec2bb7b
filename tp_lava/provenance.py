"""Where a network comes from: the format it was converted from, and what became of every parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

What = Literal["kept", "rescaled", "folded", "added", "ignored"]


@dataclass(frozen=True)
class Fate:
    """What became of one parameter of the source. path: of the layer there; detail: the numbers, in a few words.

    kept: the same numbers; rescaled: times a factor, or in other units; folded: into another parameter; added: not in the
    source; ignored: without effect on what the network computes (a dropout, a training option), said for completeness.
    """

    path: str
    parameter: str
    what: What
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.path}.{self.parameter}: {self.what}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True)
class Provenance:
    """format: "nir", "snntorch", ...; fates: in the order of the source; fixed: the FixedPoint in which the source itself
    holds it, to be given as a Learner's precision; None where it has no integers.
    """

    format: str
    fates: tuple[Fate, ...] = ()
    fixed: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "fates", tuple(self.fates))

    def __str__(self) -> str:
        return "\n".join([f"from {self.format}", *map(str, self.fates)])
