"""Damaged and malicious files of recordings, networks and learners: whole files of each format, ways to damage them, what reads them."""

import contextlib
import io
import zipfile

import numpy as np
from hostile_networks import described_otherwise, good_file

import tp_lava as tpl
from tp_lava.commands.files import inspect
from tp_lava.data import class_names, from_nmnist, from_shd, from_spike_lists, load_samples, save_samples

HUGE = (2**31 - 1, 2**62, -1, -(2**62), 1.9e9, np.nan, np.inf, 1e300)


def samples_of(rng, count=4, n_units=12, n_steps=20):
    return [(tpl.Events.from_dense(rng.random((n_steps, n_units)) < 0.2), int(rng.integers(3))) for _ in range(count)]


# Any bytes


def cut(good, rng):
    return good[: rng.integers(len(good))]


def flipped(good, rng):
    content = bytearray(good)
    for place in rng.integers(len(good), size=rng.choice([1, 2, 5, 30])):
        content[place] ^= 1 << int(rng.integers(8))
    return bytes(content)


def overwritten(good, rng):
    """Some bytes are others: random ones, zeros, ones, or another piece of the file."""
    content, place, length = bytearray(good), rng.integers(len(good)), int(rng.choice([1, 2, 4, 8, 64]))
    start = rng.integers(len(good))
    with_ = (rng.bytes(length), bytes(length), b"\xff" * length, good[start : start + length])[rng.integers(4)]
    content[place : place + length] = with_
    return bytes(content[: len(good)])


def moved(good, rng):
    """Something is inserted, or left out."""
    place, length = rng.integers(len(good)), int(rng.integers(1, 64))
    return good[:place] + (rng.bytes(length) + good[place:] if rng.random() < 0.5 else good[place + length :])


ANY = (cut, flipped, flipped, overwritten, overwritten, moved)

# .npz


def members(good):
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(contents, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def one_of(contents, rng):
    return sorted(contents)[rng.integers(len(contents))]


def damaged_inside(good, rng):
    """A member is damaged, the zip file around it is whole."""
    contents = members(good)
    name = one_of(contents, rng)
    contents[name] = ANY[rng.integers(len(ANY))](contents[name], rng)
    return zipped(contents)


def another_header(good, rng):
    """A member claims another shape or type than it has."""
    contents = members(good)
    name = one_of(contents, rng)
    shapes = (
        "(2147483647,)",
        "(4611686018427387904,)",
        "(-1,)",
        "(0, 4611686018427387904)",
        "()",
        "(1,)",
        "(1,) * 9**9",
        f"({'1,' * 40})",
        "[3]",
    )
    types = ("'<i8'", "'|O'", "'<U9'", "'|V99'", "'<M8[s]'", "[('a', '<i4')]", "'<f2'", "'>i4'", "'|b1'", "'<c16'", "(" * 300 + ")" * 300)
    described = f"{{'descr': {rng.choice(types)}, 'fortran_order': {rng.choice(['True', 'False', '0'])}, 'shape': {rng.choice(shapes)}, }}"
    version, length = ((b"\1\0", 2), (b"\2\0", 4), (b"\3\0", 4), (b"\1\0", 2))[rng.integers(4)]
    claimed = len(described) if rng.random() < 0.8 else 2 ** (8 * length) - 1
    contents[name] = b"\x93NUMPY" + version + claimed.to_bytes(length, "little") + described.encode() + contents[name][128:]
    return zipped(contents)


def other_values(good, rng):
    """An array has another value, type, shape or length, or is missing."""
    with np.load(io.BytesIO(good)) as held:
        arrays = dict(held)
    name = one_of(arrays, rng)
    array = np.arange(arrays[name].size) if arrays[name].dtype.kind == "U" else arrays[name]  # texts have no other values
    way = rng.integers(6)
    if way == 0:
        del arrays[name]
    elif way == 1:
        arrays[name] = array.astype(rng.choice(["f8", "f4", "u8", "i1", "?", "c8", "U3"]))
    elif way == 2:
        arrays[name] = array[..., None] if rng.random() < 0.5 else array.ravel()[: rng.integers(array.size + 1)]
    elif way == 3:
        arrays[name] = np.full(array.shape, HUGE[rng.integers(4)], np.int64)
    else:
        wrong = HUGE[rng.integers(len(HUGE))]
        changed = array.astype(np.float64 if isinstance(wrong, float) else np.int64)
        changed.ravel()[rng.integers(max(array.size, 1)) :][:1] = wrong
        arrays[name] = changed
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def packed_otherwise(good, rng):
    """By another method, or far more than there is."""
    contents = members(good)
    if rng.random() < 0.5:
        return zipped(contents, int(rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])))
    contents[one_of(contents, rng)] += bytes(int(rng.choice([10, 10**5, 10**7])))
    return zipped(contents)


NPZ = (*ANY, damaged_inside, damaged_inside, another_header, other_values, other_values, packed_otherwise)


