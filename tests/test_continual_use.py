"""Continual learning where it is used: fine-tuning, its command, and the mapping onto a chip."""

import json

import numpy as np
import pytest
from test_continual import CLASSES, learner, task
from typer.testing import CliRunner

import tp_lava as tpl
from tp_lava.cli import app
from tp_lava.continual.cost import learned_arrays
from tp_lava.deploy import map_network
from tp_lava.deploy.loihi2 import count, estimate, microjoules_a_sample
from tp_lava.finetuning import ANCHOR, GATE, REPLAY, RULE, finetune
from tp_lava.rules.layer_rates import scaled

OPTIONS = {"rule": tpl.TP(0.01, 0.01, contrast="all"), "epochs": 2}


def network():
    return learner().network


# Fine-tuning -----------------------------------------------------------------------------------------


def test_old_samples_are_replayed_by_default_and_nothing_is_without_them():
    old, new, test = task(1, 20), task(2, 6, shift=2), task(3, 9)
    alone = finetune(network(), new, test, **OPTIONS)
    assert alone.continual is alone.cost is None
    done = finetune(network(), new, test, old=old, **OPTIONS)
    assert (done.continual.replay, done.continual.gate, done.continual.anchor) == (REPLAY, GATE, ANCHOR)
    assert done.cost.seen == 12
    assert done.cost.replayed == 12 * REPLAY.per_sample
    assert len(done.continual.buffer) == 26
    assert done.to_dict()["cost"]["replay_bytes"] == done.continual.buffer.bytes
    assert done.learner is done.continual.learner


@pytest.mark.parametrize("in_lava", [False, True])
def test_it_is_the_continual_learner(in_lava):
    old, new, test = task(1, 20), task(2, 6, shift=2), task(3, 9)
    settings = {"replay": tpl.Replay(10, 2), "gate": tpl.Gate("unsure", margin=0.5), "anchor": tpl.Anchor(0.05)}
    done = finetune(network(), new, test, old=old, in_lava=in_lava, **settings, **OPTIONS)
    continual = tpl.Continual(tpl.Learner(network(), OPTIONS["rule"], done.learner.fixed, schedule=tpl.Cosine(2)), **settings)
    continual.remember(old)
    for _ in range(2):
        continual.fit_epoch(new, keep=False)
    continual.remember(new)
    for name, array in continual.learner.weights.items():
        np.testing.assert_array_equal(done.learner.weights[name], array)
    assert done.continual.buffer.samples == continual.buffer.samples
    assert done.cost.relearned == continual.cost.relearned


def test_the_best_epoch_keeps_its_own_buffer_and_cost():
    old, new, test = task(1, 20), task(2, 6, shift=2), task(3, 9)
    done = finetune(network(), new, test, old=old, validation=test, keep_best=True, **OPTIONS)
    assert done.cost.seen == 6 * done.epoch
    assert done.learner.evaluate(test) == pytest.approx(max(done.curve))


def test_layers_have_rates_of_their_own():
    net = tpl.Network.dense((12, 10, 8, 3))
    rule = scaled(tpl.TP(0.01, 0.02, contrast=2), net, {"hidden1": 0.5, "readout": 0.0})
    assert rule.rate == (0.01, 0.005)
    assert rule.readout_rate == 0
    done = finetune(network(), task(2, 6), task(3, 6), rates={"hidden0": 0.0}, **OPTIONS)
    np.testing.assert_array_equal(done.learner.weights["hidden0"], tpl.Learner(network(), None, "fixed").weights["hidden0"])
    assert scaled(RULE, net, {}) is RULE


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rates": {"hidden9": 1}}, "finetune: rates is hidden9, but must be among hidden0, readout"),
        ({"rates": {"readout": -1}}, "finetune: rates\\['readout'\\] is -1"),
        ({"replay": tpl.Replay(5)}, "finetune: old is empty, but must be samples of the old task, to be replayed"),
    ],
)
def test_finetune_refuses(options, message):
    with pytest.raises(tpl.InvalidValueError, match=message):
        finetune(network(), task(2, 3), task(3, 3), **options)


