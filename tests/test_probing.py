"""Looking at a running network: stock Monitor on every Var, and Recorder."""

import gc
import importlib.util
import logging
import os

import numpy as np
import pytest
from probed import (
    AT_THE_END,
    FORMS,
    LIF,
    PRECISION,
    RULE,
    SEED,
    SIZES,
    STEPS,
    TAGS,
    Chip,
    Monitor,
    history,
    in_background,
    lively_network,
    long_samples,
    short_samples,
    until_done,
)

import tp_lava as tpl
from tp_lava.lava.recorder import Recorder
from tp_lava.processes import OnChipLearner


@pytest.fixture(autouse=True)
def handlers_are_put_back():
    before = list(logging.getLogger().handlers)
    yield
    logging.getLogger().handlers[:] = before


@pytest.fixture
def network():
    return lively_network()


@pytest.fixture
def samples(rng):
    return short_samples(rng)


# Monitor ----------------------------------------------------------------------------------------

TESS_VARS = {
    *("hidden0_causal_rate", "hidden0_acausal_rate", "hidden0_bias_rate", "pre_decay", "post_decay", "hidden0_basis", "hidden0_error_gain"),
    *("hidden0_pre_trace", "recurrent0_pre_trace", "hidden0_post_trace", "hidden0_causal_third_factor", "hidden0_error", "readout_count"),
    *("hidden0_change", "recurrent0_change", "bias0_change", "readout_change", "readout_potential", "readout_decay"),
}


@pytest.mark.parametrize(("tag", "rule"), [("floating_pt", RULE), ("fixed_pt", AT_THE_END)])
def test_stock_monitor_works_on_every_var(tag, rule, network, samples):
    network = network.with_weights({"bias0": np.full(SIZES[1], 0.1)})
    run = Chip(network, samples, tag, rule=rule)
    names, steps = run.chip.vars.member_names, STEPS + 2
    monitors = {name: Monitor() for name in names}
    for name, monitor in monitors.items():
        monitor.probe(getattr(run.chip, name), steps)
    with run.session(*monitors.values()) as session:
        session.run(steps)
        seen = {name: monitor.get_data()[run.chip.name][name] for name, monitor in monitors.items()}
    np.testing.assert_array_equal(seen.pop("learning"), 1)
    expected, _ = history(network, samples[:2], PRECISION[tag], list(seen), rule=rule)
    own = {"target0_trace", "hidden0_rate"} if rule is RULE else TESS_VARS
    assert {"hidden0", "recurrent0", "readout", "hidden0_membrane", "bias0", *own} <= set(seen)
    for name, values in seen.items():
        np.testing.assert_array_equal(values.reshape(steps, -1), expected[name][:steps].reshape(steps, -1), err_msg=name)
    assert np.any(seen["hidden0"][0] != seen["hidden0"][-1])


# Recorder ---------------------------------------------------------------------------------------

VARS = ("hidden0", "hidden0_membrane", "hidden0_trace", "target0_trace", "readout")


@pytest.mark.parametrize(**FORMS)
@pytest.mark.parametrize("tag", TAGS)
def test_recorder_sees_what_the_learner_holds(tag, stepwise, network, samples):
    run = Chip(network, samples, tag, stepwise)
    select = {"hidden0": np.s_[:5, 2:4], "hidden0_membrane": np.s_[3:5], "readout": 4}
    every_third = Recorder([getattr(run.chip, name) for name in VARS], every=3, select=select)
    every_step = Recorder([run.chip.hidden0_spike, run.chip.learning])
    with run.session() as session:
        session.run(STEPS * len(samples) if stepwise else 1)
    expected, buffers = history(network, samples, PRECISION[tag], (*VARS, "hidden0_spike"))
    steps = np.arange(3, STEPS * len(samples) + 1, 3)
    np.testing.assert_array_equal(every_third.steps, steps)
    raw = every_third.read(raw=True)[1]
    wanted = {name: array[steps - 1] for name, array in expected.items()}
    wanted["hidden0"] = wanted["hidden0"][:, :5, 2:4]
    wanted["hidden0_membrane"] = wanted["hidden0_membrane"][:, 0, 3:5]
    wanted["hidden0_trace"] = wanted["hidden0_trace"][:, 0]
    wanted["readout"] = wanted["readout"].reshape(len(steps), -1)[:, [0, 10, 21, 31]]
    for name in VARS:
        np.testing.assert_array_equal(raw[name], wanted[name], err_msg=name)
        format = buffers[name].format
        assert every_third[name].dtype == np.float32
        np.testing.assert_array_equal(every_third[name], (format.real(wanted[name]) if format else wanted[name]).astype(np.float32))
    np.testing.assert_array_equal(every_step.read("hidden0_spike", raw=True)[1]["hidden0_spike"], expected["hidden0_spike"][:, 0])
    assert every_step["learning"].shape == (STEPS * len(samples), 1)
    assert every_third.dropped == every_step.dropped == 0


