"""The summed gradients of a batch, added up step after step."""

from __future__ import annotations

from collections.abc import Container, Mapping

import torch
from torch import Tensor, nn

from tp_lava.graph.standardisation import Standardisation
from tp_lava.torch.standardisation import through


class Gradients:
    """The summed gradients of some parameters of one batch, added up in the same memory step after step.

    standardisations: of some parameters, by name: what is added to those are gradients of V, and they get those of W. Attribute parameters.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], standardisations: Mapping[str, Standardisation]) -> None:
        self.parameters, self._standardisations = parameters, standardisations
        self._sums = {name: torch.empty_like(parameter) for name, parameter in parameters.items()}
        for parameter in parameters.values():
            parameter.grad = None

    def __contains__(self, name: str) -> bool:
        return name in self.parameters

    def add_product(self, name: str, post: Tensor, pre: Tensor) -> None:
        """Add the sum over rows of post (rows, n_out) x pre (rows, n_in)."""
        parameter = self.parameters[name]
        if parameter.grad is None:
            parameter.grad = torch.mm(post.T, pre, out=self._sums[name])
        else:
            parameter.grad.addmm_(post.T, pre)

    def add(self, name: str, gradient: Tensor) -> None:
        """Add an array of the parameter's shape."""
        parameter = self.parameters[name]
        if parameter.grad is None:
            parameter.grad = self._sums[name].copy_(gradient)
        else:
            parameter.grad += gradient

    def complete(self, at_rest: Container[str] = ()) -> None:
        """Those of W from those of V, and a zero for every parameter that nothing was added to, except those at rest."""
        for name, parameter in self.parameters.items():
            if parameter.grad is None and name not in at_rest:
                parameter.grad = self._sums[name].zero_()
            elif parameter.grad is not None and name in self._standardisations:
                parameter.grad.copy_(through(self._standardisations[name], parameter.detach(), parameter.grad))
