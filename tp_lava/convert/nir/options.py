"""How an exporter meant its graphs, which NIR does not say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tp_lava.checks import is_number
from tp_lava.errors import invalid

Drive = Literal["current", "jump"]

EXPORTERS: Mapping[str, Mapping[str, Any]] = {
    "snntorch": {"dt": 1e-4, "reset": "subtract", "reset_delay": True},
    "norse": {"dt": 1e-6, "synapse_input": "jump"},
    "sinabs": {"dt": 1.0, "decay": "exponential", "reset": "subtract", "comparison": ">="},
}
_ALLOWED: Mapping[str, tuple[Any, ...]] = {
    "reset": ("subtract", "zero", None),
    "reset_delay": (True, False),
    "decay": ("euler", "exponential"),
    "comparison": (">=", ">", None),
    "membrane_input": ("current", "jump"),
    "synapse_input": ("current", "jump"),
}


@dataclass(frozen=True)
class Options:
    """The options of read_nir."""

    dt: float | None
    reset: Literal["subtract", "zero"] | None
    reset_delay: bool
    decay: Literal["euler", "exponential"]
    comparison: Literal[">=", ">"] | None
    membrane_input: Drive
    synapse_input: Drive

    def __post_init__(self) -> None:
        if self.dt is not None and not (is_number(self.dt) and self.dt > 0):
            raise invalid("read_nir", "dt", repr(self.dt), "a number > 0", "give the length of a step in seconds")
        for name, allowed in _ALLOWED.items():
            found = getattr(self, name)
            if not isinstance(found, str | bool | None) or found not in allowed:
                remedy = "EXPORTERS has the options of some libraries"
                raise invalid("read_nir", name, repr(found), "one of " + ", ".join(map(repr, allowed)), remedy)
