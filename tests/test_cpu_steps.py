"""What the CPU leaves out of a step, and what it does not: the results are those of the interpreter either way."""

import numpy as np
import pytest
from conftest import random_events

import tp_lava as tpl
from tp_lava.backends.cpu import once_a_sample
from tp_lava.circuit import Accumulate
from tp_lava.circuit.build import build_circuit

SMALL = tpl.Network.dense((12, 10, 3), seed=1)


@pytest.mark.parametrize(
    ("rule", "alone"),
    [(tpl.TP(0.02, 0.02, 3), ["target"]), (tpl.TP(0.02, 0.02, 3, train_target=True), []), (tpl.TESS(0.3, 0.05, basis="walsh"), [])],
    ids=["TP", "TP whose projection learns", "TESS"],
)
def test_only_what_a_sample_holds_constant_is_done_once(rule, alone):
    step = build_circuit(SMALL, rule).step
    once, others = once_a_sample(step)
    assert [o.weights for o in once if isinstance(o, Accumulate)] == alone
    assert sorted(map(id, (*once, *others))) == sorted(map(id, step))


def test_silence_leaves_no_denormal_numbers(rng):
    learner, smallest = tpl.Learner(SMALL, tpl.TP(0.02, 0.02, 3)), np.finfo(np.float32).tiny
    spikes = np.zeros((3000, 12), bool)
    spikes[:8] = rng.random((8, 12)) < 0.5
    learner.learn(tpl.Events.from_dense(spikes), 1)
    for name, array in learner.memory.items():
        if array.dtype == np.float32:
            assert not np.any((array != 0) & (np.abs(array) < smallest)), name
    assert np.float32(smallest) / np.float32(2) > 0  # and the caller's own arithmetic is as it was


@pytest.mark.parametrize("precision", ["float", "fixed"])
def test_counting_ticks_changes_nothing(precision, rng):
    events = [random_events(rng, 12, 20, 0.3) for _ in range(3)]
    plain, timed = (tpl.Learner(SMALL, tpl.TP(0.02, 0.02, 3), precision) for _ in range(2))
    compiled = timed._engines.learning.compiled
    ticks = compiled.timed()
    for number, sample in enumerate(events):
        plain.learn(sample, number)
        timed.learn(sample, number)
    assert len(ticks) == len(compiled.operations)
    assert np.all(ticks > 0)
    for name in plain.weights:
        np.testing.assert_array_equal(plain.weights[name], timed.weights[name])
