"""tools/experiments: the configurations of the papers' experiments, and their runner on something small."""

import json
import math
import pathlib
import subprocess
import sys

import h5py
import numpy as np
import pytest
from conftest import random_samples

import tp_lava as tpl

TOOLS = pathlib.Path(__file__).resolve().parents[1] / "tools"
sys.path.insert(0, str(TOOLS))

from experiments import adapting, on_disk, run, synthetic  # noqa: E402
from experiments.config import Convolution, Dense  # noqa: E402
from experiments.configs import EXPERIMENTS  # noqa: E402
from experiments.plan import planned, shortcomings  # noqa: E402
from experiments.samples import some, split  # noqa: E402
from experiments.training import Mode, learn  # noqa: E402

RUNNABLE = [name for name, experiment in EXPERIMENTS.items() if experiment.runnable]


def test_all_experiments_of_both_papers_are_there():
    assert RUNNABLE == ["nmnist", "shd", "shd_recurrent", "gsc"]
    waiting = {"dvs_gesture_tp", "dvs_gesture_tess", "cifar10_dvs_tp", "cifar10_dvs_tess", "cifar10", "cifar100"}
    assert set(EXPERIMENTS) == waiting | set(RUNNABLE)


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
    assert data.loader.split(".")[:2] in (["tonic", "datasets"], ["torchvision", "datasets"])
    assert data.n_steps > 0
    assert data.binning
    assert data.obtain
    assert data.files
    assert all(not pathlib.Path(file).is_absolute() for file in data.files)


@pytest.mark.parametrize("name", RUNNABLE)
def test_configurations_that_run_make_their_network(name):
    experiment = EXPERIMENTS[name]
    sizes = experiment.network.sizes
    network = experiment.network.network(sizes[0], sizes[-1], seed=1)
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
    assert isinstance(tess.network, Convolution)


def test_a_run_says_what_keeps_it_from_being_a_reproduction():
    nmnist, folder = EXPERIMENTS["nmnist"], pathlib.Path()
    assert shortcomings(planned(nmnist, Mode("batch"), folder, None), published_data=True) == []
    less = planned(nmnist, Mode("streaming", "fixed"), None, None, seeds=2, train=5)
    reasons = " ".join(shortcomings(less, published_data=False))
    for word in ("data", "streaming", "fixed point", "seeds: 2, not 10", "part of the samples"):
        assert word in reasons
    fewer = shortcomings(planned(nmnist, Mode("batch"), folder, None, epochs=3), published_data=True)
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
        assert lines[name].endswith("runs" if experiment.runnable else "needs convolution, not runnable yet")
    assert "none of them measured here" in done.stdout


def ran(capsys, *arguments):
    run.main(list(arguments))
    return capsys.readouterr().out


def test_what_needs_convolution_is_told(capsys, tmp_path):
    out = ran(capsys, "cifar10_dvs_tess", "--json", str(tmp_path / "out.json"))
    assert "needs convolution, not runnable yet" in out
    assert "75.00 %" in out
    held = json.loads((tmp_path / "out.json").read_text())
    assert held["printed"] == out.rstrip("\n")
    assert held["published"][0]["percent"] == 75.0


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


def test_batches_in_pytorch_give_what_the_engine_gives(rng):
    pytest.importorskip("torch")
    shape, learning = Dense((12, 9, 3), tpl.LIF(0.9, 0.3), 0.9), EXPERIMENTS["shd"].batch.lasting(2)
    samples = [tpl.Sample(*sample) for sample in random_samples(rng, 20, 12, 3)]
    network = shape.network(12, 3, seed=0)
    engine, torch = (learn(network, learning, Mode("batch", device=device), samples, samples[:9], 0) for device in (None, "cpu"))
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
        (["nmnist", "--small", "--form", "streaming", "--device", "cpu"], "--device is for --form batch"),
        (["nmnist", "--small", "--seeds", "0"], "must be at least 1"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments, message, capsys):
    with pytest.raises(SystemExit):
        run.main(arguments)
    assert message in capsys.readouterr().err
