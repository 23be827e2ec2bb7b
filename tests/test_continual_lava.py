"""A continual learner in Lava does what it does in the engine: asynchronously, step by step, and opened into layers."""

import numpy as np
import pytest
from test_continual import CLASSES, INPUTS, task

import tp_lava as tpl
from tp_lava.continual import in_lava
from tp_lava.continual.in_lava import play_in_lava
from tp_lava.continual.presenter import Round

FORMS = {"asynchronous": {}, "stepwise": {"stepwise": True}, "layers": {"layers": True}}
SETTINGS = {
    "replay and gate": (tpl.Replay(6, 2), tpl.Gate("unsure", margin=0.3), None),
    "gate": (None, tpl.Gate("wrong"), None),
    "gate of old ones": (tpl.Replay(6, 2), tpl.Gate("wrong", of="old"), None),
    "replay": (tpl.Replay(bytes=300), None, None),
    "anchor": (tpl.Replay(6, 1), tpl.Gate("wrong"), tpl.Anchor(0.1, every=2)),
}


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch):
    """The host looks often whether the source waits, mostly before a chunk would have let the last sample through by itself."""
    monkeypatch.setattr(in_lava, "_CHUNK", 7)


def learner(precision, schedule):
    network = tpl.Network.dense((INPUTS, 10, CLASSES), tpl.LIF(0.9), trace_decay=0.9)
    return tpl.Learner(network, tpl.TP(0.02, 0.02, contrast="all"), precision, schedule=schedule)


def made(precision, settings):
    continual = tpl.Continual(learner(precision, tpl.Cosine(3)), *settings)
    if settings[0]:
        continual.remember(task(1, 12))
    return continual


def assert_same_learner(one, other, precision):
    compare = np.testing.assert_array_equal if precision == "fixed" else lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    for name, array in one.weights.items():
        compare(other.weights[name], array)
    assert one.archived()[0] == other.archived()[0]  # epochs and scores, which decide the rates
    for name in one.circuits[1].rates:
        np.testing.assert_array_equal(one.memory[name], other.memory[name])


def assert_same(one, other, precision):
    assert_same_learner(one.learner, other.learner, precision)
    for name in ("seen", "learned", "replayed", "relearned", "presentations", "steps", "learning_steps", "pulls", "replay_bytes"):
        assert getattr(one.cost, name) == getattr(other.cost, name), name
    assert (one.buffer is None) == (other.buffer is None)
    if one.buffer is not None:
        assert one.buffer.samples == other.buffer.samples


@pytest.mark.parametrize(
    ("form", "case", "precision"),
    [("asynchronous", case, "fixed") for case in SETTINGS]
    + [(form, case, "fixed") for form in ("stepwise", "layers") for case in ("replay and gate", "anchor")]
    + [("asynchronous", "anchor", "float")],
)
def test_in_lava_it_is_the_engines(form, case, precision):
    """Two epochs, and in a second session, where the rates go on from those of the first, two more; then they stay as they are.

    Weights, rates, decisions, buffer and costs are the same.
    """
    new, test = task(2, 5, shift=2), task(5, 4)
    here, there = made(precision, SETTINGS[case]), made(precision, SETTINGS[case])
    start = here.learner.weights["hidden0"]
    for _ in range(2):
        first, *accuracies = [here.evaluate(test), *(here.fit_epoch(new, shuffle=False) for _ in range(2)), here.evaluate(test)]
        run = play_in_lava(there, [Round(test, False), *2 * [Round(new, True)], Round(test, False)], **FORMS[form])
        assert run.accuracies == [first, *accuracies]
        assert_same(here, there, precision)
    assert (here.learner.weights["hidden0"] != start).any()


@pytest.mark.parametrize("form", FORMS)
def test_a_learner_too_by_any_schedule(form):
    """Plateau looks at the samples for validation, and halves the rates once they are told no better."""
    new, held = task(2, 5, shift=2), task(5, 4)
    here, there = (learner("fixed", tpl.Plateau(0.5, patience=1)) for _ in range(2))
    accuracies = here.fit(new, 4, shuffle=False, validation=held)
    run = play_in_lava(there, 4 * [Round(new, True, validation=held)], **FORMS[form])
    assert run.accuracies == accuracies
    assert_same_learner(here, there, "fixed")
    assert here.memory["hidden0_rate"] < learner("fixed", None).memory["hidden0_rate"]


@pytest.mark.parametrize(
    ("optimiser", "rounds", "message"),
    [
        (tpl.SGD(), [], "play_in_lava: rounds is empty, but must be at least one Round"),
        (tpl.SGD(), [Round(task(1, 2), True), Round([], False)], "play_in_lava: samples is empty"),
        (tpl.SGD(), [Round(task(1, 2), True, validation=[(tpl.Events([0], [0], 1, 5), 0)])], "sample: events is of 5 units"),
        (tpl.SGD(0.9), [Round(task(1, 2), True)], r"play_in_lava: optimiser is of a learner with moments, but must be SGD\(\)"),
    ],
)
def test_what_cannot_be_played_is_refused(optimiser, rounds, message):
    network = learner("float", None).network
    with pytest.raises(tpl.InvalidValueError, match=message):
        play_in_lava(tpl.Learner(network, tpl.TP(0.02, 0.02), optimiser=optimiser), rounds)