def npz_files(folder, rng):
    save_samples(folder / "own.npz", samples_of(rng))
    np.savez(folder / "plain.npz", times=[0, 3], units=[1, 0], offsets=[0, 1, 2], labels=[0, 1])
    return [(folder / name).read_bytes() for name in ("own.npz", "plain.npz")]


def named_files(folder, rng):
    np.savez(folder / "own.npz", classes=np.array(["yes", "no", "w\xf6rd"]))
    np.savez_compressed(folder / "lists.npz", words=np.array(["a", "", "bcd"], ">U3"))
    return [(folder / name).read_bytes() for name in ("own.npz", "lists.npz")]


def nmnist_files(folder, rng):
    counts = np.array([20, 0, 30])
    arrays = {
        name: rng.integers(0, top, 50).astype(np.uint8) for name, top in (("dt_lo", 256), ("dt_hi", 8), ("addr_lo", 256), ("addr_hi", 9))
    }
    arrays |= {"count": counts, "label": np.array([4, 9, 0]), "split": np.array([0, 1, 0])}
    np.savez_compressed(folder / "n.npz", **arrays)
    np.savez(folder / "s.npz", **arrays)
    return [(folder / name).read_bytes() for name in ("n.npz", "s.npz")]


def spike_list_files(folder, rng):
    arrays = {"step": np.sort(rng.integers(0, 50, 40)), "unit": rng.integers(0, 16, 40).astype(np.uint8)}
    np.savez_compressed(folder / "l.npz", **arrays, count=np.array([25, 15]), label=np.array([1, 0]), speaker=np.array([0, 7]))
    return [(folder / "l.npz").read_bytes()]


# .bin of N-MNIST


def camera_files(folder, rng):
    data = rng.integers(0, 34, (200, 5)).astype(np.uint8)
    data[:, 2] = rng.integers(0, 2, 200) << 7
    data[::50, 1] = 240
    return [data.tobytes()]


# SHD


def shd_files(folder, rng):
    """As one piece, in chunks, with every filter that is read, and in the two newer structures."""
    import h5py

    ways = ({}, {"chunks": (2,)}, {"chunks": (3,), "compression": "gzip", "shuffle": True})
    ways = (*((how, "earliest") for how in ways), ({"chunks": (2,)}, "v108"), ({"chunks": (2,), "compression": "gzip"}, "latest"))
    files = []
    for number, (how, version) in enumerate(ways):
        path = folder / f"shd{number}.h5"
        with h5py.File(path, "w", libver=version) as file:
            for name, kind, top in (("times", np.float16 if number else np.float32, 0.5), ("units", np.uint16, 700)):
                column = file.create_dataset(f"spikes/{name}", 5, h5py.vlen_dtype(kind), **how)
                for row in range(5):
                    column[row] = np.sort(np.random.default_rng(row).random(4 * row) * top).astype(kind)
            how |= {"fletcher32": True} if number else {}
            file.create_dataset("labels", data=np.arange(5) % 3, **how)
            file.create_dataset("extra/speaker", data=np.arange(5), **how)
            file.create_dataset("extra/steps", data=np.full(5, 120), **how)
            file["extra/meta_info/name"] = np.array([b"a", b"b"])
            file.attrs["step_s"], file.attrs["n_units"] = 0.005, 700
        files.append(path.read_bytes())
    return files


def changed(good, change):
    import h5py

    buffer = io.BytesIO(good)
    with h5py.File(buffer, "r+") as file:
        change(file)
    return buffer.getvalue()


def other_object(good, rng):
    """A dataset or group is missing, a link, of another type, or of another shape."""
    import h5py

    places = ("spikes", "spikes/times", "spikes/units", "labels", "extra", "extra/steps", "extra/speaker")
    place = places[rng.integers(len(places))]

    def change(file):
        del file[place]
        way = rng.integers(8)
        if way == 1:
            file[place] = h5py.ExternalLink(("/etc/passwd", "other.h5")[rng.integers(2)], "/labels")
        elif way == 2:
            file[place] = h5py.SoftLink(("/labels", "/spikes", "/nowhere")[rng.integers(3)])
        elif way == 3:
            file[place] = file["/"]
        elif way == 4:
            wrong = (
                ["a", "b"],
                np.arange(5.0),
                np.array([1 + 2j]),
                np.full(5, np.nan),
                np.full(5, HUGE[rng.integers(4)]),
                h5py.Empty("f4"),
                3,
            )
            file[place] = wrong[rng.integers(len(wrong))]
        elif way == 5:
            shapes = ((2**40,), (2**20, 2**20), (0,), (1, 1), (2**28,))
            file.create_dataset(place, shapes[rng.integers(len(shapes))], "i4", chunks=True, fillvalue=1)
        elif way == 6:
            file.create_dataset(place, (2**24,), h5py.vlen_dtype(np.float32), chunks=(2**16,), compression="gzip")
        elif way == 7:
            file.create_dataset(place, data=np.zeros(10**6, "i4"), chunks=(10**6,), compression=("gzip", "lzf")[rng.integers(2)])

    return changed(good, change)


