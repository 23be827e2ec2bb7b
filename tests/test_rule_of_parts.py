"""Rules of parts: any credit with any terms, on layers from all to all and on maps; what cannot be combined is refused; files hold them."""

from dataclasses import replace

import numpy as np
import pytest
from both_back_ends import BothBackEnds
from conftest import assert_a_file_goes_on, lively, random_events, random_samples

import tp_lava as tpl
from tp_lava.rules import BackwardError, BasisError, Contrast, Credit, LocalClassifier, OutputFeedback, Rule, TargetProjection, Term

SIZES = (11, 9, 7, 4)
CREDITS = {
    "OutputFeedback": OutputFeedback(),
    "OutputFeedback, uniform": OutputFeedback("uniform", 3),
    "TargetProjection": TargetProjection(),
    "LocalClassifier": LocalClassifier(),
    "LocalClassifier, smooth L1": LocalClassifier("signs", "smooth_l1", 0.5, "spike"),
    "BasisError": BasisError("walsh"),
    "BackwardError": BackwardError(),
    "Contrast": Contrast(2),
}
BIAS = Term("surrogate", "one", name="bias")
TERMS = {
    "psi, spike": (Term(), BIAS),
    "psi, trace": (Term("surrogate", "trace"),),
    "psi, second trace": (Term("surrogate", "second_trace"),),
    "psi's trace, spike": (Term("post_trace", "spike"),),
    "spike trace, spike": (Term("spike_trace", "spike"),),
    "1, trace": (Term("one", "trace", -0.5),),
    "two": (Term("surrogate", "trace", 1.0, "causal"), Term("post_trace", "spike", -1.0, "acausal"), BIAS),
    "filtered": (Term("surrogate", "trace", filter=0.5),),
}
DECAYS = {"pre_decay": 0.6, "second_decay": 0.5, "post_decay": 0.3}
PRECISIONS = ("float", "fixed")


def rule_of(credit, terms, rate=0.02, **options):
    return Rule(credit, terms, rate, 0.02, **DECAYS, **options)


def fits(credit, terms):
    return all(term.pre in credit.pres for term in terms)


GRID = [(c, t) for c in CREDITS for t in TERMS if fits(CREDITS[c], TERMS[t])]


@pytest.fixture
def network():
    made = lively(tpl.Network.dense(SIZES, trace_decay=0.8, recurrent=(True, False), seed=3), 2.5)
    rng = np.random.default_rng(2)
    return made.with_weights({f"bias{n}": rng.normal(0, 0.1, size) for n, size in enumerate(SIZES[1:-1])})


@pytest.fixture
def samples(rng):
    return random_samples(rng, 3, SIZES[0], SIZES[-1], rate=0.3)


def maps_of(pool=None, seed=4):
    """A convolution, a pooling, and a layer from all to all."""
    layers = (tpl.Conv2d(3, 3, padding=1), pool or tpl.AvgPool2d(2), tpl.Dense(5))
    return lively(tpl.Network.sequential((1, 6, 6), layers, 3, tpl.LIF(0.8, 0.5), 0.7, seed), 2.5)


def assert_interpreter_equals_cpu(network, rule, rng, n_classes):
    BothBackEnds(network, rule).present([n_classes - 1], [random_events(rng, network.n_inputs, 6, 0.3)])


# The grid ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("credit", "terms"), GRID)
def test_every_credit_goes_with_every_product(credit, terms, network, samples):
    rule = rule_of(CREDITS[credit], TERMS[terms])
    for precision in PRECISIONS:
        learner = tpl.Learner(network, rule, precision)
        for events, label in samples:
            learner.learn(events, label)
        for name in ("hidden0", "recurrent0", "hidden1"):
            assert np.isfinite(learner.weights[name]).all()
            assert not np.array_equal(learner.weights[name], tpl.Learner(network, rule, precision).weights[name]), (precision, name)


@pytest.mark.parametrize(("credit", "terms"), [pair for pair in GRID if pair[1] in ("psi, spike", "two")])
def test_interpreter_and_cpu_agree_bit_for_bit(credit, terms, network, rng):
    assert_interpreter_equals_cpu(network, rule_of(CREDITS[credit], TERMS[terms]), rng, SIZES[-1])


