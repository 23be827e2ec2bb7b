"""Everything that can go wrong in a Lava run: its cause is told, nothing is left behind, and the next run works."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import textwrap
import threading
import time

import numpy as np
import psutil
import pytest
from chains import (
    ASYNC_PHASES,
    HANG_SECONDS,
    MEMBERS,
    STEPPED_PHASES,
    assert_gone,
    assert_next_run_works,
    assert_run_fails,
    broken,
    chain,
    clean,  # noqa: F401
    fails,
    mute,
    nothing_left,
    program,
    segments,
)

# Exceptions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("member", MEMBERS)
@pytest.mark.parametrize(("phase", "asynchronous"), [(p, False) for p in STEPPED_PHASES] + [(p, True) for p in ASYNC_PHASES])
def test_an_exception_in_any_model_at_any_phase(phase, asynchronous, member):
    _, session = chain(asynchronous, **{member: (phase, 3, broken)})
    error = assert_run_fails(session, "ValueError in a ProcessModel: it is broken")
    assert isinstance(error.__cause__, ValueError)
    assert "in broken" in str(error)
    assert phase in str(error)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["stepped", "asynchronous"])
def test_the_next_run_works(asynchronous):
    for phase in ("__init__", "start", "run_async" if asynchronous else "run_spk"):
        _, session = chain(asynchronous, middle=(phase, 2, broken))
        assert_run_fails(session, "it is broken")
        with nothing_left():
            assert_next_run_works(asynchronous)


class NeedsTwoArguments(Exception):  # noqa: N818
    """It pickles, but does not unpickle."""

    def __init__(self, one, other) -> None:
        super().__init__(f"{one} and {other}")


def unpicklable(model):
    class Local(Exception):  # noqa: N818
        pass

    raise Local("only here")


def not_unpicklable(model):
    raise NeedsTwoArguments("one", "other")


def huge(model):
    raise ValueError("long " * 10**6)


def leaves(model):
    raise SystemExit("enough")


def exits(model):
    os._exit(3)


def crashes(model):
    faulthandler.disable()
    os.kill(os.getpid(), signal.SIGSEGV)


@pytest.mark.parametrize("phase", ["__init__", "start", "run_lrn"])
@pytest.mark.parametrize(
    ("act", "message"),
    [
        (unpicklable, "RuntimeError in a ProcessModel: Local: only here"),
        (not_unpicklable, "RuntimeError in a ProcessModel: NeedsTwoArguments: one and other"),
        (huge, "in a ProcessModel: .*long long long"),
        (leaves, "SystemExit in a ProcessModel: enough"),
        (exits, r"Lava lost a process \(PyMiddle, SystemProcess-\d+: ended with exit code 3\)"),
        (crashes, r"Lava lost a process \(PyMiddle, .*: killed by SIGSEGV\)"),
    ],
)
def test_a_model_that_ends_strangely(act, message, phase):
    _, session = chain(middle=(phase, 2, act))
    assert_run_fails(session, message)


# Processes that are lost, ports that wait ----------------------------------------------------------


def soon(act, seconds=0.05):
    timer = threading.Timer(seconds, act)
    timer.start()
    return timer


@pytest.mark.parametrize("asynchronous", [False, True], ids=["stepped", "asynchronous"])
@pytest.mark.parametrize("which", range(5), ids=["manager", *MEMBERS, "service"])
def test_any_child_killed(which, asynchronous):
    _, session = chain(asynchronous)
    with fails(session, "Lava lost a process .*: killed by SIGKILL, as the system"):
        victims = sorted(multiprocessing.active_children(), key=lambda child: child.pid)
        assert len(victims) == 5
        soon(lambda: os.kill(victims[which].pid, signal.SIGKILL))
        session.run(10**7)


@pytest.mark.parametrize("which", range(1, 5), ids=[*MEMBERS, "service"])
def test_a_child_killed_between_runs(which):
    """Whatever is asked of Lava next tells."""
    sink, session = chain()
    with fails(session, "Lava lost a process"):
        session.run(2)
        os.kill(sorted(child.pid for child in multiprocessing.active_children())[which], signal.SIGKILL)
        time.sleep(0.1)
        sink.total.get()
        session.run(2)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["stepped", "asynchronous"])
def test_a_dead_locked_port(asynchronous):
    _, session = chain(asynchronous, source=("run_async" if asynchronous else "run_spk", 3, mute))
    with fails(session, "Lava run given up: not done after 0.5 s"):
        session.run(5, timeout=0.5)


def test_a_var_set_to_too_many_values():
    """Stock Lava takes the rest for commands."""
    sink, session = chain()
    with fails(session, "Illegal RuntimeService command"):
        session.run(1)
        sink.total.process.runtime.set_var(sink.total.id, np.zeros(200))
        session.run(1)


def test_a_child_that_does_not_answer(monkeypatch):
    monkeypatch.setattr("tp_lava.lava.runtime._ANSWER_SECONDS", 0.5)
    sink, session = chain()
    with fails(session, "Lava does not answer: nothing for 0.5 s"):
        session.run(1)
        for child in multiprocessing.active_children():
            if child.name.startswith("SystemProcess"):
                os.kill(child.pid, signal.SIGSTOP)
        sink.total.get()


# Signals --------------------------------------------------------------------------------------------


@pytest.fixture
def heeds_ctrl_c():
    """Processes started in the background ignore SIGINT, and so would the tests there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_ctrl_c")
