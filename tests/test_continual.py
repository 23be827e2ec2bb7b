"""Continual learning: compressed samples, the buffer, the gate, the anchor, and a learner that goes on for ever."""

import numpy as np
import pytest

import tp_lava as tpl
from tp_lava import ArchiveError, InvalidValueError
from tp_lava.circuit import Buffer
from tp_lava.continual.buffer import ReplayBuffer, compress, decompress
from tp_lava.continual.pull import AnchorCopy
from tp_lava.data.events import Sample
from tp_lava.numbers import Format

INPUTS, CLASSES = 12, 3


def recording(seed, n_steps=10, share=0.3, n_units=INPUTS):
    rng = np.random.default_rng(seed)
    return tpl.Events.from_dense(rng.random((n_steps, n_units)) < share)


def task(seed, count, shift=0):
    """Classes that differ in which units spike; `shift` moves all of them to other units."""
    rng, found = np.random.default_rng(seed), []
    for number in range(count):
        label = number % CLASSES
        rates = np.full(INPUTS, 0.05)
        rates[np.arange(4 * label + shift, 4 * label + shift + 4) % INPUTS] = 0.6
        found.append(Sample(tpl.Events.from_dense(rng.random((12, INPUTS)) < rates), label))
    return found


def learner(precision="fixed", rate=0.01, seed=0):
    network = tpl.Network.dense((INPUTS, 10, CLASSES), tpl.LIF(0.9), trace_decay=0.9, seed=seed)
    return tpl.Learner(network, tpl.TP(rate, rate, contrast="all"), precision, seed)


# Compression -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_compression_loses_nothing(seed):
    rng = np.random.default_rng(seed)
    n_steps, n_units = (int(rng.integers(1, high)) for high in (300, 5000))
    share = rng.choice([0, 1e-4, 1e-2, 0.3, 1.0]) if n_steps * n_units < 1e5 else 1e-4
    dense = rng.random((n_steps, n_units)) < share
    values = np.where(dense, rng.normal(size=dense.shape), 0).astype(np.float32)
    label = int(rng.choice([0, 1, 127, 128, 40000]))
    for events in (tpl.Events.from_dense(dense), tpl.Events.from_dense(values, graded=True), tpl.Events.constant(values[0], n_steps)):
        record = compress(Sample(events, label))
        again = decompress(record, n_units)
        assert again == Sample(events, label)
        assert again.events.is_constant == events.is_constant
        assert record.dtype == np.uint8


def test_far_units_are_kept_exactly():
    wide = tpl.Events([0, 1, 1], [2**31 - 2, 0, 2**31 - 2], 2, 2**31 - 1)
    assert decompress(compress(Sample(wide, 1)), 2**31 - 1).events == wide


@pytest.mark.parametrize("damage", [lambda r: r[:-1], lambda r: np.append(r, np.uint8(3)), lambda r: r[:2], lambda r: r[:0] + 255])
def test_a_damaged_record_is_refused(damage):
    record = damage(compress(Sample(recording(0), 1)))
    buffer = ReplayBuffer(tpl.Replay(3), INPUTS, 0)
    arrays = buffer.arrays() | {"records": record, "sizes": np.array([len(record)])}
    with pytest.raises(ValueError, match="a record of"):
        buffer.restore(arrays)


def test_an_event_takes_about_a_byte():
    sample = Sample(recording(0, 60, 0.03, 512), 7)
    assert len(compress(sample)) < 1.1 * len(sample.events) + 10


# The buffer ------------------------------------------------------------------------------------------


def labelled(label, seed=0):
    return Sample(recording([label, seed]), label)


def test_a_buffer_is_bounded_and_holds_as_many_of_each_class_as_it_can():
    buffer = ReplayBuffer(tpl.Replay(20), INPUTS, 3)
    stream = [labelled(0, n) for n in range(200)] + [labelled(1, n) for n in range(30)] + [labelled(2, n) for n in range(3)]
    for sample in stream:
        buffer.offer(sample)
        assert len(buffer) <= 20
        assert buffer.bytes == sum(len(compress(held)) for held in buffer.samples)
    counts = np.bincount(buffer.labels)
    assert counts[2] == 3
    assert abs(int(counts[0]) - int(counts[1])) <= 3
    assert all(held in stream for held in buffer.samples)


def test_every_sample_of_a_class_is_kept_with_the_same_probability():
    kept = np.zeros(30)
    for seed in range(400):
        buffer = ReplayBuffer(tpl.Replay(6), 1, seed)
        for number in range(30):
            buffer.offer(Sample(tpl.Events([number], [0], 30, 1), 0))
        kept[[held.events.times[0] for held in buffer.samples]] += 1
    assert kept.sum() == 400 * 6
    assert abs(kept - 80).max() < 5 * np.sqrt(400 * 0.2 * 0.8)


