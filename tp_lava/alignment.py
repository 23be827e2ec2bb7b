"""Arrays that begin where a cache line does: a vector that lies in two lines takes twice as long to load.

NumPy takes what the allocator gives, multiples of 16 bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CACHE_LINE = 64  # bytes


def aligned(shape: Sequence[int], dtype: np.dtype | type) -> np.ndarray:
    """Zeros."""
    dtype = np.dtype(dtype)
    n_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = np.zeros(n_bytes + CACHE_LINE, np.uint8)
    skipped = -raw.__array_interface__["data"][0] % CACHE_LINE
    return raw[skipped : skipped + n_bytes].view(dtype).reshape(shape)


def aligned_copy(array: np.ndarray) -> np.ndarray:
    """A copy, C-contiguous."""
    copy = aligned(array.shape, array.dtype)
    copy[...] = array
    return copy
