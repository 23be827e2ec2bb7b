"""Sweeps: what the trials are, that their table does not depend on who carries them out and when, and what a file is refused for."""

import contextlib
import csv
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from conftest import random_samples
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cli_training import refused, run, told

import tp_lava as tpl
from tp_lava.data import save_samples
from tp_lava.sweeps import picture, running
from tp_lava.sweeps.plan import read_plan
from tp_lava.sweeps.results import Store, measures

SEEDS = 2
RATES = [0.001, 0.01, 0.02]


def recordings(file, seed=5):
    """30 samples of 8 units and 3 classes, in a file."""
    save_samples(file, random_samples(np.random.default_rng(seed), 30, 8, 3, rate=0.4))
    return file


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    return recordings(tmp_path_factory.mktemp("own") / "own.npz")


def plan_of(own, **sections):
    train = {"data": str(own), "hidden": 6, "epochs": 2, "validation": 0.25, "span": 0}
    return {"sweep": {"seeds": SEEDS}, "train": train, "grid": {"rate": RATES}, **sections}


@pytest.fixture(scope="module")
def swept(own, tmp_path_factory):
    """In this process alone. -> (folder, results)"""
    folder = tmp_path_factory.mktemp("swept")
    return folder, tpl.sweep(plan_of(own), folder, workers=1)


def table(folder):
    return (folder / "results.csv").read_bytes()


def rows_of(folder):
    return list(csv.DictReader((folder / "results.csv").read_text().splitlines()))


@pytest.fixture
def carried_out(monkeypatch):
    """Keys of the trials that are carried out in this process."""
    keys, original = [], running.carry_out
    monkeypatch.setattr(running, "carry_out", lambda trial: keys.append(trial.key) or original(trial))
    return keys


# What is carried out -------------------------------------------------------------------------------


def test_a_trial_is_what_the_command_does(own, swept, tmp_path):
    folder, results = swept
    rows = rows_of(folder)
    assert [(float(row["rate"]), int(row["seed"])) for row in rows] == [(rate, seed) for rate in RATES for seed in range(SEEDS)]
    options = ("--data", own, "--hidden", 6, "--epochs", 2, "--validation", 0.25, "--span", 0, "--rate", 0.01, "--seed", 1, "--cost")
    alone = told("train", *options, "--no-plot", "--json", "--out", tmp_path / "alone")
    for name in ("test_accuracy", "validation_accuracy", "best_epoch", "memory", "updates"):
        assert float(rows[3][name]) == alone[name]
    assert json.loads((folder / "trials" / f"{rows[3]['trial']}.json").read_text())["settings"] == alone["config"]["train"]
    assert results.failed == {}
    assert all(row["error"] == "" for row in rows)
    assert (folder / "results.png").read_bytes().startswith(b"\x89PNG")


def test_means_and_the_best_are_over_seeds(swept, tmp_path):
    folder, results = swept
    rows = rows_of(folder)
    for place, row in enumerate(results.means):
        of_setting = [float(one["validation_accuracy"]) for one in rows[SEEDS * place : SEEDS * (place + 1)]]
        assert row["validation_accuracy"] == pytest.approx(np.mean(of_setting))
        assert row["deviation"] == pytest.approx(np.std(of_setting))
        assert (row["rate"], row["seeds"]) == (RATES[place], SEEDS)
    best = max(range(len(RATES)), key=lambda place: (results.means[place]["validation_accuracy"], -place))
    assert results.best.settings["rate"] == RATES[best]
    again = told("train", "--config", folder / "best.toml", "--no-plot", "--json", "--out", tmp_path / "again")
    assert again["test_accuracy"] == float(rows[SEEDS * best]["test_accuracy"])


def test_the_table_in_parquet_is_the_same(swept):
    pytest.importorskip("pyarrow", exc_type=ImportError)
    from pyarrow import parquet

    folder, results = swept
    assert parquet.read_table(folder / "results.parquet").to_pylist() == results.rows


def test_several_grids_and_lists_of_layers(own):
    grids = [{"rule": "tp", "rate": [0.1, 0.2]}, {"rule": "tess", "hidden": [[6, 5], 7]}, {"rule": ["tp"], "rate": 0.2}]
    trials = list(read_plan(plan_of(own, grid=grids, sweep={}), {}).trials())
    chosen = [(trial.settings["rule"], trial.settings.get("rate"), trial.settings["hidden"]) for trial in trials]
    assert chosen == [("tp", 0.1, [6]), ("tp", 0.2, [6]), ("tess", None, [6, 5]), ("tess", None, [7])]  # each once
    assert len({trial.key for trial in trials}) == 4


