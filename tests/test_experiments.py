"""tools/experiments: the configurations of the papers' experiments, and their runner on something small."""

import io
import json
import math
import pathlib
import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import h5py
import numpy as np
import pytest
from conftest import random_samples

import tp_lava as tpl

TOOLS = pathlib.Path(__file__).resolve().parents[1] / "tools"
sys.path.insert(0, str(TOOLS))

from experiments import adapting, images, on_disk, run, synthetic  # noqa: E402
from experiments.config import BPTT, Convolution, Dense, Method, Preparation  # noqa: E402
from experiments.configs import EXPERIMENTS  # noqa: E402
from experiments.plan import planned, shortcomings  # noqa: E402
from experiments.samples import some, split, varied  # noqa: E402
from experiments.training import Mode, learn  # noqa: E402
from experiments.vgg import VGG_6, VGG_9, VGG_12, vgg  # noqa: E402

DENSE = [name for name, experiment in EXPERIMENTS.items() if isinstance(experiment.network, Dense)]
CONVOLUTIONAL = [name for name in EXPERIMENTS if name not in DENSE]


def test_all_experiments_of_both_papers_are_there():
    assert DENSE == ["nmnist", "shd", "shd_recurrent", "gsc", "speech_commands"]
    assert set(CONVOLUTIONAL) == {"dvs_gesture_tp", "dvs_gesture_tess", "cifar10_dvs_tp", "cifar10_dvs_tess", "cifar10", "cifar100"}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_configurations_are_consistent(name):
    experiment = EXPERIMENTS[name]
    assert experiment.name == name
    assert name in experiment.command
    assert experiment.published
    for figure in experiment.published:
        assert 0 < figure.percent <= 100
        assert figure.spread is None or 0 < figure.spread < 10
        assert figure.measured
        assert "arXiv" in figure.source or "github.com" in figure.source
    rule, number = (tpl.TP, "2509.13053") if experiment.paper.startswith("TP:") else (tpl.TESS, "2502.01837")
    assert f"arXiv {number}" in experiment.paper
    assert isinstance(experiment.batch.rule, rule)
    check_learning(experiment.batch)
    assert experiment.batch.batch > 1
    assert experiment.batch.optimiser == tpl.Adam()
    check_data(experiment.data)


def check_learning(learning):
    assert learning.epochs >= 1
    assert 0 < learning.rule.rate < 1
    assert 0 < learning.rule.readout_rate < 1
    if isinstance(learning.schedule, tpl.Cosine):
        assert learning.schedule.epochs == learning.epochs
        assert learning.lasting(3).schedule == tpl.Cosine(3, learning.schedule.floor)
    assert learning.lasting(None) == learning


def check_data(data):
    assert data.loader == "bytes" or data.loader.startswith("tonic.datasets.")
    assert data.n_steps > 0
    assert data.binning
    assert data.obtain
    assert data.files
    assert all(not pathlib.Path(file).is_absolute() for file in data.files)


@pytest.mark.parametrize("name", DENSE)
def test_dense_configurations_make_their_network(name):
    experiment = EXPERIMENTS[name]
    sizes = experiment.network.sizes
    network = experiment.network.network(sizes[:1], sizes[-1], seed=1)
    assert network.sizes == sizes
    assert network.layers[0].recurrent == experiment.network.recurrent
    if experiment.data.published:
        assert sizes[0] == math.prod(experiment.data.sensor_size)
    for learning in (experiment.streaming, experiment.small.batch, experiment.small.streaming, experiment.small.recorded):
        check_learning(learning)
        assert isinstance(learning.rule, tpl.TP)
        assert isinstance(experiment.network, Dense)
    assert experiment.streaming.batch == 1
    assert experiment.streaming.optimiser == tpl.SGD()
    tpl.Learner(network, experiment.streaming.rule, "fixed")


