"""What all pictures share: colours that the colour-blind tell apart, thin lines on white, and the check of what is drawn on.

Colours: M. Okabe and K. Ito, Color Universal Design (2008). Fields of numbers are green (from zero on) or purple to orange (about zero).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec

import numpy as np
from matplotlib.axes import Axes

from tp_lava.checks import is_whole
from tp_lava.errors import invalid

INK, GREY, PALE = "#000000", "#999999", "#E5E5E5"
BLUE, VERMILION, GREEN, ORANGE, SKY, PURPLE = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7"
SERIES = (BLUE, VERMILION, GREEN, ORANGE, SKY, PURPLE, INK)
OTHERS = (BLUE, GREEN, ORANGE, SKY, PURPLE, GREY)  # beside what vermilion sets off
COLOURS = {"float": BLUE, "fixed": VERMILION, "frozen": GREY, "before": SKY, "trace": GREEN, "spike": INK}
FROM_ZERO, ABOUT_ZERO = "Greens", "PuOr_r"
_DASHES = ("-", "--", ":")

P = ParamSpec("P")


def drawing(draw: Callable[Concatenate[Axes, P], Axes]) -> Callable[Concatenate[Axes, P], Axes]:
    """A picture: its first argument is the Axes it draws on and returns, whose upper and right spines it takes away."""

    @wraps(draw)
    def drawn(axes: Axes, *args: P.args, **kwargs: P.kwargs) -> Axes:
        if not isinstance(axes, Axes):
            raise invalid(f"plots.{draw.__name__}", "axes", f"of type {type(axes).__name__}", "a matplotlib Axes", "use plt.subplots()[1]")
        axes.spines[["top", "right"]].set_visible(False)
        return draw(axes, *args, **kwargs)

    return drawn


def line_style(place: int, name: str = "", colours: Sequence[str] = SERIES) -> dict[str, Any]:
    """Colour and dashes of line number `place`; names among COLOURS have a colour of their own."""
    dashes = _DASHES[place // len(colours) % len(_DASHES)]
    return {"color": COLOURS.get(name, colours[place % len(colours)]), "linestyle": dashes}


def array_of(what: str, attr: str, values: object, *dimensions: int) -> np.ndarray:
    """Finite numbers with as many dimensions as one of those given. Raises InvalidValueError."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise invalid(what, attr, repr(values)[:60], "an array of numbers", "pass a NumPy array") from None
    if array.ndim not in dimensions or array.size == 0:
        limit = " or ".join(f"{number}-dimensional" for number in dimensions)
        raise invalid(what, attr, f"of shape {array.shape}", f"{limit} and not empty", "select what is to be drawn")
    if not np.isfinite(array).all():
        raise invalid(what, attr, "not finite somewhere", "finite", "leave out what is missing")
    return array


def names_of(what: str, attr: str, names: Sequence[object] | None, count: int) -> list[str]:
    """As many names as there is to name; without any, numbers. Raises InvalidValueError."""
    if names is None:
        return [str(number) for number in range(count)]
    if len(names) != count:
        raise invalid(what, attr, f"{len(names)} names", f"one for each of {count}", "name each or none")
    return [str(name) for name in names]


def same_length(what: str, attr: str, values: np.ndarray, steps: int) -> np.ndarray:
    """The values, one for each step. Raises InvalidValueError."""
    if len(values) != steps:
        raise invalid(what, attr, f"{len(values)} steps long", f"as long as the others, {steps}", "draw what was recorded together")
    return values


def some(what: str, attr: str, values: Any) -> Any:
    """What is not empty. Raises InvalidValueError."""
    if not len(values):
        raise invalid(what, attr, "empty", "not empty", "give something to draw")
    return values


def count_of(what: str, attr: str, value: object, least: int, end: float = math.inf) -> int:
    """A whole number from `least` to below `end`. Raises InvalidValueError."""
    if not is_whole(value, least, end):
        limit = f"an integer of at least {least}" if end == math.inf else f"an integer in [{least}, {end})"
        raise invalid(what, attr, repr(value), limit, "give how many are to be drawn" if end == math.inf else "count from 0")
    return int(value)  # type: ignore[call-overload]
