"""The per-layer form: a network opened into Processes equals the engine, and each Process works alone."""

import pathlib
import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import lively, random_samples
from opened import PRECISIONS, SEED, SKIPPED, Loihi2SimCfg, assert_layers_are_the_engine, assert_same_memory, in_engine, in_layers

import tp_lava as tpl
from tp_lava.lava import Session
from tp_lava.processes import EventSource, LearningTraceLIF, OnChipLearner, PlasticDense, TraceLIF

LAVA_LIKE = tpl.LIF(0.9, 1.3, ">", "zero", 0.4, tpl.Triangle())
CASES = {
    "one layer": ((11, 9, 4), tpl.TP(0.02, 0.05, 3), False, None),
    "two recurrent layers": ((11, 9, 9, 4), tpl.TP(0.02, 0.05, "all"), True, None),
    "three layers, trained projection": ((11, 9, 9, 9, 4), tpl.TP(0.02, 0.05, 3, train_target=True), (True, False, False), None),
    "first layer frozen": ((11, 9, 9, 4), tpl.TP((0.0, 0.02), 0.05, 3), (True, False), None),
    "last layer and readout frozen": ((11, 9, 9, 4), tpl.TP((0.02, 0.0), 0.0, 3), False, None),
    "readout only, neurons as Lava's": ((11, 9, 4), tpl.TP(0.0, 0.05, 3), False, LAVA_LIKE),
    "inference only": ((11, 9, 9, 4), None, (True, False), None),
}


IN_FIXED_POINT_ALONE = ("three layers, trained projection", "first layer frozen", "last layer and readout frozen")  # float: less to find


@pytest.mark.parametrize(
    ("case", "tag"), [(c, tag) for tag in PRECISIONS for c in CASES if tag == "fixed_pt" or c not in IN_FIXED_POINT_ALONE]
)
def test_layers_equal_the_engine(case, tag, rng):
    sizes, rule, recurrent, neuron = CASES[case]
    network = lively(tpl.Network.dense(sizes, neuron, recurrent=recurrent, seed=3), 2.5)
    samples = random_samples(rng, 4, sizes[0], sizes[-1], rate=0.3)
    learn = [index != SKIPPED for index in range(len(samples))]
    found = assert_layers_are_the_engine(network, rule, samples, tag, learn=learn)
    start = tpl.Learner(network, None, PRECISIONS[tag])
    changed = {name for name, weights in start.weights.items() if not np.array_equal(found.weights[name], weights)}
    assert bool(changed) == (rule is not None)


