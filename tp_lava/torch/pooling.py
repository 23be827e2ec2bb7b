"""Pooling over tensors of rows: tp_lava.graph.pooling says what it means, forward and back."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, adaptive_max_pool2d, avg_pool2d, max_pool2d, pad

from tp_lava.graph.pooling import Pool2d, pooled

Back = Callable[[Tensor], Tensor]  # signals of what is pooled (rows, windows) -> those of the units (rows, units)


class Pooling:
    """Some poolings, one after the other. shape: of what they pool; without poolings it hands everything on as it is."""

    def __init__(self, poolings: tuple[Pool2d, ...], shape: tuple[int, ...]) -> None:
        self._poolings, self._shape = poolings, shape

    @property
    def size(self) -> int:
        """Windows of one row."""
        return prod(pooled(self._poolings, self._shape)) if self._poolings else prod(self._shape)

    def __call__(self, units: Tensor) -> Tensor:
        """units: (rows, n). -> (rows, windows), differentiable."""
        if not self._poolings:
            return units
        image = units.reshape(-1, *self._shape)
        for pooling in self._poolings:
            image = _pooled(pooling, image)
        return image.flatten(1)

    def taped(self, units: Tensor) -> tuple[Tensor, Back]:
        """-> what is pooled, and what takes its signals back to the units; once."""
        if not self._poolings:
            return units, lambda signal: signal
        with torch.enable_grad():
            leaf = units.detach().requires_grad_()
            result = self(leaf)
        return result.detach(), lambda signal: torch.autograd.grad(result, leaf, signal)[0]


def _pooled(pooling: Pool2d, image: Tensor) -> Tensor:
    """image: (rows, channels, height, width)."""
    if pooling.size is not None:
        return _adapted(pooling, image)
    if pooling.mode == "max":
        return _maximum(pooling, image)
    padding, divisor = pooling.padding, 1 if pooling.mode == "sum" else prod(pooling.kernel)
    if not _fits(pooling):
        image, padding = pad(image, _edges(padding)), (0, 0)
    return avg_pool2d(image, pooling.kernel, pooling.stride, padding, divisor_override=divisor)


def _maximum(pooling: Pool2d, image: Tensor) -> Tensor:
    """What is beyond the edges is below any spike, so it is never a window's maximum; a window with nothing else has 0."""
    if _fits(pooling):
        return max_pool2d(image, pooling.kernel, pooling.stride, pooling.padding)
    return max_pool2d(pad(image, _edges(pooling.padding), value=-1.0), pooling.kernel, pooling.stride).clamp(min=0)


def _adapted(pooling: Pool2d, image: Tensor) -> Tensor:
    assert pooling.size is not None
    if pooling.mode == "max":
        return adaptive_max_pool2d(image, pooling.size)
    averages = adaptive_avg_pool2d(image, pooling.size)
    if pooling.mode == "average":
        return averages
    _, channels, height, width = image.shape
    windows = pooling.windows((channels, height, width))
    units = (windows.end_y - windows.first_y)[:, None] * (windows.end_x - windows.first_x)
    return averages * torch.as_tensor(units, device=image.device, dtype=image.dtype)


def _fits(pooling: Pool2d) -> bool:
    """Whether torch's own padding reaches as far."""
    return all(2 * p <= k for p, k in zip(pooling.padding, pooling.kernel, strict=True))


def _edges(padding: tuple[int, int]) -> tuple[int, int, int, int]:
    """Padding as torch's `pad` has it."""
    y, x = padding
    return x, x, y, y
