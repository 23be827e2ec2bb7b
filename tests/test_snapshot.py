"""All weights and state of a running network, taken and put back."""

import logging
import multiprocessing
import os
import time

import numpy as np
import pytest
from probed import AT_THE_END, FORMS, RULE, SEED, STEPS, Chip, in_background, lively_network, long_samples, short_samples, until_done

import tp_lava as tpl
from tp_lava.lava.snapshot import Snapshot, take_snapshot
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


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name, array in a.items():
        np.testing.assert_array_equal(array, b[name], err_msg=name)


@pytest.mark.parametrize(
    ("tag", "layers", "rule"),
    [
        ("floating_pt", False, RULE),
        ("fixed_pt", False, RULE),
        ("fixed_pt", True, RULE),
        ("fixed_pt", False, AT_THE_END),
        ("fixed_pt", True, AT_THE_END),
    ],
)
def test_restored_and_gone_on_is_never_having_stopped(tag, layers, rule, network, samples):
    """Also in the middle of a sample, into a network that was elsewhere, and had another seed and a sample not to be learned.

    Layers hear the label and the seed's draws anew in each step and sample: there both are the same.
    """
    middle, rest = STEPS + 5, 3 * STEPS
    first, rate = Chip(network, samples, tag, layers=layers, rule=rule), "hidden0_rate" if rule is RULE else "hidden0_causal_rate"
    with first.session() as session:
        session.run(1)
        if rule is RULE:
            first.chip.contrast.set(np.full(1, 2))
        getattr(first.chip, rate).set(getattr(first.chip, rate).get() / 2)
        session.run(middle - 1)
        taken = first.chip.snapshot()
        session.run(rest)
        end = first.chip.snapshot()
        fixed = first.chip.learner._fixed  # the formats are chosen by the network: take the same
    other = lively_network(9)
    labelled, seed = [True, layers, True, True, True, True], SEED if layers else 77
    second = Chip(other, samples, tag, seed=seed, labelled=labelled, fixed=fixed, layers=layers, rule=rule)
    with second.session() as session:
        session.run(middle)
        assert any(np.any(second.chip.snapshot()[name] != taken[name]) for name in taken)
        second.chip.restore(taken)
        assert_same(second.chip.snapshot(), taken)
        session.run(rest)
        assert_same(second.chip.snapshot(), end)
    weights = "hidden0/weights" if layers else "hidden0"
    assert np.any(end[weights] != taken[weights])


def test_snapshots_of_a_running_network_are_whole(network, rng):
    """Asynchronously: each is what the learner holds after some step, and is taken at once."""
    long = long_samples(rng, 40, 1500)
    run, taken, seconds = Chip(network, long, stepwise=False), {}, []
    with run.session() as session:
        with in_background(session):
            for _ in until_done(run, len(long)):
                start = time.perf_counter()
                snapshot = run.chip.snapshot()
                seconds.append(time.perf_counter() - start)
                taken[int(snapshot["random_step"][0])] = snapshot
        end = run.chip.snapshot()
    chosen = [taken[step] for step in sorted(taken) if step % 1500][:3]
    assert chosen
    assert np.median(seconds) < 0.1
    learner = tpl.Learner(network, RULE, "fixed", SEED)
    done = 0
    for each in [*chosen, end]:
        upto = int(each["random_step"][0])
        while done < upto:
            sample, step = divmod(done, 1500)
            events, label = long[sample]
            if step == 0:
                learner.begin(label)
            size = min(upto - done, 1500 - step)
            learner.advance(part(events, step, step + size))
            done += size
        for name, array in learner.memory.items():
            np.testing.assert_array_equal(each[name], array, err_msg=name)


def part(events, begin, end):
    inside = (events.times >= begin) & (events.times < end)
    return tpl.Events(events.times[inside] - begin, events.units[inside], end - begin, events.n_units)


def test_a_var_of_a_running_process_is_an_error_that_names_snapshot(network, rng):
    """Lava itself returns None, or does nothing."""
    long = long_samples(rng, 40, 1500)
    run = Chip(network, long)
    with run.session() as session:
        session.start()
        with pytest.raises(tpl.InvalidValueError, match=r"Var: value is read while the network runs, .* first, or use snapshot"):
            run.chip.readout.get()
        with pytest.raises(tpl.InvalidValueError, match=r"Var: value is set while the network runs, .* or use restore"):
            run.chip.readout.set(np.zeros(run.chip.readout.shape))
        session.pause()
        assert run.chip.readout.get().shape == run.chip.readout.shape


