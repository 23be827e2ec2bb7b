"""Files of recordings made to harm: each is refused in a message with its limit, before anything as large as it claims is allocated."""

import io
import os
import pickle
import re
import tracemalloc
import zipfile

import numpy as np
import pytest
from hostile_recordings import FORMATS, hostile, samples_of, zipped
from typer.testing import CliRunner

import tp_lava as tpl
from tp_lava import cli
from tp_lava.data import from_nmnist, from_shd, from_spike_lists, load_samples, save_samples
from tp_lava.reading.hdf5 import read_tree
from tp_lava.reading.npz import read_arrays

h5py = pytest.importorskip("h5py")
MOST = 100 * 2**20  # bytes that Python and NumPy may allocate on the way to a refusal


@pytest.fixture
def own(tmp_path, rng):
    save_samples(tmp_path / "own.npz", samples_of(rng))
    return tmp_path / "own.npz"


@pytest.fixture
def shd(tmp_path):
    """Three recordings, in chunks with every filter."""
    with h5py.File(tmp_path / "shd.h5", "w") as file:
        for name, kind in (("times", np.float32), ("units", np.uint16)):
            column = file.create_dataset(f"spikes/{name}", 3, h5py.vlen_dtype(kind), chunks=(2,), compression="gzip", shuffle=True)
            for row in range(3):
                column[row] = np.linspace(0, 0.1 if name == "times" else 600, row + 2).astype(kind)
        file.create_dataset("labels", data=np.array([0, 1, 2]), chunks=(2,), compression="gzip", shuffle=True, fletcher32=True)
    return tmp_path / "shd.h5"


def refused(read, path, message):
    tracemalloc.start()
    try:
        with pytest.raises(tpl.ArchiveError, match=re.escape(message)) as caught:
            read(path)
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert ";" in str(caught.value)  # and then the remedy


# Any damage


@pytest.mark.parametrize("format", FORMATS)
def test_damaged_files_are_refused_or_read(format, tmp_path):
    refused = 0
    for name, path, read in hostile(format, 150, tmp_path):
        try:
            read(path)
        except tpl.TpLavaError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"{name}: {error!r}") from error
    assert refused > 50


# .npz


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_steps": np.int64(2**31 - 1)}, "n_steps is 2147483647 at most, 4294967294 in all, but must be at most 16777216 a sample"),
        ({"n_steps": np.full(2, 2**62)}, "n_steps is 4611686018427387904 at most"),
        ({"n_steps": None, "times": np.array([0, 2**31 - 2])}, "n_steps is 2147483647 at most"),
        (
            {"labels": np.array([0, 1_900_000_000])},
            "the label of recording 1 is 1900000000, but must be from 0 to 65535; number the classes",
        ),
        ({"labels": np.array([0.0, 1.0])}, "labels is float64 (2,), but must be whole numbers"),
        ({"units": np.array(["a", "b"])}, "units holds <U1, not numbers; write arrays of numbers"),
        ({"units": np.array([0, None])}, "units holds objects, which only a pickle could restore, not numbers"),
        ({"times": np.array([0.0, np.nan])}, "times is nan"),
        ({"units": np.array([0, 1e300]), "n_units": None}, "units is 1e+300, but must be whole numbers"),
        ({"offsets": np.array([0, 1, 2**62])}, "offsets is 0...4611686018427387904, but must be from 0 up to the number of times, 2"),
    ],
)
def test_arrays_that_claim_too_much(tmp_path, changed, message):
    arrays = {"times": [0, 3], "units": [0, 1], "offsets": [0, 1, 2], "labels": [0, 1], "n_steps": 5, "n_units": 2}
    np.savez(tmp_path / "a.npz", allow_pickle=True, **{name: array for name, array in (arrays | changed).items() if array is not None})
    refused(load_samples, tmp_path / "a.npz", message)


