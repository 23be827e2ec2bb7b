"""Equations of the pages as MathML, for mkdocs: browsers set it themselves, so a page loads no script and no font.

A page has them as GitHub does: a block between ```math and ```, or $`...`$ within a line, in LaTeX.
"""

from __future__ import annotations

import re
from typing import Any

from latex2mathml.converter import convert

_BLOCK = re.compile(r"^```math\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"\$`(.+?)`\$")
_MARK = re.compile(r"<p>EQUATION(\d+)</p>|EQUATION(\d+)")


def as_mathml(latex: str, display: str) -> str:
    """An equation; display: "block" or "inline". Raises ValueError where something in it is not understood."""
    made = convert(latex.strip(), display=display)
    if "\\" in made or "<mi>&</mi>" in made:
        raise ValueError(f"not understood by latex2mathml: {latex.strip()}")
    return made


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Called by mkdocs: a mark in the place of each equation, which Markdown leaves as it is."""
    made = page.meta["equations"] = []

    def mark(display: str) -> Any:
        def of(found: re.Match) -> str:
            made.append(as_mathml(found[1], display))
            return f"EQUATION{len(made) - 1}"

        return of

    return _INLINE.sub(mark("inline"), _BLOCK.sub(mark("block"), markdown))


def on_page_content(html: str, *, page: Any, **_: Any) -> str:
    """Called by mkdocs: the equations in the place of their marks."""
    made = page.meta["equations"]
    return _MARK.sub(lambda found: made[int(found[1] or found[2])], html)
