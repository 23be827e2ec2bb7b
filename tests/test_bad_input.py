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
        ({"hidden1": np.zeros((5, 6))}, r"weights\['hidden1'\] is unknown, but must be one of hidden0, bias0, target, readout"),
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
        ({"sizes": (6, 5, 1)}, "Network: size is 1, but must be an integer of at least 2"),
        ({"sizes": (6, 5, 3), "trace_decay": 1.0}, r"Layer: trace_decay is 1.0, but must be a number in \[0, 1\)"),
        ({"sizes": (6, 5, 3), "trace_decay": [0.5, 0.5]}, "Network: trace_decay is 2 values, but must be one per hidden layer, 1"),
        ({"sizes": (6, 5, 3), "seed": -1}, "seed: value is -1"),
    ],
)
def test_networks(options, message):
    with pytest.raises(tpl.InvalidValueError, match=message):
        tpl.Network.dense(**options)


def test_missing_weights_and_read_only_arrays():
    with pytest.raises(tpl.InvalidValueError, match="Network: weights is without target, but must be given for hidden0"):
        tpl.Network(6, NETWORK.layers, 3, {k: v for k, v in NETWORK.weights.items() if k != "target"})
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
    ],
)
def test_rules(options, message):
    with pytest.raises(tpl.InvalidValueError, match=message):
        tpl.TP(**options)


def test_rules_that_do_not_suit_the_network():
    with pytest.raises(tpl.InvalidValueError, match='TP: contrast is 4, but must be at most the number of classes, 3; use contrast="all"'):
        tpl.Learner(NETWORK, tpl.TP(contrast=4))
    with pytest.raises(tpl.InvalidValueError, match="TP: rate is 2 numbers, but must be one per hidden layer, 1"):
        tpl.Learner(NETWORK, tpl.TP((0.1, 0.2), contrast=2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None,), "Learner: network is None, but must be a Network"),
        ((NETWORK, "TP"), "Learner: rule is 'TP', but must be a rule or None"),
        ((NETWORK, None, "double"), "Learner: precision is 'double', but must be"),
        ((NETWORK, None, "float", -1), "seed: value is -1"),
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
        (lambda learner: learner.learn(GOOD, 1, [1]), "sample: contrast_labels is 1 labels, but must be one per target stream, 2"),
        (lambda learner: learner.learn(GOOD, 1, [0, 2]), "sample: contrast_labels is .*, but must be with the sample's own label 1"),
        (lambda learner: learner.learn(GOOD, 1, [1, 3]), r"sample: contrast_labels is 3, but must be an integer in \[0, 3\)"),
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
