"""The main job: a blank network learns real handwritten digits, one sample at a time; `tp-lava compare-rules` measures how well."""

import numpy as np
import pytest

import tp_lava as tpl


@pytest.mark.parametrize("precision", ["float", "fixed"])
def test_digits_are_learned_and_the_hidden_layer_helps(precision):
    train, test = tpl.data.digits()
    network = tpl.Network.dense((512, 200, 10), seed=0)
    published = tpl.Readout()  # so slow a readout shows what the hidden layer adds within four epochs
    learner = tpl.Learner(network, tpl.TP(7e-4, 2e-5, 4, readout=published), precision)
    frozen = tpl.Learner(network, tpl.TP(0.0, 2e-5, 4, readout=published), precision)
    assert learner.evaluate(test) < 0.3
    for one in (learner, frozen):
        one.fit(train, epochs=4)
    assert learner.evaluate(test) > max(0.9, frozen.evaluate(test) + 0.03)
    assert np.array_equal(frozen.weights["hidden0"], tpl.Learner(network, None, precision).weights["hidden0"])
