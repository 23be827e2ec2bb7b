"""What a program leaves as it is where a port is zero: found, and passed over with the interpreter's result."""

import numpy as np
import pytest
from conftest import port_arrays, run_both

import tp_lava as tpl
from tp_lava.backends.resting import resting_port
from tp_lava.circuit import RunProgram


def _programs(precision, optimiser):
    """Those of a small convolution that learns once a sample, by the buffers that they write."""
    network = tpl.Network.sequential((1, 4, 4), [tpl.Conv2d(2, 3)], 2, tpl.LIF(0.9), 0.75)
    rule = tpl.TESS(basis="walsh", update="sequence")
    circuit = tpl.Learner(network, rule, precision, optimiser=optimiser).circuits[1]
    return {o.writes: o.program for o in circuit.step if isinstance(o, RunProgram)}


@pytest.mark.parametrize("precision", ["float", "fixed"])
def test_weights_without_changes_are_passed_over(precision, rng):
    programs = _programs(precision, tpl.SGD())
    resting = {writes: port for writes, program in programs.items() if (port := resting_port(program))}
    assert resting == {("hidden0", "hidden0_change"): "change", ("readout", "readout_change"): "change"}
    program = programs["hidden0", "hidden0_change"]
    sizes = dict(zip(program.axes, (3, 2, 2, 50), strict=True))
    arrays = port_arrays(program, sizes, rng)
    change = arrays["change"].reshape(3, 200)  # all, none, and some of each vector's
    change[1] = 0
    change[2, rng.random(200) < 0.9] = 0
    expected, found = run_both(program, arrays, key=5)
    for name in arrays:
        np.testing.assert_array_equal(found[name], expected[name], name)
    same = arrays["change"] == 0
    np.testing.assert_array_equal(found["weight"][same], arrays["weight"][same])


def test_what_moments_change_is_not_passed_over():
    assert not any(resting_port(program) for writes, program in _programs("float", tpl.Adam()).items() if "hidden0_change" in writes)
