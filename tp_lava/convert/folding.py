"""Arithmetic that readers share, in double precision: what stands around a map, folded into it. NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tp_lava.checks import is_number
from tp_lava.graph.connections import Conv2d
from tp_lava.convert.stages import Convolution, Dense
from tp_lava.errors import invalid


def folded(stage: Dense | Convolution, scale: np.ndarray, shift: np.ndarray) -> Dense | Convolution:
    """The map whose output is scale y + shift, one number of each per output or output channel."""
    bias = shift if stage.bias is None else scale * stage.bias.astype(np.float64) + shift
    if isinstance(stage, Dense):
        return replace(stage, weight=scale[:, None] * stage.weight.astype(np.float64), bias=bias)
    return replace(stage, kernel=scale[:, None, None, None] * stage.kernel.astype(np.float64), bias=bias)


def normalisation(
    mean: np.ndarray, variance: np.ndarray, eps: float, gain: np.ndarray | None = None, shift: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Batch normalisation gain (y - mean) / sqrt(variance + eps) + shift as (scale, shift) of y."""
    scale = 1 / np.sqrt(variance.astype(np.float64) + eps)
    scale = scale if gain is None else scale * gain
    return scale, (0.0 if shift is None else shift) - mean * scale


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


def same_padding(kernel: np.ndarray, dilation: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]] | None:
    """Kernel and padding of PyTorch's padding="same", or None. An even kernel gets a row or column of zeros in front.

    PyTorch then pads one more behind than in front. With dilation, zeros in front do not give that, so there is none.
    """
    padding = []
    for axis, step in zip((2, 3), dilation, strict=True):
        total = step * (kernel.shape[axis] - 1)
        if total % 2:
            if step > 1:
                return None
            front = [(0, 0)] * 4
            front[axis] = (1, 0)
            kernel, total = np.pad(kernel, front), total + 1
        padding.append(total // 2)
    return kernel, (padding[0], padding[1])


def convolved_shape(stage: Convolution, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(channels, height, width) that a convolution delivers; zero or less where the kernel does not fit."""
    lengths = [
        (length + 2 * padding - step * (size - 1) - 1) // stride + 1
        for length, size, stride, padding, step in zip(
            shape[1:], stage.kernel.shape[2:], stage.stride, stage.padding, stage.dilation, strict=True
        )
    ]
    return len(stage.kernel), lengths[0], lengths[1]


def convolution_matrix(stage: Convolution, shape: tuple[int, ...]) -> np.ndarray:
    """A convolution of a (channels, height, width) input as a matrix, (n_out, n_in), units in C order. The bias is left out."""
    c_out, _, height, width = stage.kernel.shape
    below = (shape[0], shape[1], shape[2])
    spatial = Conv2d(below, c_out, (height, width), stage.stride, stage.padding, stage.dilation, stage.groups)
    return spatial.matrix(stage.kernel).astype(stage.kernel.dtype)