CHANGES = {
    "hidden0_rate": lambda buffer: buffer.encode(0.005),
    "readout_rate": lambda buffer: buffer.encode(0.01),
    "hidden0_threshold": lambda buffer: buffer.encode(0.6),
    "hidden1_decay": lambda buffer: buffer.encode(0.7),
    "hidden0_trace_decay": lambda buffer: buffer.encode(0.5),
    "hidden1_trace_decay": lambda buffer: buffer.encode(0.5),
    "hidden0_learning": lambda _: [0],
    "readout_learning": lambda _: [0],
    "contrast": lambda _: [2],
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_changed_while_running_acts_as_in_the_engine(name, rng):
    network = lively(tpl.Network.dense((11, 9, 9, 4), recurrent=(True, False), seed=3), 2.5)
    rule, samples = tpl.TP(0.02, 0.05, 3), random_samples(rng, 3, 11, 4, rate=0.3)

    def in_lava(chip):
        getattr(chip, name).set(np.asarray(CHANGES[name](chip.buffer(name)), float))

    def in_memory(learner):
        learner.memory[name][...] = CHANGES[name](learner.buffers[name])

    found, _ = in_layers(network, rule, samples, "fixed_pt", in_lava)
    expected, _ = in_engine(network, rule, samples, "fixed_pt", in_memory)
    assert_same_memory(found, expected, "fixed_pt")
    unchanged, _ = in_engine(network, rule, samples, "fixed_pt")
    assert any(not np.array_equal(unchanged.weights[w], found.weights[w]) for w in network.weights)


def test_learning_switched_off_leaves_samples_unlearned(rng):
    network = lively(tpl.Network.dense((11, 9, 4), seed=3), 2.5)
    samples = random_samples(rng, 2, 11, 4, rate=0.3)
    found, scores = in_layers(network, tpl.TP(0.02, 0.05, 3), samples, "fixed_pt", lambda chip: chip.learning.set(np.zeros(1)))
    expected, expected_scores = in_engine(network, None, samples, "fixed_pt")
    np.testing.assert_array_equal(scores, expected_scores)
    np.testing.assert_array_equal(found.mantissas["hidden0"], expected.mantissas["hidden0"])
    assert found.samples_seen == 0


def test_states_are_those_of_each_layers_own_step(rng):
    """Layer l is l + 1 steps behind the source: its membranes after n Lava steps are the engine's after n - l - 1."""
    network = lively(tpl.Network.dense((11, 9, 9, 4), seed=3), 2.5)
    (events, label), *_ = random_samples(rng, 1, 11, 4, rate=0.3)
    recorded = tpl.Learner(network, None, "fixed", SEED).infer(events, record=True)
    source, chip = EventSource([(events, label)], False), OnChipLearner(network, None, SEED)
    source.s_out.connect(chip.s_in)
    source.sample_out.connect(chip.sample_in)
    with Session(chip, Loihi2SimCfg(select_tag="fixed_pt", select_sub_proc_model=True), (source, chip)) as session:
        for steps in (5, 3):
            session.run(steps, 20)
        for layer in (0, 1):
            found = chip.buffer(f"hidden{layer}_membrane").format.real(getattr(chip, f"hidden{layer}_membrane").get())
            np.testing.assert_allclose(found[0], recorded.membranes[layer][8 - layer - 2])


def test_monitor_sees_the_vars_of_an_opened_network(rng):
    from lava.proc.monitor.process import Monitor

    network = lively(tpl.Network.dense((11, 9, 4), seed=3), 2.5)
    (events, label), *_ = random_samples(rng, 1, 11, 4, rate=0.3)
    recorded = tpl.Learner(network, None, "fixed", SEED).infer(events, record=True)
    source, chip, monitor = EventSource([(events, label)], False), OnChipLearner(network, None, SEED), Monitor()
    source.s_out.connect(chip.s_in)
    source.sample_out.connect(chip.sample_in)
    monitor.probe(chip.hidden0_membrane, events.n_steps)
    with tpl.lava.session(chip, "fixed_pt", layers=True) as session:
        session.run(events.n_steps, 20)
        (seen,) = (variables["hidden0_membrane"] for variables in monitor.get_data().values())
        found = chip.buffer("hidden0_membrane").format.real(seen[1:, 0])
    np.testing.assert_allclose(found, recorded.membranes[0][:-1])


# Each alone -----------------------------------------------------------------------------------------


def documented(page):
    """The Python of a page of the documentation."""
    text = (pathlib.Path(__file__).parents[1] / "docs" / page).read_text()
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def test_two_paths_meet_one_frozen_and_one_plastic():
    """The documentation's example, against an engine whose frozen weights are put back after each step."""
    names = {}
    exec(documented("processes.md")[0], names)
    whole, left, right = names["whole"], names["left"], names["right"]
    both = tpl.Events.from_dense(np.hstack([left.to_dense(), right.to_dense()]))
    learner = tpl.Learner(whole, replace(names["rule"], readout_rate=0.0))
    learner.begin(2)
    for step in range(50):
        learner.step(both.units[both.offsets[step] : both.offsets[step + 1]])
        learner.memory["hidden0"][:20] = whole.weights["hidden0"].T[:20]
    np.testing.assert_array_equal(names["kept"], whole.weights["hidden0"][:, :20])
    np.testing.assert_allclose(names["learned"], learner.weights["hidden0"][:, 20:], rtol=1e-5, atol=1e-6)
    assert not np.array_equal(names["learned"], whole.weights["hidden0"][:, 20:])


def test_a_population_alone_runs_freely():
    """Without sample messages no sample ever starts: with a bias it spikes on, in either number system."""
    network = tpl.Network.dense((3, 2, 2), tpl.LIF(0.5, 1.0)).with_weights({"bias0": np.array([1.5, 0.0])})
    for tag in PRECISIONS:
        population = TraceLIF(network)
        with Session(population, Loihi2SimCfg(select_tag=tag), (population,)) as session:
            session.run(10, 20)
            assert population.spike.get().tolist() == [[1.0, 0.0]]
            assert population.trace.get()[0, 0] > 5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda n: PlasticDense(n, None, "hidden7"), "PlasticDense: weights is 'hidden7', but must be one of hidden0"),
        (lambda n: TraceLIF(n, None, 2), r"TraceLIF: layer is 2, but must be in \[0, 1\)"),
        (
            lambda n: LearningTraceLIF(tpl.Network.dense((3, 4, 4, 2)), tpl.TP(contrast=2)),
            "must be with one hidden layer, all-to-all and not recurrent",
        ),
        (
            lambda n: LearningTraceLIF(n, tpl.TP(0.0, contrast=2)),
            "must be with one hidden layer, all-to-all and not recurrent, that learns",
        ),
        (
            lambda n: EventSource([(tpl.Events([0], [0], 1, 3), 0)], period=0),
            "EventSource: period is 0, but must be an integer",
        ),
    ],
)
def test_impossible_parts(make, message):
    with pytest.raises(tpl.InvalidValueError, match=message):
        make(tpl.Network.dense((3, 4, 2)))


