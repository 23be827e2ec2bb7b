"""Search and tuning: the same proposals whatever comes between, and test samples that are looked at once."""

import json
import sys

import pytest
from test_cli_training import refused, run, told
from test_sweeps import plan_of, recordings, rows_of, table

import tp_lava as tpl
from tp_lava.sweeps.results import Store


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    return recordings(tmp_path_factory.mktemp("own") / "own.npz")


# Search --------------------------------------------------------------------------------------------


SEARCH = {"rate": {"low": 0.001, "high": 0.1, "log": True}, "epochs": {"low": 1, "high": 3}, "hidden": [[6], [7]]}


def test_a_search_that_is_interrupted_or_prolonged_proposes_the_same(own, tmp_path, monkeypatch):
    optuna = pytest.importorskip("optuna")
    plan = plan_of(own, search=SEARCH, sweep={"generation": 3})
    whole = tpl.sweep(plan, tmp_path / "whole", search=7, workers=1)
    assert len(whole.rows) == 7
    kept, original = [], Store.add

    def add(store, *trial):
        original(store, *trial)
        kept.append(trial)
        if len(kept) == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as interrupting:
        interrupting.setattr(Store, "add", add)
        with pytest.raises(KeyboardInterrupt):
            tpl.sweep(plan, tmp_path / "parts", search=5, workers=1)
    tpl.sweep(plan, tmp_path / "parts", search=5, workers=1)
    assert rows_of(tmp_path / "parts") == rows_of(tmp_path / "whole")[:5]
    tpl.sweep(plan, tmp_path / "parts", search=7, workers=1)
    assert table(tmp_path / "parts") == table(tmp_path / "whole")
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "parts" / "search.log"))
    study = optuna.load_study(study_name="train", storage=optuna.storages.JournalStorage(backend))
    assert [one.value for one in study.trials] == [row["validation_accuracy"] for row in whole.rows]
    assert study.best_value == max(row["validation_accuracy"] for row in whole.rows)


def test_a_search_needs_what_counts_and_optuna(own, tmp_path, monkeypatch):
    plan = plan_of(own, search=SEARCH)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(tpl.InvalidValueError, match="sweep: search is given without Optuna, but must be used with it; pip"):
        tpl.sweep(plan, tmp_path, search=1, workers=1)
    monkeypatch.undo()
    pytest.importorskip("optuna")
    plan["train"]["validation"] = 0.0
    message = "measure is validation_accuracy, but must be one of .*test_accuracy.*; hold samples back with validation = 0.2"
    with pytest.raises(tpl.InvalidValueError, match=message):
        tpl.sweep(plan, tmp_path, search=1, workers=1)


# Tune ----------------------------------------------------------------------------------------------


def test_tune_asks_what_is_held_out_and_tests_once(own, tmp_path):
    pytest.importorskip("optuna")
    options = ("--data", own, "--hidden", 6, "--epochs", 2, "--span", 0, "--seed", 3)
    done = told("tune", *options, "--trials", 3, "--seeds", 2, "--workers", 1, "--out", tmp_path, "--json")
    rows, trials = rows_of(tmp_path), [json.loads(file.read_text()) for file in tmp_path.glob("trials/*.json")]
    searched = [trial for trial in trials if trial["settings"]["skip-test"]]
    assert (len(rows), len(searched), len(trials)) == (6, 6, 7)  # and one with the test samples
    assert all(trial["result"]["samples"] == {"learned": 20, "held_back": 4, "test": 0} for trial in searched)
    assert all(trial["result"]["test_accuracy"] is None and trial["settings"]["split-seed"] == 3 for trial in searched)
    default = told("train", *options, "--validation", 0.2, "--skip-test", "--no-plot", "--json", "--out", tmp_path / "default")
    assert float(rows[0]["validation_accuracy"]) == default["validation_accuracy"]
    assert done["tuned"]["validation_accuracy"] >= done["default"]["validation_accuracy"]
    assert done["default"] | {"threshold-scale": 1.0, "surrogate-width": 1.0, "trace-decay": 0.95} == done["default"]
    again = told("train", "--config", tmp_path / "tuned.toml", "--no-plot", "--json", "--out", tmp_path / "again")
    assert again["test_accuracy"] == done["test_accuracy"]
    assert again["samples"] == {"learned": 24, "held_back": 0, "test": 6}
    assert again["config"]["train"] == done["train"]


def test_tune_leaves_alone_what_is_given(own, tmp_path):
    pytest.importorskip("optuna")
    given = ("--rate", 0.01, "--trace-decay", 0.9, "--threshold-scale", 1, "--surrogate-width", 2, "--readout-rate", 0.01)
    options = ("tune", "--data", own, "--hidden", 6, "--epochs", 1, "--workers", 1, "--out", tmp_path)
    message = "tune: options is given for all of rate, readout-rate, trace-decay, threshold-scale, surrogate-width"
    assert message in refused(*options, *given)
    done = run(*options, "--trials", 1, *given[:-2])
    assert done.exit_code == 0, done.exception
    assert "1 settings, 1 seeds: accuracy on samples held out" in done.stdout
    assert "test samples, looked at once" in done.stdout
    assert list(rows_of(tmp_path)[0])[:4] == ["trial", "readout-rate", "seed", "samples.learned"]
