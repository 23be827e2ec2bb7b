"""Streams without end: chunks equal one sample, labels equal consecutive presentations without reset, counters come round."""

import io
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import lively, random_events
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

import tp_lava as tpl
from tp_lava.backends.interpreter import Interpreter
from tp_lava.circuit.names import SCORE
from tp_lava.cli import app
from tp_lava.data.events import steps_of
from tp_lava.streams import shown

SIZES = (10, 8, 6, 4)
RULES = {
    "TP": tpl.TP(0.02, 0.02, 3),
    "TP matching": tpl.TP(0.02, contrast=3, readout=tpl.Match()),
    "TESS": tpl.TESS(0.1, 0.02, basis="walsh", update="step"),
    "e-prop": tpl.EProp(0.05, 0.02),
}
NETWORK = lively(tpl.Network.dense(SIZES, recurrent=True, seed=2), 2.5)
PRECISIONS = ["float", "fixed"]


def pieces(events, cuts):
    """The events, cut at these steps."""
    bounds = [0, *sorted(set(cuts)), events.n_steps]
    return [steps_of(events, begin, end) for begin, end in itertools.pairwise(bounds)]


def assert_same(a, b):
    """Everything that two learners hold, counters and states included, but for what stands behind the ends of lists of events."""
    assert a.memory.keys() == b.memory.keys()
    for name, array in a.memory.items():
        if not name.endswith("_active"):
            np.testing.assert_array_equal(b.memory[name], array, err_msg=name)


