"""Which units of maps reach which, without a table of them: along each axis by itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tp_lava.graph.connections import Convolution
from tp_lava.graph.pooling import Pool2d, Shape

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Reach:
    """A unit at (y, x) of a channel reaches that at (v, u) of each channel of its group in down[v, y] * across[u, x] ways.

    below, channels: of the units that it is from and to; weight_uses: synapses of a weight that belongs to most, 1 where none shares.
    """

    below: int
    channels: int
    groups: int
    down: Array
    across: Array
    weight_uses: int = 1

    @classmethod
    def of(cls, kind: Convolution) -> Reach:
        """Of a convolution, the sums that it pools first included."""
        most = [int((kind.taps(axis) >= 0).sum(axis=0).max()) for axis in range(2)]
        uses = most[0] * most[1] if kind.shared else 1
        return cls(kind.shape[0], kind.channels, kind.groups, kind.paths(0), kind.paths(1), uses)

    @classmethod
    def pooling(cls, pooling: Pool2d, shape: Shape) -> Reach:
        """Of units into the windows over them."""
        return cls(shape[0], shape[0], shape[0], pooling.paths(0, shape[1]), pooling.paths(1, shape[2]))

    @classmethod
    def one_to_one(cls, shape: Shape) -> Reach:
        """Of units to those in the same places."""
        return cls(shape[0], shape[0], shape[0], np.eye(shape[1], dtype=np.int64), np.eye(shape[2], dtype=np.int64))

    def back(self) -> Reach:
        """The other way."""
        return Reach(self.channels, self.below, self.groups, self.down.T, self.across.T)

    @property
    def per_group(self) -> int:
        """Channels below of a group."""
        return self.below // self.groups

    @property
    def synapses(self) -> int:
        """In all."""
        return int(self.down.sum() * self.across.sum()) * self.channels * self.per_group

    def fans(self, units: Array) -> int:
        """Synapses of some units below, each as often as it is named."""
        down, across = self.down.sum(axis=0), self.across.sum(axis=0)
        return int(np.outer(down, across).ravel()[units % (len(down) * len(across))].sum()) * (self.channels // self.groups)

    def into(self, first: int, last: int) -> Array:
        """Synapses that each unit below has into units first..last-1, (groups, height, width): the same for all channels of a group."""
        size, each = len(self.down) * len(self.across), self.channels // self.groups
        counts = np.zeros((self.groups, self.down.shape[1], self.across.shape[1]), np.int64)
        for channel in range(first // size, -(-last // size)):
            held = np.zeros(size, np.int64)
            held[max(0, first - channel * size) : last - channel * size] = 1
            counts[channel // each] += self._from(held)
        return counts

    def _from(self, held: Array) -> Array:
        """Synapses that the units below of one channel have into those of one channel that are held."""
        if held.all():
            return np.outer(self.down.sum(axis=0), self.across.sum(axis=0))
        return self.down.T @ held.reshape(len(self.down), -1) @ self.across
