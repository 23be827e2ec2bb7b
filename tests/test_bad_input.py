"""Bad input: the message names object, value, limit and remedy, and nothing is changed."""

import numpy as np
import pytest

import tp_lava as tpl

NETWORK = tpl.Network.dense((6, 5, 3))
GOOD = tpl.Events([0, 1], [0, 5], 4, 6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0], [6], 4, 6), r"Events: units is 6 at event 0 \(1 such\), but must be in \[0, 6\); give n_units"),
        (([0], [-1], 4, 6), "Events: units is -1 at event 0"),
        (([-1], [0], 4, 6), r"Events: times is -1 at event 0 \(1 such\), but must be in \[0, 4\)"),
        (([0, 4, 9], [0, 0, 0], 4, 6), r"Events: times is 4 at event 1 \(2 such\), but must be in \[0, 4\); give n_steps"),
        (([0.5], [0], 4, 6), "Events: times is 0.5, but must be whole numbers; bin them"),
        (([np.nan], [0], 4, 6), "Events: times is nan, but must be whole numbers"),
        ((["a"], [0], 4, 6), "Events: times is 'a', but must be whole numbers"),
        (([0, 1], [0], 4, 6), "Events: units is 1 long, but must be as long as times, 2"),
        (([[0]], [[0]], 4, 6), r"Events: times is of shape \(1, 1\), but must be one-dimensional"),
        (([], [], 0, 6), "Events: n_steps is 0, but must be a positive integer"),
        (([], [], 4, 2.5), "Events: n_units is 2.5"),
    ],
)
def test_events(arguments, message):
    with pytest.raises(tpl.InvalidValueError, match=message):
        tpl.Events(*arguments)


@pytest.mark.parametrize(
    ("array", "message"), [(np.zeros(5), "of shape"), (np.zeros((0, 3)), "of shape"), (np.full((2, 2), np.nan), "NaN somewhere")]
)
def test_dense_events(array, message):
    with pytest.raises(tpl.InvalidValueError, match=f"Events: spikes is {message}"):
        tpl.Events.from_dense(array)


def with_nan(shape):
    array = np.zeros(shape)
    array[1, 2] = np.nan
    return array


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"hidden0": with_nan((5, 6))}, r"Network: weights\['hidden0'\] is nan at \(1, 2\), but must be finite; look for"),
        ({"hidden0": np.full((5, 6), np.inf)}, r"is inf at \(0, 0\)"),
        ({"hidden0": np.zeros((6, 5))}, r"is of shape \(6, 5\), but must be \(5, 6\), \(n_out, n_in\); transpose it"),
        ({"hidden0": np.zeros((5, 7))}, r"is of shape \(5, 7\), but must be \(5, 6\), \(n_out, n_in\); check the layer sizes"),
        ({"hidden1": np.zeros((5, 6))}, r"weights\['hidden1'\] is unknown, but must be one of hidden0, bias0, readout"),
        ({"hidden0": "many"}, r"weights\['hidden0'\] is 'many', but must be an array of numbers"),
        ({"bias0": np.zeros(4)}, r"weights\['bias0'\] is of shape \(4,\), but must be \(5,\)"),
    ],
)
def test_weights(weights, message):
    before = {name: array.copy() for name, array in NETWORK.weights.items()}
    with pytest.raises(tpl.InvalidValueError, match=message):
        NETWORK.with_weights(weights)
    assert all(np.array_equal(before[name], NETWORK.weights[name]) for name in before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": (6, 3)}, r"Network: sizes is \(6, 3\), but must be \(inputs, at least one hidden layer, classes\)"),
        ({"sizes": (6, 0, 3)}, "Network: size is 0, but must be an integer of at least 1"),
        ({"sizes": (6, 5, 1)}, "Network: number of classes is 1, but must be an integer of at least 2; give data of two classes or more"),
        ({"sizes": (6, 10**9, 10**6)}, r"Network: memory of weights is 7450625 GiB, most of it readout of shape \(1000000, 1000000000\)"),
        ({"sizes": (6, 5, 3), "trace_decay": 1.0}, r"Layer: trace_decay is 1.0, but must be a number in \[0, 1\)"),
        ({"sizes": (6, 5, 3), "trace_decay": [0.5, 0.5]}, "Network: trace_decay is 2 values, but must be one per hidden layer, 1"),
        ({"sizes": (6, 5, 3), "seed": -1}, "seed: value is -1"),
    ],
)
def test_networks(options, message):
    with pytest.raises(tpl.InvalidValueError, match=message):
        tpl.Network.dense(**options)


