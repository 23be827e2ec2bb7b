"""Samples that follow one another in one call: what they leave is what each leaves that begins, runs and ends by itself."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from conftest import random_events

import tp_lava as tpl
from tp_lava.engine import Engine
from tp_lava.errors import InvalidValueError
from tp_lava.presenting import Call, in_calls

DENSE = tpl.Network.dense((12, 10, 3), seed=1)
MANY = tpl.Network.dense((12, 10, 7), seed=1)
GRADED = replace(DENSE, input_format=tpl.Format(8, 2))
RULES = {
    "TP": (DENSE, tpl.TP(0.02, 0.02, 2)),
    "TP, K = all": (DENSE, tpl.TP(0.02, 0.02, 3)),
    "TP, drawn of many": (MANY, tpl.TP(0.02, 0.02, 4)),
    "TP, sequence": (DENSE, tpl.TP(0.02, 0.02, 3, update="sequence")),
    "TESS, graded": (GRADED, tpl.TESS(0.3, 0.05, basis="walsh")),
}


def same(a, b):
    for name in a.memory:
        if not name.endswith("_active"):  # beyond its count a list holds whatever it held before
            np.testing.assert_array_equal(a.memory[name], b.memory[name], name)


def by_itself(learner, events, label):
    """A sample step by step: begun in Python."""
    learner.begin(label, events.n_steps)
    learner.advance(events)
    return learner.outcome()


def samples_for(network, rng, count=9, least=1):
    graded = network.input_format is not None
    made = [random_events(rng, 12, int(rng.integers(least, least + 7)), 0.4) for _ in range(count)]
    if graded:
        made = [tpl.Events(e.times, e.units, e.n_steps, 12, rng.integers(-8, 8, len(e)) / 4) for e in made]
    return [(events, int(rng.integers(network.n_classes))) for events in made]


@pytest.mark.parametrize("precision", ["float", "fixed"])
@pytest.mark.parametrize("name", RULES)
def test_in_one_call_or_one_by_one(name, precision, rng):
    (network, rule), samples_seen = RULES[name], 250  # so that the labels of two blocks are drawn
    one, together = (tpl.Learner(network, rule, precision) for _ in range(2))
    samples = samples_for(network, rng)
    for learner in (one, together):
        learner.memory["samples_seen"][0] = samples_seen
    alone = [by_itself(one, *sample) for sample in samples]
    kept = together._learn(Call(*map(list, zip(*samples, strict=True))))
    same(one, together)
    for a, b in zip(alone, kept.outcomes(), strict=True):
        np.testing.assert_array_equal(a.scores, b.scores)
        assert [list(counts) for counts in a.spike_counts] == [list(counts) for counts in b.spike_counts]
    labels = [label for _, label in samples]
    assert kept.n_right(labels) == sum(a.prediction == label for a, label in zip(alone, labels, strict=True))
    expected = [by_itself(one, events, None).prediction for events, _ in samples]
    assert [outcome.prediction for outcome in together._infer(Call([e for e, _ in samples], ())).outcomes()] == expected
    same(one, together)
    one.learning = together.learning = False
    by_itself(one, *samples[0])
    together.learn(*samples[0])
    same(one, together)


def test_batches_in_one_call(rng):
    network, rule = RULES["TP, drawn of many"]
    one, together = (tpl.Learner(network, rule) for _ in range(2))
    samples = samples_for(network, rng, 4)
    events, labels = (list(each) for each in zip(*samples, strict=True))
    for pair in (slice(0, 2), slice(2, 4)):
        one.learn_batch(events[pair], labels[pair])
    together._learn(Call(events, labels, 2))
    for name, weights in one.weights.items():
        np.testing.assert_array_equal(weights, together.weights[name])
    assert one.samples_seen == together.samples_seen == 4


@pytest.mark.parametrize("size", [1, 3])
def test_calls_hold_all_samples_in_order(size, rng):
    samples = [(random_events(rng, 12, 5, 0.4), number) for number in range(40)]
    waiting = [6]

    def most():
        return waiting[0]

    told = []
    for call in in_calls(samples, size, most):
        assert len(call.events) == len(call.labels)
        if waiting[0]:
            assert len(call.events) <= 6
        waiting[0] = None if len(told) > 20 else waiting[0]
        told += call.labels
        assert call.size == size or len(told) == 40
    assert told == list(range(40))


def test_what_comes_before_a_sample_that_is_refused_is_learned(rng):
    one, together = (tpl.Learner(DENSE, RULES["TP"][1]) for _ in range(2))
    samples = [*samples_for(DENSE, rng, 5), (random_events(rng, 11, 5, 0.4), 0)]
    for sample in samples[:5]:
        one.learn(*sample)
    with pytest.raises(InvalidValueError, match="of 11 units"):
        together.fit(samples, shuffle=False)
    same(one, together)
    with pytest.raises(InvalidValueError, match=r"an integer in \[0, 3\)"):
        together.fit([(samples[0][0], 3)])


@pytest.mark.parametrize("precision", ["float", "fixed"])
def test_learners_in_threads_learn_what_they_learn_in_turn(precision, rng):
    network, rule = RULES["TP, drawn of many"]
    samples = samples_for(network, rng, 60)

    def learned(seed):
        learner = tpl.Learner(network, rule, precision, seed)
        learner.fit(samples, epochs=3)
        return learner

    in_turn = [learned(seed) for seed in range(3)]
    with ThreadPoolExecutor(3) as pool:
        for one, other in zip(in_turn, pool.map(learned, range(3)), strict=True):
            same(one, other)


@pytest.mark.parametrize("name", RULES)
def test_a_long_sample_goes_in_several_calls(name, rng, monkeypatch):
    """So that Ctrl-C acts between them; the results are those of one."""
    network, rule = RULES[name]
    one, parts = (tpl.Learner(network, rule, "fixed") for _ in range(2))
    (events, label), *_ = samples_for(network, rng, 1, 20)
    one._pace.most, parts._pace.most = 100, 3
    spans, run = [], Engine.run

    def watched(self, offsets, units, begin, end, *others):
        spans.append((begin, end))
        run(self, offsets, units, begin, end, *others)

    one.learn(events, label)
    monkeypatch.setattr(Engine, "run", watched)
    parts.learn(events, label)
    assert len(spans) > 1
    assert [begin for begin, _ in spans] == [0, *(end for _, end in spans[:-1])]
    same(one, parts)