@pytest.mark.parametrize(**FORMS)
def test_restored_while_it_runs(stepwise, network, rng):
    """From then on it has the weights of the snapshot, and keeps them, as the snapshot's rates are zero."""
    long = long_samples(rng, 8 if stepwise else 60, 100 if stepwise else 1500)
    run = Chip(network, long, stepwise=stepwise)
    with run.session() as session:
        before = run.chip.snapshot()
        rates = {name: np.zeros_like(array) for name, array in before.items() if name.endswith("_rate")}
        still = Snapshot(before.process, dict(before) | rates, before.formats)
        with in_background(session, 800 if stepwise else 1):
            while run.sink.done < 2:
                time.sleep(0.001)
            run.chip.restore(still)
            assert run.sink.done < len(long)
        end = run.chip.snapshot()
    for name in ("hidden0", "recurrent0", "readout"):
        np.testing.assert_array_equal(end[name], still[name])
    assert end["random_step"] > 0


def test_parts_are_seen_after_the_same_step(network, rng):
    """A Process made of several: two chips with one source."""
    long = long_samples(rng, 3, 150, 0.2)
    run, second = Chip(network, long), OnChipLearner(network, RULE, 6)
    run.processes[0].s_out.connect(second.s_in)
    run.processes[0].sample_out.connect(second.sample_in)
    run.processes.append(second)
    parts = {"a": run.chip, "b": second}
    with run.session() as session, in_background(session, 450):
        taken = [take_snapshot("Both", parts, 5.0) for _ in until_done(run, 3)]
    assert len(taken) > 3
    for each in taken:
        assert each["a/random_step"] == each["b/random_step"]
    assert {"a/hidden0", "b/readout"} <= set(taken[0].formats)


def test_a_snapshot_of_another_make_is_refused_and_nothing_changes(network, samples):
    real = Chip(network, samples, "floating_pt")
    with real.session():
        others = {"float32": real.chip.snapshot()}
    run = Chip(network, samples)
    with pytest.raises(tpl.InvalidValueError, match="OnChipLearner: snapshot or restore is asked for before it runs"):
        run.chip.snapshot()
    with run.session() as session:
        session.run(STEPS)
        before = run.chip.snapshot()
        others[r"s5\.3"] = Snapshot(before.process, before, dict(before.formats) | {"hidden0": "s5.3"})
        fewer = {name: array for name, array in before.items() if name != "readout"}
        wide = dict(before) | {"hidden0": np.zeros((10, 9), np.int8)}
        others[r"hidden0: int8 \(10, 9\)"] = Snapshot(before.process, wide, before.formats)
        others["differs in readout"] = Snapshot(before.process, fewer, before.formats)
        for message, other in others.items():
            with pytest.raises(tpl.InvalidValueError, match=f"OnChipLearner: restore is a snapshot .*{message}"):
                run.chip.restore(other)
        with pytest.raises(tpl.InvalidValueError, match="OnChipLearner: restore is a dict, but must be a Snapshot"):
            run.chip.restore({})
        assert_same(run.chip.snapshot(), before)


def test_a_snapshot_in_a_file(network, samples, tmp_path):
    run = Chip(network, samples)
    with run.session() as session:
        session.run(STEPS)
        run.chip.snapshot().save(tmp_path / "chip.safetensors")
        loaded = Snapshot.load(tmp_path / "chip.safetensors")
        assert_same(loaded, run.chip.snapshot())
        session.run(STEPS)
        run.chip.restore(loaded)
        assert_same(loaded, run.chip.snapshot())
    assert repr(loaded).startswith("Snapshot(OnChipLearner, ")
    (tmp_path / "broken").write_bytes((tmp_path / "chip.safetensors").read_bytes()[:-7])
    with pytest.raises(tpl.ArchiveError, match="cannot be read"):
        Snapshot.load(tmp_path / "broken")
    tpl.Learner(network).save(tmp_path / "learner")
    with pytest.raises(tpl.ArchiveError, match="holds a learner, not a snapshot"):
        Snapshot.load(tmp_path / "learner")


def test_a_process_killed_in_its_step_is_told(network, samples):
    run = Chip(network, samples)
    with run.session() as session:
        session.run(1)
        shared = run.chip.proc_params["shared_state"]
        killed = multiprocessing.get_context("fork").Process(target=lambda: (shared.begin_step(), os._exit(1)))
        killed.start()
        killed.join()
        for act in (run.chip.snapshot, lambda timeout: run.chip.restore(Snapshot("OnChipLearner", {}, {}), timeout)):
            with pytest.raises(tpl.LavaRunError, match="OnChipLearner: its step did not end in time; its process was killed"):
                act(timeout=0.2)
        shared.end_step()
        assert run.chip.snapshot()["samples_seen"] == 1
