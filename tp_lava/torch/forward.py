"""One hidden layer of a module carried out, step by step and differentiable."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from tp_lava.graph.chain import ChainLayer
from tp_lava.graph.connections import AllToAll
from tp_lava.torch.delivery import DelayLine, Delivery
from tp_lava.torch.neuron import Neurons
from tp_lava.torch.pooling import Pooling


class ForwardLayer:
    """A hidden layer of some rows, silent at first. weights: of the module, by name; neurons: of the rows.

    Attributes membrane (rows, n): after the last step; outputs (rows, units): what others get of the last step's spikes.
    """

    def __init__(self, layer: ChainLayer, weights: dict[str, nn.Parameter], neurons: Neurons) -> None:
        self._neurons, self._bias = neurons, weights.get(layer.population.bias)
        self._forward = Delivery.of(layer.forward, weights[layer.forward.name])
        self._feedback = Delivery.of(layer.recurrent, weights[layer.recurrent.name]) if layer.recurrent else None
        self._arriving, self._coming_back = DelayLine(layer.forward), DelayLine(layer.recurrent)
        self._pooling = Pooling(layer.population.pooling, layer.population.shape)
        self._at_once = isinstance(layer.forward.kind, AllToAll)
        self._values = self._forward.values()
        self._feedback_values = self._feedback.values() if self._feedback else None
        self._silent = True
        self.outputs = neurons.membrane.new_zeros(len(neurons.membrane), layer.population.output_size)

    @property
    def membrane(self) -> Tensor:
        """(rows, n), after the last step's reset."""
        return self._neurons.membrane

    def drives(self, below: Tensor) -> Iterable[Tensor]:
        """What comes from below at each step; below: (T, rows, units). Of dense layers in one product, for nothing acts back on it."""
        below = self._arriving.whole(below)
        return self._drive(below) if self._at_once else (self._drive(x) for x in below)

    def step(self, drive: Tensor) -> Tensor:
        """-> spikes (rows, n)."""
        if self._feedback is not None and self._feedback_values is not None and not self._silent:
            drive = drive + self._feedback.drive(self._coming_back.step(self.outputs), self._feedback_values)
        spikes = self._neurons.step(drive, self._bias)
        self.outputs, self._silent = self._pooling(spikes), False
        return spikes

    def advance(self, below: Tensor) -> Tensor:
        """One step from what is below, (rows, units). -> outputs."""
        self.step(self._drive(self._arriving.step(below)))
        return self.outputs

    def _drive(self, below: Tensor) -> Tensor:
        return self._forward.drive(below, self._values)
