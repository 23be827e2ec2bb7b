"""The LIF program: by hand, against stock Lava's bit-accurate LIF, and at the edges of its registers."""

import numpy as np
import pytest
from conftest import run_both
from hypothesis import given, settings
from hypothesis import strategies as st

from tp_lava.backends.interpreted_programs import interpret
from tp_lava.dynamics.neuron import DECAY, LIF, NeuronFormats, neuron_program
from tp_lava.dynamics.surrogate import FastSigmoid, Triangle
from tp_lava.errors import InvalidValueError
from tp_lava.numbers import Format

MEMBRANE, TRACE = Format(24, 6), Format(16, 10, signed=False)
FORMATS = NeuronFormats(MEMBRANE, TRACE)


def simulate(program, drive, both=True, **parameters):
    """Run a neuron program over (T, n) inputs on both targets, which must agree, or in the interpreter. -> dict of (T, n) arrays."""
    fixed, n = program.fixed, drive.shape[1]
    dtype = np.int32 if fixed else np.float32
    arrays = {}
    for port in program.ports:
        arrays[port.name] = np.zeros((1, n) if port.axes == ("row", "n") else (n,) if port.axes else (1,), dtype)
        if port.name in parameters:
            arrays[port.name][...] = parameters[port.name]
    history = {name: [] for name in arrays}
    for row in drive:
        arrays["input"] = row[np.newaxis].astype(dtype)
        if both:
            arrays, compiled = run_both(program, arrays)
        else:
            interpret(program, arrays, 0)
            compiled = arrays
        for name in arrays:
            if fixed:
                np.testing.assert_array_equal(arrays[name], compiled[name])
            else:
                np.testing.assert_allclose(arrays[name], compiled[name], rtol=1e-5, atol=1e-6)
            history[name].append(arrays[name].copy())
    return {name: np.array(steps).reshape(len(drive), -1) for name, steps in history.items()}


def test_by_hand_in_float():
    neuron = LIF(decay=0.5, threshold=1.0)
    program = neuron_program(neuron, {"input": None})
    out = simulate(program, np.array([[0.6], [0.8], [0.0], [2.0]]), decay=0.5, threshold=1.0, trace_decay=0.5)
    # pre: 0.6, 0.3 + 0.8 = 1.1 (spike, 0.1 left), 0.05, 0.025 + 2 = 2.025 (spike, 1.025 left)
    np.testing.assert_allclose(out["membrane"].ravel(), [0.6, 0.1, 0.05, 1.025], rtol=1e-6)
    np.testing.assert_array_equal(out["spike"].ravel(), [0, 1, 0, 1])
    np.testing.assert_allclose(out["trace"].ravel(), [0, 1, 0.5, 1.25], rtol=1e-6)
    psi = 1 / (1 + (np.pi * (np.array([0.6, 1.1, 0.05, 2.025]) - 1)) ** 2)
    np.testing.assert_allclose(out["surrogate"].ravel(), psi, rtol=1e-5)


@pytest.mark.parametrize(("comparison", "spikes"), [(">=", 1), (">", 0)])
@pytest.mark.parametrize("fixed", [False, True])
def test_exactly_at_the_threshold(comparison, spikes, fixed):
    neuron = LIF(decay=0.5, comparison=comparison)
    program = neuron_program(neuron, {"input": Format(8, 6) if fixed else None}, FORMATS if fixed else None)
    one = 64 if fixed else 1.0
    out = simulate(program, np.array([[one]]), decay=2048 if fixed else 0.5, threshold=one, trace_decay=0)
    assert out["spike"][0, 0] == spikes


@pytest.mark.parametrize(("reset", "left"), [("subtract", 1.5), ("zero", 0.0)])
def test_reset(reset, left):
    program = neuron_program(LIF(reset=reset), {"input": None})
    out = simulate(program, np.array([[2.5]]), decay=0.5, threshold=1.0, trace_decay=0.0)
    assert out["membrane"][0, 0] == left


def test_current_and_bias():
    program = neuron_program(LIF(decay=0.5, current_decay=0.5), {"input": None}, bias=True, surrogate=False)
    drive = np.array([[0.2], [0.0], [0.0]])
    out = simulate(program, drive, decay=0.5, current_decay=0.5, threshold=10.0, trace_decay=0.0, bias=0.1)
    np.testing.assert_allclose(out["current"].ravel(), [0.2, 0.1, 0.05], rtol=1e-6)
    np.testing.assert_allclose(out["membrane"].ravel(), [0.3, 0.35, 0.325], rtol=1e-6)


