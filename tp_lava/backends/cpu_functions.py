"""2**x for the CPU target in a form that vectorises, which calls of the C library do not.

2**x = 2**n * 2**f with n = floor(x): n becomes the exponent's bits, 2**f a polynomial with the value 1 at 0. The relative error is below
EXP2_REAL_ERROR; results below the smallest normal number are zero.
"""

import numba
import numpy as np

EXP2_REAL_ERROR = 2.0**-22
inlined = numba.njit(forceinline=True, error_model="numpy")
_C1, _C2, _C3, _C4, _C5, _C6 = (  # least largest relative error on [0, 1], with 1 at 0, rounded to float32
    np.float32(c)
    for c in (
        0.6931470632553101,
        0.2402293086051941,
        0.055485278367996216,
        0.00967545248568058,
        0.0012467838823795319,
        0.00021612938144244254,
    )
)
_ONE, _ZERO_BELOW, _INFINITE_FROM = np.float32(1), np.float32(-127), np.float32(128)
_BIAS, _FRACTION_BITS = np.int32(127), np.int32(23)  # of a float32


@inlined
def exp2(x):
    """2**x of a float32."""
    within = min(max(x, _ZERO_BELOW), _INFINITE_FROM)
    whole = np.floor(within)
    f = np.float32(within - whole)
    power = _ONE + f * (_C1 + f * (_C2 + f * (_C3 + f * (_C4 + f * (_C5 + f * _C6)))))
    return power * np.int32((np.int32(whole) + _BIAS) << _FRACTION_BITS).view(np.float32)
