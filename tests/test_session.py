"""Sessions in Lava: entered, run, paused, gone on with and left; what they keep and refuse, and where they run."""

from __future__ import annotations

import contextlib
import gc
import logging
import signal
import threading
import time

import numpy as np
import psutil
import pytest
from chains import (
    HANG_SECONDS,
    MODELS,
    Loihi2SimCfg,
    Source,
    assert_next_run_works,
    belongings,
    broken,
    chain,
    clean,  # noqa: F401
    fails,
    handlers,
    mute,
    nothing_left,
)

import tp_lava as tpl
from tp_lava.lava import hardware

# Continuous running ----------------------------------------------------------------------------------


def test_start_pause_and_go_on():
    sink, session = chain()
    with nothing_left(), session:
        totals = []
        for _ in range(2):
            session.start()
            session.wait(0.1)
            session.pause()
            totals.append(int(sink.total.get()[0]))
        assert 0 < totals[0] < totals[1]
        steps = int(np.sqrt(totals[1]))  # 2 * (1 + ... + n) is n * (n + 1)
        session.run(2)
        assert sink.total.get()[0] == (steps + 2) * (steps + 3)
        session.start()  # and left running
    assert_next_run_works()


def test_an_asynchronous_model_that_looks_can_be_paused():
    source = Source()
    models = {source: MODELS[True][Source]}
    with nothing_left(), tpl.lava.session(source, run_cfg=Loihi2SimCfg(exception_proc_model_map=models)) as session:
        counts = []
        for _ in range(2):
            session.start()
            session.wait(0.1)
            session.pause()
            counts.append(int(source.total.get()[0]))
        assert 0 < counts[0] < counts[1]
        session.run(2)
        assert source.total.get()[0] == counts[1] + 2


def test_what_a_running_session_refuses():
    _, session = chain()
    with pytest.raises(tpl.InvalidValueError, match="'not entered', but must be 'idle' to run; write `with session:`"):
        session.run(1)
    with session:
        for refused in (session.pause, lambda: session.wait(1)):
            with pytest.raises(tpl.InvalidValueError, match=r"must be 'running continuously' .*call start\(\) first"):
                refused()
        session.start()
        for refused in (session.start, lambda: session.run(1)):
            with pytest.raises(tpl.InvalidValueError, match=r"must be 'idle' .*call pause\(\) first"):
                refused()
        session.pause()
        with pytest.raises(tpl.InvalidValueError, match="steps is -1"):
            session.run(-1)
    with pytest.raises(tpl.InvalidValueError, match="'over'.*make new Processes"):
        session.run(1)


@pytest.mark.parametrize("then", ["wait", "pause", "exit"])
def test_a_failure_while_running_continuously(then):
    _, session = chain(middle=("run_spk", 3, broken))
    with fails(session, "it is broken"):
        session.start()
        if then == "wait":
            session.wait(60)
        time.sleep(0.3)
        if then == "pause":
            session.pause()


def test_a_dead_lock_while_running_continuously():
    for wanted, act in (
        ("did not pause within 0.5 s", lambda s: s.pause(0.5)),
        ("no progress for 0.5 s", lambda s: s.wait(60, 0.5, lambda: 1)),
    ):
        _, session = chain(source=("run_spk", 3, mute))
        with fails(session, wanted):
            session.start()
            time.sleep(0.1)
            act(session)


def ask_to_pause(model):
    model._req_pause = True


def test_a_model_may_pause_the_run():
    sink, session = chain(sink=("run_spk", 3, ask_to_pause))
    with nothing_left(), session:
        session.run(1000)
        assert 12 <= sink.total.get()[0] <= 20
        session.run(2)


# Entering and leaving ---------------------------------------------------------------------------------


def test_entered_and_left_without_a_run():
    with nothing_left(), chain()[1]:
        pass


def test_processes_run_once():
    sink, session = chain()
    with session:
        session.run(1)
        with pytest.raises(tpl.LavaRunError, match="compiled before"), tpl.lava.session(sink):
            pass
        session.run(1)
    with pytest.raises(tpl.LavaRunError, match="make new ones"), tpl.lava.session(sink):
        pass


def test_a_network_that_does_not_compile():
    from lava.proc.lif.process import LIF

    with nothing_left():
        with pytest.raises(tpl.LavaRunError, match="Lava could not start the network"), tpl.lava.session(LIF(shape=(2,)), "fixed_pt_async"):
            pass
        assert_next_run_works()


def test_two_sessions_at_once():
    (one, first), (other, second) = chain(), chain()
    with nothing_left(), first:
        with second:
            first.run(3)
            second.run(4)
            first.run(1)
            assert one.total.get()[0] == other.total.get()[0] == 20
        first.run(1)
        assert one.total.get()[0] == 30


