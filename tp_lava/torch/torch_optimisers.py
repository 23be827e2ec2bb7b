"""torch's optimisers, made from tp_lava's, whose equations are the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from tp_lava.optimisers import SGD, Optimiser

_FUSED = ("cpu", "cuda")  # where torch has Adam as one operation: several times faster, which counts when every time step is an update


class Group(NamedTuple):
    """Parameters of one layer and their rate."""

    rate: float
    parameters: tuple[nn.Parameter, ...]


def torch_optimiser(optimiser: Optimiser, groups: Sequence[Group]) -> torch.optim.Optimizer:
    """torch's optimiser of that kind for all groups, each rate kept as its group's "initial_lr"."""
    options: list[dict[str, Any]] = [
        {"params": list(group.parameters), "lr": group.rate, "initial_lr": group.rate} for group in groups if group.parameters
    ]
    if isinstance(optimiser, SGD):
        return torch.optim.SGD(options, momentum=optimiser.momentum)
    fused = all(parameter.device.type in _FUSED for group in groups for parameter in group.parameters)
    return torch.optim.Adam(options, betas=(optimiser.beta1, optimiser.beta2), eps=optimiser.epsilon, fused=fused)