def presented(learner, stretches, reset):
    """The oracle: samples begun one after another, whose start is not allowed to zero what goes on."""
    infers, learns = (circuit.names("state") for circuit in learner.circuits)
    untouched = tpl.Learner(NETWORK, None, learner.precision).circuits[0].names("state")
    goes_on = {"none": {*infers, *learns}, "traces": {name for name in untouched if not name.endswith("_trace")}, "all": ()}[reset]
    before = None
    learner.begin()
    for events, label in stretches:
        kept = {name: learner.memory[name].copy() for name in {*infers, *learns}}
        learner.begin(label, events.n_steps)
        stale = label is not None and before is None
        totals = [name for name in kept if name.endswith("_total")]
        for name in totals if reset == "all" else kept if label is None else set(goes_on) & set(infers) if stale else goes_on:
            if name != SCORE:
                learner.memory[name][...] = kept[name]
        learner.advance(events)
        before = label
    return learner


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", RULES)
@settings(max_examples=5)
@given(cuts=st.lists(st.integers(1, 39), max_size=6), seed=st.integers(0, 99))
def test_chunks_equal_one_sample(name, precision, cuts, seed):
    events = random_events(np.random.default_rng(seed), SIZES[0], 40, 0.3)
    whole, cut = (tpl.Learner(NETWORK, RULES[name], precision, seed=3) for _ in range(2))
    outcome, stream = whole.learn(events, 2), tpl.Stream(cut)
    stream.label(2)
    reports = [stream.push(piece) for piece in pieces(events, cuts)]
    assert_same(whole, cut)
    np.testing.assert_array_equal(stream.scores, outcome.scores)
    assert (stream.steps, reports[-1].prediction) == (40, outcome.prediction)
    for population, counts in zip(NETWORK.populations, outcome.spike_counts, strict=True):
        steps = np.diff([0, *(report.steps for report in reports)])
        spikes = sum(report.rates[population.name] * n for report, n in zip(reports, steps, strict=True))
        assert spikes == pytest.approx(counts.mean())


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", RULES)
@settings(max_examples=5)
@given(
    reset=st.sampled_from(["none", "traces", "all"]),
    labels=st.lists(st.none() | st.integers(0, SIZES[-1] - 1), min_size=2, max_size=6),
    seed=st.integers(0, 99),
)
def test_labels_equal_presentations_without_reset(name, precision, reset, labels, seed):
    rng = np.random.default_rng(seed)
    stretches = [(random_events(rng, SIZES[0], int(rng.integers(2, 15)), 0.3), label) for label in labels]
    oracle = presented(tpl.Learner(NETWORK, RULES[name], precision, seed=3), stretches, reset)
    learner = tpl.Learner(NETWORK, RULES[name], precision, seed=3)
    stream = tpl.Stream(learner, reset)
    for events, label in stretches:
        stream.label(label)
        for report in stream.run(pieces(events, [events.n_steps // 2])):
            assert report.label == label
            assert all(0 <= rate <= 1 for rate in report.rates.values())
    assert_same(oracle, learner)
    assert learner.samples_seen == sum(label is not None for label in labels)


def test_labels_in_the_chunks_begin_stretches_and_accuracy_is_of_their_ends(rng):
    chunks = [(random_events(rng, SIZES[0], 7, 0.3), label) for label in (1, 1, 3, None, None, 0, 2)]
    told, by_hand = (tpl.Stream(tpl.Learner(NETWORK, RULES["TP"]), recent=2) for _ in range(2))
    reports, hand, label = list(told.run(chunks)), [], None
    for events, new in chunks:
        if new != label:
            by_hand.label(new)
        hand.append(by_hand.push(events))
        label = new
    assert_same(told.learner, by_hand.learner)
    right = [hand[place].prediction == hand[place].label for place in (1, 2, 5)]  # the last chunk of 1, of 3 and of 0
    assert (reports[-1].stretches, reports[-1].accuracy) == (3, np.mean(right[-2:]))
    assert [report.accuracy for report in reports[:3]] == [None, None, right[0]]


def test_a_stretch_lasts_no_longer_than_it_may(rng):
    """Then the same label is presented anew, wherever the chunks end."""
    events = random_events(rng, SIZES[0], 40, 0.3)
    stream, by_hand = (tpl.Stream(tpl.Learner(NETWORK, RULES["TP"], "fixed"), longest=longest) for longest in (15, None))
    stream.label(1)
    for piece in pieces(events, [4, 15, 33]):
        stream.push(piece)
    for piece in pieces(events, [15, 30]):
        by_hand.label(1)
        by_hand.push(piece)
    assert_same(stream.learner, by_hand.learner)
    assert stream.report().stretches == 2


@pytest.mark.parametrize("at", [2**31, 2**32])
def test_counters_come_round(at, rng):
    """Random bits, drawn labels and counts of spikes, across the ends of signed and unsigned 32 bits; the interpreter agrees."""
    events, learners = random_events(rng, SIZES[0], 20, 0.3), []
    for interpreted in (False, True):
        learner = tpl.Learner(NETWORK, RULES["TP"], "fixed", seed=3)
        stream = tpl.Stream(learner)
        if interpreted:
            learner._engines.learning.__dict__["compiled"] = Interpreter().compile(learner.circuits[1])
        learner.memory["random_step"][0], learner.memory["samples_seen"][0] = at - 10, at - 1
        for label in (1, 2):
            learner.memory["hidden0_total"][...] = np.array(at - 2).astype(np.uint32).view(np.int32)
            stream.report()
            stream.label(label)
            report = stream.push(events)
            assert 0 < report.rates["hidden0"] <= 1
        learners.append(learner)
    assert_same(*learners)
    assert learners[0].memory["random_step"] == (at + 30) % 2**32
    assert learners[0].samples_seen == at + 1
    stream._pushed, stream._since = at * 2**32, at * 2**32
    assert stream.push(events).steps == at * 2**32 + 20


def test_a_leaking_readout_goes_on_and_another_begins_anew(rng):
    events = random_events(rng, SIZES[0], 30, 0.3)
    for decay, goes_on in ((1.0, False), (0.9, True)):
        network = replace(NETWORK, readout_decay=decay)
        stream, whole = tpl.Stream(tpl.Learner(network)), tpl.Learner(network).infer(events).scores
        first, second = pieces(events, [10])
        stream.push(first)
        stream.label(None)
        assert np.array_equal(stream.push(second).scores, whole) == goes_on


REFUSED = {
    "rule.update": (replace(RULES["TESS"], update="sequence"), "update is 'sequence' of TESS.*use update=\"step\""),
    "learn_last": (replace(RULES["TESS"], learn_last=3), "learn_last is 3 of TESS.*use learn_last=None"),
    "readout.learn_last": (tpl.TP(readout=tpl.Readout(0.9, learn_last=1)), "readout.learn_last is 1 of TP"),
    "readout.decay": (tpl.TP(readout=tpl.Readout()), "readout.decay is 1 of TP.*a potential that leaks"),
    "readout.normalised": (tpl.TP(readout=tpl.Readout(0.9, normalised=True)), "readout.normalised is True of TP"),
    "readout.features": (tpl.TP(readout=tpl.Readout(0.9, features="count")), "readout.features is 'count' of TP"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_rules_that_need_a_sample_are_refused_by_name(name):
    rule, message = REFUSED[name]
    learner = tpl.Learner(NETWORK, rule)
    for make in (lambda: tpl.Stream(learner), lambda: learner.relabel(1)):
        with pytest.raises(tpl.InvalidValueError, match=message):
            make()


def test_bad_input(rng):
    learner, events = tpl.Learner(NETWORK, RULES["TP"]), random_events(rng, SIZES[0], 5)
    for make, message in (
        (lambda: tpl.Stream(NETWORK), "Stream: learner is Network.*a Learner"),
        (lambda: tpl.Stream(learner, "some"), "reset is 'some'.*'none', 'traces', 'all'"),
        (lambda: tpl.Stream(learner, longest=0), "longest is 0.*None ends a stretch by labels alone"),
        (lambda: tpl.Stream(learner, recent=None), "recent is None.*100 is usual"),
        (lambda: tpl.Stream(learner).label(4), r"label is 4.*\[0, 4\)"),
        (lambda: tpl.Stream(learner).push(random_events(rng, 3, 5)), "of 3 units"),
        (lambda: tpl.Stream(tpl.Learner(NETWORK)).label(1), "Stream: rule is None"),
        (lambda: tpl.Learner(NETWORK).relabel(1), "rule is None"),
    ):
        with pytest.raises(tpl.InvalidValueError, match=message):
            make()
    for use in (lambda: learner.infer(events), lambda: setattr(learner, "rule", RULES["TP"])):
        stream = tpl.Stream(learner)
        stream.push(events)
        use()
        with pytest.raises(tpl.InvalidValueError, match=r"used for another sample, or given another rule.*learner.copy"):
            stream.push(events)


def test_the_view_in_the_terminal(rng):
    """It shows the figures, passes the reports on, and draws nothing into a file."""
    chunks = [(random_events(rng, SIZES[0], 5, 0.3), label) for label in (1, None, 2)]
    for terminal in (True, False):
        console = Console(force_terminal=terminal, file=io.StringIO(), width=100, record=True)
        stream = tpl.Stream(tpl.Learner(NETWORK, RULES["TP"], "fixed"))
        reports = list(shown(stream, chunks, seconds=0, console=console))
        text = console.export_text()
        assert [report.steps for report in reports] == [5, 10, 15]
        assert not terminal or all(part in text for part in ("15 (", "label, prediction", "hidden0: norm, clipped", "input: spikes"))
        assert terminal or not text


def test_the_command_plays_recordings_saves_the_learner_and_can_be_repeated(rng, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tpl.data.save_samples("own.npz", [tpl.Sample(random_events(rng, SIZES[0], 12, 0.3), n % SIZES[-1]) for n in range(20)])
    tpl.Learner(NETWORK, RULES["TP"], "fixed").save("start.safetensors")
    asked = ["stream", "start.safetensors", "--data", "own.npz", "--steps", "100", "--chunk", "5", "--json"]
    done = CliRunner().invoke(app, [*asked, "--out", "learned.safetensors"])
    told = json.loads(done.stdout)
    assert (told["steps"], told["stretches"], told["files"]) == (100, 8, ["learned.safetensors", "learned.toml"]), done.output
    assert told["rates"].keys() == {"input", "hidden0", "hidden1"}
    assert told["weights"]["hidden0"]["norm"] == pytest.approx(np.linalg.norm(tpl.Learner.load("learned.safetensors").weights["hidden0"]))
    again = json.loads(CliRunner().invoke(app, [*asked, "--config", "learned.toml"]).stdout)
    assert {**again, "files": [], "config": 0} == {**told, "files": [], "config": 0}
    shown = CliRunner().invoke(app, asked[:-1])
    assert "accuracy" in shown.stdout
    assert "hidden1: norm, clipped" in shown.stdout


# Events that arrive ------------------------------------------------------------------------------
@settings(max_examples=30)
@given(st.data())
def test_events_that_arrive_with_times_become_the_same_steps(data):
    """However they are divided: the chunks together are the events of the whole recording."""
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    times, units = np.sort(rng.uniform(5, 900, 60)), rng.integers(0, 10, 60)
    cuts = sorted(data.draw(st.lists(st.integers(0, 60), max_size=8)))
    parts = [slice(a, b) for a, b in itertools.pairwise([0, *cuts, 60])]
    arrivals = [(times[part], units[part], times[part.stop - 1] if part.stop else 5.0) for part in parts]
    most = data.draw(st.integers(1, 30))
    chunks = list(tpl.data.in_steps(arrivals, 7.5, 10, start=5, most=most))
    steps = np.floor((times - 5) / 7.5).astype(int)
    whole = tpl.Events(steps, units, steps.max() + 1, 10)
    assert max(chunk.n_steps for chunk in chunks) <= most
    np.testing.assert_array_equal(np.concatenate([chunk.to_dense() for chunk in chunks]), whole.to_dense())


def test_a_silent_sensor_lets_time_pass_and_late_events_are_refused():
    chunks = list(tpl.data.in_steps([([], [], 10), ([12, 11], [1, 2]), ([19], [0], 35)], 5, 3))
    assert [(chunk.n_steps, len(chunk)) for chunk in chunks] == [(2, 0), (5, 3)]
    with pytest.raises(tpl.InvalidValueError, match="times is 14, late.*at least 20"):
        list(tpl.data.in_steps([([21], [0]), ([14], [0])], 5, 3))
    for options, message in (({"step": 0}, "step is 0"), ({"step": 1, "most": 0}, "most is 0")):
        with pytest.raises(tpl.InvalidValueError, match=message):
            list(tpl.data.in_steps([], n_units=3, **options))
