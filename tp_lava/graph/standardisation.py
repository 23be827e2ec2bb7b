"""Weight standardisation: what a connection delivers has, for each unit or channel, no mean and a set size.

    V = gain * (W - mean) / sqrt(n * var + epsilon)        over the n weights that reach one unit, or one channel

It is trained through: dW = (gain / q) * (G - mean(G) - c * sum(G * c) / q^2), c = W - mean, q = sqrt(n * var + epsilon), G = dV.
Source: arXiv 2509.13053 (gain 1.8, epsilon 1e-5, var biased).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tp_lava.checks import is_number
from tp_lava.errors import invalid


@dataclass(frozen=True)
class Standardisation:
    """gain: > 0; epsilon: > 0. Raises InvalidValueError."""

    gain: float = 1.8
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        for attr in ("gain", "epsilon"):
            value = getattr(self, attr)
            if not is_number(value, 0) or value == 0:
                raise invalid(
                    "Standardisation", attr, repr(value), "a number > 0", f"{type(self).__dataclass_fields__[attr].default} is usual"
                )

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """The weights V that are delivered, float32. weights: W, as a network holds them."""
        exact = np.asarray(weights, np.float64)
        over = (1,) if exact.ndim == 2 else (-3, -2, -1)
        centred = exact - exact.mean(axis=over, keepdims=True)
        size = np.sqrt((centred**2).sum(axis=over, keepdims=True) + self.epsilon)
        return (self.gain * centred / size).astype(np.float32)
