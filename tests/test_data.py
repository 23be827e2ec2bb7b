"""Events at the door, the embedded digits, the simulated camera, and tonic's data sets."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import tonic
from hypothesis import given
from hypothesis import strategies as st

import tp_lava as tpl
from tp_lava.data.camera import EventCamera

SENSOR = (34, 34, 2)


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 30))
def test_dense_there_and_back(seed, steps, units):
    dense = np.random.default_rng(seed).random((steps, units)) < 0.3
    events = tpl.Events.from_dense(dense)
    np.testing.assert_array_equal(events.to_dense(), dense)
    assert len(events) == dense.sum()
    assert (events.n_steps, events.n_units) == dense.shape
    np.testing.assert_array_equal(np.diff(events.offsets), dense.sum(axis=1))


def test_any_order_and_repeats_make_the_same_events(rng):
    times, units = rng.integers(0, 9, 50), rng.integers(0, 7, 50)
    events = tpl.Events(times, units, 9, 7)
    order = rng.permutation(100) % 50
    assert events == tpl.Events(times[order], units[order], 9, 7)
    assert events != tpl.Events(times, units, 10, 7)
    assert len(events) == len(set(zip(times.tolist(), units.tolist(), strict=True)))


def test_events_accept_lists_and_whole_floats_and_travel():
    events = tpl.Events([2.0, 0.0], [1, 0], 3, 2)
    assert events.times.tolist() == [0, 2]
    assert pickle.loads(pickle.dumps(events)) == events
    assert repr(events) == "Events(2 spikes, 3 steps, 2 units)"


def test_digits_are_the_same_for_the_same_seed():
    train, test = tpl.data.digits()
    assert (len(train), len(test)) == (1400, 397)
    assert {(s.events.n_steps, s.events.n_units) for s in (*train, *test)} == {(60, 512)}
    assert np.bincount([s.label for s in train]).min() > 100
    again, _ = tpl.data.digits()
    assert all(a.events == b.events and a.label == b.label for a, b in zip(train[:20], again[:20], strict=True))
    other, _ = tpl.data.digits(seed=1)
    assert any(a.events != b.events for a, b in zip(train[:20], other[:20], strict=True))
    train.clear()
    assert len(tpl.data.digits()[0]) == 1400


def quiet_camera(**changes):
    return replace(EventCamera(noise=0.0, mismatch=0.0), **changes)


def test_camera_sees_edges_move_and_nothing_else():
    still, edge = np.zeros((1, 8, 8)), np.zeros((1, 8, 8))
    edge[:, :, 4:] = 1.0
    assert len(quiet_camera().record(still)[0]) == 0
    assert len(quiet_camera(amplitude=0.0).record(edge)[0]) == 0
    seen = quiet_camera().record(edge)[0].to_dense().reshape(60, 2, 16, 16)
    assert seen.sum() > 50
    assert seen[:, :, :, :3].sum() == 0


def test_camera_polarities_swap_when_the_gaze_does():
    """A bright bar coming in makes ON events where it arrives, and OFF events where it leaves."""
    bar = np.zeros((1, 8, 8))
    bar[:, :, 3:5] = 1.0
    dense = quiet_camera().record(bar)[0].to_dense().reshape(3, 20, 2, 16, 16)
    on, off = dense[0, :, 0].sum(axis=(0, 1)), dense[0, :, 1].sum(axis=(0, 1))
    columns = np.arange(16)
    assert (on * columns).sum() / on.sum() > (off * columns).sum() / off.sum()


def structured(count, rng, duration=300_000):
    events = np.zeros(count, dtype=[("x", int), ("y", int), ("t", int), ("p", int)])
    events["x"], events["y"], events["p"] = rng.integers(0, 34, count), rng.integers(0, 34, count), rng.integers(0, 2, count)
    events["t"] = np.sort(rng.integers(0, duration, count))
    events["t"][0] = 0
    return events


def test_event_arrays_are_binned_by_the_step_asked_for(rng):
    recording = structured(500, rng)
    samples = tpl.data.from_tonic([(recording, 3)], n_steps=200, sensor_size=SENSOR, step=1000)
    events, label = samples[0]
    kept = recording[recording["t"] < 200_000]
    unit = kept["p"] * 34 * 34 + kept["y"] * 34 + kept["x"]
    assert events == tpl.Events(kept["t"] // 1000, unit, 200, 2312)
    assert (label, len(samples), samples[-1].label) == (3, 1, 3)
    stretched = tpl.data.from_tonic([(recording, 3)], n_steps=10, sensor_size=SENSOR)[0].events
    assert stretched.n_steps == 10
    assert stretched.times.max() == 9


def test_slices_ends_and_empty_recordings(rng):
    samples = tpl.data.from_tonic([(structured(n, rng), 0) for n in (5, 6, 7)], 10, SENSOR)
    assert [len(s.events) for s in samples[1:]] == [len(samples[1].events), len(samples[2].events)]
    with pytest.raises(IndexError, match="sample 3 of 3"):
        samples[3]
    assert len(tpl.data.from_tonic([(structured(1, rng)[:0], 0)], 10, SENSOR)[0].events) == 0


def test_what_an_adapter_cannot_read():
    with pytest.raises(tpl.InvalidValueError, match=r"from_tonic: sensor_size is None, but must be \(width, height, polarities\)"):
        tpl.data.from_tonic([], 10)
    with pytest.raises(tpl.InvalidValueError, match="from_tonic: step is 0"):
        tpl.data.from_tonic([], 10, SENSOR, step=0)
    wrong = np.zeros(3, dtype=[("time", int), ("x", int)])
    with pytest.raises(tpl.InvalidValueError, match=r"from_tonic: events is with fields \('time', 'x'\), but must be with fields t and x"):
        tpl.data.from_tonic([(wrong, 0)], 10, SENSOR)[0]
    outside = structured(3, np.random.default_rng(0))
    outside["p"] = 5
    with pytest.raises(tpl.InvalidValueError, match="Events: units is"):
        tpl.data.from_tonic([(outside, 0)], 10, SENSOR)[0]


class PartOfNMNIST(tonic.datasets.NMNIST):
    """Tonic's own reader on the recordings that are there, in place of the whole data set."""

    def _check_exists(self):
        return True


