"""A file is the old one or the new one, whole, wherever writing it fails or is killed; and it is on the disk when writing returns."""

import errno
import os
import subprocess
import sys
import time

import pytest

import tp_lava as tpl
from tp_lava import saving
from tp_lava.saving import write_whole

OLD, NEW = b"old" * 1000, b"new" * 2000
STEPS = ("open", "fsync", "replace")  # of os; the second fsync is that of the folder


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "folder" / "file.bin"
    made.parent.mkdir()
    made.write_bytes(OLD)
    return made


def _failing(name, at):
    """A function of os that fails when it is called for the at-th time."""
    original, calls = getattr(os, name), []

    def function(*arguments, **options):
        calls.append(arguments)
        if len(calls) == at:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(*arguments, **options)

    return function


@pytest.mark.parametrize("step", STEPS)
def test_a_failure_before_the_rename_leaves_the_old_file_alone(file, monkeypatch, step):
    with monkeypatch.context() as failing:
        failing.setattr(os, step, _failing(step, 1))
        with pytest.raises(OSError, match="No space left on device.*file.bin"):
            write_whole(file, NEW)
    assert file.read_bytes() == OLD
    assert os.listdir(file.parent) == ["file.bin"]
    write_whole(file, NEW)
    assert file.read_bytes() == NEW


def test_a_disk_that_gets_full_leaves_the_old_file_alone(file):
    script = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
    )
    script += f"from tp_lava.saving import write_whole; write_whole({str(file)!r}, bytes(6000))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "File too large" in done.stderr
    assert "file.bin" in done.stderr
    assert file.read_bytes() == OLD
    assert os.listdir(file.parent) == ["file.bin"]


def test_a_failure_to_flush_the_folder_is_told(file, monkeypatch):
    monkeypatch.setattr(os, "fsync", _failing("fsync", 2))
    with pytest.raises(OSError, match="No space left on device"):
        write_whole(file, NEW)
    assert file.read_bytes() == NEW
    assert os.listdir(file.parent) == ["file.bin"]


def test_a_file_system_that_cannot_flush_folders(file, monkeypatch):
    original, calls = os.fsync, []

    def fsync(opened):
        calls.append(opened)
        if len(calls) == 2:
            raise OSError(errno.EINVAL, "Invalid argument")
        original(opened)

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(file, NEW)
    assert file.read_bytes() == NEW


def test_the_order_is_write_flush_rename_flush(file, monkeypatch):
    """On the disk before it is named, and named before it is said to be there."""
    order, fsync, replace = [], os.fsync, os.replace

    def flushed(opened):
        about = os.fstat(opened)
        order.append("folder" if os.path.samestat(about, os.stat(file.parent)) else about.st_size)
        fsync(opened)

    def renamed(*arguments):
        order.append("rename")
        replace(*arguments)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", renamed)
    write_whole(file, NEW)
    assert order == [len(NEW), "rename", "folder"]


KILLED = """
import os, sys
from tp_lava.saving import write_whole
step, at, when = sys.argv[2], int(sys.argv[3]), sys.argv[4]
original, calls = getattr(os, step), []
def function(*arguments, **options):
    calls.append(1)
    if len(calls) == at and when == "before":
        os._exit(9)
    result = original(*arguments, **options)
    if len(calls) == at:
        os._exit(9)
    return result
setattr(os, step, function)
write_whole(sys.argv[1], b"new" * 2000)
"""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("step", "at"), [("open", 1), ("fdopen", 1), ("fsync", 1), ("replace", 1), ("fsync", 2)])
def test_a_killed_process_leaves_the_old_file_or_the_new_one(file, step, at, when):
    assert subprocess.run([sys.executable, "-c", KILLED, str(file), step, str(at), when]).returncode == 9
    renamed = (step, at) == ("fsync", 2) or (step, when) == ("replace", "after")
    assert file.read_bytes() == (NEW if renamed else OLD)
    left = [name for name in os.listdir(file.parent) if name != "file.bin"]
    assert len(left) == (not renamed and (step, when) != ("open", "before"))
    for name in left:
        os.utime(file.parent / name, (0, 0))
    write_whole(file, NEW)
    assert os.listdir(file.parent) == ["file.bin"]


def test_what_others_are_writing_stays(file):
    """A temporary that is held, one that is too young to tell, and files of other names."""
    held, young, other = (file.parent / name for name in (".file.bin.1.tmp", ".file.bin.2.tmp", ".other.bin.3.tmp"))
    for made in (held, young, other):
        made.write_bytes(b"")
    for made in (held, other):
        os.utime(made, (0, 0))
    with open(held, "r+b") as writer:
        saving._lock(writer.fileno())
        write_whole(file, NEW)
        assert held.exists()
    write_whole(file, NEW)
    assert sorted(os.listdir(file.parent)) == [".file.bin.2.tmp", ".other.bin.3.tmp", "file.bin"]
    assert time.time() - young.stat().st_mtime < 60
    saving.remove_left_over(file, 0)
    assert not young.exists()


def test_the_mode_is_that_of_any_new_file(file):
    mask = os.umask(0o027)
    try:
        write_whole(file, NEW)
    finally:
        os.umask(mask)
    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("rule", [tpl.TP(contrast=3), tpl.TESS(basis="walsh")])
def test_a_loaded_learner_is_saved_as_the_same_bytes(tmp_path, rule):
    """In whatever order its weights and exponents were named."""
    layers = (tpl.Layer(6, tpl.LIF(), 0.5, recurrent=True), tpl.Layer(5, tpl.LIF(), 0.5))
    network = tpl.Network.of_layers(9, layers, 3, tpl.Network.dense((9, 6, 5, 3), recurrent=(True, False), trace_decay=0.5).weights)
    exponents = dict.fromkeys(reversed(list(network.weights)), -4)
    learner = tpl.Learner(network, rule, tpl.FixedPoint(weight_exponents=exponents))
    learner.save(tmp_path / "first")
    tpl.Learner.load(tmp_path / "first").save(tmp_path / "second")
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
