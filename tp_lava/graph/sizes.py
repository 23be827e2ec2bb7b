"""Checks of how many units and classes there are. Each raises InvalidValueError, naming what does not fit."""

from __future__ import annotations

from tp_lava.checks import is_whole
from tp_lava.errors import invalid


def check_size(obj: str, value: object, least: int = 1) -> None:
    """Refuse a number of units that is none."""
    if not is_whole(value, least):
        raise invalid(obj, "size", repr(value), f"an integer of at least {least}", "give the number of units")


def check_classes(n_classes: object) -> None:
    """Refuse a number of classes that is none: one class leaves nothing to tell apart."""
    if not is_whole(n_classes, 2):
        remedy = "give data of two classes or more, and count the classes from label 0"
        raise invalid("Network", "number of classes", repr(n_classes), "an integer of at least 2", remedy)