def test_missing_weights_and_read_only_arrays():
    with pytest.raises(tpl.InvalidValueError, match="Network: weights is without readout, but must be given for hidden0"):
        tpl.Network.of_layers(6, NETWORK.layers, 3, {k: v for k, v in NETWORK.weights.items() if k != "readout"})
    with pytest.raises(ValueError, match="read-only"):
        NETWORK.weights["hidden0"][0, 0] = 1
    with pytest.raises(AttributeError, match="immutable"):
        GOOD.n_steps = 7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contrast": 1}, 'TP: contrast is 1, but must be an integer of at least 2, or "all"; a contrast needs'),
        ({"contrast": 2.5}, "TP: contrast is 2.5"),
        ({"contrast": "some"}, "TP: contrast is 'some'"),
        ({"rate": -1e-3}, "TP: rate is -0.001, but must be a finite number >= 0"),
        ({"rate": float("nan")}, "TP: rate is nan"),
        ({"readout_rate": float("inf")}, "TP: readout_rate is inf"),
        ({"rate": (0.1, -1)}, "TP: rate is -1, but must be a finite number >= 0; 0 freezes, 1e-3 is usual"),
        ({"update": "epoch"}, """TP: update is 'epoch', but must be "step" or "sequence"; "step" changes the weights at every step"""),
        ({"readout": None}, r"TP: readout is None, but must be a Readout or, with TP, Match\(\); use for example tpl.Readout\(\)"),
    ],
)
def test_rules(options, message):
    with pytest.raises(tpl.InvalidValueError, match=message):
        tpl.TP(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": -1}, "TESS: rate is -1, but must be a finite number >= 0"),
        ({"readout_rate": "fast"}, "TESS: readout_rate is 'fast', but must be a finite number >= 0"),
        ({"update": None}, 'TESS: update is None, but must be "step" or "sequence"'),
        ({"pre_decay": 1}, r"TESS: pre_decay is 1, but must be a number in \[0, 1\); a time constant tau gives exp\(-1 / tau\)"),
        ({"post_decay": -0.1}, "TESS: post_decay is -0.1, but must be a number in"),
        ({"causal": float("nan")}, "TESS: causal is nan, but must be a finite number; 1 takes the term in, 0 leaves it out"),
        ({"acausal": None}, "TESS: acausal is None, but must be a finite number"),
        ({"basis": "sine"}, """TESS: basis is 'sine', but must be one of square, walsh; "square" is the published one"""),
        ({"learn_last": 0}, "TESS: learn_last is 0, but must be an integer of at least 1, or None; None learns at every step"),
        ({"learn_last": 2.5}, "TESS: learn_last is 2.5"),
        ({"temperature": 0}, "TESS: temperature is 0, but must be a number > 0; 1 is the published one"),
        ({"temperature": float("inf")}, "TESS: temperature is inf"),
        ({"activity": "rate"}, """TESS: activity is 'rate', but must be "spike" or "trace"; "spike" is the published one"""),
        ({"readout": tpl.Match()}, r"TESS: readout is Match\(\), but must be a Readout; only TP has target traces to be matched"),
        ({"readout": "none"}, "TESS: readout is 'none', but must be a Readout"),
    ],
)
def test_tess(options, message):
    with pytest.raises(tpl.InvalidValueError, match=message):
        tpl.TESS(**options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tpl.TESS.neuron(1.5), "LIF: decay is 1.5, but must be a number in"),
        (lambda: tpl.Readout(decay=1.1), r"Readout: decay is 1.1, but must be a number in \[0, 1\]; 1 integrates, 0 sees the step alone"),
        (lambda: tpl.Readout(decay=-0.1), "Readout: decay is -0.1"),
        (lambda: tpl.Readout(decay="slow"), "Readout: decay is 'slow'"),
        (lambda: tpl.Readout(temperature=0), "Readout: temperature is 0, but must be a number > 0; 1 is the published one"),
        (
            lambda: tpl.Readout(features="psi"),
            """Readout: features is 'psi', but must be one of trace, count, spike; "trace" is the published one""",
        ),
        (
            lambda: tpl.Readout(learn_last=0),
            "Readout: learn_last is 0, but must be an integer of at least 1, or None; 1 learns once per sample",
        ),
        (lambda: tpl.SGD(1.0), r"SGD: momentum is 1.0, but must be a number in \[0, 1\); leave it out for the usual value"),
        (lambda: tpl.SGD(-0.1), "SGD: momentum is -0.1"),
        (lambda: tpl.Adam(beta1=1), r"Adam: beta1 is 1, but must be a number in \[0, 1\)"),
        (lambda: tpl.Adam(beta2=float("nan")), "Adam: beta2 is nan"),
        (lambda: tpl.Adam(epsilon=0), "Adam: epsilon is 0, but must be a number > 0; 1e-8 is usual"),
        (lambda: tpl.Cosine(0), "Cosine: epochs is 0, but must be an integer of at least 1; give the number of epochs you will learn"),
        (lambda: tpl.Cosine(3, floor=1.0), r"Cosine: floor is 1.0, but must be a number in \[0, 1\)"),
        (lambda: tpl.Plateau(reduce=2), r"Plateau: reduce is 2, but must be a number in \[0, 1\)"),
        (lambda: tpl.Plateau(patience=0), "Plateau: patience is 0, but must be an integer of at least 1; 3 epochs are usual"),
        (lambda: tpl.Plateau(least=-1), "Plateau: least is -1, but must be a finite number >= 0; 0 takes any rise"),
    ],
)
def test_readouts_optimisers_and_schedules(make, message):
    with pytest.raises(tpl.InvalidValueError, match=message):
        make()


