"""Interpreter = CPU, bit for bit in fixed point, over random programs, formats, shapes and keys, and at every edge."""

import numpy as np
import pytest
from conftest import port_arrays, run_both
from hypothesis import example, given, settings
from hypothesis import strategies as st
from random_programs import random_program

from tp_lava.backends.cpu_programs import row_program
from tp_lava.backends.interpreted_programs import interpret
from tp_lava.dynamics.program import INSTRUCTIONS
from tp_lava.dynamics.symbols import Tracer, multiply, saturate, total
from tp_lava.errors import NumberRangeError
from tp_lava.numbers import Format

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=25)
@given(SEEDS)
@example(0)
def test_fixed_programs_agree_bit_for_bit(seed):
    rng = np.random.default_rng(seed)
    program, sizes = random_program(rng, length=int(rng.integers(3, 25)))
    for key in rng.integers(2**32, size=3):
        interpreted, compiled = run_both(program, port_arrays(program, sizes, rng), int(key))
        for name in interpreted:
            np.testing.assert_array_equal(interpreted[name], compiled[name], f"{name} of\n{program.listing()}")


@settings(max_examples=14)
@given(SEEDS)
def test_real_programs_agree_to_rounding(seed):
    rng = np.random.default_rng(seed)
    program, sizes = random_program(rng, fixed=False, length=int(rng.integers(3, 16)))
    arrays = port_arrays(program, sizes, rng)
    with np.errstate(all="ignore"):
        interpreted, compiled = run_both(program, arrays)
    for name, expected in interpreted.items():
        if np.isfinite(expected).all() and np.abs(expected).max() < 1e6:
            np.testing.assert_allclose(compiled[name], expected, rtol=1e-3, atol=1e-3, err_msg=program.listing())


def test_random_programs_use_every_instruction():
    """So that the agreement above covers the whole instruction set."""
    used = set()
    for seed in range(300):
        for fixed in (True, False):
            used |= {i.op for i in random_program(np.random.default_rng(seed), fixed)[0].instructions}
    assert used == set(INSTRUCTIONS)


def product_program(a, b, into, rounding):
    t = Tracer("product", fixed=True, axes={"n": 1})
    y = multiply(t.read("a", "input", ("n",), a), t.read("b", "input", ("n",), b), into, rounding)
    t.write("y", y, ("n",), into)
    return t.program()


def python_product(x, y, shift, rounding, into):
    """Second formula: unbounded integers and exact fractions."""
    product = int(x) * int(y)
    if shift <= 0:
        rounded = product << -shift
    elif rounding == "floor":
        rounded = product // 2**shift
    elif rounding == "zero":
        rounded = abs(product) // 2**shift * (1 if product >= 0 else -1)
    else:
        rounded = (2 * product + 2**shift) // 2 ** (shift + 1)
    return min(max(rounded, into.low), into.high)