def test_published_settings_are_the_papers():
    nmnist, recurrent, tess = EXPERIMENTS["nmnist"], EXPERIMENTS["shd_recurrent"], EXPERIMENTS["dvs_gesture_tess"]
    assert nmnist.network == Dense((2312, 200, 10), tpl.LIF(0.98, 1.0), 0.98)
    assert (nmnist.batch.rule.rate, nmnist.batch.rule.update, nmnist.batch.batch, nmnist.batch.epochs) == (1e-4, "step", 128, 100)
    assert nmnist.published[0].percent == 97.26
    assert recurrent.network == Dense((700, 450, 20), tpl.LIF(0.85, 0.5), 0.85, recurrent=True)
    assert recurrent.published[0].percent == 80.75
    assert (tess.batch.rule.acausal, tess.batch.rule.update, tess.batch.rule.rate) == (0.0, "sequence", 1e-3)
    assert tess.network.maps == VGG_9


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_convolutional_configurations_fit_their_data(name):
    experiment = EXPERIMENTS[name]
    shape, data = experiment.network, experiment.data
    assert isinstance(shape, Convolution)
    assert shape.image == (data.sensor_size[2], data.preparation.side, data.preparation.side)
    assert shape.places == (2 if name.endswith("_tp") else 1)
    assert shape.readout == ("standardised" if name.endswith("_tp") else "biased")
    assert {method.name: type(method.learning.rule) for method in experiment.small.methods} == {
        "frozen convolutions": tpl.TP,
        "TP": tpl.TP,
        "TESS": tpl.TESS,
        "TESS, basis learned": tpl.TESS,
        "BPTT": BPTT,
    }
    assert len({method.learning.epochs for method in experiment.small.methods}) == 1


@pytest.mark.parametrize(("maps", "layers"), [(VGG_6, 6), (VGG_9, 9), (VGG_12, 12)])
def test_networks_of_the_papers_have_their_size(maps, layers):
    convolutions = [layer.channels for layer in vgg(maps, tpl.Standardisation(), 2) if isinstance(layer, tpl.Conv2d)]
    assert len(convolutions) + 1 == layers
    if maps == VGG_9:
        assert 9 * sum(below * above for below, above in pairwise([2, *convolutions])) == 9_217_152


def test_a_network_is_as_published():
    shape = replace(EXPERIMENTS["cifar10_dvs_tp"].network, maps="4p 6")
    network = shape.network((2, 8, 8), 3, seed=1)
    assert network.readout.standardisation == tpl.Standardisation()
    projection = network.rule_parameters["target"]
    assert projection.shape == (4 * 64, 3)
    np.testing.assert_allclose(projection.std(axis=1), 1.8 * 0.5 / 3**0.5, rtol=0.01)
    biased = replace(EXPERIMENTS["cifar10"].network, maps="4p 6").network((2, 8, 8), 3, seed=1)
    assert biased.weights["readout_bias"].shape == (3,)
    assert biased.populations[-1].output_shape == (6, 1, 1)


def test_a_run_says_what_keeps_it_from_being_a_reproduction():
    nmnist, folder = EXPERIMENTS["nmnist"], pathlib.Path()
    assert shortcomings(planned(nmnist, Mode("engine"), folder, None), published_data=True) == []
    less = planned(nmnist, Mode("streaming", "fixed"), None, None, seeds=2, train=5)
    reasons = " ".join(shortcomings(less, published_data=False))
    for word in ("data", "streaming", "fixed point", "seeds: 2, not 10", "part of the samples"):
        assert word in reasons
    fewer = shortcomings(planned(nmnist, Mode("engine"), folder, None, epochs=3), published_data=True)
    assert fewer == ["epochs: 3, not 100"]


# Samples ------------------------------------------------------------------------------------------


def test_a_split_takes_its_share_of_every_group():
    labels, speakers = np.repeat(np.arange(4), 20), np.tile(np.arange(2), 40)
    first, second = split((labels, speakers), 0.8)
    assert sorted([*first, *second]) == list(range(80))
    assert np.bincount(labels[second]).tolist() == [4] * 4
    assert np.bincount(speakers[second]).tolist() == [8] * 2
    again, _ = split((labels, speakers), 0.8)
    np.testing.assert_array_equal(first, again)


def test_parts_of_generated_speech():
    words, how = synthetic.speech(), EXPERIMENTS["gsc"].adaptation
    assert words.what.startswith("SYNTHETIC")
    assert np.unique(words.speakers).size == 3
    task = words.split()
    assert (len(task.train), len(task.test)) == (960, 240)
    parts = adapting.split_speakers(words, how)
    assert {count: len(part) for count, part in parts.support.items()} == {1: 10, 5: 50, None: 320}
    assert (len(parts.known.train), len(parts.known.test), len(parts.query)) == (640, 160, 80)
    assert {sample.label for sample in parts.support[1]} == set(range(10))
    learned = {id(sample.events) for part in (parts.known.train, *parts.support.values()) for sample in part}
    assert not learned & {id(sample.events) for part in (parts.known.test, parts.query) for sample in part}
    few = some(task.train, 7)
    assert [sample.label for sample in few] == [sample.label for sample in some(task.train, 7)]
    assert len(few[2:5]) == 3


