"""The notebooks as they are committed: whole, executed, small, of this API; and the tool that runs them. None is executed here."""

import ast
import importlib
import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).resolve().parents[1]
PATHS = sorted((HERE / "notebooks").glob("*.ipynb"))
LARGEST_TOGETHER = 2_500_000  # bytes
by_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def cells(path, kind):
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def source(cell):
    return "".join(cell["source"])


def tree(path):
    """All code of a notebook; a line's last ; is IPython's."""
    return ast.parse("\n".join(source(cell) for cell in cells(path, "code")))


def test_they_are_all_here_and_small():
    assert [path.stem[:3] for path in PATHS] == [f"0{number}_" for number in range(1, len(PATHS) + 1)]
    assert len(PATHS) >= 6
    assert sum(path.stat().st_size for path in PATHS) < LARGEST_TOGETHER


@by_notebook
def test_format(path):
    nbformat = pytest.importorskip("nbformat", reason="the notebooks group is not installed")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert [cell["id"] for cell in notebook.cells] == [f"cell-{number}" for number in range(len(notebook.cells))]
    assert not any(cell.metadata for cell in notebook.cells)


@by_notebook
def test_it_says_what_is_learned_and_what_to_try(path):
    text = [source(cell) for cell in cells(path, "markdown")]
    assert re.match(r"# .+\n\n\*\*What you will learn\*\*", text[0])
    assert text[-1].startswith("## What to try\n\n- ")
    assert json.loads(path.read_text())["cells"][-1]["cell_type"] == "markdown"


@by_notebook
def test_it_was_executed_in_order_and_without_errors(path):
    code = cells(path, "code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2


@by_notebook
def test_it_is_of_no_particular_machine(path):
    told = [source(cell) for cell in cells(path, "code")]
    for output in (output for cell in cells(path, "code") for output in cell["outputs"]):
        told.append("".join(output.get("text", output.get("data", {}).get("text/plain", ""))))
    for text in told:
        assert not re.search(r"(^|[\s\"'(])(/\w+/|~/|[A-Z]:\\)", text), text
        assert not re.search(r"0x[0-9a-f]{6,}", text), text
        assert "shared" not in text
        assert not re.search(r"https?://|\bpip |urllib|requests", text)


@by_notebook
def test_what_it_uses_of_tp_lava_is_there(path):
    code = tree(path)
    scope = dict(imported(code))
    assert isinstance(scope["tpl"], ModuleType)
    for node in ast.walk(code):
        if isinstance(node, ast.Attribute):
            resolve(node, scope)


def imported(code):
    """(name, what it stands for) of tp_lava's; of others there is nothing but what is installed with it, and PyTorch."""
    for node in ast.walk(code):
        if isinstance(node, ast.Import):
            for name in node.names:
                assert name.name.split(".")[0] in {"tp_lava", "numpy", "matplotlib", "IPython", "torch", *sys.stdlib_module_names}
                if name.name == "tp_lava":
                    yield name.asname, importlib.import_module(name.name)
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "tp_lava":
            module = importlib.import_module(node.module)
            for name in node.names:
                within = f"{node.module}.{name.name}"
                held = getattr(module, name.name, None) or (importlib.util.find_spec(within) and importlib.import_module(within))
                assert held, f"{node.module} has no {name.name}"
                yield name.asname or name.name, held


def resolve(node, scope):
    """What an expression like tpl.data.digits is, as far as it leads through modules; else None."""
    if isinstance(node, ast.Name):
        return scope.get(node.id)
    if isinstance(node, ast.Attribute):
        module = resolve(node.value, scope)
        if isinstance(module, ModuleType):
            assert hasattr(module, node.attr), f"{module.__name__} has no {node.attr}"
            return getattr(module, node.attr)
    return None


# The tool -------------------------------------------------------------------------------------------
@pytest.fixture
def tool(monkeypatch):
    for package in ("nbclient", "ipykernel"):
        pytest.importorskip(package, reason="the notebooks group is not installed")
    monkeypatch.syspath_prepend(HERE / "tools")
    sys.modules.pop("notebooks", None)
    return importlib.import_module("notebooks")


def written(path, *sources):
    nbformat = importlib.import_module("nbformat")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in sources])
    nbformat.write(notebook, path)
    return path


def test_the_tool_keeps_outputs_and_nothing_that_differs_from_run_to_run(tool, tmp_path, capsys):
    path = written(tmp_path / "a.ipynb", "1 + 1", "import time; print('told', flush=True); time.sleep(0.5); print('twice')")
    assert tool.main(["--check", str(path)]) == 0
    assert not cells(path, "code")[0]["outputs"]
    assert tool.main(["--write", str(path)]) == 0
    first = path.read_bytes()
    assert cells(path, "code")[0]["outputs"][0]["data"]["text/plain"] == ["2"]
    assert ["".join(output["text"]) for output in cells(path, "code")[1]["outputs"]] == ["told\ntwice\n"]
    assert [cell["id"] for cell in cells(path, "code")] == ["cell-0", "cell-1"]
    assert tool.main(["--write", str(path)]) == 0
    assert path.read_bytes() == first
    assert "a.ipynb: ok" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import warnings; warnings.warn('careful')", "careful"),
        ("open('here.txt', 'w').close()", "it leaves here.txt behind"),
    ],
)
def test_the_tool_refuses_errors_warnings_and_files(tool, tmp_path, capsys, code, told):
    path = written(tmp_path / "a.ipynb", code)
    before = path.read_bytes()
    assert tool.main(["--write", str(path)]) == 1
    assert path.read_bytes() == before
    out = capsys.readouterr().out
    assert "a.ipynb: FAILED: " in out
    assert told in out
    assert "\x1b" not in out


def test_the_tool_refuses_what_takes_too_long(tool, tmp_path, capsys):
    path = written(tmp_path / "a.ipynb", "import time; time.sleep(0.2)")
    assert tool.main(["--check", "--limit", "0.1", str(path)]) == 1
    assert "FAILED: it takes more than 0 s" in capsys.readouterr().out
