"""In Lava: the same as the Learner, whatever happens ends, and everything is a Var."""

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from chains import segments
from conftest import lively, random_samples

import tp_lava as tpl
from tp_lava.lava import Session, make_importable, shim

make_importable()
from lava.magma.core.run_configs import Loihi2SimCfg  # noqa: E402
from lava.proc.io.source import RingBuffer  # noqa: E402
from lava.proc.monitor.process import Monitor  # noqa: E402

from tp_lava.parts.messages import LABEL, LAST_STEP, LEFT, SAMPLE_SIZE, START  # noqa: E402
from tp_lava.processes import EventSource, OnChipLearner, ScoreSink  # noqa: E402

SIZES = (10, 8, 6, 4)
RULE = tpl.TP(0.02, 0.02, 3)
AT_THE_END = tpl.TESS(0.1, 0.02, basis="walsh", learn_last=5)
OTHER_RULES = {
    "TESS at a sample's end": AT_THE_END,
    "TESS at each step": tpl.TESS(0.1, 0.02, basis="walsh", update="step", readout=tpl.Readout(0.9, 2.0, True, "count", 8)),
    "TP at a sample's end, matching": tpl.TP(0.02, contrast=3, update="sequence", readout=tpl.Match()),
}
PRECISION = {"floating_pt": "float", "fixed_pt": "fixed"}
TAGS = list(PRECISION)


@pytest.fixture
def network():
    return lively(tpl.Network.dense(SIZES, recurrent=(True, False), seed=2), 2.5)


@pytest.fixture
def samples(rng):
    return random_samples(rng, 7, SIZES[0], SIZES[-1], rate=0.3)


def leftovers():
    """What a run must not leave behind."""
    return len(multiprocessing.active_children()), threading.active_count(), segments()


def _more(now, before):
    """Whether there is anything that was not there before; what another test left may end meanwhile."""
    return now[0] > before[0] or now[1] > before[1] or not set(now[2]) <= set(before[2])


@pytest.fixture(autouse=True)
def nothing_is_left():
    before, handlers = leftovers(), list(logging.getLogger().handlers)
    yield
    deadline = time.monotonic() + 5
    while _more(leftovers(), before) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _more(leftovers(), before)
    logging.getLogger().handlers[:] = handlers


def learned(network, samples, tag, seed=5, rule=RULE, learn=True):
    learner = tpl.Learner(network, rule, PRECISION[tag], seed)
    flags = np.broadcast_to(learn, len(samples))
    return learner, [learner.learn(*sample) if flag else learner.infer(sample[0]) for sample, flag in zip(samples, flags, strict=True)]


def assert_equal(result, learner, outcomes, tag):
    compare = np.testing.assert_array_equal if tag == "fixed_pt" else lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    for name in learner.weights:
        compare(result.weights[name], learner.weights[name])
    compare(result.scores, np.array([o.scores for o in outcomes]))
    np.testing.assert_array_equal(result.predictions, [o.prediction for o in outcomes])


@pytest.mark.parametrize("stepwise", [False, True], ids=["asynchronous", "stepwise"])
@pytest.mark.parametrize("tag", TAGS)
def test_a_run_equals_the_learner(tag, stepwise, network, samples):
    learner, outcomes = learned(network, samples, tag)
    handlers = list(logging.getLogger().handlers)
    result = tpl.lava.run(network, RULE, samples, tag=tag, seed=5, stepwise=stepwise)
    assert_equal(result, learner, outcomes, tag)
    assert logging.getLogger().handlers == handlers
    assert result.learner.samples_seen == len(samples)


@pytest.mark.parametrize("stepwise", [False, True], ids=["asynchronous", "stepwise"])
def test_some_samples_are_only_inferred(stepwise, network, samples):
    learn = [True, False, True, False, False, True, False]
    learner, outcomes = learned(network, samples, "fixed_pt", learn=learn)
    assert_equal(tpl.lava.run(network, RULE, samples, learn, seed=5, stepwise=stepwise), learner, outcomes, "fixed_pt")


