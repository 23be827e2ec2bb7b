"""The CPU target's own float functions against NumPy's in double precision."""

import numpy as np

from tp_lava.backends.cpu_instructions import EXP2_REAL_ERROR
from tp_lava.backends.cpu_programs import carry_out
from tp_lava.dynamics.symbols import Tracer, apply


def powers(x):
    t = Tracer("powers", fixed=False, axes={"n": 1})
    t.write("y", apply("exp2", t.read("x", "input", ("n",), None)), ("n",), None)
    arrays = {"x": x, "y": np.empty_like(x)}
    carry_out(t.program(), arrays)
    return arrays["y"]


def test_powers_of_two_are_within_the_stated_error(rng):
    x = np.concatenate([rng.uniform(-125, 127, 20000), rng.uniform(-2, 0, 20000), np.arange(-125, 128)]).astype(np.float32)
    exact = np.exp2(x.astype(np.float64))
    assert np.abs(powers(x) / exact - 1).max() < EXP2_REAL_ERROR
    whole = np.arange(-126, 128, dtype=np.float32)
    np.testing.assert_array_equal(powers(whole), np.exp2(whole.astype(np.float64)))


def test_powers_at_the_ends_of_the_range():
    x = np.array([-np.inf, -1e30, -200, -127, 128, 1e30, np.inf], np.float32)
    np.testing.assert_array_equal(powers(x), np.array([0, 0, 0, 0, np.inf, np.inf, np.inf], np.float32))
    assert np.isnan(powers(np.array([np.nan], np.float32))[0])
