"""The how-to pages do what they say: their Python is run, page by page, as it stands."""

import pathlib
import re
import shlex
import sys

import pytest
import typer

import tp_lava as tpl
from tp_lava.cli import app

DOCS = pathlib.Path(__file__).resolve().parents[1] / "docs"
PAGES = [*sorted(path.relative_to(DOCS).as_posix() for path in (DOCS / "howto").glob("*.md")), "continual.md", "streams.md"]
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


def test_the_readme_runs(tmp_path, monkeypatch):
    """Its Python, block after block, on few of the recordings."""
    nir = pytest.importorskip("nir")
    train, test = tpl.data.digits()
    monkeypatch.setattr(tpl.data, "digits", lambda: (train[:70], test[:12]))
    monkeypatch.chdir(tmp_path)
    nir.write("trained.nir", tpl.to_nir(tpl.Network.dense((512, 20, 10)), dt=1e-3))
    names: dict = {}
    for block in BLOCK.findall((DOCS.parent / "README.md").read_text()):
        exec(compile(block, "README.md", "exec"), names)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digits.safetensors", "own.npz", "trained.nir", "tuned.tplava"]


SAID = re.compile(r"(?:^ {4}|`)(?:\.uv/bin/uv run (?:--extra \w+ )?)?tp-lava ([a-z][^`\n#|.]*)", re.MULTILINE)


def commands_said():
    """What README, CONTRIBUTING and every page have of the command line, in a line of its own or between backticks."""
    for page in [*sorted(DOCS.parent.glob("*.md")), *sorted(DOCS.rglob("*.md"))]:
        yield from ((page.name, said.strip()) for said in SAID.findall(page.read_text()))


def test_commands_exist_with_their_options():
    commands, found = typer.main.get_command(app).commands, list(commands_said())
    assert len(found) > 40
    for page, said in found:
        name, *words = shlex.split(said)
        assert name in commands, f"{page}: tp-lava {said}"
        known = {option for parameter in commands[name].params for option in (*parameter.opts, *parameter.secondary_opts)}
        unknown = {word for word in words if word.startswith("--")} - known - {"--help"}
        assert not unknown, f"{page}: tp-lava {said}: {unknown}"


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
