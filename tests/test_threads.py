"""Threads within one network: any number of them gives the bits of one, whoever carries out a part, and whoever does not come."""

import contextlib
import copy
import ctypes
import multiprocessing
import os
import pickle
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import lively, port_arrays, random_events, random_samples
from random_programs import random_program
from typer.testing import CliRunner

import tp_lava as tpl
from tp_lava.backends import cpu_calls, cpu_loops, cpu_shares, cpu_threads
from tp_lava.backends.cpu_programs import Compiled, carry_out, compiled_program, shareable
from tp_lava.backends.cpu_threads import Team
from tp_lava.cli import app
from tp_lava.errors import InvalidValueError

MANY = (2, 3, 7)
pytestmark = pytest.mark.filterwarnings("ignore:Learner. threads is:UserWarning")


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch):
    monkeypatch.setattr(cpu_shares, "LEAST_BYTES", 1)
    monkeypatch.setattr(cpu_threads, "CHOOSES", False)


def dense(rng, recurrent=False):
    inputs, one, two = (int(n) for n in rng.integers(17, 99, 3))
    return lively(tpl.Network.dense((inputs, one, two, 5), recurrent=recurrent, seed=int(rng.integers(99))))


def maps(rng, graded=None):
    """Convolutions that deliver, and learn, in each of their ways."""
    height, width = (int(n) for n in rng.integers(8, 13, 2))
    layers = [tpl.Conv2d(40, 3, padding=1, gain=3), tpl.MaxPool2d(2), tpl.Conv2d(56, 3, padding=1, gain=3)]
    return tpl.Network.sequential((4, height, width), layers, 5, tpl.LIF(0.9), 0.75, input_format=graded)


def same(one, other):
    for name, array in one.memory.items():
        np.testing.assert_array_equal(other.memory[name], array, name)


def shared(learner):
    """How many operations of learning are shared."""
    return sum(compiled.parts > 1 for compiled in learner._engines.learning.compiled._compiled)


CASES = {
    "TP": (dense, tpl.TP(1e-2, 1e-2)),
    "TP, recurrent, all": (lambda rng: dense(rng, recurrent=True), tpl.TP(1e-2, 1e-2, contrast="all")),
    "TESS, step": (lambda rng: dense(rng, recurrent=True), tpl.TESS(0.1, 1e-2, basis="walsh", update="step")),
    "TESS, sequence": (dense, tpl.TESS(0.1, 1e-2, basis="walsh")),
    "maps by TP": (maps, tpl.TP(1e-2, 1e-2)),
    "maps by TESS": (maps, tpl.TESS(0.1, 1e-2, basis="walsh")),
}


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        *((name, precision) for name in CASES if "maps" not in name for precision in ("float", "fixed")),
        ("maps by TP", "fixed"),
        ("maps by TESS", "float"),
    ],
)
def test_any_number_of_threads_gives_the_same_bits(name, precision, rng):
    make, rule = CASES[name]
    network = make(rng)
    samples = random_samples(rng, 6, network.n_inputs, 5, n_steps=8, rate=0.3)
    one, *others = (tpl.Learner(network, rule, precision, threads=threads) for threads in (1, *MANY))
    one.fit(samples)
    told = [one.infer(events).scores for events, _ in samples]
    assert any(told[0] != 0)
    for learner in others:
        learner.fit(samples)
        assert shared(learner) > 4
        for (events, _), scores in zip(samples, told, strict=True):
            np.testing.assert_array_equal(learner.infer(events).scores, scores)
        same(one, learner)
    assert not shared(one)


def test_graded_maps_batches_and_adam(rng):
    format = tpl.Format(8, 5)
    network = maps(rng, format)
    pictures = [format.real(format.quantise(rng.normal(0, 1, network.input_shape))) for _ in range(4)]
    samples = [(tpl.Events.constant(picture, 3), k) for k, picture in enumerate(pictures)]
    one, other = (tpl.Learner(network, tpl.TP(1e-2), optimiser=tpl.Adam(), threads=threads) for threads in (1, 3))
    for learner in (one, other):
        learner.fit(samples, batch=2)
        learner.learn(*samples[0])
    same(one, other)


def test_few_events_are_one_threads_work(rng, monkeypatch):
    monkeypatch.setattr(cpu_shares, "LEAST_BYTES", 4 * 40 * 20)  # 20 rows of float numbers
    network = tpl.Network.dense((400, 40, 3))
    samples = [(random_events(rng, 400, 12, rate), 0) for rate in (0.01, 0.1)]
    one, other = (tpl.Learner(network, tpl.TP(1e-2), threads=threads) for threads in (1, 3))
    for learner in (one, other):
        learner.fit(samples)
    assert {c.least for c in other._engines.learning.compiled._compiled} == {0, 20}
    same(one, other)


