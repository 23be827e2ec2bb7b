"""What all trainers share: torch's optimisers made from ours, rates that schedules change, and one batch at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Mapping, Sequence

import torch
from torch import Tensor, nn

from tp_lava.errors import invalid
from tp_lava.graph.names import READOUT, READOUT_BIAS
from tp_lava.optimisers import Optimiser, check_optimiser, of_layer
from tp_lava.torch.gradients import Gradients
from tp_lava.torch.inputs import checked_labels, checked_spikes
from tp_lava.torch.module import SpikingNetwork
from tp_lava.torch.torch_optimisers import Group, torch_optimiser


class Trainer(ABC):
    """Changes a module batch by batch.

    Attributes module; accuracies: of each epoch that fit() has done with it, which decide orders and schedules of those to come.
    """

    def __init__(self, module: SpikingNetwork, optimiser: Optimiser | Mapping[str, Optimiser]) -> None:
        if not isinstance(module, SpikingNetwork):
            remedy = "make one with SpikingNetwork(network)"
            raise invalid(type(self).__name__, "module", f"of type {type(module).__name__}", "a SpikingNetwork", remedy)
        check_optimiser(optimiser, [layer.name for layer in module.layers], fixed=False)
        self.module, self._kinds = module, optimiser
        self.accuracies: list[float] = []
        self._optimisers: list[torch.optim.Optimizer] = []
        self._learning: dict[str, nn.Parameter] = {}

    def _learn(self, rates: Mapping[str, float], own: Mapping[str, str] | None = None) -> None:
        """Make the optimisers of the layers, by name of the population, or "readout", whose rate is above zero.

        own: weights of a rule's own among them -> the layer whose kind of optimiser they have.
        """
        groups: dict[Optimiser, list[Group]] = {}
        for layer, rate in rates.items():
            if rate > 0:
                learned = self._named(layer) if own and layer in own else self._learned(layer)
                self._learning |= learned
                groups.setdefault(of_layer(self._kinds, (own or {}).get(layer, layer)), []).append(Group(rate, tuple(learned.values())))
        self._optimisers = [torch_optimiser(kind, members) for kind, members in groups.items()]

    @abstractmethod
    def learn_batch(self, spikes: Tensor, labels: Tensor | Sequence[int]) -> Tensor:
        """Learn a batch: its one update, or one at every step, of means over the batch.

        spikes: (T, B, n_inputs), see SpikingNetwork; labels: (B,). -> scores (B, n_classes) at the end, as they were while it learned.
        Raises InvalidValueError, and changes nothing, for other shapes and labels.
        """

    def _learned(self, layer: str) -> dict[str, nn.Parameter]:
        """The parameters that change with a layer: its weights and biases."""
        hidden = {hidden.name: hidden.weight_names for hidden in self.module.layers}
        return self._named(*hidden.get(layer, self._readout_names))

    @property
    def _readout_names(self) -> tuple[str, str]:
        return READOUT, READOUT_BIAS

    def scale_rates(self, factor: float) -> None:
        """Set every rate to `factor` times the one given at the start."""
        for optimiser in self._optimisers:
            for group in optimiser.param_groups:
                group["lr"] = group["initial_lr"] * factor

    def _checked(self, spikes: Tensor, labels: Tensor | Sequence[int]) -> tuple[Tensor, Tensor]:
        module = self.module
        spikes = checked_spikes(spikes, module.n_inputs, module.device)
        return spikes, checked_labels(labels, spikes.shape[1], module.n_classes, module.device)

    def _named(self, *names: str) -> dict[str, nn.Parameter]:
        """The module's parameters of those names, as far as it has them."""
        parameters = dict(self.module.named_parameters())
        return {name: parameters[name] for name in names if name in parameters}

    def _apply(self, gradients: Gradients | None = None, at_rest: Container[str] = ()) -> None:
        """Change the parameters but those at rest and forget their gradients; without one they change by what optimisers remember."""
        if gradients is not None:
            gradients.complete(at_rest)
        for optimiser in self._optimisers:
            optimiser.step()
            optimiser.zero_grad()


def within_last(count: int | None, step: int, steps: int) -> bool:
    """Whether step number `step`, 0 the first, is among the last `count` of `steps` (None: all)."""
    return count is None or step >= steps - count