def test_other_data_are_other_trials(own, tmp_path):
    file = tmp_path / "own.npz"
    file.write_bytes(own.read_bytes())
    keys = [trial.key for trial in read_plan(plan_of(file), {}).trials()]
    assert keys == [trial.key for trial in read_plan(plan_of(file), {}).trials()]
    recordings(file, seed=6)
    assert not {*keys} & {trial.key for trial in read_plan(plan_of(file), {}).trials()}


def test_numbers_of_a_result_by_their_paths():
    result = {"rows": [{"form": "TP", "mean": 0.5, "seconds": 3.0, "work": {"updates": 7}, "best": [0.1, 0.2]}], "config": {"rate": 1.0}}
    assert dict(measures(result)) == {"rows.mean": 0.5, "rows.work.updates": 7}
    assert dict(measures({"epochs": [{"epoch": 1}], "done": True, "before": None, "after": 1})) == {"after": 1}


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=8))
def test_the_front_is_what_nothing_beats(points):
    beaten = {i for i, (cost, value) in enumerate(points) for c, v in points if c <= cost and v >= value and (c, v) != (cost, value)}
    found = picture.front(points)
    assert {points[i] for i in found} == {points[i] for i in range(len(points)) if i not in beaten}
    assert [points[i][0] for i in found] == sorted({points[i][0] for i in found})


# What does not go well ------------------------------------------------------------------------------


def test_what_is_there_is_not_carried_out_again(own, swept, tmp_path, carried_out):
    folder, results = swept
    again = Store(tmp_path)
    for trial in results.trials:
        (again.out / "trials" / f"{trial.key}.json").write_bytes((folder / "trials" / f"{trial.key}.json").read_bytes())
    lost, half = (again.out / "trials" / f"{results.trials[place].key}.json" for place in (1, 4))
    lost.unlink()
    half.write_bytes(half.read_bytes()[:100])
    (temporary := lost.with_name(f".{lost.name}.{'0' * 12}.tmp")).write_text("of a process that was killed")
    tpl.sweep(plan_of(own), tmp_path, workers=1)
    assert not temporary.exists()
    assert carried_out == [results.trials[1].key, results.trials[4].key]
    assert table(tmp_path) == table(folder)
    more = tpl.sweep(plan_of(own), tmp_path, seeds=SEEDS + 1, workers=1)
    assert len(carried_out) == 2 + len(RATES)
    assert len(more.rows) == len(RATES) * (SEEDS + 1)


