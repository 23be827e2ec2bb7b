"""watch: what it tells is what the interpreter holds after each step, and looking changes nothing."""

import numpy as np
import pytest
from conftest import lively, random_events
from hypothesis import given, settings
from hypothesis import strategies as st

import tp_lava as tpl
from tp_lava.backends.interpreter import interpret_step
from tp_lava.circuit.labels import present_labels

SIZES = (9, 7, 6, 4)
RULES = {
    "tp": tpl.TP(0.02, 0.05, 3),
    "sequence": tpl.TP(0.02, 0.05, 2, update="sequence"),
    "tess": tpl.TESS(0.2, 0.05, basis="walsh"),
}


FORMS = [("tp", "float"), ("tp", "fixed"), ("sequence", "fixed"), ("tess", "fixed")]
NETWORK = lively(tpl.Network.dense(SIZES, recurrent=(True, False), seed=3), 2.5)


def interpreted(learner, events, label):
    """After each step, every buffer of the learning circuit, as an interpreter of its own holds it."""
    circuit = learner.circuits[1]
    memory = {name: np.array(learner.memory[name]) for name in circuit.buffers}
    for name in circuit.names("state"):
        memory[name].fill(0)
    if circuit.needs_length:
        memory["steps_left"][0] = events.n_steps
    present_labels(circuit, {**memory, "samples_seen": np.array(learner.memory["samples_seen"])}, [label])
    for step in range(events.n_steps):
        units = events.units[events.offsets[step] : events.offsets[step + 1]]
        memory["input_active"][0, : len(units)], memory["input_count"][0] = units, len(units)
        interpret_step(circuit, memory)
        yield {name: circuit.buffers[name].decode(array) for name, array in memory.items()}


@settings(max_examples=8)
@given(st.sampled_from(FORMS), st.integers(0, 1000))
def test_it_tells_what_the_interpreter_holds(form, seed):
    rule, precision = form
    rng = np.random.default_rng(seed)
    learner = tpl.Learner(NETWORK, RULES[rule], precision, seed)
    events, label = random_events(rng, SIZES[0], 8, 0.4), int(rng.integers(SIZES[-1]))
    expected = list(interpreted(learner, events, label))
    weights = [name for name in learner.weights if name in learner.circuits[1].buffers]
    seen = tpl.watch(learner, events, label, select=dict.fromkeys(weights, ...))
    assert {"hidden0_membrane", "hidden1_trace", "hidden0_error", "hidden1_surrogate", "score", *weights} <= set(seen)
    for name, values in seen.items():
        axes = learner.buffers[name].axes
        oracle = np.stack([held[name] for held in expected])
        oracle = oracle.take(0, axis=1 + axes.index("b")) if "b" in axes else oracle if axes else oracle[:, 0]
        assert values.shape == oracle.shape
        np.testing.assert_allclose(values, oracle, rtol=0 if precision == "fixed" else 1e-3, atol=0 if precision == "fixed" else 1e-4)


@pytest.mark.parametrize(("rule", "precision"), FORMS)
def test_looking_changes_nothing(rule, precision, rng):
    watched, plain = (tpl.Learner(NETWORK, RULES[rule], precision, 4) for _ in range(2))
    for label in (1, 3):
        events = random_events(rng, SIZES[0], 10, 0.4)
        before = watched.weights["hidden1"].copy()
        seen = tpl.watch(watched, events, label, ["hidden1", "hidden0_spike"])
        outcome = plain.learn(events, label)
        np.testing.assert_array_equal(seen.outcome.scores, outcome.scores)
        np.testing.assert_array_equal(seen["hidden0_spike"].sum(axis=0), outcome.spike_counts[0])
        np.testing.assert_array_equal(seen.start["hidden1"], before)
        np.testing.assert_array_equal(seen["hidden1"][-1], watched.weights["hidden1"])
        np.testing.assert_allclose(seen.changes("hidden1").sum(axis=0), watched.weights["hidden1"] - before, atol=1e-5)
    for name, weights in plain.weights.items():
        np.testing.assert_array_equal(watched.weights[name], weights)


