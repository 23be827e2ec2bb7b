"""Delays of a connection: the same as a network of more inputs whose events come later, in every form."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from both_back_ends import BothBackEnds
from conftest import lively, random_samples
from hypothesis import given, settings
from hypothesis import strategies as st
from opened import PRECISIONS, SEED, assert_layers_are_the_engine, in_engine

import tp_lava as tpl
from tp_lava.graph.connections import AllToAll
from tp_lava.graph.network import Connection
from tp_lava.numbers import Format
from tp_lava.ranges.analysis import IntervalAnalysis

RULES = {
    "TP": tpl.TP(0.05, 0.02, 3),
    "TP, sequence": tpl.TP(0.05, 0.02, 3, update="sequence"),
    "TESS": tpl.TESS(0.5, 0.02, basis="walsh", update="step", activity="trace"),
    "none": None,
}


def network(rng=None, sizes=(7, 9, 6, 4), recurrent=True, **options):
    """Copies of the input, one delay a unit of the layer above, and a recurrent connection that is delayed too."""
    rng = rng or np.random.default_rng(0)
    delays = [rng.integers(0, 7, (3, sizes[0])), rng.integers(0, 5, sizes[1])]
    made = lively(tpl.Network.dense(sizes, tpl.LIF(0.9, 0.5), 0.8, (recurrent, False), 1, delays, **options), 1.5)
    back = tpl.Delays.of(2, sizes[1])
    return replace(made, connections=tuple(replace(c, delays=back) if c.recurrent else c for c in made.connections))


def synaptic(rng=None, sizes=(7, 9, 6, 4)):
    """One delay a synapse, of the first layer, of the second, and back."""
    rng = rng or np.random.default_rng(3)
    delays = [tpl.SynapticDelays.of(rng.integers(0, 9, (post, pre))) for pre, post in pairwise(sizes[:-1])]
    made = lively(tpl.Network.dense(sizes, tpl.LIF(0.9, 0.5), 0.8, (True, False), 1, delays), 1.5)
    back = tpl.SynapticDelays.of(rng.integers(0, 3, (sizes[1], sizes[1])))
    return replace(made, connections=tuple(replace(c, delays=back) if c.recurrent else c for c in made.connections))


NETWORKS = {"copies": network, "synaptic": synaptic}


def later(events, delays):
    """The events that arrive: an independent computation, on dense arrays."""
    dense = events.to_dense()
    graded = events.values is not None
    arrived = np.zeros((events.n_steps, delays.n_delayed), dense.dtype)
    for place, steps in enumerate(delays.steps):
        arrived[steps:, place] = dense[: max(events.n_steps - steps, 0), place % delays.n_units]
    return tpl.Events.from_dense(arrived, graded=graded)


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_it_is_a_network_of_the_copies_whose_events_come_later(data):
    """Of the first connection: the same bits."""
    seed = data.draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    n, copies = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    delays = tpl.Delays.of(rng.integers(0, data.draw(st.sampled_from((1, 4, 64))), (copies, n)), n)
    delayed = lively(tpl.Network.dense((n, 8, 3), tpl.LIF(0.9, 0.4), 0.8, seed=seed, delays=delays), 2)
    plain = replace(tpl.Network.dense((n * copies, 8, 3), tpl.LIF(0.9, 0.4), 0.8, seed=seed), rule_parameters=delayed.rule_parameters)
    plain = plain.with_weights(delayed.weights)
    rule = RULES[data.draw(st.sampled_from(("TP", "TESS")))]
    learners = [tpl.Learner(each, rule, "fixed", 3) for each in (delayed, plain)]
    for events, label in random_samples(rng, 3, n, 3, data.draw(st.integers(1, 80)), 0.3):
        scores = [learner.learn(e, label).scores for learner, e in zip(learners, (events, later(events, delays)), strict=True)]
        np.testing.assert_array_equal(*scores)
    for name in learners[0].weights:
        np.testing.assert_array_equal(learners[0].weights[name], learners[1].weights[name], name)


@pytest.mark.parametrize("fixed", [True, False], ids=["fixed", "float"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", NETWORKS)
def test_interpreter_and_cpu_agree(kind, rule, fixed, rng):
    both = BothBackEnds(NETWORKS[kind](), RULES[rule], fixed)
    for events, label in random_samples(rng, 3, 7, 4, 15, 0.3):
        both.present([label] if RULES[rule] else (), [events])
    assert both.memory["hidden1_total"].sum() > 0


def graded_network():
    return replace(network(), input_format=Format(5, 1))


def graded_samples(rng, count=3, steps=12):
    dense = [(rng.random((steps, 7)) < 0.3) * rng.integers(-9, 9, (steps, 7)) / 2 for _ in range(count)]
    return [tpl.Sample(tpl.Events.from_dense(each, graded=True), k % 4) for k, each in enumerate(dense)]


@pytest.mark.parametrize("fixed", [True, False], ids=["fixed", "float"])
def test_values_come_later_too(fixed, rng):
    made = graded_network()
    delays = made.connections[0].delays
    learner = tpl.Learner(made, RULES["TP"], "fixed" if fixed else "float", 1)
    engine = tpl.Learner(made, RULES["TP"], "fixed" if fixed else "float", 1)
    from tp_lava.backends.interpreter import Interpreter

    for events, label in graded_samples(rng):
        learner.learn(events, label)
        engine.begin(label, n_steps=events.n_steps)
        held = engine.buffers["input_value"].encode(events.values)
        code = Interpreter().compile(engine.circuits[1])
        code.steps(engine.memory, events.offsets[None], events.units, 0, events.n_steps, held)
        for name in ("hidden0", "hidden1", "recurrent0", "hidden0_membrane"):
            np.testing.assert_allclose(learner.memory[name], engine.memory[name], rtol=0 if fixed else 1e-3, atol=0 if fixed else 1e-5)
    assert delays.longest > 0


def test_values_are_those_of_the_copies(rng):
    n, delays = 7, tpl.Delays.of(np.arange(0, 6, 2)[:, None], 7)
    made = replace(lively(tpl.Network.dense((n, 8, 4), tpl.LIF(0.9, 0.5), 0.8, delays=delays), 2), input_format=Format(5, 1))
    plain = replace(tpl.Network.dense((3 * n, 8, 4), tpl.LIF(0.9, 0.5), 0.8), input_format=Format(5, 1)).with_weights(made.weights)
    for events, _ in graded_samples(rng):
        expected = tpl.Learner(plain, precision="fixed").infer(later(events, delays)).scores
        np.testing.assert_array_equal(tpl.Learner(made, precision="fixed").infer(events).scores, expected)


@pytest.mark.parametrize("rule", ["TP", "TESS", "none"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_in_lava(kind, rule, rng):
    samples, made = random_samples(rng, 3, 7, 4, 12, 0.3), NETWORKS[kind]()
    result = tpl.lava.run(made, RULES[rule], samples, seed=SEED)
    expected, scores = in_engine(made, RULES[rule], samples, "fixed_pt")
    np.testing.assert_array_equal(result.scores, scores)
    for name in expected.mantissas:
        np.testing.assert_array_equal(result.learner.mantissas[name], expected.mantissas[name])


@pytest.mark.parametrize("tag", PRECISIONS)
@pytest.mark.parametrize("rule", ["TP", "TESS"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_in_lava_opened_into_layers(kind, rule, tag, rng):
    samples, made = random_samples(rng, 3, 7, 4, 12, 0.3), NETWORKS[kind]()
    assert_layers_are_the_engine(made, RULES[rule], samples, tag)


def test_graded_in_lava_opened_into_layers(rng):
    assert_layers_are_the_engine(graded_network(), RULES["TP"], graded_samples(rng), "fixed_pt")


def test_convolutions_see_copies_as_channels(rng):
    layers = [tpl.Conv2d(3, 3, padding=1, gain=3, delays=np.array([[0], [2]])), tpl.MaxPool2d(2), tpl.Dense(6, gain=4, delays=3)]
    made = tpl.Network.sequential((2, 6, 6), layers, 4, tpl.LIF(0.9, 0.3), 0.8)
    assert made.weights["hidden0"].shape == (3, 4, 3, 3)
    both = BothBackEnds(made, RULES["TP"])
    for events, label in random_samples(rng, 2, 72, 4, 9, 0.3):
        both.present([label], [events])


@pytest.mark.parametrize("rule", ["TP", "TESS"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_in_pytorch(kind, rule, rng):
    """A batch of the engine's is a batch of the module's; the module's own forward is the engine's."""
    torch = pytest.importorskip("torch")
    from tp_lava.torch import SpikingNetwork, TESSTrainer, TPTrainer

    module = SpikingNetwork(NETWORKS[kind](), dtype=torch.float64)
    trainer = (TPTrainer if rule == "TP" else TESSTrainer)(module, RULES[rule])
    samples = random_samples(rng, 3, 7, 4, 14, 0.3)
    learner = tpl.Learner(NETWORKS[kind](), RULES[rule])
    spikes = torch.tensor(np.stack([events.to_dense() for events, _ in samples], 1), dtype=torch.float64)
    expected = [learner.infer(events).scores for events, _ in samples]
    np.testing.assert_allclose(module(spikes).detach().numpy(), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(module.scores(spikes)[-1].detach().numpy(), expected, rtol=1e-4, atol=1e-5)
    if rule == "TESS":
        learner.learn_batch([events for events, _ in samples], [label for _, label in samples])
        trainer.learn_batch(spikes, [label for _, label in samples])
        for name, weights in learner.weights.items():
            np.testing.assert_allclose(module.weights[name].detach().numpy(), weights, rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_closed_form_of_tp_is_autograd(kind, rng):
    torch = pytest.importorskip("torch")
    from tp_lava.torch import SpikingNetwork, TPTrainer

    spikes = torch.tensor(rng.random((14, 5, 7)) < 0.3, dtype=torch.float64)
    learned = []
    for gradient in ("closed", "autograd"):
        module = SpikingNetwork(NETWORKS[kind](), dtype=torch.float64)
        TPTrainer(module, tpl.TP(0.5, 0.1), gradient=gradient).learn_batch(spikes, [0, 1, 2, 3, 0])
        learned.append({name: weights.detach().numpy() for name, weights in module.weights.items()})
    for name, weights in learned[0].items():
        np.testing.assert_allclose(weights, learned[1][name], rtol=1e-9, atol=1e-12, err_msg=name)


def test_mapping_counts_each_copy_as_synapses():
    from tp_lava.deploy import map_network
    from tp_lava.deploy.loihi2.demand import demands
    from tp_lava.deploy.loihi2.limits import Limits

    learner = tpl.Learner(network(), RULES["TESS"], "fixed")
    (forward, back), (above,) = (layer.connections for layer in demands(learner.circuits[1], Limits()))
    assert (forward.source, forward.units, forward.copies) == ("input", 21, 3)
    assert (back.source, back.units) == (above.source, above.units) == ("hidden0", 9)
    assert (forward.bits, forward.delay_bits) == (learner.buffers["hidden0"].format.bits, 6)
    assert not [broken for broken in map_network(learner).violations if broken.rule == "weight bits"]


@pytest.mark.parametrize("made", [graded_network, synaptic])
def test_no_value_leaves_its_range(made, rng):
    """What the analysis proves of every number holds while it learns."""
    learner = tpl.Learner(made(), RULES["TP"], "fixed")
    analysis = IntervalAnalysis(learner.circuits[1], learner.memory, steps=15, learning=True)
    samples = graded_samples(rng, 6, 15) if made is graded_network else random_samples(rng, 6, 7, 4, 15, 0.5)
    for sample in samples:
        learner.learn(*sample)
        for name in ("hidden0_input", "recurrent0_hidden0", "hidden0_feedback", "hidden1_input", "hidden0_membrane"):
            if name in analysis.buffers:
                held, interval = learner.memory[name], analysis.buffers[name]
                assert (held >= interval.low).all(), name
                assert (held <= interval.high).all(), name


def test_synapses_are_counted_by_what_arrives(rng):
    """With one delay a synapse, a spike is as many synaptic operations as without."""
    from tp_lava.deploy.loihi2 import count

    steps = np.zeros((12, 7), bool)
    steps[0] = True  # everything has arrived at the end
    learner = tpl.Learner(synaptic(), RULES["TESS"], "fixed")
    (counted,) = count(learner, [tpl.Sample(tpl.Events.from_dense(steps), 0)]).samples
    assert counted.layers[0].synaptic >= 7 * 9


def test_files_keep_synaptic_delays(tmp_path):
    tpl.save_network(synaptic(), tmp_path / "net.tplava")
    assert tpl.load_network(tmp_path / "net.tplava").connections == synaptic().connections


def test_a_synapse_delivers_after_its_delay():
    """By hand: one input, three neurons, delays 0, 2 and 5."""
    delays = tpl.SynapticDelays.of(np.array([[0], [2], [5]]))
    made = tpl.Network.dense((1, 3, 2), tpl.LIF(0.0, 0.5), delays=delays).with_weights({"hidden0": np.ones((3, 1))})
    steps = np.zeros((8, 1), bool)
    steps[[0, 1]] = True
    spikes = tpl.Learner(made).infer(tpl.Events.from_dense(steps), record=True).spikes[0]
    assert [np.flatnonzero(each).tolist() for each in spikes.T] == [[0, 1], [2, 3], [5, 6]]


def test_files_keep_them(tmp_path):
    made = network()
    tpl.save_network(made, tmp_path / "net.tplava")
    read = tpl.load_network(tmp_path / "net.tplava")
    assert read.connections == made.connections
    assert read.layers[0].delays == made.layers[0].delays


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (64, "Delays: steps is 64, but must be 0 to 63 time steps"),
        (-1, "Delays: steps is -1"),
        (0.5, r"Delays: steps is float64 of shape \(\), but must be whole numbers"),
        (np.zeros((2, 3), int), r"int64 of shape \(2, 3\), but must be whole numbers: one, \(7,\) one a unit"),
        (np.zeros(3, int), r"int64 of shape \(3,\)"),
        (tpl.Delays.of(1, 4), "of 4 units, but must be of the 7 units below"),
        (tpl.SynapticDelays.of(np.zeros((5, 4), int)), "SynapticDelays: steps is of 4 units, but must be of the 7 units below"),
        (tpl.SynapticDelays.of(np.zeros((4, 7), int)), "hidden0: delays is of 28 synapses, but must be of an all-to-all connection's 35"),
    ],
)
def test_errors(steps, message):
    with pytest.raises(tpl.InvalidValueError, match=message):
        tpl.Network.dense((7, 5, 3), delays=steps)


def test_a_connection_is_from_the_copies():
    made = network()
    wrong = tuple(replace(c, delays=tpl.Delays.of(1, 3)) if c.name == "hidden0" else c for c in made.connections)
    with pytest.raises(tpl.InvalidValueError, match="hidden0: delays is of 3 units, but must be of the 7 units below"):
        replace(made, connections=wrong)
    plain = Connection("hidden0", "input", "hidden0", AllToAll(7, 9), delays=made.connections[0].delays)
    with pytest.raises(tpl.InvalidValueError, match="hidden0: connection is from 7 units"):
        replace(made, connections=(plain, *made.connections[1:]))


def test_it_costs_what_arrives():
    """Lists of events, no scan of units or slots: one operation more, whose work is the copies of what spiked."""
    from tp_lava.circuit import Delay
    from tp_lava.circuit.build import build_circuit

    circuit = build_circuit(network(), None)
    delays = [o for o in circuit.step if isinstance(o, Delay)]
    assert [o.into for o in delays] == ["hidden0_input_delayed", "recurrent0_hidden0_delayed", "hidden1_hidden0_delayed"]