@pytest.mark.parametrize(("keep", "kept"), [("newest", slice(-5, None)), ("first", slice(5))])
def test_memory_is_bounded(keep, kept, network, samples):
    run = Chip(network, samples, stepwise=False)
    recorder = Recorder([run.chip.hidden0_trace], every=2, capacity=5, keep=keep)
    with run.session() as session:
        session.run(1)
    expected, _ = history(network, samples, "fixed", ("hidden0_trace",))
    steps = np.arange(2, STEPS * len(samples) + 1, 2)[kept]
    np.testing.assert_array_equal(recorder.steps, steps)
    np.testing.assert_array_equal(recorder.read(raw=True)[1]["hidden0_trace"], expected["hidden0_trace"][steps - 1, 0])
    assert recorder.dropped == STEPS * len(samples) // 2 - 5


def test_a_ring_can_be_read_while_it_is_written(network, rng):
    long = long_samples(rng, 20, 2000)
    run = Chip(network, long, stepwise=False)
    recorder = Recorder([run.chip.hidden0_trace, run.chip.hidden0], capacity=40)
    with run.session() as session, in_background(session):
        reads = [recorder.steps for _ in until_done(run, len(long))]
    assert len(reads) > 3
    for steps in reads:
        assert len(steps) <= 40
        np.testing.assert_array_equal(np.diff(steps), 1)
    assert recorder.steps[-1] == 2000 * len(long)


