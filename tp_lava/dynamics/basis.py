"""Fixed binary bases: each class is a wave over a layer's neurons, from which TESS makes a layer's error its own.

A neuron holds one sign per class, or makes it anew from a counter. A neuron whose signs are all the same gets no
signal, because the errors of the classes sum to zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np

_SLOWEST, _FASTEST = 50.0, 512.0  # radians per neuron, published with TESS


def square(classes: int, size: int) -> np.ndarray:
    """The published square waves, sign(sin(w_c * k)): w_c from 50 to 512 in equal steps. -> int8 (classes, size) of -1, 0, 1.

    Column 0 is zero, and some columns have one sign for all classes. Source: arXiv 2502.01837.
    """
    frequencies = np.linspace(_SLOWEST, _FASTEST, classes).astype(np.float32)
    return np.sign(np.sin(frequencies[:, np.newaxis] * np.arange(size, dtype=np.float32))).astype(np.int8)


def walsh(classes: int, size: int) -> np.ndarray:
    """Walsh functions, every second one negated, without the columns of one sign. -> int8 (classes, size) of -1, 1.

    Rows are near-orthogonal over a period, a power of two above the number of classes; every neuron is taught.
    """
    period = 1 << classes.bit_length()
    rows, columns = np.arange(1, classes + 1)[:, np.newaxis], np.arange(period)[np.newaxis]
    parity = np.zeros((classes, period), np.int64)
    for bit in range(period.bit_length()):
        parity ^= (rows & columns) >> bit & 1
    waves = (1 - 2 * parity) * (1 - 2 * (rows % 2))
    mixed = waves[:, np.abs(waves.sum(axis=0)) < classes]
    return mixed[:, np.arange(size) % mixed.shape[1]].astype(np.int8)


BASES: Mapping[str, Callable[[int, int], np.ndarray]] = {"square": square, "walsh": walsh}


@lru_cache(maxsize=64)
def basis(name: str, classes: int, size: int) -> np.ndarray:
    """A basis, read-only."""
    array = BASES[name](classes, size)
    array.flags.writeable = False
    return array


def untaught(array: np.ndarray) -> np.ndarray:
    """Indices of the neurons that a basis gives no signal."""
    return np.flatnonzero((array == array[0]).all(axis=0))
