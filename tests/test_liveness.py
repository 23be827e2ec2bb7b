"""What cannot learn is told, once, by name and with a remedy; what learns is not."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from conftest import lively, random_samples

import tp_lava as tpl
from tp_lava.liveness import LEAST, Liveness, LivenessWarning

RULE = tpl.TP(0.02, 0.02, 3)


def told(learner, samples, **options):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        learner.fit(samples, **options)
    return [str(warning.message) for warning in found if issubclass(warning.category, LivenessWarning)]


@pytest.fixture
def samples(rng):
    return random_samples(rng, LEAST + 5, 12, 3, 15, 0.3)


def network(gain=2.0, **options):
    return lively(tpl.Network.dense((12, 20, 3), trace_decay=0.8, seed=1, **options), gain)


@pytest.mark.parametrize("precision", ["float", "fixed"])
def test_what_learns_is_not_told(precision, samples):
    assert told(tpl.Learner(network(), RULE, precision), samples) == []
    assert told(tpl.Learner(network(), RULE, precision), samples, batch=4) == []


def test_digits_are_not_told():
    train, _ = tpl.data.digits()
    for rule in (tpl.TP(), tpl.TESS(basis="walsh", temperature=0.05, activity="trace")):
        assert told(tpl.Learner(tpl.Network.dense((train[0].events.n_units, 60, 10)), rule), train[:60]) == []


@pytest.mark.parametrize("batch", [1, 4])
def test_a_silent_layer(batch, samples):
    learner = tpl.Learner(network(1e-3), RULE)
    found = told(learner, samples, batch=batch)
    assert f"hidden0: 100% of its 20 neurons never spiked in the first {len(samples)} samples" in found[0]
    assert "enlarge the weights into it, or lower its threshold of 1." in found[0]
    assert any(
        line.startswith("readout: no weight has moved") and "hidden0 is silent, which is to be mended first" in line for line in found
    )
    assert told(learner, samples) == []  # once


def test_a_saturated_layer(samples):
    saturated = replace(network(), populations=(replace(network().populations[0], neuron=tpl.LIF(threshold=1e-3, reset="zero")),))
    saturated = saturated.with_weights({"hidden0": np.abs(network().weights["hidden0"])})
    found = told(tpl.Learner(saturated, RULE), [(tpl.Events.from_dense(np.ones((9, 12), bool)), 0)] * LEAST)
    assert "hidden0: 100% of its 20 neurons spiked at nearly every step" in found[0]
    assert "raise its threshold of 0.001" in found[0]


def test_weights_that_are_rounded_away(samples):
    found = told(tpl.Learner(network(), tpl.TP(1e-8, 0.02, 3), "fixed"), samples)
    assert len(found) == 1
    assert found[0].startswith("hidden0: no weight has moved")
    assert "changes this small are rounded away" in found[0]


def test_neurons_without_a_signal(samples):
    """As the published basis gives none to some neurons; here to most."""
    wide = lively(tpl.Network.dense((12, 20, 3), trace_decay=0.8), 2.0)
    learner = tpl.Learner(wide, tpl.TESS(1.0, 0.02, basis="walsh"))
    learner.memory["hidden0_basis"][:, :15] = 0
    found = told(learner, samples)
    assert "hidden0: no weight of 75% of its 20 neurons has moved" in found[0]
    assert "another basis or feedback" in found[0]


def test_weights_that_only_clip(samples):
    found = told(tpl.Learner(network(), tpl.TP(50.0, 0.02, 3), "fixed"), samples, epochs=2)
    assert any("hidden0" in line and "are at the ends of their format, +-" in line and "smaller rate" in line for line in found)


def test_weights_that_diverge(samples):
    found = told(tpl.Learner(network(), tpl.TP(1e38, 1e38, 3)), samples, epochs=2)
    assert any("weights are infinite or no numbers" in line and "use a smaller rate" in line for line in found)


@pytest.mark.parametrize("rule", [tpl.TP(1e6, 5e-4, 3), tpl.TP(1e6, 1e6, 3), tpl.TESS(1e6, 1e6, basis="walsh")])
def test_weights_that_grow_beyond_use(rule, samples):
    """Finite, so that only their size tells; once, and also where an epoch is a call of its own."""
    learner = tpl.Learner(network(), rule)
    found = told(learner, samples)
    assert any("its largest weight has grown from" in line and "learning diverges; use a smaller rate" in line for line in found)
    assert told(learner, samples) == []


def test_nothing_to_learn_is_an_error(samples):
    learner = tpl.Learner(network(), RULE)
    for call in (lambda: learner.fit([]), lambda: learner.evaluate([])):
        with pytest.raises(tpl.InvalidValueError, match="samples is empty, but must be at least one sample"):
            call()
    with pytest.raises(tpl.InvalidValueError, match="fit: epochs is -1, but must be an integer of at least 0"):
        learner.fit(samples, epochs=-1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda samples: iter(samples), "fit: samples is of type list_iterator, but must be a sequence of samples; make a list of them"),
        (lambda samples: samples[0][0], "fit: samples is of type Events, but must be a sequence of samples"),
        (lambda samples: {"a": samples[0]}, "fit: samples is of type dict, but must be"),
        (lambda samples: None, "fit: samples is of type NoneType, but must be"),
        (lambda samples: [samples[0][0]], r"sample: number 0 is of type Events, but must be a pair \(Events, label\)"),
        (lambda samples: [samples[0], (samples[0][0],)], "sample: number 1 is of type tuple, but must be a pair"),
        (lambda samples: [(samples[0][0], 0, 1)], "sample: number 0 is of type tuple, but must be a pair"),
    ],
)
def test_what_is_no_sequence_of_pairs_is_an_error(samples, given, message):
    with pytest.raises(tpl.InvalidValueError, match=message):
        tpl.Learner(network(), RULE).fit(given(samples), shuffle=False)


def test_few_samples_tell_nothing(samples):
    learner = tpl.Learner(network(1e-3), RULE)
    assert told(learner, samples[: LEAST - 1]) == []
    assert len(told(learner, samples[:2])) > 0  # then there are enough
    assert Liveness(learner).findings() == ()


def test_a_rule_that_is_set_is_watched_anew(samples):
    learner = tpl.Learner(network(1e-3), RULE)
    assert told(learner, samples)
    learner.rule = tpl.TP(0.01, 0.02, 3)
    assert told(learner, samples)


def test_what_rests_on_purpose_is_not_told(samples):
    assert told(tpl.Learner(network(), tpl.TP(0.0, 0.02, 3)), samples) == []
    assert told(tpl.Learner(network(), replace(RULE, readout_rate=0.0)), samples) == []


def test_the_report_tells(samples):
    from tp_lava.report import gather, render

    samples = [tpl.Sample(*sample) for sample in samples]
    page = render(gather(tpl.Learner(network(1e-3), RULE, "fixed"), samples, counted=1))
    assert "<strong>hidden0</strong>: 100% of its 20 neurons never spiked" in page
    assert "Every layer spikes" in render(gather(tpl.Learner(network(), RULE, "fixed"), samples, counted=1))


def test_finetuning_tells(samples):
    samples = [tpl.Sample(*sample) for sample in samples]
    with pytest.warns(LivenessWarning, match="hidden0: 100% of its 20 neurons never spiked"):
        tpl.finetune(network(1e-3), samples, samples, rule=RULE, epochs=1)