@pytest.mark.parametrize(("case", "tag"), [(case, "fixed_pt") for case in OTHER_RULES] + [(next(iter(OTHER_RULES)), "floating_pt")])
def test_other_rules_equal_the_learner(case, tag, network, samples, rng):
    """Also with one that is not learned and, where samples travel in packets, one so long that it needs two."""
    network = network.with_weights({name: rng.normal(0, 0.1, network.shapes[name]) for name in ("bias0", "bias1", "readout_bias")})
    short, long = samples[:4], random_samples(rng, 1, SIZES[0], SIZES[-1], n_steps=2500, rate=0.3)
    rule, learn = OTHER_RULES[case], [True, False, True, True, True]
    for stepwise, given in ((True, short), (False, [*short[:3], *long, short[3]])):
        flags = learn[: len(given)]
        learner, outcomes = learned(network, given, tag, rule=rule, learn=flags)
        assert_equal(tpl.lava.run(network, rule, given, flags, tag=tag, seed=5, stepwise=stepwise), learner, outcomes, tag)
    assert np.any(learner.weights["hidden0"] != tpl.Learner(network, None, PRECISION[tag]).weights["hidden0"])


def test_a_sample_whose_length_is_told_at_its_end(network, samples):
    """A source of one's own may not know it before: then only what is done at the very end is done."""
    (events, label), rule = samples[0], tpl.TESS(0.1, 0.02, basis="walsh")
    messages = np.zeros((SAMPLE_SIZE, events.n_steps), int)
    messages[LABEL], messages[START, 0], messages[LEFT, -1] = label, 1, LAST_STEP
    spikes, told, chip = RingBuffer(data=events.to_dense().T.astype(int)), RingBuffer(data=messages), OnChipLearner(network, rule, 5)
    spikes.s_out.connect(chip.s_in)
    told.s_out.connect(chip.sample_in)
    with Session(chip, Loihi2SimCfg(select_tag="fixed_pt"), (spikes, told, chip)) as session:
        session.run(events.n_steps)
        learner, _ = learned(network, samples[:1], "fixed_pt", rule=rule)
        for name in learner.mantissas:
            np.testing.assert_array_equal(chip.learner.mantissas[name], learner.mantissas[name])
    assert np.any(learner.weights["readout"] != tpl.Learner(network, None, "fixed").weights["readout"])


def test_without_a_rule_nothing_is_learned(network, samples):
    result = tpl.lava.run(network, None, samples)
    learner = tpl.Learner(network, precision="fixed")
    np.testing.assert_array_equal(result.predictions, [learner.infer(events).prediction for events, _ in samples])
    np.testing.assert_array_equal(result.weights["hidden0"], learner.weights["hidden0"])


def test_the_result_can_go_on_learning_outside(network, samples, tmp_path):
    learner, _ = learned(network, samples, "fixed_pt")
    result = tpl.lava.run(network, RULE, samples, seed=5)
    result.learner.save(tmp_path / "from_lava")
    for each in (learner, result.learner, again := tpl.Learner.load(tmp_path / "from_lava")):
        each.fit(samples)
    for name in learner.weights:
        np.testing.assert_array_equal(learner.weights[name], result.weights[name])
        np.testing.assert_array_equal(learner.weights[name], again.weights[name])


def test_long_samples_travel_in_several_packets(network, rng):
    samples = random_samples(rng, 2, SIZES[0], SIZES[-1], n_steps=5000, rate=0.4)
    learner, outcomes = learned(network, samples, "fixed_pt")
    assert_equal(tpl.lava.run(network, RULE, samples, seed=5), learner, outcomes, "fixed_pt")


