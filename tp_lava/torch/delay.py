"""Delays over tensors of rows: tp_lava.graph.delays says what they mean."""

from __future__ import annotations

import torch
from torch import Tensor

from tp_lava.graph.network import Connection


class DelayLine:
    """What arrives over a connection, or comes as it is sent where that has no delays (or is none). Silent at first."""

    def __init__(self, connection: Connection | None) -> None:
        self._delays = connection.delays if connection else None
        self._past: list[Tensor] = []
        if self._delays:
            self._steps = torch.tensor(self._delays.array, dtype=torch.int64)
            self._units = torch.arange(len(self._steps)) % self._delays.n_units

    def step(self, x: Tensor) -> Tensor:
        """x: what is sent in this step, (rows, units). -> what arrives, (rows, copies of all units)."""
        if self._delays is None:
            return x
        longest = self._delays.longest
        self._past = [x, *(self._past or [torch.zeros_like(x)] * longest)][: longest + 1]
        return torch.stack(self._past)[self._steps, :, self._units].T

    def whole(self, x: Tensor) -> Tensor:
        """The same of all steps at once, (T, rows, units)."""
        if self._delays is None:
            return x
        longest, n_steps = self._delays.longest, len(x)
        padded = torch.cat([x.new_zeros(longest, *x.shape[1:]), x])
        arrived = x.new_empty(*x.shape[:-1], len(self._steps))
        for steps in self._steps.unique().tolist():
            those = self._steps == steps
            arrived[..., those] = padded[longest - steps : longest - steps + n_steps][..., self._units[those]]
        return arrived