def npy(header, data=b""):
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode() + data


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (npy("{'descr': '<i8', 'fortran_order': False, 'shape': (1099511627776,), }"), "and at most 268435456 elements are read"),
        (npy("{'descr': '<i8', 'fortran_order': False, 'shape': (4000000,), }"), "times has shape (4000000,) of int64, but 0 bytes of it"),
        (npy("{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }", bytes(9)), "but 9 bytes of it are in the file"),
        (npy("{'descr': '<i8', 'fortran_order': False, 'shape': (-8,), }", bytes(64)), "times has shape (-8,)"),
        (b"\x93NUMPY\2\0" + b"\xff" * 4 + bytes(64), "times has a header of 4294967295 bytes, and at most 10000 are read"),
        (b"\x93NUMPY\3\0" + bytes(64), "times has version 3.0 of NumPy's format"),
        (b"", "cannot be read as an .npz archive"),
    ],
)
def test_headers_of_members(own, member, message):
    with zipfile.ZipFile(own) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    own.write_bytes(zipped(contents | {"times.npy": member}))
    refused(load_samples, own, message)


def test_a_zip_bomb(own):
    """A few megabytes that unpack to eight gigabytes: many names for the same few bytes would do too, and are refused alike."""
    bomb = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (67108864,), }", bytes(2**26))
    names = ("dt_lo", "dt_hi", "addr_lo", "addr_hi", "count", "label", "split")
    own.write_bytes(zipped({f"{name}.npy": bomb for name in names}))
    assert own.stat().st_size < 2**19
    refused(from_nmnist, own, "unpacks to 469762566 bytes, and at most 67108864 are read from a file of")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods_of_compression(own, method):
    with zipfile.ZipFile(own) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    own.write_bytes(zipped(contents, method))
    refused(load_samples, own, "is encrypted, or compressed by another method than deflate; write it with np.savez_compressed")


def test_a_member_that_is_not_what_its_checksum_says(own):
    np.savez(own, **dict(np.load(own)))
    content = bytearray(own.read_bytes())
    content[content.index(b"NUMPY") + 140] ^= 1
    own.write_bytes(content)
    refused(load_samples, own, "cannot be read as an .npz archive (Bad CRC-32")


def test_arrays_are_those_of_numpy(tmp_path, rng):
    kinds = ("f2", "f4", ">f8", "i1", ">u2", "i8", "?")
    arrays = {kind.strip(">"): (rng.random((3, 4)) * 100).astype(kind) for kind in kinds}
    arrays |= {"fortran": np.asfortranarray(rng.random((3, 4))), "scalar": np.float32(3), "empty": np.zeros((0, 5))}
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)
        found = read_arrays(tmp_path / "a.npz", list(arrays))
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
            assert (found[name].dtype, found[name].shape) == (np.asarray(array).dtype, np.shape(array))


def test_many_recordings_of_many_steps(tmp_path):
    """A small file of a million recordings would be gigabytes of samples."""
    np.savez_compressed(tmp_path / "l.npz", step=[0], unit=[0], count=np.arange(2**21) == 0, label=np.zeros(2**21, int))
    refused(lambda path: from_spike_lists(path, 5, 5), tmp_path / "l.npz", "count is bool")
    np.savez_compressed(tmp_path / "l.npz", step=[0], unit=[0], count=(np.arange(2**21) == 0).astype(int), label=np.zeros(2**21, int))
    refused(lambda path: from_spike_lists(path, 5, 5), tmp_path / "l.npz", "has 2097152 recordings, and 1 to 1048576 are read")
    np.savez(tmp_path / "l.npz", step=[0], unit=[0], count=[1] + [0] * 99, label=[0] * 100)
    refused(lambda path: from_spike_lists(path, 5, 2**24), tmp_path / "l.npz", "steps together, but must have at most 134217728; split")


# N-MNIST's own files


def camera_file(folder, content, part="Train/7"):
    (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / part / "00001.bin").write_bytes(content)
    return folder