def test_fixed_point_options_reach_the_chip(network, samples):
    options = tpl.FixedPoint(weight_bits=5)
    result = tpl.lava.run(network, RULE, samples, seed=5, fixed=options)
    learner = tpl.Learner(network, RULE, options, 5)
    for sample in samples:
        learner.learn(*sample)
    np.testing.assert_array_equal(result.weights["hidden0"], learner.weights["hidden0"])


# What goes wrong ---------------------------------------------------------------------------------


class Trouble:
    """Samples of which one, read in the child, makes trouble."""

    def __init__(self, samples, act):
        self.samples, self.act, self.parent = samples, act, os.getpid()

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        if index == 4 and os.getpid() != self.parent:
            self.act()
        if index >= len(self):
            raise IndexError
        return self.samples[index]


def raise_error():
    raise ValueError("the recording is broken")


@pytest.mark.parametrize("stepwise", [False, True], ids=["asynchronous", "stepwise"])
def test_an_exception_inside_a_model_arrives_with_type_and_text(stepwise, network, samples):
    with pytest.raises(tpl.LavaRunError, match="ValueError in a ProcessModel: the recording is broken") as caught:
        tpl.lava.run(network, RULE, Trouble(samples, raise_error), stepwise=stepwise)
    assert isinstance(caught.value.__cause__, ValueError)
    assert "in raise_error" in str(caught.value)


@pytest.mark.parametrize("stepwise", [False, True], ids=["asynchronous", "stepwise"])
def test_a_run_that_stands_still_is_given_up(stepwise, network, samples):
    with pytest.raises(tpl.LavaRunError, match="Lava run given up: no progress for 0.5 s"):
        tpl.lava.run(network, RULE, Trouble(samples, lambda: time.sleep(3600)), stepwise=stepwise, timeout=0.5)


@pytest.mark.parametrize("stepwise", [False, True], ids=["asynchronous", "stepwise"])
def test_a_killed_process_is_noticed(stepwise, network, samples):
    trouble = Trouble(samples, lambda: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(tpl.LavaRunError, match="Lava lost a process"):
        tpl.lava.run(network, RULE, trouble, stepwise=stepwise)


def test_the_next_run_works(network, samples):
    with pytest.raises(tpl.LavaRunError):
        tpl.lava.run(network, RULE, Trouble(samples, raise_error))
    learner, outcomes = learned(network, samples, "fixed_pt")
    assert_equal(tpl.lava.run(network, RULE, samples, seed=5), learner, outcomes, "fixed_pt")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tag": "double"}, "lava.run: tag is 'double', but must be one of floating_pt, fixed_pt"),
        ({"learn": [True]}, "EventSource: labelled is 1 flags, but must be one bool or one per sample, 7"),
        ({"rule": tpl.TP(contrast=9)}, "TP: contrast is 9"),
        ({"samples": []}, "EventSource: samples is empty"),
    ],
)
def test_bad_arguments(arguments, message, network, samples):
    with pytest.raises(tpl.InvalidValueError, match=message):
        tpl.lava.run(**{"network": network, "rule": RULE, "samples": samples, **arguments})


def test_labels_and_units_that_do_not_fit_are_relayed(network, samples):
    with pytest.raises(tpl.LavaRunError, match="sample: label is 77"):
        tpl.lava.run(network, RULE, [(samples[0][0], 77)])


def in_new_process(code):
    return subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120, check=False)


def test_a_start_method_chosen_before():
    other = in_new_process("import multiprocessing as m; m.set_start_method('spawn'); import tp_lava; tp_lava.lava.make_importable()")
    assert "LavaUnavailableError: multiprocessing's start method is 'spawn', but Lava's processes are forked" in other.stderr
    same = in_new_process(
        "import multiprocessing as m; m.set_start_method('fork'); import tp_lava; tp_lava.lava.make_importable(); print('fine')"
    )
    assert same.stdout == "fine\n", same.stderr


def test_tp_lava_does_not_need_lava():
    code = "import sys; sys.modules['lava'] = None; import tp_lava as t; print(t.Learner(t.Network.dense((3, 2, 2))).precision)"
    assert in_new_process(code).stdout == "float\n"


