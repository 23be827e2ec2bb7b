"""The family of rules: each equals an oracle of its own in float, and itself in every form; and the special cases that are promised."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from both_back_ends import BothBackEnds
from conftest import assert_a_file_goes_on, assert_fixed_learns_as_float, lively, random_events, random_samples
from family_oracle import FamilyOracle
from in_c import assert_c_learns_alike
from opened import PRECISIONS, assert_fused_is_the_engine, assert_layers_are_the_engine, in_engine, in_layers

import tp_lava as tpl
from tp_lava.deploy import export_c, export_loihi2, map_network
from tp_lava.processes import OnChipLearner

SIZES = (11, 9, 7, 4)
RATES = {"rate": 0.02, "readout_rate": 0.03}
RULES = {
    "S-TLLR": tpl.STLLR(**RATES, pre_decay=0.6, post_decay=0.3),
    "S-TLLR, backward": tpl.STLLR(**RATES, feedback="backward", causal=0.5, acausal=1.0),
    "ETLP": tpl.ETLP(**RATES, learn_last=4),
    "ETLP, uniform": tpl.ETLP(**RATES, matrix="uniform", seed=3),
    "DECOLLE": tpl.DECOLLE(0.2, 0.03, pre_decay=0.6, second_decay=0.7),
    "DECOLLE, smooth L1": tpl.DECOLLE(0.2, 0.03, loss="smooth_l1", activity="spike", temperature=0.3),
    "DECOLLE, learned": tpl.DECOLLE(0.2, 0.03, classifier_rate=0.05, learn_last=8),
    "OTTT": tpl.OTTT(**RATES),
    "OTTT, random": tpl.OTTT(**RATES, feedback="random", seed=2),
    "SLTT": tpl.SLTT(**RATES, learn_last=6),
    "SLTT, random": tpl.SLTT(**RATES, feedback="random"),
    "e-prop": tpl.EProp(**RATES),
    "e-prop, filtered": tpl.EProp(**RATES, filter=0.75),
    "e-prop, filtered, last steps": tpl.EProp(**RATES, filter=0.75, learn_last=5),
    "OSTL": tpl.OSTL(**RATES),
    "OSTL, random": tpl.OSTL(**RATES, feedback="random", learn_last=5),
    "OSTTP": tpl.OSTTP(**RATES, seed=4),
    "e-prop, symmetric": tpl.EProp(**RATES, filter=0.5, feedback="symmetric"),
}
LOCAL = {name: rule for name, rule in RULES.items() if rule.local}
REFERENCES = {name: rule for name, rule in RULES.items() if not rule.local}


def network_of(seed, sizes=SIZES):
    """Random neurons; every second one recurrent, every third with biases."""
    rng = np.random.default_rng(seed)
    surrogate = rng.choice([tpl.ArcTan(), tpl.Triangle(0.5, 0.8), tpl.FastSigmoid(4.0)])
    neuron = tpl.LIF(float(rng.uniform(0.4, 0.95)), float(rng.uniform(0.6, 1.4)), surrogate=surrogate)
    network = tpl.Network.dense(sizes, neuron, float(rng.uniform(0.5, 0.9)), (bool(seed % 2), *[False] * (len(sizes) - 3)), seed=seed)
    network = lively(network, 2.5)
    if seed % 3 == 0:
        biases = {f"bias{n}": rng.normal(0, 0.2, size) for n, size in enumerate(sizes[1:-1])}
        network = network.with_weights({**biases, "readout_bias": rng.normal(0, 0.1, sizes[-1])})
    return network


@pytest.fixture
def network():
    return network_of(3)


@pytest.fixture
def samples(rng):
    return random_samples(rng, 3, SIZES[0], SIZES[-1], rate=0.3)


# Equations -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_engine_computes_its_equations(rule, seed):
    rule, network = replace(rule, update="sequence" if seed == 1 else "step"), network_of(seed)
    learner, oracle = tpl.Learner(network, rule), FamilyOracle(network, rule)
    for events, label in random_samples(np.random.default_rng(seed), 2, SIZES[0], SIZES[-1], rate=0.3):
        learner.learn(events, label)
        expected = oracle.learn(events, label)
        for name, array in expected.items():
            np.testing.assert_allclose(learner.weights[name], array, atol=1e-5, err_msg=name)
    assert np.abs(expected["hidden0"] - network.weights["hidden0"]).max() > 1e-4


def learned(network, rule, samples):
    learner = tpl.Learner(network, rule)
    for events, label in samples:
        learner.learn(events, label)
    return learner.weights


def assert_learned_alike(network, one, other, samples):
    first, second = (learned(network, rule, samples) for rule in (one, other))
    for name in network.weights:
        np.testing.assert_allclose(first[name], second[name], atol=1e-6, err_msg=name)
        assert not np.array_equal(first[name], network.weights[name]), name


def test_s_tllr_without_acausal_term_and_without_trace_is_sltt(network, samples):
    for feedback in ("backward", "random"):
        special = tpl.STLLR(**RATES, pre_decay=0.0, acausal=0.0, feedback=feedback)
        assert_learned_alike(network, special, tpl.SLTT(**RATES, feedback=feedback), samples)


def test_e_prop_without_filter_and_with_symmetric_feedback_is_ottt_on_one_layer(samples):
    network = network_of(3, (11, 9, 4))
    assert_learned_alike(network, tpl.EProp(**RATES, feedback="symmetric", pre_decay=0.7), tpl.OTTT(**RATES, pre_decay=0.7), samples)


def test_s_tllr_with_its_causal_term_alone_is_ottt(network, samples):
    special = tpl.STLLR(**RATES, pre_decay=0.7, acausal=0.0, feedback="backward")
    assert_learned_alike(network, special, tpl.OTTT(**RATES, pre_decay=0.7), samples)


@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("seed", range(3))
def test_ostl_of_one_layer_is_the_gradient_of_backpropagation_through_time(reset, seed):
    pytest.importorskip("torch")
    from one_layer import gradient_by_autograd

    neuron = tpl.LIF(0.8, 0.9, reset=reset, surrogate=tpl.Triangle(0.6, 0.8))
    network = lively(tpl.Network.dense((11, 9, 4), neuron, seed=seed), 2.5)
    ((events, label),) = random_samples(np.random.default_rng(seed), 1, 11, 4, rate=0.4)
    readout = tpl.Readout(decay=0.0, features="spike")
    learner = tpl.Learner(network, tpl.OSTL(0.5, 0.0, update="sequence", readout=readout))
    learner.learn(events, label)
    change = learner.weights["hidden0"].astype(float) - network.weights["hidden0"]
    np.testing.assert_allclose(change, -0.5 * gradient_by_autograd(network, events, label), atol=2e-5)
    assert np.abs(change).max() > 1e-3


def test_ostl_without_leak_of_the_past_is_sltt(samples):
    """Neurons that forget everything have no past to carry."""
    network = lively(tpl.Network.dense(SIZES, tpl.LIF(0.0), 0.8, seed=1), 2.5)
    assert_learned_alike(network, tpl.OSTL(**RATES), tpl.SLTT(**RATES), samples)


@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("decay", [0.7, 1.0])
def test_states_of_synapses_in_fixed_point_are_the_interpreters(reset, decay, rng):
    """Of both resets, with a leak and without."""
    neuron = tpl.LIF(decay, 1.1, reset=reset, surrogate=tpl.Triangle(0.5, 0.9))
    network = lively(tpl.Network.dense(SIZES, neuron, 0.8, (True, False), seed=2), 2.5)
    both = BothBackEnds(network, tpl.OSTTP(**RATES))
    for label in (0, 3):
        both.present([label], [random_events(rng, SIZES[0], 15, 0.3)])


@pytest.mark.parametrize("options", [{"current_decay": 0.5}, {"adaptation": 0.2, "adaptation_decay": 0.9}, {"refractory": 2}])
def test_what_follows_the_membrane_is_of_plain_neurons(options):
    with pytest.raises(tpl.InvalidValueError, match="hidden0: neuron is with a synaptic current, an adaptive"):
        tpl.Learner(tpl.Network.dense(SIZES, tpl.LIF(0.9, **options)), tpl.OSTL())


# Forms ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("update", ["step", "sequence"])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_interpreter_and_cpu_agree_bit_for_bit(rule, update, network, rng):
    both = BothBackEnds(network, replace(rule, update=update))
    for label in (0, 3):
        both.present([label], [random_events(rng, SIZES[0], 10, 0.3)])


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_fixed_point_learns_what_float_learns(rule, network, samples):
    assert_fixed_learns_as_float(network, rule, samples[1])


@pytest.mark.parametrize("rule", LOCAL.values(), ids=LOCAL)
def test_in_lava(rule, network, samples):
    assert_fused_is_the_engine(network, rule, samples)


@pytest.mark.parametrize("rule", LOCAL.values(), ids=LOCAL)
@pytest.mark.parametrize("tag", PRECISIONS)
def test_in_lava_opened_into_layers(tag, rule, network, samples):
    assert_layers_are_the_engine(network, rule, samples, tag)


@pytest.mark.parametrize("rule", [tpl.ETLP(**RATES, pre_decay=0.0), tpl.ETLP(**RATES, pre_decay=0.5)], ids=["spikes", "traces"])
def test_in_lavas_own_learning_engine(rule):
    shallow = lively(tpl.Network.dense((11, 9, 4), trace_decay=0.8, seed=3), 2.5)
    shown = random_samples(np.random.default_rng(1), 3, 11, 4, rate=0.3)
    found, _ = in_layers(shallow, rule, shown, "floating_pt", stock=True)
    expected, _ = in_engine(shallow, rule, shown, "floating_pt")
    np.testing.assert_allclose(found.weights["hidden0"], expected.weights["hidden0"], rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
@pytest.mark.parametrize("rule", LOCAL.values(), ids=LOCAL)
def test_in_c(rule, network, samples, tmp_path):
    assert_c_learns_alike(tpl.Learner(network, rule, "fixed"), samples, tmp_path / "c")


@pytest.mark.parametrize("rule", LOCAL.values(), ids=LOCAL)
def test_on_loihi_2(rule, network, tmp_path):
    assert map_network(network, rule).cores
    assert export_loihi2(network, tmp_path, rule=rule, steps=2)


@pytest.mark.parametrize("rule", REFERENCES.values(), ids=REFERENCES)
def test_forms_of_a_chip_refuse_what_is_not_local(rule, network, tmp_path):
    learner = tpl.Learner(network, rule, "fixed")
    forms = {
        "OnChipLearner": lambda: OnChipLearner(network, rule),
        "map_network": lambda: map_network(network, rule),
        "export": lambda: export_c(learner, tmp_path / "c"),
        "export ": lambda: export_loihi2(learner, tmp_path / "loihi"),
    }
    for form, make in forms.items():
        words = f"{form.strip()}: rule is {type(rule).__name__}, with the credit BackwardError, but must be local: .*; use feedback=.random"
        with pytest.raises(tpl.InvalidValueError, match=words):
            make()
    with pytest.raises(tpl.InvalidValueError, match="OnChipLearner: rule is .*BackwardError"):
        tpl.lava.run(network, rule, [])


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_in_a_file(rule, network, samples, tmp_path):
    assert_a_file_goes_on(tpl.Learner(network, rule, "fixed"), samples, tmp_path / "learner.safetensors")


# What they are -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [tpl.STLLR, tpl.ETLP, tpl.DECOLLE, tpl.OTTT, tpl.SLTT, tpl.EProp])
@pytest.mark.parametrize("precision", ["float", "fixed"])
def test_it_learns_without_arguments(kind, precision):
    """A blank network tells two patterns apart, and its hidden weights have moved."""
    patterns = [tpl.Events.from_dense(np.tile(np.arange(12) % 2 == label, (20, 1))) for label in range(2)]
    learner = tpl.Learner(lively(tpl.Network.dense((12, 20, 2), trace_decay=0.8), 1.5), kind(), precision)
    start = learner.weights["hidden0"].copy()
    for _ in range(30):
        for label, events in enumerate(patterns):
            learner.learn(events, label)
    assert learner.evaluate([tpl.Sample(events, label) for label, events in enumerate(patterns)]) == 1.0
    assert not np.array_equal(learner.weights["hidden0"], start)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_what_it_says_of_itself(rule, network):
    assert rule.label
    assert rule.memory_formula
    assert rule.paper.startswith("https://")
    assert len(rule.remembered(network, 10)) == 2
    assert rule.local == (type(rule.credit).__name__ != "BackwardError")


def test_what_sltt_and_ottt_remember():
    network = tpl.Network.dense(SIZES)
    assert tpl.SLTT(feedback="random").remembered(network, 10) == (0, 0)
    assert tpl.OTTT(feedback="random").remembered(network, 10) == (11, 9)
    assert tpl.DECOLLE(activity="spike").remembered(network, 10) == (22, 18)
    assert tpl.EProp(filter=0.5).remembered(network, 10) == (11 + 11 * 9, 9 + 9 * 7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: tpl.STLLR(feedback="symmetric"),
            """STLLR: feedback is 'symmetric', but must be "random" or "backward"; "random" is local""",
        ),
        (lambda: tpl.EProp(feedback="backward"), """EProp: feedback is 'backward', but must be "random" or "symmetric\""""),
        (lambda: tpl.OTTT(seed=-1), "OTTT: seed is -1, but must be an integer of at least 0"),
        (lambda: tpl.STLLR(acausal=float("nan")), "STLLR: acausal is nan, but must be a finite number"),
        (lambda: tpl.SLTT(rate=-1), "SLTT: rate is -1, but must be a finite number >= 0"),
        (lambda: tpl.EProp(filter=1.0), r"EProp: filter is 1.0, but must be a number in \[0, 1\)"),
        (lambda: tpl.ETLP(matrix="gauss"), """ETLP: matrix is 'gauss', but must be "signs" or "uniform\""""),
        (lambda: tpl.ETLP(learn_last=0), "ETLP: learn_last is 0"),
        (lambda: tpl.DECOLLE(loss="l2"), "LocalClassifier: loss is 'l2', but must be one of softmax, smooth_l1"),
        (lambda: tpl.DECOLLE(classifier_rate=float("nan")), "LocalClassifier: rate is nan, but must be a finite number >= 0"),
        (lambda: tpl.DECOLLE(temperature=0), "LocalClassifier: temperature is 0, but must be a number > 0"),
        (lambda: tpl.DECOLLE(activity="rate"), "LocalClassifier: activity is 'rate'"),
        (lambda: tpl.OTTT(readout=tpl.Match()), r"OTTT: readout is Match\(\), but must be a Readout"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(tpl.InvalidValueError, match=message):
        make()
