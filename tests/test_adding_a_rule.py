"""Rules in one file of their own work wherever TP and TESS do: engine, interpreter, Lava, C, files.

delta_rule.py is the plain one; output_error_rule.py learns after the readout, second_trace_rule.py by a second presynaptic trace,
synapse_state_rule.py by a state per synapse.
"""

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from both_back_ends import BothBackEnds
from conftest import lively, random_events, random_samples
from delta_rule import Delta
from opened import PRECISIONS, assert_fused_is_the_engine, assert_layers_are_the_engine, in_engine, in_layers
from output_error_rule import OutputError
from rule_oracle import learned_by_hand
from second_trace_rule import SecondTrace
from synapse_state_rule import SynapseState

import tp_lava as tpl
from tp_lava.deploy import export_c
from tp_lava.lava.learning import check_stock
from tp_lava.rules import BaseRule

SIZES = (11, 9, 7, 4)
RULE = Delta(0.05, 0.02)
RULES = (RULE, OutputError(0.05, 0.02), SecondTrace(0.02, 0.02), SynapseState(0.02, 0.02))
NAMES = [type(rule).__name__ for rule in RULES]


@pytest.fixture
def network():
    return lively(tpl.Network.dense(SIZES, trace_decay=0.8, recurrent=(True, False), seed=3), 2.5)


@pytest.fixture
def samples(rng):
    return random_samples(rng, 3, SIZES[0], SIZES[-1], rate=0.3)


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_the_engine_computes_its_equations(rule, network, samples):
    learner = tpl.Learner(network, rule)
    learner.learn(*samples[0])
    for name, expected in learned_by_hand(network, rule, *samples[0]).items():
        np.testing.assert_allclose(learner.weights[name], expected, atol=2e-5, err_msg=name)
        assert np.abs(expected - network.weights[name]).max() > 1e-4, name


@pytest.mark.parametrize("precision", ["float", "fixed"])
def test_it_learns(precision):
    """The layer's own error falls, and a blank network tells two patterns apart."""
    patterns = [tpl.Events.from_dense(np.tile(np.arange(12) % 2 == kind, (20, 1))) for kind in range(2)]
    learner = tpl.Learner(lively(tpl.Network.dense((12, 20, 2), trace_decay=0.8), 1.5), Delta(0.01, 0.01), precision)

    def present():
        """-> the layer's error at the end of each sample."""
        errors = []
        for label, events in enumerate(patterns):
            learner.learn(events, label)
            errors.append(np.abs(learner.buffers["hidden0_error"].decode(learner.memory["hidden0_error"])).mean())
        return np.mean(errors)

    first = present()
    for _ in range(20):
        last = present()
    assert last < 0.6 * first
    assert learner.evaluate([tpl.Sample(events, label) for label, events in enumerate(patterns)]) == 1.0


@pytest.mark.parametrize("update", ["step", "sequence"])
@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_interpreter_and_cpu_agree_bit_for_bit(rule, update, network, rng):
    both = BothBackEnds(network, replace(rule, update=update))
    for label in (0, 3):
        both.present([label], [random_events(rng, SIZES[0], 15, 0.3)])


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_in_lava(rule, network, samples):
    assert_fused_is_the_engine(network, rule, samples)


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
@pytest.mark.parametrize("tag", PRECISIONS)
def test_in_lava_opened_into_layers(tag, rule, network, samples):
    assert_layers_are_the_engine(network, rule, samples, tag)


def test_in_lavas_own_learning_engine(samples):
    shallow = lively(tpl.Network.dense((11, 9, 4), trace_decay=0.8, seed=3), 2.5)
    found, _ = in_layers(shallow, RULE, samples, "floating_pt", stock=True)
    expected, _ = in_engine(shallow, RULE, samples, "floating_pt")
    np.testing.assert_allclose(found.weights["hidden0"], expected.weights["hidden0"], rtol=1e-5, atol=1e-5)


def test_lavas_own_learning_engine_refuses_traces_it_does_not_know(monkeypatch):
    monkeypatch.setattr(Delta, "keeps_pre_trace", True)
    with pytest.raises(tpl.InvalidValueError, match="LearningTraceLIF: rule is Delta, by presynaptic traces, .* use layers=True"):
        check_stock(tpl.Network.dense((11, 9, 4)), RULE)


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_in_c(rule, network, tmp_path):
    export_c(tpl.Learner(network, rule, "fixed"), tmp_path)
    done = subprocess.run(["make", "-C", tmp_path, "CC=gcc", "CFLAGS=-O1", "test"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "as tp_lava computed" in done.stdout


def test_in_a_file(network, samples, tmp_path):
    learner = tpl.Learner(network, replace(RULE, rate=(0.1, 0.0)), "fixed")
    learner.learn(*samples[0])
    learner.save(tmp_path / "learner.safetensors")
    loaded = tpl.Learner.load(tmp_path / "learner.safetensors")
    assert loaded.rule == learner.rule
    for name in network.weights:
        np.testing.assert_array_equal(loaded.mantissas[name], learner.mantissas[name])


def test_a_file_with_a_rule_that_is_not_imported_says_so(network, tmp_path, monkeypatch):
    tpl.Learner(network, RULE).save(tmp_path / "learner.safetensors")
    monkeypatch.delitem(BaseRule.types, "Delta")
    with pytest.raises(tpl.ArchiveError, match="'Delta' is no type known here; import the module that defines it first"):
        tpl.Learner.load(tmp_path / "learner.safetensors")


def test_what_a_new_rule_may_not_be(network, monkeypatch):
    monkeypatch.setattr(BaseRule, "types", dict(BaseRule.types))
    with pytest.raises(tpl.InvalidValueError, match="Rule: name is 'TP', but must be none that tp_lava.rules.tp has; give it another one"):
        type("TP", (BaseRule,), {})

    with pytest.raises(tpl.InvalidValueError, match=r"Delta: readout is Match\(\), but must be a Readout; only TP"):
        Delta(readout=tpl.Match())