def test_what_cannot_be_run_stands_in_the_table(own, tmp_path):
    grid = {"rule": ["tess", "tp"], "contrast": ["2"]}
    (tmp_path / "plan.toml").write_text(as_toml(plan_of(own, grid=grid, sweep={})))
    done = run("sweep", tmp_path / "plan.toml", "--workers", 1, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.exception
    assert "1 of 2 trials cannot be run; the first: train: contrast is given with --rule tess" in done.stderr
    first, second = rows_of(tmp_path / "out")
    assert "contrast is given" in first["error"]
    assert first["test_accuracy"] == ""
    assert second["error"] == ""
    assert second["test_accuracy"]


def test_what_failed_is_tried_again(own, tmp_path, monkeypatch):
    (tmp_path / "plan.toml").write_text(as_toml(plan_of(own, grid={"rate": [0.01]}, sweep={})))
    command = ("sweep", tmp_path / "plan.toml", "--workers", 1, "--out", tmp_path / "out")
    with monkeypatch.context() as failing:
        failing.setattr(running, "_told_by", lambda *_: 1 / 0)
        done = run(*command)
    assert done.exit_code == 1
    assert "1 of 1 trials failed, and are tried again by the same command; the first: ZeroDivisionError" in done.stderr
    assert list((tmp_path / "out" / "trials").iterdir()) == []
    assert len(told(*command, "--json")["rows"]) == 1


def as_toml(plan):
    from tp_lava.commands.configuration import to_toml

    return to_toml(plan)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"grid": {"rat": [1]}}, "[grid] rat is unknown, but must be an option of tp-lava train; the nearest is rate."),
        ({"grid": {"rate": []}}, "[grid] rate is empty, but must be a list of at least one value; or leave it out."),
        ({"grid": {"rate": [0.1, "fast"]}}, "[grid] rate is 'fast', but must be as tp-lava train takes it; "),
        ({"grid": {"rule": ["hebb"]}}, "[grid] rule is 'hebb', but must be as tp-lava train takes it; "),
        ({"grid": {"epochs": [1, 2.5]}}, "[grid] epochs is 2.5, but must be as tp-lava train takes it; "),
        ({"grid": {"keep-best": [1]}}, "[grid] keep-best is 1, but must be true or false"),
        ({"grid": {"rate": [[0.1]]}}, "[grid] rate is [0.1], but must be one value"),
        ({"grid": [3]}, "[grid] is 3, but must be a section of lines such as rate = [1e-4, 1e-3]"),
        ({"train": {"epoch": 1}}, "[train] epoch is unknown, but must be an option of tp-lava train; the nearest is epochs."),
        ({"train": {"epochs": 0}}, "[train] epochs is 0, but must be as tp-lava train takes it; "),
        ({"trian": {}}, "trian is unknown, but must be a section of sweep, grid, search, train, finetune, quantise, compare-rules"),
        ({"quantise": {}}, "sweep is of train, quantise, but must be of one command"),
        ({"sweep": {"seed": 3}}, "[sweep] seed is unknown, but must be one of seeds, search, measure, generation; the nearest is seeds."),
        ({"sweep": {"seeds": 0}}, "[sweep] seeds is 0, but must be a whole number of at least 1"),
        ({"sweep": {"seeds": []}}, "[sweep] seeds is empty"),
        ({"sweep": {"seeds": [1, "2"]}}, "[sweep] seeds is '2', but must be a whole number of at least 0"),
        ({"grid": {"seed": [1, 2]}}, "seeds is given beside seed, but must be given alone"),
        ({"sweep": {"search": 2}}, "search is given without ranges, but must be used with a section [search]"),
        ({"grid": {}, "search": {"rate": [0.1]}}, "[search] is given alone, but must be used with a number of settings to try"),
        ({"sweep": {"search": 2}, "search": {"rate": {"low": 2}}}, "[search] rate is {'low': 2}, but must be a list of choices, or {low"),
        ({"sweep": {"search": 2}, "search": {"rate": {"low": 2, "high": 1}}}, "[search] rate is {'low': 2, 'high': 1}"),
        (
            {"sweep": {"search": 2}, "search": {"rate": {"low": 0, "high": 1, "log": True}}},
            "[search] rate is from 0 on a logarithmic scale",
        ),
        (
            {"sweep": {"search": 2}, "search": {"epochs": {"low": 0, "high": 3}}},
            "[search] epochs is 0, but must be as tp-lava train takes it",
        ),
    ],
)
def test_what_a_file_is_refused_for(own, tmp_path, sections, message):
    if sections.get("grid") == [3]:
        with pytest.raises(tpl.InvalidValueError) as error:
            tpl.sweep(plan_of(own, **sections), tmp_path / "out")
        assert message in str(error.value)
        return
    (tmp_path / "plan.toml").write_text(as_toml(plan_of(own, **sections)))
    found = refused("sweep", tmp_path / "plan.toml", "--out", tmp_path / "out")
    assert str(tmp_path / "plan.toml") in found
    assert message in found
    assert not (tmp_path / "out").exists()


def test_what_else_is_refused(own, tmp_path, swept):
    assert "no such file" in refused("sweep", tmp_path / "none.toml")
    with pytest.raises(tpl.InvalidValueError, match="sweep is of no command, but must be of one command"):
        tpl.sweep({"grid": {"rate": [1]}}, tmp_path)
    with pytest.raises(tpl.InvalidValueError, match="seeds is given for compare-rules, but must be left out"):
        tpl.sweep({"compare-rules": {}}, tmp_path, seeds=2)
    with pytest.raises(tpl.InvalidValueError, match="sweep: workers is 0, but must be a number of processes, at least 1"):
        tpl.sweep(plan_of(own), tmp_path, workers=0)
    with pytest.raises(tpl.InvalidValueError, match="measure is loss, but must be one of samples.learned, .* correct the name"):
        tpl.sweep(plan_of(own), swept[0], measure="loss", workers=1)


# Workers -------------------------------------------------------------------------------------------


def test_processes_give_the_same_table_though_one_is_killed(own, swept, tmp_path):
    import multiprocessing

    killed = []

    def kill():
        while not list(tmp_path.glob("trials/*.json")):
            time.sleep(0.02)
        for process in multiprocessing.active_children()[:1]:
            os.kill(process.pid, signal.SIGKILL)
            killed.append(process.pid)

    killer = threading.Thread(target=kill)
    killer.start()
    tpl.sweep(plan_of(own), tmp_path, workers=2)
    killer.join()
    assert killed
    assert table(tmp_path) == table(swept[0])
    assert multiprocessing.active_children() == []


