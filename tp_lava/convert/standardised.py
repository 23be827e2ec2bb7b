"""Weights that are standardised each time they are used. In double precision; NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tp_lava.checks import is_number
from tp_lava.errors import invalid


@dataclass(frozen=True)
class Standardised:
    """A weight that is standardised each time it is used: gain (w - mean w) / s, over the inputs of every output.

    s: sqrt(var + eps) (eps_in "variance") or sqrt(var) + eps ("deviation"); unbiased: var divides by n - 1. gain: a number.
    Raises InvalidValueError.
    """

    eps: float = 1e-5
    gain: float = 1.0
    unbiased: bool = False
    eps_in: Literal["variance", "deviation"] = "variance"

    def __post_init__(self) -> None:
        if not is_number(self.eps, 0) or not is_number(self.gain):
            found = (self.eps, self.gain)
            raise invalid("Standardised", "eps, gain", found, "an eps >= 0 and a finite gain", "take those of the source")
        if self.eps_in not in ("variance", "deviation"):
            raise invalid("Standardised", "eps_in", repr(self.eps_in), '"variance" or "deviation"', "PyTorch's own layers have variance")

    def __call__(self, weight: np.ndarray) -> np.ndarray:
        """The weight as it is used; the first axis is the outputs."""
        flat = weight.reshape(len(weight), -1).astype(np.float64)
        variance = flat.var(1, ddof=int(self.unbiased and flat.shape[1] > 1))
        deviation = np.sqrt(variance + self.eps) if self.eps_in == "variance" else np.sqrt(variance) + self.eps
        if not (deviation > 0).all():
            raise invalid("Standardised", "eps", self.eps, "above 0 where a row of weights is constant", "take that of the source")
        return (self.gain * (flat - flat.mean(1, keepdims=True)) / deviation[:, None]).reshape(weight.shape)
