"""Comparisons that were measured, as `tp-lava compare-rules` saves them: see docs/rules.md for the commands."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from tp_lava.errors import invalid

NAMES = ("digits", "digits50", "nmnist", "spoken")  # digits50: with 50 hidden neurons


def measured(name: str) -> dict[str, Any]:
    """One of NAMES: task, hidden neurons, epochs, and rows of which each is a comparison.Row as a dict. Raises InvalidValueError."""
    if name not in NAMES:
        raise invalid("measured", "name", repr(name), f"one of {', '.join(NAMES)}", "correct the name")
    return json.loads(files(__package__).joinpath(f"{name}.json").read_text("utf-8"))
