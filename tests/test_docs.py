"""The how-to pages do what they say: their Python is run, page by page, as it stands."""

import pathlib
import re
import sys

import pytest

DOCS = pathlib.Path(__file__).resolve().parents[1] / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in (DOCS / "howto").glob("*.md"))
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs(page, tmp_path, monkeypatch):
    text = (DOCS / page).read_text()
    if "import torch" in text:
        pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": page}
    for block in BLOCK.finditer(text):
        line = text[: block.start()].count("\n") + 1
        exec(compile("\n" * line + block[1], str(DOCS / page), "exec"), names)


def test_every_page_is_in_the_navigation():
    """And every file of the navigation is there; links are checked by mkdocs build --strict."""
    listed = set(re.findall(r": ([\w/-]+\.md)$", (DOCS.parent / "mkdocs.yml").read_text(), re.MULTILINE))
    assert listed == {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}


def test_docstrings_become_markdown():
    pytest.importorskip("griffe", reason="it comes with the documentation's packages")
    sys.path.insert(0, str(DOCS.parent / "tools"))
    from docstrings import as_markdown

    assert as_markdown("a<l> * b, `c<l> * d`\n\n    x = <y> * z") == "a&lt;l> \\* b, `c<l> * d`\n\n    x = <y> * z"
    assert as_markdown("What.\nRaises It.") == "What.\n\nRaises It."


def test_nothing_is_fetched_from_elsewhere():
    config = (DOCS.parent / "mkdocs.yml").read_text()
    assert "font: false" in config
    assert "http" not in config