def lava_lif(drive, du, dv, vth, bias):
    """Stock Lava's bit-accurate model, driven without its run time. -> spikes, v, u of each step."""
    from tp_lava.lava import make_importable

    make_importable()
    from lava.proc.lif.models import PyLifModelBitAcc

    n = drive.shape[1]
    model = PyLifModelBitAcc({})
    model.u, model.v = np.zeros(n, np.int32), np.zeros(n, np.int32)
    model.bias_mant, model.bias_exp = bias.astype(np.int16), np.full(n, 6, np.int16)
    model.du, model.dv, model.vth = du, dv, vth
    spikes, v, u = [], [], []
    for row in drive:
        model.scale_bias()
        model.scale_threshold()
        model.subthr_dynamics(row.astype(np.int32))
        spiking = model.spiking_activation()
        model.reset_voltage(spiking)
        spikes.append(spiking.copy())
        v.append(model.v.copy())
        u.append(model.u.copy())
    return np.array(spikes), np.array(v), np.array(u)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(0, 4095), st.integers(0, 4095), st.integers(1, 2**17 - 1))
def test_equals_stock_lava_spike_for_spike_and_membrane_for_membrane(seed, du, dv, vth):
    """Lava: u and v decay by (4096 - du - 1) and (4096 - dv) 4096ths; inputs, threshold and bias are shifted left by 6.

    Inputs stay within the 24 bits of the current, where Lava wraps and we saturate; the membrane may saturate.
    """
    rng = np.random.default_rng(seed)
    u_decay, v_decay = 4095 - du, min(4096 - dv, DECAY.high)
    dv = 4096 - v_decay
    largest = max(1, (2**17 - 1) * (4096 - u_decay) // 4096 // 2)
    drive = rng.integers(-largest, largest, (40, 7), endpoint=True) * (rng.random((40, 7)) < 0.7)
    bias = rng.integers(-4096, 4095, 7, endpoint=True)
    spikes, v, u = lava_lif(drive, du, dv, vth, bias)
    neuron = LIF(comparison=">", reset="zero", current_decay=0.5)
    program = neuron_program(neuron, {"input": Format(18, 0)}, FORMATS, bias=True, surrogate=False)
    out = simulate(program, drive, decay=v_decay, current_decay=u_decay, threshold=vth << 6, bias=bias << 6)
    np.testing.assert_array_equal(out["spike"], spikes)
    np.testing.assert_array_equal(out["membrane"], v)
    np.testing.assert_array_equal(out["current"], u)


def test_without_current_equals_lava_with_du_4095(rng):
    drive = rng.integers(-20000, 20000, (60, 9))
    spikes, v, _ = lava_lif(drive, 4095, 100, 5000, np.zeros(9, int))
    program = neuron_program(LIF(comparison=">", reset="zero"), {"input": Format(18, 0)}, FORMATS, surrogate=False)
    out = simulate(program, drive, decay=3996, threshold=5000 << 6)
    np.testing.assert_array_equal(out["spike"], spikes)
    np.testing.assert_array_equal(out["membrane"], v)


def test_membrane_and_trace_saturate():
    program = neuron_program(LIF(reset="subtract"), {"input": Format(18, 0)}, FORMATS, surrogate=False)
    high = Format(18, 0).high
    drive = np.concatenate([np.full((150, 1), -high), np.full((150, 1), high)])
    out = simulate(program, drive, decay=4095, threshold=64, trace_decay=4095)
    assert out["membrane"].min() == MEMBRANE.low
    assert out["membrane"].max() <= MEMBRANE.high
    assert out["trace"].max() == TRACE.high


def test_negative_membranes_decay_toward_zero_as_positive_ones_do(rng):
    program = neuron_program(LIF(), {"input": Format(18, 0)}, FORMATS, surrogate=False)
    drive = np.zeros((30, 50), int)
    drive[0] = rng.integers(0, 500, 50)
    up = simulate(program, drive, decay=3000, threshold=MEMBRANE.high)
    down = simulate(program, -drive, decay=3000, threshold=MEMBRANE.high)
    np.testing.assert_array_equal(up["membrane"], -down["membrane"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decay": 1.1}, r"LIF: decay is 1.1, but must be a number in \[0, 1\]"),
        ({"decay": -0.1}, "LIF: decay is -0.1"),
        ({"decay": float("nan")}, "LIF: decay is nan"),
        ({"current_decay": 2}, "LIF: current_decay is 2"),
        ({"threshold": 0.0}, "LIF: threshold is 0.0, but must be a number > 0"),
        ({"threshold": -1}, "LIF: threshold is -1"),
        ({"threshold": float("inf")}, "LIF: threshold is inf"),
        ({"comparison": "=="}, 'LIF: comparison is \'==\', but must be ">=" or ">"'),
        ({"reset": "hard"}, 'LIF: reset is \'hard\', but must be "subtract" or "zero"'),
        ({"surrogate": "arctan"}, "LIF: surrogate is 'arctan'"),
    ],
)
def test_impossible_neurons_are_refused(options, message):
    with pytest.raises(InvalidValueError, match=message):
        LIF(**options)


@pytest.mark.parametrize("surrogate", [Triangle(), FastSigmoid()])
def test_surrogate_is_taken_before_the_reset(surrogate):
    program = neuron_program(LIF(surrogate=surrogate), {"input": None})
    out = simulate(program, np.array([[1.2]]), decay=0.5, threshold=1.0, trace_decay=0.0)
    np.testing.assert_allclose(out["surrogate"], surrogate.profile(np.array([[0.2]])), rtol=1e-5)
