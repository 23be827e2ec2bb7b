"""Files of recordings: what is read from them, and that a file of another kind is told from its reason."""

import sys

import numpy as np
import pytest
from conftest import SHARED

import tp_lava as tpl
from tp_lava.commands.named import load
from tp_lava.data import from_nmnist, from_shd, from_spike_lists

h5py = pytest.importorskip("h5py")


@pytest.fixture
def shd(tmp_path):
    """Two recordings in SHD's layout."""
    with h5py.File(tmp_path / "shd.h5", "w") as file:
        kinds = {"times": np.float32, "units": np.uint16}
        columns = {"times": ([0.0, 0.0049, 0.02], [0.001]), "units": ([5, 6, 5], [699])}
        for name, kind in kinds.items():
            data = file.create_dataset(f"spikes/{name}", 2, h5py.vlen_dtype(kind))
            data[...] = np.array([np.array(column, kind) for column in columns[name]], object)
        file["labels"] = np.array([3, 1])
        file["extra/speaker"] = np.array([7, 2])
    return tmp_path / "shd.h5"


def test_shd(shd):
    samples = from_shd(shd)
    speakers = samples.speakers
    assert samples[0] == (tpl.Events([0, 0, 4], [5, 6, 5], 5, 700), 3)
    assert samples[1] == (tpl.Events([0], [699], 1, 700), 1)
    assert speakers.tolist() == [7, 2]
    assert from_shd(shd, step=0.01).samples[0].events.n_steps == 3


def test_steps_and_units_that_the_file_tells(shd):
    with h5py.File(shd, "a") as file:
        file.attrs["n_units"], file.attrs["step_s"] = 800, 0.002
        file["extra/steps"] = np.array([20, 30])
    assert from_shd(shd).samples[0] == (tpl.Events([0, 2, 10], [5, 6, 5], 20, 800), 3)


def test_a_file_of_another_layout(shd, tmp_path):
    with pytest.raises(tpl.ArchiveError, match=r"shd.h5: recording 1: Events: units is 699 at event 0"):
        from_shd(shd, n_units=600)
    with h5py.File(shd, "a") as file:
        del file["labels"]
    with pytest.raises(tpl.ArchiveError, match="shd.h5: has no labels; write it"):
        from_shd(shd)
    (tmp_path / "text").write_text("no HDF5")
    with pytest.raises(tpl.ArchiveError, match="text: does not begin as HDF5 files do; it may be truncated"):
        from_shd(tmp_path / "text")
    with pytest.raises(FileNotFoundError, match="nowhere: no such file"):
        from_shd(tmp_path / "nowhere")


def compact(path, **changed):
    """Two N-MNIST recordings, the second for testing."""
    arrays = {
        "count": np.array([2, 1]),
        "label": np.array([4, 9]),
        "split": np.array([0, 1]),
        "dt_lo": np.array([232, 232, 0], np.uint8),
        "dt_hi": np.array([3, 7, 255], np.uint8),
        "addr_lo": np.array([1, 0, 7], np.uint8),
        "addr_hi": np.array([0, 9, 0], np.uint8),
    }
    np.savez(path, **{name: array for name, array in (arrays | changed).items() if array is not None})
    return path


def test_nmnist(tmp_path):
    train, test = from_nmnist(compact(tmp_path / "n.npz"), n_steps=20)
    assert train == [(tpl.Events([1, 3], [1, 2304], 20, 2312), 4)]
    assert test == [(tpl.Events([], [], 20, 2312), 9)]  # 65 ms: later than the last step


def test_a_damaged_archive(tmp_path):
    for changed, message in (
        ({"label": None}, "has no label; there are addr_hi, addr_lo"),
        ({"addr_hi": np.array([255, 0, 0], np.uint8)}, r"recording 0: Events: units is 65281 at event 0"),
        ({"dt_hi": np.array([3, 7, 255])}, r"dt_hi is int64 \(3,\), but must be uint8 \(3,\)"),
        ({"count": np.array([2, 2])}, "count adds up to 4 events, or is negative somewhere, but must add up to the 3 of dt"),
        ({"count": np.array([2, 1, 0])}, "count has 3 entries, label has 2 entries, split has 2 entries, but must have one a recording"),
        ({"label": np.array([4, 1_900_000_000])}, "the label of recording 1 is 1900000000, but must be from 0 to 65535"),
        ({"split": np.array([0.0, 1.0])}, r"split is float64 \(2,\), but must be whole numbers"),
    ):
        with pytest.raises(tpl.ArchiveError, match=message):
            from_nmnist(compact(tmp_path / "n.npz", **changed))
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(tpl.ArchiveError, match="text.npz: cannot be read as an .npz archive"):
        from_nmnist(tmp_path / "text.npz")
    with pytest.raises(FileNotFoundError, match=r"nowhere.npz: no such file"):
        from_nmnist(tmp_path / "nowhere.npz")


def test_real_recordings(nmnist):
    train, test = from_nmnist(SHARED / "nmnist_small.npz")
    assert (len(train), len(test)) == (1000, 100)
    events, label = nmnist.nmnist("test")[3]
    unit = events["p"] * 1156 + events["y"] * 34 + events["x"]
    kept = events["t"] < 300_000
    assert test[3] == (tpl.Events(events["t"][kept] // 1000, unit[kept], 300, 2312), label)


def test_a_truncated_archive_is_refused(tmp_path):
    np.savez(tmp_path / "n.npz", count=[0], label=[0], split=[0])
    (tmp_path / "n.npz").write_bytes((tmp_path / "n.npz").read_bytes()[:150])
    with pytest.raises(tpl.ArchiveError, match=r"n.npz: cannot be read as an .npz archive \(.*\); it may be truncated"):
        tpl.data.from_nmnist(tmp_path / "n.npz")


def test_without_h5py_it_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "s.h5").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(tpl.TpLavaError, match=r'needs h5py; pip install "tp-lava\[hdf5\]"'):
        tpl.data.from_shd(tmp_path / "s.h5")


def test_spike_lists_tell_their_own_size_and_are_merged_to_what_delay_lines_span(tmp_path):
    file = tmp_path / "lists.npz"
    np.savez(file, step=np.array([0, 3, 199, 1, 2]), unit=np.array([0, 4, 6, 6, 6]), count=np.array([3, 2]), label=np.array([0, 1]))
    whole = from_spike_lists(file)
    assert [(e.n_steps, e.n_units) for e, _ in whole.samples] == [(200, 7), (200, 7)]
    merged = from_spike_lists(file, merged=None).samples
    assert merged[0].events == tpl.Events([0, 0, 49], [0, 4, 6], 50, 7)
    assert merged[1].events == tpl.Events([0], [6], 50, 7)
    assert load(str(file)) == (merged, [])