def write_words(path, count=40, units=700, classes=20, **attributes):
    """Random words of two speakers in SHD's layout."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        times = file.create_dataset("spikes/times", (count,), h5py.vlen_dtype(np.float16))
        channels = file.create_dataset("spikes/units", (count,), h5py.vlen_dtype(np.uint16))
        for number in range(count):
            times[number] = np.sort(rng.random(50)).astype(np.float16)
            channels[number] = rng.integers(0, units, 50)
        file["labels"] = (np.arange(count) % classes).astype(np.uint16)
        file["extra/speaker"] = (np.arange(count) // (count // 2)).astype(np.uint16)
        file["extra/keys"] = np.array([b"word"] * classes)
        file.attrs.update(attributes)


def test_spoken_words_are_as_long_as_they_are(tmp_path):
    write_words(tmp_path / "words.h5", units=64, classes=10, n_units=64)
    words = on_disk.spoken_words(tmp_path / "words.h5", EXPERIMENTS["shd"].data)
    assert {sample.events.n_units for sample in words.samples} == {64}
    assert max(sample.events.n_steps for sample in words.samples) <= 101
    assert (words.n_classes, words.published, len(words.samples)) == (10, False, 40)


def write_archive(path, count=30):
    """Random recordings in the archive's layout, a third of them for testing."""
    rng, events = np.random.default_rng(0), 200
    gaps, address = rng.integers(0, 1500, count * events), rng.integers(0, 2312, count * events)
    gaps[::events] = 0  # a recording starts at its first event
    halves = {"dt_lo": gaps & 255, "dt_hi": gaps >> 8, "addr_lo": address & 255, "addr_hi": address >> 8}
    arrays = {name: half.astype(np.uint8) for name, half in halves.items()}
    np.savez(path, count=np.full(count, events), label=np.arange(count) % 10, split=(np.arange(count) % 3 == 0), **arrays)
    return gaps.reshape(count, events), address.reshape(count, events)


def test_archives_are_binned_as_the_whole_data_set_is(tmp_path):
    gaps, address = write_archive(tmp_path / "some.npz")
    data = EXPERIMENTS["nmnist"].data
    task = on_disk.nmnist_archive(tmp_path / "some.npz", data)
    assert (len(task.train), len(task.test)) == (20, 10)
    events = np.zeros(200, [("x", int), ("y", int), ("t", int), ("p", int)])
    events["t"] = np.cumsum(gaps[0])
    events["p"], rest = np.divmod(address[0], 34 * 34)
    events["y"], events["x"] = np.divmod(rest, 34)
    first_saccade = events[events["t"] < 100_000]
    assert 50 < len(first_saccade) < 200
    expected = tpl.data.from_tonic([(first_saccade, 0)], data.n_steps, data.sensor_size, data.step)[0]
    assert task.test[0].events == expected.events


# The command --------------------------------------------------------------------------------------


def test_list_as_a_command():
    done = subprocess.run([sys.executable, str(TOOLS / "experiments" / "run.py"), "list"], capture_output=True, text=True, check=True)
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    for name, experiment in EXPERIMENTS.items():
        assert experiment.title in lines[name]
    assert "none of them measured here" in done.stdout


def ran(capsys, *arguments):
    run.main(list(arguments))
    return capsys.readouterr().out


SMALL = ("--small", "--epochs", "1", "--seeds", "1", "--train", "20", "--test", "10")


def check_printed(out, path):
    """Whether the JSON holds what was printed, figure by figure."""
    held = json.loads(path.read_text())
    assert held["printed"] == out.rstrip("\n")
    assert not held["reproduction"]
    assert "NOT A REPRODUCTION" in out
    published, measured = out.split("MEASURED HERE")
    assert "PUBLISHED, not measured here" in published
    for figures, part in ((held["published"], published), (held["measured"]["figures"], measured)):
        for figure in figures:
            assert f"{figure['what']:52} {figure['percent']:6.2f}" in part
    return held


def test_generated_speech_in_batches(capsys, tmp_path):
    path = tmp_path / "out.json"
    held = check_printed(ran(capsys, "shd", *SMALL, "--json", str(path)), path)
    assert held["measured"]["data"].startswith("SYNTHETIC")
    assert held["measured"]["samples"] == {"train": 20, "test": 10}
    assert (held["measured"]["batch"], held["measured"]["epochs"], held["measured"]["seeds"]) == (20, 1, 1)
    assert np.shape(held["measured"]["accuracies"]) == (1, 1)


def test_recordings_one_by_one(capsys, tmp_path):
    path, archive = tmp_path / "out.json", tmp_path / "some.npz"
    write_archive(archive)
    out = ran(capsys, "nmnist", *SMALL, "--form", "streaming", "--recordings", str(archive), "--json", str(path))
    held = check_printed(out, path)
    assert "N-MNIST, a part of it: the recordings of some.npz" in held["measured"]["data"]
    assert held["measured"]["optimiser"] == "SGD(momentum=0.0)"


