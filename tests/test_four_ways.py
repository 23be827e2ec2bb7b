"""tools/four_ways.py in short: interpreter, CPU, C and the Loihi 2 emulator, bit for bit."""

import pathlib
import shutil
import sys

import numpy as np
import pytest
from conftest import lively, random_events

import tp_lava as tpl

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tools"))

import four_ways

needs_gcc = pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")


@needs_gcc
def test_neuron_steps(monkeypatch, tmp_path):
    monkeypatch.setattr(four_ways, "BUILDS", [("gcc", "-O3")])
    done = list(four_ways.neuron_steps(3000, 5, 3, tmp_path))
    assert {kind for kind, _, _ in done} == set(four_ways.KINDS)
    assert sum(neurons for _, neurons, _ in done) >= 3000
    assert all(numbers > neurons for _, neurons, numbers in done)


@needs_gcc
def test_learning(monkeypatch, tmp_path):
    monkeypatch.setattr(four_ways, "BUILDS", [("gcc", "-O0")])
    network = lively(tpl.Network.dense((11, 9, 4), tpl.LIF(0.9), seed=3), 2.5)
    samples = [(random_events(np.random.default_rng(n), 11, 8, 0.3), n) for n in range(2)]
    assert sum(four_ways.learning(network, tpl.TP(0.02, 0.05, 2), samples, tmp_path)) > 2000


def test_a_difference_is_told():
    with pytest.raises(four_ways.DifferenceError, match="here: y differs in 1 of 3 numbers, first at 1"):
        four_ways.same({"y": np.arange(3)}, {"y": np.array([0, 5, 2])}, "here")


@needs_gcc
def test_a_wrong_form_is_noticed(monkeypatch, tmp_path):
    def wrong(listing, arrays, key):
        four_ways_emulate(listing, arrays, key)
        arrays[next(port.name for port in listing.ports if port.role == "state")].ravel()[-1] ^= 1

    four_ways_emulate = four_ways.emulate
    monkeypatch.setattr(four_ways, "emulate", wrong)
    monkeypatch.setattr(four_ways, "BUILDS", [])
    monkeypatch.setattr(four_ways, "run_cpu", lambda program, arrays, key: four_ways.interpret(program, arrays, key))
    with pytest.raises(four_ways.DifferenceError, match=r"seed 3, program 0 \(LIF\), run 0, Loihi 2 emulator: \w+ differs in 1 of"):
        list(four_ways.neuron_steps(100, 5, 3, tmp_path))
