"""Arrays are handed to compiled code by address, so what it was not compiled for must be refused before."""

import numpy as np
import pytest

from tp_lava.backends.cpu_calls import Argument, slots_of, where


def test_slots_are_addresses_and_shapes():
    a, b = np.zeros((2, 3), np.float32), np.zeros(4, np.int8)
    slots = slots_of([Argument("a", a.dtype, 2), Argument("b", b.dtype, 1)], [a, b])
    assert slots.tolist() == [where(a), 2, 3, where(b), 4]
    assert where(a[1:]) == where(a) + 12


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3)), r"weights is float64 of shape \(2, 3\); it must be a C-contiguous float32 of 2 dimensions; replace it"),
        (np.zeros(6, np.float32), r"of shape \(6,\); it must be"),
        (np.zeros((3, 2), np.float32).T, r"of shape \(2, 3\), not C-contiguous; it must be"),
    ],
)
def test_other_arrays_are_refused(array, message):
    with pytest.raises(TypeError, match=message):
        slots_of([Argument("weights", np.dtype(np.float32), 2)], [array])
