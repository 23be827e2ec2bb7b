"""Networks and learners are pickled, deep-copied and sent to workers; they go on there as they would have here."""

import copy
import multiprocessing
import pickle

import numpy as np
import pytest
from conftest import random_samples

import tp_lava as tpl
from tp_lava.graph.connections import Convolution
from tp_lava.graph.network import Layer, Network
from tp_lava.graph.pooling import Pool2d
from tp_lava.provenance import ParameterRecord, Provenance

RULES = {
    "TP": (tpl.TP(), "float", {"optimiser": tpl.Adam(), "schedule": tpl.Cosine(5)}),
    "TP, fixed": (tpl.TP(), "fixed", {}),
    "TESS": (tpl.TESS(basis="walsh"), "fixed", {"schedule": tpl.Plateau()}),
    "DECOLLE": (tpl.DECOLLE(), "float", {"optimiser": {"hidden0": tpl.Adam(), "readout": tpl.SGD()}}),
    "none": (None, "float", {}),
}


def learned(learner, samples):
    """A learner's weights and random counters after some more samples."""
    if learner.rule:
        learner.fit(samples)
    return {**learner.weights, **{name: learner.memory[name].copy() for name in ("random_seed", "random_step", "samples_seen")}}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize("way", [copy.deepcopy, copy.copy, lambda thing: pickle.loads(pickle.dumps(thing))], ids=["deep", "copy", "pickle"])
def test_a_learner_goes_on_elsewhere(way, rng):
    samples = random_samples(rng, 6, 6, 4)
    for name, (rule, precision, how) in RULES.items():
        learner = tpl.Learner(tpl.Network.dense((6, 5, 4), seed=1), rule, precision, seed=3, **how)
        if rule:
            learner.fit(samples)
        learner.learning = name != "TESS"
        other = way(learner)
        assert (other.epochs_done, other.samples_seen, other.learning) == (learner.epochs_done, learner.samples_seen, learner.learning)
        before = learned(other, samples)
        learner.learning = other.learning
        assert_same(learned(learner, samples), before)  # neither learned by the other's samples


def test_a_network_with_all_that_it_can_have(rng):
    spatial = Convolution((1, 6, 6), 2, (3, 3), pooling=(Pool2d((2, 2), (2, 2)),))
    layers = (Layer(spatial.size, tpl.LIF(0.9), 0.9, connection=spatial), Layer(3, tpl.LIF((0.9, 0.8, 0.7)), recurrent=True))
    shapes = {"hidden0": spatial.weight_shape, "hidden1": (3, spatial.size), "recurrent1": (3, 3), "readout": (2, 3)}
    weights = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    origin = Provenance("nir", (ParameterRecord("a", "b", "kept"),), tpl.FixedPoint())
    made = Network.of_layers(36, layers, 2, weights, 0.9, origin, rule_parameters={"target": rng.normal(size=(3, 2))})
    for other in (copy.deepcopy(made), copy.copy(made), pickle.loads(pickle.dumps(made))):
        for name in (
            "input_shape",
            "populations",
            "connections",
            "n_classes",
            "readout_decay",
            "provenance",
            "seed",
            "drawn",
            "input_format",
        ):
            assert getattr(other, name) == getattr(made, name)
        assert_same(dict(other.weights), dict(made.weights))
        assert_same(dict(other.rule_parameters), dict(made.rule_parameters))
        with pytest.raises(ValueError, match="read-only"):
            other.weights["readout"][0] = 1


def _accuracy(given):
    learner, samples = given
    learner.fit(samples)
    return learner.weights["hidden0"]


def test_a_learner_is_sent_to_a_worker(rng):
    samples = random_samples(rng, 4, 6, 3)
    learner = tpl.Learner(tpl.Network.dense((6, 5, 3)), tpl.TP(), "fixed")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        (there,) = pool.map(_accuracy, [(learner, samples)])
    np.testing.assert_array_equal(_accuracy((learner, samples)), there)
