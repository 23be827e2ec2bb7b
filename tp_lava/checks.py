"""What counts as a number at the door: bools do not, NumPy scalars do; and which class a name means."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tp_lava.errors import invalid


def is_whole(value: Any, low: float = -math.inf, high: float = math.inf) -> bool:
    """Whether value is an integer with low <= value < high."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool | np.bool_) and low <= int(value) < high


def is_number(value: Any, low: float = -math.inf, high: float = math.inf) -> bool:
    """Whether value is a finite real number with low <= value < high."""
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool | np.bool_)
    return real and math.isfinite(value) and low <= value < high


def register(types: dict[str, Any], obj: str, cls: type) -> None:
    """Know a class by its name, as files do. Raises InvalidValueError for a name that another one has."""
    known = types.setdefault(cls.__name__, cls)
    if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise invalid(obj, "name", repr(cls.__name__), f"none that {known.__module__} has", "give it another one")
    types[cls.__name__] = cls
