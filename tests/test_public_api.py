"""The public names, signatures and fields are those of tests/public_api.txt; and what is listed is really there."""

import difflib
import importlib
import inspect
import pathlib
import sys

import pytest

import tp_lava as tpl

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import public_api  # noqa: E402


def test_nothing_public_changed_by_accident():
    listed, found = public_api.LISTING.read_text(), public_api.listing()
    changes = "\n".join(difflib.unified_diff(listed.splitlines(), found.splitlines(), "listed", "found", lineterm="", n=1))
    assert listed == found, f"\n{changes}\nIf that is meant, run: python tools/public_api.py"


def sections():
    """module -> the lines of its names."""
    lines, module = {}, ""
    for line in public_api.LISTING.read_text().splitlines():
        if line.startswith("# "):
            module = lines[line[2:]] = []
        elif line and not line.startswith(" "):
            module.append(line)
    return lines


@pytest.mark.parametrize("module", public_api.MODULES)
def test_every_listed_name_can_be_imported(module):
    if module == "tp_lava.torch":
        pytest.importorskip("torch")
    imported = importlib.import_module(module)
    for name in public_api._public(module):
        assert hasattr(imported, name), name
    assert len(sections()[module]) == len(list(public_api._public(module)))


def test_signatures_are_those_that_python_sees():
    """The source is read, not imported: for some functions and classes the two are compared."""
    text = public_api.LISTING.read_text()
    for thing in (tpl.quantise, tpl.convert, tpl.Learner, tpl.lava.run, tpl.data.from_shd):
        lines = [line for line in text.splitlines() if line.lstrip().removeprefix("def ").startswith(f"{thing.__name__}(")]
        names = list(inspect.signature(thing).parameters)
        assert any(all(name in line for name in names) for line in lines), thing
    assert "    evaluate(samples: Sequence[Sample], progress: bool=False) -> float" in text
    assert "@dataclass(frozen=True) class TP(BaseRule)\n" in text
    assert "    contrast: int | Literal['all'] = USUAL_ROWS" in text
