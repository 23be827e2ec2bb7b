"""The entry point: exit codes, one line for each error and warning, help, completion, progress, what is installed."""

import json
import os
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import tp_lava as tpl
from tp_lava import cli
from tp_lava.commands import informing
from tp_lava.commands.printing import json_text
from tp_lava.demos import from_scratch as demo
from tp_lava.progress import follow, track

COMMANDS = typer.main.get_command(cli.app).commands


def invoke(*arguments):
    return CliRunner(env={"NO_COLOR": "1", "COLUMNS": "200", "TERM": "dumb"}).invoke(cli.app, [str(argument) for argument in arguments])


# Errors and exit codes ---------------------------------------------------------------------------


def called(monkeypatch, capsys, *arguments):
    """-> exit code, standard output and error of the entry point."""
    monkeypatch.setattr(sys, "argv", ["tp-lava", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    return exit_.value.code, *capsys.readouterr()


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (
            tpl.InvalidValueError("Network: sizes is 3, but must be a tuple; give one."),
            2,
            "Network: sizes is 3, but must be a tuple; give one.",
        ),
        (tpl.LavaUnavailableError("lava-nc is not installed.\n    pip install it"), 2, "lava-nc is not installed. pip install it"),
        (FileNotFoundError("a.npz: no such file"), 2, "a.npz: no such file"),
        (PermissionError(13, "Permission denied", "/data/a"), 2, "/data/a: Permission denied"),
        (tpl.LavaRunError("a model failed"), 1, "a model failed"),
        (OSError(28, "No space left on device"), 1, "[Errno 28] No space left on device"),
    ],
)
def test_an_error_is_one_line_and_a_code(monkeypatch, capsys, tmp_path, error, code, line):
    def fail(*_):
        raise error

    monkeypatch.setattr(demo, "run_demo", fail)
    assert called(monkeypatch, capsys, "demo", "--from-scratch", "--out", tmp_path) == (code, "", f"tp-lava: {line}\n")


def test_an_interrupt_is_told_by_its_code(monkeypatch, capsys, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run_demo", interrupt)
    code, out, _ = called(monkeypatch, capsys, "demo", "--from-scratch", "--out", tmp_path)
    assert (code, out) == (130, "")


def test_a_warning_is_one_line(monkeypatch, capsys, tmp_path):
    def warn(*_):
        warnings.warn("two of them\nnever learn", UserWarning, stacklevel=1)
        raise tpl.InvalidValueError("done")

    monkeypatch.setattr(demo, "run_demo", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        done = called(monkeypatch, capsys, "demo", "--from-scratch", "--out", tmp_path)
    assert done == (2, "", "tp-lava: two of them never learn\ntp-lava: done\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("demo", "--epochs", "0"), r"tp-lava: Invalid value for '--epochs': .*; see tp-lava demo --help\.\n"),
        (("train", "--colour", "red"), r"tp-lava: No such option.*--colour.*; see tp-lava train --help\.\n"),
        (("trian",), r"tp-lava: No such command 'trian'.*; see tp-lava --help\.\n"),
        (("export", "digits"), r"tp-lava: Missing option '--out'; see tp-lava export --help\.\n"),
    ],
)
def test_bad_usage_is_one_line(monkeypatch, capsys, arguments, line):
    code, out, error = called(monkeypatch, capsys, *arguments)
    assert (code, out) == (2, "")
    assert re.fullmatch(line, error)


# Help, completion, what is installed -------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_help_documents_every_option(name):
    shown = invoke(name, "--help")
    assert shown.exit_code == 0
    assert COMMANDS[name].help
    for param in COMMANDS[name].params:
        assert param.help, param.name
        assert max(param.opts, key=len) in shown.output


def test_every_command_that_yields_figures_has_json():
    assert {name for name, command in COMMANDS.items() if any("--json" in param.opts for param in command.params)} == set(COMMANDS)


def test_help_loads_nothing_heavy(tmp_path):
    program = """
import sys
from tp_lava.cli import app
sys.argv = ["tp-lava", "train", "--help"]
try:
    app()
finally:
    heavy = {"numba", "llvmlite", "torch", "lava", "sklearn", "scipy", "matplotlib", "h5py", "nir", "jinja2"}
    print("loaded:", sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "--schedule" in done.stdout
    assert done.stdout.rstrip().endswith("loaded: []")


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("tp-lava qu", ["quantise"]),
        ("tp-lava finetune digits --sensor m", ["mirrored"]),
        ("tp-lava train --schedule ", ["cosine", "plateau", "none"]),
        ("tp-lava eval digits_", ["digits_0_to_8"]),
        ("tp-lava train --readout", ["--readout-rate"]),
    ],
)
def test_lines_are_completed(line, completed):
    words = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" ")), "_TP_LAVA_COMPLETE": "complete_bash"}
    assert CliRunner(env=words).invoke(cli.app, prog_name="tp-lava").stdout.split() == completed


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_made(shell):
    done = CliRunner(env={"_TP_LAVA_COMPLETE": f"source_{shell}"}).invoke(cli.app, prog_name="tp-lava")
    assert done.exit_code == 0
    assert f"_TP_LAVA_COMPLETE=complete_{shell}" in done.stdout


def test_info_tells_versions_and_what_is_missing(monkeypatch):
    told = json.loads(invoke("info", "--json").stdout)
    assert told["versions"]["numpy"] == np.__version__
    assert told["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert told["processor"]["cores"] == os.cpu_count()
    code = told["compiled_code"]
    assert set(code) == {"folder", "files", "bytes", "unused_because"}
    assert code["folder"] is None or code["folder"] in " ".join(invoke("info").stdout.split())
    monkeypatch.setattr(informing, "_version", lambda name: None if name == "nir" else "1.0")
    monkeypatch.setattr(informing.shutil, "which", lambda name: None)
    shown = invoke("info")
    assert shown.exit_code == 0
    assert 'to install nir: pip install "tp-lava[nir]"' in shown.stdout
    assert "to install C compiler" in shown.stdout
    assert "to install torch" not in shown.stdout
    (nir,) = (row for row in json.loads(invoke("info", "--json").stdout)["optional"] if row["name"] == "nir")
    assert nir["version"] is None
    assert "NIR graphs" in nir["enables"]


def test_json_is_strict():
    assert json.loads(json_text({"a": [1.5, float("nan")], "b": {"c": float("inf")}, "d": None})) == {
        "a": [1.5, None],
        "b": {"c": None},
        "d": None,
    }


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_is_drawn_where_somebody_looks(terminal, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR" if terminal else "NO_COLOR", "1")  # the first makes rich take anything for a terminal
    assert list(track(range(3), 3, "learning", show=True)) == [0, 1, 2]
    with follow("running", 3, lambda: 3, show=True):
        pass
    out, error = capsys.readouterr()
    assert out == ""
    assert ("learning" in error and "running" in error) if terminal else error == ""