@pytest.mark.parametrize("pool", [tpl.AvgPool2d(2), tpl.MaxPool2d(2)], ids=["average", "maximum"])
@pytest.mark.parametrize("credit", CREDITS)
def test_on_maps(credit, pool, rng):
    network, terms = maps_of(pool), TERMS["psi, spike"] if credit == "Contrast" else TERMS["two"]
    rule = rule_of(CREDITS[credit], terms)
    assert_interpreter_equals_cpu(network, rule, rng, 3)
    learner = tpl.Learner(network, rule)
    for events, label in random_samples(rng, 3, network.n_inputs, 3, rate=0.3):
        learner.learn(events, label)
    for name in ("hidden0", "hidden1"):
        assert not np.array_equal(learner.weights[name], network.weights[name]), name


@pytest.mark.parametrize("credit", [c for c in CREDITS if c != "Contrast"])
def test_a_batch_learns_the_mean_of_its_samples(credit, network, samples):
    rule = rule_of(CREDITS[credit], TERMS["two"], update="sequence")
    together = tpl.Learner(network, rule)
    together.learn_batch([events for events, _ in samples], [label for _, label in samples])
    for name, start in network.weights.items():
        each = []
        for events, label in samples:
            alone = tpl.Learner(network, rule)
            alone.learn(events, label)
            each.append(alone.weights[name] - start)
        np.testing.assert_allclose(together.weights[name] - start, np.mean(each, axis=0), atol=1e-5, err_msg=name)


# Rules of parts are the rules that have names --------------------------------------------------------


def assert_alike(network, one, other, samples, precision="float"):
    learners = [tpl.Learner(network, rule, precision) for rule in (one, other)]
    for learner in learners:
        for events, label in samples:
            learner.learn(events, label)
    for name in network.weights:
        np.testing.assert_array_equal(learners[0].weights[name], learners[1].weights[name], name)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_tp_is_a_contrast_times_psi_and_spike(network, samples, precision):
    for train_target in (False, True):
        named = tpl.TP(0.02, 0.02, 3, train_target)
        assert_alike(network, Rule(Contrast(3, train_target), rate=0.02, readout_rate=0.02), named, samples, precision)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_tess_is_a_basis_error_times_two_products(network, samples, precision):
    named = tpl.TESS(0.2, 0.02, basis="walsh", update="step")
    parts = Rule(named.credit, named.terms, 0.2, 0.02, named.pre_decay, 0.0, named.post_decay, readout=named.readout)
    assert_alike(network, parts, named, samples, precision)


def test_decolle_is_a_local_classifier_times_psi_and_second_trace(network, samples):
    named = tpl.DECOLLE(0.2, 0.02)
    assert_alike(network, Rule(LocalClassifier(), named.terms, 0.2, 0.02, 0.5, 0.5), named, samples)


def test_errors_pass_through_a_layer_that_does_not_learn(network, samples):
    """What the lower layer learns does not depend on whether the upper one does."""
    rule = Rule(BackwardError(), rate=(0.02, 0.0), readout_rate=0.0, update="sequence")
    lower, both = (tpl.Learner(network, replace(rule, rate=rate)) for rate in ((0.02, 0.0), (0.02, 0.02)))
    for learner in (lower, both):
        learner.learn(*samples[0])
    np.testing.assert_array_equal(lower.weights["hidden0"], both.weights["hidden0"])
    np.testing.assert_array_equal(lower.weights["hidden1"], network.weights["hidden1"])
    assert not np.array_equal(lower.weights["hidden0"], network.weights["hidden0"])


def test_errors_go_back_past_a_layer_through_connections_that_skip_it(samples):
    """A connection that skips a layer carries errors too: without weights it adds nothing, with them it does."""
    from tp_lava.graph.connections import AllToAll
    from tp_lava.graph.network import Connection

    chain = lively(tpl.Network.dense((11, 9, 7, 5, 4), trace_decay=0.8, seed=3), 2.5)
    more = Connection("more", "hidden0", "hidden2", AllToAll(9, 5))
    rule, found = Rule(BackwardError(), rate=(0.02, 0.0, 0.0), readout_rate=0.0, update="sequence"), []
    for scale in (None, 0.0, 0.3):
        network = chain
        if scale is not None:
            weights = {**chain.weights, "more": np.full((5, 9), scale)}
            network = replace(chain, connections=(*chain.connections, more), weights=weights)
        learner = tpl.Learner(network, rule)
        learner.learn(*samples[0])
        found.append(learner.weights["hidden0"])
    np.testing.assert_allclose(found[0], found[1], atol=1e-7)
    assert np.abs(found[2] - found[1]).max() > 1e-5


