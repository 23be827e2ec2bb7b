"""Names of classes: from files of recordings into networks, files, eval and report."""

import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from test_cli_training import run

import tp_lava as tpl
from tp_lava.commands.train_settings import TrainSettings
from tp_lava.errors import ArchiveError, InvalidValueError

NAMES = ("yes", "[no]", "\x1b[2Jmaybe")  # as names of strangers may be


@pytest.fixture
def samples(rng):
    return [tpl.Sample(tpl.Events.from_dense(rng.random((8, 6)) < 0.4), number % 3) for number in range(9)]


def test_of_own_recordings(samples, tmp_path):
    tpl.data.save_samples(tmp_path / "own.npz", samples, NAMES)
    assert tpl.data.class_names(tmp_path / "own.npz") == NAMES
    assert len(tpl.data.load_samples(tmp_path / "own.npz")) == 9
    tpl.data.save_samples(tmp_path / "bare.npz", samples)
    assert tpl.data.class_names(tmp_path / "bare.npz") == tpl.data.class_names("digits") == tpl.data.class_names(tmp_path) == ()
    with pytest.raises(InvalidValueError, match=r"save_samples: classes is \['yes'\], but must be a text for each label, 0 to 2"):
        tpl.data.save_samples(tmp_path / "own.npz", samples, ["yes"])


def test_of_spike_lists_and_of_shd(tmp_path):
    np.savez(tmp_path / "lists.npz", words=np.array(["a", "b\u00fc"], ">U2"))
    assert tpl.data.class_names(tmp_path / "lists.npz") == ("a", "b\u00fc")
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "shd.h5", "w") as file:
        file["extra/keys"] = np.array([b"zero", b"one"])
    assert tpl.data.class_names(tmp_path / "shd.h5") == ("zero", "one")
    with h5py.File(tmp_path / "numbers.h5", "w") as file:
        file["extra/keys"] = [0, 1]
    with pytest.raises(ArchiveError, match="extra/keys holds int64 of shape .*, not a list of texts"):
        tpl.data.class_names(tmp_path / "numbers.h5")


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.arange(3), "classes holds int64, not texts; write arrays of texts"),
        (np.array([["a"]]), "classes has shape .*, but must be at most 65536 texts"),
        (np.array(["a", None], object), "classes holds objects, which only a pickle could restore, not texts"),
    ],
)
def test_what_is_no_list_of_names(tmp_path, array, told):
    np.savez(tmp_path / "own.npz", classes=array)
    with pytest.raises(ArchiveError, match=told):
        tpl.data.class_names(tmp_path / "own.npz")


def test_numbers_that_are_no_characters_become_question_marks(tmp_path):
    with io.BytesIO() as raw, zipfile.ZipFile(tmp_path / "own.npz", "w") as archive:
        np.save(raw, np.array(["a"]))
        archive.writestr("classes.npy", raw.getvalue()[:-4] + b"\xff\xff\xff\xff")
    assert tpl.data.class_names(tmp_path / "own.npz") == ("\ufffd",)


def test_they_are_saved_with_the_network_and_follow_it(tmp_path):
    blank = tpl.Network.dense((6, 5, 3))
    network = replace(blank, class_names=list(NAMES))
    assert [network.class_name(1), blank.class_name(1)] == ["[no]", "1"]
    tpl.save_network(network, tmp_path / "a.tplava")
    assert tpl.load_network(tmp_path / "a.tplava").class_names == NAMES
    learner = tpl.Learner(network, tpl.TP(contrast=2), "fixed")
    learner.save(tmp_path / "a.safetensors")
    assert tpl.Learner.load(tmp_path / "a.safetensors").network.class_names == NAMES
    with pytest.raises(InvalidValueError, match=r"Network: class_names is \('a',\), but must be a text for each of 3 classes"):
        replace(network, class_names=("a",))


def test_train_takes_them(samples, tmp_path):
    tpl.data.save_samples(tmp_path / "own.npz", samples, NAMES)
    settings = TrainSettings(data=str(tmp_path / "own.npz"), hidden=[5], span=0)
    assert settings.new_learner(settings.load_data()).network.class_names == NAMES


def test_eval_shows_those_of_the_network_or_of_the_data(samples, tmp_path):
    tpl.data.save_samples(tmp_path / "bare.npz", samples)
    tpl.data.save_samples(tmp_path / "own.npz", samples, ("a", "b", "c"))
    tpl.save_network(tpl.Network.dense((6, 5, 3)), tmp_path / "bare.tplava")
    tpl.save_network(replace(tpl.Network.dense((6, 5, 3)), class_names=NAMES), tmp_path / "own.tplava")

    def shown(model, data, *more):
        return run("eval", tmp_path / model, "--data", tmp_path / data, "--part", "all", *more).stdout

    assert "[no]" in shown("own.tplava", "own.npz")
    assert "\x1b" not in shown("own.tplava", "bare.npz")
    for model, data, names in (
        ("own.tplava", "bare.npz", NAMES),
        ("own.tplava", "own.npz", NAMES),
        ("bare.tplava", "own.npz", ("a", "b", "c")),
    ):
        assert [row["name"] for row in json.loads(shown(model, data, "--json"))["classes"]] == list(names)
    assert "name" not in json.loads(shown("bare.tplava", "bare.npz", "--json"))["classes"][0]
