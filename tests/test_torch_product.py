"""Any rule of the product form over batches: of one, it is the engine; of more, the mean of samples; errors go back as autograd has it."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import lively, random_events, random_samples
from family_oracle import FamilyOracle
from output_error_rule import OutputError, SignFeedback
from random_neurons import random_neurons
from test_delays import NETWORKS as DELAYED
from test_family import RATES, RULES, SIZES, network_of
from test_rule_of_parts import CREDITS, DECAYS, TERMS

import tp_lava as tpl
from tp_lava.rules import OutputFeedback, Rule, Term

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # the tensors are small, and tests run side by side

from backward_oracle import learn_backward  # noqa: E402
from test_torch_conv import arrays, assert_equal, learned, module_of, pictures, pictures_network, samples_of  # noqa: E402
from test_torch_conv import network_of as network_of_maps  # noqa: E402

from tp_lava import torch as tt  # noqa: E402
from tp_lava.torch import afferent  # noqa: E402
from tp_lava.torch.credits import CREDITS as CREDITS_OF_BATCHES  # noqa: E402

PARTS = {name: credit for name, credit in CREDITS.items() if name != "Contrast"}
LOCAL = {name: rule for name, rule in RULES.items() if rule.local}


def trained(network, rule, samples, **options):
    """Learns one batch of samples. -> the module."""
    module = module_of(network)
    learned(tt.ProductTrainer(module, rule, **options), samples)
    return module


def assert_learns_as_the_engine(network, rule, samples, batch=False, atol=1e-4, **options):
    """Sample by sample, or as one batch."""
    learner, trainer = tpl.Learner(network, rule, **options), tt.ProductTrainer(module_of(network), rule, **options)
    for together in [samples] if batch else [[sample] for sample in samples]:
        outcomes = learner.learn_batch(*zip(*together, strict=True)) if batch else [learner.learn(*together[0])]
        np.testing.assert_allclose(learned(trainer, together), [outcome.scores for outcome in outcomes], atol=atol)
    for name, array in arrays(trainer.module).items():
        np.testing.assert_allclose(array, learner.weights[name], atol=atol, err_msg=name)
    assert np.abs(learner.weights["hidden0"] - network.weights["hidden0"]).max() > 1e-4


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_batch_of_one_is_the_engine(rule):
    network, samples = network_of(3), random_samples(np.random.default_rng(3), 2, SIZES[0], SIZES[-1], rate=0.3)
    assert_learns_as_the_engine(network, rule, samples)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_batch_is_the_mean_of_its_samples(rule):
    """What each learns by itself, by hand."""
    rule, network = replace(rule, update="sequence"), network_of(9)
    samples = random_samples(np.random.default_rng(4), 5, SIZES[0], SIZES[-1], rate=0.3)
    alone = [FamilyOracle(network, rule).learn(*sample) for sample in samples]
    assert_equal(trained(network, rule, samples), {name: np.mean([found[name] for found in alone], axis=0) for name in alone[0]})


@pytest.mark.parametrize("rule", [rule for rule in RULES.values() if not any(term.has_state for term in rule.terms)])
def test_a_batch_is_the_engines(rule):
    samples = random_samples(np.random.default_rng(5), 4, SIZES[0], SIZES[-1], rate=0.3)
    assert_learns_as_the_engine(network_of(6), rule, samples, batch=True)


@pytest.mark.filterwarnings("ignore:.*no learning signal")
@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("credit", PARTS)
def test_rules_of_parts(credit, terms):
    rule = Rule(PARTS[credit], TERMS[terms], 0.02, 0.02, **DECAYS)
    network, samples = network_of(3), random_samples(np.random.default_rng(6), 2, SIZES[0], SIZES[-1], rate=0.3)
    assert_learns_as_the_engine(network, rule, samples)


@pytest.mark.parametrize("term", [Term("spike_trace", "second_trace", filter=0.4), Term("surrogate", "trace", 2.0, membrane=True)])
def test_states_of_synapses_of_other_parts(term):
    rule = Rule(OutputFeedback(), (term, Term("surrogate", "one", 0.5, "bias")), 0.02, 0.02, **DECAYS, learn_last=7)
    samples = random_samples(np.random.default_rng(7), 2, SIZES[0], SIZES[-1], rate=0.3)
    assert_learns_as_the_engine(network_of(3), rule, samples)


@pytest.mark.parametrize("seed", range(6))
def test_other_neurons(seed):
    rng = np.random.default_rng(seed)
    network = network_of(seed)
    network = replace(network, populations=tuple(replace(p, neuron=random_neurons(rng, p.size)) for p in network.populations))
    rule = [tpl.EProp(**RATES), tpl.OTTT(**RATES), tpl.STLLR(**RATES), tpl.DECOLLE(0.2, 0.03)][seed % 4]
    assert_learns_as_the_engine(network, rule, random_samples(rng, 2, SIZES[0], SIZES[-1], rate=0.4))


@pytest.mark.parametrize("neuron", [tpl.LIF(0.8, 0.9, reset="zero"), tpl.LIF(1.0, 0.9, reset_by=0.5)], ids=["zero", "other amount"])
def test_membranes_that_reset_in_other_ways(neuron):
    network = lively(tpl.Network.dense(SIZES, neuron, 0.7, (True, False), seed=2), 2.5)
    samples = random_samples(np.random.default_rng(8), 2, SIZES[0], SIZES[-1], rate=0.3)
    assert_learns_as_the_engine(network, tpl.OSTL(**RATES), samples)


@pytest.mark.parametrize("rule", ["S-TLLR", "DECOLLE", "e-prop, filtered", "OSTTP"])
def test_copies_of_units_that_come_later(rule):
    assert_learns_as_the_engine(DELAYED["copies"](), RULES[rule], random_samples(np.random.default_rng(9), 2, 7, 4, 14, 0.3))


@pytest.mark.parametrize("rule", ["S-TLLR, backward", "DECOLLE", "SLTT"])
def test_one_delay_a_synapse(rule):
    assert_learns_as_the_engine(DELAYED["synaptic"](), RULES[rule], random_samples(np.random.default_rng(9), 2, 7, 4, 14, 0.3))


def test_frozen_layers_carry_errors_and_the_readout_may_rest():
    network, samples = network_of(3), random_samples(np.random.default_rng(3), 2, SIZES[0], SIZES[-1], rate=0.3)
    rule = tpl.OTTT((0.02, 0.0), 0.0)
    assert_learns_as_the_engine(network, rule, samples)
    module = trained(network, rule, samples)
    for name in ("hidden1", "bias1", "readout"):
        np.testing.assert_array_equal(arrays(module)[name], network.weights[name])


def test_adam_of_a_basis_that_learns():
    """At the rate of the basis, not of its layer."""
    network = network_of_maps(5)
    rule = tpl.TESS(0.01, 0.01, basis="walsh", temperature=0.1, activity="trace", grid=2, basis_rate=0.05)
    assert_learns_as_the_engine(network, rule, samples_of(network, 1, count=3), batch=True, optimiser=tpl.Adam(epsilon=1e-3))


def test_adam_and_last_steps():
    network = network_of(3)
    rule, optimiser = tpl.STLLR(0.01, 0.01, learn_last=4), tpl.Adam(epsilon=1e-3)
    samples = [(random_events(np.random.default_rng(n), SIZES[0], steps, 0.3), n % 4) for n, steps in enumerate((15, 12, 9))]
    assert_learns_as_the_engine(network, rule, samples, batch=True, optimiser=optimiser)


# Maps --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [name for name, rule in LOCAL.items() if not any(term.has_state for term in rule.terms)])
def test_local_credits_on_maps_are_the_engines(rule):
    network = network_of_maps(len(rule))
    assert_learns_as_the_engine(network, RULES[rule], samples_of(network, 1, count=3), batch=True)


@pytest.mark.parametrize("rule", ["SLTT", "OTTT", "S-TLLR, backward"])
def test_errors_that_go_back_to_maps_are_the_engines(rule):
    layers = (tpl.Conv2d(3, 3, padding=1), tpl.MaxPool2d(2), tpl.Dense(5))
    network = lively(tpl.Network.sequential((1, 6, 6), layers, 3, tpl.LIF(0.8, 0.5), 0.7, 4), 2.5)
    assert_learns_as_the_engine(network, RULES[rule], samples_of(network, 2, count=3), batch=True)


@pytest.mark.parametrize("rule", ["SLTT", "OTTT", "S-TLLR, backward"])
@pytest.mark.parametrize("seed", range(8))
def test_errors_that_go_back_through_maps_are_autograds(seed, rule):
    network, rule = network_of_maps(seed), replace(RULES[rule], learn_last=None, update=("step", "sequence")[seed % 2])
    samples = samples_of(network, seed)
    module = trained(network, rule, samples)
    assert_equal(module, learn_backward(network, rule, samples))
    if isinstance(rule, tpl.SLTT):
        assert_equal(module, learn_backward(network, rule, samples, directly=True))


def test_a_deep_network_learns_by_errors_that_go_back_through_it():
    module, test = tt.SpikingNetwork(pictures_network()), pictures(30, seed=1)
    assert tt.evaluate(module, test) < 0.8
    rule = tpl.STLLR(1e-2, 1e-2, feedback="backward")
    assert tt.fit(tt.ProductTrainer(module, rule, tpl.Adam()), pictures(120), 8, 10, test=test)[-1] > 0.85


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("rule", [*RULES.values(), tpl.TESS(0.3, 0.05, basis="walsh")], ids=[*RULES, "TESS"])
def test_on_cuda(rule):
    network, samples = network_of(9), random_samples(np.random.default_rng(4), 5, SIZES[0], SIZES[-1], rate=0.3)
    module = module_of(network, device="cuda")
    tt.ProductTrainer(module, rule).learn_batch(tt.dense([e for e, _ in samples], "cuda", torch.float64), [label for _, label in samples])
    assert_equal(module.cpu(), arrays(trained(network, rule, samples)))


# Which trainer, and what is refused --------------------------------------------------------------


def test_the_trainer_of_a_rule():
    assert tt.trainer_of(tpl.TP()) is tt.TPTrainer
    assert tt.trainer_of(tpl.TESS()) is tt.TESSTrainer
    for rule in (*RULES.values(), Rule()):
        assert tt.trainer_of(rule) is tt.ProductTrainer
    with pytest.raises(tpl.InvalidValueError, match=r"trainer_of: rule is OutputError\(.*, but must be a TP\(...\), or a rule with one of"):
        tt.trainer_of(OutputError())


def test_a_credit_of_ones_own(monkeypatch):
    """It is had in PyTorch by a line in the table."""
    monkeypatch.setitem(CREDITS_OF_BATCHES, SignFeedback, lambda credit, network: in_batches(OutputFeedback("signs", credit.seed), network))
    in_batches = CREDITS_OF_BATCHES[OutputFeedback]
    samples = random_samples(np.random.default_rng(3), 3, SIZES[0], SIZES[-1], rate=0.3)
    assert_learns_as_the_engine(network_of(3), OutputError(), samples, batch=True)


@pytest.mark.parametrize(
    ("make", "rule", "message"),
    [
        (None, tpl.TP(), r"ProductTrainer: rule is TP\(.*, but must be a rule with one of the credits BasisError, .*TPTrainer is for TP"),
        (None, OutputError(), r"ProductTrainer: rule is OutputError\("),
        (None, 7, "ProductTrainer: rule is 7"),
        (lambda: network_of_maps(0), tpl.OSTL(), "hidden0: term is with a state per synapse, of a convolution"),
        (
            lambda: tpl.Network.sequential((1, 6, 6), (tpl.Conv2d(2, 3), tpl.MaxPool2d(2), tpl.Dense(5)), 3),
            Rule(terms=(Term("spike_trace"),)),
            "hidden0: term is with post spike_trace, but must be of neurons whose own spikes are traced",
        ),
        (
            lambda: tpl.Network.dense((5, 4, 3), tpl.LIF(adaptation=0.1)),
            tpl.OSTTP(),
            "hidden0: neuron is with a synaptic current, an adaptive threshold or a refractory time",
        ),
        (lambda: DELAYED["synaptic"](), tpl.EProp(filter=0.5), "hidden0: term is with a state per synapse, .* or synaptic delays"),
    ],
)
def test_what_is_refused(make, rule, message):
    with pytest.raises(tpl.InvalidValueError, match=message):
        tt.ProductTrainer(module_of(make() if make else network_of(0)), rule)


def test_too_many_states_are_refused(monkeypatch):
    network = network_of(2)
    trainer = tt.ProductTrainer(module_of(network), tpl.EProp(filter=0.5))
    monkeypatch.setattr(afferent, "MOST_STATES", 4 * 99)
    samples = random_samples(np.random.default_rng(3), 5, SIZES[0], SIZES[-1])
    learned(trainer, samples[:4])
    message = "hidden0: term is with a state per synapse of each sample, 5 x 99 numbers, but must be at most 396 numbers; learn smaller"
    with pytest.raises(tpl.InvalidValueError, match=message):
        learned(trainer, samples)