def test_fine_tuning_to_a_new_speaker(capsys, tmp_path):
    path = tmp_path / "out.json"
    held = check_printed(ran(capsys, "gsc", *SMALL, "--form", "streaming", "--json", str(path)), path)
    assert np.shape(held["measured"]["accuracies"]) == (1, 4, 2)
    assert [figure["what"].split(", ")[0] for figure in held["measured"]["figures"]] == ["new speaker"] * 4 + ["known speakers"] * 4


def test_several_new_speakers_of_spike_lists(tmp_path):
    """Six are new, none of them is learned before, and each has shots and tests of its own."""
    speakers, labels = (np.repeat(np.arange(8), 2 * 10), np.tile(np.repeat(np.arange(2), 10), 8))
    count = len(labels)
    arrays = {"step": np.tile([0, 9, 150], count), "unit": np.tile([3, 5, 63], count), "count": np.full(count, 3)}
    np.savez(tmp_path / "words.npz", label=labels, speaker=speakers, **arrays)
    experiment = EXPERIMENTS["speech_commands"]
    words = on_disk.spoken_words(tmp_path / "words.npz", experiment.data)
    assert (words.samples[0].events.n_steps, words.samples[0].events.n_units) == (50, 64)
    assert words.samples[0].events.times.tolist() == [0, 2, 37]
    parts = adapting.split_speakers(words, experiment.adaptation)
    assert [{count: len(part) for count, part in speaker.support.items()} for speaker in parts.new] == [{1: 2, 5: 10, None: 16}] * 6
    assert [len(speaker.query) for speaker in parts.new] == [4] * 6
    assert (len(parts.known.train), len(parts.known.test)) == (2 * 2 * 8, 2 * 2 * 2)
    learning = experiment.small.recorded.lasting(1)
    shape = replace(experiment.network, sizes=(64, 5, 2))
    found = adapting.accuracies(shape, learning, replace(experiment.adaptation, epochs=1), Mode("streaming", "fixed"), parts, 0)
    assert found.shape == (4, 2)


def test_batches_in_pytorch_give_what_the_engine_gives(rng):
    pytest.importorskip("torch")
    shape, learning = Dense((12, 9, 3), tpl.LIF(0.9, 0.3), 0.9), EXPERIMENTS["shd"].batch.lasting(2)
    samples = [tpl.Sample(*sample) for sample in random_samples(rng, 20, 12, 3)]
    network = shape.network((12,), 3, seed=0)
    engine, torch = (learn(network, learning, Mode(form), samples, samples[:9], 0) for form in ("engine", "torch"))
    np.testing.assert_allclose(engine.network.weights["hidden0"], torch.network.weights["hidden0"], atol=1e-4)
    assert engine.evaluate(samples) == torch.evaluate(samples)


def write_whole(folder, name, classes):
    """Both parts of a data set of spoken words, where tonic looks for them."""
    folder.mkdir()
    for part in ("train", "test"):
        write_words(folder / f"{name}_{part}.h5", classes=classes)
        (folder / f"{name}_{part}.h5.zip").touch()


def test_the_whole_is_read_from_files_that_are_there(tmp_path):
    write_whole(tmp_path / "SHD", "shd", classes=20)
    task = on_disk.whole_data_set(EXPERIMENTS["shd"].data, tmp_path, n_classes=20)
    assert task.what.startswith("SHD, the whole of it")
    assert (task.published, len(task.train), len(task.test)) == (True, 40, 40)
    assert [sample.label for sample in task.train] == [*range(20), *range(20)]
    assert (task.test[3].events.n_steps, task.test[3].events.n_units) == (140, 700)
    assert len(task.test[3].events) > 40


def test_the_new_speaker_is_one_of_the_whole(tmp_path):
    write_whole(tmp_path / "SSC", "ssc", classes=4)
    words = on_disk.whole_words(EXPERIMENTS["gsc"].data, tmp_path)
    assert (words.n_classes, words.published) == (4, False)
    parts = adapting.split_speakers(words, EXPERIMENTS["gsc"].adaptation)
    assert {count: len(part) for count, part in parts.support.items()} == {1: 4, 5: 16, None: 16}
    assert (len(parts.known.train), len(parts.known.test), len(parts.query)) == (20, 40, 4)


