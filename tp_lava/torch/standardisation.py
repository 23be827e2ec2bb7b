"""Weight standardisation over tensors: tp_lava.graph.standardisation has its equations."""

from __future__ import annotations

import torch
from torch import Tensor

from tp_lava.graph.standardisation import Standardisation


def standardised(how: Standardisation, weights: Tensor) -> Tensor:
    """V = gain * c / q, differentiable. weights: of a connection, W."""
    centred, size = _centred(how, weights)
    return how.gain * centred / size


def through(how: Standardisation, weights: Tensor, gradient: Tensor) -> Tensor:
    """dW = (gain / q) * (G - mean(G) - c * sum(G * c) / q^2) of G = dV. weights: W; gradient: G, of the same shape."""
    (centred, size), axes = _centred(how, weights), _reaching(weights)
    along = (gradient * centred).sum(dim=axes, keepdim=True) / size**2
    return (gradient - gradient.mean(dim=axes, keepdim=True) - centred * along) * (how.gain / size)


def _centred(how: Standardisation, weights: Tensor) -> tuple[Tensor, Tensor]:
    """c = W - mean and q = sqrt(sum c^2 + epsilon), of each unit or channel."""
    axes = _reaching(weights)
    centred = weights - weights.mean(dim=axes, keepdim=True)
    return centred, torch.sqrt((centred**2).sum(dim=axes, keepdim=True) + how.epsilon)


def _reaching(weights: Tensor) -> tuple[int, ...]:
    """The axes along which lie the weights that reach one unit, or one channel: (..., n_in), or (..., channels below, y, x)."""
    return (-1,) if weights.ndim == 2 else (-3, -2, -1)
