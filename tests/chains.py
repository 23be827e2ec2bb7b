"""A network to break, ways to break it, and what must not be left behind; for test_faults, test_session and tools/faults.py."""

from __future__ import annotations

import contextlib
import glob
import itertools
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import shared_memory

import numpy as np
import pytest

import tp_lava as tpl

tpl.lava.make_importable()

from lava.magma.core.decorator import implements, requires  # noqa: E402
from lava.magma.core.model.py.model import PyAsyncProcessModel, PyLoihiProcessModel  # noqa: E402
from lava.magma.core.model.py.ports import PyInPort, PyOutPort  # noqa: E402
from lava.magma.core.model.py.type import LavaPyType  # noqa: E402
from lava.magma.core.process.ports.ports import InPort, OutPort  # noqa: E402
from lava.magma.core.process.process import AbstractProcess  # noqa: E402
from lava.magma.core.process.variable import Var  # noqa: E402
from lava.magma.core.resources import CPU  # noqa: E402
from lava.magma.core.run_configs import Loihi2SimCfg  # noqa: E402
from lava.magma.core.sync.protocols.async_protocol import AsyncProtocol  # noqa: E402
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol  # noqa: E402

HANG_SECONDS = 10.0  # nothing may take longer to end
STEPPED_PHASES = ("__init__", "start", "run_spk", "run_pre_mgmt", "run_lrn", "run_post_mgmt")
ASYNC_PHASES = ("__init__", "start", "run_async")
MEMBERS = ("source", "middle", "sink")

# Other programs have segments too: ours are known by their names.
shared_memory._SHM_NAME_PREFIX = f"/p{os.getpid():06x}"


def segments(pid=None):
    return sorted(glob.glob(f"/dev/shm/p{pid or os.getpid():06x}*"))


# A network to break: a source that counts, a middle that doubles, a sink that adds up -------------


class Member(AbstractProcess):
    """One of three in a chain; fault: None or (phase, step, act), to call act(model) in that phase of that step."""

    def __init__(self, fault=None) -> None:
        super().__init__(fault=fault)
        self.a_in, self.s_out = InPort(shape=(3,)), OutPort(shape=(3,))
        self.total = Var(shape=(3,), init=0)


class Source(Member):
    """Sends its time step."""


class Middle(Member):
    """Doubles."""


class Sink(Member):
    """Adds up."""


class Work:
    """What the members do, once for both protocols, and the fault."""

    def fault(self, phase, step=0):
        if (fault := self.proc_params["fault"]) is not None and fault[0] == phase and (fault[1] == step or phase in ("__init__", "start")):
            fault[2](self)

    def source(self, step):
        self.total += 1
        if not getattr(self, "dumb", False):
            self.s_out.send(np.full(3, step))

    def middle(self, step):
        self.s_out.send(2 * self.a_in.recv())

    def sink(self, step):
        self.total += self.a_in.recv()

    def start(self):
        self.fault("start")
        super().start()


class Stepped(Work, PyLoihiProcessModel):
    """Every phase, in every step."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, int)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, int)
    total: np.ndarray = LavaPyType(np.ndarray, int)

    def __init__(self, proc_params) -> None:
        super().__init__(proc_params)
        self.fault("__init__")

    def run_spk(self):
        self.fault("run_spk", self.time_step)
        getattr(self, self.role)(self.time_step)

    def run_pre_mgmt(self):
        self.fault("run_pre_mgmt", self.time_step)

    def run_lrn(self):
        self.fault("run_lrn", self.time_step)

    def run_post_mgmt(self):
        self.fault("run_post_mgmt", self.time_step)

    def pre_guard(self):
        return True

    lrn_guard = post_guard = pre_guard


class Asynchronous(Work, PyAsyncProcessModel):
    """So many steps in one run."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, int)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, int)
    total: np.ndarray = LavaPyType(np.ndarray, int)

    def __init__(self, proc_params) -> None:
        super().__init__(proc_params)
        self.fault("__init__")

    def run_async(self):
        for step in range(1, self.num_steps + 1):
            if self.role == "source" and self.check_for_pause_cmd():
                return
            self.fault("run_async", step)
            getattr(self, self.role)(step)