def test_small_networks_have_no_helpers(monkeypatch):
    monkeypatch.undo()
    learner = tpl.Learner(tpl.Network.dense((2312, 200, 10)), tpl.TP(), threads=2)
    assert not shared(learner)
    assert learner._engines.learning.compiled._team is None


def test_parts_of_random_programs(rng):
    divided = 0
    while divided < 16:
        fixed = bool(rng.random() < 0.5)
        program, sizes = random_program(rng, fixed, int(rng.integers(3, 14)))
        arrays, key = port_arrays(program, {**sizes, "n": int(rng.integers(17, 80))}, rng), int(rng.integers(2**31))
        for axis in shareable(program):
            divided += 1
            whole, parts = ({name: array.copy() for name, array in arrays.items()} for _ in range(2))
            carry_out(program, whole, key)
            address, arguments = compiled_program(program, axis)
            count = int(rng.choice(MANY))
            ports, axes = tuple((port.name, False) for port in program.ports), tuple(port.axes for port in program.ports)
            compiled = Compiled(address, arguments, ports, axes, program, parts=count)
            for part in rng.permutation(count):
                bound = compiled.arrays(parts, (int(part), count))
                slots = cpu_calls.slots_of(arguments, bound)
                cpu_loops.with_key(np.array([cpu_calls.call_of(address, slots)], np.int64), key)
            for name, array in whole.items():
                np.testing.assert_array_equal(parts[name], array, name)


# Who carries out the parts -----------------------------------------------------------------------


def called(function, slots):
    ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_void_p)(function)(7, cpu_calls.where(slots))


def job(team, carry_out, parts, counts=(), least=0):
    """A function of Python shared by a team. carry_out: given key and number of the part, -1 for the whole."""
    numbers = [np.array([part], np.int64) for part in (-1, *range(parts))]
    kind = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.POINTER(ctypes.c_int64))
    function = kind(lambda key, slots: carry_out(key, slots[0]))
    address = ctypes.cast(function, ctypes.c_void_p).value
    return *team.shared(address, numbers[0], numbers[1:], np.array(counts, np.int32), least), function


@pytest.mark.parametrize("threads", MANY)
def test_threads_are_at_work_at_the_same_time(threads):
    team, here, done = Team(threads), threading.Barrier(threads, timeout=60), []

    def carry_out(key, part):
        here.wait()  # for all the others
        done.append((key, part))

    call, slots, *kept = job(team, carry_out, threads)
    with team.at_work():
        for _ in range(20):
            called(call, slots)
            assert sorted(done) == [(7, part) for part in range(threads)]
            done.clear()
    del kept


@pytest.mark.parametrize(("counts", "parts"), [((2, 3), [-1]), ((3, 3), [0, 1]), ((), [0, 1])])
def test_parts_or_the_whole(counts, parts):
    done = []
    call, slots, *kept = job(Team(2), lambda key, part: done.append(part), 2, counts, 6 if counts else 0)
    called(call, slots)  # nobody helps
    assert sorted(done) == parts
    del kept


def test_a_team_works_alone_where_that_is_faster():
    choice, took = cpu_threads.Choice(), {True: 2.0, False: 1.0}

    def made(calls):
        ways = []
        for _ in range(calls):
            ways.append(choice.next())
            choice.told(ways[-1], took[ways[-1]])
        return ways

    assert made(6) == [True, False] * 3
    assert made(64).count(True) == 2  # tried now and then
    took[False] = 3.0
    made(64)
    assert made(64).count(False) == 2


def test_both_ways_by_turns_give_the_same_bits(rng, monkeypatch):
    monkeypatch.setattr(cpu_threads, "CHOOSES", True)
    network = dense(rng, recurrent=True)
    samples = random_samples(rng, 12, network.n_inputs, 5)
    one, other = (tpl.Learner(network, tpl.TP(1e-2), threads=threads) for threads in (1, 3))
    for learner in (one, other):
        for sample in samples:
            learner.learn(*sample)
    same(one, other)


def test_no_thread_can_be_had(rng, monkeypatch):
    def refused(*_):
        raise RuntimeError("can't start new thread")

    network = dense(rng)
    samples = random_samples(rng, 3, network.n_inputs, 5)
    one, other = (tpl.Learner(network, tpl.TP(1e-2), "fixed", threads=threads) for threads in (1, 3))
    monkeypatch.setattr(ThreadPoolExecutor, "submit", refused)
    for learner in (one, other):
        learner.fit(samples)
    same(one, other)


