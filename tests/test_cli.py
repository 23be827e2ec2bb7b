"""The command line: what it prints, what it writes, how it fails."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import tp_lava as tpl
from tp_lava import cli
from tp_lava.demos import from_scratch as demo

SMALL = ("--from-scratch", "--no-progress", "--epochs", "1", "--train", "40", "--test", "20", "--hidden", "20")


def invoke(*arguments):
    return CliRunner(env={"NO_COLOR": "1", "COLUMNS": "200", "TERM": "dumb"}).invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """In a folder elsewhere than the repository. In this process, so that test_demo_is_what_the_learner_does has its code compiled."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return folder, invoke("demo", *SMALL)


def test_demo_prints_one_table(run):
    _, done = run
    assert done.exit_code == 0, done.output
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


def test_demo_as_json_is_its_file(tmp_path, monkeypatch):
    lessons = {}
    monkeypatch.setattr(demo, "run_demo", lambda settings, progress: lessons)
    monkeypatch.setattr(demo, "rows", lambda lessons: [])
    (tmp_path / "demo.json").write_text('{"table": [1]}')
    monkeypatch.setattr(demo, "save", lambda out, settings, lessons: [out / "demo.png", out / "demo.json"])
    told = json.loads(invoke("demo", "--from-scratch", "--out", tmp_path, "--json").stdout)
    assert told == {"table": [1], "files": [str(tmp_path / "demo.png"), str(tmp_path / "demo.json")]}
