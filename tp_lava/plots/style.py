"""What all pictures share: colours, line styles, checks of the input, and writing a picture to a file.

Colours are safe for the colour-blind (M. Okabe and K. Ito, Color Universal Design, 2008). Colour maps: green for values from zero on,
purple to orange for values around zero.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tp_lava.checks import is_whole
from tp_lava.errors import invalid
from tp_lava.saving import write_whole

INK, GREY, PALE = "#000000", "#999999", "#E5E5E5"
BLUE, VERMILION, GREEN, ORANGE, SKY, PURPLE = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7"
SERIES = (BLUE, VERMILION, GREEN, ORANGE, SKY, PURPLE, INK)
OTHERS = (BLUE, GREEN, ORANGE, SKY, PURPLE, GREY)  # beside something highlighted in vermilion
COLOURS = {"float": BLUE, "fixed": VERMILION, "frozen": GREY, "before": SKY, "trace": GREEN, "spike": INK}
FROM_ZERO, ABOUT_ZERO = "Greens", "PuOr_r"
_DASHES = ("-", "--", ":")

P = ParamSpec("P")


def drawing(draw: Callable[Concatenate[Axes, P], Axes]) -> Callable[Concatenate[Axes, P], Axes]:
    """Decorator of a picture: checks the Axes, its first argument, and removes the upper and right spines."""

    @wraps(draw)
    def drawn(axes: Axes, *args: P.args, **kwargs: P.kwargs) -> Axes:
        if not isinstance(axes, Axes):
            raise invalid(f"plots.{draw.__name__}", "axes", f"of type {type(axes).__name__}", "a matplotlib Axes", "use plt.subplots()[1]")
        axes.spines[["top", "right"]].set_visible(False)
        return draw(axes, *args, **kwargs)

    return drawn


def line_style(place: int, name: str = "") -> dict[str, Any]:
    """Colour and dashes of line number `place`. A name in COLOURS has its own colour."""
    dashes = _DASHES[place // len(SERIES) % len(_DASHES)]
    return {"color": COLOURS.get(name, SERIES[place % len(SERIES)]), "linestyle": dashes}


_places: dict[str, int] = {}  # of classes without numbers, in the order in which they were first drawn


def class_style(name: str) -> dict[str, Any]:
    """Colour and dashes of a class or of its stream: the same in every picture of a process. name: its number, or any other text."""
    return line_style(int(name) if name.isdecimal() else _places.setdefault(name, len(_places)))


def array_of(what: str, attr: str, values: object, *dimensions: int) -> np.ndarray:
    """A non-empty array of finite numbers that has one of the given numbers of dimensions. Raises InvalidValueError."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise invalid(what, attr, repr(values)[:60], "an array of numbers", "pass a NumPy array") from None
    if array.ndim not in dimensions or array.size == 0:
        limit = " or ".join(f"{number}-dimensional" for number in dimensions)
        raise invalid(what, attr, f"of shape {array.shape}", f"{limit} and not empty", "select the values to draw")
    if not np.isfinite(array).all():
        raise invalid(what, attr, "not finite somewhere", "finite", "leave out missing values")
    return array


def names_of(what: str, attr: str, names: Sequence[object] | None, count: int) -> list[str]:
    """`count` names; 0, 1, ... where names is None. Raises InvalidValueError."""
    if names is None:
        return [str(number) for number in range(count)]
    if len(names) != count:
        raise invalid(what, attr, f"{len(names)} names", f"one for each of {count}", "give all names or none")
    return [str(name) for name in names]


def same_length(what: str, attr: str, values: np.ndarray, steps: int) -> np.ndarray:
    """The values, checked to have one entry per step. Raises InvalidValueError."""
    if len(values) != steps:
        raise invalid(what, attr, f"{len(values)} steps long", f"as long as the others, {steps}", "draw values that were recorded together")
    return values


def some(what: str, attr: str, values: Any) -> Any:
    """The values, checked not to be empty. Raises InvalidValueError."""
    if not len(values):
        raise invalid(what, attr, "empty", "not empty", "give values to draw")
    return values


def draw_lines(axes: Axes, what: str, attr: str, values: object, names: Sequence[object] | None, **style: Any) -> np.ndarray:
    """Draw (T,) or (T, n) values as n lines over steps. -> the values, (T, n). Raises InvalidValueError."""
    lines = array_of(what, attr, values, 1, 2)
    lines = lines[:, None] if lines.ndim == 1 else lines
    for place, name in enumerate(names_of(what, "names", names, lines.shape[1])):
        axes.plot(np.arange(len(lines)), lines[:, place], label=name, **style, **line_style(place, name))
    return lines


def finished(axes: Axes, *, legend: bool = False, grid: bool = False, **properties: Any) -> Axes:
    """Set labels, limits and the like (see Axes.set), and draw a legend and a grid where asked for. -> the Axes."""
    axes.set(**properties)
    if grid:
        axes.grid(alpha=0.3)
    if legend:
        axes.legend(frameon=False, fontsize="small")
    return axes


def count_of(what: str, attr: str, value: object, least: int, end: float = math.inf) -> int:
    """A whole number from `least` to below `end`. Raises InvalidValueError."""
    if not is_whole(value, least, end):
        limit = f"an integer of at least {least}" if end == math.inf else f"an integer in [{least}, {end})"
        raise invalid(what, attr, repr(value), limit, "give the number to draw" if end == math.inf else "count from 0")
    return int(value)  # type: ignore[call-overload]


@contextmanager
def figure_file(file: Path, size: tuple[float, float], columns: int = 1) -> Iterator[Any]:
    """-> the Axes to draw on, an array of them for several columns; the picture is written to the file at the end. size: inches."""
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    yield figure.subplots(1, columns)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=120, format=file.suffix.lstrip(".") or "png")
    write_whole(file, drawn.getvalue())
