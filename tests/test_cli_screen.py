"""What commands say to someone new: on a narrow screen, of data that is not the model's, and of a model that is in float."""

import numpy as np
import pytest
from typer.testing import CliRunner

import tp_lava as tpl
from tp_lava.cli import app
from tp_lava.deploy.loihi2 import map_network


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A model and a learner, both of 12 inputs, with recordings; 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    rng = np.random.default_rng(0)
    network = tpl.Network.dense((12, 8, 3), seed=1)
    times, units = ([np.sort(rng.integers(0, most, 60)) for _ in range(30)] for most in (20, 12))
    tpl.data.save_samples("own.npz", tpl.data.from_arrays(times, units, [i % 3 for i in range(30)], step=1, n_units=12))
    tpl.save_network(network, "own.tplava")
    tpl.Learner(network, tpl.TP(contrast=2)).save("float.safetensors")


def said(*arguments):
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_report_lies_on_its_side_where_it_is_too_wide(own, monkeypatch):
    asked = ("quantise", "own.tplava", "--data", "own.npz")
    narrow = said(*asked)
    assert "connection ┃" in narrow
    assert all(len(line) <= 80 for line in narrow.splitlines() if "│" in line)
    for row in ("SNR dB", "head-room", "agreement", "saturated"):
        assert row in narrow
    monkeypatch.setenv("COLUMNS", "250")
    assert "connection ┃ bits ┃ scale" in said(*asked)


def test_ranges_fit_a_narrow_screen_and_take_a_float_learner(own, monkeypatch):
    narrow = said("ranges", "float.safetensors")
    names = {entry.name for entry in tpl.check_ranges(tpl.Learner(*_parts(), "fixed")).entries if not entry.program}
    assert names <= set(narrow.split()), "whole, in one line"
    assert "hidden0: learns, to the ends of its format" in narrow
    assert "head-room" in narrow
    assert max(map(len, narrow.splitlines())) <= 80
    monkeypatch.setenv("COLUMNS", "200")
    assert "layer" in said("ranges", "float.safetensors")


def _parts():
    learner = tpl.Learner.load("float.safetensors")
    return learner.network, learner.rule


@pytest.mark.parametrize("command", ["eval", "quantise", "finetune", "report"])
def test_data_that_is_not_the_models(own, command):
    with pytest.raises(tpl.InvalidValueError) as caught:
        CliRunner().invoke(app, [command, "own.tplava"], catch_exceptions=False)
    told = f"{command}: data is of 512 inputs, but must be of the model's 12; give what the model is for with --data."
    assert str(caught.value) == told


def test_convert_writes_with_out_as_others_do(own, tmp_path):
    said("convert", "own.tplava", "--out", "a.tplava")
    said("convert", "own.tplava", "--to", "b.tplava")
    assert (tmp_path / "a.tplava").read_bytes() == (tmp_path / "b.tplava").read_bytes()


def test_one_core_on_one_chip(own):
    mapping = map_network(tpl.Network.dense((12, 8, 3), seed=1))
    assert mapping.size == "1 core on 1 chip"
    assert str(mapping).startswith("1 core on 1 chip, on Oheo Gulch\n  hidden0: 8 compartments, 1 core, ")
    assert said("map", "own.tplava").startswith("1 core on 1 chip, Oheo Gulch")
    assert map_network(tpl.Network.dense((12, 9000, 3), seed=1)).size.endswith(" cores on 1 chip")


def test_a_learner_says_what_it_is(own):
    network, rule = _parts()
    assert repr(tpl.Learner(network, rule, "fixed")) == "Learner(Network(12-8-3), TP, fixed, 0 samples learned)"
    assert repr(tpl.Learner(network)) == "Learner(Network(12-8-3), no rule, float, 0 samples learned)"
