"""What has changed in the sensor: changes of mounting are found from few recordings, and nothing where nothing explains them."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import tp_lava as tpl
from tp_lava import InvalidValueError
from tp_lava.cli import app
from tp_lava.data.mounting import Mounting, camera_shape, mountings
from tp_lava.data.sensors import through
from tp_lava.finetuning import REPLAY, few, finetune
from tp_lava.pretrained import pretrained

SHAPE = (2, 16, 16)


@pytest.fixture(scope="module")
def learner():
    return tpl.Learner(tpl.convert(pretrained()), tpl.TP(1e-3, 5e-4, contrast="all"), "fixed")


@pytest.fixture(scope="module")
def digits():
    return tpl.data.digits()


def mounted(change, samples):
    return [tpl.Sample(change.seen(events, SHAPE), label) for events, label in samples]


# Mountings ----------------------------------------------------------------------------------------


def by_hand(change, channel, y, x, shape):
    """Where a pixel ends, index by index, or None."""
    channels, height, width = shape
    x = width - 1 - x if change.mirrored else x
    for _ in range(change.turns):
        y, x, height, width = x, height - 1 - y, width, height
    channel = channels - 1 - channel if change.inverted else channel
    y, x = y + change.down, x + change.right
    return (channel, y, x) if 0 <= y < height and 0 <= x < width else None


@pytest.mark.parametrize("shape", [(2, 4, 4), (2, 3, 5), (1, 5, 5)])
def test_every_pixel_ends_where_it_should(shape):
    changes = [*mountings(shape, 2), Mounting(turns=2, mirrored=True, down=1, right=-2), Mounting(down=-9)]
    for change in changes:
        for place in np.ndindex(shape):
            events = tpl.Events([1], [np.ravel_multi_index(place, shape)], 3, int(np.prod(shape)))
            expected = by_hand(change, *place, shape)
            seen = change.seen(events, shape)
            assert [np.unravel_index(unit, shape) for unit in seen.units] == ([] if expected is None else [expected])
            assert expected is None or change.undone(seen, shape) == events


def test_what_a_camera_may_have_become():
    assert len(mountings((2, 4, 4), 2)) == len(set(map(str, mountings((2, 4, 4), 2)))) == 16 + 24
    assert len(mountings((1, 4, 4), 0)) == 8
    assert list(map(str, mountings((1, 3, 4), 0))) == ["unchanged", "turned by 180 degrees", "mirrored", "mirrored, turned by 180 degrees"]
    assert str(Mounting(inverted=True, down=1)) == "ON and OFF exchanged, moved by 1 down and 0 right"


def test_values_of_graded_events_move_along():
    events = tpl.Events([0, 1], [0, 3], 2, 4, [0.5, 2.0])
    seen = Mounting(mirrored=True).seen(events, (1, 2, 2))
    assert seen.units.tolist() == [1, 2]
    assert seen.values.tolist() == [0.5, 2.0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Mounting(turns=4), "Mounting: turns is 4, but must be 0, 1, 2 or 3"),
        (lambda: Mounting(down=0.5), "Mounting: down is 0.5, but must be a whole number of pixels"),
        (lambda: Mounting(turns=1).seen(tpl.Events([0], [0], 1, 6), (1, 2, 3)), "turns is 1, but must be even for 2 x 3 pixels"),
        (lambda: Mounting(inverted=True).seen(tpl.Events([0], [0], 1, 4), (1, 2, 2)), "inverted is True, but must be False for 1 channels"),
        (lambda: Mounting().seen(tpl.Events([0], [0], 1, 4), (2, 2, 2)), "n_units is 4, but must be 8, as the shape says"),
        (lambda: camera_shape((10,)), r"sensor: n_units is 10, but must be 2 \* side\*\*2, of a square camera; give shape="),
    ],
)
def test_impossible_mountings(wrong, message):
    with pytest.raises(InvalidValueError, match=message):
        wrong()


# What has changed ---------------------------------------------------------------------------------
ORIENTED = [change for change in mountings(SHAPE, 0) if change != Mounting() and change != Mounting(inverted=True)]


@pytest.mark.parametrize("seed", [0, 1])
def test_orientations_are_found_from_twenty_recordings(learner, digits, seed):
    """With ON and OFF exchanged alone, or moved, more recordings are told right as they are, so that twenty may say too little."""
    for change in ORIENTED[seed::2]:
        found = tpl.sensor_change(learner, mounted(change, few(digits[0], 2, seed)), pixels=0)
        assert found.found == change
        assert found.p < 0.01
        assert found.accuracy[change] > 0.8 > found.accuracy[Mounting()]


def test_polarity_and_small_moves_are_found_from_fifty(learner, digits):
    for change in (Mounting(inverted=True), Mounting(down=-2, right=1)):
        assert tpl.sensor_change(learner, mounted(change, few(digits[0], 5, 1))).found == change


def test_nothing_is_found_where_nothing_has_changed_or_nothing_explains_it(learner, digits):
    few_ = few(digits[0], 2, 3)
    same = tpl.sensor_change(learner, few_)
    assert same.found is None
    assert same.p == 1
    assert "better than none: 100% are told right" in str(same)
    assert same.seen(few_) == same.undone(few_) == few_
    for sensor in ("noisy", "half-dead"):
        assert tpl.sensor_change(learner, through(sensor, few_)).found is None
    rng = np.random.default_rng(0)
    for seed in range(4):
        drawn = [tpl.Sample(events, int(rng.integers(10))) for events, _ in few(through("mirrored", digits[0]), 2, seed)]
        assert tpl.sensor_change(learner, drawn, pixels=1).found is None


def test_a_camera_that_is_no_square_has_fewer_orientations(rng):
    samples = [tpl.Sample(tpl.Events.from_dense(rng.random((4, 24)) < 0.4), label) for label in (0, 1)]
    network = tpl.Network.dense((24, 5, 2))
    assert tpl.sensor_change(network, samples, shape=(1, 4, 6), pixels=0).accuracy.keys() == set(mountings((1, 4, 6), 0))
    with pytest.raises(InvalidValueError, match="sensor: n_units is 24"):
        tpl.sensor_change(network, samples)


def test_recordings_of_one_class_say_nothing(learner, digits):
    """A change that makes every recording look like that class would win."""
    ones = [sample for sample in through("rotated", digits[0]) if sample.label == 1][:20]
    always = tpl.Network.dense((512, 5, 10)).with_weights({"readout_bias": np.eye(10, dtype=np.float32)[1]})
    assert tpl.sensor_change(always, ones, pixels=0).found is None
    with pytest.raises(InvalidValueError, match="sensor_change: samples is empty"):
        tpl.sensor_change(learner, [])


# Fine-tuning --------------------------------------------------------------------------------------


def test_old_samples_are_replayed_as_both_sensors_see_them(learner, digits):
    train, test = digits
    shots, old = few(through("mirrored", train), 2, 1), train[:60]
    options = {"epochs": 2, "old_test": test[:100], "replay": tpl.Replay(200, 2)}
    done = finetune(learner.network, shots, through("mirrored", test[:100]), old=old, sensor="find", **options)
    assert done.change.found == Mounting(mirrored=True)
    assert done.said[-1].startswith("the sensor is mirrored: 100% of the new recordings are told right with that undone, ")
    assert done.to_dict()["said"][-1] == str(done.change)
    told = finetune(learner.network, shots, through("mirrored", test[:100]), old=[*old, *through("mirrored", old)], **options)
    for name, weights in told.learner.mantissas.items():
        np.testing.assert_array_equal(done.learner.mantissas[name], weights)
    assert done.continual.buffer.samples == told.continual.buffer.samples
    options |= {"epochs": 1, "sensor": done.change, "old": old}
    for replay, size in (("default", 500), (REPLAY, 500), (tpl.Replay(250, 1), 250)):
        again = finetune(learner.network, shots[:2], test[:2], **options | {"replay": replay})
        assert (again.continual.replay.size, again.change) == (size, done.change)


def test_without_a_change_nothing_is_different(learner, digits):
    options = {"old": digits[0][:40], "epochs": 1}
    shots = few(digits[0], 1)
    done, plain = (finetune(learner.network, shots, digits[1][:10], sensor=sensor, **options) for sensor in ("find", None))
    assert done.change.found is None
    for name, weights in plain.learner.mantissas.items():
        np.testing.assert_array_equal(done.learner.mantissas[name], weights)
    with pytest.raises(InvalidValueError, match="finetune: sensor is 'mirrored', but must be \"find\", what tpl.sensor_change gives"):
        finetune(learner.network, shots, digits[1][:10], sensor="mirrored")


def test_the_command_says_what_it_found():
    arguments = ["finetune", "digits", "--sensor", "rotated", "--find-sensor", "--epochs", "1", "--variants", "1", "--json"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "the sensor is turned by 90 degrees" in json.loads(done.output)["said"][-1]
