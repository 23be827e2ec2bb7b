"""The modules of the library form no circle: what names another module stands above it, in type hints and inside functions too."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import tp_lava

ROOT = Path(tp_lava.__file__).parent


def modules():
    """Dotted name -> file, of all modules but the packages' own, which only gather what is below them."""
    return {
        ".".join(("tp_lava", *path.relative_to(ROOT).with_suffix("").parts)): path for path in ROOT.rglob("*.py") if path.stem != "__init__"
    }


def imported(path, known):
    """Modules that are imported anywhere in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (name for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names)) if name in known)


def test_no_modules_import_each_other_in_a_circle():
    known = modules()
    assert len(known) > 100
    TopologicalSorter({name: set(imported(path, known)) - {name} for name, path in known.items()}).prepare()  # raises CycleError


def test_a_circle_by_a_type_hint_would_be_found(tmp_path):
    path = tmp_path / "above.py"
    path.write_text("if TYPE_CHECKING:\n    from tp_lava.learner import Learner\ndef f():\n    from tp_lava import engine\n")
    assert list(imported(path, modules())) == ["tp_lava.learner", "tp_lava.engine"]