def test_learners_with_threads_at_once(rng):
    network = dense(rng, recurrent=True)
    samples = random_samples(rng, 10, network.n_inputs, 5)

    def learned(threads):
        learner = tpl.Learner(network, tpl.TP(1e-2), threads=threads)
        learner.fit(samples, epochs=2)
        return learner

    one = learned(1)
    with ThreadPoolExecutor(3) as pool:
        for other in pool.map(learned, MANY):
            same(one, other)


def test_a_forked_process_has_threads_of_its_own(rng):
    network = dense(rng)
    samples = random_samples(rng, 4, network.n_inputs, 5)
    one, other = (tpl.Learner(network, tpl.TP(1e-2), threads=threads) for threads in (1, 2))
    one.fit(samples, epochs=2)
    other.fit(samples)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        weights = pool.apply(learned_here, (other, samples))
    for name, array in one.weights.items():
        np.testing.assert_array_equal(weights[name], array)


def learned_here(learner, samples):
    learner.fit(samples)
    helpers = learner._engines.learning.compiled._team._helpers
    return dict(learner.weights) if helpers[0] is not None else {}


def test_ctrl_c_leaves_a_learner_that_goes_on(rng):
    network = dense(rng)
    samples = random_samples(rng, 4, network.n_inputs, 5)
    one, other = (tpl.Learner(network, tpl.TP(1e-2), threads=threads) for threads in (1, 3))
    for learner in (one, other):
        learner.fit(samples)
    team = other._engines.learning.compiled._team
    with pytest.raises(KeyboardInterrupt), team.at_work():
        signal.raise_signal(signal.SIGINT)
    assert team._memory[cpu_threads._OPEN] == 0
    for learner in (one, other):
        learner.fit(samples)
    same(one, other)


# How it is asked for -----------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [0, -1, "two", 1.5, True, None, 1025])
def test_impossible_numbers_are_refused(threads):
    network = tpl.Network.dense((4, 5, 3))
    limit = rf'threads is {threads!r}, but must be an integer from 1 to 1024, or "auto"; this process may use \d+ processors\.'
    with pytest.raises(InvalidValueError, match=f"^Learner: {limit}$"):
        tpl.Learner(network, threads=threads)
    learner = tpl.Learner(network, threads=2)
    with pytest.raises(InvalidValueError, match=f"^Learner: {limit}$"):
        learner.threads = threads
    assert learner.threads == 2
    with pytest.raises(InvalidValueError, match=f"^finetune: {limit}$"):
        tpl.finetune(network, [(tpl.Events.from_dense(np.ones((2, 4), bool)), 0)] * 2, [], threads=threads, replay=None)


def test_more_threads_than_processors_are_told():
    with pytest.warns(UserWarning, match=r"^Learner: threads is 900, more than the \d+ processors that this process may use: they will"):
        tpl.Learner(tpl.Network.dense((4, 5, 3)), threads=900)


def test_threads_travel_but_are_in_no_file(rng, tmp_path):
    network = dense(rng)
    learner = tpl.Learner(network, tpl.TP(), threads="auto")
    assert learner.threads == len(os.sched_getaffinity(0))
    learner.threads = 3
    samples = random_samples(rng, 2, network.n_inputs, 5)
    learner.learn(*samples[0])
    learner.save(tmp_path / "learner")
    tpl.Learner(network, tpl.TP()).save(tmp_path / "one")
    loaded = tpl.Learner.load(tmp_path / "learner")
    assert loaded.threads == 1
    for other in (learner.copy(), copy.deepcopy(learner), pickle.loads(pickle.dumps(learner))):
        assert other.threads == 3
        other.learn(*samples[1])
    loaded.learn(*samples[1])
    assert not shared(loaded)
    loaded.threads = 2
    assert shared(loaded)
    same(loaded, other)


def test_on_the_command_line():
    def said(*arguments):
        done = CliRunner().invoke(app, arguments)
        with contextlib.suppress(TypeError):
            return str(done.exception or done.output)

    assert "eval: threads is 'two', but must be an integer" in said("eval", "digits", "--threads", "two")
    assert "train: threads is 2, in Lava, but must be left out" in said("train", "--in-lava", "--threads", "2")
    assert "finetune: threads is 0, but must be" in said("finetune", "digits", "--sensor", "mirrored", "--threads", "0")
