"""Configuration by file: what is read, what is refused, what is written back; the same in every command that takes it."""

import json
import re
import sys
from pathlib import Path
from typing import Annotated

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import tp_lava as tpl
from tp_lava import cli
from tp_lava.commands import configuration
from tp_lava.commands.configuration import Config, effective, to_toml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ENV = {"NO_COLOR": "1", "COLUMNS": "200", "TERM": "dumb"}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
FLOATS = st.floats(allow_nan=False)
VALUES = st.one_of(TEXTS, st.booleans(), st.integers(-(2**62), 2**62), FLOATS)
KEYS = st.from_regex(r"[a-z][a-z-]{0,8}", fullmatch=True)


@settings(max_examples=60)
@given(st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES | st.lists(VALUES)), max_size=3))
def test_what_is_written_reads_back(sections):
    assert tomllib.loads(to_toml(sections)) == sections


def test_strings_that_need_escapes():
    text = 'C:\\new "folder"\n\t\x00\x7f\u0085 é 𝄞'
    assert to_toml({"a": {"b": text}}) == '[a]\nb = "C:\\\\new \\"folder\\"\\n\\t\\u0000\\u007f\u0085 é 𝄞"\n'
    assert tomllib.loads(to_toml({"a": {"b": text}}))["a"]["b"] == text


# One command with an option of each kind ---------------------------------------------------------

SEEN = {}
toy = typer.Typer()


@toy.command("learn")
def learn(
    context: typer.Context,
    model: Annotated[str, typer.Argument()],
    learning_rate: Annotated[float, typer.Option(min=0)] = 0.5,
    epochs: Annotated[int | None, typer.Option(min=1)] = None,
    freeze: Annotated[list[str] | None, typer.Option()] = None,
    keep_best: Annotated[bool, typer.Option("--keep-best")] = False,
    data: Annotated[Path | None, typer.Option()] = None,
    config: Config = None,
    out: Annotated[str, typer.Option()] = "here",
) -> None:
    SEEN.clear()
    SEEN.update(context.params, effective=effective(context))
    if data:
        configuration.save(context, data.with_suffix(".toml"))


@toy.command("other")
def other(config: Config = None) -> None: ...


@toy.command("plain")
def plain() -> None: ...


def invoke(folder, text, *arguments, command="learn"):
    (folder / "run.toml").write_text(text)
    return CliRunner(env=ENV).invoke(toy, [command, *arguments, "--config", str(folder / "run.toml")])


def test_flags_win_over_the_file_and_the_file_over_defaults(tmp_path):
    text = '[learn]\nmodel = "net"\nlearning_rate = 0.25\nepochs = 7\nfreeze = ["a", "b"]\nkeep-best = true\nout = "there"\n\n[other]\n'
    assert invoke(tmp_path, text).exit_code == 0
    told = {"model": "net", "learning-rate": 0.25, "epochs": 7, "freeze": ["a", "b"], "keep-best": True}
    assert SEEN["effective"] == {"learn": told}
    assert SEEN["out"] == "there"
    assert invoke(tmp_path, text, "other", "--epochs", "3", "--freeze", "c").exit_code == 0
    assert SEEN["effective"] == {"learn": told | {"model": "other", "epochs": 3, "freeze": ["c"]}}
    assert invoke(tmp_path, '[learn]\nfreeze = "a"\n', "net").exit_code == 0
    assert SEEN["effective"] == {"learn": {"model": "net", "learning-rate": 0.5, "freeze": ["a"], "keep-best": False}}


@given(rate=st.floats(0, allow_nan=False), epochs=st.integers(1, 2**40), freeze=st.lists(TEXTS.filter(bool)), model=TEXTS.filter(bool))
def test_what_is_written_repeats_itself(tmp_path_factory, rate, epochs, freeze, model):
    folder = tmp_path_factory.mktemp("toml")
    asked = {"learn": {"model": model, "learning-rate": rate, "epochs": epochs, "freeze": freeze, "keep-best": True}}
    if not freeze:
        del asked["learn"]["freeze"]
    done = invoke(folder, to_toml(asked))
    assert done.exit_code == 0, done.output
    assert SEEN["effective"] == asked


