"""Augmentation: what moves, what is left out, what comes back with the same seed, and that learning sees it."""

import numpy as np
import pytest

import tp_lava as tpl


def recording(rng, n_steps=20, n_units=12, count=60):
    return tpl.Events(rng.integers(0, n_steps, count), rng.integers(0, n_units, count), n_steps, n_units)


def dense_oracle(events, shift, units):
    """Every event moved, those outside left out."""
    dense, moved = events.to_dense(), np.zeros((events.n_steps, events.n_units), bool)
    for step, unit in zip(*np.nonzero(dense), strict=True):
        if 0 <= step + shift < events.n_steps and 0 <= unit + units < events.n_units:
            moved[step + shift, unit + units] = True
    return moved


@pytest.mark.parametrize("seed", range(5))
def test_a_recording_moves_as_a_whole(seed):
    events = recording(np.random.default_rng(seed))
    got = tpl.Augmentation(shift=3, units=2).applied(events, seed, 1, 7).to_dense()
    assert any((got == dense_oracle(events, d, c)).all() for d in range(-3, 4) for c in range(-2, 3))


def test_all_places_occur():
    events = tpl.Events([10], [6], 20, 12)
    moved = [tpl.Augmentation(shift=2, units=1).applied(events, 0, 0, number) for number in range(200)]
    assert {(int(m.times[0]), int(m.units[0])) for m in moved} == {(t, u) for t in range(8, 13) for u in range(5, 8)}


def test_drops_the_share_that_is_asked_for():
    events = tpl.Events.from_dense(np.ones((100, 100)))
    assert abs(len(tpl.Augmentation(drop=0.3).applied(events, 0, 0, 0)) / 10_000 - 0.7) < 0.03


def test_values_stay_with_their_events():
    events = tpl.Events([0, 1, 2], [3, 4, 5], 4, 12, [10, 20, 30])
    got = tpl.Augmentation(units=2).applied(events, 0, 0, 1)
    assert got.values.tolist() == [10, 20, 30]
    assert len(set((got.units - events.units).tolist())) == 1


def test_units_are_stretched_about_the_first():
    events = tpl.Events.from_dense(np.eye(100))
    found = set()
    for number in range(50):
        got = tpl.Augmentation(stretch=0.1).applied(events, 0, 0, number)
        factor = got.units[-1] / got.times[-1]
        assert abs(got.units - (got.times + 0.5) * factor).max() < 1.6
        found.add(round(factor, 2))
    assert min(found) < 0.94
    assert max(found) > 1.06


def test_nothing_asked_for_changes_nothing():
    events = recording(np.random.default_rng(0))
    assert tpl.Augmentation().applied(events, 3, 4, 5) == events


def test_fit_learns_what_is_drawn_and_is_repeated_by_its_seed():
    rng = np.random.default_rng(1)
    samples = [tpl.Sample(recording(rng), int(rng.integers(3))) for _ in range(12)]
    varied, network = tpl.Augmentation(2, 1, 0.2), tpl.Network.dense((12, 8, 3), tpl.LIF(0.9, 0.3))

    def learned(augmentation, epochs):
        learner = tpl.Learner(network, tpl.TP(1e-2, 1e-2, contrast="all"), seed=4)
        for _ in range(epochs):
            learner.fit(samples, augmentation=augmentation)
        return learner.weights["hidden0"]

    by_hand = tpl.Learner(network, tpl.TP(1e-2, 1e-2, contrast="all"), seed=4)
    for epoch in range(2):
        given = [tpl.Sample(varied.applied(events, 4, epoch, i), label) for i, (events, label) in enumerate(samples)]
        by_hand.fit(given)
    assert np.array_equal(learned(varied, 2), by_hand.weights["hidden0"])
    assert not np.array_equal(learned(varied, 2), learned(None, 2))


# A camera's recordings ----------------------------------------------------------------------------
SIDE = 9


def picture(places):
    """One event of each polarity at each (y, x), one a step."""
    units = [p * SIDE**2 + y * SIDE + x for y, x in places for p in range(2)]
    return tpl.Events(range(len(units)), units, len(units), 2 * SIDE**2)


