"""Inline SVG: pictures of matplotlib's as elements of a page, and what hand-drawn ones are made of.

Text stays text, identifiers are unique on the page, and the same picture is the same bytes every time.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK, MUTED, RULE, PALE = "#1c2733", "#55616d", "#c9d1d8", "#eef2f5"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": INK,
    "legend.frameon": False,
}


def drawn(name: str, label: str, draw: Callable[[Axes], object], size: tuple[float, float] = (5.4, 2.8)) -> str:
    """A matplotlib picture as an <svg> element. name: unique on the page; label: for those who do not see it; size: inches."""
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.subplots())
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", text)
    width, height = (f"{inches * 72:g}" for inches in size)
    opening = f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}"'
    return re.sub(r"<svg[^>]*>", f'{opening} xmlns:xlink="http://www.w3.org/1999/xlink">', text, count=1).strip()


def element(tag: str, content: str = "", **attributes: object) -> str:
    """An element; attribute names with _ for -; content: of other elements, or from text()."""
    told = "".join(f' {name.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for name, value in attributes.items())
    return f"<{tag}{told}>{content}</{tag}>"


def text(x: float, y: float, words: object, **attributes: object) -> str:
    """Words at a place, escaped."""
    return element("text", escape(str(words)), x=f"{x:g}", y=f"{y:g}", **attributes)


def picture(width: float, height: float, label: str, parts: Sequence[str], kind: str = "drawing") -> str:
    """A hand-drawn <svg> element."""
    return element("svg", "".join(parts), class_=kind, viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=label)