@pytest.mark.parametrize("rounding", ["zero", "floor", "nearest"])
@pytest.mark.parametrize(
    ("a", "b", "into"),
    [
        (Format(24, 14), Format(12, 12, False), Format(24, 14)),  # a membrane decays
        (Format(16, 10, False), Format(16, 10, False), Format(32, 8)),  # traces multiply
        (Format(8, 7), Format(8, 7), Format(8, 7)),
        (Format(8, 0), Format(8, 0), Format(24, 6)),  # shifted left
        (Format(32, 0), Format(31, 31), Format(32, 0)),  # 63-bit products
    ],
)
def test_products_at_every_edge(a, b, into, rounding, rng):
    edges = [np.array([f.low, f.low + 1, -1, 0, 1, f.high // 2, f.high - 1, f.high]).clip(f.low, f.high) for f in (a, b)]
    x, y = (grid.ravel() for grid in np.meshgrid(*edges))
    x = np.concatenate([x, rng.integers(a.low, a.high, 500)])
    y = np.concatenate([y, rng.integers(b.low, b.high, 500)])
    shift = a.frac + b.frac - into.frac
    arrays = {"a": x.astype(np.int32), "b": y.astype(np.int32), "y": np.zeros(len(x), np.int32)}
    interpreted, compiled = run_both(product_program(a, b, into, rounding), arrays)
    expected = [python_product(p, q, shift, rounding, into) for p, q in zip(x, y, strict=True)]
    np.testing.assert_array_equal(interpreted["y"], expected)
    np.testing.assert_array_equal(compiled["y"], expected)


def test_stochastic_rounding_is_right_on_average_and_never_beyond_a_neighbour():
    a, b, into = Format(8, 0), Format(8, 7), Format(16, 0)
    program = product_program(a, b, into, "stochastic")
    x = np.repeat(np.array([-127, -3, 0, 1, 50, 127], np.int32), 4000)
    arrays = {"a": x, "b": np.full_like(x, 37), "y": np.zeros_like(x)}
    exact = x * 37 / 128
    means = []
    for key in range(20):
        interpreted, compiled = run_both(program, arrays, key)
        np.testing.assert_array_equal(interpreted["y"], compiled["y"])
        assert np.all(np.abs(compiled["y"] - exact) < 1)
        means.append(compiled["y"].reshape(6, -1).mean(axis=1))
    np.testing.assert_allclose(np.mean(means, axis=0), exact.reshape(6, -1)[:, 0], atol=0.01)


@pytest.mark.parametrize("format", [Format(8, 0), Format(24, 0), Format(16, 0, False), Format(2, 0)])
def test_saturation_at_both_ends(format):
    source = Format(32, 0)
    t = Tracer("saturation", fixed=True, axes={"n": 1})
    t.write("y", saturate(t.read("x", "input", ("n",), source), format), ("n",), format)
    x = np.array([source.low, format.low - 1, format.low, -1, 0, 1, format.high, format.high + 1, source.high], np.int64)
    arrays = {"x": x.clip(source.low, source.high).astype(np.int32), "y": np.zeros(len(x), np.int32)}
    interpreted, compiled = run_both(t.program(), arrays)
    np.testing.assert_array_equal(interpreted["y"], np.clip(arrays["x"], format.low, format.high))
    np.testing.assert_array_equal(compiled["y"], interpreted["y"])


def test_what_could_overflow_is_refused_while_tracing():
    t = Tracer("hidden0_neuron", fixed=True, axes={"n": 3})
    x = t.read("x", "input", ("n",), Format(32, 0))
    with pytest.raises(NumberRangeError, match=r"hidden0_neuron: value %\d+ \(add\) could reach 4294967294, beyond the 32-bit register's"):
        _ = x + x
    with pytest.raises(NumberRangeError, match=r"\(sum\)"):
        total(x, "n")
    with pytest.raises(NumberRangeError, match="needs a shift of 40 bits; at most 31"):
        multiply(x, t.read("tiny", "parameter", (), Format(8, 40)), Format(8, 0))


def test_a_value_outside_its_port_is_noticed_by_the_interpreter():
    program = product_program(Format(8, 0), Format(8, 0), Format(16, 0), "floor")
    arrays = {"a": np.array([200], np.int32), "b": np.array([1], np.int32), "y": np.zeros(1, np.int32)}
    with pytest.raises(OverflowError, match=r"%0 is in 200..200, proven -127..127"):
        interpret(program, arrays)


def test_source_and_listing_can_be_read():
    program = product_program(Format(8, 0), Format(8, 7), Format(16, 0), "stochastic")
    taken = "i32 %key, ptr %a, i64 %a.0, ptr %b, i64 %b.0, ptr %y, i64 %y.0"
    assert row_program(program).text.startswith(f"define internal void @program({taken})")
    assert "mul_random" in program.listing()
    assert "s8.7 in -127..127 [n]" in program.listing()