def test_the_folder_of_nmnist(tmp_path):
    """Two events, after an entry that says that 2**13 microseconds have passed."""
    event = bytes([3, 5, 128, 1, 0]), bytes([0, 240, 0, 0, 0]), bytes([33, 33, 0, 8, 0])
    camera_file(tmp_path, b"".join(event))
    camera_file(tmp_path, b"", "Test/2")
    train, test = from_nmnist(tmp_path, n_steps=11)
    assert train == [(tpl.Events([0, 10], [1156 + 5 * 34 + 3, 33 * 34 + 33], 11, 2312), 7)]
    assert test == [(tpl.Events([], [], 11, 2312), 2)]
    assert len(from_nmnist(tmp_path, n_steps=10)[0][0].events) == 1
    refused(from_nmnist, camera_file(tmp_path, bytes(7)), "00001.bin: has 7 bytes, but must have 5 for each event")
    refused(from_nmnist, camera_file(tmp_path, bytes([34, 0, 0, 0, 0])), "00001.bin: x is 34, but must be at most 33")
    (tmp_path / "empty").mkdir()
    refused(from_nmnist, tmp_path / "empty", "has no Train/0/*.bin to Test/9/*.bin; give the folder")


def test_the_folder_is_what_tonic_reads(tmp_path, rng):
    tonic = pytest.importorskip("tonic")
    data = rng.integers(0, 34, (300, 5)).astype(np.uint8)
    data[:, 2] = rng.integers(0, 256, 300)
    data[::40, 1] = 240
    camera_file(tmp_path, data.tobytes())
    events = tonic.io.read_mnist_file(str(tmp_path / "Train/7/00001.bin"), dtype=tonic.datasets.NMNIST.dtype)
    unit = events["p"].astype(int) * 1156 + events["y"].astype(int) * 34 + events["x"].astype(int)
    kept = events["t"] < 300_000_000
    ((found, _),) = from_nmnist(tmp_path, n_steps=10_000)[0]
    assert found == tpl.Events(events["t"][kept] // 1000, unit[kept], 10_000, 2312)


# SHD


def test_links_are_not_followed(shd, tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["labels"] = np.array([0, 1, 2])
    for link in (h5py.ExternalLink(str(tmp_path / "secret.h5"), "/labels"), h5py.SoftLink("/spikes")):
        with h5py.File(shd, "a") as file:
            del file["labels"]
            file["labels"] = link
        refused(from_shd, shd, "labels is a link, and only what lies in the file itself is read; copy what it leads to")
    with h5py.File(shd, "a") as file:
        del file["labels"], file["spikes"]
        file["spikes"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/")
        file["labels"] = np.array([0, 1, 2])
    refused(from_shd, shd, "spikes/times is a link")


def test_datasets_in_other_files(shd, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(24))
    with h5py.File(shd, "a") as file:
        del file["labels"]
        file.create_dataset("labels", 3, "i8", external=[(str(tmp_path / "secret"), 0, 24)])
    refused(from_shd, shd, "labels lies in other files; copy what lies there")


def plain_shd(path, rows=3):
    """As one piece, so that its references can be found. -> bytes"""
    with h5py.File(path, "w", libver="earliest") as file:
        for name, kind in (("times", np.float32), ("units", np.uint16)):
            column = file.create_dataset(f"spikes/{name}", rows, h5py.vlen_dtype(kind))
            for row in range(rows):
                column[row] = np.zeros(row + 1, kind)
        file["labels"] = np.arange(rows)
        return file["spikes/times"].id.get_offset()


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (2**32 - 1, "spikes/times is beyond the 1073741824 elements of a file that are read"),
        (2**29, "spikes/times claims 21474836"),
        (100, "spikes/times claims 100 values, and 4 bytes of them are in the file"),
    ],
)
def test_a_bomb_of_variable_length(tmp_path, count, message):
    place = plain_shd(tmp_path / "s.h5")
    content = bytearray((tmp_path / "s.h5").read_bytes())
    content[place : place + 4] = count.to_bytes(4, "little")
    (tmp_path / "s.h5").write_bytes(content)
    refused(from_shd, tmp_path / "s.h5", message)


def test_a_heap_that_never_ends(tmp_path):
    plain_shd(tmp_path / "s.h5")
    content = bytearray((tmp_path / "s.h5").read_bytes())
    start = content.index(b"GCOL") + 16
    content[start : start + 16] = bytes(16)
    (tmp_path / "s.h5").write_bytes(content)
    refused(from_shd, tmp_path / "s.h5", "has a heap whose objects do not fill it")


def test_a_tree_that_leads_back_to_itself(tmp_path):
    """The HDF5 library follows it until its stack ends, and the process with it."""
    path = tmp_path / "t.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file.create_dataset("a", data=np.arange(1000), chunks=(2,))
    content = bytearray(path.read_bytes())
    root = next(place for place in places(content, b"TREE") if content[place + 5] > 0)
    first = int.from_bytes(content[root + 24 + 24 :][:8], "little")
    assert content[first : first + 4] == b"TREE"
    for child in (root, first):  # its own child, and the same one twice
        damaged = bytearray(content)
        for number in range(2):
            damaged[root + 48 + number * 32 :][:8] = b""
            damaged[root + 48 + number * 32 : root + 56 + number * 32] = child.to_bytes(8, "little")
        path.write_bytes(damaged)
        refused(read_tree, path, "has a node of a tree at byte")


def test_free_space_that_leads_back_to_itself(tmp_path):
    """In a heap of names, however large it claims to be."""
    plain_shd(tmp_path / "s.h5")
    content = bytearray((tmp_path / "s.h5").read_bytes())
    heap = content.index(b"HEAP")
    data = int.from_bytes(content[heap + 24 : heap + 32], "little")
    content[heap + 8 : heap + 16] = (2**60).to_bytes(8, "little")
    content[heap + 16 : heap + 24] = content[data : data + 8] = bytes(8)
    (tmp_path / "s.h5").write_bytes(content)
    refused(from_shd, tmp_path / "s.h5", "has parts that overlap, or lead back to themselves")


def places(content, text):
    place = content.find(text)
    while place >= 0:
        yield place
        place = content.find(text, place + 1)


def test_damaged_chunks(shd):
    with h5py.File(shd) as file:
        where = {name: file[name].id.get_chunk_info(0) for name in ("labels", "spikes/times")}
    whole = shd.read_bytes()
    for name, info in where.items():
        content = bytearray(whole)
        content[info.byte_offset + info.size // 2] ^= 255
        shd.write_bytes(content)
        with pytest.raises(tpl.ArchiveError, match=f"shd.h5: ({name} has a chunk|cannot be read as HDF5 .Error -3)"):
            from_shd(shd)


def test_a_chunk_that_unpacks_to_more_than_its_dataset(tmp_path):
    """The HDF5 library would unpack all of it."""
    import zlib

    path = tmp_path / "c.h5"
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("a", 8, "u1", chunks=(8,), compression="gzip")
        dataset.id.write_direct_chunk((0,), zlib.compress(bytes(2**28)))
    refused(read_tree, path, "/a has a chunk that is not 8 bytes of gzip")


@pytest.mark.parametrize("version", ["earliest", "v108", "latest"])
def test_chunks_are_those_of_h5py(tmp_path, version, rng):
    arrays = {
        "gzip": (rng.integers(0, 9, (50, 30)), {"chunks": (7, 9), "compression": "gzip"}),
        "all": (rng.random(1000), {"chunks": (64,), "compression": "gzip", "shuffle": True, "fletcher32": True}),
        "odd": (np.arange(5, dtype="u1"), {"chunks": (5,), "fletcher32": True}),
        "grows": (rng.integers(0, 9, (20, 3)).astype(">i4"), {"maxshape": (None, None), "chunks": (4, 2), "shuffle": True}),
        "truths": (rng.random(9) < 0.5, {"chunks": (2,)}),
    }
    with h5py.File(tmp_path / "a.h5", "w", libver=version) as file:
        for name, (array, how) in arrays.items():
            file.create_dataset(name, data=array, **how)
        partly = file.create_dataset("partly", (100,), "f4", chunks=(10,), fillvalue=3)
        partly[35] = 1
        file["text"], file["group/many"] = ["a", "bc"], 1
    found = read_tree(tmp_path / "a.h5")
    for name, (array, _) in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    assert (found["partly"].sum(), found["text"]) == (298, ["a", "bc"])


def test_other_filters_are_named(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", data=np.arange(9), compression="lzf")
    refused(
        read_tree, tmp_path / "a.h5", "/a is packed by the HDF5 filter 32000, and gzip, shuffle and fletcher32 are read; save it with gzip"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.attrs.__setitem__("step_s", 1e-300), "steps, but must have at most 16777216; correct the file, or use longer"),
        (lambda file: file.attrs.__setitem__("step_s", -1.0), "step_s is -1, but must be a number of seconds > 0; correct the attribute"),
        (lambda file: file.attrs.__setitem__("step_s", np.longdouble("1e-4000")), "step_s is 0, but must be a number of seconds > 0"),
        (lambda file: file.attrs.__setitem__("n_units", 2**40), "n_units is 1099511627776, but must be an integer from 1 to 16777216"),
        (lambda file: file.attrs.__setitem__("step_s", "soon"), "has an attribute step_s of object (), not a number"),
        (lambda file: file["labels"].__setitem__(1, 1_900_000_000), "the label of recording 1 is 1900000000, but must be from 0 to 65535"),
        (lambda file: file["spikes/times"].__setitem__(2, np.float32([np.inf])), "spikes/times[2] is NaN or infinite somewhere"),
        (
            lambda file: file["spikes/times"].__setitem__(2, np.float32([1e30])),
            "recording 2 has 2e+32 steps, but must have at most 16777216",
        ),
        (lambda file: file.__setitem__("extra/steps", np.arange(2)), "extra/steps is int64 (2,), but must be whole numbers (3,)"),
        (lambda file: file.__setitem__("extra/speaker", ["a", "b", "c"]), "extra/speaker holds object, not numbers"),
    ],
)
def test_values_of_shd(shd, change, message):
    with h5py.File(shd, "a") as file:
        change(file)
    refused(from_shd, shd, message)


def test_lengths_that_are_longer_than_all_that_is_read(shd):
    with h5py.File(shd, "a") as file:
        file.attrs["step_s"] = 0.005
        file["extra/steps"] = np.array([2**62, 1, 1])
    refused(from_shd, shd, "recording 0 has 4.61169e+18 steps, but must have at most 16777216")


@pytest.mark.parametrize("arguments", [{"step": 0}, {"step": float("nan")}, {"n_units": 0}, {"n_units": 2**30}])
def test_arguments_of_from_shd(shd, arguments):
    (name,) = arguments
    with pytest.raises(tpl.InvalidValueError, match=f"from_shd: {name} is {arguments[name]}"):
        from_shd(shd, **arguments)


# What a user is told


def test_recordings_are_samples_everywhere(shd):
    recordings = from_shd(shd)
    assert tpl.network_for(recordings, (5,)).n_inputs == 700
    learner = tpl.Learner(tpl.Network.dense((700, 5, 3)), tpl.TP())
    learner.fit(recordings)
    assert learner.evaluate(recordings) == learner.evaluate(recordings.samples)
    again = pickle.loads(pickle.dumps(recordings))
    assert again == recordings
    assert len(again.speakers) == len(recordings) == 3


def test_a_full_disk_says_which_file(tmp_path, monkeypatch, rng):
    (tmp_path / "full.npz").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '.*full.npz'"):
        save_samples(tmp_path / "full.npz", samples_of(rng))

    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("tp_lava.archive.os.replace", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*a.tplava'"):
        tpl.save_network(tpl.Network.dense((3, 4, 2)), tmp_path / "a.tplava")
    assert sorted(os.listdir(tmp_path)) == ["full.npz"]


# At the command line


def invoke(*arguments):
    return CliRunner(env={"NO_COLOR": "1", "COLUMNS": "200", "TERM": "dumb"}).invoke(cli.app, [str(argument) for argument in arguments])


def test_a_truncated_file_is_not_told_of_another_layout(own):
    own.write_bytes(own.read_bytes()[:-30])
    error = str(invoke("eval", "digits", "--data", own).exception)
    assert "own.npz: cannot be read as an .npz archive" in error
    assert "nmnist" not in error


def test_one_class(tmp_path, rng):
    save_samples(tmp_path / "one.npz", [(events, 0) for events, _ in samples_of(rng, 8)])
    error = str(invoke("train", "--data", tmp_path / "one.npz", "--out", tmp_path / "run").exception)
    assert (
        error
        == "train: data is of one class, label 0, but must be of at least two classes; give recordings of several classes, labelled from 0."
    )


def test_layers_larger_than_memory(tmp_path, own):
    error = str(invoke("train", "--data", own, "--hidden", 10**12, "--out", tmp_path / "run").exception)
    assert re.search(
        r"Network: memory of weights is \d+ GiB, most of it hidden0 of shape \(1000000000000, 12\), but must be at most", error
    )


def test_inspecting_what_is_no_network(own, shd, tmp_path):
    assert "network, 512-" in invoke("inspect", "digits").stdout
    shown = invoke("inspect", own)
    assert shown.exit_code == 0
    assert re.search(r"own.npz: recordings.*samples.*inputs", shown.stdout, re.DOTALL)
    assert invoke("inspect", shd, "--json").stdout.count('"samples": 3') == 1
    (tmp_path / "a.nir").write_bytes(b"")
    assert "is a network of another program; convert it: tp-lava convert" in str(invoke("inspect", tmp_path / "a.nir").exception)


def test_names_from_files_are_shown_as_they_are(tmp_path):
    """Rich's markup vanishes or ends the program, escape sequences act on the screen."""
    from tp_lava.provenance import ParameterRecord, Provenance

    records = ParameterRecord("[conv]", "[/]", "kept", ":smile: \x1b[2J"), ParameterRecord("a\x07", "b", "kept")
    network = tpl.Network.dense((3, 4, 2))
    network = tpl.Network(
        *(network.input_shape, network.populations, network.connections, 2, network.weights),
        provenance=Provenance("nir [red]", records),
    )
    tpl.save_network(network, tmp_path / "[b]x.tplava")
    shown = invoke("inspect", tmp_path / "[b]x.tplava")
    assert shown.exit_code == 0
    for text in ("[conv]", "[/]", ":smile: \\x1b[2J", "a\\x07", "from nir [red]", "[b]x.tplava: network"):
        assert text in shown.stdout
    assert "\x1b" not in shown.stdout
    assert "\\x1b" in str(tpl.TpLavaError("\x1b[2J"))


def test_names_that_cannot_be_shown_are_refused():
    network = tpl.Network.dense((3, 4, 2))
    (population,) = network.populations
    from dataclasses import replace

    with pytest.raises(tpl.InvalidValueError, match=r"Network: name is 'a\\x1b', but must be text without control characters"):
        replace(network, populations=(replace(population, name="a\x1b"),))


def test_a_file_name_that_is_not_utf8(tmp_path, rng):
    """From the data to a run and its report: nothing fails for the name alone."""
    name = os.fsdecode(os.fsencode(str(tmp_path)) + b"/d\xff.npz")
    save_samples(name, samples_of(rng, 10))
    assert len(load_samples(name)) == 10
    model = name.replace(".npz", ".tplava")
    tpl.save_network(tpl.Network.dense((12, 5, 3)), model)
    assert tpl.load_network(model).sizes == (12, 5, 3)
    for arguments in (("inspect", name), ("inspect", model), ("eval", model, "--data", name, "--part", "all")):
        done = invoke(*arguments)
        assert done.exit_code == 0, done.exception
    with h5py.File(name.replace(".npz", ".h5"), "w") as file:
        file["labels"] = [0]
    with pytest.raises(tpl.ArchiveError, match=r"d\\udcff.h5: has no spikes/times"):
        from_shd(name.replace(".npz", ".h5"))


def test_buffers_are_files_too():
    """The generator of damage itself: what it zips is what was there."""
    with np.load(io.BytesIO(zipped({"a.npy": npy("{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }", b"\1\2")}))) as held:
        assert held["a"].tolist() == [1, 2]
