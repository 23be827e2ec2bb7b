import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tp_lava.backends.cpu_numba import SCOPE
from tp_lava.errors import InvalidValueError, NumberRangeError
from tp_lava.numbers import Format, draw, exponent_to_hold, mix, quantise_decay, seed_key

WORDS = st.integers(0, 2**32 - 1)


def u32(*values):
    return np.array(values, np.uint32)


@given(st.integers(2, 31), st.integers(-8, 24), st.booleans(), st.floats(-1e6, 1e6))
def test_quantise_is_the_nearest_mantissa_in_range(bits, frac, signed, value):
    format = Format(bits, frac, signed)
    exact = value * 2.0**frac
    expected = min(max(exact, format.low), format.high)
    mantissa = int(format.quantise(value))
    assert format.low <= mantissa <= format.high
    assert abs(mantissa - expected) <= 0.5
    assert format.real(mantissa) == mantissa / 2.0**frac


def test_formats_are_symmetric_and_say_what_they_are():
    weight = Format(8, 7)
    assert (weight.low, weight.high, weight.resolution, weight.largest) == (-127, 127, 1 / 128, 127 / 128)
    trace = Format(16, 10, signed=False)
    assert (trace.low, trace.high, str(trace), str(weight)) == (0, 65535, "u16.10", "s8.7")


@pytest.mark.parametrize(("value", "mantissa"), [(0.5, 0), (1.5, 2), (2.5, 2), (-0.5, 0), (126.6, 127), (1e9, 127), (-1e9, -127)])
def test_quantise_ties_go_to_even_and_ends_saturate(value, mantissa):
    assert Format(8, 0).quantise(value) == mantissa


@given(st.floats(1e-6, 1e6), st.integers(2, 16))
def test_exponent_to_hold_is_the_smallest(largest, bits):
    exponent, high = exponent_to_hold(largest, bits), Format(bits, 0).high
    assert high * 2.0**exponent >= largest * (1 - 1e-12)
    assert high * 2.0 ** (exponent - 1) < largest


def test_decay_has_twelve_bits_and_refuses_one():
    assert quantise_decay(0.98, "x") == 4014
    assert quantise_decay(4095 / 4096, "x") == 4095
    with pytest.raises(NumberRangeError, match=r"hidden0.decay: decay is 0.99999, which rounds to 4096/4096 in 12 bits; use a decay in"):
        quantise_decay(0.99999, "hidden0.decay")


def oracle_mix(key, word):
    """The finaliser in Python's unbounded integers."""
    mask = 0xFFFFFFFF
    x = (key + word * 0x9E3779B9) & mask
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & mask
    x = ((x ^ (x >> 15)) * 0x846CA68B) & mask
    return x ^ (x >> 16)


@given(WORDS, WORDS)
def test_mix_in_numpy_and_numba_equals_integers(key, word):
    expected = oracle_mix(key, word)
    assert int(mix(u32(key), u32(word))[0]) == expected
    assert int(SCOPE["mix"](np.uint32(key), np.uint32(word))) == expected


@given(WORDS, WORDS, st.integers(1, 31))
def test_draw_in_numpy_and_numba_equals_integers(key, index, bits):
    x = (key + index * 0x9E3779B9) & 0xFFFFFFFF
    expected = (((x ^ (x >> 15)) * 0x7FEB352D) & 0xFFFFFFFF) >> (32 - bits)
    assert int(draw(u32(key), u32(index), np.uint32(32 - bits))[0]) == expected
    assert int(SCOPE["draw"](np.uint32(key), np.uint32(index), np.uint32(32 - bits))) == expected


@pytest.mark.parametrize("bits", [1, 4, 8, 16])
def test_draws_are_uniform_over_columns_and_over_steps(bits):
    columns = np.arange(50_000, dtype=np.uint32)
    keys = mix(mix(u32(7), columns), u32(3))
    for values in (draw(u32(99), columns, np.uint32(32 - bits)), draw(keys, u32(5), np.uint32(32 - bits))):
        uniform = (values + 0.5) / 2**bits
        assert abs(uniform.mean() - 0.5) < 0.01
        assert abs(np.corrcoef(uniform[:-1], uniform[1:])[0, 1]) < 0.02


def test_neighbouring_keys_give_unrelated_draws():
    index = np.arange(20_000, dtype=np.uint32)
    rows = [draw(mix(u32(1), u32(row)), index, np.uint32(16)).astype(float) for row in range(4)]
    for a in range(4):
        for b in range(a):
            assert abs(np.corrcoef(rows[a], rows[b])[0, 1]) < 0.03


def test_seeds():
    assert len({seed_key(s) for s in (0, 1, 2, 2**32, 2**40, 2**63 - 1)}) == 6
    for bad in (-1, 2**63, 1.5, "0", True):
        with pytest.raises(InvalidValueError, match="seed: value is .* must be an integer in"):
            seed_key(bad)
