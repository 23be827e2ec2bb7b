"""e-prop on neurons with adaptive thresholds: an oracle, the gradient through membranes and thresholds, and every form."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from both_back_ends import BothBackEnds
from conftest import assert_a_file_goes_on, assert_fixed_learns_as_float, lively, random_events, random_samples
from family_oracle import FamilyOracle
from in_c import assert_c_learns_alike
from opened import PRECISIONS, assert_fused_is_the_engine, assert_layers_are_the_engine
from test_ranges import assert_no_run_leaves_its_interval

import tp_lava as tpl
from tp_lava.deploy import export_loihi2, map_network
from tp_lava.rules import OutputFeedback, Rule, Term

SIZES = (11, 9, 7, 4)
RATES = {"rate": 0.03, "readout_rate": 0.03}
RULES = {
    "e-prop": tpl.EProp(**RATES, pre_decay=0.7),
    "filtered": tpl.EProp(**RATES, filter=0.75),
    "last steps, summed up": tpl.EProp(**RATES, filter=0.5, learn_last=5, update="sequence"),
    "without": tpl.EProp(**RATES, adaptive=False),
}


def network_of(seed, each=False, **options):
    """The first layer recurrent and adaptive, with biases, the second not. each: every neuron has numbers of its own."""
    rng = np.random.default_rng(seed)
    number = lambda low, high: rng.uniform(low, high, SIZES[1] if each else None)  # noqa: E731
    options = {"adaptation": number(0.1, 0.6), "adaptation_decay": number(0.6, 0.97), "surrogate": tpl.Triangle(0.6, 0.8)} | options
    neurons = tpl.LIF(0.8, 0.7, **options), tpl.LIF(0.7, 0.8)
    network = lively(tpl.Network.dense(SIZES, neurons, 0.8, (True, False), seed=seed), 2.5)
    return network.with_weights({"bias0": rng.normal(0, 0.1, SIZES[1])})


@pytest.fixture
def samples(rng):
    return random_samples(rng, 3, SIZES[0], SIZES[-1], n_steps=20, rate=0.4)


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_engine_computes_its_equations(rule, each, samples):
    network = network_of(4, each)
    learner, oracle = tpl.Learner(network, rule), FamilyOracle(network, rule)
    for events, label in samples:
        learner.learn(events, label)
        expected = oracle.learn(events, label)
        for name in network.weights:
            np.testing.assert_allclose(learner.weights[name], expected[name], atol=1e-5, err_msg=name)
    other = FamilyOracle(network, replace(rule, adaptive=not rule.adaptive))
    for sample in samples:
        different = other.learn(*sample)
    assert np.abs(different["hidden0"] - expected["hidden0"]).max() > 1e-4


@pytest.mark.parametrize("seed", range(3))
def test_of_one_layer_it_is_the_gradient_through_membranes_and_thresholds(seed):
    pytest.importorskip("torch")
    from one_layer import gradient_by_autograd

    neuron = tpl.LIF(0.8, 0.7, adaptation=0.3, adaptation_decay=0.9, surrogate=tpl.Triangle(0.6, 0.8))
    network = lively(tpl.Network.dense((11, 9, 4), neuron, seed=seed), 2.5)
    ((events, label),) = random_samples(np.random.default_rng(seed), 1, 11, 4, n_steps=20, rate=0.4)
    rule = tpl.EProp(0.5, 0.0, 0.8, feedback="symmetric", update="sequence", readout=tpl.Readout(decay=0.0, features="spike"))
    learner = tpl.Learner(network, rule)
    learner.learn(events, label)
    change = learner.weights["hidden0"].astype(float) - network.weights["hidden0"]
    np.testing.assert_allclose(change, -0.5 * gradient_by_autograd(network, events, label, through_reset=False), atol=2e-5)
    assert np.abs(change).max() > 1e-3


# Forms ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_interpreter_and_cpu_agree_bit_for_bit(rule, each, rng):
    both = BothBackEnds(network_of(6, each), rule)
    for label in (0, 3):
        both.present([label], [random_events(rng, SIZES[0], 20, 0.4)])


@pytest.mark.parametrize("options", [{}, {"adaptation": 4.0}, {"adaptation": 1e-3, "adaptation_decay": 0.995}, {"refractory": 2}])
@pytest.mark.parametrize("rule", [RULES["e-prop"], RULES["filtered"]])
def test_fixed_point_learns_what_float_learns(rule, options, samples):
    assert_fixed_learns_as_float(network_of(4, **options), rule, samples[1])


def test_terms_of_other_parts_keep_it_too(rng):
    """Of spikes and of traces of traces, each with a state of its own."""
    terms = Term(adapts=True, name="now"), Term("surrogate", "second_trace", -0.5, "past", filter=0.5, adapts=True)
    rule, network = Rule(OutputFeedback(), terms, 0.03, 0.03, 0.6, 0.5), network_of(7)
    BothBackEnds(network, rule).present([1], [random_events(np.random.default_rng(1), SIZES[0], 12, 0.4)])


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("rule", [RULES["e-prop"], RULES["filtered"]], ids=["e-prop", "filtered"])
def test_in_lava(rule, each, samples):
    assert_fused_is_the_engine(network_of(4, each), rule, samples)


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("tag", PRECISIONS)
@pytest.mark.parametrize("rule", [RULES["e-prop"], RULES["filtered"]], ids=["e-prop", "filtered"])
def test_in_lava_opened_into_layers(rule, tag, each, samples):
    assert_layers_are_the_engine(network_of(4, each), rule, samples, tag)


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_in_c(rule, each, samples, tmp_path):
    assert_c_learns_alike(tpl.Learner(network_of(4, each), rule, "fixed"), samples, tmp_path / "c")


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_on_loihi_2(rule, each, tmp_path):
    network = network_of(4, each)
    assert map_network(network, rule).cores
    assert export_loihi2(network, tmp_path, rule=rule, steps=2)


@pytest.mark.parametrize("seed", range(4))
def test_no_value_leaves_the_interval_that_is_proven_for_it(seed):
    network, rule = network_of(seed, each=seed % 2 == 1), RULES[("e-prop", "filtered")[seed // 2]]
    assert_no_run_leaves_its_interval(np.random.default_rng(seed), network, rule, 1, seed)


def test_in_a_file(samples, tmp_path):
    assert_a_file_goes_on(tpl.Learner(network_of(4), RULES["filtered"], "fixed"), samples, tmp_path / "learner.safetensors")


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_in_batches_of_pytorch(rule, samples):
    """Of one sample, by the engine; of more, the mean of what each learns by itself."""
    torch = pytest.importorskip("torch")
    from tp_lava import torch as tt

    def arrays(rule, samples, network):
        module = tt.SpikingNetwork(network, dtype=torch.float64)
        dense = tt.dense([events for events, _ in samples], dtype=torch.float64)
        tt.ProductTrainer(module, rule).learn_batch(dense, [label for _, label in samples])
        return {name: array.detach().numpy() for name, array in module.weights.items()}

    network = network_of(4, each=True)
    rule = replace(rule, update="sequence")
    alone = [FamilyOracle(network, rule).learn(*sample) for sample in samples]
    for name, array in arrays(rule, samples, network).items():
        np.testing.assert_allclose(array, np.mean([found[name] for found in alone], axis=0), atol=1e-9, err_msg=name)
    for name, array in arrays(rule, samples[:1], network).items():
        np.testing.assert_allclose(array, alone[0][name], atol=1e-9, err_msg=name)


# What it is ----------------------------------------------------------------------------------------


def test_what_it_remembers():
    adaptive, plain = tpl.LIF(adaptation=0.1), tpl.LIF()
    assert tpl.EProp().remembered(tpl.Network.dense((11, 9, 4), adaptive), 10) == (11 + 11 * 9,)
    assert tpl.EProp(filter=0.5).remembered(tpl.Network.dense((11, 9, 4), adaptive), 10) == (11 + 2 * 11 * 9,)
    for network, rule in ((plain, tpl.EProp()), (adaptive, tpl.EProp(adaptive=False))):
        assert rule.remembered(tpl.Network.dense((11, 9, 4), network), 10) == (11,)


def test_neurons_that_do_not_adapt_learn_as_before(samples):
    network = network_of(4, adaptation=0.0)
    learned = [tpl.Learner(network, tpl.EProp(**RATES, adaptive=adaptive), "fixed") for adaptive in (True, False)]
    for learner in learned:
        learner.learn(*samples[0])
    for name, mantissas in learned[0].mantissas.items():
        np.testing.assert_array_equal(mantissas, learned[1].mantissas[name])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tpl.EProp(adaptive=1), "EProp: adaptive is 1, but must be True or False"),
        (lambda: Term("one", adapts=True), "Term: adapts is of one times spike, but must be of surrogate times a presynaptic part"),
        (lambda: Term(adapts=True, membrane=True), "Term: adapts is of surrogate times spike, but must be .* without membrane"),
        (
            lambda: tpl.Learner(tpl.Network.sequential((1, 6, 6), (tpl.Conv2d(2, 3),), 3, tpl.LIF(adaptation=0.1)), tpl.EProp()),
            "hidden0: term is with a state per synapse, in a convolution, .* or use a term without",
        ),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(tpl.InvalidValueError, match=message):
        make()