# Files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("credit", CREDITS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_in_a_file(credit, precision, network, samples, tmp_path):
    terms = TERMS["psi, spike"] if credit == "Contrast" else TERMS["two"]
    learner = tpl.Learner(network, rule_of(CREDITS[credit], terms, learn_last=5), precision)
    assert_a_file_goes_on(learner, samples, tmp_path / "learner.safetensors")


def test_a_file_with_a_credit_that_is_not_imported_says_so(network, tmp_path, monkeypatch):
    tpl.Learner(network, Rule()).save(tmp_path / "learner.safetensors")
    monkeypatch.delitem(Credit.types, "OutputFeedback")
    with pytest.raises(tpl.ArchiveError, match="'OutputFeedback' is no type known here; import the module that defines it first"):
        tpl.Learner.load(tmp_path / "learner.safetensors")


def test_a_file_does_not_make_anything_else_a_credit(network, tmp_path, monkeypatch):
    """Neither another type nor plain JSON in the place of a credit."""
    from tp_lava import archive

    encoded = archive.encoded
    for false in ({"type": "LIF", "decay": 0.9}, {"rows": 2}, 7, None):
        monkeypatch.setattr(archive, "encoded", lambda value, false=false: false if isinstance(value, Credit) else encoded(value))
        tpl.Learner(network, Rule()).save(tmp_path / "learner.safetensors")
        with pytest.raises(tpl.ArchiveError):
            tpl.Learner.load(tmp_path / "learner.safetensors")


# What is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rule("dfa"), r"Rule: credit is 'dfa', but must be a Credit; use for example tp_lava.rules.OutputFeedback\(\)"),
        (lambda: Rule(terms=()), r"Rule: terms is \(\), but must be a tuple of Terms, at least one"),
        (lambda: Rule(terms=Term()), "Rule: terms is Term.*, but must be a tuple of Terms"),
        (lambda: Rule(terms=(Term(), Term("one"))), "Rule: terms is of the names '', '', but must be of different names; name them"),
        (
            lambda: Rule(Contrast(), (Term("surrogate", "trace"),)),
            "Rule: terms is with pre trace, but must be with pre spike or one",
        ),
        (lambda: Rule(readout=tpl.Match()), r"Rule: readout is Match\(\), but must be a Readout"),
        (lambda: Rule(rate=-1), "Rule: rate is -1"),
        (lambda: Rule(pre_decay=1.0), "Rule: pre_decay is 1.0"),
        (lambda: Contrast(1), 'Contrast: rows is 1, but must be an integer of at least 2, or "all"'),
        (lambda: tpl.Learner(tpl.Network.dense((3, 3, 2)), Rule(Contrast(3))), "Contrast: rows is 3, but must be at most the number of"),
        (lambda: OutputFeedback("gauss"), """OutputFeedback: matrix is 'gauss', but must be "signs" or "uniform\""""),
        (lambda: TargetProjection(seed=1.5), "TargetProjection: seed is 1.5, but must be an integer of at least 0"),
        (lambda: Term("surrogate", "spike", name="a b"), "Term: name is 'a b', but must be a name of letters, digits and _, or \"\""),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(tpl.InvalidValueError, match=message):
        make()


def test_errors_do_not_go_back_through_convolutions():
    layers = (tpl.Conv2d(2, 3), tpl.Conv2d(2, 3), tpl.Dense(5))
    network = tpl.Network.sequential((1, 7, 7), layers, 3)
    words = (
        "hidden1: connection is a convolution, above a population that learns, but must be from all to all: .*; use feedback=.*ProductTr"
    )
    with pytest.raises(tpl.InvalidValueError, match=words):
        tpl.Learner(network, Rule(BackwardError()))
    tpl.Learner(network, Rule(BackwardError(), rate=(0.0, 1e-3, 1e-3)))  # nothing learns below it


def test_errors_do_not_go_back_to_several_copies_of_a_unit():
    network = tpl.Network.dense((6, 5, 5, 3), delays=[0, np.array([[0], [3]])])
    words = "hidden1: delays is of units in several copies, above a population that learns, but must be one a unit, or one a synapse; use"
    with pytest.raises(tpl.InvalidValueError, match=words):
        tpl.Learner(network, Rule(BackwardError()))
    tpl.Learner(network, Rule(BackwardError(), rate=(0.0, 1e-3)))


def test_two_credits_of_one_name_are_refused(monkeypatch):
    monkeypatch.setattr(Credit, "types", dict(Credit.types))
    with pytest.raises(tpl.InvalidValueError, match="Credit: name is 'Contrast', but must be none that tp_lava.rules.credits.contrast has"):
        type("Contrast", (Credit,), {})
