"""Weight standardisation over tensors: tp_lava.graph.standardisation has its equations."""

from __future__ import annotations

import torch
from torch import Tensor

from tp_lava.graph.standardisation import Standardisation


def standardised(how: Standardisation, weights: Tensor) -> Tensor:
    """V = gain * c / q, differentiable. weights: (units or channels, ...), W."""
    centred, size = _centred(how, weights)
    return (how.gain * centred / size).reshape(weights.shape)


def through(how: Standardisation, weights: Tensor, gradient: Tensor) -> Tensor:
    """dW = (gain / q) * (G - mean(G) - c * sum(G * c) / q^2) of G = dV. weights: W; gradient: G, of the same shape."""
    centred, size = _centred(how, weights)
    flat = gradient.reshape(len(gradient), -1)
    along = (flat * centred).sum(dim=1, keepdim=True) / size**2
    return ((flat - flat.mean(dim=1, keepdim=True) - centred * along) * (how.gain / size)).reshape(weights.shape)


def _centred(how: Standardisation, weights: Tensor) -> tuple[Tensor, Tensor]:
    """c = W - mean and q = sqrt(sum c^2 + epsilon), of each unit or channel."""
    flat = weights.reshape(len(weights), -1)
    centred = flat - flat.mean(dim=1, keepdim=True)
    return centred, torch.sqrt((centred**2).sum(dim=1, keepdim=True) + how.epsilon)
