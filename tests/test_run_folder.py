"""A run's folder: one process at a time; whatever kills it, what is there goes on; other data are refused."""

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from conftest import random_samples
from test_cli_training import SMALL, refused, run, told

import tp_lava as tpl
from tp_lava.commands import run_folder
from tp_lava.data import save_samples

HOLD = """
    import os, pathlib, sys, time
    from tp_lava.commands.run_folder import held

    with held(pathlib.Path(sys.argv[1]), ()):
        if sys.argv[2] == "with a child" and os.fork() == 0:
            time.sleep(60)
        print(os.getpid(), flush=True)
        time.sleep(60)
"""


@pytest.fixture
def own(tmp_path):
    file = tmp_path / "own.npz"
    save_samples(file, random_samples(np.random.default_rng(5), 20, 8, 3, rate=0.4))
    return file


@pytest.fixture
def holder(tmp_path):
    """Starts a process that holds the folder `run`; -> (process, its number)."""
    started = []
    (tmp_path / "run").mkdir()

    def start(kind="alone"):
        command = [sys.executable, "-c", textwrap.dedent(HOLD), str(tmp_path / "run"), kind]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        started.append(process)
        return process, int(process.stdout.readline())

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def files(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != run_folder.LOCK}


def test_a_folder_in_use_is_refused_by_the_name_of_the_process(own, tmp_path, holder):
    process, number = holder()
    message = refused("train", *SMALL, "--data", own, "--epochs", 1, "--out", tmp_path / "run")
    assert f"train: out is {tmp_path / 'run'}, where process {number} of {os.uname().nodename} (tp-lava" in message
    assert "is at work, but must be a folder of one run at a time; wait for its end, or give another with --out." in message
    assert files(tmp_path / "run") == {}
    process.kill()
    process.wait()
    assert (tmp_path / "run" / run_folder.LOCK).exists()  # of the dead, which holds nothing
    told("train", *SMALL, "--data", own, "--epochs", 1, "--out", tmp_path / "run")
    assert not (tmp_path / "run" / run_folder.LOCK).exists()


def test_children_of_a_dead_process_hold_nothing(tmp_path, holder):
    process, _ = holder("with a child")
    process.kill()
    process.wait()
    with run_folder.held(tmp_path / "run", ()):
        pass


def test_the_lock_of_a_folder_that_was_taken_away_is_asked_again(tmp_path, monkeypatch):
    """Between opening and locking, its holder may end and remove the file."""
    original, calls = run_folder.fcntl.lockf, []

    def lockf(opened, how):
        original(opened, how)
        calls.append(opened)
        if len(calls) == 1:
            os.unlink(tmp_path / run_folder.LOCK)

    monkeypatch.setattr(run_folder.fcntl, "lockf", lockf)
    with run_folder.held(tmp_path, ()):
        assert len(calls) == 2
        assert (tmp_path / run_folder.LOCK).read_text().startswith(f"process {os.getpid()} of")


def test_what_killed_saves_left_is_removed(tmp_path):
    for name in (".learner.safetensors.0a.tmp", ".results.json.0b.tmp", ".mine.0c.tmp", ".learner.safetensors.txt"):
        (tmp_path / name).write_bytes(b"")
    with run_folder.held(tmp_path, ("learner.safetensors", "results.json")):
        assert sorted(files(tmp_path)) == [".learner.safetensors.txt", ".mine.0c.tmp"]


@pytest.mark.parametrize("at", range(1, 9))
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_killed_at_any_save_goes_on_to_the_same_bytes(own, tmp_path, monkeypatch, at, when):
    """At the at-th file that is written, the configuration, results, learner, best, ... of two epochs."""
    from tp_lava import saving

    options = ("--data", own, "--epochs", 2, "--validation", 0.25, "--keep-best", "--precision", "fixed", "--schedule", "none")
    told("train", *SMALL, *options, "--out", tmp_path / "whole")
    original, calls = saving._write, []

    def killed(*arguments):
        calls.append(arguments)
        if len(calls) == at and when == "before":
            raise KeyboardInterrupt
        original(*arguments)
        if len(calls) == at:
            raise KeyboardInterrupt

    with monkeypatch.context() as killing:
        killing.setattr(saving, "_write", killed)
        run("train", *SMALL, *options, "--out", tmp_path / "run")
        assert len(calls) == at
    if (at, when) == (1, "before"):
        assert files(tmp_path / "run") == {}
        told("train", *SMALL, *options, "--out", tmp_path / "run")
    else:
        told("train", "--resume", tmp_path / "run", "--no-plot", "--json")
    whole, resumed = files(tmp_path / "whole"), files(tmp_path / "run")
    assert set(whole) == set(resumed)
    for name in ("learner.safetensors", "best.safetensors", "config.toml"):
        assert whole[name] == resumed[name]


def test_other_data_are_refused_by_both_checksums(own, tmp_path):
    folder = tmp_path / "run"
    told("train", *SMALL, "--data", own, "--test", own, "--epochs", 1, "--schedule", "none", "--out", folder)
    then = hashlib.sha256(own.read_bytes()).hexdigest()
    kept, before = own.read_bytes(), files(folder)
    save_samples(own, random_samples(np.random.default_rng(6), 20, 8, 3, rate=0.4))
    now = hashlib.sha256(own.read_bytes()).hexdigest()
    message = refused("train", "--resume", folder, "--epochs", 2)
    assert f"train: data is {own} of SHA-256 {now}, but must be the file that the run was begun with, of SHA-256 {then}" in message
    assert "bring that one back, or begin a new run" in message
    assert files(folder) == before
    own.write_bytes(kept)
    assert len(told("train", "--resume", folder, "--epochs", 2, "--no-plot", "--json")["epochs"]) == 2


def test_a_model_that_is_gone_does_not_keep_a_run_from_going_on(own, tmp_path):
    tpl.save_network(tpl.Network.dense((8, 6, 3), seed=1), tmp_path / "net.tplava")
    made = ("train", tmp_path / "net.tplava", "--data", own, "--epochs", 1, "--schedule", "none", "--no-plot", "--json")
    first = told(*made, "--out", tmp_path / "run")
    tpl.save_network(tpl.Network.dense((8, 6, 3), seed=2), tmp_path / "net.tplava")
    assert told("train", "--resume", tmp_path / "run", "--no-plot", "--json")["sha256"] == first["sha256"]


@pytest.mark.parametrize("command", [("train", "--in-lava", "--hidden", 6), ("finetune", "digits", "--in-lava"), ("demo",)])
def test_without_lava_no_folder_is_made(command, own, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "lava", None)
    monkeypatch.delitem(sys.modules, "lava.magma.runtime.message_infrastructure.multiprocessing", raising=False)
    before = sorted(tmp_path.iterdir())
    done = run(*command)
    assert isinstance(done.exception, tpl.LavaUnavailableError)
    assert sorted(tmp_path.iterdir()) == before