def test_without_a_label_it_infers(rng):
    learner = tpl.Learner(NETWORK, RULES["tp"])
    events = random_events(rng, SIZES[0], 10, 0.4)
    seen, recorded = tpl.watch(learner, events), learner.infer(events, record=True)
    for layer in range(2):
        np.testing.assert_array_equal(seen[f"hidden{layer}_spike"], recorded.spikes[layer])
        np.testing.assert_array_equal(seen[f"hidden{layer}_membrane"], recorded.membranes[layer])
        np.testing.assert_array_equal(seen[f"hidden{layer}_trace"], recorded.traces[layer])
    assert seen.streams == ()
    assert "hidden0_third_factor" not in seen
    assert learner.samples_seen == 0
    with pytest.raises(tpl.InvalidValueError, match="names is hidden0_third_factor.*without a label there is nothing of learning"):
        tpl.watch(learner, events, names=["hidden0_third_factor"])
    learner.learning = False
    assert "hidden0_third_factor" not in tpl.watch(learner, events, 1)


def test_target_streams_are_told_and_those_out_of_use_left_out(rng):
    learner = tpl.Learner(NETWORK, RULES["tp"])
    events = random_events(rng, SIZES[0], 5, 0.4)
    seen = tpl.watch(learner, events, 2, contrast_labels=[0, 2, 3])
    assert seen.streams == (2, 0, 3)
    assert seen["target0_trace"].shape == (5, 3, SIZES[1])
    learner.memory["contrast"][0] = 2
    seen = tpl.watch(learner, events, 2)
    assert len(seen.streams) == 2
    assert seen["hidden0_error"].shape == (5, 2)
    np.testing.assert_allclose(seen["hidden0_error"].sum(axis=1), 0, atol=1e-5)  # a difference of two softmaxes


def test_select_keeps_a_part(rng):
    learner = tpl.Learner(NETWORK, RULES["tp"])
    events = random_events(rng, SIZES[0], 6, 0.4)
    seen = tpl.watch(learner, events, 1, ["hidden0", "hidden0_trace"], select={"hidden0": np.s_[3, 2], "hidden0_trace": np.s_[:2]})
    assert seen["hidden0"].shape == (6,)
    assert seen["hidden0_trace"].shape == (6, 2)
    assert seen["hidden0"][-1] == learner.weights["hidden0"][3, 2]
    assert dict(seen).keys() == {"hidden0", "hidden0_trace"}


def test_what_cannot_be_watched(rng):
    learner = tpl.Learner(NETWORK, RULES["tp"])
    events = random_events(rng, SIZES[0], 6, 0.4)
    for arguments, message in (
        ({"names": ["hidden9"]}, "names is hidden9, but must be among .*hidden0"),
        ({"names": ["hidden0"], "select": {"score": 0}}, "select is score, but must be among hidden0; rename it"),
        ({"names": ["score"], "select": {"score": 9}}, "select\\['score'\\] is 9, but must be an index into an array of shape \\(4,\\)"),
        ({"names": ["score"], "select": {"score": np.s_[7:]}}, "select\\['score'\\] is slice"),
        ({"contrast_labels": [0, 2, 3]}, "own label 1"),
    ):
        with pytest.raises(tpl.InvalidValueError, match=message):
            tpl.watch(learner, events, 1, **arguments)
    with pytest.raises(tpl.InvalidValueError, match="of 3 units"):
        tpl.watch(learner, random_events(rng, 3), 1)
    seen = tpl.watch(learner, events, 1, ["hidden0_third_factor"])
    with pytest.raises(tpl.InvalidValueError, match="made anew in every step"):
        seen.changes("hidden0_third_factor")
    with pytest.raises(KeyError, match="'score'; there are hidden0_third_factor"):
        seen["score"]