@pytest.mark.parametrize(**FORMS)
def test_an_hdf5_file_keeps_all_records(stepwise, network, samples, tmp_path):
    h5py = pytest.importorskip("h5py")
    run, path = Chip(network, samples, stepwise=stepwise), tmp_path / "run.h5"
    with Recorder([run.chip.hidden0, run.chip.hidden0_trace], every=4, capacity=2, path=path) as recorder:
        with run.session() as session:
            session.run(STEPS if stepwise else 1)
            recorder.flush()
            with h5py.File(path) as file:
                assert len(file["steps"]) == (3 if stepwise else STEPS * len(samples) // 4)
            if stepwise:
                session.run(STEPS * (len(samples) - 1))
        inside = recorder["hidden0"]
        assert os.listdir(tmp_path) == ["run.h5"]
    expected, buffers = history(network, samples, "fixed", ("hidden0", "hidden0_trace"))
    with h5py.File(path) as file:
        steps = file["steps"][:]
        np.testing.assert_array_equal(steps, np.arange(4, STEPS * len(samples) + 1, 4))
        np.testing.assert_array_equal(file["hidden0"][:], expected["hidden0"][steps - 1])
        np.testing.assert_array_equal(file["hidden0_trace"][:], expected["hidden0_trace"][steps - 1, 0])
        assert file["hidden0"].compression == "gzip"
        assert file["hidden0"].attrs["format"] == str(buffers["hidden0"].format)
        np.testing.assert_array_equal(inside, file["hidden0"][:] * file["hidden0"].attrs["resolution"])
    with pytest.raises(tpl.InvalidValueError, match="Recorder: records is in a file that was closed"):
        _ = recorder.steps


def test_an_hdf5_file_is_written_when_the_recorder_goes(network, samples, tmp_path):
    h5py = pytest.importorskip("h5py")
    run = Chip(network, samples, stepwise=False)
    recorder = Recorder([run.chip.hidden0_trace], path=tmp_path / "run.h5")
    with run.session() as session:
        session.run(1)
    del recorder, run, session
    gc.collect()
    assert os.listdir(tmp_path) == ["run.h5"]
    with h5py.File(tmp_path / "run.h5") as file:
        assert file["hidden0_trace"].shape == (STEPS * len(samples), SIZES[1])


def test_without_h5py_the_message_says_what_to_install(network, samples, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(tpl.InvalidValueError, match=r"pip install \"tp-lava\[hdf5\]\""):
        Recorder([Chip(network, samples).chip.hidden0], path=tmp_path / "run.h5")


@pytest.mark.parametrize(
    ("variables", "options", "message"),
    [
        ("hidden0", {"every": 0}, "Recorder: every is 0, but must be a positive integer"),
        ("hidden0", {"capacity": 2.5}, "Recorder: capacity is 2.5"),
        ("hidden0", {"keep": "all"}, "Recorder: keep is 'all'"),
        ("hidden0", {"select": {"readout": 3}}, "Recorder: select is of 'readout'"),
        ("hidden0", {"select": {"hidden0": np.s_[8:9, 0]}}, "no element"),
        ("hidden0", {"select": {"hidden0": 81}}, "Recorder: select is 81 elements of hidden0, but must be 1 to 80 elements"),
        ("hidden0", {"select": {"hidden0": np.s_[1, 2, 3]}}, r"must be an index of shape \(8, 10\)"),
        ("hidden0", {"select": {"hidden0": np.s_[5:5]}}, "no element"),
        ("hidden0", {"path": "/no/such/folder/run.h5"}, "Recorder: path is /no/such/folder/run.h5"),
        ("", {}, "Recorder: variables is empty"),
        ("hidden0 hidden0", {}, "must be different Vars"),
        ("s_in", {}, "Recorder: variables is 'InPort', but must be Vars of Processes"),
    ],
)
def test_what_cannot_be_recorded(variables, options, message, network, samples):
    chip = Chip(network, samples).chip
    with pytest.raises(tpl.InvalidValueError, match=message):
        Recorder([getattr(chip, name) for name in variables.split()], **options)


def test_vars_of_others_are_for_lavas_monitor(network, samples):
    with pytest.raises(tpl.InvalidValueError, match="Recorder: variables is v of LIF.*use Lava's Monitor"):
        Recorder([LIF(shape=(3,)).v])
    run = Chip(network, samples)
    Recorder([run.processes[0].played])
    with pytest.raises(tpl.LavaRunError, match="Recorder: variables is played of EventSource.*use Lava's Monitor"), run.session():
        pass


def test_a_recorder_comes_before_the_run_time(network, samples):
    run = Chip(network, samples)
    early = Recorder([run.chip.hidden0])
    with pytest.raises(tpl.InvalidValueError, match="Recorder: records is asked for hidden0"):
        _ = early["hidden0"]
    with run.session(), pytest.raises(tpl.InvalidValueError, match="OnChipLearner: recorder is attached after it was compiled"):
        Recorder([run.chip.hidden0])
    assert list(early) == ["hidden0"]
    with pytest.raises(KeyError, match="'readout'; there are hidden0"):
        _ = early["readout"]


def test_a_recorder_of_two_processes(network, samples):
    run, second = Chip(network, samples), OnChipLearner(network, RULE, 6)
    run.processes[0].s_out.connect(second.s_in)
    run.processes[0].sample_out.connect(second.sample_in)
    run.processes.append(second)
    recorder = Recorder([run.chip.hidden0, second.hidden0, second.hidden0_trace], every=5)
    with run.session() as session:
        session.run(STEPS)
    assert list(recorder) == [f"{run.chip.name}.hidden0", f"{second.name}.hidden0", "hidden0_trace"]
    np.testing.assert_array_equal(recorder.steps, [5, 10])
    for seed, chip in ((SEED, run.chip), (6, second)):
        expected, _ = history(network, samples[:1], "fixed", ("hidden0",), seed)
        np.testing.assert_array_equal(recorder.read(raw=True)[1][f"{chip.name}.hidden0"], expected["hidden0"][[4, 9]])


def test_a_layered_network_is_recorded_by_the_names_of_the_whole(network, samples):
    """The same values as the learner's, though at a later step: what comes before a layer takes time."""
    run = Chip(network, samples, layers=True)
    recorder = Recorder([run.chip.hidden0_membrane, run.chip.readout], every=2)
    with run.session() as session:
        session.run(STEPS)
    expected, _ = history(network, samples[:1], "fixed", ("hidden0_membrane",))
    np.testing.assert_array_equal(recorder.steps, np.arange(2, STEPS + 1, 2))
    recorded = recorder.read("hidden0_membrane", raw=True)[1]["hidden0_membrane"]
    late = [np.array_equal(recorded[-1], expected["hidden0_membrane"][step, 0]) for step in range(STEPS)]
    assert sum(late) == 1
    assert recorder["readout"].shape == (STEPS // 2, 4, 8)
