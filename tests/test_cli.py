"""The command line: what it prints, what it writes, how it fails."""

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

SMALL = ("--from-scratch", "--no-progress", "--epochs", "1", "--train", "40", "--test", "20", "--hidden", "20")


COMMANDS = typer.main.get_command(cli.app).commands


def tp_lava(*arguments, cwd):
    """The console script, in a process of its own, elsewhere than in the repository."""
    program = "import sys; from tp_lava.cli import main; sys.argv = ['tp-lava', *sys.argv[1:]]; main()"
    return subprocess.run([sys.executable, "-c", program, *arguments], cwd=cwd, capture_output=True, text=True, timeout=300)


def invoke(*arguments):
    return CliRunner(env={"NO_COLOR": "1", "COLUMNS": "200", "TERM": "dumb"}).invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    return folder, tp_lava("demo", *SMALL, cwd=folder)


def test_demo_prints_one_table(run):
    _, done = run
    assert done.returncode == 0, done.stderr
    for row in ("before learning", "frozen hidden layer", "TP, float", "TP, fixed point"):
        assert row in done.stdout
    assert "K = 4" in done.stdout


def test_demo_writes_where_it_says_and_nowhere_else(run):
    folder, _ = run
    assert {path.name for path in folder.iterdir()} == {"tp-lava-demo"}
    written = {path.name: path for path in (folder / "tp-lava-demo").iterdir()}
    assert set(written) == {"demo.png", "demo.json", "digits_float.safetensors", "digits_fixed.safetensors"}
    assert written["demo.png"].read_bytes().startswith(b"\x89PNG")


def test_demo_writes_the_figures_it_printed(run):
    folder, done = run
    figures = json.loads((folder / "tp-lava-demo" / "demo.json").read_text())
    assert [row["weight_bits"] for row in figures["table"]] == [32, 32, 32, 8]
    assert [row["trace_bits"] for row in figures["table"]] == [32, 32, 32, 16]
    for row in figures["table"]:
        assert f"{row['accuracy']:.3f}" in done.stdout
    assert figures["settings"]["hidden"] == 20
    assert figures["curves"]["fixed"]["samples"] == [0, 40]


def test_demo_is_what_the_learner_does(run):
    """The networks it saves are those that Learner.fit makes."""
    folder, _ = run
    settings = demo.DemoSettings(hidden=20, epochs=1, n_train=40, n_test=20)
    train, test = tpl.data.digits(0)
    rule = tpl.TP(settings.rate, settings.readout_rate, 4)
    learner = tpl.Learner(tpl.Network.dense((train[0][0].n_units, 20, 10), seed=0), rule, "fixed", 0)
    learner.fit(train[:40])
    saved = tpl.Learner.load(folder / "tp-lava-demo" / "digits_fixed.safetensors")
    for name, mantissas in learner.mantissas.items():
        np.testing.assert_array_equal(saved.mantissas[name], mantissas)
    figures = json.loads((folder / "tp-lava-demo" / "demo.json").read_text())
    assert figures["curves"]["fixed"]["accuracies"][-1] == pytest.approx(learner.evaluate(test[:20]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--epochs", "0"), "Invalid value for '--epochs'"),
        (("--contrast", "1"), "Invalid value for '--contrast'"),
        (("--contrast", "11"), "Invalid value for '--contrast'"),
        (("--train", "1401"), "Invalid value for '--train'"),
        (("--hidden", "many"), "Invalid value for '--hidden'"),
        (("--colour", "red"), "No such option"),
    ],
)
def test_bad_options(arguments, message):
    result = invoke("demo", *arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_out_is_a_file(tmp_path):
    (tmp_path / "taken").write_text("mine")
    result = invoke("demo", "--out", tmp_path / "taken")
    assert result.exit_code == 2
    assert "is a file; give a folder" in result.output
    assert (tmp_path / "taken").read_text() == "mine"


def test_out_cannot_be_made(tmp_path):
    (tmp_path / "taken").write_text("mine")
    result = invoke("demo", "--out", tmp_path / "taken" / "below")
    assert result.exit_code == 2
    assert "cannot be made (Not a directory); give another folder" in result.output


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
        (PermissionError(13, "Permission denied", "/root/a"), 2, "/root/a: Permission denied"),
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


def test_demo_as_json_is_its_file(tmp_path, monkeypatch):
    lessons = {}
    monkeypatch.setattr(demo, "run_demo", lambda settings, progress: lessons)
    monkeypatch.setattr(demo, "rows", lambda lessons: [])
    (tmp_path / "demo.json").write_text('{"table": [1]}')
    monkeypatch.setattr(demo, "save", lambda out, settings, lessons: [out / "demo.png", out / "demo.json"])
    told = json.loads(invoke("demo", "--from-scratch", "--out", tmp_path, "--json").stdout)
    assert told == {"table": [1], "files": [str(tmp_path / "demo.png"), str(tmp_path / "demo.json")]}