def test_rules_that_do_not_suit_the_network():
    with pytest.raises(tpl.InvalidValueError, match='TP: contrast is 5, but must be at most the number of classes, 3; use contrast="all"'):
        tpl.Learner(NETWORK, tpl.TP(contrast=5))
    with pytest.raises(tpl.InvalidValueError, match="TP: rate is 2 numbers, but must be one per hidden layer, 1"):
        tpl.Learner(NETWORK, tpl.TP((0.1, 0.2), contrast=2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None,), "Learner: network is None, but must be a Network"),
        ((NETWORK, "TP"), "Learner: rule is 'TP', but must be a rule or None"),
        ((NETWORK, None, "double"), "Learner: precision is 'double', but must be"),
        ((NETWORK, None, "float", -1), "seed: value is -1"),
        (
            (NETWORK, None, "float", 0, "adam"),
            r"Learner: optimiser is 'adam', but must be SGD\(...\) or Adam\(...\), or one of them per layer; use for example tpl.Adam\(\)",
        ),
        ((NETWORK, None, "float", 0, {"readout": 0.9}), r"Learner: optimiser is 0.9, but must be SGD\(...\) or Adam"),
        (
            (NETWORK, None, "float", 0, {"hidden1": tpl.Adam()}),
            "Learner: optimiser is 'hidden1', but must be for layers among hidden0, readout; rename it",
        ),
        (
            (NETWORK, None, "fixed", 0, tpl.Adam()),
            r"Learner: optimiser is Adam\(.*\), but must be SGD\(\) in fixed point; "
            r'a chip has no memory for moments: use tpl.SGD\(\), or precision="float"',
        ),
        (
            (NETWORK, None, tpl.FixedPoint(), 0, {"hidden0": tpl.SGD(0.9)}),
            r"Learner: optimiser is SGD\(momentum=0.9\), but must be SGD\(\)",
        ),
        (
            (NETWORK, None, "float", 0, tpl.SGD(), "cosine"),
            r"Learner: schedule is 'cosine', but must be Cosine\(...\), Plateau\(...\) or None; use for example tpl.Cosine\(epochs\)",
        ),
        ((NETWORK, tpl.TESS((0.1, 0.2))), "TESS: rate is 2 numbers, but must be one per hidden layer, 1"),
    ],
)
def test_learners(arguments, message):
    with pytest.raises(tpl.InvalidValueError, match=message):
        tpl.Learner(*arguments)