def test_without_lava_the_message_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, shim._CHOOSES_START_METHOD)
    monkeypatch.setattr(shim.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(tpl.LavaUnavailableError, match=r"lava-nc is not installed[\s\S]*pip install \"tp-lava\[lava\]\""):
        make_importable()


def test_an_interrupted_run_leaves_nothing(tmp_path):
    script = tmp_path / "interrupted.py"
    script.write_text(
        "import os, signal, threading, time, tp_lava as tpl\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "events = tpl.Events([0], [0], 2000, 4)\n"
        "network = tpl.Network.dense((4, 3, 2))\n"
        "tpl.lava.run(network, tpl.TP(contrast=2), [(tpl.Events([0], [0], 5, 4), 0)], stepwise=True)  # compiled from now on\n"
        "threading.Timer(2.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        "try:\n"
        "    tpl.lava.run(network, tpl.TP(contrast=2), [(events, 0)] * 10**6, stepwise=True)\n"
        "except KeyboardInterrupt:\n"
        "    import multiprocessing\n"
        "    print('interrupted', len(multiprocessing.active_children()))\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "interrupted 0\n", done.stderr


# As a Lava user would ---------------------------------------------------------------------------


def connected(network, samples, rule=RULE, labelled=True):
    source, chip, sink = EventSource(samples, labelled), OnChipLearner(network, rule, 5), ScoreSink(SIZES[-1], len(samples))
    source.s_out.connect(chip.s_in)
    source.sample_out.connect([chip.sample_in, sink.sample_in])
    chip.score_out.connect(sink.score_in)
    return source, chip, sink


@pytest.mark.parametrize("tag", TAGS)
def test_stock_run_configuration_monitor_and_vars(tag, network, samples):
    """Plain Lava: Loihi2SimCfg finds the models, Monitor probes, Vars are read and written between runs."""
    learner, outcomes = learned(network, samples, tag)
    source, chip, sink = connected(network, samples)
    monitor, steps = Monitor(), samples[0][0].n_steps
    monitor.probe(chip.hidden0_trace, steps * len(samples))
    np.testing.assert_array_equal(chip.hidden0.get(), network.weights["hidden0"])
    with Session(chip, Loihi2SimCfg(select_tag=tag), (source, chip, sink, monitor)) as session:
        session.run(steps)
        traces = monitor.get_data()[chip.name]["hidden0_trace"]
        session.run(steps * (len(samples) - 1))
        assert sink.done == len(samples)
        np.testing.assert_array_equal(chip.hidden0.get(), learner.mantissas["hidden0"] if tag == "fixed_pt" else learner.weights["hidden0"])
        assert source.played.get()[0] == len(samples)
    np.testing.assert_array_equal(sink.predictions, [o.prediction for o in outcomes])
    first = tpl.Learner(network, RULE, PRECISION[tag], 5)
    events, label = samples[0]
    first.begin(label)
    for step in range(steps):
        first.step(events.units[events.offsets[step] : events.offsets[step + 1]])
        np.testing.assert_array_equal(traces.reshape(steps * len(samples), -1)[step], first.memory["hidden0_trace"][0])


@pytest.mark.parametrize("tag", TAGS)
def test_vars_written_while_it_runs_act_from_the_next_step(tag, network, samples):
    source, chip, sink = connected(network, samples)
    steps = samples[0][0].n_steps
    learner = tpl.Learner(network, RULE, PRECISION[tag], 5)
    with Session(chip, Loihi2SimCfg(select_tag=tag), (source, chip, sink)) as session:
        session.run(steps)
        learner.learn(*samples[0])
        wanted = np.arange(SIZES[1] * SIZES[0]).reshape(SIZES[1], SIZES[0]) % 50 - 25.0
        scale = 1.0 if tag == "fixed_pt" else 0.01
        chip.hidden0.set(wanted * scale)
        np.testing.assert_allclose(chip.hidden0.get(), wanted * scale, rtol=1e-6)
        learner.memory["hidden0"][...] = (wanted * scale).T
        chip.hidden1_rate.set(np.zeros(1))
        learner.memory["hidden1_rate"][...] = 0
        session.run(steps)
        learner.learn(*samples[1])
        chip.learning.set(np.zeros(1))
        session.run(steps)
        learner.infer(samples[2][0])
        for name in learner.weights:
            np.testing.assert_array_equal(getattr(chip, name).get(), learner.memory[name].T)


def test_vars_too_large_for_their_format_are_clamped(network, samples):
    source, chip, sink = connected(network, samples)
    with Session(chip, Loihi2SimCfg(select_tag="fixed_pt"), (source, chip, sink)) as session:
        session.run(1)
        chip.readout.set(np.full((4, 6), 1000.0))
        assert np.all(chip.readout.get() == 127)


def test_the_parent_sees_the_weights_live(network, samples):
    source, chip, sink = connected(network, samples)
    assert chip.learner is None
    with pytest.raises(tpl.InvalidValueError, match="OnChipLearner: buffer is asked for before it runs"):
        chip.buffer("hidden0")
    with Session(chip, Loihi2SimCfg(select_tag="fixed_pt"), (source, chip, sink)) as session:
        session.run(20)
        np.testing.assert_array_equal(chip.learner.memory["hidden0"].T, chip.hidden0.get())
        assert str(chip.buffer("hidden0").format).startswith("s8.")


def test_asynchronous_models_are_found_by_tag_too(network, samples):
    learner, _ = learned(network, samples, "fixed_pt")
    source, chip, sink = EventSource(samples), OnChipLearner(network, RULE, 5), ScoreSink(SIZES[-1], len(samples))
    source.packet_out.connect(chip.packet_in)
    chip.score_out.connect(sink.score_in)
    with Session(chip, Loihi2SimCfg(select_tag="fixed_pt_async"), (source, chip, sink)) as session:
        session.run(1)
        np.testing.assert_array_equal(chip.learner.weights["hidden0"], learner.weights["hidden0"])


def test_equals_a_stock_network_of_dense_and_bit_accurate_lif(rng):
    """Stock Dense and LIF in Lava, and our fixed-point engine: same spikes and membranes, one step apart (Dense's delay)."""
    from lava.proc.dense.process import Dense
    from lava.proc.lif.process import LIF

    steps, n_in, n = 60, 12, 7
    weights, dense = 2 * rng.integers(-127, 128, (n, n_in)), rng.random((steps, n_in)) < 0.3  # Dense drops odd signed weights' last bit
    dv, du, vth = 300, 1000, 250
    source = RingBuffer(data=dense.T.astype(int))
    synapses, lif = Dense(weights=weights), LIF(shape=(n,), du=du, dv=dv, vth=vth)
    monitor = Monitor()
    source.s_out.connect(synapses.s_in)
    synapses.a_out.connect(lif.a_in)
    monitor.probe(lif.v, steps + 1)
    with Session(lif, Loihi2SimCfg(select_tag="fixed_pt"), (source, synapses, lif, monitor)) as session:
        session.run(steps + 1)
        v = monitor.get_data()[lif.name]["v"]
    neuron = tpl.LIF((4096 - dv) / 4096, vth, ">", "zero", (4096 - du - 1) / 4096)
    network = tpl.Network.dense((n_in, n, 2), neuron=neuron).with_weights({"hidden0": weights})
    exponents = {"hidden0": 1, "target": 0, "readout": 0}
    learner = tpl.Learner(network, precision=tpl.FixedPoint(weight_exponents=exponents, membrane_frac=6))
    out = learner.infer(tpl.Events.from_dense(dense), record=True)
    np.testing.assert_array_equal(out.membranes[0] * 64, v[1:])
    assert out.spike_counts[0].sum() > 5