def seen(events):
    """-> {(polarity, y, x)}"""
    return {(int(u) // SIDE**2, int(u) % SIDE**2 // SIDE, int(u) % SIDE) for u in events.units}


def test_a_picture_moves_by_whole_pixels():
    events, found = picture([(4, 4), (0, 8)]), set()
    for number in range(60):
        got = tpl.Augmentation(pixels=1).applied(events, 0, 0, number)
        at = next((y - 4, x - 4) for p, y, x in seen(got) if abs(y - 4) < 2 and abs(x - 4) < 2)
        expected = {(p, y + at[0], x + at[1]) for p, y, x in seen(events) if 0 <= y + at[0] < SIDE and 0 <= x + at[1] < SIDE}
        assert seen(got) == expected
        found.add(at)
    assert found == {(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)}


@pytest.mark.parametrize(("options", "inner", "outer"), [({"rotation": 90}, 3, 3), ({"zoom": 0.5}, 1.5, 4.5)])
def test_a_picture_turns_and_grows_about_its_middle(options, inner, outer):
    events = picture([(4, 7)])
    got = [seen(tpl.Augmentation(**options).applied(events, 1, 0, number)) for number in range(60)]
    distances = [np.hypot(y - 4, x - 4) for each in got for _, y, x in each]
    assert inner - 1.2 < min(distances) < max(distances) < outer + 1.2
    places = {(y, x) for each in got for _, y, x in each}
    assert len(places) > 5
    assert all(x >= 3 for _, x in places)  # by a quarter at most


def test_what_is_no_camera_has_no_pixels():
    with pytest.raises(tpl.InvalidValueError, match="n_units is 12, but must be .*of a square camera"):
        tpl.Augmentation(pixels=1).applied(recording(np.random.default_rng(0)), 0, 0, 0)


def test_graded_pictures_keep_their_values():
    events = tpl.Events([0, 0, 1], [31, 40, 81 + 50], 2, 2 * SIDE**2, [10, 20, 30])
    assert tpl.Augmentation(rotation=5, zoom=0.1).applied(events, 0, 0, 0).values.tolist() == [10, 20, 30]


# Fine-tuning --------------------------------------------------------------------------------------
VARIED = tpl.Augmentation(shift=2, units=1, drop=0.2)
RULE = tpl.TP(1e-2, 1e-2, contrast="all")


def few_recordings(seed=1, count=6):
    rng = np.random.default_rng(seed)
    return [tpl.Sample(recording(rng), i % 3) for i in range(count)]


def test_fine_tuning_learns_variants():
    network, new = tpl.Network.dense((12, 8, 3), tpl.LIF(0.9, 1.0)), few_recordings()
    options = {"rule": RULE, "precision": "float", "epochs": 2, "seed": 4}
    tuned = tpl.finetune(network, new, new, augmentation=VARIED, variants=3, **options)
    by_hand = tpl.Learner(tuned.prepared.network, tuned.prepared.rule, "float", 4, schedule=tpl.Cosine(2))
    for epoch in range(2):
        by_hand.fit([tpl.Sample(VARIED.applied(new[i % 6].events, 4, epoch, i), new[i % 6].label) for i in range(18)])
    assert np.array_equal(tuned.learner.weights["hidden0"], by_hand.weights["hidden0"])
    with pytest.raises(tpl.InvalidValueError, match=r"variants is 3, but must be .* 1 without augmentation; give augmentation="):
        tpl.finetune(network, new, new, variants=3, **options)


def test_old_samples_vary_as_they_are_replayed(tmp_path):
    network, old = tpl.Network.dense((12, 8, 3), tpl.LIF(0.9, 1.0)), few_recordings(2)
    tuned = tpl.finetune(network, few_recordings(), old, rule=RULE, old=old, augmentation=VARIED, epochs=1)
    assert tuned.continual.replay.augmentation == VARIED
    tuned.continual.save(tmp_path / "a.safetensors")
    again = tpl.Continual.load(tmp_path / "a.safetensors")
    first, second = ([each.buffer.draw(1)[0] for _ in range(8)] for each in (tuned.continual, again))
    assert first == second
    kept = tuned.continual.buffer.samples
    assert not any(sample in kept for sample in first)


@pytest.mark.parametrize(
    "wrong",
    [
        {"shift": -1}, {"shift": 0.5}, {"units": -2}, {"drop": 1.0}, {"drop": -0.1}, {"drop": float("nan")}, {"stretch": 1.0},
        {"pixels": 0.5}, {"rotation": 180}, {"zoom": -0.1},
    ],
)  # fmt: skip
def test_refuses(wrong):
    with pytest.raises(tpl.InvalidValueError, match=f"Augmentation.*{next(iter(wrong))}"):
        tpl.Augmentation(**wrong)


def test_fit_refuses_what_is_no_augmentation():
    learner = tpl.Learner(tpl.Network.dense((12, 8, 3)), tpl.TP(contrast="all"))
    with pytest.raises(tpl.InvalidValueError, match=r"augmentation is 3.*tpl\.Augmentation"):
        learner.fit([tpl.Sample(recording(np.random.default_rng(0)), 0)], augmentation=3)


def test_temporal_networks_see_what_was():
    network = tpl.Network.temporal((5, 7, 6, 3), span=9, copies=4, seed=2)
    assert network.connection("hidden0").delays == tpl.Delays.of(np.array([0, 3, 6, 9])[:, None], 5)
    assert network.connection("hidden1").delays is None
    same = tpl.Network.dense((5, 7, 6, 3), tpl.LIF(0.9), 0.9, seed=2, delays=[np.array([0, 3, 6, 9])[:, None], None])
    assert all(np.array_equal(network.weights[name], same.weights[name]) for name in same.weights)
    assert network.populations == same.populations


@pytest.mark.parametrize(("span", "copies"), [(2, 4), (5, 0), (1.5, 2)])
def test_temporal_refuses_delays_that_are_not_there(span, copies):
    with pytest.raises(tpl.InvalidValueError, match="copies"):
        tpl.Network.temporal((5, 7, 3), span=span, copies=copies)
    with pytest.raises(tpl.InvalidValueError, match="63"):
        tpl.Network.temporal((5, 7, 3), span=64)