@pytest.mark.parametrize("asynchronous", [False, True], ids=["stepped", "asynchronous"])
def test_ctrl_c(asynchronous):
    _, session = chain(asynchronous)
    with fails(session, None, KeyboardInterrupt):
        soon(lambda: os.kill(os.getpid(), signal.SIGINT))
        session.run(10**7)
    assert_next_run_works()


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_ctrl_c_while_lava_forks_waits_for_it(monkeypatch):
    """Python drops what is raised in its callbacks around a fork."""
    from tp_lava.lava.runtime import SupervisedRuntime

    build, reached = SupervisedRuntime._build_processes, []

    def interrupted(runtime):
        os.kill(os.getpid(), signal.SIGINT)
        build(runtime)
        reached.append(True)

    monkeypatch.setattr(SupervisedRuntime, "_build_processes", interrupted)
    _, session = chain()
    with nothing_left(), pytest.raises(KeyboardInterrupt), session:
        session.run(10**7)
    assert reached


RUNNING = """
    _, session = chain()
    with session:
        session.run(3)
        threading.Timer(0.3, lambda: print("ready", flush=True)).start()
        {waiting}
    print("went on")
"""


@pytest.mark.parametrize("waiting", ["session.run(10**9)", "time.sleep(60)"], ids=["running", "idle"])
@pytest.mark.parametrize(
    ("number", "before", "code", "output"),
    [
        (signal.SIGTERM, "", -signal.SIGTERM, ""),
        (signal.SIGKILL, "", -signal.SIGKILL, ""),
        (signal.SIGTERM, "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))", 7, ""),
    ],
    ids=["SIGTERM", "SIGKILL", "handled SIGTERM"],
)
def test_the_parent_is_ended(number, before, code, output, waiting, tmp_path):
    parent = program(before + "\n" + textwrap.dedent(RUNNING).format(waiting=waiting), tmp_path)
    assert parent.stdout.readline() == "ready\n"
    children = psutil.Process(parent.pid).children(recursive=True)
    assert len(children) >= 5
    assert len(segments(parent.pid)) > 5
    parent.send_signal(number)
    stdout, stderr = parent.communicate(timeout=HANG_SECONDS)
    assert (parent.returncode, stdout) == (code, output), stderr
    assert stderr == "" or number == signal.SIGKILL  # the resource tracker says then what it removed
    assert_gone(parent, children)


def test_a_session_left_open_does_not_keep_the_program(tmp_path):
    parent = program("_, session = chain()\nsession.__enter__()\nsession.run(3)\nprint('ready')", tmp_path)
    stdout, stderr = parent.communicate(timeout=60)
    assert (parent.returncode, stdout, stderr) == (0, "ready\n", "")
    assert_gone(parent)
