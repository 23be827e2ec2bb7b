"""A neuron in one file of its own works wherever LIF does: engine, interpreter, Lava, C, files; other forms refuse it by name."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import recovering_neuron
from both_back_ends import BothBackEnds
from conftest import lively, random_events, random_samples
from opened import assert_fused_is_the_engine, assert_layers_are_the_engine
from recovering_neuron import Recovering
from test_neuron import simulate
from typer.testing import CliRunner

import tp_lava as tpl
from tp_lava import cli
from tp_lava.deploy import export_c, map_network
from tp_lava.dynamics.neuron import NeuronFormats, neuron_program
from tp_lava.numbers import Format
from tp_lava.ranges import check_ranges
from tp_lava.units import Units

SIZES = (11, 9, 4)
RULE = tpl.TP(0.03, 0.02, 2, train_target=True)  # its target streams run through such neurons, too
NEURON = Recovering(0.9, recovery_decay=0.8, rise=0.3)


@pytest.fixture
def network():
    return lively(tpl.Network.dense(SIZES, NEURON, trace_decay=0.8, seed=3), 2.5)


@pytest.fixture
def samples(rng):
    return random_samples(rng, 3, SIZES[0], SIZES[-1], rate=0.3)


def by_hand(drive, neuron):
    """-> spikes of one neuron; as the equations of recovering_neuron.py say."""
    v = w = 0.0
    for arriving in drive:
        pre = neuron.decay * v + arriving - w
        spiked = pre >= neuron.threshold
        v, w = pre - spiked * neuron.threshold, neuron.recovery_decay * w + spiked * neuron.rise
        yield spiked


def test_it_is_the_one_of_the_recipe():
    page = Path(__file__).resolve().parents[1] / "docs" / "recipes.md"
    assert Path(recovering_neuron.__file__).read_text() in page.read_text()


def test_it_spikes_as_its_equations_say(rng):
    drive = rng.normal(0.4, 0.5, (60, 1)).astype(np.float32)
    numbers = {"decay": 0.9, "threshold": 1.0, "recovery_decay": 0.8, "rise": 0.3}
    out = simulate(neuron_program(NEURON, {"input": None}, surrogate=False), drive, **numbers)
    assert 5 < out["spike"].sum() < 40
    np.testing.assert_array_equal(out["spike"].ravel(), list(by_hand(drive.ravel(), NEURON)))


def test_in_fixed_point_its_state_is_as_the_membrane(rng):
    formats = NeuronFormats(Format(24, 12), Format(16, 10, False))
    program = neuron_program(NEURON, {"input": Format(12, 12)}, formats, surrogate=False)
    assert program.port("recovery").format == program.port("membrane").format


def test_interpreter_and_cpu_agree_bit_for_bit(network, rng):
    both = BothBackEnds(network, RULE)
    for label in (0, 3):
        both.present([label], [random_events(rng, SIZES[0], 15, 0.3)])


def test_in_lava(network, samples):
    assert_fused_is_the_engine(network, RULE, samples)


def test_in_lava_opened_into_layers(network, samples):
    assert_layers_are_the_engine(network, RULE, samples, "fixed_pt")


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
def test_in_c(network, tmp_path):
    export_c(tpl.Learner(network, RULE, "fixed"), tmp_path)
    done = subprocess.run(["make", "-C", tmp_path, "CC=gcc", "CFLAGS=-O1", "test"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "as tp_lava computed" in done.stdout


def test_in_a_file_with_one_number_a_neuron(tmp_path, monkeypatch):
    own = Recovering(rise=np.linspace(0.1, 0.5, 9))
    network = tpl.Network.dense(SIZES, own)
    tpl.save_network(network, tmp_path / "own.tplava")
    assert tpl.load_network(tmp_path / "own.tplava").populations[0].neuron == own
    monkeypatch.delitem(tpl.LIF.types, "Recovering")
    with pytest.raises(tpl.ArchiveError, match="'Recovering' is no type known here; import the module that defines it first"):
        tpl.load_network(tmp_path / "own.tplava")
    monkeypatch.delitem(sys.modules, "recovering_neuron")
    monkeypatch.chdir(Path(__file__).parent)
    done = CliRunner().invoke(cli.app, ["--import", "recovering_neuron", "inspect", str(tmp_path / "own.tplava"), "--json"])
    assert done.exit_code == 0, done.output
    assert isinstance(CliRunner().invoke(cli.app, ["--import", "no_such_module", "info"]).exception, tpl.InvalidValueError)
    with pytest.raises(tpl.InvalidValueError, match="neuron.rise is 9 numbers, but must be one number, or one for each of 8 neurons"):
        tpl.Network.dense((11, 8, 4), own)


def test_ranges_and_placement_take_it(network):
    learner = tpl.Learner(network, RULE, "fixed")
    check_ranges(learner, steps=20)
    assert map_network(learner).layers


def in_torch(network, samples):
    pytest.importorskip("torch")
    from tp_lava.torch import SpikingNetwork

    return SpikingNetwork(network)


def in_nir(network, samples):
    pytest.importorskip("nir")
    return tpl.to_nir(network, dt=1e-3)


@pytest.mark.parametrize("form", [tpl.quantise, in_nir, in_torch])
def test_forms_that_know_lif_alone_refuse_it(form, network, samples):
    with pytest.raises(tpl.InvalidValueError, match="neuron is a Recovering, but must be a LIF, .* use the engine"):
        form(network, samples)


def test_rules_and_units_that_cannot_take_it(samples):
    network = tpl.Network.dense(SIZES, Recovering(threshold=2.0))
    with pytest.raises(tpl.InvalidValueError, match="hidden0: neuron is with .* or states of its own"):
        tpl.Learner(network, tpl.OSTL())
    with pytest.raises(tpl.InvalidValueError, match="hidden0: neuron is a Recovering with a threshold of 2.0, .* only its author knows"):
        Units.of(network).apply(network)


@pytest.mark.parametrize("name", ["membrane", "no name"])
def test_names_of_states_that_are_taken(name, monkeypatch):
    monkeypatch.setattr(tpl.LIF, "types", dict(tpl.LIF.types))
    with pytest.raises(tpl.InvalidValueError, match=f"Taken: states is '{name}', but must be names of letters"):

        @dataclass(frozen=True)
        class Taken(tpl.LIF):
            states: ClassVar[tuple[str, ...]] = (name,)