def test_missing_data_are_told_and_nothing_is_downloaded(tmp_path, monkeypatch):
    import tonic

    def downloads(*_):
        raise AssertionError("a download")

    monkeypatch.setattr(tonic.dataset, "download_and_extract_archive", downloads)
    with pytest.raises(SystemExit) as told:
        run.main(["shd", "--data", str(tmp_path)])
    for part in ("SHD is not in", "nothing is downloaded", str(tmp_path / "SHD" / "shd_train.h5"), "zenkelab.org", "--small"):
        assert part in str(told.value)
    for part in ("Train", "Test"):
        (tmp_path / "NMNIST" / part).mkdir(parents=True)
        (tmp_path / "NMNIST" / f"{part.lower()}.zip").touch()
    with pytest.raises(SystemExit, match="tonic finds N-MNIST incomplete"):
        run.main(["nmnist", "--data", str(tmp_path)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nmnist"], "either --data DIR"),
        (["nmnist", "--small", "--data", "x"], "either --data DIR"),
        (["nmnist", "--data", "x", "--recordings", "y"], "--recordings goes with --small"),
        (["nmnist", "--small", "--recordings", "no.npz"], "there is no file no.npz"),
        (["nmnist", "--small", "--precision", "fixed"], "use --form streaming"),
        (["nmnist", "--small", "--form", "streaming", "--device", "cpu"], "--device is for --form torch"),
        (["cifar10", "--small", "--recordings", "no.npz"], "there is no file no.npz; give --recordings FILE"),
        (["cifar10", "--data", "x", "--device", "nowhere"], "PyTorch is not there on nowhere"),
        (["cifar10", "--data", "x", "--form", "streaming"], "cifar10 has no streaming form"),
        (["cifar10", "--data", "x", "--precision", "fixed"], "use --form streaming"),
        (["nmnist", "--small", "--seeds", "0"], "must be at least 1"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments, message, capsys):
    with pytest.raises(SystemExit):
        run.main(arguments)
    assert message in capsys.readouterr().err


# Pictures and frames --------------------------------------------------------------------------------


def with_events(times, x, y, p):
    events = np.zeros(len(times), [("t", np.int64), ("x", np.int16), ("y", np.int16), ("p", bool)])
    for name, values in (("t", times), ("x", x), ("y", y), ("p", p)):
        events[name] = values
    return events


def test_pictures_are_resized():
    picture = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    np.testing.assert_allclose(images.resized(picture, 4, corners=False), picture)
    np.testing.assert_allclose(images.resized(picture, 2, corners=True)[0], [[0, 3], [12, 15]])
    halved = images.resized(picture, 2, corners=False)
    np.testing.assert_allclose(halved.mean(), picture.mean(), rtol=1e-6)
    np.testing.assert_allclose(images.resized(np.ones((3, 7, 9)), 5, corners=False), np.ones((3, 5, 5)), rtol=1e-6)


def test_resizing_is_pytorchs(rng):
    torch = pytest.importorskip("torch")
    frames = rng.random((2, 3, 128, 128)).astype(np.float32)
    for corners, side in ((True, 48), (False, 32)):
        how = {"align_corners": True} if corners else {"antialias": True}
        expected = torch.nn.functional.interpolate(torch.from_numpy(frames), (side, side), mode="bilinear", **how)
        np.testing.assert_allclose(images.resized(frames, side, corners), expected.numpy(), atol=1e-5)


def test_frames_count_events():
    events = with_events([5, 5, 15, 45, 105], [1, 1, 0, 2, 3], [0, 0, 3, 2, 1], [1, 1, 0, 0, 1])
    times = images.elapsed(events)
    data = replace(EXPERIMENTS["cifar10_dvs_tp"].data, sensor_size=(4, 4, 2), n_steps=2)
    counts = images.counted(events, times, data)  # an event at the very end is in no bin, as in tonic
    assert counts.shape == (2, 2, 4, 4)
    assert (counts[0, 1, 0, 1], counts[0, 0, 3, 0], counts[0, 0, 2, 2], counts.sum()) == (2, 1, 1, 4)
    evenly = replace(data, preparation=Preparation(side=4, bins="events"))
    assert images.counted(events, times, evenly).sum(axis=(1, 2, 3)).tolist() == [2, 2]
    assert images.counted(events, times, replace(data, step=20.0)).shape[0] == 5
    empty = with_events([], [], [], [])
    assert images.counted(empty, images.elapsed(empty), data).sum() == 0


def test_bytes_wrap_as_in_the_release():
    counts = with_events([0, 1, 2, 3], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0])
    how = Preparation(side=2, bins="events", as_bytes=True)
    data = replace(EXPERIMENTS["cifar10_dvs_tess"].data, sensor_size=(2, 2, 2), n_steps=1, preparation=how)
    frames = images.Frames([(counts, 0)], [(0, None)], data)(0)
    np.testing.assert_allclose(frames[0, 0], [[254 / 255, 1], [0, 1]])


def test_varied_pictures_are_the_seeds(rng):
    pictures = rng.integers(1, 256, (3, 3, 32, 32)).astype(np.uint8)
    plain = on_disk.of_pictures(
        pictures, np.arange(3), Preparation(side=32, mean=(0.5,) * 3, spread=(0.25,) * 3, flip=True, cutout=True), 6
    )
    still = plain[0].events
    np.testing.assert_allclose(still.to_dense()[5].reshape(3, 32, 32), (pictures[0] / 255 - 0.5) / 0.25, atol=1e-5)
    first, again, other = varied(plain, 1), varied(plain, 1), varied(plain, 2)
    epochs = [[first[number].events for number in range(3)] for _ in range(4)]
    assert all(again[number].events == epochs[epoch][number] for epoch in range(4) for number in range(3))
    assert epochs[0][0] not in (epochs[1][0], other[0].events)
    assert varied(some(plain, 2), 1)[0].events.n_steps == 6
    assert plain[0].events == still
    assert [sample.label for sample in plain[1:]] == [1, 2]
    with pytest.raises(IndexError):
        plain[3]


def test_crops_mirrors_and_cutouts():
    picture = np.ones((2, 1, 32, 32), np.float32)
    picture[:, :, 10, 5] = 2
    rng, plain, cut = np.random.default_rng(0), Preparation(side=32), Preparation(side=32, cutout=True, flip=True)
    places = [np.argwhere(images._varied(picture, plain, rng)[1, 0] == 2)[0] for _ in range(200)]
    assert np.min(places, axis=0).tolist() == [6, 1]
    assert np.max(places, axis=0).tolist() == [14, 9]
    found = [images._varied(np.ones((2, 1, 32, 32), np.float32), cut, rng)[:, 0] for _ in range(200)]
    assert all((steps[0] == steps[1]).all() for steps in found)
    inner = [np.mean(steps[0, 4:28, 4:28] == 0) for steps in found]
    assert 60 < np.count_nonzero(inner) < 120
    assert max(inner) < 0.75


# Convolutional experiments --------------------------------------------------------------------------


def write_cifar(folder, classes=10, count=20):
    """Random pictures in the binary version's layout."""
    rng, ten = np.random.default_rng(0), classes == 10
    (folder / ("cifar-10-batches-bin" if ten else "cifar-100-binary")).mkdir()
    for file in EXPERIMENTS["cifar10" if ten else "cifar100"].data.files:
        pixels = rng.integers(0, 256, (count, 3072))
        labels = np.arange(count)[:, None] % classes
        columns = [labels, pixels] if ten else [labels % 20, labels, pixels]
        (folder / file).write_bytes(np.concatenate(columns, axis=1).astype(np.uint8).tobytes())


@pytest.mark.parametrize("classes", [10, 100])
def test_cifar_is_read_from_plain_bytes(tmp_path, classes):
    write_cifar(tmp_path, classes)
    experiment = EXPERIMENTS["cifar10" if classes == 10 else "cifar100"]
    task = on_disk.whole_data_set(experiment.data, tmp_path, classes)
    assert (len(task.train), len(task.test), task.input_shape) == (100 if classes == 10 else 20, 20, (3, 32, 32))
    assert [sample.label for sample in task.test] == [number % classes for number in range(20)]
    row = np.fromfile(tmp_path / experiment.data.files[-1], np.uint8)[-3072:].reshape(3, 32, 32)
    expected = (row / 255 - np.array([0.4914, 0.4822, 0.4465])[:, None, None]) / np.array([0.2023, 0.1994, 0.2010])[:, None, None]
    np.testing.assert_allclose(task.test[19].events.to_dense().reshape(6, 3, 32, 32)[3], expected, atol=1e-4)


def test_other_pictures_than_cifars_are_refused(tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(SystemExit) as told:
        run.main(["cifar10", "--data", str(tmp_path)])
    for part in ("CIFAR10 is not in", "data_batch_1.bin", "binary version", "pickles may run code"):
        assert part in str(told.value)
    write_cifar(tmp_path)
    batch = tmp_path / "cifar-10-batches-bin" / "test_batch.bin"
    held = batch.read_bytes()
    batch.write_bytes(held[:-1])
    with pytest.raises(SystemExit, match="no multiple of 3073"):
        run.main(["cifar10", "--data", str(tmp_path)])
    batch.write_bytes(bytes([10]) + held[1:])
    with pytest.raises(SystemExit, match="a label of 10, of 10 classes"):
        run.main(["cifar10", "--data", str(tmp_path)])


def recording(rng, microseconds, count=400):
    columns = rng.integers(0, 128, (2, count))
    return with_events(np.sort(rng.integers(0, microseconds, count)), *columns, rng.integers(0, 2, count))


def write_gestures(folder):
    """100 recordings a part, which tonic asks for, in tonic's layout: x, y, p and milliseconds."""
    rng = np.random.default_rng(0)
    for part in ("Train", "Test"):
        (folder / "DVSGesture").mkdir(exist_ok=True)
        (folder / f"DVSGesture/ibmGesture{part}.tar.gz").touch()
        for user in range(1, 11):
            place = folder / f"DVSGesture/ibmGesture{part}/user{user:02}_led"
            place.mkdir(parents=True)
            for label in range(10):
                events = recording(rng, 1_600_000 if user > 1 else 3_200_000)
                np.save(place / f"{label}.npy", np.stack([events["x"], events["y"], events["p"], events["t"] // 1000], axis=1))


def test_gestures_are_frames(tmp_path):
    write_gestures(tmp_path)
    task = on_disk.whole_data_set(EXPERIMENTS["dvs_gesture_tess"].data, tmp_path, 11)
    assert len(task.train) > 100  # the longer ones in two slices
    assert len(task.test) == 100
    assert task.input_shape == (2, 32, 32)
    assert {sample.events.n_steps for sample in task.train} <= {19, 20, 21}
    assert max(sample.events.n_steps for sample in task.test) == 20
    whole = on_disk.whole_data_set(EXPERIMENTS["dvs_gesture_tp"].data, tmp_path, 11)
    assert max(sample.events.n_steps for sample in whole.test) > 40


def write_cifar10_dvs(folder, monkeypatch):
    """100 recordings of each class, of which tonic asks for 1000 in all; what would be read from all of them."""
    import tonic

    names = tonic.datasets.CIFAR10DVS.classes
    (folder / "CIFAR10DVS").mkdir()
    (folder / "CIFAR10DVS/CIFAR10DVS.zip").touch()
    for name in names:
        (folder / "CIFAR10DVS" / name).mkdir()
        for number in range(100):
            (folder / "CIFAR10DVS" / name / f"cifar10_{name}_{number}.aedat4").touch()

    def read(path):
        name, number = pathlib.Path(path).stem.split("_")[1:]
        return recording(np.random.default_rng([names[name], int(number)]), 1_000_000)

    monkeypatch.setattr(sys.modules[tonic.datasets.CIFAR10DVS.__module__], "read_aedat4", read)


def test_recordings_of_cifar10_are_parted_by_class(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(on_disk.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SystemExit, match="uv pip install aedat"):
        run.main(["cifar10_dvs_tp", "--data", str(tmp_path)])
    monkeypatch.undo()
    write_cifar10_dvs(tmp_path, monkeypatch)
    data = replace(EXPERIMENTS["cifar10_dvs_tess"].data, first=90, needs="")
    task = on_disk.whole_data_set(data, tmp_path, 10)
    assert (len(task.train), len(task.test), task.input_shape) == (900, 100, (2, 48, 48))
    assert np.bincount([task.test[number].label for number in range(100)]).tolist() == [10] * 10
    made = images.Frames([(recording(np.random.default_rng([9, 99]), 1_000_000), 9)], [(0, None)], data)(0)
    mean, spread = (np.array(values)[:, None, None] for values in (data.preparation.mean, data.preparation.spread))
    np.testing.assert_allclose(task.test[99].events.to_dense().reshape(10, 2, 48, 48), (made - mean) / spread, atol=1e-4)


TINY = Convolution((3, 32, 32), "4p 6", 2, 10, tpl.LIF(0.5, 1.0), 0.5, tpl.Standardisation(), "standardised")


@pytest.fixture
def tiny(monkeypatch):
    """A tiny network in place of each VGG-9."""
    for name in CONVOLUTIONAL:
        experiment = EXPERIMENTS[name]
        network = replace(experiment.network, maps="4p 6")
        methods = tuple(Method(way.name, replace(way.learning, batch=4)) for way in experiment.small.methods)
        small = replace(experiment.small, network=TINY, methods=methods)
        monkeypatch.setitem(EXPERIMENTS, name, replace(experiment, network=network, small=small))


ONE_EPOCH = ("--epochs", "1", "--seeds", "1", "--train", "8", "--test", "6")


@pytest.mark.filterwarnings("ignore:.*basis gives")
@pytest.mark.parametrize(
    ("name", "write", "forms"), [("cifar10", write_cifar, ("engine", "torch")), ("dvs_gesture_tp", write_gestures, ("torch",))]
)
def test_the_whole_is_learned(tmp_path, capsys, tiny, name, write, forms):
    pytest.importorskip("torch")
    write(tmp_path)
    path, accuracies = tmp_path / "out.json", []
    for form in forms:
        out = ran(capsys, name, "--data", str(tmp_path), *ONE_EPOCH, "--form", form, "--json", str(path))
        held = check_printed(out, path)
        assert held["shortcomings"][0] == "epochs: 1, not 200"
        assert held["shortcomings"][-1] == "only a part of the samples"
        accuracies.append(held["measured"]["accuracies"])
    assert accuracies[0] == accuracies[-1]


def write_jpegs(path):
    from PIL import Image

    rng, packed = np.random.default_rng(0), []
    for _ in range(40):
        held = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)).save(held, "JPEG")
        packed.append(np.frombuffer(held.getvalue(), np.uint8))
    ends = np.cumsum([len(one) for one in packed])
    np.savez(path, jpeg=np.concatenate(packed), end=ends, label=np.arange(40) % 10, split=np.arange(40) % 2)


def write_digits(path):
    pictures = np.random.default_rng(0).integers(0, 256, (40, 28, 28)).astype(np.uint8)
    np.savez(path, image=pictures, label=np.arange(40) % 10, split=np.arange(40) % 2)


@pytest.mark.filterwarnings("ignore:.*basis gives")
@pytest.mark.parametrize(
    ("name", "write", "shape"),
    [
        ("cifar10", write_jpegs, "3 x 32 x 32"),
        ("cifar10_dvs_tp", write_digits, "2 x 16 x 16"),
        ("dvs_gesture_tp", write_archive, "2 x 34 x 34"),
    ],
)
def test_four_ways_are_compared(tmp_path, capsys, tiny, name, write, shape):
    pytest.importorskip("torch")
    file, path = tmp_path / "file.npz", tmp_path / "out.json"
    write(file)
    small = ("--small", "--recordings", str(file), "--epochs", "2", "--seeds", "2", "--train", "8", "--test", "6", "--json", str(path))
    out = ran(capsys, name, *small)
    held = json.loads(path.read_text())
    assert held["printed"] == out.rstrip("\n")
    assert held["measured"]["network"].startswith(shape)
    assert np.shape(held["measured"]["accuracies"]) == (2, 5, 2)
    rows = {row["method"]: row for row in held["measured"]["methods"]}
    assert list(rows) == ["frozen convolutions", "TP", "TESS", "TESS, basis learned", "BPTT"]
    for number, row in enumerate(rows.values()):
        accuracies = np.array(held["measured"]["accuracies"])[:, number]
        assert row["best"]["percent"] == pytest.approx(accuracies.max(axis=1).mean(), abs=0.01)
        assert row["last"]["spread"] == pytest.approx(accuracies[:, -1].std(), abs=0.01)
        assert f"{row['method']:24}" in out


@pytest.mark.parametrize("name", ["cifar10", "cifar10_dvs_tp", "dvs_gesture_tp"])
def test_files_of_another_layout_are_refused(tmp_path, name):
    file = tmp_path / "file.npz"
    np.savez(file, nothing=np.zeros(3))
    with pytest.raises(SystemExit, match=re.escape(str(file))):
        run.main([name, "--small", "--recordings", str(file), "--form", "engine"])


def test_some_of_the_methods_are_compared():
    mode = Mode("torch")
    plan = planned(EXPERIMENTS["cifar10"], mode, None, None, methods=["BPTT", "TP"])
    assert [method.name for method in plan.methods] == ["TP", "BPTT"]
    for unknown in (["TP", "tp"], ["DFA"]):
        with pytest.raises(SystemExit):
            run.main(["cifar10", "--small", "--methods", *unknown])
    with pytest.raises(SystemExit):
        run.main(["nmnist", "--small", "--methods", "TP"])
    with pytest.raises(SystemExit):
        run.main(["cifar10", "--small", "--form", "engine", "--methods", "BPTT"])


def test_backpropagation_is_not_the_engines():
    plan = planned(EXPERIMENTS["cifar10"], Mode("engine"), None, None, epochs=2)
    assert [method.name for method in plan.methods] == ["frozen convolutions", "TP", "TESS", "TESS, basis learned"]
    assert {method.learning.schedule for method in plan.methods} == {tpl.Cosine(2, 0.25)}
