"""Files: everything comes back, and what is not a whole file of ours is refused with a reason."""

import dataclasses
import json

import numpy as np
import pytest
from conftest import lively, random_samples
from hostile_networks import fuzz
from safetensors import safe_open
from safetensors.numpy import save_file

import tp_lava as tpl
from tp_lava import archive
from tp_lava.provenance import ParameterRecord, Provenance

NEURON = tpl.LIF(0.9, 0.8, ">", "zero", 0.2, tpl.FastSigmoid(5.0))


@pytest.fixture
def network():
    return lively(tpl.Network.dense((10, 8, 4), neuron=NEURON, recurrent=True, seed=2), 2.5)


@pytest.mark.parametrize("precision", ["float", tpl.FixedPoint(weight_bits=6)])
def test_going_on_equals_never_having_stopped(precision, network, rng, tmp_path):
    samples = random_samples(rng, 8, 10, 4, rate=0.3)
    stays = tpl.Learner(network, tpl.TP(0.02, 0.02, 3), precision, seed=9)
    stays.fit(samples)
    stays.learn(*samples[0])
    stays.save(tmp_path / "learner.safetensors")
    goes = tpl.Learner.load(tmp_path / "learner.safetensors")
    assert (goes.samples_seen, goes.epochs_done, goes.seed, goes.rule, goes.precision) == (9, 1, 9, stays.rule, stays.precision)
    for learner in (stays, goes):
        learner.fit(samples, epochs=2)
        learner.learn_batch([s[0] for s in samples[:2]], [s[1] for s in samples[:2]])
    for name in stays.weights:
        np.testing.assert_array_equal(stays.weights[name], goes.weights[name])
    np.testing.assert_array_equal(stays.infer(samples[1][0]).scores, goes.infer(samples[1][0]).scores)


def test_a_learner_without_rule_and_with_biases(network, rng, tmp_path):
    learner = tpl.Learner(network.with_weights({"bias0": np.linspace(-0.2, 0.2, 8)}))
    learner.save(tmp_path / "x")
    events = random_samples(rng, 1, 10, 4)[0][0]
    np.testing.assert_array_equal(tpl.Learner.load(tmp_path / "x").infer(events).scores, learner.infer(events).scores)


def test_saving_replaces_the_old_file_in_one_move(network, tmp_path, monkeypatch):
    path = tmp_path / "learner.safetensors"
    learner = tpl.Learner(network)
    learner.save(path)
    before = path.read_bytes()
    monkeypatch.setattr(archive.os, "replace", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        learner.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def saved(network, tmp_path):
    path = tmp_path / "learner.safetensors"
    tpl.Learner(network, tpl.TP(contrast=2)).save(path)
    return path


@pytest.mark.parametrize("keep", [0, 5, 100, -1, -200])
def test_truncated_files_are_refused(keep, network, tmp_path):
    path = saved(network, tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(tpl.ArchiveError, match="cannot be read as a safetensors file .* may be truncated"):
        tpl.Learner.load(path)


def test_foreign_files_are_refused(tmp_path):
    text, tensors = tmp_path / "notes.txt", tmp_path / "model.safetensors"
    text.write_text("not a network")
    save_file({"w": np.zeros(3, np.float32)}, tensors)
    with pytest.raises(tpl.ArchiveError, match=r"notes.txt: cannot be read as a safetensors file"):
        tpl.Learner.load(text)
    with pytest.raises(tpl.ArchiveError, match=r"not one of tp_lava; convert it with tpl.convert"):
        tpl.Learner.load(tensors)
    with pytest.raises(FileNotFoundError, match="no such file"):
        tpl.Learner.load(tmp_path / "absent")


def rewrite(path, change):
    """The same file with another header."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()["tp_lava"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(header, tensors)
    save_file(tensors, path, {"tp_lava": json.dumps(header)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h, t: h.update(version=99), "has format version 99, this tp_lava reads up to 2; update tp_lava"),
        (lambda h, t: h.update(kind="network"), "holds a network, not a learner"),
        (lambda h, t: h.pop("version"), "has a damaged header"),
        (lambda h, t: h["network"].update(n_classes=-3), "describes something impossible"),
        (lambda h, t: h["rule"].update(type="os.system"), "describes something impossible"),
        (lambda h, t: h["rule"].update(rate="fast"), "describes something impossible"),
        (lambda h, t: t.pop("hidden0"), "describes something impossible"),
        (lambda h, t: t.update(hidden0=np.zeros((2, 2), np.float32)), r"hidden0 is float32 \(2, 2\), not float32 \(10, 8\)"),
    ],
)
def test_newer_damaged_and_inconsistent_files_are_refused(change, message, network, tmp_path):
    path = saved(network, tmp_path)
    rewrite(path, change)
    with pytest.raises(tpl.ArchiveError, match=message):
        tpl.Learner.load(path)


def test_hostile_networks_are_refused_or_read(tmp_path):
    assert fuzz(150, tmp_path) < 120


def test_provenance_of_older_files_is_read(network, tmp_path):
    """Files say "Fate" and "fates" where they were written before those were called ParameterRecord and records."""
    record = ParameterRecord("fc", "weight", "rescaled", "by bn")
    converted = dataclasses.replace(network, provenance=Provenance("torch", (record,), tpl.FixedPoint(weight_bits=6)))
    tpl.save_network(converted, tmp_path / "new.tplava")
    with safe_open(tmp_path / "new.tplava", framework="numpy") as file:
        header, arrays = file.metadata()["tp_lava"], {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert '"type": "ParameterRecord"' in header
    older = header.replace('"ParameterRecord"', '"Fate"').replace('"records"', '"fates"')
    save_file(arrays, tmp_path / "old.tplava", {"tp_lava": older})
    for name in ("new.tplava", "old.tplava"):
        assert tpl.load_network(tmp_path / name).provenance == converted.provenance