def test_a_bound_in_bytes_holds():
    limit = 2000
    buffer = ReplayBuffer(tpl.Replay(bytes=limit), INPUTS, 0)
    rng = np.random.default_rng(0)
    for number in range(300):
        buffer.offer(Sample(recording(number, int(rng.integers(1, 60))), number % 4))
        assert buffer.bytes <= limit
    assert len(set(buffer.labels)) == 4
    assert not buffer.offer(Sample(recording(0, 400, 0.9), 1))


def test_draws_are_uniform_and_follow_from_the_seed():
    buffers = [ReplayBuffer(tpl.Replay(8), 1, seed) for seed in (1, 1, 2)]
    for buffer in buffers:
        for number in range(8):
            buffer.offer(Sample(tpl.Events([number], [0], 8, 1), number % 2))
    drawn = [[int(sample.events.times[0]) for sample in buffer.draw(4000)] for buffer in buffers]
    assert drawn[0] == drawn[1] != drawn[2]
    assert abs(np.bincount(drawn[0]) - 500).max() < 120
    assert ReplayBuffer(tpl.Replay(8), 1, 0).draw(5) == []


# Gate and anchor -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_the_gate_is_its_formula(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(-(2**30), 2**30, int(rng.integers(1, 6)))
    if seed % 3 == 0:
        scores = scores // 2**28
    for given in (scores, (scores / 1024).astype(np.float32)):
        for label in range(len(scores)):
            wrong = int(np.argmax(given)) != label
            assert tpl.Gate().opens(given, label) == wrong
            for margin in (1 / 256, 0.1, 1.0):
                exact = [int(value) for value in given] if given.dtype.kind == "i" else [float(value) for value in given]
                best, second = sorted(exact)[-1], sorted(exact)[-2] if len(exact) > 1 else sorted(exact)[-1]
                unsure = 256 * (best - second) <= round(256 * margin) * max(abs(value) for value in exact)
                if len(exact) > 1:
                    assert tpl.Gate("unsure", margin=margin).opens(given, label) == (wrong or unsure)


def test_a_silent_network_is_unsure():
    assert tpl.Gate("unsure", margin=0.01).opens(np.zeros(3, np.int32), 0)
    assert not tpl.Gate("wrong").opens(np.zeros(3, np.int32), 0)


@pytest.mark.parametrize("strength", [2**-16, 0.01, 0.5, 0.999])
def test_a_pull_in_fixed_point_rounds_to_a_neighbour_and_is_right_on_the_mean(strength):
    rng = np.random.default_rng(1)
    buffers = {"w": Buffer("w", ("a", "b"), "weight", Format(8, 7))}
    start = {"w": rng.integers(-127, 128, (40, 50)).astype(np.int8)}
    anchor = AnchorCopy(tpl.Anchor(strength), ["w"], buffers, start, 5)
    assert anchor.bytes == 2000
    weights = rng.integers(-127, 128, (40, 50)).astype(np.int8)
    exact = strength * (start["w"].astype(float) - weights)
    mean, share = np.zeros(weights.shape), round(strength * 2**16) / 2**16
    for number in range(200):
        memory = {"w": weights.copy()}
        anchor.pull(memory, number)
        change = memory["w"].astype(float) - weights
        assert (np.abs(change - share * (start["w"].astype(float) - weights)) < 1).all()
        mean += change / 200
    assert abs((mean - exact).mean()) < 0.005
    assert abs(mean - exact).max() < 0.2 + np.abs(exact).max() * abs(share / strength - 1)
    again = {"w": weights.copy()}
    anchor.pull(again, 199)
    assert np.array_equal(again["w"], memory["w"])


def test_a_pull_in_float_is_its_formula():
    rng = np.random.default_rng(1)
    buffers = {"w": Buffer("w", ("a", "b"), "weight")}
    start = {"w": rng.normal(size=(4, 5)).astype(np.float32)}
    anchor = AnchorCopy(tpl.Anchor(0.25), ["w"], buffers, start, 5)
    copy = anchor.formats["w"].real(anchor.copies["w"])
    assert np.abs(copy - start["w"]).max() <= anchor.formats["w"].resolution / 2
    assert anchor.formats["w"].bits == 8
    weights = rng.normal(size=(4, 5)).astype(np.float32)
    memory = {"w": weights.copy()}
    anchor.pull(memory, 0)
    np.testing.assert_allclose(memory["w"], 0.75 * weights + 0.25 * copy, rtol=1e-5, atol=1e-6)


# The learner -----------------------------------------------------------------------------------------