# Lava's own learning engine ---------------------------------------------------------------------------


def test_the_rule_in_lavas_syntax():
    rule = tpl.lava.loihi_rule(tpl.TP(), 3)
    assert rule.dw_str == "2^-3*x0*y1 - 2^-3*x0*y2"
    assert (rule.t_epoch, rule.y1_tau, rule.y2_tau) == (2, 1e18, 1e18)
    for shift in (-1, 8, 0.5):
        with pytest.raises(tpl.InvalidValueError, match=r"loihi_rule: shift is .*, but must be an integer in \[0, 8\)"):
            tpl.lava.loihi_rule(tpl.TP(), shift)


def test_stock_learning_dense_equals_our_connection_in_float(rng):
    network = lively(tpl.Network.dense((30, 12, 4), seed=3), 2.5)
    rule, samples = tpl.TP(0.01, 0.01, 3), random_samples(rng, 4, 30, 4, n_steps=15, rate=0.3)
    learn = [index != SKIPPED for index in range(len(samples))]
    found, scores = in_layers(network, rule, samples, "floating_pt", learn=learn, stock=True)
    expected, expected_scores = in_engine(network, rule, samples, "floating_pt", learn=learn)
    np.testing.assert_allclose(found.weights["hidden0"], expected.weights["hidden0"], rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-5, atol=1e-5)
    assert np.abs(found.weights["hidden0"] - network.weights["hidden0"]).max() > 0.05


def test_stock_learning_dense_in_fixed_point_is_foreseen_bit_for_bit(rng):
    network = lively(tpl.Network.dense((30, 12, 4), seed=3), 2.5)
    rule, samples = tpl.TP(0.01, 0.01, 3), random_samples(rng, 4, 30, 4, n_steps=15, rate=0.3)
    result = tpl.lava.run(network, rule, samples, tag="fixed_pt", seed=SEED, layers="stock")
    expected = tpl.Learner(network, rule, tpl.FixedPoint(stock=True), SEED)
    scores = [expected.learn(*sample).scores for sample in samples]
    for name in network.weights:
        np.testing.assert_array_equal(result.learner.mantissas[name], expected.mantissas[name])
    np.testing.assert_array_equal(result.scores, scores)
    assert expected.mantissas["hidden0"].dtype == np.int16
    assert expected.exponents["hidden0"] == tpl.Learner(network, rule, "fixed").exponents["hidden0"] - 1
    assert (expected.mantissas["hidden0"] % 2).any()
    changes = [one.weights["hidden0"] - network.weights["hidden0"] for one in (expected, in_engine(network, rule, samples, "fixed_pt")[0])]
    assert np.corrcoef(*(change.ravel() for change in changes))[0, 1] > 0.7


def test_the_learning_engine_needs_room_in_the_membrane():
    with pytest.raises(tpl.NumberRangeError, match=r"hidden0: membrane_frac is 8, but the learning engine's weights have 9 "):
        tpl.Learner(tpl.Network.dense((30, 12, 4)), None, tpl.FixedPoint(membrane_frac=8, stock=True))


def test_layers_are_chosen_by_name(rng):
    with pytest.raises(tpl.InvalidValueError, match="lava.run: layers is 'all', but must be False, True or \"stock\""):
        tpl.lava.run(tpl.Network.dense((11, 9, 4)), None, random_samples(rng, 1, 11, 4), layers="all")