def test_files_are_written_by_their_full_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("net.tplava", "samples.npz", "digits"):
        Path(name).write_text("")
    assert invoke(tmp_path, "", "net.tplava", "--data", "samples.npz").exit_code == 0
    written = tomllib.loads((tmp_path / "samples.toml").read_text())
    assert written["learn"]["model"] == str(tmp_path / "net.tplava")
    assert written["learn"]["data"] == str(tmp_path / "samples.npz")
    assert invoke(tmp_path, "", "digits").exit_code == 0
    assert SEEN["effective"]["learn"]["model"] == "digits"  # a name, whatever lies about


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[learn]\nepoch = 3", "[learn] epoch is unknown, but must be an option of tp-lava learn; the nearest is epochs."),
        (
            "[learn]\nlearnin_rat = 3",
            "[learn] learnin_rat is unknown, but must be an option of tp-lava learn; the nearest is learning-rate.",
        ),
        ("[learn]\nconfig = 'x'", "[learn] config is unknown"),
        ("[learnt]\nepochs = 3", "learnt is unknown, but must be a section of learn, other; the nearest is learn."),
        ("[plain]", "plain is unknown, but must be a section of learn, other; the nearest is learn."),
        ("epochs = 3", "epochs, outside of a section, is unknown, but must be a section of learn, other"),
        ("[learn]\nepochs = [3]", "[learn] epochs is [3], but must be one value"),
        ("[learn]\nepochs = {a = 3}", "[learn] epochs is {'a': 3}, but must be one value"),
        ("[learn]\nfreeze = [[1]]", "[learn] freeze is [[1]], but must be a list"),
        ("[learn]\nkeep-best = 1", "[learn] keep-best is 1, but must be true or false"),
        ("[learn]\nmodel = 1979-05-27", "[learn] model is datetime.date(1979, 5, 27), but must be one value"),
        ("[learn", "run.toml: text is not TOML ("),
        ("[learn]\nepochs = 1\nepochs = 2", "run.toml: text is not TOML ("),
    ],
)
def test_what_a_file_is_refused_for(tmp_path, text, message):
    done = invoke(tmp_path, text, "net")
    assert isinstance(done.exception, tpl.InvalidValueError)
    assert message in str(done.exception)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[learn]\nepochs = 3.5", "Invalid value for '--epochs'"),
        ("[learn]\nepochs = true", "Invalid value for '--epochs'"),
        ("[learn]\nepochs = 0", "Invalid value for '--epochs'"),
        ("[learn]\nlearning-rate = 'fast'", "Invalid value for '--learning-rate'"),
    ],
)
def test_values_are_checked_as_flags_are(tmp_path, text, message):
    done = invoke(tmp_path, text, "net")
    assert done.exit_code == 2
    assert message in done.output


def test_a_file_that_is_not_there_or_not_text(tmp_path):
    done = CliRunner(env=ENV).invoke(toy, ["learn", "net", "--config", str(tmp_path / "none.toml")])
    assert isinstance(done.exception, FileNotFoundError)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    done = CliRunner(env=ENV).invoke(toy, ["learn", "net", "--config", str(tmp_path / "binary.toml")])
    assert "text is not TOML" in str(done.exception)


# The commands themselves -------------------------------------------------------------------------


def run(*arguments):
    done = CliRunner(env=ENV).invoke(cli.app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.exception
    return done.stdout


def test_finetune_is_repeated_by_what_it_wrote(tmp_path):
    options = ("--sensor", "rotated", "--shots", 1, "--epochs", 1, "--precision", "float", "--rate", 0.002, "--freeze", "readout", "--json")
    options += ("--augment", "pixels=1,rotation=10", "--variants", 2)
    first = json.loads(run("finetune", "digits", *options, "--out", tmp_path / "first.safetensors"))
    again = json.loads(run("finetune", "--config", tmp_path / "first.toml", "--out", tmp_path / "again.safetensors", "--json"))
    assert first == again
    assert first["forgotten"] is not None
    for suffix in (".safetensors", ".toml"):
        assert (tmp_path / f"first{suffix}").read_bytes().replace(b"first", b"again") == (tmp_path / f"again{suffix}").read_bytes()


def test_quantise_is_repeated_by_what_it_wrote(tmp_path):
    first = json.loads(run("quantise", "digits", "--bits", 5, "--calibration", 8, "--plot", tmp_path / "report.png", "--json"))
    assert json.loads(run("quantise", "--config", tmp_path / "report.toml", "--json")) == first
    assert first["config"] == {"quantise": {"model": "digits", "data": "digits", "bits": "5", "calibration": 8, "seed": 0}}


def test_export_is_repeated_by_what_it_wrote(tmp_path):
    run("export", "digits", "--out", tmp_path / "a", "--rule", "tp", "--bits", 6, "--name", "net", "--seed", 4)
    run("export", "--config", tmp_path / "a" / "config.toml", "--out", tmp_path / "b")
    for file in (tmp_path / "a").iterdir():
        assert (tmp_path / "b" / file.name).read_bytes() == file.read_bytes()


def test_one_file_holds_several_commands(tmp_path):
    (tmp_path / "all.toml").write_text('[quantise]\nmodel = "digits"\ncalibration = 8\n\n[export]\nmodel = "digits"\nrule = "none"\n')
    assert json.loads(run("quantise", "--config", tmp_path / "all.toml", "--json"))["config"]["quantise"]["calibration"] == 8
    assert "inference in C" in run("export", "--config", tmp_path / "all.toml", "--out", tmp_path / "out")


def test_every_command_that_learns_or_writes_takes_a_configuration():
    commands = typer.main.get_command(cli.app).commands
    taking = {name for name, command in commands.items() if any(param.name == "config" for param in command.params)}
    assert taking == {"train", "tune", "finetune", "quantise", "compare-rules", "continual", "stream", "export", "report"}
    for name in taking:
        done = CliRunner(env=ENV).invoke(cli.app, [name, "--help"])
        assert re.search(r"--config +.*TOML file", done.output)