def by_hand(own, buffer, gate, samples):
    """Continual.learn, written a second time, from the learner's own methods. -> (learned, relearned, predictions)."""
    learned, predictions = [0, 0], []
    for sample in samples:
        for place, (events, label) in enumerate([sample, *(buffer.draw(buffer.settings.per_sample) if buffer else [])]):
            outcome = own.infer(events) if gate else None
            if outcome is None or outcome.prediction != label:
                taught = own.learn(events, label)
                learned[min(place, 1)] += 1
            if place == 0:
                predictions.append((outcome or taught).prediction)
        if buffer:
            buffer.offer(sample)
    return learned, predictions


@pytest.mark.parametrize("precision", ["float", "fixed"])
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("replayed", [0, 2])
def test_it_does_what_it_says(precision, gated, replayed):
    old, new = task(1, 12), task(2, 9, shift=2)
    gate, replay = tpl.Gate("wrong") if gated else None, tpl.Replay(6, replayed) if replayed else None
    continual = tpl.Continual(learner(precision), replay, gate)
    own, buffer = learner(precision), ReplayBuffer(replay, INPUTS, 0) if replay else None
    if replay:
        continual.remember(old)
        for sample in old:
            buffer.offer(sample)
    predictions = [continual.learn(*sample).prediction for sample in new]
    (learned, relearned), expected = by_hand(own, buffer, gated, new)
    assert predictions == expected
    for name, array in own.weights.items():
        np.testing.assert_array_equal(continual.learner.weights[name], array)
    cost = continual.cost
    assert (cost.seen, cost.learned, cost.replayed, cost.relearned) == (9, learned, 9 * replayed, relearned)
    assert cost.presentations == gated * (9 + 9 * replayed) + learned + relearned
    assert cost.steps == 12 * cost.presentations
    assert cost.learning_steps == 12 * (learned + relearned)
    assert cost.replay_bytes == (buffer.bytes if buffer else 0)
    assert (cost.weight_updates > 0) == (learned + relearned > 0)


def test_a_gate_of_old_samples_learns_every_new_one():
    continual = tpl.Continual(learner(), tpl.Replay(6, 2), tpl.Gate("wrong", of="old"))
    continual.remember(task(1, 12))
    continual.fit(task(1, 12), 6)
    cost = continual.cost
    assert cost.learned == cost.seen == 72
    assert 0 <= cost.relearned < cost.replayed == 144
    assert cost.presentations == cost.seen + cost.replayed + cost.relearned


def test_weight_updates_are_those_that_the_mapping_counts():
    """By spikes exactly; the readout learns from traces, of which all count."""
    from tp_lava.deploy.loihi2 import count

    own, samples = learner(), task(3, 4)
    continual = tpl.Continual(own)
    for sample in samples:
        counted = count(own, [sample], learning=True).samples[0]
        before = continual.cost.weight_updates
        continual.learn(*sample)
        assert continual.cost.weight_updates - before == counted.updates + 12 * 10 * CLASSES


@pytest.mark.parametrize("precision", ["float", "fixed"])
def test_saving_and_going_on_equals_never_having_stopped(precision, tmp_path):
    settings = tpl.Replay(8, 2), tpl.Gate("unsure", margin=0.2), tpl.Anchor(0.05, every=2)
    whole = tpl.Continual(learner(precision), *settings)
    whole.remember(task(1, 20))
    whole.fit(task(2, 9, shift=2), 2)
    whole.save(tmp_path / "half.safetensors")
    parts = [tpl.Continual.load(tmp_path / "half.safetensors"), whole.copy(), whole]
    for part in parts:
        part.fit(task(4, 9, shift=1), 2)
    for part in parts[:2]:
        assert part.cost == whole.cost
        assert part.buffer.samples == whole.buffer.samples
        for name, array in whole.learner.weights.items():
            np.testing.assert_array_equal(part.learner.weights[name], array)
    with pytest.raises(ArchiveError, match="holds a continual learner, not a learner"):
        tpl.Learner.load(tmp_path / "half.safetensors")


def test_an_anchor_holds_the_weights_and_may_be_cast_again():
    moved = []
    for strength in (None, 0.01, 0.3):
        continual = tpl.Continual(learner(rate=0.05), anchor=tpl.Anchor(strength) if strength else None)
        start = continual.learner.weights["hidden0"]
        continual.fit(task(2, 30))
        moved.append(np.abs(continual.learner.weights["hidden0"] - start).mean())
    assert moved[0] > moved[1] > moved[2]
    assert continual.cost.pulls == continual.cost.learned == 30
    here = continual.learner.weights["hidden0"]
    continual.consolidate()
    for number in range(50):
        continual.pull(continual.learner.memory, number)
    np.testing.assert_array_equal(continual.learner.weights["hidden0"], here)


