"""The per-layer form of what is not TP's published rule: TESS, changes applied at a sample's end, other readouts."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import lively, random_samples
from opened import PRECISIONS, SEED, SKIPPED, Loihi2SimCfg, Monitor, assert_layers_are_the_engine, assert_same_memory, in_engine, in_layers

import tp_lava as tpl
from tp_lava.lava import Session
from tp_lava.processes import Credit, EventSource, LabelGate, LearningTraceLIF, OnChipLearner, Readout, ScoreSink, TargetProjection

SIZES = (11, 9, 9, 4)
STEPWISE = tpl.TESS(
    0.1, 0.05, basis="walsh", update="step", activity="trace", temperature=0.2, readout=tpl.Readout(0.9, 2.0, True, "count", 8)
)
CASES = {
    "as published": tpl.TESS(0.2, 0.05, basis="walsh"),
    "each step, from traces": STEPWISE,
    "last steps, one layer, against its own spikes": tpl.TESS(
        (0.2, 0.0), 0.05, causal=-1.0, acausal=0.0, basis="walsh", learn_last=5, readout=tpl.Readout(learn_last=1)
    ),
    "acausal alone, readout frozen": tpl.TESS(0.1, 0.0, causal=0.0, basis="walsh", update="step"),
    "TP at a sample's end": tpl.TP(0.02, 0.05, 3, True, "sequence", tpl.Readout(0.5, features="count")),
}
FROZEN = {
    "last steps, one layer, against its own spikes": {"hidden1", "bias1"},
    "acausal alone, readout frozen": {"readout", "readout_bias"},
}


@pytest.fixture
def network(rng):
    """Two layers, the first recurrent, with biases."""
    dense = lively(tpl.Network.dense(SIZES, tpl.TESS.neuron(), recurrent=(True, False), seed=3), 2.5)
    return dense.with_weights({name: rng.normal(0, 0.1, dense.shapes[name]) for name in ("bias0", "bias1", "readout_bias")})


@pytest.fixture
def samples(rng):
    return random_samples(rng, 4, SIZES[0], SIZES[-1], rate=0.3)


@pytest.mark.parametrize(("case", "tag"), [(case, tag) for tag in PRECISIONS for case in CASES if tag == "fixed_pt" or case not in FROZEN])
def test_layers_equal_the_engine(case, tag, network, samples):
    rule, learn = CASES[case], [index != SKIPPED for index in range(len(samples))]
    found = assert_layers_are_the_engine(network, rule, samples, tag, learn=learn)
    start = tpl.Learner(network, None, PRECISIONS[tag])
    kept = {name for name, weights in start.weights.items() if np.array_equal(found.weights[name], weights)}
    unlearned = {"bias0", "bias1"} if isinstance(rule, tpl.TP) else set()
    assert kept == unlearned | FROZEN.get(case, set())


CHANGES = {
    "rates": {name: lambda buffer: buffer.encode(0.004) for name in ("hidden0_causal_rate", "hidden1_acausal_rate", "hidden0_bias_rate")},
    "decays": {name: lambda buffer: buffer.encode(0.8) for name in ("pre_decay", "post_decay", "readout_decay")},
    "basis": {
        "hidden0_basis": lambda buffer: buffer.encode(np.where(np.eye(4, 9) > 0, 1.0, -1.0)),
        "hidden1_error_gain": lambda buffer: buffer.encode(0.9),
    },
    "switches": {"hidden0_learning": lambda _: [0], "readout_learning": lambda _: [0]},
}


@pytest.mark.parametrize("changes", CHANGES)
def test_what_is_changed_while_running_acts_as_in_the_engine(changes, network, samples):
    def in_lava(chip):
        for name, value in CHANGES[changes].items():
            getattr(chip, name).set(np.asarray(value(chip.buffer(name)), float))

    def in_memory(learner):
        for name, value in CHANGES[changes].items():
            learner.memory[name][...] = value(learner.buffers[name])

    found, _ = in_layers(network, STEPWISE, samples, "fixed_pt", in_lava)
    expected, _ = in_engine(network, STEPWISE, samples, "fixed_pt", in_memory)
    assert_same_memory(found, expected, "fixed_pt")
    unchanged, _ = in_engine(network, STEPWISE, samples, "fixed_pt")
    assert any(not np.array_equal(unchanged.weights[w], found.weights[w]) for w in network.weights)


def test_learning_switched_off_for_a_while(network, samples):
    """In the middle of a sample: what only learning needs stands still meanwhile."""
    (events, label), off, on = samples[0], 4, 9
    source, chip, sink = EventSource([(events, label)]), OnChipLearner(network, STEPWISE, SEED), ScoreSink(SIZES[-1], 1)
    source.s_out.connect(chip.s_in)
    source.sample_out.connect(chip.sample_in)
    chip.score_out.connect(sink.score_in)
    chip.sample_out.connect(sink.sample_in)
    with Session(chip, Loihi2SimCfg(select_tag="fixed_pt", select_sub_proc_model=True), (source, chip, sink)) as session:
        session.run(off, 20)
        chip.learning.set(np.zeros(1))
        session.run(on - off, 20)
        chip.learning.set(np.ones(1))
        session.run(events.n_steps - on + chip.lag, 20)
        found, scores = chip.learner, chip.buffer("score").decode(sink.scores[0])
    expected = tpl.Learner(network, STEPWISE, "fixed", SEED)
    expected.begin(label, n_steps=events.n_steps)
    for step in range(events.n_steps):
        expected.learning = not off <= step < on
        expected.memory["steps_left"][0] = events.n_steps - step
        expected.step(events.units[events.offsets[step] : events.offsets[step + 1]])
    assert_same_memory(found, expected, "fixed_pt")
    np.testing.assert_array_equal(scores, expected.outcome().scores)


def test_learning_switched_off_leaves_samples_unlearned(network, samples):
    rule = CASES["as published"]
    found, scores = in_layers(network, rule, samples, "fixed_pt", lambda chip: chip.learning.set(np.zeros(1)))
    expected, expected_scores = in_engine(network, rule, samples, "fixed_pt", learn=False)
    np.testing.assert_array_equal(scores, expected_scores)
    for name in network.weights:
        np.testing.assert_array_equal(found.mantissas[name], expected.mantissas[name])
    assert found.samples_seen == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda n: Credit(n, tpl.TESS((0.1, 0.0), basis="walsh"), 1),
            "Credit: rule is .* one by which layer 1 learns from an error of its own",
        ),
        (lambda n: Credit(n, tpl.TESS(basis="walsh"), 2), r"Credit: layer is 2, but must be in \[0, 2\)"),
        (
            lambda n: TargetProjection(n, tpl.TESS(basis="walsh")),
            "one that does something with labels before they reach a population; .* or LabelGate",
        ),
        (lambda n: LabelGate(n, None), "LabelGate: rule is None, but must be one with a label part"),
        (lambda n: Readout(n, tpl.TP(contrast=2, readout=tpl.Match())), r"Readout: rule.readout is Match\(\), but must be a Readout"),
        (
            lambda n: tpl.lava.run(n, tpl.TP(contrast=2, readout=tpl.Match()), [(tpl.Events([0], [0], 1, 11), 0)], layers=True),
            r"OnChipLearner: rule.readout is Match\(\), but must be a Readout where opened into Processes",
        ),
    ],
)
def test_impossible_parts(make, message, network):
    with pytest.raises(tpl.InvalidValueError, match=message):
        make(network)


def test_a_label_that_does_not_exist_is_told(network, samples):
    with pytest.raises(tpl.LavaRunError, match="sample: label is 77"):
        tpl.lava.run(network, STEPWISE, [(samples[0][0], 77)], layers=True)


def test_a_gate_alone_counts_what_it_lets_through(samples):
    gate = LabelGate(tpl.Network.dense((11, 9, 4)), tpl.TESS(basis="walsh"))
    source = EventSource(samples, [True, False, True, True])
    source.sample_out.connect(gate.sample_in)
    with Session(gate, Loihi2SimCfg(select_tag="floating_pt"), (source, gate)) as session:
        session.run(3 * samples[0][0].n_steps, 20)
        gate.all_learning.set(np.zeros(1))
        session.run(samples[0][0].n_steps, 20)
        assert gate.simulator.memory["samples_seen"] == 2


# Lava's own learning engine ---------------------------------------------------------------------------

IN_STOCK = tpl.TESS(0.2, 0.05, basis="walsh", update="step")


@pytest.fixture
def shallow(rng):
    network = lively(tpl.Network.dense((30, 12, 4), tpl.TESS.neuron(), seed=3), 2.5)
    return network.with_weights({"bias0": rng.normal(0, 0.1, 12)})


def test_the_rule_in_lavas_syntax():
    rule = tpl.lava.loihi_rule(IN_STOCK)
    assert rule.dw_str == "2^0*u0*x1*y1 - 2^0*u0*x1*y2 + 2^0*x0*(y3-64)"
    assert (rule.t_epoch, rule.y1_tau, rule.y2_tau, rule.y3_tau) == (2, 1e18, 1e18, 1e18)
    decay = np.exp(-1 / rule.x1_tau)
    np.testing.assert_allclose([decay**2, rule.x1_impulse * decay], [0.5, 1.0])  # twice a time step, once before it acts
    assert tpl.lava.loihi_rule(IN_STOCK, -3, 5).x1_impulse == 45
    assert tpl.lava.loihi_rule(replace(IN_STOCK, acausal=0), 2).dw_str == "2^-2*u0*x1*y1 - 2^-2*u0*x1*y2"
    for other in ({"causal": 0}, {"pre_decay": 0}):
        assert tpl.lava.loihi_rule(replace(IN_STOCK, **other)).dw_str == tpl.lava.loihi_rule(tpl.TP()).dw_str
    with pytest.raises(tpl.InvalidValueError, match=r"loihi_rule: shift is 8, but must be an integer in \[-8, 8\)"):
        tpl.lava.loihi_rule(IN_STOCK, 8)


@pytest.mark.parametrize("other", [{"learn_last": 8}, {"pre_decay": 0.0}], ids=str)
def test_stock_learning_dense_equals_our_connection_in_float(other, shallow, rng):
    rule, samples = replace(IN_STOCK, **other), random_samples(rng, 4, 30, 4, n_steps=15, rate=0.3)
    learn = [index != SKIPPED for index in range(len(samples))]
    found, scores = in_layers(shallow, rule, samples, "floating_pt", learn=learn, stock=True)
    expected, expected_scores = in_engine(shallow, rule, samples, "floating_pt", learn=learn)
    for name in shallow.weights:
        np.testing.assert_allclose(found.weights[name], expected.weights[name], rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-5, atol=1e-5)
    assert np.abs(found.weights["hidden0"] - shallow.weights["hidden0"]).max() > 0.03


def test_stock_learning_dense_in_fixed_point_learns_the_same_in_the_mean(shallow, rng):
    """As near to real numbers as our engine with weights of as many bits, for all its traces of 7 bits and shared random numbers."""
    samples = random_samples(rng, 12, 30, 4, n_steps=15, rate=0.3)
    ours = tpl.Learner(shallow, IN_STOCK, tpl.FixedPoint(stock=True), SEED)
    for sample in samples:
        ours.learn(*sample)
    found = (
        tpl.lava.run(shallow, IN_STOCK, samples, seed=SEED, layers="stock"),
        in_engine(shallow, IN_STOCK, samples, "floating_pt")[0],
        ours,
    )
    stock, real, engine = ((each.weights["hidden0"] - shallow.weights["hidden0"]).ravel() for each in found)
    assert np.corrcoef(stock, real)[0, 1] > 0.9
    assert np.corrcoef(stock, engine)[0, 1] > 0.85
    assert 0.85 < stock @ real / (real @ real) < 1.15


def test_without_a_trace_stock_learning_dense_is_foreseen_bit_for_bit(shallow, rng):
    rule, samples = replace(IN_STOCK, causal=0.0), random_samples(rng, 4, 30, 4, n_steps=15, rate=0.3)
    result = tpl.lava.run(shallow, rule, samples, seed=SEED, layers="stock")
    expected = tpl.Learner(shallow, rule, tpl.FixedPoint(stock=True), SEED)
    scores = [expected.learn(*sample).scores for sample in samples]
    for name in shallow.weights:
        np.testing.assert_array_equal(result.learner.mantissas[name], expected.mantissas[name])
    np.testing.assert_array_equal(result.scores, scores)


@pytest.mark.parametrize("rule", [tpl.TESS(basis="walsh"), tpl.TP(contrast=2, update="sequence")], ids=["TESS", "TP"])
def test_stock_learning_dense_sums_nothing_up(rule, shallow, rng):
    with pytest.raises(
        tpl.InvalidValueError, match='rule.update is \'sequence\', but must be "step"; .* use update="step", or layers=True'
    ):
        tpl.lava.run(shallow, rule, random_samples(rng, 1, 30, 4), layers="stock")
    with pytest.raises(tpl.InvalidValueError, match="LearningTraceLIF: rule.update"):
        LearningTraceLIF(shallow, rule)


def test_a_trace_too_slow_for_the_learning_engine_is_told(shallow):
    with pytest.raises(tpl.NumberRangeError, match=r"TESS: pre_decay is 0.995, a trace of up to 200, but the learning engine's holds 127"):
        tpl.Learner(shallow, replace(IN_STOCK, pre_decay=0.995), tpl.FixedPoint(stock=True))


def test_a_pause_between_samples(samples):
    source, gate = EventSource(samples[:2], pause=3), LabelGate(tpl.Network.dense((11, 9, 4)), tpl.TESS(basis="walsh"))
    monitor = Monitor()
    source.sample_out.connect(gate.sample_in)
    steps = samples[0][0].n_steps
    assert source.steps == 2 * steps + 3
    monitor.probe(source.played, source.steps)
    with tpl.lava.session(gate, "fixed_pt", processes=(source, gate, monitor)) as session:
        session.run(source.steps)
        played = np.ravel(monitor.get_data()[source.name]["played"])
    np.testing.assert_array_equal(np.flatnonzero(np.diff(played, prepend=0)), [steps - 1, 2 * steps + 2])
    with pytest.raises(tpl.InvalidValueError, match="EventSource: pause is -1, but must be an integer of at least 0"):
        EventSource(samples, pause=-1)