def test_users_handlers_stay():
    """Of logging and of SIGTERM."""
    mine, handler = logging.StreamHandler(), lambda *_: None
    logging.getLogger().addHandler(mine)
    signal.signal(signal.SIGTERM, handler)
    try:
        with chain()[1] as session:
            session.run(1)
            assert signal.getsignal(signal.SIGTERM) is handler
        assert signal.getsignal(signal.SIGTERM) is handler
        assert mine in logging.getLogger().handlers
    finally:
        logging.getLogger().removeHandler(mine)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_in_another_thread():
    failures = []

    def work():
        try:
            assert_next_run_works()
        except BaseException as error:
            failures.append(error)

    with nothing_left():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(HANG_SECONDS)
    assert failures == []


def test_runs_leak_nothing():
    """Eighteen runs, a third of them broken; tools/faults.py --leaks 200 for more."""
    from lava.magma.core.process.process import ProcessServer
    from lava.magma.core.process.variable import VarServer

    def counts():
        gc.collect()  # when a broken run's processes are let go depends on what else is imported
        return psutil.Process().num_fds(), ProcessServer().num_processes, len(VarServer().vars), belongings(), handlers()

    network, samples = tpl.Network.dense((4, 3, 2)), [(tpl.Events([0], [1], 5, 4), 1)]
    for run in range(6):
        assert_next_run_works()
        tpl.lava.run(network, tpl.TP(contrast=2), samples)
        _, session = chain(middle=("run_spk", 2, broken))
        with pytest.raises(tpl.LavaRunError), session:
            session.run(3)
        if run == 1:
            before = counts()
    assert counts() == before


def test_our_own_processes_in_a_session():
    from tp_lava.processes import EventSource, OnChipLearner, ScoreSink

    network = tpl.Network.dense((4, 3, 2))
    good, bad = [(tpl.Events([0], [1], 5, 4), 1)] * 2, [(tpl.Events([0], [1], 5, 4), 7)]
    for samples in (good, bad, good):
        source, chip, sink = EventSource(samples), OnChipLearner(network, tpl.TP(contrast=2), 1), ScoreSink(2, len(samples))
        source.s_out.connect(chip.s_in)
        source.sample_out.connect([chip.sample_in, sink.sample_in])
        chip.score_out.connect(sink.score_in)
        with contextlib.ExitStack() as stack:
            if samples is bad:
                stack.enter_context(pytest.raises(tpl.LavaRunError, match="label is 7"))
            session = stack.enter_context(tpl.lava.session(sink, "fixed_pt"))
            session.run(10, timeout=HANG_SECONDS, progress=lambda sink=sink: sink.done)
            assert sink.done == 2
            learner = tpl.Learner(network, tpl.TP(contrast=2), "fixed", 1)
            learner.fit(samples)
            np.testing.assert_array_equal(chip.hidden0.get(), learner.mantissas["hidden0"])


def test_refused_processes_are_forgotten():
    from lava.magma.core.process.process import ProcessServer

    count = ProcessServer().num_processes
    network = tpl.Network.dense((4, 3, 2))
    with pytest.raises(tpl.InvalidValueError):
        tpl.lava.run(network, tpl.TP(contrast=9), [(tpl.Events([0], [1], 5, 4), 1)])
    assert ProcessServer().num_processes == count


# Loihi 2 ------------------------------------------------------------------------------------------------


def test_without_lava_loihi_one_error_says_what_to_do():
    assert not tpl.lava.loihi2_available()
    with pytest.raises(tpl.LavaUnavailableError, match=r"lava-loihi[\s\S]*INRC[\s\S]*target=\"cpu\" with tag=\"fixed_pt\"[\s\S]*bit-exact"):
        tpl.lava.run(tpl.Network.dense((4, 3, 2)), None, [(tpl.Events([0], [1], 5, 4), 1)], target="loihi2")
    with pytest.raises(tpl.LavaUnavailableError, match="INRC"):
        tpl.lava.session(None, "fixed_pt", target="loihi2")
    with pytest.raises(tpl.InvalidValueError, match="lava: tag is 'floating_pt', but must be 'fixed_pt' on Loihi 2"):
        tpl.lava.session(None, "floating_pt", target="loihi2")
    for wrong in ({"target": "loihi3"}, {"tag": "double"}):
        with pytest.raises(tpl.InvalidValueError, match="must be one of"):
            tpl.lava.session(None, **wrong)


def test_with_lava_loihi_its_configuration_is_chosen(monkeypatch):
    monkeypatch.setattr(hardware, "loihi2_available", lambda: True)
    chosen = hardware.run_configuration("loihi2", "fixed_pt")
    assert type(chosen).__name__ == "Loihi2HwCfg"
    assert chosen.select_tag == "fixed_pt"