def command(*arguments):
    return CliRunner().invoke(app, ["finetune", "digits", "--shots", "1", "--epochs", "1", *arguments])


def test_the_command_replays_gates_and_anchors():
    done = command("--sensor", "mirrored", "--replay", "20", "--replay-each", "2", "--gate", "wrong", "--anchor", "0.01", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert told["cost"]["replayed"] == 2 * told["cost"]["seen"] == 80  # ten, in four variants
    assert told["cost"]["presentations"] > 30
    assert told["cost"]["anchor_bytes"] == 512 * 200 + 2000
    shown = command("--new-class", "9", "--replay", "20", "--gate", "always")
    assert shown.exit_code == 0, shown.output
    assert "cost of learning" in shown.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--replay", "20"), "finetune: replay is 20, but must be left out where there is no old task"),
        (("--replay-each", "2"), "finetune: replay_each is 2, but must be left out where nothing is replayed"),
        (("--margin", "0.2"), "finetune: margin is 0.2, but must be left out without a gate"),
        (("--gate", "unsure"), "Gate: margin is None"),
        (("--layer-rate", "hidden0"), "finetune: layer_rate is 'hidden0'"),
    ],
)
def test_the_command_refuses(arguments, message):
    done = command(*arguments)
    assert done.exit_code != 0
    assert message in str(done.exception)


# On a chip -------------------------------------------------------------------------------------------


def test_a_mapping_counts_buffer_and_copies():
    own = learner()
    plain = map_network(own)
    continual = tpl.Continual(own, tpl.Replay(40, 2), tpl.Gate("wrong"), tpl.Anchor(0.01))
    continual.remember(task(1, 20))
    mapping = map_network(continual)
    assert mapping.continual.replay_bytes == 2 * continual.buffer.bytes
    (before,), (after,) = ([c for layer in m.layers for c in layer.connections if c.plastic] for m in (plain, mapping))
    assert after.state_bits == before.state_bits + 8
    assert sum(core.memory for core in mapping.cores) > sum(core.memory for core in plain.cores)
    tasks = {t.name: t for p in mapping.processors for t in p.tasks}
    assert tasks["replay and gate"].memory == mapping.continual.replay_bytes
    assert tasks["replay and gate"].operations > 0
    assert tasks["anchor"].memory == 10 * CLASSES
    assert mapping.continual.anchor_bytes == 12 * 10 + 10 * CLASSES == continual.cost.anchor_bytes
    assert set(mapping.continual.anchor_bits) == set(learned_arrays(own.circuits[1]))
    assert json.loads(json.dumps(mapping.to_dict()))["continual"]["replay_bytes"] == mapping.continual.replay_bytes
    continual.fit(task(2, 4))
    assert "presentations a new sample" in str(map_network(continual))
    assert "continual" not in plain.to_dict()


def test_a_buffer_bounded_in_bytes_counts_as_full_and_no_buffer_as_nothing():
    own = learner()
    assert map_network(tpl.Continual(own, tpl.Replay(bytes=12345))).continual.replay_bytes == 12345
    bare = map_network(tpl.Continual(own))
    assert [t.name for p in bare.processors for t in p.tasks] == [t.name for p in map_network(own).processors for t in p.tasks]


def test_energy_of_a_new_sample_is_that_of_all_its_presentations():
    own, samples = learner(), task(1, 5)
    continual = tpl.Continual(own, tpl.Replay(10, 2), tpl.Gate("wrong"))
    continual.remember(task(4, 10))
    mapping = map_network(continual)
    inference, learning = (estimate(mapping, count(own, samples, learning)) for learning in (False, True))
    assert microjoules_a_sample(inference, learning, continual.cost) == (0.0, 0.0)
    continual.fit(samples)
    cost = continual.cost
    learned = cost.learned + cost.relearned
    for place in range(2):
        expected = (cost.presentations - learned) * inference.microjoules[place] + learned * learning.microjoules[place]
        assert microjoules_a_sample(inference, learning, cost)[place] == pytest.approx(expected / 5)