@pytest.fixture(scope="module")
def learner():
    return tpl.Learner(NETWORK, tpl.TP(contrast=2), "fixed")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda learner: learner.learn(GOOD, 3), r"sample: label is 3, but must be an integer in \[0, 3\); number the classes from 0"),
        (lambda learner: learner.learn(GOOD, -1), "sample: label is -1"),
        (lambda learner: learner.learn(GOOD, 1.0), "sample: label is 1.0"),
        (lambda learner: learner.learn(GOOD, 1, contrast_labels=[1]), "sample: contrast_labels is 1 labels, but must be one per row, 2"),
        (
            lambda learner: learner.learn(GOOD, 1, contrast_labels=[0, 2]),
            "sample: contrast_labels is .*, but must be with the sample's own label 1",
        ),
        (
            lambda learner: learner.learn(GOOD, 1, contrast_labels=[1, 3]),
            r"sample: contrast_labels is 3, but must be an integer in \[0, 3\)",
        ),
        (
            lambda learner: learner.learn(np.zeros((4, 6)), 1),
            "sample: events is of type ndarray, but must be Events; make them with tpl.Events",
        ),
        (lambda learner: learner.infer(tpl.Events([], [], 4, 7)), "sample: events is of 7 units, but must be of the network's 6 inputs"),
        (lambda learner: learner.step([6]), "Events: units is 6"),
        (lambda learner: learner.learn_batch([GOOD], [0]), "learn_batch: events is 1 samples and 1 labels, but must be at least two"),
        (lambda learner: learner.learn_batch([GOOD, GOOD], [0]), "learn_batch: events is 2 samples and 1 labels"),
        (lambda learner: learner.learn_batch([GOOD, GOOD], [0, 7]), "sample: label is 7"),
    ],
)
def test_samples(call, message, learner):
    before = {name: array.copy() for name, array in learner.memory.items()}
    with pytest.raises(tpl.InvalidValueError, match=message):
        call(learner)
    assert all(np.array_equal(before[name], array) for name, array in learner.memory.items())


@pytest.mark.parametrize(
    "rule",
    [
        tpl.TP(contrast=2, update="sequence"),
        tpl.TP(contrast=2, readout=tpl.Readout(learn_last=1)),
        tpl.TESS(basis="walsh"),
        tpl.TESS(basis="walsh", update="step", learn_last=3),
    ],
    ids=["TP sequence", "TP, readout at the end", "TESS sequence", "TESS, late"],
)
def test_rules_that_act_at_the_end_of_a_sample_ask_for_its_length(rule):
    learner = tpl.Learner(NETWORK, rule)
    for n_steps in (None, 0, 2.5):
        with pytest.raises(
            tpl.InvalidValueError,
            match=f"sample: n_steps is {n_steps}, but must be the number of steps, for this rule acts at a sample's end; "
            r'give begin\(label, n_steps=...\), or use update="step" and learn_last=None',
        ):
            learner.begin(1, n_steps=n_steps)
    assert learner.samples_seen == 0
    learner.begin(1, n_steps=3)
    learner.begin()


@pytest.mark.parametrize("batch", [0, -1, 1.5])
def test_impossible_batches(batch):
    with pytest.raises(tpl.InvalidValueError, match=f"fit: batch is {batch}, but must be an integer of at least 1"):
        tpl.Learner(NETWORK, tpl.TP(contrast=2)).fit([(GOOD, 1)] * 4, batch=batch)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (tpl.TESS(basis="walsh", pre_decay=0.99999), "TESS.pre_decay: decay is 0.99999, which rounds to 4096/4096"),
        (tpl.TESS(basis="walsh", pre_decay=0.9998), "hidden0_pre_trace: reaches 5000, 12 bits hold 4095; use a smaller decay"),
        (tpl.TP(contrast=2, readout=tpl.Readout(decay=0.99999)), "Readout: decay is 0.99999, which rounds to 4096/4096"),
    ],
)
def test_decays_that_fixed_point_cannot_hold(rule, message):
    tpl.Learner(NETWORK, rule)
    with pytest.raises(tpl.NumberRangeError, match=message):
        tpl.Learner(NETWORK, rule, "fixed")


def test_rules_without_an_end_need_no_length():
    for rule in (tpl.TP(contrast=2), tpl.TESS(basis="walsh", update="step")):
        learner = tpl.Learner(NETWORK, rule)
        learner.begin(1)
        assert not learner.circuits[1].needs_length


def test_only_contrasts_have_labels():
    learner = tpl.Learner(NETWORK, tpl.TESS(basis="walsh"))
    with pytest.raises(
        tpl.InvalidValueError, match=r"sample: contrast_labels is \[1, 2\], but must be left out; this rule has no use for it"
    ):
        learner.learn(GOOD, 1, contrast_labels=[1, 2])
    assert learner.samples_seen == 0


def test_learning_without_a_rule():
    with pytest.raises(
        tpl.InvalidValueError, match=r"Learner: rule is None, but must be a rule, to learn; make it with tpl.Learner\(network, tpl.TP"
    ):
        tpl.Learner(NETWORK).learn(GOOD, 1)


def test_errors_carry_object_and_attribute():
    with pytest.raises(tpl.TpLavaError) as caught:
        tpl.LIF(decay=2)
    assert (caught.value.obj, caught.value.attr) == ("LIF", "decay")
    assert isinstance(caught.value, ValueError)
