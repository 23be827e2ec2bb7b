"""A continual learner in Lava does what it does in the engine: asynchronously, step by step, and opened into layers."""

import numpy as np
import pytest
from test_continual import learner, task

import tp_lava as tpl
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


def made(precision, settings):
    continual = tpl.Continual(learner(precision, 0.02), *settings)
    if settings[0]:
        continual.remember(task(1, 12))
    return continual


def assert_same(one, other, precision):
    compare = np.testing.assert_array_equal if precision == "fixed" else lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    for name, array in one.learner.weights.items():
        compare(other.learner.weights[name], array)
    for name in ("seen", "learned", "replayed", "relearned", "presentations", "steps", "learning_steps", "pulls", "replay_bytes"):
        assert getattr(one.cost, name) == getattr(other.cost, name), name
    assert (one.buffer is None) == (other.buffer is None)
    if one.buffer is not None:
        assert one.buffer.samples == other.buffer.samples


@pytest.mark.parametrize(
    ("form", "case", "precision"),
    [("asynchronous", case, "fixed") for case in SETTINGS]
    + [("stepwise", "replay and gate", "fixed"), ("stepwise", "anchor", "fixed"), ("layers", "replay and gate", "fixed")]
    + [("asynchronous", "anchor", "float")],
)
def test_in_lava_it_is_the_engines(form, case, precision):
    """Twice, so that the second session goes on where the first has stopped; weights, decisions, buffer and costs are the same."""
    new, test = task(2, 7, shift=2), task(5, 4)
    here, there = made(precision, SETTINGS[case]), made(precision, SETTINGS[case])
    start = here.learner.weights["hidden0"]
    for _ in range(2):
        accuracies = [here.evaluate(test), np.mean([here.learn(*sample).prediction == sample.label for sample in new]), here.evaluate(test)]
        run = play_in_lava(there, [Round(test, False), Round(new, True), Round(test, False)], **FORMS[form])
        assert run.accuracies == accuracies
        assert_same(here, there, precision)
    assert (here.learner.weights["hidden0"] != start).any()


def test_an_anchor_needs_one_process():
    with pytest.raises(tpl.InvalidValueError, match="play_in_lava: layers is True, but must be False with an anchor"):
        play_in_lava(made("fixed", SETTINGS["anchor"]), [Round(task(1, 2), True)], layers=True)