PartOfNMNIST.__name__ = "NMNIST"


def write_nmnist(root, recordings):
    """Recordings in N-MNIST's file format, five bytes an event, where tonic looks for them."""
    for number, (events, label) in enumerate(recordings):
        folder = root / "NMNIST" / "Train" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        data = np.empty((len(events), 5), np.uint8)
        data[:, 0], data[:, 1] = events["x"], events["y"]
        data[:, 2] = (events["p"] << 7) | (events["t"] >> 16)
        data[:, 3], data[:, 4] = (events["t"] >> 8) & 255, events["t"] & 255
        (folder / f"{number:05d}.bin").write_bytes(data.tobytes())


def test_tonic_reads_nmnist_files_for_us(tmp_path, rng):
    recordings = [(structured(400, rng), label) for label in (0, 3, 9)]
    write_nmnist(tmp_path, recordings)
    dataset = PartOfNMNIST(save_to=str(tmp_path), train=True)
    samples = tpl.data.from_tonic(dataset, n_steps=300, step=1000)
    assert sorted(s.label for s in samples) == [0, 3, 9]
    for sample in samples:
        recording = next(events for events, label in recordings if label == sample.label)
        unit = recording["p"] * 1156 + recording["y"] * 34 + recording["x"]
        assert sample.events == tpl.Events(recording["t"] // 1000, unit, 300, 2312)


def test_tonics_own_transforms_stay_in_force(tmp_path, rng):
    write_nmnist(tmp_path, [(structured(400, rng), 5)])
    mirrored = PartOfNMNIST(save_to=str(tmp_path), transform=tonic.transforms.RandomFlipLR(sensor_size=SENSOR, p=1.0))
    plain = PartOfNMNIST(save_to=str(tmp_path))
    units = [tpl.data.from_tonic(dataset, 300, step=1000)[0].events.units for dataset in (plain, mirrored)]
    assert sorted((33 - units[0] % 34).tolist()) == sorted((units[1] % 34).tolist())
    frames = PartOfNMNIST(save_to=str(tmp_path), transform=tonic.transforms.ToFrame(sensor_size=SENSOR, n_time_bins=20))
    framed = tpl.data.from_tonic(frames, n_steps=20)[0].events
    assert (framed.n_steps, framed.n_units) == (20, 2312)
    assert len(framed) > 300


def test_real_recordings_through_tonic(nmnist, tmp_path):
    recordings = nmnist.nmnist("test")[:3]
    for number, (events, label) in enumerate(recordings):
        folder = tmp_path / "NMNIST" / "Train" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:05d}.bin").write_bytes(nmnist.nmnist_bytes(events))
    direct = tpl.data.from_tonic(recordings, n_steps=300, step=1000, sensor_size=SENSOR)
    through_tonic = tpl.data.from_tonic(PartOfNMNIST(save_to=str(tmp_path)), n_steps=300, step=1000)
    assert len(through_tonic) == 3
    assert all(any(a.events == b.events and a.label == b.label for b in direct) for a in through_tonic)
    assert min(len(s.events) for s in direct) > 1000
