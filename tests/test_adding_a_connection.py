"""A kind of connection in one file of its own learns wherever the others do: engine, interpreter, C, Lava fused and opened."""

import shutil

import numpy as np
import pytest
from both_back_ends import BothBackEnds
from conftest import random_events, random_samples
from in_c import InC
from opened import assert_fused_is_the_engine, assert_layers_are_the_engine
from sparse_kind import Sparse

import tp_lava as tpl
from tp_lava.deploy.samples import present
from tp_lava.graph.connections import AllToAll
from tp_lava.graph.network import Connection, Network, Population

RULES = [tpl.TP(0.05, 0.05, 3), tpl.TESS(0.5, 0.05, basis="walsh", update="step"), tpl.TESS(0.5, 0.05, basis="walsh")]
NAMES = ["TP", "TESS, step", "TESS, sequence"]


def network(kind):
    """11-9-4, hidden0 of that kind."""
    made = [Connection("hidden0", "input", "hidden0", kind), Connection("readout", "hidden0", "readout", AllToAll(9, 4))]
    rng = np.random.default_rng(2)
    weights = {c.name: rng.normal(0, 2.5 / np.sqrt(c.kind.n_inputs), c.kind.weight_shape) for c in made}
    if isinstance(kind, Sparse):
        weights["hidden0"] = weights["hidden0"] * kind.present.T
    return Network((11,), [Population("hidden0", (9,), tpl.LIF(0.9), 0.8)], made, 4, weights)


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
@pytest.mark.parametrize("fixed", [False, True])
def test_back_ends_agree_and_only_its_synapses_learn(rule, fixed, rng):
    sparse = network(Sparse(11, 9))
    both = BothBackEnds(sparse, rule, fixed)
    before = both.memory["hidden0"].copy()
    for label in (0, 3):
        both.present([label], [random_events(rng, 11, 12, 0.3)])
    changed = both.memory["hidden0"] != before
    assert changed.any()
    assert not changed[~Sparse(11, 9).present].any()


def test_with_every_synapse_it_is_all_to_all(rng):
    learners = [tpl.Learner(network(kind), RULES[0]) for kind in (Sparse(11, 9, density=1.0), AllToAll(11, 9))]
    for sample in random_samples(rng, 3, 11, 4, rate=0.3):
        scores = [learner.learn(*sample).scores for learner in learners]
        np.testing.assert_allclose(*scores, atol=1e-5)
    np.testing.assert_allclose(*(learner.weights["hidden0"] for learner in learners), atol=1e-5)


def test_in_lava(rng):
    pytest.importorskip("lava")
    samples = random_samples(rng, 3, 11, 4, rate=0.3)
    assert_fused_is_the_engine(network(Sparse(11, 9)), RULES[1], samples)
    assert_layers_are_the_engine(network(Sparse(11, 9)), RULES[0], samples, "fixed_pt")


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
def test_in_c(tmp_path, rng):
    learner = tpl.Learner(network(Sparse(11, 9)), RULES[0], "fixed")
    in_c = InC(learner, tmp_path, ("-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all"))
    for events, label in random_samples(rng, 3, 11, 4, rate=0.3):
        present(learner, events, label)
        in_c.present(events, label)
        for name, found, expected in in_c.beside(learner, learner.circuits[1]):
            np.testing.assert_array_equal(found, expected, name)
