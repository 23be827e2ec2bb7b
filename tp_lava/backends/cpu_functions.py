"""What functions for Numba have in common."""

import numba

inlined = numba.njit(forceinline=True, error_model="numpy")
