"""Decay and threshold of a layer as things that can be trained: a free number each, or one a neuron, mapped to where it may lie.

decay = sigmoid(x) stays in (0, 1); threshold = max(x, floor). A number that was not trained gives back, to the last bit,
the value it was made from.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from tp_lava.dynamics.parameters import Parameter
from tp_lava.errors import invalid

TRAINABLE = ("decay", "threshold")
_LARGEST_DECAY = 1.0 - 2.0**-24  # the largest float32 below 1


class _Floor(torch.autograd.Function):
    """max(x, floor), whose derivative vanishes at the floor only for what would push x further down: so x can come back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, floor: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.floor = floor
        return x.clamp(min=floor)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return gradients[0] * ((x > ctx.floor) | (gradients[0] < 0)), None


def free_name(attr: str, number: int) -> str:
    """Name of the parameter that holds the free number of hidden layer `number`."""
    return f"{attr}{number}"


def to_free(attr: str, value: Parameter) -> Parameter:
    """The free number of a decay or threshold, or those of several."""
    if isinstance(value, tuple):
        return tuple(math.log(one / (1.0 - one)) for one in value) if attr == "decay" else value
    return math.log(value / (1.0 - value)) if attr == "decay" else value


def from_free(attr: str, free: Tensor, floor: float) -> Tensor:
    """The decay or threshold of a free number, differentiable."""
    if attr == "decay":
        return torch.sigmoid(free).clamp(max=_LARGEST_DECAY)
    return _Floor.apply(free, floor)


def check_trainable(train: Iterable[str] | str) -> tuple[str, ...]:
    """What is trained beside the weights. Raises InvalidValueError for another name."""
    names = (train,) if isinstance(train, str) else tuple(train)
    for name in names:
        if name not in TRAINABLE:
            remedy = 'weights and biases are always trained; for example train=("decay",)'
            raise invalid("SpikingNetwork", "train", repr(name), f"among {', '.join(TRAINABLE)}", remedy)
    return names
