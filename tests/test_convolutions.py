"""Convolutions that learn: against an oracle by autograd, the interpreter, and networks that must do the same."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_convolutions import CLASSES, SHAPE, network, recording, rule

import tp_lava as tpl
from tp_lava import InvalidValueError
from tp_lava.backends.interpreter import Interpreter
from tp_lava.rules.credits.contrast import Contrast
from tp_lava.rules.memory import counted

SEEDS = st.integers(0, 2**32 - 1)
GRADED = st.sampled_from([None, tpl.Format(3, 0), tpl.Format(3, 0, signed=False), tpl.Format(4, 2)])


def _interpreted(learner, events):
    """What the interpreter makes of a copy of the memory, the sample begun."""
    circuit, memory = learner.circuits[1], {name: array.copy() for name, array in learner.memory.items()}
    values = None if events.values is None else circuit.buffers["input_value"].encode(events.values)
    Interpreter().compile(circuit).steps(memory, events.offsets[np.newaxis], events.units, 0, events.n_steps, values)
    return memory


def _assert_learns_as_interpreted(learner, events, label):
    learner.begin(label, events.n_steps)
    expected = _interpreted(learner, events)
    learner.advance(events)
    for name in learner.circuits[1].buffers:
        if not name.endswith("_active"):
            np.testing.assert_array_equal(learner.memory[name], expected[name], name)


@settings(max_examples=6)
@given(SEEDS, GRADED)
def test_fixed_point_equals_the_interpreter(seed, graded):
    rng = np.random.default_rng(seed)
    made = network(rng, graded)
    learner = tpl.Learner(made, rule(rng), "fixed", seed=3)
    for label in range(2):
        events = recording(rng, made)
        _assert_learns_as_interpreted(learner, events, label)


@settings(max_examples=4)
@given(SEEDS)
def test_silence_and_events_in_a_corner_equal_the_interpreter(seed):
    """Maps of which most is at rest, steps without events, and what samples leave behind for those that follow."""
    rng = np.random.default_rng(seed)
    made = network(rng)
    learner = tpl.Learner(made, rule(rng), "fixed", seed=3)
    corner = np.zeros(SHAPE, bool)
    corner[:, : SHAPE[1] // 2, SHAPE[2] // 2 :] = True
    for label in range(3):
        shown = (rng.random((6, 1)) < 0.5) & (rng.random((6, corner.size)) < 0.5) & (corner.ravel() | (label == 0))
        events = tpl.Events.from_dense(shown)
        _assert_learns_as_interpreted(learner, events, label)


@settings(max_examples=6)
@given(SEEDS, GRADED, st.booleans())
def test_float_equals_autograd(seed, graded, standardised):
    oracle = pytest.importorskip("conv_oracle", reason="needs torch", exc_type=ImportError)
    rng = np.random.default_rng(seed)
    made = network(rng, graded, standardised)
    weights = {name: array for name, array in made.weights.items() if not name.startswith("recurrent")}
    made = replace(made, connections=tuple(c for c in made.connections if not c.recurrent), weights=weights)
    learned_by = replace(rule(rng, 0.05), readout_rate=0.0, readout=tpl.Readout())
    samples = [(recording(rng, made, 4), label) for label in (0, 2)]
    rows = [[label, (label + 1) % CLASSES, (label + 3) % CLASSES] for _, label in samples]
    learner = tpl.Learner(made, learned_by)
    for (events, label), others in zip(samples, rows, strict=True):
        learner.learn(events, label, **({"contrast_labels": others} if isinstance(learned_by, tpl.TP) else {}))
    if isinstance(learned_by, tpl.TP):
        expected = oracle.learn_tp(made, learned_by, samples, rows)
    else:
        expected = oracle.learn_tess(made, learned_by, samples)
    for connection in made.connections[:-1]:
        np.testing.assert_allclose(learner.weights[connection.name], expected[connection.name], atol=1e-4, rtol=1e-4)


def test_a_batch_equals_autograd():
    oracle = pytest.importorskip("conv_oracle", reason="needs torch", exc_type=ImportError)
    rng = np.random.default_rng(5)
    layers = [tpl.Conv2d(4, 3, padding=1, gain=3.0), tpl.MaxPool2d(2), tpl.Conv2d(4, 3, padding=1, gain=3.0), tpl.Dense(6, gain=3.0)]
    made = tpl.Network.sequential(SHAPE, layers, CLASSES, tpl.LIF(0.9, 0.4), 0.75)
    samples = [(recording(rng, made, 4), label) for label in (0, 2, 1)]
    for learned_by in (tpl.TP(0.1, 0.0), tpl.TESS(1.0, 0.0, basis="walsh")):
        learner = tpl.Learner(made, learned_by)
        learner.learn_batch(*zip(*samples, strict=True))
        learn = oracle.learn_tp if isinstance(learned_by, tpl.TP) else oracle.learn_tess
        expected = learn(made, learned_by, samples, batch=True)
        for name in ("hidden0", "hidden1", "hidden2"):
            np.testing.assert_allclose(learner.weights[name], expected[name], atol=1e-4)


@pytest.mark.parametrize("precision", ["float", "fixed"])
def test_unshared_weights_do_the_same_until_they_learn(precision, rng):
    layers = [tpl.Conv2d(4, 3, padding=1, groups=2, gain=3.0), tpl.MaxPool2d(2), tpl.Conv2d(4, 3, stride=2, gain=3.0)]
    made = tpl.Network.sequential(SHAPE, layers, CLASSES, tpl.LIF(0.9, 0.4), 0.75)
    apart = made.unshare("hidden1")
    assert apart.shapes["hidden1"] == (4, 1, 1, 4, 3, 3)
    assert made.unshare().shapes["hidden0"] == (4, 8, 7, 1, 3, 3)
    events = recording(rng, made, 10)
    told = [tpl.Learner(net, None, precision).infer(events, record=True) for net in (made, apart, made.unshare())]
    for other in told[1:]:
        for ours, theirs in zip(told[0].spikes, other.spikes, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_allclose(told[0].scores, other.scores, rtol=1e-5)
    learner = tpl.Learner(made.unshare("hidden0"), tpl.TESS(1.0, basis="walsh"), precision)
    learner.learn(events, 1)
    kernels = learner.weights["hidden0"]
    assert np.ptp(kernels, axis=(1, 2)).max() > 0  # positions are no longer alike


def test_a_network_as_a_user_writes_it(tmp_path):
    layers = [tpl.Conv2d(4, 5, padding=2), tpl.MaxPool2d(2), tpl.Conv2d(6, 3, padding=1), tpl.MaxPool2d(2), tpl.Flatten(), tpl.Dense(10)]
    made = tpl.Network.sequential((2, 16, 16), layers, n_classes=3, neuron=tpl.LIF(0.9, 0.3), trace_decay=0.9, seed=0)
    assert made.sizes == (512, 1024, 384, 10, 3)
    assert [p.output_shape for p in made.populations] == [(4, 8, 8), (6, 4, 4), (10,)]
    assert repr(made) == "Network(512-1024-384-10-3)"
    rng = np.random.default_rng(0)
    samples = [tpl.Sample(recording(rng, made, 6), k % 3) for k in range(6)]
    for precision in ("float", "fixed"):
        learner = tpl.Learner(made, tpl.TP(0.1, contrast=2), precision)
        learner.fit(samples[:3])
        learner.save(tmp_path / "learner")
        again = tpl.Learner.load(tmp_path / "learner")
        assert again.network.populations == made.populations
        for side in (learner, again):
            side.fit(samples[3:])
        for name, weights in learner.weights.items():
            np.testing.assert_array_equal(weights, again.weights[name])
        assert learner.weights["hidden0"].shape == (4, 2, 5, 5)
        assert not np.array_equal(learner.weights["hidden0"], made.weights["hidden0"])


def test_what_infers_and_what_learns_share_a_memory(rng):
    """Both have tables of poolings of their own, which must not be taken for each other."""
    layers = [tpl.Conv2d(4, 3, padding=1, gain=3.0), tpl.MaxPool2d(2), tpl.Conv2d(4, 3, padding=1, gain=3.0), tpl.AvgPool2d(3)]
    made = tpl.Network.sequential((2, 12, 12), layers, CLASSES, tpl.LIF(0.9, 0.4), 0.75)
    events = recording(rng, made, 8)
    for learned_by in (tpl.TP(1e-3), tpl.TESS(1e-3, basis="walsh", grid=2)):
        learner = tpl.Learner(made, learned_by, "fixed")
        np.testing.assert_array_equal(learner.infer(events).scores, tpl.Learner(made, None, learner.fixed).infer(events).scores)


def test_standardised_weights_are_folded_where_they_cannot_be_kept(rng):
    layers = [tpl.Conv2d(4, 3, padding=1, standardised=True), tpl.Dense(6, standardised=tpl.Standardisation(1.0))]
    made = tpl.Network.sequential(SHAPE, layers, CLASSES, tpl.LIF(0.9, 0.4), 0.75)
    folded = made.folded()
    assert folded.folded() is folded
    np.testing.assert_allclose(np.square(folded.weights["hidden0"]).sum(axis=(1, 2, 3)), 1.8**2, rtol=1e-3)
    events = recording(rng, made, 8)
    np.testing.assert_allclose(tpl.Learner(made).infer(events).scores, tpl.Learner(folded).infer(events).scores, rtol=1e-4, atol=1e-5)
    learner = tpl.Learner(made, tpl.TP(0.1, contrast=2), "fixed")
    learner.learn(events, 1)
    assert not any(c.standardisation for c in learner.network.connections)
    learner = tpl.Learner(made, tpl.TP(0.1, contrast=2))
    learner.learn(events, 1)
    assert learner.network.connections[0].standardisation == tpl.Standardisation()


def test_a_picture_is_a_constant_current(rng):
    picture = rng.integers(0, 4, SHAPE)
    events = tpl.Events.constant(picture, 5)
    assert events.to_dense().shape == (5, picture.size)
    assert (events.to_dense()[3] == picture.ravel()).all()
    layers = [tpl.Conv2d(4, 3, padding=1), tpl.MaxPool2d(2)]
    made = tpl.Network.sequential(SHAPE, layers, CLASSES, tpl.LIF(0.9, 0.4), 0.75, input_format=tpl.Format(3, 0))
    again = tpl.Events.from_dense(events.to_dense(), graded=True)  # the same, but not known to be
    for learned_by in (tpl.TP(0.05, contrast=3), tpl.TESS(0.5, basis="walsh"), tpl.TESS(0.5, basis="walsh", update="step")):
        sides = [tpl.Learner(made, learned_by, "fixed") for _ in range(2)]
        for learner, shown in zip(sides, (events, again), strict=True):
            for label in range(3):
                learner.learn(shown, label)
        for name, weights in sides[0].mantissas.items():
            np.testing.assert_array_equal(weights, sides[1].mantissas[name])
        np.testing.assert_array_equal(sides[0].infer(events).scores, sides[1].infer(again).scores)
    spikes = tpl.Network.sequential(SHAPE, layers, CLASSES, tpl.LIF(0.9, 0.4), 0.75)
    ones = tpl.Events.constant(picture > 0, 5)
    for precision in ("float", "fixed"):
        plain = tpl.Events.from_dense(ones.to_dense() != 0)
        graded, expected = (tpl.Learner(net, None, precision).infer(e) for net, e in ((made, ones), (spikes, plain)))
        np.testing.assert_allclose(graded.scores, expected.scores, rtol=1e-6)
        np.testing.assert_allclose(tpl.Learner(made, None, precision).infer(plain).scores, expected.scores, rtol=1e-6)


@pytest.mark.parametrize("grid", [1, 2, 3, 5, 40, None])
def test_the_label_projection_is_drawn_for_places(grid, tmp_path, rng):
    """A place's positions share a class's weights; others, and other maps, have their own; a grid as fine as the map changes nothing."""
    height, width = (int(n) for n in rng.integers(4, 12, 2))
    layers = [tpl.Conv2d(3, 3, padding=1), tpl.MaxPool2d(2)]
    made = tpl.Network.sequential((2, height, width), layers, CLASSES, tpl.LIF(0.9, 0.4), 0.75, seed=int(rng.integers(9)))
    target = tpl.TP(grid=grid).parameters(made)["target"].reshape(3, height, width, CLASSES)
    for channel in range(3):
        places: dict[tuple[int, int], set] = {}
        for y in range(height):
            for x in range(width):
                place = (y, x) if grid is None else (math.floor(y * min(grid, height) / height), math.floor(x * min(grid, width) / width))
                places.setdefault(place, set()).add(tuple(target[channel, y, x]))
        assert all(len(found) == 1 for found in places.values())
        assert len(set.union(*places.values())) == len(places) == min(grid or height, height) * min(grid or width, width)
    assert len(np.unique(target)) == 3 * CLASSES * len(places)
    if grid is None or grid == 40:
        np.testing.assert_array_equal(target.reshape(-1, CLASSES), tpl.TP().parameters(made)["target"])
    learner = tpl.Learner(made, tpl.TP(1e-3, grid=grid), "fixed")
    learner.save(tmp_path / "learner")
    again = tpl.Learner.load(tmp_path / "learner")
    assert again.rule == learner.rule
    np.testing.assert_array_equal(again.weights["target"], learner.weights["target"])


def test_a_grid_plays_no_part_without_maps():
    made = tpl.Network.dense((5, 4, CLASSES))
    np.testing.assert_array_equal(tpl.TP(grid=1).parameters(made)["target"], tpl.TP().parameters(made)["target"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tpl.Events([0], [0], 2, 3, values=[1, 2]), r"values is of shape \(2,\), but must be one for each event, \(1,\)"),
        (lambda: tpl.Events([0], [0], 2, 3, values=[np.nan]), "values is nan, but must be finite"),
        (lambda: tpl.Events([0], [0], 2, 3, values=["x"]), "values is .*, but must be numbers"),
        (
            lambda: tpl.Events.from_dense(np.array([[0.2, -1, 2]])),
            "spikes is 0.2 of unit 0 at step 0, but must be 0 or 1",
        ),
        (lambda: tpl.Network.sequential((4,), [tpl.Conv2d(2, 3)], 2), r"Conv2d is after units of shape \(4,\)"),
        (lambda: tpl.Network.sequential(SHAPE, [], 2), r"layers is \[\], but must be at least one layer of neurons"),
        (lambda: tpl.Network.sequential(SHAPE, ["conv"], 2), r"layers\[0\] is 'conv', but must be Conv2d, LocalConv2d"),
        (lambda: tpl.Network.sequential(SHAPE, [tpl.MaxPool2d(2), tpl.Dense(3)], 2), "a pooling of the input"),
        (lambda: tpl.Network.sequential(SHAPE, [tpl.MaxPool2d(2), tpl.Conv2d(3, 1)], 2), "pooling is .*, but must be sums"),
        (lambda: tpl.Network.sequential(SHAPE, [tpl.Conv2d(3, 1), tpl.AdaptiveAvgPool2d(9)], 2), r"size is \(9, 9\)"),
        (lambda: tpl.Network.sequential(SHAPE, [tpl.Dense(3), tpl.MaxPool2d(1)], 2), r"pooling is of a shape \(3,\)"),
        (lambda: tpl.Network.sequential(SHAPE, [tpl.Dense(3)], 2).unshare("hidden0"), "connections is hidden0, but must be among"),
        (lambda: tpl.Standardisation(0.0), "gain is 0.0, but must be a number > 0"),
        (lambda: tpl.TESS(grid=0), "grid is 0, but must be an integer of at least 1"),
        (
            lambda: tpl.TESS(basis_rate=-1),
            "TESS: basis_rate is -1, but must be a finite number >= 0; 0 leaves a layer's classifier as it is",
        ),
        (lambda: tpl.TP(grid=0), "TP: grid is 0, but must be an integer of at least 1, or None"),
        (lambda: Contrast(grid=1.5), "Contrast: grid is 1.5, but must be an integer of at least 1, or None"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(InvalidValueError, match=message):
        make()


def test_values_are_checked_against_the_network(rng):
    made = tpl.Network.sequential((2,), [tpl.Dense(3)], 2, input_format=tpl.Format(3, 0))
    learner = tpl.Learner(made, tpl.TP(contrast=2), "fixed")
    with pytest.raises(InvalidValueError, match=r"values is 9 at event 0 \(1 such\), but must be in -3..3"):
        learner.infer(tpl.Events([0], [1], 2, 2, values=[9]))
    plain = tpl.Learner(tpl.Network.dense((2, 3, 2)))
    with pytest.raises(InvalidValueError, match="events is graded, but must be plain spikes"):
        plain.infer(tpl.Events([0], [1], 2, 2, values=[1]))
    assert tpl.Events([0, 0], [1, 1], 2, 2, values=[1, 2]) == tpl.Events([0], [1], 2, 2, values=[3])
    assert len(tpl.Events([0, 0], [1, 1], 2, 2, values=[1, -1])) == 0
    assert tpl.Events([0], [1], 2, 2, values=[3]) != tpl.Events([0], [1], 2, 2)


@pytest.mark.parametrize("update", ["step", "sequence"])
def test_what_learning_remembers_is_counted(update):
    layers = [tpl.Conv2d(4, 3, padding=1), tpl.MaxPool2d(2), tpl.Conv2d(4, 3, standardised=True), tpl.Dense(5)]
    made = tpl.Network.sequential(SHAPE, layers, CLASSES)
    for learned_by in (tpl.TESS(update=update, basis="walsh"), tpl.TESS(update=update, basis="walsh", basis_rate=0.1), tpl.TP()):
        assert learned_by.remembered(made, 10) == counted(made, learned_by)
