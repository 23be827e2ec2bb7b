"""Own event arrays: to samples, to a file and back; every way in which they can be wrong."""

import re

import numpy as np
import pytest
from conftest import random_events
from hypothesis import given
from hypothesis import strategies as st

import tp_lava as tpl
from tp_lava.data import from_arrays, load_samples, save_samples


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 5))
def test_files_give_back_what_was_saved(tmp_path_factory, seed, count):
    rng, path = np.random.default_rng(seed), tmp_path_factory.mktemp("own") / "samples.npz"
    n_units = int(rng.integers(1, 9))
    samples = [(random_events(rng, n_units, int(rng.integers(1, 20))), int(rng.integers(10))) for _ in range(count)]
    save_samples(path, samples)
    assert load_samples(path) == samples
    first = path.read_bytes()
    save_samples(path, load_samples(path))
    assert path.read_bytes() == first


def test_flat_and_ragged_arrays_mean_the_same():
    ragged = from_arrays([[0, 3], [], [1]], [[2, 0], [], [1]], [1, 0, 1])
    flat = from_arrays(np.array([0, 3, 1]), np.array([2, 0, 1]), np.array([1, 0, 1]), offsets=np.array([0, 2, 2, 3]))
    assert ragged == flat
    assert [(sample.events.n_steps, sample.events.n_units, sample.label) for sample in flat] == [(4, 3, 1), (4, 3, 0), (4, 3, 1)]
    np.testing.assert_array_equal(flat[0].events.to_dense().nonzero(), [[0, 3], [2, 0]])


def test_times_in_another_unit_are_binned():
    ((events, label),) = from_arrays([[0.0, 999.9, 1000.0, 2500.0]], [[0, 0, 0, 1]], [3], step=1000.0, n_steps=4, n_units=5)
    assert (events.times.tolist(), events.units.tolist(), events.n_steps, events.n_units, label) == ([0, 1, 2], [0, 0, 1], 4, 5, 3)


def test_each_sample_may_have_its_length():
    assert [sample.events.n_steps for sample in from_arrays([[0], [1]], [[0], [0]], [0, 1], n_steps=[3, 2])] == [3, 2]


GOOD = {"times": [[0, 3], [1]], "units": [[0, 1], [2]], "labels": [0, 1]}
FLAT = {"times": np.array([0, 3, 1]), "units": np.array([0, 1, 2])}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"labels": [0]}, "from_arrays: number of labels is 1, with times of 2 samples and units of 2, but must be one a sample"),
        ({"times": [], "units": [], "labels": []}, "from_arrays: number of labels is 0"),
        ({"labels": [0, -1]}, "from_arrays: labels[1] is -1, but must be an integer of at least 0"),
        ({"labels": [0, 1.5]}, "from_arrays: labels[1] is 1.5"),
        ({"n_units": 2}, "from_arrays: sample 1: Events: units is 2 at event 0 (1 such), but must be in [0, 2)"),
        ({"n_steps": 2}, "from_arrays: sample 0: Events: times is 3 at event 1"),
        ({"n_steps": [4]}, "from_arrays: n_steps is 1 numbers, but must be one, or one a sample, 2"),
        ({"times": [[0.5, 3], [1]]}, "from_arrays: sample 0: Events: times is 0.5, but must be whole numbers"),
        ({"step": 0}, "from_arrays: step is 0, but must be a number > 0"),
        ({"step": 1.0, "times": [[0, np.nan], [1]]}, "from_arrays: times is float64, or not finite"),
        ({"step": 1.0, "times": [[0, -1], [1]]}, "from_arrays: sample 0: Events: times is -1"),
        ({**FLAT, "offsets": np.array([0, 2])}, "from_arrays: offsets is 0...2, but must be from 0 up to the number of times, 3"),
        ({**FLAT, "offsets": np.array([0, 4, 3])}, "from_arrays: offsets is 0...3"),
        ({**FLAT, "offsets": np.array([0.0, 2, 3])}, "from_arrays: offsets is float64 (3,), but must be whole numbers"),
        ({**FLAT, "offsets": np.array([0, 2, 3]), "units": np.zeros((3, 2), int)}, "from_arrays: units is of shape (3, 2)"),
    ],
)
def test_what_arrays_are_refused(wrong, message):
    with pytest.raises(tpl.InvalidValueError, match=re.escape(message)):
        from_arrays(**(GOOD | wrong))


def test_what_is_not_saved(tmp_path, rng):
    events = random_events(rng, 3)
    for path, samples, message in (
        (tmp_path / "a.npy", [(events, 0)], "must be a file ending in .npz"),
        (tmp_path / "a.npz", [], "samples is of [] units"),
        (tmp_path / "a.npz", [(events, 0), (random_events(rng, 4), 0)], "samples is of [3, 4] units"),
    ):
        with pytest.raises(tpl.InvalidValueError, match=re.escape(message)):
            save_samples(path, samples)
    assert not list(tmp_path.iterdir())


def test_what_files_are_refused(tmp_path, rng):
    path = tmp_path / "a.npz"
    with pytest.raises(FileNotFoundError, match="a.npz: no such file"):
        load_samples(path)
    np.savez(path, times=[0], units=[0])
    with pytest.raises(tpl.ArchiveError, match="no offsets, labels; there are times, units"):
        load_samples(path)
    objects = {"times": np.array([0]), "units": np.array([None]), "offsets": np.array([0, 1]), "labels": np.array([0])}
    np.savez(path, allow_pickle=True, **objects)
    with pytest.raises(tpl.ArchiveError, match="a.npz: units holds objects, which only a pickle could restore, not numbers"):
        load_samples(path)
    save_samples(path, [(random_events(rng, 3), 0)])
    whole = path.read_bytes()
    for damaged in (whole[:100], b"", b"text", whole[:60] + bytes(40) + whole[100:]):
        path.write_bytes(damaged)
        with pytest.raises(tpl.ArchiveError, match=r"a.npz: cannot be read as an .npz archive \(.*\); it may be truncated"):
            load_samples(path)


def test_lengths_and_inputs_may_be_left_out_of_a_file(tmp_path):
    np.savez(tmp_path / "a.npz", times=[0, 3], units=[1, 0], offsets=[0, 1, 2], labels=[0, 1])
    assert load_samples(tmp_path / "a.npz") == from_arrays([[0], [3]], [[1], [0]], [0, 1])
