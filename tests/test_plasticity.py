"""Plasticity rules: what they print for Lava's engine, and what they do to a weight at its ends."""

import numpy as np
import pytest
from conftest import port_arrays, run_both

from tp_lava.backends.loihi2.learning_engine import loihi_string
from tp_lava.dynamics.plasticity import SPIKE_TIMES_THIRD, TRACE_TIMES_THIRD, PlasticityRule, Product, plasticity_program
from tp_lava.numbers import Format

WEIGHT, THIRD, TRACE = Format(8, 8), Format(8, 12), Format(16, 10, signed=False)


def test_rules_as_lava_writes_them():
    assert loihi_string(SPIKE_TIMES_THIRD, {"y1": 4}) == "2^-4*x0*y1 - 2^-4*x0*y2"
    assert loihi_string(TRACE_TIMES_THIRD, {"y1": 3}) == "2^-3*u0*x1*y1 - 2^-3*u0*x1*y2"
    two = PlasticityRule((Product("x1", "y1"), Product("x0", "y2")))
    assert loihi_string(two, {"y1": 2, "y2": 5}) == "2^-2*u0*x1*y1 - 2^-2*u0*x1*y2 + 2^-5*x0*y3 - 2^-5*x0*y4"


def test_lava_accepts_the_string():
    from tp_lava.lava import make_importable

    make_importable()
    from lava.magma.core.learning.learning_rule import Loihi3FLearningRule

    rule = Loihi3FLearningRule(dw=loihi_string(SPIKE_TIMES_THIRD, {"y1": 3}), x1_impulse=16, x1_tau=10, t_epoch=1)
    assert rule.dw_str == "2^-3*x0*y1 - 2^-3*x0*y2"


@pytest.mark.parametrize("rule", [SPIKE_TIMES_THIRD, TRACE_TIMES_THIRD, PlasticityRule((Product("x0", "y1"), Product("x1", "y2")))])
def test_both_targets_agree_and_weights_stay_in_a_byte(rule, rng):
    program = plasticity_program(rule, WEIGHT, THIRD, TRACE)
    for key in range(10):
        arrays = port_arrays(program, {"n": 500}, rng)
        interpreted, compiled = run_both(program, arrays, key)
        np.testing.assert_array_equal(interpreted["weight"], compiled["weight"])
        assert np.abs(compiled["weight"].astype(int)).max() <= 127


def test_a_weight_follows_its_update_on_average(rng):
    program = plasticity_program(TRACE_TIMES_THIRD, WEIGHT, THIRD, TRACE)
    third, trace = 5, 3000
    exact = third * 2.0**-12 * trace * 2.0**-10 * 2**8
    changes = []
    for key in range(40):
        weight = np.zeros(2000, np.int8)
        arrays = {"weight": weight, "x1": np.array([trace], np.int32), "y1": np.full(2000, third, np.int32)}
        _, compiled = run_both(program, arrays, key)
        changes.append(compiled["weight"].mean())
    assert np.mean(changes) == pytest.approx(exact, abs=0.005)


def test_nothing_changes_where_the_third_factor_is_zero(rng):
    program = plasticity_program(TRACE_TIMES_THIRD, WEIGHT, THIRD, TRACE)
    weight = rng.integers(-127, 127, 300).astype(np.int8)
    arrays = {"weight": weight, "x1": np.array([65535], np.int32), "y1": np.zeros(300, np.int32)}
    for key in range(5):
        _, compiled = run_both(program, arrays, key)
        np.testing.assert_array_equal(compiled["weight"], weight)


def test_the_float_rule_is_the_product():
    program = plasticity_program(TRACE_TIMES_THIRD)
    arrays = {"weight": np.array([1.0], np.float32), "x1": np.array([2.0], np.float32), "y1": np.array([-0.25], np.float32)}
    assert run_both(program, arrays)[1]["weight"][0] == 0.5
