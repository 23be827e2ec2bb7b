"""What connections do with tensors of rows: delays, the drive that they bring, and the products by which they learn.

    drive = V x        V: weights, standardised where the connection says so; x: what arrives, (rows, units below)
    dV = sum over rows of post (x) pre        of a convolution: summed over its positions too, where they share weights

Units of maps are numbered in C order, so a row of (channels, height, width) units is a view of a row of units.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear, unfold
from torch.nn.grad import conv2d_input, conv2d_weight

from tp_lava.graph.connections import AllToAll, Convolution
from tp_lava.graph.delays import SynapticDelays
from tp_lava.graph.network import Connection
from tp_lava.torch.gradients import Gradients
from tp_lava.torch.pooling import Pooling
from tp_lava.torch.standardisation import standardised


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


class Delivery:
    """A connection with its weights. weights: W, of the kind's weight_shape. Attribute name."""

    def __init__(self, connection: Connection, weights: nn.Parameter) -> None:
        self.name, self._how, self._raw = connection.name, connection.standardisation, weights
        self._copies = connection.delays.copies if connection.delays else 1

    @staticmethod
    def of(connection: Connection, weights: nn.Parameter) -> Delivery:
        """Of the connection's kind."""
        kind = connection.kind
        if isinstance(connection.delays, SynapticDelays):
            return _Reached(connection, weights)
        if isinstance(kind, AllToAll):
            return _Dense(connection, weights)
        return (_Convolved if kind.shared else _Local)(connection, weights)

    def values(self) -> Tensor:
        """V, as the weights are now."""
        return self._raw if self._how is None else standardised(self._how, self._raw)

    def _of_units(self, signal: Tensor) -> Tensor:
        """The sum of what is for the copies of each unit."""
        return signal if self._copies == 1 else signal.reshape(len(signal), self._copies, -1).sum(dim=1)

    def drive(self, x: Tensor, values: Tensor, bias: Tensor | None = None) -> Tensor:
        """x: (rows, units below); values: V; bias: (neurons,). -> (rows, neurons), differentiable."""
        raise NotImplementedError

    def back(self, post: Tensor, values: Tensor) -> Tensor:
        """V^T post, whatever the delays of the units below. post: (rows, neurons); values: V. -> (rows, units that send)."""
        raise NotImplementedError

    def learn(self, gradients: Gradients, post: Tensor, pre: Tensor) -> None:
        """Add the products' sum to dV. post: (rows, neurons); pre: (rows, units below)."""
        raise NotImplementedError


class _Dense(Delivery):
    """All-to-all."""

    def drive(self, x: Tensor, values: Tensor, bias: Tensor | None = None) -> Tensor:
        return linear(x, values, bias)

    def back(self, post: Tensor, values: Tensor) -> Tensor:
        return self._of_units(post @ values)

    def learn(self, gradients: Gradients, post: Tensor, pre: Tensor) -> None:
        gradients.add_product(self.name, post, pre)


class _Reached(Delivery):
    """All-to-all, of delayed units, each of which has the synapses of its delay."""

    def __init__(self, connection: Connection, weights: nn.Parameter) -> None:
        super().__init__(connection, weights)
        assert isinstance(connection.delays, SynapticDelays)
        units = torch.tensor(connection.delays.units)
        self._mask = torch.zeros(len(units), connection.delays.n_delayed, dtype=weights.dtype, device=weights.device)
        self._mask.scatter_(1, units.to(weights.device), 1.0)

    def drive(self, x: Tensor, values: Tensor, bias: Tensor | None = None) -> Tensor:
        return linear(x, values.repeat(1, self._copies) * self._mask, bias)

    def back(self, post: Tensor, values: Tensor) -> Tensor:
        return post @ values

    def learn(self, gradients: Gradients, post: Tensor, pre: Tensor) -> None:
        products = (post.T @ pre) * self._mask
        gradients.add(self.name, products.reshape(len(products), self._copies, -1).sum(dim=1))


class _Convolved(Delivery):
    """A convolution, its weights shared by all positions."""

    def __init__(self, connection: Connection, weights: nn.Parameter) -> None:
        super().__init__(connection, weights)
        assert isinstance(connection.kind, Convolution)
        self.kind = connection.kind
        self._pooling = Pooling(self.kind.pooling, self.kind.shape)

    def drive(self, x: Tensor, values: Tensor, bias: Tensor | None = None) -> Tensor:
        drive = self._convolved(self._seen(x), values).reshape(*x.shape[:-1], self.kind.size)
        return drive if bias is None else drive + bias

    def back(self, post: Tensor, values: Tensor) -> Tensor:
        seen, spread = self._pooling.taped(post.new_zeros(len(post), prod(self.kind.shape)))  # sums, so it is the same at any input
        image = self._transposed(post.reshape(-1, *self.kind.output_shape), seen.reshape(-1, *self.kind.pooled_shape), values)
        return self._of_units(spread(image.reshape(seen.shape)))

    def learn(self, gradients: Gradients, post: Tensor, pre: Tensor) -> None:
        gradients.add(self.name, self._products(post, self._seen(pre)))

    def _seen(self, x: Tensor) -> Tensor:
        """What the convolution sees, (rows, channels, height, width)."""
        return self._pooling(x).reshape(-1, *self.kind.pooled_shape)

    def _convolved(self, image: Tensor, values: Tensor) -> Tensor:
        kind = self.kind
        return conv2d(image, values, None, kind.stride, kind.padding, kind.dilation, kind.groups)

    def _transposed(self, signal: Tensor, image: Tensor, values: Tensor) -> Tensor:
        """What signals of the neurons are to the image, of its shape."""
        kind = self.kind
        return conv2d_input(image.shape, values, signal, kind.stride, kind.padding, kind.dilation, kind.groups)

    def _products(self, post: Tensor, image: Tensor) -> Tensor:
        """Of the weights' shape."""
        kind, signal = self.kind, post.reshape(-1, *self.kind.output_shape)
        return conv2d_weight(image, kind.weight_shape, signal, kind.stride, kind.padding, kind.dilation, kind.groups)


class _Local(_Convolved):
    """A convolution whose positions have weights of their own, (channels, height, width, channels below / groups, ky, kx)."""

    def _convolved(self, image: Tensor, values: Tensor) -> Tensor:
        columns = self._columns(image)
        _, groups, taps, places = columns.shape
        return torch.einsum("rgkp,gopk->rgop", columns, values.reshape(groups, -1, places, taps))

    def _transposed(self, signal: Tensor, image: Tensor, values: Tensor) -> Tensor:
        with torch.enable_grad():
            leaf = image.detach().requires_grad_()
            drive = self._convolved(leaf, values.detach())
        return torch.autograd.grad(drive, leaf, signal.reshape(drive.shape))[0]

    def _products(self, post: Tensor, image: Tensor) -> Tensor:
        """Of the weights' shape."""
        columns = self._columns(image)
        rows, groups, _, places = columns.shape
        found = torch.einsum("rgop,rgkp->gopk", post.reshape(rows, groups, -1, places), columns)
        return found.reshape(self.kind.weight_shape)

    def _columns(self, image: Tensor) -> Tensor:
        """What each position sees, (rows, groups, weights of one channel, positions)."""
        kind = self.kind
        columns = unfold(image, kind.kernel, kind.dilation, kind.padding, kind.stride)
        return columns.reshape(len(columns), kind.groups, -1, columns.shape[2])