def model(process, base, protocol):
    return requires(CPU)(
        implements(proc=process, protocol=protocol)(type("Py" + process.__name__, (base,), {"role": process.__name__.lower()}))
    )


MODELS = {
    False: {process: model(process, Stepped, LoihiProtocol) for process in (Source, Middle, Sink)},
    True: {process: model(process, Asynchronous, AsyncProtocol) for process in (Source, Middle, Sink)},
}


def chain(asynchronous=False, **faults):
    """-> (sink, session) of a chain, not yet entered; faults by member's name."""
    members = [process(faults.get(process.__name__.lower())) for process in (Source, Middle, Sink)]
    for one, other in itertools.pairwise(members):
        one.s_out.connect(other.a_in)
    models = {member: MODELS[asynchronous][type(member)] for member in members}  # by instance, or Lava executes every file here
    return members[-1], tpl.lava.session(members[0], run_cfg=Loihi2SimCfg(exception_proc_model_map=models))


def assert_next_run_works(asynchronous=False):
    sink, session = chain(asynchronous)
    with session:
        session.run(4, timeout=HANG_SECONDS)
        np.testing.assert_array_equal(sink.total.get(), [20, 20, 20])


# What must never be left behind -------------------------------------------------------------------


def belongings():
    """Everything that a run could leave, to compare."""
    return {
        "children": multiprocessing.active_children(),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "segments": segments(),
        "SIGTERM": signal.getsignal(signal.SIGTERM),
        "SIGINT": signal.getsignal(signal.SIGINT),
    }


def assert_run_fails(session, message, steps=4):
    """Entering the session or running it does, before long, and leaves nothing. -> the error"""
    with nothing_left(), pytest.raises(tpl.LavaRunError, match=message) as caught, session:
        session.run(steps)
    return caught.value


@contextlib.contextmanager
def fails(session, message, error=tpl.LavaRunError):
    """The session's block fails so, before long, and leaves nothing."""
    with nothing_left(), pytest.raises(error, match=message), session:
        yield


def handlers():
    """Of logging; a Process brings one when it is made."""
    return [list(logging.getLogger(name).handlers) for name in ("root", "lava.magma.compiler.compiler")]


@contextlib.contextmanager
def nothing_left():
    """The block ends before long and leaves nothing."""
    before, start = belongings(), time.monotonic()
    yield
    assert time.monotonic() - start < HANG_SECONDS
    assert_left(before)


def assert_left(before):
    end = time.monotonic() + 1
    while belongings() != before and time.monotonic() < end:
        time.sleep(0.01)  # a thread that was told to end may need a moment
    assert belongings() == before


@pytest.fixture(autouse=True)
def clean():
    before = belongings(), handlers()
    yield
    assert_left(before[0])
    assert handlers() == before[1]


# Ways to break it ---------------------------------------------------------------------------------


def broken(model):
    raise ValueError("it is broken")


def mute(model):
    model.dumb = True


# A program of its own -----------------------------------------------------------------------------


def program(code, tmp_path):
    """A Python program of its own, which prints "ready" and then waits for what is done to it."""
    script = tmp_path / "program.py"
    head = f"import os, signal, sys, threading, time\nsys.path.insert(0, {os.path.dirname(__file__)!r})\nfrom chains import *\n"
    script.write_text(head + code)
    return subprocess.Popen([sys.executable, "-W", "ignore", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def assert_gone(parent, children=()):
    """Children and shared memory, before long."""
    end = time.monotonic() + HANG_SECONDS
    while time.monotonic() < end and (any(child.is_running() for child in children) or segments(parent.pid)):
        time.sleep(0.05)
    assert not [child for child in children if child.is_running()]
    assert segments(parent.pid) == []