def test_frozen_weights_have_no_copy():
    network = tpl.Network.dense((INPUTS, 10, CLASSES), seed=0)
    frozen = tpl.Continual(tpl.Learner(network, tpl.TP(0.0, 0.01, contrast=2), "fixed"), anchor=tpl.Anchor(0.1))
    assert frozen.cost.anchor_bytes == 10 * CLASSES


def test_replay_and_gate_forget_less_with_fewer_updates():
    """Three classes, then the last of them alone, by other units: with old samples beside, all three are kept."""
    old, old_test = task(1, 90), task(5, 60)
    new = [sample for sample in task(2, 36, shift=2) if sample.label == 2]
    kept, updates = [], []
    for settings in ((), (tpl.Replay(30, 4), tpl.Gate("wrong"))):
        own = learner("fixed", 0.04)
        own.fit(old, 5)
        continual = tpl.Continual(own, *settings)
        if settings:
            continual.remember(old)
        continual.fit(new, 30)
        kept.append(continual.evaluate(old_test))
        updates.append((continual.cost.learned + continual.cost.relearned) / (continual.cost.seen + continual.cost.replayed))
    assert kept[1] > kept[0] + 0.1
    assert updates[0] == 1
    assert updates[1] < 0.7


def test_prototypes_are_nearest_means():
    network = tpl.Network.dense((INPUTS, 10, CLASSES), tpl.LIF(0.9), seed=0)
    samples, test = task(1, 30), task(2, 30)
    own = tpl.Learner(network)
    features = {n: np.array([own.infer(events).spike_counts[-1] for events, label in samples if label == n], float) for n in range(CLASSES)}
    means = np.array([features[n].mean(0) for n in range(CLASSES)])
    for distance in ("cosine", "euclid"):
        prototypes = tpl.Prototypes(network, distance=distance)
        assert prototypes.infer(test[0].events).prediction == 0
        prototypes.fit(samples)
        for events, _ in test:
            here = own.infer(events).spike_counts[-1].astype(float)
            if distance == "cosine":
                near = means @ here / (np.linalg.norm(means, axis=1) * np.linalg.norm(here))
            else:
                near = -np.linalg.norm(means - here, axis=1)
            np.testing.assert_allclose(prototypes.infer(events).scores, near, rtol=1e-5)
            assert prototypes.infer(events).prediction == np.argmax(near)
        assert prototypes.evaluate(test) > 0.6
    assert prototypes.bytes == 4 * (CLASSES * 10 + CLASSES)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tpl.Replay(0), "Replay: size is 0, but must be an integer of at least 1"),
        (lambda: tpl.Replay(), "Replay: size is None, but must be given, or bytes"),
        (lambda: tpl.Replay(5, per_sample=-1), "Replay: per_sample is -1"),
        (lambda: tpl.Replay(bytes=1.5), "Replay: bytes is 1.5"),
        (lambda: tpl.Gate("bored"), 'Gate: when is \'bored\', but must be "wrong" or "unsure"'),
        (lambda: tpl.Gate("unsure"), "Gate: margin is None"),
        (lambda: tpl.Gate("unsure", margin=2), "Gate: margin is 2"),
        (lambda: tpl.Gate("wrong", margin=0.1), "Gate: margin is 0.1"),
        (lambda: tpl.Gate(of="new"), "Gate: of is 'new'"),
        (lambda: tpl.Anchor(0), "Anchor: strength is 0"),
        (lambda: tpl.Anchor(0.1, every=0), "Anchor: every is 0"),
        (lambda: tpl.Continual(3), "Continual: learner is 3, but must be a Learner"),
        (lambda: tpl.Continual(tpl.Learner(tpl.Network.dense((4, 3, 2)))), "Continual: learner is without a rule"),
        (lambda: tpl.Continual(learner(), replay=250), "Continual: replay is 250, but must be a Replay or None"),
        (lambda: tpl.Continual(learner()).remember([]), "Continual: replay is None, but must be given, to remember samples"),
        (lambda: tpl.Continual(learner()).fit([]), "fit: samples is empty"),
        (lambda: tpl.Continual(learner()).fit(task(1, 3), -1), "fit: epochs is -1"),
        (lambda: tpl.Continual(learner()).learn(recording(0), 9), "sample: label is 9"),
        (lambda: tpl.Prototypes(tpl.Network.dense((4, 3, 2)), distance="far"), "Prototypes: distance is 'far'"),
    ],
)
def test_refused(make, message):
    with pytest.raises(InvalidValueError, match=message):
        make()
