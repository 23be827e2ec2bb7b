"""The CPU target's own float functions against NumPy's in double precision, and its tables against their definition."""

import numpy as np
import pytest

from tp_lava.backends import cpu_instructions
from tp_lava.backends.cpu_instructions import EXP2_REAL_ERROR
from tp_lava.backends.cpu_programs import carry_out
from tp_lava.dynamics.piecewise import Piecewise, fit_piecewise
from tp_lava.dynamics.symbols import Tracer, apply, evaluate
from tp_lava.numbers import Format


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


BENDS = {  # function, largest argument's bits, segments: in buckets of their own, some together, more than a vector has lanes
    "even": (lambda x: np.exp2(-x), 12, 10),
    "uneven": (lambda x: np.exp(-8 * x), 13, 10),
    "one": (lambda x: x, 10, 1),
    "many": (lambda x: np.sin(9 * x), 12, 21),
}


@pytest.mark.parametrize("looks_up", [True, False])
@pytest.mark.parametrize("name", BENDS)
def test_a_table_is_the_same_however_its_segments_are_found(name, looks_up, monkeypatch):
    if not looks_up:
        monkeypatch.setattr(cpu_instructions, "permutes", lambda: False)
        monkeypatch.setattr(Piecewise, "buckets", lambda self, most: None)
    function, bits, segments = BENDS[name]
    argument, last = Format(bits, bits, signed=False), (1 << bits) - 1
    table = fit_piecewise(name, function, argument, Format(16, 12), last, segments)
    t = Tracer("table", fixed=True, axes={"r": 1, "n": 1})
    x, one = t.read("x", "input", ("r", "n"), argument), t.read("one", "input", ("r",), argument)
    t.write("y", evaluate(x, table), ("r", "n"), table.result)
    t.write("of_one", evaluate(one, table), ("r",), table.result)
    every = np.arange(last + 1, dtype=np.int32)
    arrays = {"x": every.reshape(-1, 64), "one": every[63::64].copy()}
    arrays |= {"y": np.zeros_like(arrays["x"]), "of_one": np.zeros_like(arrays["one"])}
    carry_out(t.program(), arrays)
    np.testing.assert_array_equal(arrays["y"].ravel(), table(every))
    np.testing.assert_array_equal(arrays["of_one"], table(arrays["one"]))
