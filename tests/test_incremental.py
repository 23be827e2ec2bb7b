"""Incremental protocols: splits are exact, learners do what Continual does, results add up, the command writes them."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from typer.testing import CliRunner

import tp_lava as tpl
from tp_lava import incremental
from tp_lava.cli import app
from tp_lava.data.recordings import Recordings
from tp_lava.errors import InvalidValueError
from tp_lava.incremental.learners import GATE, REPLAY, ContinualLearner, Method, methods_named
from tp_lava.incremental.results import NOTHING, Results
from tp_lava.incremental.running import PROTOCOLS, Settings, compare, protocol_named, save, spoken
from tp_lava.incremental.splits import class_incremental, domain_incremental

WORDS, SPEAKERS, TAKES, UNITS, STEPS = 8, 5, 4, 6, 24
SMALL = {"base": 4, "sessions": 2, "words": 2, "shots": 2, "unseen": 2}
QUICK = Settings(hidden=12, epochs=1, session_epochs=2, offline=20)


def drawn_recordings(seed=0):
    """Every word by every speaker; each recording is another one."""
    rng = np.random.default_rng(seed)
    samples, speakers = [], []
    for speaker in range(SPEAKERS):
        for word in range(WORDS):
            for _ in range(TAKES):
                spikes = rng.random((STEPS, UNITS)) < 0.3 + 0.6 * (np.arange(UNITS) == word % UNITS)
                samples.append(tpl.Sample(tpl.Events(*np.nonzero(spikes), STEPS, UNITS), word))
                speakers.append(speaker + 10)
    return Recordings(samples, np.array(speakers))


RECORDINGS = drawn_recordings()
PLACE = {id(sample.events): place for place, sample in enumerate(RECORDINGS.samples)}


def places(samples):
    return [PLACE[id(sample.events)] for sample in samples]


@pytest.mark.parametrize("seed", range(3))
def test_new_words_are_disjoint_and_asked_of_unseen_speakers(seed):
    split = class_incremental(RECORDINGS, seed, **SMALL)
    assert (split.n_classes, len(split.sessions)) == (8, 2)
    classes = [{sample.label for sample in stage.learned} for stage in split.stages]
    assert classes == [{0, 1, 2, 3}, {4, 5}, {6, 7}]
    for stage, own in zip(split.stages, classes, strict=True):
        assert {sample.label for sample in stage.queries} == own
        assert set(RECORDINGS.speakers[places(stage.queries)]) == {13, 14}
        assert not set(RECORDINGS.speakers[places(stage.whole)]) & {13, 14}
        assert set(places(stage.learned)) <= set(places(stage.whole))
    assert split.sizes() == {"learned": [4 * 3 * TAKES, 4, 4], "queries": [4 * 2 * TAKES, 16, 16]}
    for session in split.sessions:
        assert np.bincount([sample.label for sample in session.learned])[-2:].tolist() == [2, 2]
        assert len(set(places(session.learned))) == 4
    words = [{RECORDINGS.samples[place].label for place in places(stage.learned)} for stage in split.stages]
    assert set.union(*words) == set(range(WORDS))
    assert sum(map(len, words)) == WORDS


@pytest.mark.parametrize("seed", range(3))
def test_speakers_come_one_by_one_and_nothing_asked_was_learned(seed):
    split = domain_incremental(RECORDINGS, seed, shots=2, unseen=2)
    who = [set(RECORDINGS.speakers[places(stage.learned)]) for stage in split.stages]
    assert who[0] == {10, 11, 12}
    assert sorted(map(list, who[1:])) == [[13], [14]]
    for stage, speakers in zip(split.stages, who, strict=True):
        assert set(RECORDINGS.speakers[places(stage.queries)]) == speakers
        assert not set(places(stage.queries)) & set(places(stage.learned))
    asked = [place for stage in split.stages for place in places(stage.queries)]
    learned = [place for stage in split.stages for place in places(stage.learned)]
    assert not set(asked) & set(learned)
    assert sorted(asked + learned) == list(range(len(RECORDINGS.samples)))
    assert split.sizes() == {"learned": [3 * WORDS * 3, 2 * WORDS, 2 * WORDS], "queries": [3 * WORDS, 2 * WORDS, 2 * WORDS]}


def test_a_seed_draws_the_same_split():
    first, again, other = (class_incremental(RECORDINGS, seed, **SMALL) for seed in (1, 1, 2))
    assert [places(stage.learned) for stage in first.stages] == [places(stage.learned) for stage in again.stages]
    assert [places(stage.learned) for stage in first.stages] != [places(stage.learned) for stage in other.stages]


@pytest.mark.parametrize(
    ("protocol", "changed", "message"),
    [
        (class_incremental, {"base": 6}, r"words is 6 \+ 2 x 2.*at most the 8"),
        (class_incremental, {"shots": 13}, "shots is 13.*at most the 12 recordings of word 4"),
        (class_incremental, {"shots": 0}, "shots is 0.*at least 1"),
        (class_incremental, {"unseen": 5}, "of 5 speakers.*more than the 5"),
        (domain_incremental, {"shots": 4}, "stage 1 is without queries"),
        (domain_incremental, {"shots": 5}, "shots is 5.*at most the 4 recordings"),
    ],
)
def test_impossible_splits_are_refused(protocol, changed, message):
    usual = SMALL if protocol is class_incremental else {"shots": 2, "unseen": 2}
    with pytest.raises(InvalidValueError, match=message):
        protocol(RECORDINGS, **{**usual, **changed})


@pytest.fixture(scope="module")
def results():
    return compare(RECORDINGS, partial(class_incremental, **SMALL), QUICK, seeds=2)


def test_every_method_has_a_row_a_session(results):
    assert list(results.runs) == [method.name for method in incremental.METHODS]
    for runs in results.runs.values():
        assert [len(run) for run in runs] == [3, 3]
        for run in runs:
            assert np.isnan(run[0].old)
            for session, old, new in zip(run[1:], (32, 48), (16, 16), strict=True):
                assert session.all == pytest.approx((old * session.old + new * session.new) / (old + new))


def test_costs_are_those_counted(results):
    """Presentations of a session: each sample, and replayed ones, once without and where the gate opens once with its label."""
    (continual, no_replay, no_gate, prototypes, offline) = (
        results.runs[name][0][1]
        for name in ("Continual", "Continual, no replay", "Continual, no gate", "prototypes", "offline, the same samples")
    )
    assert no_gate.presentations == 4 * 2 * 6
    assert no_gate.steps == no_gate.learning_steps == STEPS * no_gate.presentations
    assert 4 * 2 * 6 <= continual.presentations <= 4 * 2 * 6 * 2
    assert continual.presentations == 4 * 2 * 6 + continual.learning_steps // STEPS
    assert no_replay.replay_bytes == 0 < continual.replay_bytes
    assert continual.messages % continual.learning_steps == 0 < continual.messages
    assert (prototypes.presentations, prototypes.updates, prototypes.replay_bytes) == (4, 4 * 13, 4 * 8 * 13)
    assert (offline.presentations, offline.learned) == (20, 4)
    network = tpl.Network.temporal((UNITS, 12, 8))
    assert (continual.trace_bytes, offline.trace_bytes) == (0, 4 * sum(QUICK.rule.remembered(network, STEPS)))
    assert no_gate.updates == no_gate.presentations * network.weights["readout"].size  # once a sample, by spike counts


def test_a_learner_is_continual_as_a_user_writes_it():
    split = class_incremental(RECORDINGS, 0, **SMALL)
    base = QUICK.base(split, 0)
    learner = ContinualLearner(Method("any", hidden=1.0, replay=REPLAY, gate=GATE), base, QUICK.rule, split.base, 2)
    own = tpl.Continual(tpl.Learner(base.network, QUICK.rule), REPLAY, GATE)
    own.remember(split.base.learned)
    for stage in split.sessions:
        learner.learn(stage)
        own.fit(stage.learned, 2)
        for name, weights in own.learner.network.weights.items():
            np.testing.assert_array_equal(weights, learner.continual.learner.network.weights[name])


def test_frozen_hidden_layers_stay(results):
    split = class_incremental(RECORDINGS, 0, **SMALL)
    base = QUICK.base(split, 0)
    learner = ContinualLearner(methods_named(["Continual"])[0], base, QUICK.rule, split.base, 1)
    learner.learn(split.sessions[0])
    before, after = base.network.weights, learner.continual.learner.network.weights
    np.testing.assert_array_equal(before["hidden0"], after["hidden0"])
    assert (before["readout"] != after["readout"]).any()


def test_a_result_sums_up():
    run = [NOTHING.of((0.9, np.nan, 0.9)), NOTHING.of((0.6, 0.8, 0.2)), NOTHING.of((0.5, 0.6, 0.4))]
    other = [session.of((session.all, session.old, session.new + 0.2)) for session in run]
    found = Results("any", {}, {"a": [run, other]})
    assert found.mean("a", "all") == (pytest.approx(0.55), pytest.approx(0))
    assert found.mean("a", "new") == (pytest.approx(0.4), pytest.approx(0.1))
    np.testing.assert_allclose(found.curve("a", "old")[1:], [0.8, 0.6])


def test_speakers_in_fixed_point():
    methods = methods_named(["Continual, no gate", "prototypes"])
    found = compare(
        RECORDINGS, partial(domain_incremental, shots=1, unseen=2), Settings(12, epochs=1, session_epochs=1, precision="fixed"), methods, 1
    )
    assert found.protocol == "domain-incremental"
    assert [len(run[0]) for run in found.runs.values()] == [3, 3]
    assert found.runs["Continual, no gate"][0][1].presentations == WORDS * 6


def test_fixed_point_leaves_weights_room_for_what_they_become():
    split, rule = domain_incremental(RECORDINGS, 0, shots=1, unseen=2), replace(QUICK.rule, readout_rate=1.0)
    base = replace(QUICK, rule=rule, precision="fixed").base(split, 0)
    network = tpl.Network.temporal((UNITS, 12, WORDS), seed=0)
    assert base.fixed.weight_exponents.items() >= tpl.measured_weights(network, rule, split.base.learned).weight_exponents.items()
    assert base.fixed.weight_exponents["readout"] > tpl.Learner(network, rule, "fixed").fixed.weight_exponents["readout"]


def test_a_balanced_replay_draws_classes_alike():
    samples = [sample for sample in RECORDINGS.samples if sample.label == 0] + [s for s in RECORDINGS.samples if s.label == 1][:1]
    shares = []
    for balanced in (False, True):
        continual = tpl.Continual(tpl.Learner(tpl.Network.dense((UNITS, 4, WORDS)), tpl.TP()), tpl.Replay(50, balanced=balanced))
        continual.remember(samples)
        assert continual.buffer is not None
        shares.append(np.mean([sample.label for sample in continual.buffer.draw(600)]))
    assert shares[0] == pytest.approx(1 / len(samples), abs=0.04)
    assert shares[1] == pytest.approx(1 / 2, abs=0.08)
    with pytest.raises(InvalidValueError, match="balanced is 1, but must be True or False"):
        tpl.Replay(5, balanced=1)


def write_words(path):
    """RECORDINGS as the command reads them: 64 channels, 200 steps."""
    spikes = [(sample.events.times * 8, sample.events.units * 10) for sample in RECORDINGS.samples]
    np.savez(
        path,
        step=np.concatenate([steps for steps, _ in spikes]).astype(np.uint8),
        unit=np.concatenate([units for _, units in spikes]).astype(np.uint8),
        count=[len(steps) for steps, _ in spikes],
        label=[sample.label for sample in RECORDINGS.samples],
        speaker=RECORDINGS.speakers,
    )
    return path


def test_the_command_writes_table_figures_and_picture(tmp_path):
    size = ["--base", "4", "--sessions", "2", "--words", "2", "--shots", "1", "--unseen", "2", "--seeds", "1", "--hidden", "10"]
    how = ["--epochs", "1", "--session-epochs", "1", "--offline", "5", "--method", "no gate", "--method", "proto", "--json"]
    file = write_words(tmp_path / "words.npz")
    done = CliRunner().invoke(app, ["continual", "--recordings", str(file), *size, *how, "--no-progress", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert set(told["runs"]) == {"Continual, no gate", "prototypes"}
    assert told["runs"]["prototypes"][0][0]["old"] is None
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "class-incremental.json",
        "class-incremental.md",
        "class-incremental.png",
        "config.toml",
    }
    assert (tmp_path / "out" / "class-incremental.md").read_text().count("\n") == 4


def test_what_the_command_refuses(tmp_path):
    with pytest.raises(InvalidValueError, match=r"recordings is words\.txt"):
        spoken(tmp_path / "words.txt")
    with pytest.raises(InvalidValueError, match="words is 4, but must be left out for speakers"):
        protocol_named("speakers", shots=1, words=4)
    with pytest.raises(InvalidValueError, match="protocol is 'letters', but must be one of classes, speakers"):
        protocol_named("letters")
    with pytest.raises(InvalidValueError, match="method is magic, but must be part of one of Continual"):
        methods_named(["magic"])
    with pytest.raises(InvalidValueError, match="methods is empty"):
        compare(RECORDINGS, PROTOCOLS["classes"], methods=())


def test_results_are_saved_as_strict_json(tmp_path, results):
    (figures, _, picture) = save(tmp_path, results)
    assert "NaN" not in figures.read_text()
    assert picture.stat().st_size > 10_000
