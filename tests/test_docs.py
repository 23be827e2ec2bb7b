"""The how-to pages do what they say: their Python is run, page by page, as it stands."""

import importlib
import pathlib
import re
import shlex
from types import SimpleNamespace

import pytest
import typer

import tp_lava as tpl
from tp_lava.cli import app

DOCS = pathlib.Path(__file__).resolve().parents[1] / "docs"
PAGES = [*sorted(path.relative_to(DOCS).as_posix() for path in (DOCS / "howto").glob("*.md")), "continual.md", "streams.md", "recipes.md"]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs(page, tmp_path, monkeypatch):
    text = (DOCS / page).read_text()
    if "import torch" in text:
        pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tpl.LIF, "types", {})  # a page may define a neuron that a test has defined
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
    """And every file of the navigation is there, or is made (tools/website/pages.py); links are checked by mkdocs build --strict."""
    listed = set(re.findall(r": ([\w/-]+\.md)$", (DOCS.parent / "mkdocs.yml").read_text(), re.MULTILINE))
    made = {f"notebooks/{path.stem}.md" for path in (DOCS.parent / "notebooks").glob("*.ipynb")} | {"reference/commands.md"}
    assert listed == {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} | made


@pytest.fixture
def website(monkeypatch):
    """The modules by which mkdocs makes the site."""
    for package in ("griffe", "mkdocs", "latex2mathml"):
        pytest.importorskip(package, reason="the docs group is not installed")
    monkeypatch.syspath_prepend(DOCS.parent / "tools" / "website")
    return importlib.import_module


def test_docstrings_become_markdown(website):
    as_markdown = website("docstrings").as_markdown
    assert as_markdown("a<l> * b, `c<l> * d`\n\n    x = <y> * z") == "a&lt;l> \\* b, `c<l> * d`\n\n    x = <y> * z"
    assert as_markdown("What.\nRaises It.") == "What.\n\nRaises It."


def test_parameters_become_a_table(website):
    text = "What.\n\nrate, decay: numbers,\n[0, 1); 0: none; seed: of\nall. It counts.\n\n    rate: x\n"
    shown = website("docstrings").as_markdown(text, ("rate", "decay", "seed", "other"))
    rows = "rate\n    numbers, [0, 1); 0: none\ndecay\n    numbers, [0, 1); 0: none\nseed\n    of all\nother\n    "
    assert shown == f"What.\n\nIt counts.\n\n    rate: x\n\nParameters\n----------\n{rows}"
    assert website("docstrings").as_markdown("What.", ("rate",)) == "What."


def test_equations_become_mathml(website):
    """All of all pages; one that is not understood is an error."""
    equations, page = website("equations"), SimpleNamespace(meta={})
    for path in DOCS.rglob("*.md"):
        text = path.read_text()
        marked = equations.on_page_markdown(text, page=page)
        shown = equations.on_page_content(marked, page=page)
        assert "```math" not in shown
        assert shown.count("<math ") == text.count("```math") + text.count("$`")
    with pytest.raises(ValueError, match="not understood by latex2mathml: .nothing"):
        equations.as_mathml(r"\nothing", "block")


def test_commands_and_notebooks_become_pages(website):
    pages = website("pages")
    page = pages.commands_page()
    for name, command in typer.main.get_command(app).commands.items():
        assert f"## tp-lava {name}\n" in page
        assert all(option in page for parameter in command.params for option in parameter.opts if option.startswith("--"))
    for path in (DOCS.parent / "notebooks").glob("*.ipynb"):
        text, pictures = pages.notebook_page(path)
        assert len(pictures) >= 2
        assert all(f"![]({name})" in text and data.startswith(b"\x89PNG") for name, data in pictures.items())


def test_nothing_is_fetched_from_elsewhere():
    config = (DOCS.parent / "mkdocs.yml").read_text()
    assert "font: false" in config
    assert "http" not in config
