"""The order in which samples are learned."""

from __future__ import annotations

import numpy as np

_ORDER_STREAM = 0x6F726465  # keeps the order of samples apart from other uses of the seed


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which `count` samples are learned in epoch number `epoch`, 0 the first."""
    return np.random.default_rng([seed, _ORDER_STREAM, epoch]).permutation(count)
