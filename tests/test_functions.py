"""Declared functions: the stated error bounds, checked over whole domains, in both number systems."""

import numpy as np
import pytest
from conftest import run_both

from tp_lava.dynamics import functions
from tp_lava.dynamics.functions import EXP2_ERROR, LOG2_ERROR, POWER, SQRT_ERROR, exp2, log2, softmax, sqrt
from tp_lava.dynamics.surrogate import SURROGATE, SURROGATE_ERROR, ArcTan, FastSigmoid, Triangle, pseudo_derivative, surrogate_table
from tp_lava.dynamics.symbols import Tracer, minimum
from tp_lava.errors import InvalidValueError
from tp_lava.numbers import Format

RESOLUTION = 2.0**-15
SURROGATES = [ArcTan(), ArcTan(3.0), Triangle(), Triangle(1.0, 0.4), FastSigmoid(), FastSigmoid(1.0), FastSigmoid(100.0)]


def unary(function, argument, result, fixed=True, **options):
    t = Tracer("unary", fixed=fixed, axes={"n": 1})
    y = function(t.read("x", "input", ("n",), argument), **options)
    t.write("y", y, ("n",), result)
    return t.program()


def evaluate(program, x, fixed=True):
    arrays = {"x": x.astype(np.int32 if fixed else np.float32), "y": np.zeros(len(x), np.int32 if fixed else np.float32)}
    interpreted, compiled = run_both(program, arrays)
    if fixed:
        np.testing.assert_array_equal(interpreted["y"], compiled["y"])
    else:
        np.testing.assert_allclose(interpreted["y"], compiled["y"], rtol=1e-5, atol=1e-6)
    return compiled["y"]


def test_exp2_of_everything_below_zero():
    argument = Format(20, 12)
    x = np.arange(argument.low, 1)
    y = evaluate(unary(lambda s: exp2(minimum(s, 0.0), POWER), argument, POWER), x)
    exact = np.exp2(x / 4096.0)
    assert np.all(np.abs(y * RESOLUTION - exact) <= EXP2_ERROR * exact + RESOLUTION)


def test_exp2_above_one():
    argument, result = Format(16, 12), Format(32, 6)
    x = np.arange(argument.low, argument.high + 1)
    y = evaluate(unary(lambda s: exp2(s, result), argument, result), x)
    exact = np.exp2(x / 4096.0)
    assert np.all(np.abs(y / 64.0 - exact) <= EXP2_ERROR * exact + 1 / 64)


@pytest.mark.parametrize("frac", [-3, 0, 8, 20])
def test_log2_over_the_whole_register(frac):
    argument, result = Format(32, frac), functions.LOGARITHM
    x = np.unique(np.concatenate([np.arange(1, 5000), np.geomspace(1, argument.high, 20000).astype(np.int64)]))
    y = evaluate(unary(log2, argument, result), x)
    assert np.all(np.abs(result.real(y) - np.log2(x * 2.0**-frac)) <= LOG2_ERROR)
    assert evaluate(unary(log2, argument, result), np.array([0, -5]))[0] == evaluate(unary(log2, argument, result), np.array([1]))[0]


def test_sqrt_is_zero_at_zero_and_bounded_elsewhere():
    argument, result = Format(32, 8), Format(32, 8)
    x = np.unique(np.concatenate([[0], np.arange(1, 3000), np.geomspace(1, argument.high, 20000).astype(np.int64)]))
    y = result.real(evaluate(unary(sqrt, argument, result, into=result), x))
    exact = np.sqrt(x / 256.0)
    assert y[0] == 0
    assert np.all(np.abs(y - exact) <= SQRT_ERROR * exact + 1 / 256)


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
def test_softmax_in_both_number_systems(classes, rng):
    argument = Format(31, 7)
    t = Tracer("softmax", fixed=True, axes={"b": 1, "c": classes})
    t.write("y", softmax(t.read("x", "input", ("b", "c"), argument), "c"), ("b", "c"), POWER)
    x = rng.integers(-2000, 2000, (200, classes)).astype(np.int32)
    x[0], x[1, 0], x[2] = 0, argument.high, [argument.high] + [argument.low] * (classes - 1)
    interpreted, compiled = run_both(t.program(), {"x": x, "y": np.zeros_like(x)})
    np.testing.assert_array_equal(interpreted["y"], compiled["y"])
    shifted = x / 128.0 - (x / 128.0).max(axis=1, keepdims=True)
    exact = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    assert np.abs(POWER.real(compiled["y"]) - exact).max() < 0.005

    r = Tracer("softmax", fixed=False, axes={"b": 1, "c": classes})
    r.write("y", softmax(r.read("x", "input", ("b", "c")), "c"), ("b", "c"))
    real = (x[3:] / 128.0).astype(np.float32)
    _, compiled = run_both(r.program(), {"x": real, "y": np.zeros_like(real)})
    np.testing.assert_allclose(compiled["y"], exact[3:], rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("surrogate", SURROGATES, ids=str)
def test_every_surrogate_stays_within_its_bound(surrogate):
    table = surrogate_table(surrogate)
    x = np.arange(table.last + 1)
    exact = surrogate.profile(x * table.argument.resolution)
    assert np.abs(SURROGATE.real(table(x)) - exact).max() <= SURROGATE_ERROR
    beyond = surrogate.profile(np.array([table.last * table.argument.resolution * 1.001, 1e6]))
    assert np.abs(SURROGATE.real(table(np.array([table.last]))) - beyond).max() <= SURROGATE_ERROR


@pytest.mark.parametrize("surrogate", SURROGATES, ids=str)
def test_surrogates_on_a_membrane(surrogate, rng):
    excess = Format(24, 14)
    x = np.concatenate([[excess.low, -1, 0, 1, excess.high], rng.integers(-(2**17), 2**17, 3000)])
    fixed = evaluate(unary(lambda s: pseudo_derivative(surrogate, s), excess, SURROGATE), x)
    real = evaluate(unary(lambda s: pseudo_derivative(surrogate, s), None, None, fixed=False), x / 2.0**14, fixed=False)
    np.testing.assert_allclose(real, surrogate.profile(np.abs(x) / 2.0**14), atol=1e-5)
    coarsest = 2.0**-9 * max(1.0, np.abs(np.diff(surrogate.profile(np.arange(0, 8, 2.0**-9)))).max() * 2**9)
    assert np.abs(SURROGATE.real(fixed) - real).max() <= SURROGATE_ERROR + coarsest


@pytest.mark.parametrize("make", [lambda: ArcTan(0), lambda: Triangle(-1.0), lambda: Triangle(2.5), lambda: FastSigmoid(float("nan"))])
def test_impossible_surrogates_are_refused(make):
    with pytest.raises(InvalidValueError, match="but must be"):
        make()