def other_attribute(good, rng):
    wrong = (*HUGE, 0, 1e-300, "0.005", [1, 2], np.zeros(0), 2.5, True)[rng.integers(len(HUGE) + 7)]
    return changed(good, lambda file: file.attrs.__setitem__(("step_s", "n_units")[rng.integers(2)], wrong))


def other_times(good, rng):
    import h5py

    def change(file):
        place = ("spikes/times", "spikes/units")[rng.integers(2)]
        with np.errstate(all="ignore"):
            kind = h5py.check_vlen_dtype(file[place].dtype)
            file[place][rng.integers(5)] = np.array([HUGE[rng.integers(len(HUGE))]]).astype(kind)

    return changed(good, change)


def other_claims(good, rng):
    """References or heaps of the arrays of variable length claim something else."""
    content, start = bytearray(good), good.find(b"GCOL")
    place = start + int(rng.integers(8, 400)) // 8 * 8
    claim = rng.choice([0, 1, 2**16, 2**31, 2**32 - 1, 2**63, start])
    content[place : place + 8] = int(claim).to_bytes(8, "little")
    for _ in range(int(rng.integers(3))):
        address = start.to_bytes(8, "little")
        references = [at for at in range(4, len(good) - 12) if good[at : at + 8] == address]
        if references:
            at = references[rng.integers(len(references))] - 4
            content[at : at + 4] = int(rng.choice([2**32 - 1, 2**31, 2**20, 100, 0])).to_bytes(4, "little")
    return bytes(content)


SHD = (*ANY, flipped, overwritten, other_object, other_object, other_attribute, other_times, other_claims)

# Networks and learners


def network_files(folder, rng):
    return [good_file(folder / "good.tplava")]


def learner_files(folder, rng):
    network = tpl.Network.dense((5, 4, 3))
    learners = (
        tpl.Learner(network, tpl.TP(), optimiser=tpl.Adam(), schedule=tpl.Cosine(5)),
        tpl.Learner(network, tpl.TESS(basis="walsh"), "fixed"),
        tpl.Learner(network, tpl.DECOLLE(), schedule=tpl.Plateau()),
    )
    for number, learner in enumerate(learners):
        learner.save(folder / f"{number}.safetensors")
    return [(folder / f"{number}.safetensors").read_bytes() for number in range(len(learners))]


def inspected(path):
    """As `tp-lava inspect` shows it."""
    with contextlib.redirect_stdout(io.StringIO()):
        inspect(path)


def in_tensors(good, rng):
    """Weights, counters or moments are other numbers."""
    content = bytearray(good)
    begin = 8 + int.from_bytes(good[:8], "little")
    place = int(rng.integers(begin, len(good) - 8))
    content[place : place + 8] = rng.bytes(8) if rng.random() < 0.5 else np.float32([np.nan, np.inf])[rng.integers(2)].tobytes() * 2
    return bytes(content[: len(good)])


def in_text(good, rng):
    """A character of the description is another one, so that names, numbers and types change."""
    content = bytearray(good)
    begin, end = good.find(b"__metadata__"), 8 + int.from_bytes(good[:8], "little")
    content[int(rng.integers(begin, end))] = rng.choice([*b'0123456789.-eE[]{},:"abz'])
    return bytes(content)


DESCRIBED = (cut, flipped, overwritten, moved, in_tensors, in_text, in_text, described_otherwise, described_otherwise, described_otherwise)


def read_folder(path):
    """One recording in N-MNIST's folders."""
    from_nmnist(path.parents[2])


# format: (files, damages, name of the damaged file, what reads it)
FORMATS = {
    "own .npz": (npz_files, NPZ, "hostile.npz", load_samples),
    "class names": (named_files, NPZ, "hostile.npz", class_names),
    "N-MNIST .npz": (nmnist_files, NPZ, "hostile.npz", from_nmnist),
    "spike lists": (spike_list_files, NPZ, "hostile.npz", lambda path: from_spike_lists(path, 16, 50)),
    "N-MNIST .bin": (camera_files, ANY, "nmnist/Train/3/hostile.bin", read_folder),
    "SHD .h5": (shd_files, SHD, "hostile.h5", from_shd),
    "inspect .tplava": (network_files, DESCRIBED, "hostile.tplava", inspected),
    "inspect learner": (learner_files, DESCRIBED, "hostile.safetensors", inspected),
}


def hostile(format, count, folder, seed=0):
    """Damaged files of a format, one after the other. -> (what was done, path, what reads it)"""
    rng = np.random.default_rng(seed)
    make, damages, name, read = FORMATS[format]
    originals = make(folder, rng)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        damage, good = damages[number % len(damages)], originals[int(rng.integers(len(originals)))]
        path.write_bytes(damage(good, rng))
        yield f"{number} {damage.__name__}", path, read