def test_a_trial_that_no_worker_survives_has_failed(own, tmp_path):
    class Deadly(running.Workers):
        lost = (MemoryError,)

        def submit(self, trial):
            done = running.Future()
            if trial.settings["rate"] == RATES[1]:
                done.set_exception(MemoryError("killed"))
            else:
                done.set_result({"result": {}})
            return done

    trials = list(read_plan(plan_of(own), {}).trials())
    outcomes = {trial.key: outcome for trial, outcome in running.finished(trials, Deadly())}
    assert [("failed" in outcomes[trial.key]) for trial in trials] == [trial.settings["rate"] == RATES[1] for trial in trials]
    assert "its worker died 5 times" in next(outcome["failed"] for outcome in outcomes.values() if "failed" in outcome)


@pytest.fixture
def scheduler():
    """A scheduler with two workers, which are started again when they die, in processes of their own. -> (address, its process)"""
    pytest.importorskip("distributed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options = (
        ("dask_scheduler", "--host", address, "--no-dashboard"),
        ("dask_worker", address, "--nworkers", "2", "--nthreads", "1", "--no-dashboard"),
    )
    forked = {**os.environ, "DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD": "forkserver"}  # they start sooner
    started = []
    for name, *arguments in options:
        command = [sys.executable, "-m", f"distributed.cli.{name}", *arguments]
        started.append(subprocess.Popen(command, stderr=subprocess.DEVNULL, env=forked))
    while True:
        with contextlib.suppress(OSError), socket.create_connection(address.split(":")):
            break
        time.sleep(0.05)
    yield f"tcp://{address}", started[0]
    for process in reversed(started):
        process.terminate()
        process.wait()


def test_a_cluster_gives_the_same_table_though_workers_and_scheduler_are_killed(own, swept, tmp_path, scheduler, monkeypatch):
    from distributed import Client

    address, process = scheduler
    chance, killed, original = random.Random(1), [], Store.add

    def add(store, *trial):
        original(store, *trial)
        if len(list(tmp_path.glob("trials/*.json"))) == 3:
            process.kill()
        elif not killed:
            with Client(address, set_as_default=False) as client:
                killed.append(chance.choice(sorted(client.run(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)

    with monkeypatch.context() as killing:
        killing.setattr(Store, "add", add)
        killing.setattr(running.Cluster, "most", 2)  # else all may be done before any worker is killed
        killing.setattr(running, "_RECONNECT_SECONDS", 0.5)
        with pytest.raises(ConnectionError, match="has ended; what is finished is kept"):
            tpl.sweep(plan_of(own), tmp_path, scheduler=address)
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.glob("trials/*.json")}
    assert killed
    assert 3 <= len(kept) < len(RATES) * SEEDS
    tpl.sweep(plan_of(own), tmp_path, workers=1)
    assert table(tmp_path) == table(swept[0])
    assert {file: file.stat().st_mtime_ns for file in kept} == kept


def test_the_recipe_for_slurm(own, swept, tmp_path, monkeypatch):
    """As docs/sweeps.md has it, smaller. In the place of Slurm: jobs are processes of this machine."""
    pytest.importorskip("dask_jobqueue")
    page = (pathlib.Path(__file__).resolve().parents[1] / "docs" / "sweeps.md").read_text()
    recipe = re.search(r"```\n(from dask_jobqueue.*?)```", page, re.DOTALL)[1]
    small = recipe.replace("cores=8, processes=8", "cores=2, processes=2").replace("maximum_jobs=20", "maximum_jobs=1")
    assert small != recipe
    for name, line in (("sbatch", 'setsid sh "$1" >> "$JOBS" 2>&1 & echo "Submitted batch job $!"'), ("scancel", "kill -- -$1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    here = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "JOBS": str(tmp_path / "jobs.txt")}
    given = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": tmp_path, "env": {**os.environ, **here}}
    with subprocess.Popen([sys.executable, "-c", small], **given) as cluster:
        address = cluster.stdout.readline().strip()
        assert address.startswith("tcp://")
        tpl.sweep(plan_of(own), tmp_path / "swept", scheduler=address)
        cluster.communicate("\n")
    assert table(tmp_path / "swept") == table(swept[0])
    assert (tmp_path / "jobs.txt").read_text().count("Start worker at") >= 2


def test_what_a_scheduler_is_refused_for(own, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(
        tpl.InvalidValueError, match=r"sweep: scheduler is tcp://here, but Dask is not installed, but must be used with Dask; pip"
    ):
        tpl.sweep(plan_of(own), tmp_path, scheduler="tcp://here")
    monkeypatch.undo()
    pytest.importorskip("distributed")
    monkeypatch.setattr(running, "_CONNECT_SECONDS", 0.1)
    for address in ("tcp://127.0.0.1:9", "no address"):
        with pytest.raises(tpl.InvalidValueError, match="must be the address of a running Dask scheduler; start one with dask scheduler"):
            tpl.sweep(plan_of(own), tmp_path, scheduler=address)
